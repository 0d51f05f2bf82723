"""What a session leaves at its backend: carried along where its value is known, pinned otherwise, and free again when
it has ended.
"""

import pytest

from config import Pool
from proxy.holding import text_value, with_value
from proxy.wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_PROTOCOL_41, COM_RESET_CONNECTION
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, Client, Stage, command, error, ok, prepared, rows
from tests.proxy.test_prepared import execute, prepare
from tests.wire.speaking import Server

READ = "SELECT c FROM t"
RESET = command(COM_RESET_CONNECTION)
ONE = Pool(max_backends=1)


def reason(client: Client) -> str | None:
    return client.session.relay.pinned


def pinned_now(stage: Stage) -> dict[str, int]:
    return {why: count for why, count in stage.service.metrics.pinned_now.items() if count}


# -- user variables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "system", "user"),
    [
        pytest.param("SET @a = 1, @B = 'x', sql_notes = 0", "SET sql_notes=0", "SET @`a`=1,@`b`='x'", id="one SET"),
        pytest.param(
            "SET @a = 1; SET time_zone = '+01:00'; SET @a = 2", "SET time_zone='+01:00'", "SET @`a`=2", id="several"
        ),
    ],
)
def test_a_user_variable_with_a_known_value_is_carried_along(stage: Stage, text: str, system: str, user: str) -> None:
    client = stage.client()
    client.runs(stage.one, text, ok()).breaks()
    assert reason(client) is None
    stage.one.comes_up()
    client.says("SELECT @a")
    stage.one.hears(system, user, "SELECT @a").says(ok() + ok() + rows("1"))
    client.hears(rows("1"))


