"""Prepared statements: our ids towards clients, each backend's own towards it, and what an execution has to take
along."""

from collections.abc import Callable

import pytest

from config import Limits, Pool
from proxy import commands
from proxy.prepared import PER_BACKEND
from proxy.wire.constants import (
    CLIENT_SESSION_TRACK,
    COM_PING,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    SERVER_SESSION_STATE_CHANGED,
)
from proxy.wire.framing import frame
from router.catalog import Catalog, Name, Table
from tests.proxy.scripted import (
    AUTO,
    CAPABILITIES,
    GUARD,
    OPENING,
    TRANS,
    WAIT,
    Client,
    Link,
    Stage,
    command,
    error,
    ok,
    prepared,
    rows,
)
from tests.wire.speaking import Server

READ = "SELECT c FROM t WHERE id = ?"
WRITE = "UPDATE t SET c = ?"
LONG = b"\x08\x00"  # the type of a parameter: LONGLONG

Build = Callable[..., Stage]


def prepare(sql: str) -> bytes:
    return command(COM_STMT_PREPARE, sql.encode())


def execute(statement: int, value: int | None = None, *, types: bytes | None = LONG, cursor: int = 0) -> bytes:
    """Of a statement with one parameter, or with none."""
    head = statement.to_bytes(4, "little") + bytes((cursor,)) + (1).to_bytes(4, "little")
    if value is None:
        return command(COM_STMT_EXECUTE, head)
    bound = b"\x00" if types is None else b"\x01" + types
    return command(COM_STMT_EXECUTE, head + b"\x00" + bound + value.to_bytes(8, "little"))


def long_data(statement: int, data: bytes) -> bytes:
    return command(COM_STMT_SEND_LONG_DATA, statement.to_bytes(4, "little") + b"\x00\x00" + data)


def on(code: int, statement: int) -> bytes:
    return command(code, statement.to_bytes(4, "little"))


def fetch(statement: int) -> bytes:
    return command(COM_STMT_FETCH, statement.to_bytes(4, "little") + (10).to_bytes(4, "little"))


def has_prepared(stage: Stage, client: Client, sql: str, *, there: int, here: int = 1) -> Link:
    client.says(prepare(sql))
    link = stage.one.hears(prepare(sql)).says(prepared(there, columns=1, params=1))
    client.hears(prepared(here, columns=1, params=1))
    return link


def test_the_client_gets_ids_of_ours_that_count_up(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41, here=1)
    has_prepared(stage, client, WRITE, there=42, here=2)
    client.says(on(COM_STMT_CLOSE, 2))
    has_prepared(stage, client, WRITE + " LIMIT 1", there=43, here=3)


def test_an_id_is_put_in_place_however_the_reply_is_cut(stage: Stage) -> None:
    client = stage.client()
    client.says(prepare(READ))
    stage.one.hears(prepare(READ)).drips(prepared(41, columns=2, params=1))
    client.hears(prepared(1, columns=2, params=1))


