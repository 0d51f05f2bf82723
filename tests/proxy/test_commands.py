"""Each command byte by each situation of its session: what a node hears of it, and what the client is answered.

The matrix is the specification of proxy/commands.py. It names what a node hears, in order, and then the answer: OK,
an error's code, "rows", "text", "closed", or "nothing" where the protocol has no reply.
"""

from typing import NamedTuple

import pytest

from proxy import commands
from proxy.wire import constants as c
from proxy.wire.framing import frame, payload_of
from tests.proxy.scripted import (
    CAPABILITIES,
    GUARD,
    OPENING,
    TRANS,
    UNGUARD,
    Client,
    Stage,
    command,
    error,
    ok,
    packets,
    prepared,
    query,
    rows,
)
from tests.wire.speaking import Server

OK = "OK"
ROWS = "rows"
TEXT = "text"
CLOSED = "closed"
NOTHING = "nothing"

NO_SUCH = (99).to_bytes(4, "little")
EXECUTE = command(c.COM_STMT_EXECUTE, NO_SUCH + b"\x00\x01\x00\x00\x00")
LONG_DATA = command(c.COM_STMT_SEND_LONG_DATA, NO_SUCH + b"\x00\x00abc")
FETCH = command(c.COM_STMT_FETCH, NO_SUCH + b"\x01\x00\x00\x00")
FIELDS = command(c.COM_FIELD_LIST, b"t\x00%")

Seen = tuple[str | int, ...]


class Row(NamedTuple):
    """What is seen with no lease, with a transaction open, and pinned with none open."""

    said: bytes
    free: Seen
    in_transaction: Seen
    pinned: Seen


def everywhere(said: bytes, *seen: str | int) -> Row:
    return Row(said, seen, seen, seen)


RESET = "COM_RESET_CONNECTION"

# fmt: off
MATRIX = {row.said[4]: row for row in (
    everywhere(command(c.COM_SLEEP), 1047),
    Row(command(c.COM_QUIT), (CLOSED,), (RESET, CLOSED), (RESET, CLOSED)),
    everywhere(command(c.COM_INIT_DB, b"app"), "COM_INIT_DB app", OK),
    everywhere(query("SELECT 1"), "SELECT 1", ROWS),
    everywhere(FIELDS, "COM_FIELD_LIST", ROWS),
    everywhere(command(c.COM_CREATE_DB, b"x"), 1047),
    everywhere(command(c.COM_DROP_DB, b"x"), 1047),
    Row(command(c.COM_REFRESH, b"\x01"), ("COM_REFRESH", OK), (UNGUARD, "COM_REFRESH", OK), ("COM_REFRESH", OK)),
    everywhere(command(c.COM_SHUTDOWN), 1047),
    everywhere(command(c.COM_STATISTICS), "COM_STATISTICS", TEXT),
    everywhere(command(c.COM_PROCESS_INFO), "COM_PROCESS_INFO", ROWS),
    everywhere(command(c.COM_CONNECT), 1047),
    everywhere(command(c.COM_PROCESS_KILL, NO_SUCH), 1094),
    everywhere(command(c.COM_DEBUG), "COM_DEBUG", OK),
    Row(command(c.COM_PING), (OK,), ("COM_PING", OK), ("COM_PING", OK)),
    everywhere(command(c.COM_TIME), 1047),
    everywhere(command(c.COM_DELAYED_INSERT), 1047),
    everywhere(command(c.COM_BINLOG_DUMP), 1047),
    everywhere(command(c.COM_TABLE_DUMP), 1047),
    everywhere(command(c.COM_CONNECT_OUT), 1047),
    everywhere(command(c.COM_REGISTER_SLAVE), 1047),
    everywhere(command(c.COM_STMT_PREPARE, b"SELECT ?"), "COM_STMT_PREPARE SELECT ?", OK),
    everywhere(EXECUTE, 1243),
    everywhere(LONG_DATA, NOTHING),
    everywhere(command(c.COM_STMT_CLOSE, NO_SUCH), NOTHING),
    everywhere(command(c.COM_STMT_RESET, NO_SUCH), 1243),
    Row(command(c.COM_SET_OPTION, b"\x00\x00"),
        ("COM_SET_OPTION", OK), (UNGUARD, "COM_SET_OPTION", OK), ("COM_SET_OPTION", OK)),
    everywhere(FETCH, 1243),
    everywhere(command(c.COM_DAEMON), 1047),
    everywhere(command(c.COM_BINLOG_DUMP_GTID), 1047),
    Row(command(c.COM_RESET_CONNECTION), (OK,), (RESET, OK), (RESET, OK)),
    everywhere(command(c.COM_CLONE), 1047),
    everywhere(command(c.COM_STMT_BULK_EXECUTE, NO_SUCH), 1047),
    everywhere(command(0x77), 1047),
    everywhere(command(0xFF), 1047),
)}
# fmt: on

