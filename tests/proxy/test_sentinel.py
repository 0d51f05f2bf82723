"""Transactions with savepoints before a MySQL group, whose members hide behind SAVEPOINT that one was undone."""

import pytest

from proxy.sentinel import NAME, USE
from tests.proxy.conftest import Build
from tests.proxy.scripted import GUARD, MANUAL, MANUAL_TRANS, OPENING, TRANS, Client, Link, Stage, error, ok, rows
from tests.proxy.test_flavors import CHARSET_BACK, CHARSET_QUERY, RESET

SENTINEL = f"SAVEPOINT {NAME.decode()}"
USES_ENGINE = USE.decode()
WHOLE = f"RELEASE SAVEPOINT {NAME.decode()}"
UPDATE = "UPDATE t SET a = a + 1 WHERE id = 1"
READ = "SELECT a FROM t WHERE id = 1"
GONE = error(1030, "Got error 153 - 'No savepoint with that name' from storage engine")


@pytest.fixture
def before_group(build: Build) -> tuple[Stage, Client]:
    stage = build(flavor="group-replication")
    return stage, stage.client()


def begin_with_savepoint(stage: Stage, client: Client) -> Link:
    """BEGIN, SAVEPOINT s, UPDATE: the sentinel comes first of all."""
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says("SAVEPOINT s")
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(USES_ENGINE).says(ok(TRANS))
    stage.one.hears(SENTINEL).says(ok(TRANS))
    stage.one.hears("SAVEPOINT s").says(ok(TRANS))
    client.hears(ok(TRANS))
    return client.runs(stage.one, UPDATE, ok(TRANS, rows=1))


def begin_and_write(stage: Stage, client: Client) -> Link:
    """BEGIN, UPDATE, as a session does that has not used savepoints yet."""
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(UPDATE)
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.one.hears(GUARD).says(ok())
    link = stage.one.hears(OPENING, UPDATE).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    return link


def test_commit_waits_for_the_sentinel(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_with_savepoint(stage, client)
    client.says("COMMIT")
    stage.one.hears(WHOLE).says(ok(TRANS))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


def test_a_sentinel_that_is_gone_has_the_transaction_run_again(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_with_savepoint(stage, client)
    client.says("COMMIT")
    stage.one.hears(WHOLE).says(GONE)
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    stage.one.hears(RESET).says(ok())
    stage.one.hears(CHARSET_BACK).says(ok())
    stage.clock.passes(1)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(USES_ENGINE).says(ok(TRANS))
    stage.one.hears(SENTINEL).says(ok(TRANS))
    stage.one.hears("SAVEPOINT s").says(ok(TRANS))
    stage.one.hears(UPDATE).says(ok(TRANS, rows=1))
    stage.one.hears(WHOLE).says(ok(TRANS))
    client.hears_nothing()
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())
    assert sum(stage.service.metrics.conflicts.values()) == 1


def test_a_first_savepoint_behind_a_write_begins_again_with_a_sentinel(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_and_write(stage, client)
    client.says("SAVEPOINT s")
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    stage.one.hears(RESET).says(ok())
    stage.one.hears(CHARSET_BACK).says(ok())
    stage.clock.passes(1)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(USES_ENGINE).says(ok(TRANS))
    stage.one.hears(SENTINEL).says(ok(TRANS))
    stage.one.hears(UPDATE).says(ok(TRANS, rows=1))
    client.hears_nothing()
    stage.one.hears("SAVEPOINT s").says(ok(TRANS))
    client.hears(ok(TRANS))
    assert not stage.service.metrics.conflicts
    client.runs(stage.one, "ROLLBACK", ok())  # which needs no sentinel


def test_one_that_cannot_be_run_again_is_rolled_back_and_the_client_told_so(
    before_group: tuple[Stage, Client],
) -> None:
    stage, client = before_group
    begin_and_write(stage, client)
    client.runs(stage.one, "INSERT INTO t VALUES (UUID())", ok(TRANS, rows=1))
    client.says("SAVEPOINT s")
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    stage.one.hears(RESET).says(ok())
    stage.one.hears(CHARSET_BACK).says(ok())
    client.hears_error(1213, "40001")
    # From now on it has one in time.
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(UPDATE)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(USES_ENGINE).says(ok(TRANS))
    stage.one.hears(SENTINEL).says(ok(TRANS))
    stage.one.hears(UPDATE).says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.runs(stage.one, "SAVEPOINT s", ok(TRANS))
    client.runs(stage.one, "ROLLBACK", ok())


def test_with_autocommit_off_it_comes_ahead_of_the_first_write(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    client.says("SET autocommit = 0")
    stage.one.hears(CHARSET_QUERY).says(rows(CHARSET_BACK))
    stage.one.hears("SET autocommit = 0").says(ok(MANUAL))
    client.hears(ok(MANUAL))
    client.runs(stage.one, READ, rows("1", status=MANUAL_TRANS))
    client.says("SAVEPOINT s")
    stage.one.hears(USES_ENGINE).says(ok(MANUAL_TRANS))
    stage.one.hears(SENTINEL).says(ok(MANUAL_TRANS))
    stage.one.hears("SAVEPOINT s").says(ok(MANUAL_TRANS))
    client.hears(ok(MANUAL_TRANS))
    client.runs(stage.one, "COMMIT", ok(MANUAL))  # nothing was written
    client.says(UPDATE)
    stage.one.hears(USES_ENGINE).says(ok(MANUAL))
    stage.one.hears(SENTINEL).says(ok(MANUAL))
    stage.one.hears(UPDATE).says(ok(MANUAL_TRANS, rows=1))
    client.hears(ok(MANUAL_TRANS, rows=1))
    client.says("CREATE TABLE u (a INT)")  # commits as well
    stage.one.hears(WHOLE).says(ok(MANUAL_TRANS))
    stage.one.hears("CREATE TABLE u (a INT)").says(ok(MANUAL))
    client.hears(ok(MANUAL))


def test_behind_a_chain_the_next_transaction_gets_its_own(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_with_savepoint(stage, client)
    client.runs(stage.one, "ROLLBACK AND CHAIN", ok(TRANS))
    client.says(UPDATE)
    stage.one.hears(USES_ENGINE).says(ok(TRANS))
    stage.one.hears(SENTINEL).says(ok(TRANS))
    stage.one.hears(UPDATE).says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.runs(stage.one, "ROLLBACK", ok())


def test_reads_and_single_statements_go_without(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_with_savepoint(stage, client)
    client.runs(stage.one, "ROLLBACK", ok())
    client.runs(stage.one, UPDATE, ok(rows=1))
    client.runs(stage.one, "SAVEPOINT s", ok())
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(READ)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, READ).says(ok(TRANS), rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())


def test_galera_says_itself_that_a_transaction_was_undone(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, UPDATE)
    client.runs(stage.one, "SAVEPOINT s", ok(TRANS))
    client.runs(stage.one, "COMMIT", ok())


def test_a_session_that_was_reset_has_forgotten_that_it_uses_savepoints(before_group: tuple[Stage, Client]) -> None:
    stage, client = before_group
    begin_with_savepoint(stage, client)
    relay = client.session.relay
    assert relay.savepoints
    stage.clock.does(relay.reset)
    stage.one.hears(RESET).says(ok())
    stage.one.hears(CHARSET_BACK).says(ok())
    assert not relay.savepoints
