"""Every command by every shape of reply by what was agreed, fed whole, byte by byte and in pieces."""

import hashlib
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.constants import (
    CLIENT_COMPRESS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    COM_BINLOG_DUMP,
    COM_CHANGE_USER,
    COM_PING,
    COM_QUERY,
    COM_QUIT,
    COM_STATISTICS,
    COM_STMT_CLOSE,
    COM_STMT_PREPARE,
    COM_STMT_SEND_LONG_DATA,
    COMMAND_NAMES,
    MARIADB_CLIENT_CACHE_METADATA,
    MARIADB_CLIENT_PROGRESS,
    SERVER_SESSION_STATE_CHANGED,
)
from proxy.wire.framing import ProtocolError, frame
from proxy.wire.packets import lenenc_int, parse_ok
from proxy.wire.replies import ReplyScanner
from tests.wire.matrix import MATRIX, NO_TABLE, Cell
from tests.wire.speaking import AUTOCOMMIT, CAPABILITIES, CHANGED, MORE, PLAIN, Server

NOTHING_FOUND = {
    "error": None,
    "affected_rows": 0,
    "insert_id": 0,
    "warnings": 0,
    "has_rows": False,
    "results": 0,
    "local_infile": None,
    "statement_id": 0,
    "num_columns": 0,
    "num_params": 0,
    "awaiting_client_file": False,
}


EVERY_CELL = [
    pytest.param(
        cell,
        capabilities,
        id=f"{COMMAND_NAMES.get(cell.command, 'unknown command')}: {cell.shape} [{agreed}]",
    )
    for cell in MATRIX
    for agreed, capabilities in CAPABILITIES.items()
    if cell.is_for(capabilities)
]


def spoken(cell: Cell, capabilities: int) -> bytes:
    return cell.speak(Server(capabilities)).sent


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def observe(command: int, capabilities: int, chunks: Iterable[bytes], opens_cursor: bool = True) -> dict[str, Any]:
    """Everything that can be seen of a scanner after these chunks."""
    scanner = ReplyScanner(capabilities)
    digest = hashlib.blake2b()
    scanner.start(command, digest, opens_cursor)
    passed = [scanner.feed(chunk) for chunk in chunks]
    seen = {name: getattr(scanner, name) for name in NOTHING_FOUND}
    seen.update(
        done=scanner.done,
        passed=b"".join(passed),
        forwarded=scanner.forwarded,
        rest=scanner.rest,
        error_raw=scanner.error_raw,
        status=scanner.status,
        has_status=scanner.has_status,
        tracked=scanner.tracked,
        digest=digest.hexdigest(),
    )
    return seen


@pytest.mark.parametrize(("cell", "capabilities"), EVERY_CELL)
def test_reply_fed_whole(cell: Cell, capabilities: int) -> None:
    reply = spoken(cell, capabilities)
    seen = observe(cell.command, capabilities, [reply], cell.opens_cursor)
    assert seen["done"]
    assert seen["rest"] == b""
    assert seen["passed"] + seen["error_raw"] == reply
    assert seen["forwarded"] == len(seen["passed"])
    assert bool(seen["error_raw"]) == (seen["error"] is not None)
    expected = NOTHING_FOUND | cell.found
    status = expected.pop("status", AUTOCOMMIT if seen["has_status"] else 0)
    if "has_status" in expected and not capabilities & CLIENT_DEPRECATE_EOF:
        expected.pop("has_status")
    assert seen["status"] == status
    assert {name: seen[name] for name in expected} == expected
    if status & SERVER_SESSION_STATE_CHANGED and capabilities & CLIENT_SESSION_TRACK:
        (payload,) = seen["tracked"]
        assert [change.value for change in parse_ok(payload, capabilities).changes] == [b"new"]
    else:
        assert seen["tracked"] == ()


@pytest.mark.parametrize(("cell", "capabilities"), EVERY_CELL)
def test_reply_fed_byte_by_byte(cell: Cell, capabilities: int) -> None:
    reply = spoken(cell, capabilities)
    single = (reply[at : at + 1] for at in range(len(reply)))
    assert observe(cell.command, capabilities, single, cell.opens_cursor) == observe(
        cell.command, capabilities, [reply], cell.opens_cursor
    )