def test_no_other_session_sees_it(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET @a = 1", ok())
    other.says("SELECT @a")
    stage.one.hears(RESET).says(ok())
    stage.one.hears("SELECT @a").says(rows(""))
    other.hears(rows(""))
    client.says("SELECT @a")
    stage.one.hears("SET @`a`=1", "SELECT @a").says(ok() + rows("1"))
    client.hears(rows("1"))


def test_how_far_several_statements_came_is_not_known_where_one_has_failed(stage: Stage) -> None:
    client = stage.client()
    client.says("SET @a = 1; SET time_zone = 'nonsense'")
    stage.one.hears("SET @a = 1; SET time_zone = 'nonsense'").says(error(1298))
    assert client.hears_error(1298)
    assert reason(client) == "variable"


def test_null_keeps_the_type_that_it_had(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = 1", ok())
    client.runs(stage.one, "SET @a = NULL", ok())
    client.runs(stage.one, "SET @b = NULL", ok()).breaks()
    stage.one.comes_up()
    client.says(READ)
    stage.one.hears("SET @`a`=1,@`a`=NULL,@`b`=NULL", READ).says(ok() + rows("1"))
    client.hears(rows("1"))


def test_a_value_that_is_not_known_pins_until_a_known_one_is_set(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = NOW(), time_zone = '+01:00'", ok())
    client.runs(stage.one, "SELECT 1 INTO @b", ok())
    assert reason(client) == "user_variable"
    assert pinned_now(stage) == {"user_variable": 1}
    client.runs(stage.one, "SET @a = NULL", ok())
    assert reason(client) == "user_variable"
    client.runs(stage.one, "SET @b = 2", ok()).breaks()
    assert reason(client) is None
    assert not pinned_now(stage)
    stage.one.comes_up()
    client.says(READ)
    stage.one.hears("SET time_zone='+01:00'", "SET @`a`=NULL,@`b`=2", READ).says(ok() + ok() + rows("1"))
    client.hears(rows("1"))


def test_a_string_pins_once_the_connections_collation_is_another(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = 'x'", ok())
    client.runs(stage.one, "SET NAMES latin1", ok())
    assert reason(client) == "user_variable"
    client.runs(stage.one, "SET @a = 'y'", ok())
    assert reason(client) is None
    client.runs(stage.one, "SET NAMES latin1", ok())
    assert reason(client) is None


def test_too_many_pin(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET " + ", ".join(f"@v{number} = 1" for number in range(64)), ok())
    assert reason(client) is None
    client.runs(stage.one, "SET @one_more = 1", ok())
    assert reason(client) == "user_variable"
    client.vanishes()
    stage.one.hears(RESET).says(ok())


def test_a_replay_begins_with_the_values_as_of_begin(build: Build) -> None:
    stage = build(up=("one", "two"), pool=ONE)
    client = stage.client()
    client.says("SET @a = 1")
    stage.somewhere("SET @a = 1").says(ok())
    client.hears(ok())
    client.says("BEGIN", "SET @a = 2")
    client.hears(ok(TRANS))
    lost = stage.somewhere("BEGIN").says(ok(TRANS))
    assert stage.somewhere("SET @a = 2").says(ok(TRANS)) is lost
    client.hears(ok(TRANS))
    client.says("UPDATE t SET c = @a")
    lost.node.hears("UPDATE t SET c = @a").says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    lost.node.goes_down()
    other = stage.two if lost.node is stage.one else stage.one
    other.hears("SET @`a`=1").says(ok())
    other.hears("SET SESSION wsrep_sync_wait=15").says(ok())
    other.hears("BEGIN").says(ok(TRANS))
    other.hears("SET @a = 2").says(ok(TRANS))
    other.hears("UPDATE t SET c = @a").says(ok(TRANS, rows=1))
    client.says("COMMIT")
    other.hears("COMMIT").says(ok())
    client.hears(ok())


def test_a_statement_is_not_prepared_again_for_another_value(stage: Stage) -> None:
    client = stage.client()
    client.says(prepare("SELECT @a"))
    stage.one.hears(prepare("SELECT @a")).says(prepared(41))
    client.hears(prepared(1))
    client.runs(stage.one, "SET @a = 1", ok())
    client.says(execute(1))
    stage.one.hears(execute(41)).says(rows("1"))
    client.hears(rows("1"))


# -- what ends --------------------------------------------------------------------------------------------------------

ENDS = [
    ("temporary_table", ("CREATE TEMPORARY TABLE a (c INT)", "CREATE TEMPORARY TABLE s.b (c INT)"),
     ("DROP TABLE nosuch, app.a", "DROP TEMPORARY TABLE s.b")),
    ("lock_tables", ("LOCK TABLES t WRITE",), ("UNLOCK TABLES",)),
    ("lock_tables", ("FLUSH TABLES WITH READ LOCK",), ("UNLOCK TABLES",)),
    ("handler", ("HANDLER t OPEN", "HANDLER t OPEN AS h"), ("HANDLER t CLOSE", "HANDLER h CLOSE")),
    ("xa", ("XA START 'x'", "XA END 'x'", "XA PREPARE 'x'"), ("XA COMMIT 'x'",)),
    ("xa", ("XA START 'x'", "XA END 'x'"), ("XA ROLLBACK 'x'",)),
    ("sql_prepare", ("PREPARE s FROM 'SELECT 1'",), ("DEALLOCATE PREPARE s",)),
    ("get_lock", ("DO GET_LOCK('a', 1)",), ("DO RELEASE_ALL_LOCKS()",)),
    ("role", ("SET ROLE clerk",), ("SET ROLE DEFAULT",)),
]  # fmt: skip


@pytest.mark.parametrize(("why", "begins", "ends"), ENDS)
def test_a_session_is_free_again_when_all_has_ended(
    stage: Stage, why: str, begins: tuple[str, ...], ends: tuple[str, ...]
) -> None:
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    for text in begins:
        client.runs(stage.one, text, ok())
        assert reason(client) == why
    assert pinned_now(stage) == {why: 1}
    for text in ends:
        assert reason(client) == why
        client.runs(stage.one, text, ok())
    assert reason(client) is None
    assert not pinned_now(stage)
    assert not stage.one.pool.leased


@pytest.mark.parametrize(
    ("begins", "does_not_end", "schema"),
    [
        ("CREATE TEMPORARY TABLE a (c INT)", ("ALTER TABLE a RENAME b", "DROP TABLE a"), "app"),
        ("CREATE TEMPORARY TABLE a (c INT)", ("USE other", "DROP TABLE a"), "other"),
        ("CREATE TEMPORARY TABLE A (c INT)", ("DROP TABLE a",), "app"),
        ("PREPARE s FROM 'SET @a = 1'", ("DEALLOCATE PREPARE s",), None),
        ("SELECT @a := 1, @b := 2", ("SET @a = 1",), "app"),
        ("HANDLER t OPEN AS h", ("HANDLER t CLOSE",), "app"),
        ("SET profiling = 1", ("SET profiling = 0",), None),
    ],
)
def test_and_not_before(stage: Stage, begins: str, does_not_end: tuple[str, ...], schema: str | None) -> None:
    """`schema`: that the backend is known to be in."""
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    for text in (begins, *does_not_end):
        client.runs(stage.one, text, ok())
        assert reason(client) is not None
    client.vanishes()
    assert not pinned_now(stage)
    stage.one.hears(RESET).says(ok())
    if schema:
        stage.one.hears(f"COM_INIT_DB {schema}").says(ok())


def test_locks_count_by_what_was_answered(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SELECT GET_LOCK('a', 0)", rows("0"))
    assert reason(client) is None
    client.runs(stage.one, "SELECT GET_LOCK('a', 0)", rows("1"))
    client.runs(stage.one, "SELECT GET_LOCK('b', 0)", rows("1"))
    client.runs(stage.one, "SELECT RELEASE_LOCK('c')", rows("0"))
    client.runs(stage.one, "SELECT RELEASE_LOCK('a')", rows("1"))
    assert reason(client) == "get_lock"
    client.runs(stage.one, "SELECT RELEASE_LOCK('b')", rows("1"))
    assert reason(client) is None


@pytest.mark.parametrize("how", ["reset", "leaves"])
def test_a_reset_ends_everything(stage: Stage, how: str) -> None:
    client = stage.client()
    client.runs(stage.one, "CREATE TEMPORARY TABLE a (c INT)", ok())
    client.runs(stage.one, "SET @a = NOW()", ok())
    if how == "reset":
        client.says(RESET)
        client.hears(ok())
    else:
        client.vanishes()
    stage.one.hears(RESET).says(ok())
    assert reason(client) is None
    assert not pinned_now(stage)


def test_what_failed_may_have_left_something(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "CREATE TEMPORARY TABLE a SELECT 1 FROM t", error(1205))
    assert reason(client) == "temporary_table"
    client.runs(stage.one, "DROP TEMPORARY TABLE IF EXISTS a", ok(warnings=1))
    assert reason(client) is None


def test_a_pinned_session_is_never_reset_for_a_replay(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "CREATE TEMPORARY TABLE a (c INT)", ok())
    client.says("BEGIN", "SET sql_notes = 0")
    stage.one.hears("BEGIN").says(ok(TRANS))
    client.hears(ok(TRANS))
    stage.one.hears("SET sql_notes = 0").says(ok(TRANS))
    client.hears(ok(TRANS))
    client.says("UPDATE t SET c = 1")
    stage.one.hears("UPDATE t SET c = 1").says(error(1213))
    client.hears(error(1213))
    assert reason(client) == "temporary_table"
    assert stage.service.metrics.unreplayable == {"pinned": 1}
    client.vanishes()
    stage.one.hears(RESET).says(ok())


def test_a_pinned_session_outlives_a_replay_that_came_out_different(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "CREATE TEMPORARY TABLE a (c INT)", ok())
    client.says("BEGIN", READ)
    stage.one.hears("BEGIN").says(ok(TRANS))
    client.hears(ok(TRANS))
    stage.one.hears(READ).says(rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.says("UPDATE t SET c = 1")
    stage.one.hears("UPDATE t SET c = 1").says(error(1213))
    stage.passes(1)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(READ).says(rows("2", status=TRANS))
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    client.hears(error(1213))
    client.runs(stage.one, "DROP TEMPORARY TABLE a", ok())
    assert reason(client) is None


# -- CONNECTION_ID() --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["SELECT CONNECTION_ID()", "SELECT @@pseudo_thread_id AS id"])
def test_the_connection_id_is_the_clients_own(stage: Stage, text: str) -> None:
    stage.client()
    client = stage.client()
    client.says(text)
    stage.one.hears(text).says(rows("4711"))
    client.hears(rows("2"))


def test_also_of_a_prepared_statement(stage: Stage) -> None:
    stage.client()
    client = stage.client()
    text = "SELECT CONNECTION_ID()"
    client.says(prepare(text))
    stage.one.hears(prepare(text)).says(prepared(41, columns=1))
    client.hears(prepared(1, columns=1))
    client.says(execute(1))

    def reply(number: int) -> bytes:
        return Server(0).columns(1, 2).packet(b"\0\0" + number.to_bytes(8, "little")).end(2).sent

    stage.one.hears(execute(41)).says(reply(4711))
    client.hears(reply(2))


def test_a_replay_does_not_mind_that_the_nodes_is_another(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    client.says("SELECT CONNECTION_ID()")
    stage.one.hears("SELECT CONNECTION_ID()").says(rows("4711", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(error(1213))
    stage.passes(0.1)
    stage.one.hears("START TRANSACTION READ WRITE").says(ok(TRANS))
    stage.one.hears("INSERT INTO t (c) VALUES (1)").says(ok(TRANS, rows=1))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


@pytest.mark.parametrize("capabilities", [CLIENT_PROTOCOL_41, CLIENT_PROTOCOL_41 | CLIENT_DEPRECATE_EOF])
def test_values_of_replies(capabilities: int) -> None:
    def reply(*values: bytes) -> bytes:
        server = Server(capabilities).columns(1, 2)
        for value in values:
            server.row(value)
        return server.end(2).sent

    assert text_value(reply(b"12345")) == b"12345"
    assert text_value(reply()) is None
    assert text_value(ok()) is None
    assert with_value(reply(b"12345"), 7, binary=False) == reply(b"7")
    assert with_value(reply(), 7, binary=False) == reply()


# -- a SET TRANSACTION for the next transaction -----------------------------------------------------------------------


def test_whether_it_still_waits_behind_several_statements_only_their_backend_knows(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.says("SET TRANSACTION READ ONLY")
    client.hears(ok())
    client.says("SELECT nosuch; SELECT 1")
    stage.one.hears("SET TRANSACTION READ ONLY").says(ok())
    link = stage.one.hears("SELECT nosuch; SELECT 1").says(error(1054))
    assert client.hears_error(1054)
    assert client.runs(stage.one, "SELECT 1", rows("1")) is link
    assert reason(client) == "variable"
    assert client.runs(stage.one, "BEGIN", ok(TRANS)) is link
    assert client.runs(stage.one, READ, rows("1", status=TRANS)) is link
    assert client.runs(stage.one, "COMMIT", ok()) is link
    assert reason(client) is None
    assert other.runs(stage.one, "INSERT INTO t VALUES (1)", ok()) is link


def test_where_it_may_still_wait_the_backend_is_reset_for_the_next_session(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.says("SET TRANSACTION READ ONLY")
    client.hears(ok())
    client.says("SELECT 1; SELECT 2")
    stage.one.hears("SET TRANSACTION READ ONLY").says(ok())
    stage.one.hears("SELECT 1; SELECT 2").says(ok())
    client.hears(ok())
    assert reason(client) == "variable"
    client.vanishes()
    other.says("INSERT INTO t VALUES (1)")
    stage.one.hears(RESET).says(ok())
    stage.one.hears("INSERT INTO t VALUES (1)").says(ok())
    other.hears(ok())