# A dialogue of its own, see test_handshake.py and below.
DIALOGUE = {c.COM_CHANGE_USER}


def answer(said: str) -> bytes:
    """Of a node to which it is all the same."""
    server = Server(CAPABILITIES)
    if said == "COM_STATISTICS":
        return frame(b"Uptime: 1", 1)
    if said == "COM_FIELD_LIST":
        return server.definition().eof(TRANS).sent
    if said.startswith("COM_STMT_PREPARE"):
        return prepared(41, columns=1, params=1)
    if said in ("SELECT 1", "COM_PROCESS_INFO"):
        return rows("1", status=status_of[0])
    return ok(status_of[0])


status_of = [2]  # the flags that the node reports


def brief(client: Client) -> str | int:
    """The client's answer in a word."""
    received = bytes(client.received)
    client.received.clear()
    if not received:
        return CLOSED if client.closed else NOTHING
    first = payload_of(packets(received)[0])
    if first[0] == 0xFF:
        return first[1] | first[2] << 8
    if first[0] in (0x00, 0xFE):
        return OK
    return TEXT if first.startswith(b"Uptime") else ROWS


def seen(stage: Stage, client: Client, said: bytes) -> Seen:
    """What a node hears and the client is answered."""
    heard: list[str] = []

    def script(one: str) -> bytes:
        heard.append(one)
        return answer(one)

    stage.one.answers(script)
    client.says(said)
    return (*heard, brief(client))


@pytest.mark.parametrize("row", MATRIX.values(), ids=lambda row: c.COMMAND_NAMES.get(row.said[4], hex(row.said[4])))
def test_without_a_lease(stage: Stage, row: Row) -> None:
    status_of[0] = 2
    assert seen(stage, stage.client(), row.said) == row.free


@pytest.mark.parametrize("row", MATRIX.values(), ids=lambda row: c.COMMAND_NAMES.get(row.said[4], hex(row.said[4])))
def test_in_a_transaction(stage: Stage, row: Row) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    status_of[0] = 3
    assert seen(stage, client, row.said) == row.in_transaction


@pytest.mark.parametrize("row", MATRIX.values(), ids=lambda row: c.COMMAND_NAMES.get(row.said[4], hex(row.said[4])))
def test_pinned(stage: Stage, row: Row) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = NOW()", ok())
    status_of[0] = 2
    assert seen(stage, client, row.said) == row.pinned


def test_the_matrix_has_every_command_there_is() -> None:
    assert set(c.COMMAND_NAMES) - set(MATRIX) == DIALOGUE
    assert set(commands.HANDLERS) <= set(MATRIX)


# -- more than a word -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        command(c.COM_STMT_EXECUTE, b"\x01"),
        command(c.COM_STMT_FETCH),
        command(c.COM_STMT_RESET, b"\x01\x00"),
        command(c.COM_STMT_CLOSE),
        command(c.COM_STMT_SEND_LONG_DATA, b"\x01"),
    ],
)
def test_a_command_that_ends_too_early_ends_the_connection(stage: Stage, said: bytes) -> None:
    client = stage.client()
    client.says(said)
    client.hears_error(1835, "HY000")
    assert client.closed
    assert stage.service.metrics.errors_made == {"malformed": 1}


def test_commands_are_counted_by_name(stage: Stage) -> None:
    client = stage.client()
    client.says(command(c.COM_PING), command(c.COM_PING), command(0x77), "COMMIT")
    client.received.clear()
    assert stage.service.metrics.commands() == {"COM_PING": 2, "unknown": 1, "COM_QUERY": 1}


def test_reset_connection_is_a_session_anew(stage: Stage) -> None:
    """The schema stays, as at a server (MariaDB and MySQL keep it)."""
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    client.says(command(c.COM_STMT_PREPARE, b"SELECT 1"))
    stage.one.hears(command(c.COM_STMT_PREPARE, b"SELECT 1")).says(prepared(41, columns=1))
    client.hears(prepared(1, columns=1))
    client.says("BEGIN", command(c.COM_RESET_CONNECTION))
    client.hears(ok(TRANS), ok())
    state = client.session.relay.state
    assert (state.schema, state.variables) == (b"app", ())
    client.says(command(c.COM_STMT_EXECUTE, b"\x01\x00\x00\x00\x00\x01\x00\x00\x00"))
    client.hears_error(1243)