@pytest.mark.parametrize(("cell", "capabilities"), EVERY_CELL)
@given(data=st.data())
@settings(max_examples=8)
def test_reply_fed_in_pieces_with_the_next_one_behind_it(cell: Cell, capabilities: int, data: st.DataObject) -> None:
    reply = spoken(cell, capabilities)
    behind = Server(capabilities).ok(rows=1).sent
    cuts = data.draw(st.lists(st.integers(0, len(reply) + len(behind)), max_size=6))
    seen = observe(cell.command, capabilities, pieces(reply + behind, cuts), cell.opens_cursor)
    assert seen.pop("rest") == behind
    whole = observe(cell.command, capabilities, [reply], cell.opens_cursor)
    assert whole.pop("rest") == b""
    assert seen == whole


@pytest.mark.parametrize(("cell", "capabilities"), EVERY_CELL)
def test_nothing_is_done_before_the_last_byte(cell: Cell, capabilities: int) -> None:
    reply = spoken(cell, capabilities)
    if len(reply) > 2000:
        reply, cut = reply, [len(reply) - 1, len(reply) // 2, 1999]
    else:
        cut = list(range(len(reply)))
    for size in cut:
        seen = observe(cell.command, capabilities, [reply[:size]], cell.opens_cursor)
        assert not seen["done"]
        assert reply.startswith(seen["passed"])


@pytest.mark.parametrize("command", [COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA])
def test_commands_without_reply_are_done_at_once(command: int) -> None:
    scanner = ReplyScanner(PLAIN)
    scanner.start(command)
    assert scanner.done
    assert scanner.feed(b"unasked") == b""
    assert scanner.rest == b"unasked"


def test_rows_whose_end_reports_session_changes() -> None:
    """Such an OK is longer than an EOF packet, and begins like a row whose first field has an eight-byte length."""
    capabilities = CAPABILITIES["no EOF,tracked"]
    reply = Server(capabilities).columns(1).row(b"1").end(CHANGED).sent
    scanner = scan(capabilities=capabilities)
    assert scanner.feed(reply) is reply
    assert scanner.done
    (payload,) = scanner.tracked
    assert payload[0] == 0xFE
    assert [change.value for change in parse_ok(payload, capabilities).changes] == [b"new"]


# --- What may go to the client, and when


def scan(command: int = COM_QUERY, capabilities: int = PLAIN) -> ReplyScanner:
    scanner = ReplyScanner(capabilities)
    scanner.start(command)
    return scanner


def test_a_chunk_that_may_pass_whole_is_not_copied() -> None:
    head = Server(PLAIN).columns(1).row(b"x" * 50)
    split = len(head.sent) - 10
    reply = head.row(b"y").end().sent
    scanner = scan()
    first, second = reply[:split], reply[split:]
    assert scanner.feed(first) is first
    assert scanner.feed(second) is second
    assert scanner.done


def test_rows_pass_before_they_are_complete() -> None:
    reply = Server(PLAIN).columns(1).row(b"x" * 1000).sent
    scanner = scan()
    assert scanner.feed(reply[:-500]) == reply[:-500]


@pytest.mark.parametrize("capabilities", list(CAPABILITIES.values()), ids=list(CAPABILITIES))
def test_first_packet_and_terminator_pass_whole_or_not_at_all(capabilities: int) -> None:
    for reply, start in (
        (Server(capabilities).ok(info=b"a text").sent, 0),
        (Server(capabilities).columns(1).row(b"1").end().sent, len(Server(capabilities).columns(1).row(b"1").sent)),
    ):
        for size in range(start, len(reply)):
            scanner = scan(capabilities=capabilities)
            assert scanner.feed(reply[:size]) == reply[:start]
            assert scanner.feed(reply[size:]) == reply[start:]


@pytest.mark.parametrize("before", [0, 1, 3], ids=["first packet", "after a row", "after three rows"])
def test_no_byte_of_an_error_packet_passes(before: int) -> None:
    server = Server(PLAIN)
    if before:
        server.columns(1)
    for _ in range(before):
        server.row(b"1")
    good = server.sent
    reply = server.err().sent
    for size in range(len(good), len(reply)):
        scanner = scan()
        assert scanner.feed(reply[:size]) == good
        assert scanner.error is None
        assert scanner.feed(reply[size:] + b"next") == b""
        assert scanner.error == NO_TABLE
        assert scanner.error_raw == reply[len(good) :]
        assert scanner.rest == b"next"
        assert scanner.forwarded == len(good)


@given(
    chosen=st.lists(st.sampled_from(MATRIX), min_size=1, max_size=6),
    capabilities=st.sampled_from(list(CAPABILITIES.values())),
    data=st.data(),
)
def test_pipelined_replies_are_cut_apart(chosen: list[Cell], capabilities: int, data: st.DataObject) -> None:
    chosen = [cell for cell in chosen if cell.is_for(capabilities)]
    replies = [spoken(cell, capabilities) for cell in chosen]
    stream = b"".join(replies)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    chunks = pieces(stream, cuts)
    scanner = ReplyScanner(capabilities)
    unread = b""
    for cell, reply in zip(chosen, replies, strict=True):
        scanner.start(cell.command, None, cell.opens_cursor)
        passed = b""
        while not scanner.done:
            passed += scanner.feed(unread or chunks.pop(0))
            unread = b""
        unread = scanner.rest
        assert passed + scanner.error_raw == reply
    assert unread == b""


def test_the_client_s_file_is_asked_for_before_the_answer_comes() -> None:
    scanner = scan()
    request = frame(b"\xfbdata.csv", 1)
    assert scanner.feed(request) is request
    assert scanner.awaiting_client_file
    assert not scanner.done
    assert scanner.local_infile == b"data.csv"
    answer = Server(PLAIN).ok(rows=2).sent
    assert scanner.feed(answer) is answer
    assert not scanner.awaiting_client_file
    assert scanner.done


def test_status_outlives_a_reply_that_has_none() -> None:
    scanner = scan(COM_PING)
    scanner.feed(Server(PLAIN).ok(0x0003).sent)
    assert (scanner.status, scanner.has_status) == (0x0003, True)
    scanner.start(COM_QUERY)
    scanner.feed(Server(PLAIN).err().sent)
    assert (scanner.status, scanner.has_status) == (0x0003, False)


# --- Rows of 16 MB and more

LARGE = 0xFFFFFF


def field_filling(length: int) -> bytes:
    """A field that makes a row of exactly `length` bytes."""
    head = len(lenenc_int(length - 4))
    return b"\xff\xfe" * ((length - head) // 2) + b"\xff" * ((length - head) % 2)


@pytest.mark.parametrize("length", [LARGE - 1, LARGE, LARGE + 1, 2 * LARGE, 2 * LARGE + 2])
@pytest.mark.parametrize("capabilities", [PLAIN, PLAIN | CLIENT_DEPRECATE_EOF], ids=["EOF", "no EOF"])
def test_large_rows_and_their_continuations(length: int, capabilities: int) -> None:
    """The continuation begins in the middle of a field: with 0xFF and 0xFE here, and is not taken for an ERR or EOF."""
    head = Server(capabilities).columns(1)
    row_at = len(head.sent)
    head.row(field_filling(length))
    behind = len(head.sent)
    reply = head.row(b"small").end().sent
    whole = observe(COM_QUERY, capabilities, [reply])
    assert whole["done"]
    assert whole["passed"] == reply
    assert whole["results"] == 1
    steps = [reply[at : at + 65536] for at in range(0, len(reply), 65536)]
    assert observe(COM_QUERY, capabilities, steps) == whole
    second = row_at + 4 + LARGE
    for edge in (row_at + 4, second, second + 3, second + 4, second + 5, behind, behind + 4):
        cuts = [cut for cut in (edge - 1, edge, edge + 1) if cut < len(reply)]
        assert observe(COM_QUERY, capabilities, pieces(reply, cuts)) == whole


def test_a_large_row_whose_first_field_has_an_eight_byte_length() -> None:
    """Such a row begins with 0xFE as the terminator does."""
    for capabilities in (PLAIN, PLAIN | CLIENT_DEPRECATE_EOF):
        server = Server(capabilities).columns(1).row(b"z" * (1 << 24))
        assert b"\xfe" + (1 << 24).to_bytes(8, "little") in server.sent[:200]
        reply = server.end().sent
        seen = observe(COM_QUERY, capabilities, [reply])
        assert seen["done"]
        assert seen["passed"] == reply


# --- The digest: what a replay must bring back


def digest_of(speak: Callable[[Server], Server], capabilities: int = PLAIN, command: int = COM_QUERY) -> str:
    return str(observe(command, capabilities, [speak(Server(capabilities)).sent])["digest"])


SAME = [
    ("status flags", lambda s: s.ok(rows=1), lambda s: s.ok(0x4023, rows=1), COM_QUERY),
    ("info text", lambda s: s.ok(rows=1, info=b"a"), lambda s: s.ok(rows=1, info=b"b"), COM_QUERY),
    (
        "status of rows",
        lambda s: s.columns(1).row(b"1").end(),
        lambda s: s.columns(1, 3).row(b"1").end(0x23),
        COM_QUERY,
    ),
    ("error text", lambda s: s.err(1062, "23000", "Duplicate 1"), lambda s: s.err(1062, "23000", "other"), COM_QUERY),
    ("statement id", lambda s: s.prepared(1, 1, 1), lambda s: s.prepared(9, 1, 1), COM_STMT_PREPARE),
]
DIFFERENT = [
    ("affected rows", lambda s: s.ok(rows=1), lambda s: s.ok(rows=2), COM_QUERY),
    ("insert id", lambda s: s.ok(insert_id=1), lambda s: s.ok(insert_id=2), COM_QUERY),
    (
        "later insert id",
        lambda s: s.ok(MORE, insert_id=1).ok(insert_id=2),
        lambda s: s.ok(MORE, insert_id=1).ok(insert_id=3),
        COM_QUERY,
    ),
    ("warnings", lambda s: s.ok(warnings=1), lambda s: s.ok(), COM_QUERY),
    ("warnings of rows", lambda s: s.columns(1).end(warnings=1), lambda s: s.columns(1).end(), COM_QUERY),
    ("a row", lambda s: s.columns(1).row(b"1").end(), lambda s: s.columns(1).row(b"2").end(), COM_QUERY),
    (
        "one row more",
        lambda s: s.columns(1).row(b"1").end(),
        lambda s: s.columns(1).row(b"1").row(b"1").end(),
        COM_QUERY,
    ),
    (
        "order of rows",
        lambda s: s.columns(1).row(b"1").row(b"2").end(),
        lambda s: s.columns(1).row(b"2").row(b"1").end(),
        COM_QUERY,
    ),
    (
        "a column's name",
        lambda s: s.packet(b"\x01").definition(b"a").eof().eof(),
        lambda s: s.packet(b"\x01").definition(b"b").eof().eof(),
        COM_QUERY,
    ),
    ("error code", lambda s: s.err(1062), lambda s: s.err(1205), COM_QUERY),
    ("error or OK", lambda s: s.err(1062), lambda s: s.ok(), COM_QUERY),
    ("one result more", lambda s: s.ok(), lambda s: s.ok(MORE).ok(), COM_QUERY),
    ("columns prepared", lambda s: s.prepared(1, 1, 2), lambda s: s.prepared(1, 2, 1), COM_STMT_PREPARE),
    ("statistics", lambda s: s.packet(b"Uptime: 1"), lambda s: s.packet(b"Uptime: 2"), COM_STATISTICS),
]


@pytest.mark.parametrize(("one", "other", "command"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_digest_leaves_out(one: Any, other: Any, command: int) -> None:
    assert digest_of(one, command=command) == digest_of(other, command=command)


@pytest.mark.parametrize(("one", "other", "command"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_digest_tells_apart(one: Any, other: Any, command: int) -> None:
    assert digest_of(one, command=command) != digest_of(other, command=command)


def test_digest_tells_parameters_from_columns() -> None:
    """Where no EOF stands between them, only the first packet says which definitions are which."""

    def prepared(columns: int, params: int) -> str:
        head = b"\x00\x01\x00\x00\x00" + bytes([columns, 0, params, 0]) + b"\x00\x00\x00"
        reply = Server(PLAIN).packet(head).definition().definition().definition().sent
        return str(observe(COM_STMT_PREPARE, CAPABILITIES["no EOF"], [reply])["digest"])

    assert prepared(1, 2) != prepared(2, 1)


def test_digest_of_session_changes_is_that_of_none() -> None:
    tracked = CAPABILITIES["EOF,tracked"]
    assert digest_of(lambda s: s.ok(CHANGED, rows=1), tracked) == digest_of(lambda s: s.ok(rows=1), tracked)


# --- What is no reply

REFUSED = [
    ("empty first packet", COM_QUERY, b"\0\0\0\1\0"),
    ("OK of one byte", COM_QUERY, frame(b"\x00", 1)),
    ("OK without warnings", COM_QUERY, frame(b"\x00\x00\x00\x02\x00", 1)),
    ("OK that ends in its insert id", COM_QUERY, frame(b"\x00\x00\xfe\1\2\3\4", 1)),
    ("OK that ends behind its numbers", COM_QUERY, frame(b"\x00\xfc\1\1\xfc\1\1\2", 1)),
    ("OK with a NULL", COM_QUERY, frame(b"\x00\xfb\x00\x00\x00\x00\x00", 1)),
    ("ERR without code", COM_QUERY, frame(b"\xff\x01", 1)),
    ("ERR of 16 MB", COM_QUERY, b"\xff\xff\xff\1\xff"),
    ("column count and more", COM_QUERY, frame(b"\x01\x01", 1)),
    ("column count of two bytes that has one", COM_QUERY, frame(b"\xfc", 1)),
    ("column count of eight bytes", COM_QUERY, frame(b"\xfe\1\0\0\1\0\0\0\0", 1)),
    ("column count of zero in two bytes", COM_QUERY, frame(b"\xfc\0\0", 1)),
    ("EOF instead of a response", COM_QUERY, frame(b"\xfe\0\0\2\0", 1)),
    ("EOF among definitions", COM_QUERY, Server(PLAIN).packet(b"\x02").definition().eof().sent),
    ("definition of 16 MB", COM_QUERY, frame(b"\x01", 1) + b"\xff\xff\xff\2\3"),
    ("row for the EOF of the columns", COM_QUERY, Server(PLAIN).packet(b"\x01").definition().row(b"1").sent),
    ("EOF of one byte", COM_QUERY, Server(PLAIN).columns(1).packet(b"\xfe").sent),
    ("AuthSwitchRequest", COM_CHANGE_USER, frame(b"\xfemysql_native_password\0" + bytes(21), 1)),
    ("result set for a ping", COM_PING, frame(b"\x01", 1)),
    ("PREPARE_OK that is too short", COM_STMT_PREPARE, frame(b"\x00" + bytes(10), 1)),
    ("column count for PREPARE_OK", COM_STMT_PREPARE, frame(b"\x01" + bytes(11), 1)),
    ("EOF for a parameter", COM_STMT_PREPARE, frame(b"\0\1\0\0\0\0\0\1\0\0\0\0", 1) + frame(b"\xfe\0\0\2\0", 2)),
    (
        "definition too many",
        COM_STMT_PREPARE,
        frame(b"\0\1\0\0\0\0\0\1\0\0\0\0", 1) + Server(PLAIN).definition().definition().sent,
    ),
]


@pytest.mark.parametrize(("command", "reply"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_reply_is_refused(command: int, reply: bytes) -> None:
    with pytest.raises(ProtocolError):
        observe(command, PLAIN, [reply])
    with pytest.raises(ProtocolError):
        observe(command, PLAIN, (reply[at : at + 1] for at in range(len(reply))))


def test_a_command_whose_reply_never_ends_is_refused() -> None:
    with pytest.raises(ProtocolError, match="COM_BINLOG_DUMP"):
        ReplyScanner(PLAIN).start(COM_BINLOG_DUMP)


@pytest.mark.parametrize(
    "capabilities",
    [
        0,
        PLAIN | MARIADB_CLIENT_CACHE_METADATA,
        PLAIN | MARIADB_CLIENT_PROGRESS,
    ],
)
def test_capabilities_that_change_the_grammar_are_refused(capabilities: int) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        ReplyScanner(capabilities)
    ReplyScanner(PLAIN | CLIENT_COMPRESS)  # concerns the layer below


def outcome(command: int, capabilities: int, chunks: Iterable[bytes]) -> dict[str, Any] | str:
    try:
        return observe(command, capabilities, chunks)
    except ProtocolError:
        return "refused"


def damaged(cell: Cell, capabilities: int, changes: list[tuple[int, int]]) -> bytes:
    reply = bytearray(spoken(cell, capabilities)[:400])
    for at, value in changes:
        reply[at % len(reply)] = value
    return bytes(reply)


ANY_CAPABILITIES = st.sampled_from(list(CAPABILITIES.values()))
TELLING = st.sampled_from([0x00, 0x01, 0x03, 0x05, 0x07, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF]) | st.integers(0, 255)


@given(st.sampled_from(MATRIX), ANY_CAPABILITIES, st.lists(st.tuples(st.integers(0, 400), TELLING), max_size=5))
@settings(max_examples=300)
def test_damaged_replies_are_refused_or_read_the_same_in_any_chunking(
    cell: Cell, capabilities: int, changes: list[tuple[int, int]]
) -> None:
    reply = damaged(cell, capabilities, changes)
    whole = outcome(cell.command, capabilities, [reply])
    assert outcome(cell.command, capabilities, (reply[at : at + 1] for at in range(len(reply)))) == whole
    if isinstance(whole, dict) and whole["done"]:
        assert whole["passed"] + whole["error_raw"] + whole["rest"] == reply


@given(st.sampled_from(sorted(COMMAND_NAMES)), ANY_CAPABILITIES, st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=300)
def test_garbage_is_refused_or_waited_on(command: int, capabilities: int, chunks: list[bytes]) -> None:
    whole = outcome(command, capabilities, chunks)
    assert outcome(command, capabilities, [b"".join(chunks)]) == whole
