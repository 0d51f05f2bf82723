"""A step that we put ahead of a client's command can be the one that hears that the open transaction is gone."""

import pytest

from config import Replay
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, UNGUARD, Stage, command, error, ok, prepared, rows
from tests.proxy.test_prepared import execute, prepare

INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
SEES_GUARD = "SELECT @@tx_read_only"
CONFLICT = error(1213)
RESET = command(0x1F)


def test_the_transaction_is_run_again_before_the_command(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(SEES_GUARD)
    stage.one.hears(UNGUARD).says(CONFLICT)
    stage.one.hears(RESET).says(ok())
    stage.passes(0.1)
    # The unguarded backend hears the client's own BEGIN.
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    stage.one.hears(SEES_GUARD).says(rows("0", status=TRANS))
    client.hears(rows("0", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())
    assert stage.conflicts() == {("one:3306", "statement"): 1}
    assert stage.retries() == {("conflict", "ok"): 1}


def test_also_before_a_command_that_must_not_run_twice(stage: Stage) -> None:
    """It has not run yet."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("CREATE TABLE u (c INT)")
    stage.one.hears(UNGUARD).says(CONFLICT)
    stage.one.hears(RESET).says(ok())
    stage.passes(0.1)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    stage.one.hears("CREATE TABLE u (c INT)").says(ok())
    client.hears(ok())


def test_also_where_a_statement_has_to_be_prepared_first(stage: Stage) -> None:
    client = stage.client()
    client.says(prepare(UPDATE))
    has_it = stage.one.hears(prepare(UPDATE)).says(prepared(41))
    client.hears(prepared(1))
    has_it.breaks()
    stage.one.comes_up()
    link = client.begins(stage.one, INSERT)
    client.says(execute(1))
    assert stage.one.hears(prepare(UPDATE)).says(CONFLICT) is link
    stage.one.hears(RESET).says(ok())
    stage.passes(0.1)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    stage.one.hears(prepare(UPDATE)).says(prepared(51))
    stage.one.hears(execute(51)).says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))


def test_without_replay_the_client_gets_the_error_and_the_transaction_is_over(build: Build) -> None:
    stage = build(replay=Replay(enabled=False))
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(SEES_GUARD)
    stage.one.hears(UNGUARD).says(CONFLICT)
    client.hears_error(1213, "40001")
    stage.one.hears(RESET).says(ok())
    client.says("COMMIT")
    client.hears(ok())
    stage.quiet()


@pytest.mark.parametrize("code", [1146, 1317])
def test_an_error_that_leaves_the_transaction_open_is_the_clients(stage: Stage, code: int) -> None:
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.says(SEES_GUARD)
    assert stage.one.hears(UNGUARD).says(error(code)) is link
    client.hears_error(code)
    assert client.runs(stage.one, "COMMIT", ok()) is link
