"""SET with an expression: the node is asked for what it has left, and the session moves with that."""

import pytest

from tests.proxy.conftest import Build
from tests.proxy.scripted import CAPABILITIES, TRANS, Client, Link, Stage, error, ok, rows
from tests.proxy.test_holding import ONE, READ, RESET, reason
from tests.proxy.test_prepared import execute, has_prepared
from tests.wire.speaking import Server

ADDS = "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"
ASKS = "SELECT CAST(@@session.sql_mode AS BINARY) LIMIT 1"


def row(*values: str | None) -> bytes:
    """A result of one row, in as many columns."""
    fields = (None if value is None else value.encode() for value in values)
    return Server(CAPABILITIES).columns(len(values)).row(*fields).end().sent


def learns(stage: Stage, client: Client, said: str, asked: str, *told: str | None) -> Link:
    client.says(said)
    link = stage.one.hears(said).says(ok())
    client.hears_nothing()
    stage.one.hears(asked)
    link.says(row(*told))
    client.hears(ok())
    return link


def test_the_value_is_asked_for_and_carried(stage: Stage) -> None:
    client = stage.client()
    learns(stage, client, ADDS, ASKS, "STRICT_ALL_TABLES,ANSI_QUOTES").breaks()
    assert reason(client) is None
    stage.one.comes_up()
    client.says(READ)
    stage.one.hears("SET sql_mode='STRICT_ALL_TABLES,ANSI_QUOTES'", READ).says(ok() + rows("1"))
    client.hears(rows("1"))


def test_together_with_literals_in_the_order_of_the_statement(stage: Stage) -> None:
    client = stage.client()
    said = (
        "SET @a = 1, autocommit = 1 - 1, max_statement_time = @b, time_zone = '+01:00', "
        "character_set_results = @c, SESSION tx_isolation = @@GLOBAL.tx_isolation"
    )
    asked = (
        "SELECT CAST(@@session.autocommit AS BINARY),CAST(@@session.max_statement_time AS BINARY),"
        "CAST(@@session.character_set_results AS BINARY),CAST(@@session.tx_isolation AS BINARY) LIMIT 1"
    )
    learns(stage, client, said, asked, "OFF", "5.500000", None, "READ-COMMITTED").breaks()
    assert reason(client) is None
    stage.one.comes_up()
    client.says("SELECT 1")
    link = stage.one.hears(
        "SET autocommit=0,max_statement_time=5.500000,time_zone='+01:00',character_set_results=NULL",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET @`a`=1",
        "SELECT 1",
    )
    link.says(ok() + ok() + ok() + rows("1", status=0))
    client.hears(rows("1", status=0))
    link.breaks()


@pytest.mark.parametrize("told", ["it's", "a\\b", "grün", "\0a"])
def test_a_value_that_cannot_be_set_again_everywhere_pins(stage: Stage, told: str) -> None:
    client = stage.client()
    learns(stage, client, "SET lc_messages = @a", "SELECT CAST(@@session.lc_messages AS BINARY) LIMIT 1", told)
    assert reason(client) == "variable"
    client.vanishes()
    stage.one.hears(RESET).says(ok())


def test_a_refused_set_leaves_nothing_to_ask_for(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, ADDS, error(1231))
    assert reason(client) is None
    client.runs(stage.one, READ, rows("1"))


def test_a_refused_question_pins(stage: Stage) -> None:
    client = stage.client()
    client.says(ADDS)
    link = stage.one.hears(ADDS).says(ok())
    stage.one.hears(ASKS)
    link.says(error(1317))
    client.hears(ok())
    assert reason(client) == "variable"
    client.vanishes()
    stage.one.hears(RESET).says(ok())


def test_a_node_lost_before_it_has_answered_is_as_one_lost_before_the_ok(build: Build) -> None:
    stage = build(up=("one", "two"), pool=ONE)
    client = stage.client()
    client.says(ADDS)
    lost = stage.somewhere(ADDS).says(ok())
    assert stage.somewhere(ASKS) is lost
    lost.breaks()
    client.hears_nothing()
    again = stage.somewhere(ADDS).says(ok())
    assert again.node is not lost.node
    assert stage.somewhere(ASKS) is again
    again.says(row("ANSI_QUOTES"))
    client.hears(ok())
    assert reason(client) is None


def test_a_transaction_that_is_found_lost_then_is_lost_with_the_set(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "UPDATE t SET c = 1")
    client.says(ADDS)
    link = stage.one.hears("SET SESSION TRANSACTION READ WRITE").says(ok(TRANS))
    stage.one.hears(ADDS)
    link.says(ok(TRANS))
    stage.one.hears(ASKS)
    link.says(error(1213))
    client.hears_error(1213, "40001")
    assert link.closed
    assert reason(client) is None


def test_a_prepared_set_is_asked_for_each_time(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, "SET sql_select_limit = ?", there=4)
    for limit in (5, 6):
        client.says(execute(1, limit))
        link = stage.one.hears(execute(4, limit)).says(ok())
        stage.one.hears("SELECT CAST(@@session.sql_select_limit AS BINARY) LIMIT 1")
        link.says(row(str(limit)))
        client.hears(ok())
        assert reason(client) is None
    link.breaks()
    stage.one.comes_up()
    client.says(READ)
    stage.one.hears("SET sql_select_limit=6", READ).says(ok() + rows("1"))
    client.hears(rows("1"))


def test_a_set_asks_for_no_cursor_whatever_its_client_says(stage: Stage) -> None:
    client = stage.client()
    has_prepared(stage, client, "SET sql_select_limit = ?", there=4)
    client.says(execute(1, 5, cursor=1))
    link = stage.one.hears(execute(4, 5, cursor=1)).says(ok())
    stage.one.hears("SELECT CAST(@@session.sql_select_limit AS BINARY) LIMIT 1")
    link.says(row("5"))
    client.hears(ok())
    link.breaks()
    stage.one.comes_up()
    client.says(READ)
    stage.one.hears("SET sql_select_limit=5", READ).says(ok() + rows("1"))
    client.hears(rows("1"))
