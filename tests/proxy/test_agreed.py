"""What a client and the nodes agree on beyond the usual: query attributes, bulk execution, statements prepared last."""

from collections.abc import Callable
from pathlib import Path

import proxy
from proxy.wire import constants as c
from proxy.wire.framing import frame
from router.catalog import Catalog, Name, Table
from tests.proxy.scripted import CAPABILITIES, GUARD, OPENING, TRANS, Stage, command, error, ok, prepared, rows
from tests.wire.speaking import Server

ATTRIBUTES = CAPABILITIES | c.CLIENT_QUERY_ATTRIBUTES
BULK = CAPABILITIES | c.MARIADB_CLIENT_STMT_BULK_OPERATIONS
READ = "SELECT c FROM t WHERE id = ?"
INSERT = "INSERT INTO t VALUES (?)"


def attributed(sql: str) -> bytes:
    """A COM_QUERY with one attribute: "n", a TINY of 5."""
    return command(c.COM_QUERY, b"\x01\x01\x00\x01\x01\x00\x01n\x05" + sql.encode())


def plain(sql: str) -> bytes:
    """A COM_QUERY that says that it has none."""
    return command(c.COM_QUERY, b"\x00\x01" + sql.encode())


def prepare(sql: str) -> bytes:
    return command(c.COM_STMT_PREPARE, sql.encode())


def bulk(statement: int, *values: int, types: bytes | None = b"\x08\x00", unit: bool = False) -> bytes:
    """Rows of one LONGLONG each."""
    flags = (c.SEND_TYPES_TO_SERVER if types else 0) | (c.SEND_UNIT_RESULTS if unit else 0)
    data = b"".join(b"\x00" + value.to_bytes(8, "little") for value in values)
    return command(
        c.COM_STMT_BULK_EXECUTE, statement.to_bytes(4, "little") + flags.to_bytes(2, "little") + (types or b"") + data
    )


# -- query attributes -------------------------------------------------------------------------------------------------


def test_a_text_goes_to_the_node_with_its_attributes(stage: Stage) -> None:
    client = stage.client(capabilities=ATTRIBUTES)
    said = attributed("SELECT c FROM t")
    client.says(said)
    stage.one.hears(said).says(rows("1"))
    client.hears(rows("1"))


def test_what_the_proxy_says_itself_has_none(stage: Stage) -> None:
    client = stage.client(capabilities=ATTRIBUTES)
    client.says(attributed("BEGIN"))
    client.hears(ok(TRANS))
    said = attributed("UPDATE t SET c = 1")
    client.says(said)
    stage.one.hears(plain(GUARD)).says(ok())
    stage.one.hears(plain(OPENING), said).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.says(plain("COMMIT"))
    stage.one.hears(plain("COMMIT")).says(ok())
    client.hears(ok())


def test_nobody_writes_a_text_for_a_node_without_asking_its_profile() -> None:
    """One that does not say that it has no attributes would have its first bytes taken for them."""
    for path in Path(proxy.__file__).parent.glob("*.py"):
        assert "bytes((COM_QUERY,))" not in path.read_text(), path.name


def test_the_text_is_read_behind_its_attributes(stage: Stage) -> None:
    """It pins, as it would without them."""
    client = stage.client(capabilities=ATTRIBUTES)
    said = attributed("HANDLER t OPEN")
    client.says(said)
    stage.one.hears(said).says(ok())
    client.hears(ok())
    assert client.session.relay.pinned == "handler"
    client.says(attributed("KILL 99"))
    client.hears_error(1094)


def test_an_execution_goes_with_its_attributes_and_gets_its_types(stage: Stage) -> None:
    client = stage.client(capabilities=ATTRIBUTES)
    client.says(prepare(READ))
    stage.one.hears(prepare(READ)).says(prepared(41, columns=1, params=1))
    client.hears(prepared(1, columns=1, params=1))
    named = b"\x08\x00\x00\x01\x00\x01n"

    def execute(statement: int, types: bytes) -> bytes:
        head = statement.to_bytes(4, "little") + b"\x08\x01\x00\x00\x00\x02\x00"
        return command(c.COM_STMT_EXECUTE, head + types + (7).to_bytes(8, "little") + b"\x05")

    client.says(execute(1, b"\x01" + named))
    link = stage.one.hears(execute(41, b"\x01" + named))
    link.says(ok())
    client.hears(ok())
    link.breaks()
    stage.one.comes_up()
    client.says(execute(1, b"\x00"))
    stage.one.hears(prepare(READ)).says(prepared(5, columns=1, params=1))
    stage.one.hears(execute(5, b"\x01" + named)).says(ok())
    client.hears(ok())