def test_reset_connection_rolls_back(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    client.says(command(c.COM_RESET_CONNECTION))
    client.hears(ok())
    link = stage.one.hears(command(c.COM_RESET_CONNECTION)).says(ok())
    assert client.runs(stage.one, "SELECT 1", rows("1")) is link
    assert stage.service.metrics.transactions()["one:3306", "rolled_back"] == 1


def set_option(number: int) -> bytes:
    return command(c.COM_SET_OPTION, number.to_bytes(2, "little"))


def test_an_option_is_carried_to_other_nodes_and_over_a_reset(stage: Stage) -> None:
    """No backend is brought to it: the session has others, which were told so at login."""
    client = stage.client()
    other = client.runs(stage.one, "SELECT 1", rows("1"))
    client.says(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_ON))
    link = stage.one.hears(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_ON)).says(ok())
    client.hears(ok())
    assert link is not other
    for said in (command(c.COM_RESET_CONNECTION), change_user("app")):
        assert client.session.relay.pinned is None
        assert client.session.relay.profile.capabilities & c.CLIENT_MULTI_STATEMENTS
        assert client.runs(stage.one, "SELECT 1", rows("1")) is link
        client.says(said)
        client.hears(ok())
    client.says(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_OFF))
    assert stage.one.hears(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_OFF)).says(ok()) is not link
    client.hears(ok())
    assert not client.session.relay.profile.capabilities & c.CLIENT_MULTI_STATEMENTS
    assert not link.closed  # another session's, perhaps


def test_a_backend_that_was_told_an_option_is_no_other_sessions_any_more(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    client.says(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_ON))
    stage.one.hears(UNGUARD).says(ok(TRANS))
    assert stage.one.hears(set_option(c.MYSQL_OPTION_MULTI_STATEMENTS_ON)).says(ok(TRANS)) is link
    client.hears(ok(TRANS))
    client.runs(stage.one, "COMMIT", ok())
    assert link.closed
    client.runs(stage.one, "SELECT 1", rows("1"))


def test_an_option_that_there_is_not_is_the_nodes_affair(stage: Stage) -> None:
    client = stage.client()
    profile = client.session.relay.profile
    client.says(set_option(7))
    stage.one.hears(set_option(7)).says(error(1047))
    client.hears_error(1047)
    assert client.session.relay.profile is profile


def test_init_db_in_a_schema_with_any_bytes(stage: Stage) -> None:
    client = stage.client()
    client.says(command(c.COM_INIT_DB, "größe".encode()))
    stage.one.hears(command(c.COM_INIT_DB, "größe".encode())).says(ok())
    client.hears(ok())
    assert client.session.relay.state.schema == "größe".encode()


# -- COM_CHANGE_USER --------------------------------------------------------------------------------------------------


def change_user(name: str, schema: str = "", answer: bytes = b"") -> bytes:
    return command(
        c.COM_CHANGE_USER,
        name.encode() + b"\0" + bytes((len(answer),)) + answer + schema.encode() + b"\0" + (45).to_bytes(2, "little"),
    )


def test_change_user_is_a_session_anew_as_somebody_else(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    client.says(change_user("other"))
    client.hears(ok())
    assert client.session.relay.profile.user == "other"
    assert client.session.relay.state.variables == ()
    link = client.runs(stage.one, "SELECT 1", rows("1"))
    assert link is not stage.one.links[0]


def test_change_user_rolls_back(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    client.says(change_user("other"))
    stage.one.hears(command(c.COM_RESET_CONNECTION)).says(ok())
    client.hears(ok())


def test_change_user_with_a_schema(stage: Stage) -> None:
    client = stage.client()
    client.says(change_user("other", "app"))
    client.hears_nothing()
    stage.one.hears(command(c.COM_INIT_DB, b"app")).says(ok())
    received = bytes(client.received)
    client.received.clear()
    assert payload_of(received)[0] == 0
    client.runs(stage.one, "SELECT 1", rows("1"))


def test_commands_sent_behind_change_user_wait_for_it(stage: Stage) -> None:
    client = stage.client()
    client.says(change_user("other"), command(c.COM_PING), "SELECT 1")
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(ok(), ok(), rows("1"))


def test_a_refused_change_user_ends_the_connection(stage: Stage) -> None:
    client = stage.client()
    client.says(change_user("nobody"))
    stage.passes(2)
    client.hears_error(1045, "28000")
    assert client.closed
    assert not stage.service.sessions


def test_a_client_that_vanishes_during_change_user_leaves_nothing(stage: Stage) -> None:
    client = stage.client()
    client.says(change_user("other", "app"))
    asked = stage.one.hears(command(c.COM_INIT_DB, b"app"))
    client.vanishes()
    asked.says(ok())
    assert not stage.service.sessions
    assert not stage.one.pool.leased


def test_the_guard_is_not_shown(stage: Stage) -> None:
    """Between a client's commands there is nothing that it could notice."""
    client = stage.client()
    client.says("BEGIN", "INSERT INTO t (c) VALUES (1)")
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, "INSERT INTO t (c) VALUES (1)").says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS), ok(TRANS, rows=1))
    client.runs(stage.one, "ROLLBACK", ok())
