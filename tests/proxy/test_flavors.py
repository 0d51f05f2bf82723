"""What the proxy does otherwise before a MySQL group: the rest is as before a Galera cluster, and tested there."""

import pytest

from proxy.connector import CHARSET
from router.causality import CONSISTENCY
from router.flavor import GROUP_REPLICATION
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, Client, Node, Stage, command, error, ok, prepared, rows
from tests.proxy.test_prepared import execute, prepare

CHARSET_QUERY = CHARSET.decode()
CHARSET_BACK = "SET character_set_client=latin1,character_set_results=latin1,collation_connection=latin1_swedish_ci"
RESET = "COM_RESET_CONNECTION"
WAIT = GROUP_REPLICATION.wait.on.decode()
PREPARE = command(0x16, b"SELECT a FROM t")
DO_NOT_WAIT = GROUP_REPLICATION.wait.off.decode()
FENCE = GROUP_REPLICATION.wait.fence.decode()


def begin(build: Build, **settings: object) -> tuple[Stage, Client]:
    stage = build(flavor="group-replication", **settings)
    return stage, stage.client()


def first_of(client: Client, node: Node, sql: str, reply: bytes) -> None:
    """A statement that needs a new connection."""
    client.says(sql)
    node.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    node.hears(sql).says(reply)
    client.hears(reply)


def test_the_character_set_of_the_login_is_asked_for_once(build: Build) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "SELECT a FROM t", rows("1"))
    other = stage.client()
    client.says("SELECT SLEEP(1)")
    slow = stage.one.hears("SELECT SLEEP(1)")
    assert other.runs(stage.one, "SELECT b FROM t", rows("2")) is not slow
    slow.says(rows("0"))
    client.hears(rows("0"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT f()",
        "SELECT a FROM performance_schema.t",
        "SHOW TABLES",
        "SET @a = (SELECT MAX(a) FROM t)",
        PREPARE,
    ],
)
def test_what_a_group_would_run_without_waiting_is_not_sent_before_something_has_waited(
    build: Build, statement: str | bytes
) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "INSERT INTO t VALUES (1)", ok(rows=1))
    stage.two.comes_up()
    stage.one.goes_down()
    client.says(statement)
    stage.two.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(CONSISTENCY.just.decode()).says(rows("1"))
    if statement is not PREPARE:  # which leaves what may be asked about the statement before
        stage.two.hears(DO_NOT_WAIT).says(ok())
    stage.two.hears(statement).says(error(1146))
    client.hears_error(1146)


def test_ddl_waits_for_the_group_on_both_sides(build: Build) -> None:
    stage, client = begin(build)
    client.says("CREATE TABLE x (a INT)")
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    link = stage.one.hears(FENCE).says(ok())
    assert stage.one.hears("CREATE TABLE x (a INT)").says(ok()) is link
    client.hears(ok())
    client.says("SELECT a FROM t")
    assert stage.one.hears(DO_NOT_WAIT).says(ok()) is link
    assert stage.one.hears("SELECT a FROM t").says(rows("1")) is link
    client.hears(rows("1"))
    assert client.runs(stage.one, "CREATE TEMPORARY TABLE y (a INT)", ok()) is link


def test_who_waits_for_all_reads_behind_ddl_as_ever_and_does_not_commit_at_all_members(build: Build) -> None:
    stage, client = begin(build, endpoint={"causality": "strong"})
    client.says("CREATE TABLE x (a INT)")
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.one.hears(FENCE).says(ok())
    stage.one.hears("CREATE TABLE x (a INT)").says(ok())
    client.hears(ok())
    client.says("INSERT INTO t VALUES (1)")
    stage.one.hears(WAIT).says(ok())
    stage.one.hears("INSERT INTO t VALUES (1)").says(ok(rows=1))
    client.hears(ok(rows=1))


def test_within_a_transaction_nothing_can_be_made_to_wait(build: Build) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "SELECT a FROM t", rows("1"))
    link = client.begins(stage.one, "UPDATE t SET a = 1")
    client.says("DROP TABLE x")
    stage.one.hears("SET SESSION TRANSACTION READ WRITE").says(ok(TRANS))
    assert stage.one.hears("DROP TABLE x").says(ok()) is link
    client.hears(ok())


def test_a_reset_is_followed_by_the_character_set_of_the_login(build: Build) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "SET sql_mode='ANSI'", ok())
    client.vanishes()
    second = stage.client()
    second.says("SELECT a FROM t")
    stage.one.hears(RESET).says(ok())
    stage.one.hears(CHARSET_BACK).says(ok())
    stage.one.hears("SELECT a FROM t").says(rows("1"))
    second.hears(rows("1"))


def test_a_node_that_does_not_tell_its_character_set_is_an_error_at_once(build: Build) -> None:
    stage, client = begin(build)
    client.says("SELECT a FROM t")
    stage.one.hears(CHARSET_QUERY).says(error(1064))
    assert client.hears_error(1064).sqlstate == "42000"


def test_a_session_that_moves_after_a_write_waits_as_a_group_does(build: Build) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "INSERT INTO t VALUES (1)", ok(rows=1))
    stage.two.comes_up()
    stage.one.goes_down()
    client.says("SELECT a FROM t")
    stage.two.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.two.hears(WAIT).says(ok())
    stage.two.hears("SELECT a FROM t").says(rows("1"))
    client.hears(rows("1"))
    client.says("SELECT b FROM t")
    stage.two.hears(DO_NOT_WAIT)
    stage.two.hears("SELECT b FROM t").says(ok(), rows("2"))
    client.hears(rows("2"))


def test_what_is_asked_of_a_statement_is_asked_where_it_ran_with_nothing_between(build: Build) -> None:
    stage, client = begin(build)
    first_of(client, stage.one, "INSERT INTO t VALUES (1)", ok(rows=1))
    link = client.begins(stage.one, "UPDATE t SET a=1")
    client.runs(stage.one, "COMMIT", ok())
    # The transaction has left its backend guarded, and a read does not mind.
    assert client.runs(stage.one, "SELECT CAST('x' AS SIGNED)", rows("0", warnings=1)) is link
    assert client.runs(stage.one, "SHOW WARNINGS", rows("Truncated incorrect INTEGER value")) is link


def test_a_statement_prepared_before_a_table_was_changed_does_not_pass_for_one_prepared_since(build: Build) -> None:
    stage, client = begin(build, up=("two",))
    insert = prepare("INSERT INTO t VALUES (?)")
    client.says(insert)
    stage.two.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.two.hears(insert).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.vanishes()
    stage.one.comes_up()
    stage.two.goes_down()
    later = stage.client()
    later.says("ALTER TABLE t MODIFY a TEXT")
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.one.hears(FENCE).says(ok())
    stage.one.hears("ALTER TABLE t MODIFY a TEXT").says(ok())
    later.hears(ok())
    later.says(insert)
    stage.one.hears(insert).says(prepared(7, params=1))
    later.hears(prepared(1, params=1))
    stage.two.comes_up()
    stage.one.goes_down()
    later.says(execute(1, 5))
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(CONSISTENCY.just.decode()).says(rows("1"))
    stage.two.hears(insert).says(prepared(42, params=1))
    stage.two.hears(DO_NOT_WAIT)
    stage.two.hears(execute(42, 5)).says(ok(), ok(rows=1))
    later.hears(ok(rows=1))