def test_an_execution_has_the_backends_id(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    client.says(execute(1, 5))
    stage.one.hears(execute(41, 5)).says(rows("5"))
    client.hears(rows("5"))


def test_a_statement_is_prepared_on_another_backend_when_it_is_first_executed_there(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41).breaks()
    stage.one.comes_up()
    client.says(execute(1, 5))
    stage.one.hears(prepare(READ)).says(prepared(7, columns=1, params=1))
    stage.one.hears(execute(7, 5)).says(rows("5"))
    client.hears(rows("5"))
    client.says(execute(1, 6))
    stage.one.hears(execute(7, 6)).says(rows("6"))
    client.hears(rows("6"))


def test_types_that_a_backend_has_not_seen_are_sent_again(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    client.says(execute(1, 5))
    link = stage.one.hears(execute(41, 5)).says(rows("5"))
    client.hears(rows("5"))
    client.says(execute(1, 6, types=None))
    stage.one.hears(execute(41, 6, types=None)).says(rows("6"))
    client.hears(rows("6"))
    link.breaks()
    stage.one.comes_up()
    client.says(execute(1, 7, types=None))
    stage.one.hears(prepare(READ)).says(prepared(3, columns=1, params=1))
    stage.one.hears(execute(3, 7, types=LONG)).says(rows("7"))
    client.hears(rows("7"))


def test_types_of_another_session_on_the_same_backend_do_not_count(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client, other = stage.client(), stage.client()
    double = b"\x05\x00"
    has_prepared(stage, client, READ, there=41)
    client.says(execute(1, 5))
    stage.one.hears(execute(41, 5)).says(rows("5"))
    client.hears(rows("5"))
    other.says(prepare(READ))
    link = stage.one.hears(prepare(READ)).says(prepared(42, columns=1, params=1))
    stage.one.hears(on(COM_STMT_CLOSE, 41))  # the tables may have changed since then
    other.hears(prepared(1, columns=1, params=1))
    other.says(execute(1, 5, types=double))
    assert stage.one.hears(execute(42, 5, types=double)).says(rows("5")) is link
    other.hears(rows("5"))
    client.says(execute(1, 6, types=None))
    stage.one.hears(execute(42, 6, types=LONG)).says(rows("6"))
    client.hears(rows("6"))


def test_long_data_is_kept_and_sent_ahead_of_the_execution(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41)
    client.says(long_data(1, b"abc"), long_data(1, b"def"))
    client.hears_nothing()  # it has no reply
    stage.quiet()
    client.says(execute(1, 0))
    stage.one.hears(prepare(WRITE)).says(
        prepared(42, columns=1, params=1)
    )  # for what is sent ahead it has a statement of its own
    stage.one.hears(long_data(42, b"abc"), long_data(42, b"def"), execute(42, 0)).says(ok(rows=1))
    client.hears(ok(rows=1))
    client.says(execute(1, 0))
    stage.one.hears(execute(42, 0)).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_long_data_is_forgotten_with_reset(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41)
    client.says(long_data(1, b"abc"), on(COM_STMT_RESET, 1))
    client.hears(ok())
    client.says(execute(1, 0))
    stage.one.hears(execute(41, 0)).says(ok())
    client.hears(ok())


def test_two_of_the_same_text_are_two_statements(stage: Stage) -> None:
    """One may have an open cursor when the other is executed."""
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41)
    has_prepared(stage, client, WRITE, there=42, here=2)
    for ours, theirs in ((1, 41), (2, 42), (1, 41)):
        client.says(execute(ours, 0))
        stage.one.hears(execute(theirs, 0)).says(ok(rows=1))
        client.hears(ok(rows=1))


def test_long_data_is_bounded(build: Build) -> None:
    stage = build(limits=Limits(max_command_bytes=2048))
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41)
    client.says(long_data(1, bytes(1000)), long_data(1, bytes(1000)))
    client.hears_nothing()
    client.says(long_data(1, bytes(1000)))
    client.hears_error(1153, "08S01")
    assert client.closed


def test_long_data_for_a_statement_that_is_not_there_is_dropped(stage: Stage) -> None:
    client = stage.client()
    client.says(long_data(9, b"abc"), "SELECT 1")
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"))


def test_close_has_no_reply_and_the_next_command_follows(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    client.says(on(COM_STMT_CLOSE, 1), on(COM_STMT_CLOSE, 99), execute(1, 5))
    assert client.hears_error(1243, "HY000").message.startswith("Unknown prepared statement handler (1)")


@pytest.mark.parametrize("said", [execute(9), on(COM_STMT_RESET, 9), fetch(9)], ids=["execute", "reset", "fetch"])
def test_an_unknown_id_is_told_without_a_node(stage: Stage, said: bytes) -> None:
    client = stage.client()
    client.says(said)
    client.hears_error(1243, "HY000")
    assert not stage.one.links


def test_an_error_at_prepare_is_the_clients(stage: Stage) -> None:
    client = stage.client()
    client.says(prepare("SELECT c FROM none_such"))
    stage.one.hears(prepare("SELECT c FROM none_such")).says(error(1146))
    client.hears(error(1146))
    client.says(execute(1, 5))
    client.hears_error(1243)


def test_an_error_at_preparing_it_elsewhere_is_the_executions(stage: Stage) -> None:
    client = stage.client()
    client.says(prepare(READ))
    stage.one.hears(prepare(READ)).says(prepared(41, columns=1, params=1)).breaks()
    client.hears(prepared(1, columns=1, params=1))
    stage.one.comes_up()
    client.says(execute(1, 5))
    stage.one.hears(prepare(READ)).says(error(1146))
    client.hears(error(1146))
    client.runs(stage.one, "SHOW WARNINGS", rows("no such table"))


def test_where_it_is_not_prepared_ahead_the_error_is_asked_for_in_the_sessions_own_state(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    has_prepared(stage, client, READ, there=41).breaks()
    stage.one.comes_up()
    client.says("SET sql_mode=''")
    stage.one.hears("SET sql_mode='ANSI'").says(ok())
    stage.one.hears("SET sql_mode=''").says(ok())
    client.hears(ok())
    client.says(execute(1, 5))
    stage.one.hears("SET sql_mode='ANSI'").says(ok())
    stage.one.hears(prepare(READ)).says(error(1146))
    stage.one.hears("SET sql_mode=''").says(ok())
    client.hears(error(1146))
    client.runs(stage.one, "SHOW WARNINGS", rows("no such table"))


def test_it_is_prepared_in_the_schema_that_the_client_prepared_it_in(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    client.says(prepare(READ))
    link = stage.one.hears(prepare(READ)).says(prepared(41, columns=1, params=1))
    client.hears(prepared(1, columns=1, params=1))
    client.runs(stage.one, "USE other", ok())
    link.breaks()
    stage.one.comes_up()
    client.says(execute(1, 5))
    stage.one.hears(command(0x02, b"app")).says(ok())
    stage.one.hears(prepare(READ)).says(prepared(3, columns=1, params=1))
    stage.one.hears(command(0x02, b"other")).says(ok())
    stage.one.hears(execute(3, 5)).says(rows("5"))
    client.hears(rows("5"))


def test_preparing_begins_no_transaction(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", prepare(WRITE))
    client.hears(ok(TRANS))
    stage.one.hears(prepare(WRITE)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1, status=TRANS))  # as far as the client knows, it has begun
    assert not stage.one.pool.leased
    client.says("ROLLBACK")
    client.hears(ok())


def test_an_execution_opens_a_transaction_in_one_write(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    client.says("BEGIN", execute(1, 5))
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, execute(41, 5)).says(ok(TRANS), rows("5", status=TRANS))
    client.hears(rows("5", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())


def test_on_a_guarded_backend_that_lacks_it_the_transaction_is_open_before_it_is_prepared(stage: Stage) -> None:
    """A read-only session does not even prepare a write."""
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41).breaks()
    stage.one.comes_up()
    client.says("BEGIN", execute(1, 5))
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(prepare(WRITE)).says(prepared(7, params=1))
    stage.one.hears(execute(7, 5)).says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize("sql", ["BEGIN", "START TRANSACTION"])
def test_a_prepared_begin_is_a_begin(stage: Stage, sql: str) -> None:
    client = stage.client()
    client.says(prepare(sql))
    stage.one.hears(prepare(sql)).says(prepared(41))
    client.hears(prepared(1))
    client.says(execute(1))
    client.hears(ok(TRANS))
    client.says("ROLLBACK")
    client.hears(ok())


def test_an_open_cursor_pins(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    head = Server(0).columns(1, 0x42).sent
    client.says(execute(1, 5, cursor=1))
    link = stage.one.hears(execute(41, 5, cursor=1)).says(head)
    client.hears(head)
    assert client.session.relay.pinned == "open_cursor"
    fetched = Server(0).binary_row(b"1").eof(0x82).sent
    client.says(fetch(1))
    assert stage.one.hears(fetch(41)).says(fetched) is link
    client.hears(fetched)
    assert client.session.relay.pinned is None  # that was the last row
    client.says(on(COM_STMT_RESET, 1))
    client.hears(ok())


@pytest.mark.parametrize("end", ["reset", "close", "again"])
def test_a_cursor_that_is_closed_pins_no_more(stage: Stage, end: str) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    head = Server(0).columns(1, 0x42).sent
    client.says(execute(1, 5, cursor=1))
    stage.one.hears(execute(41, 5, cursor=1)).says(head)
    client.hears(head)
    if end == "reset":
        client.says(on(COM_STMT_RESET, 1))
        stage.one.hears(on(COM_STMT_RESET, 41)).says(ok())
        client.hears(ok())
    elif end == "close":
        client.says(on(COM_STMT_CLOSE, 1))
        stage.one.hears(on(COM_STMT_RESET, 41)).says(ok())
    else:
        client.says(execute(1, 5))
        stage.one.hears(execute(41, 5)).says(rows("1"))
        client.hears(rows("1"))
    assert client.session.relay.pinned is None
    assert not stage.one.pool.leased
    other = stage.client()
    other.runs(stage.one, "SELECT 1", rows("1"))


def test_a_cursor_that_the_server_did_not_open_pins_nothing(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, WRITE, there=41)
    client.says(execute(1, 5, cursor=1))
    stage.one.hears(execute(41, 5, cursor=1)).says(ok(rows=1))
    client.hears(ok(rows=1))
    assert client.session.relay.pinned is None


def test_a_client_has_so_many_statements(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_PREPARED", 1)
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    client.says(prepare(WRITE))
    client.hears_error(1461, "42000")


def test_a_backend_keeps_so_many_statements_and_closes_the_oldest(stage: Stage) -> None:
    client = stage.client()
    for number in range(PER_BACKEND):
        client.says(prepare(f"SELECT {number}"))
        stage.one.hears(prepare(f"SELECT {number}")).says(prepared(1000 + number, columns=1))
        client.hears(prepared(number + 1, columns=1))
    client.says(prepare("SELECT 'one more'"))
    stage.one.hears(prepare("SELECT 'one more'")).says(prepared(2000, columns=1))
    stage.one.hears(on(COM_STMT_CLOSE, 1000))
    client.hears(prepared(PER_BACKEND + 1, columns=1))
    client.says(execute(1))
    stage.one.hears(prepare("SELECT 0")).says(prepared(2001, columns=1))
    stage.one.hears(on(COM_STMT_CLOSE, 1001))
    stage.one.hears(execute(2001)).says(rows("0"))
    client.hears(rows("0"))


def test_the_time_between_prepare_and_execution_is_not_the_transactions(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, READ, there=41)
    stage.passes(20)
    client.says(execute(1, 0))
    stage.one.hears(execute(41, 0)).says(rows("1"))
    client.hears(rows("1"))
    (seconds,) = (each for each in stage.service.metrics.transaction_seconds.values() if each.count)
    assert (seconds.count, seconds.sum) == (1, 0.0)


def test_what_a_reset_would_undo_is_not_prepared_ahead_of_it(stage: Stage) -> None:
    """Galera's nodes cannot be made to wait any more after a reset: no backend would ever do."""
    client = stage.client()
    client.runs(stage.one, "SET character_set_results=latin1", ok())
    has_prepared(stage, client, READ, there=41)
    client.runs(stage.one, "SET NAMES utf8mb4", ok())
    client.runs(stage.one, "INSERT INTO t (c) VALUES (1)", ok(rows=1))
    stage.two.comes_up()
    stage.one.goes_down()
    client.says(execute(1, 5))
    stage.two.hears("SET NAMES 'utf8mb4'").says(ok())
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(prepare(READ)).says(prepared(7, columns=1, params=1))
    stage.two.hears(execute(7, 5)).says(rows("5"))
    client.hears(rows("5"))


def test_none_is_prepared_to_be_reset_by_a_session_that_is_pinned(stage: Stage) -> None:
    """That would read its tables, and MariaDB would forget the warnings that the client may ask for."""
    client = stage.client()
    has_prepared(stage, client, READ, there=41).breaks()
    stage.one.comes_up()
    client.runs(stage.one, "SELECT GET_LOCK('a', 0)", rows("1", warnings=1))
    client.says(on(COM_STMT_RESET, 1))
    stage.one.hears(command(COM_PING)).says(ok())
    client.hears(ok())
    client.runs(stage.one, "SHOW WARNINGS", rows("careful"))


@pytest.mark.parametrize("sql", ["BEGIN", "COMMIT", "SET TRANSACTION READ ONLY"])
def test_what_is_answered_without_a_node_goes_to_one_with_a_parameter_that_it_has_not(stage: Stage, sql: str) -> None:
    client = stage.client()
    client.says(prepare(sql))
    stage.one.hears(prepare(sql)).says(prepared(41))
    client.hears(prepared(1))
    client.says(long_data(1, b"for nobody"), execute(1))
    stage.one.hears(prepare(sql)).says(prepared(42))
    stage.one.hears(long_data(42, b"for nobody"), execute(42)).says(error(1210))
    client.hears_error(1210)


def test_a_report_that_waits_for_an_ok_binds_until_it_has_come(stage: Stage) -> None:
    """The server went to the statement's schema and back; an error has no room for telling so."""
    client = stage.client(capabilities=CAPABILITIES | CLIENT_SESSION_TRACK)
    has_prepared(stage, client, READ, there=41)
    client.says("USE other")
    stage.one.hears("USE other").says(ok())
    client.hears(ok())
    client.says(execute(1, 5))
    stage.one.hears(execute(41, 5)).says(error(1365))
    client.hears(error(1365))
    assert client.session.relay.pinned == "tracking"
    reported = frame(
        b"\0\0\0" + (AUTO | SERVER_SESSION_STATE_CHANGED).to_bytes(2, "little") + b"\0\0\0" + b"\x08\x01\x06\x05other",
        1,
    )
    client.runs(stage.one, "SET NAMES utf8mb4", reported)
    assert client.session.relay.pinned is None


@pytest.mark.parametrize("waits", [False, True])
def test_where_a_reset_would_keep_a_backend_from_waiting_nothing_is_prepared_ahead(build: Build, waits: bool) -> None:
    """What is refused there is asked about there, and a transaction could not begin behind it. `waits`: the backend
    does, up to the reset.
    """
    stage = build(pool=Pool(max_backends=1))
    client, other = stage.client(), stage.client()
    has_prepared(stage, client, READ, there=41)
    client.runs(stage.one, "DROP TABLE t", ok())
    other.runs(stage.one, "SET sql_mode='ANSI'", ok())
    if waits:
        other.runs(stage.one, WRITE, ok(rows=1))
    stage.two.comes_up()
    stage.one.goes_down()
    other.says(READ)
    if waits:
        stage.two.hears("SET sql_mode='ANSI'").says(ok())
        stage.two.hears(WAIT).says(ok())
        reset_to_be = stage.two.hears(READ).says(rows("1"))
    else:
        reset_to_be = stage.two.hears("SET sql_mode='ANSI'", READ).says(ok() + rows("1"))
    other.hears(rows("1"))
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(execute(1, 5))
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(WAIT).says(ok())
    link = stage.two.hears(OPENING).says(ok(TRANS))
    assert link is not reset_to_be
    stage.two.hears(prepare(READ)).says(error(1146))
    assert client.hears_error(1146)
    listing = rows("1146", status=TRANS)
    assert client.runs(stage.two, "SHOW WARNINGS", listing) is link


def test_behind_set_transaction_read_only_a_statement_is_prepared_where_nothing_may_be_written(stage: Stage) -> None:
    client = stage.client()
    client.says("SET TRANSACTION READ ONLY")
    client.hears(ok())
    client.says(prepare(WRITE))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(prepare(WRITE)).says(error(1792))
    assert client.hears_error(1792)


def test_whether_an_id_was_generated_is_told_by_the_table_of_the_schema_it_was_prepared_in(stage: Stage) -> None:
    stage.service.cluster.know(Catalog({Name("shop", "t"): Table(generated="id")}))
    client = stage.client()
    client.runs(stage.one, "USE shop", ok())
    has_prepared(stage, client, "INSERT INTO t (c) VALUES (?)", there=41)
    client.runs(stage.one, "USE other", ok())
    client.says(execute(1, 5))
    stage.one.hears(execute(41, 5)).says(ok(rows=1, insert_id=7))
    client.hears(ok(rows=1, insert_id=7))
    assert client.session.relay.insert_ids.settled
