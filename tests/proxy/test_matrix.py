"""The matrix of tests/wire/matrix.py through the whole proxy: a node says each cell, and the client hears it."""

import pytest

from proxy.commands import HANDLERS, unknown
from proxy.wire import constants as c
from tests.proxy.scripted import AUTO, Client, Stage, command, ok
from tests.wire.matrix import MATRIX, Cell
from tests.wire.speaking import CAPABILITIES, Server

STATEMENT = (1).to_bytes(4, "little")
ONCE = b"\x00\x01\x00\x00\x00"
# What a client says to have a node answer; without parameters where there may be some.
SAID = {
    c.COM_QUERY: command(c.COM_QUERY, b"SELECT a FROM b"),
    c.COM_STMT_EXECUTE: command(c.COM_STMT_EXECUTE, STATEMENT + ONCE),
    c.COM_STMT_BULK_EXECUTE: command(c.COM_STMT_BULK_EXECUTE, STATEMENT + b"\x00\x00"),
    c.COM_STMT_FETCH: command(c.COM_STMT_FETCH, STATEMENT + b"\x02\x00\x00\x00"),
    c.COM_STMT_RESET: command(c.COM_STMT_RESET, STATEMENT),
    c.COM_STMT_PREPARE: command(c.COM_STMT_PREPARE, b"SELECT a FROM b"),
    c.COM_FIELD_LIST: command(c.COM_FIELD_LIST, b"t\x00"),
    c.COM_PROCESS_INFO: command(c.COM_PROCESS_INFO),
    c.COM_STATISTICS: command(c.COM_STATISTICS),
    c.COM_SET_OPTION: command(c.COM_SET_OPTION, b"\x00\x00"),
    c.COM_DEBUG: command(c.COM_DEBUG),
    c.COM_PING: command(c.COM_PING),
    c.COM_INIT_DB: command(c.COM_INIT_DB, b"app"),
    c.COM_REFRESH: command(c.COM_REFRESH, b"\x01"),
}
# Answered by the proxy itself wherever the session is: tests/proxy/test_commands.py.
NEVER_AT_A_NODE = {c.COM_RESET_CONNECTION, c.COM_CHANGE_USER, c.COM_PROCESS_KILL, 0x55}
OF_A_STATEMENT = {c.COM_STMT_EXECUTE, c.COM_STMT_BULK_EXECUTE, c.COM_STMT_FETCH, c.COM_STMT_RESET}

CELLS = [
    pytest.param(cell, capabilities, id=f"{c.COMMAND_NAMES[cell.command]}: {cell.shape} [{agreed}]")
    for cell in MATRIX
    if cell.command not in NEVER_AT_A_NODE
    for agreed, capabilities in CAPABILITIES.items()
    if cell.is_for(capabilities)
]


def pinned(stage: Stage, capabilities: int, *, prepare: bool) -> Client:
    """A client on a backend of its own, with a statement prepared there."""
    stage.one.answers(lambda said: ok(AUTO) if not said.startswith("COM_STMT_PREPARE") else of_prepare)
    of_prepare = Server(capabilities).prepared(41, 0, 0).sent
    client = stage.client(capabilities=capabilities | c.MARIADB_CLIENT_STMT_BULK_OPERATIONS)
    client.says("HANDLER t OPEN")
    if prepare:
        client.says(SAID[c.COM_STMT_PREPARE])
    client.received.clear()
    return client


def test_every_command_that_is_taken_has_cells() -> None:
    taken = {code for code, handler in HANDLERS.items() if handler is not unknown}
    without_reply = {c.COM_QUIT, c.COM_STMT_CLOSE, c.COM_STMT_SEND_LONG_DATA}
    assert {cell.command for cell in MATRIX} - {0x55} == (taken | {c.COM_CHANGE_USER}) - without_reply


def test_every_cell_is_said() -> None:
    assert {cell.command for cell in MATRIX} == set(SAID) | NEVER_AT_A_NODE


@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
@pytest.mark.parametrize(("cell", "capabilities"), CELLS)
def test_the_client_hears_what_the_node_says(stage: Stage, cell: Cell, capabilities: int, cut: str) -> None:
    client = pinned(stage, capabilities, prepare=cell.command in OF_A_STATEMENT)
    reply = cell.speak(Server(capabilities)).sent
    said = SAID[cell.command]
    if cell.command == c.COM_STMT_EXECUTE and cell.opens_cursor and "cursor" in cell.shape:
        said = command(c.COM_STMT_EXECUTE, STATEMENT + b"\x01" + ONCE[1:])
    stage.one.script = None
    client.says(said)
    ((link, _),) = stage.one.heard
    stage.one.heard.clear()
    if "LOCAL INFILE" in cell.shape:
        end = reply.index(b"/tmp/f") + len(b"/tmp/f")
        link.says(reply[:end])
        client.wire.arrives(b"\x00\x00\x00\x02")
        stage.clock.settle()
        rest = reply[end:]
        link.says(rest) if cut == "whole" else link.drips(rest)
        assert link.file == b"\x00\x00\x00\x02"
    elif cut == "whole":
        link.says(reply)
    else:
        link.drips(reply)
    expected = reply
    if cell.command == c.COM_STMT_PREPARE and reply[4] == c.OK_HEADER:
        expected = reply[:5] + STATEMENT + reply[9:]
    heard, client.received = bytes(client.received), bytearray()
    assert heard == expected
    stage.one.answers(lambda said: ok(AUTO))


@pytest.mark.parametrize("agreed", CAPABILITIES)
def test_what_comes_behind_a_reply_ends_the_connection(stage: Stage, agreed: str) -> None:
    capabilities = CAPABILITIES[agreed]
    client = pinned(stage, capabilities, prepare=False)
    stage.one.script = None
    client.says(SAID[c.COM_QUERY])
    ((link, _),) = stage.one.heard
    stage.one.heard.clear()
    answer = Server(capabilities).columns(1).row(b"1").end().sent
    link.says(answer + Server(capabilities).ok().sent)
    assert bytes(client.received).startswith(answer)
    assert link.closed
    client.received.clear()