def test_a_text_that_ends_within_its_attributes_ends_the_connection(stage: Stage) -> None:
    client = stage.client(capabilities=ATTRIBUTES)
    client.says(command(c.COM_QUERY, b"\x01\x01\x00\x01\x01\x00"))
    client.hears_error(1835)
    assert client.closed


def test_without_the_capability_there_is_nothing_in_front_of_a_text(stage: Stage) -> None:
    client = stage.client()
    client.says(attributed("SET @a = 1"))
    stage.one.hears(attributed("SET @a = 1")).says(error(1064))
    client.hears_error(1064)


# -- bulk execution ---------------------------------------------------------------------------------------------------


def test_a_bulk_execution_is_one_command(stage: Stage) -> None:
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT))
    stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(bulk(1, 5, 6, 7))
    stage.one.hears(bulk(41, 5, 6, 7)).says(ok(rows=3))
    client.hears(ok(rows=3))
    assert client.session.relay.pinned is None


def test_whether_a_bulk_execution_gave_its_ids_is_for_the_node_to_say(stage: Stage) -> None:
    stage.service.cluster.know(Catalog({Name("", "t"): Table(generated="id")}))
    client = stage.client(capabilities=BULK)
    sql = "INSERT INTO t (c) VALUES (?)"
    client.says(prepare(sql))
    stage.one.hears(prepare(sql)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(bulk(1, 5))
    stage.one.hears(bulk(41, 5)).says(ok(rows=1, insert_id=7))
    client.hears(ok(rows=1, insert_id=7))
    assert not client.session.relay.insert_ids.settled


def test_a_bulk_execution_gets_its_types_on_another_connection(stage: Stage) -> None:
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT))
    link = stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(bulk(1, 5))
    stage.one.hears(bulk(41, 5)).says(ok(rows=1))
    client.hears(ok(rows=1))
    link.breaks()
    stage.one.comes_up()
    client.says(bulk(1, 6, types=None))
    stage.one.hears(prepare(INSERT)).says(prepared(3, params=1))
    stage.one.hears(bulk(3, 6)).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_ids_told_row_by_row_keep_the_session_where_they_are_known(stage: Stage) -> None:
    client = stage.client(capabilities=BULK | c.MARIADB_CLIENT_BULK_UNIT_RESULTS)
    client.says(prepare(INSERT))
    stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(bulk(1, 5, 6, unit=True))
    reply = Server(CAPABILITIES).columns(2).binary_row(b"1", b"1").binary_row(b"2", b"1").end().sent
    stage.one.hears(bulk(41, 5, 6, unit=True)).says(reply)
    client.hears(reply)
    assert client.session.relay.pinned == "last_insert_id"


def test_a_bulk_execution_is_run_again_with_its_transaction(build: Callable[..., Stage]) -> None:
    stage = build(up=("one", "two"))
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT))
    stage.somewhere(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says("BEGIN", bulk(1, 5, 6))
    stage.somewhere(GUARD).says(ok())
    stage.somewhere(OPENING, bulk(41, 5, 6)).says(ok(TRANS), ok(TRANS, rows=2))
    client.hears(ok(TRANS), ok(TRANS, rows=2))
    assert len(client.session.relay.journal) == 1
    client.says("ROLLBACK")
    stage.somewhere("ROLLBACK").says(ok())
    client.hears(ok())


def test_without_the_capability_it_is_unknown(stage: Stage) -> None:
    client = stage.client()
    client.says(bulk(1, 5))
    client.hears_error(1047)


# -- the statement prepared last --------------------------------------------------------------------------------------

LAST = 0xFFFFFFFF


def test_a_client_may_send_prepare_and_execution_in_one_go(stage: Stage) -> None:
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT), bulk(LAST, 5))
    stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    stage.one.hears(bulk(41, 5)).says(ok(rows=1))
    client.hears(prepared(1, params=1), ok(rows=1))


def test_behind_a_refused_prepare_there_is_no_last_one(stage: Stage) -> None:
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT))
    stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(prepare("SELEC"), bulk(LAST, 5))
    stage.one.hears(prepare("SELEC")).says(error(1064))
    heard = bytes(client.received)
    client.received.clear()
    assert heard.startswith(error(1064))
    assert b"4294967295" in heard[len(error(1064)) :]


def test_the_last_one_can_be_closed_by_that_name(stage: Stage) -> None:
    client = stage.client(capabilities=BULK)
    client.says(prepare(INSERT), frame(bytes((c.COM_STMT_CLOSE,)) + LAST.to_bytes(4, "little")))
    stage.one.hears(prepare(INSERT)).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    assert len(client.session.relay.prepared) == 0
