"""What a client's commands become at a node: when a transaction begins there, on what backend, and who answers."""

from collections.abc import Callable

import pytest

from config import Pool
from proxy.wire.constants import COM_INIT_DB, COM_PING, COM_STATISTICS
from proxy.wire.framing import frame
from router.membership import NodeState
from tests.proxy.scripted import (
    AUTO,
    GUARD,
    MANUAL,
    MANUAL_TRANS,
    OPENING,
    READ_ONLY,
    TRANS,
    UNGUARD,
    Stage,
    command,
    error,
    ok,
    query,
    rows,
)

INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
READ = "SELECT c FROM t"
RESET = command(0x1F)

# -- a transaction begins late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    ["BEGIN", "begin work", "START TRANSACTION", "START TRANSACTION READ WRITE", "START TRANSACTION READ ONLY"],
)
def test_a_transaction_that_does_nothing_touches_no_node(stage: Stage, begin: str) -> None:
    client = stage.client()
    begun = ok(READ_ONLY if begin.endswith("ONLY") else TRANS)
    client.says(begin)
    client.hears(begun)
    client.says("COMMIT")
    client.hears(ok())
    client.says(begin, "ROLLBACK")
    client.hears(begun, ok())
    assert not stage.one.links


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_an_end_of_nothing_is_answered_without_a_node(stage: Stage, end: str) -> None:
    client = stage.client()
    client.says(end)
    client.hears(ok())
    assert not stage.one.links


@pytest.mark.parametrize("statement", [READ, INSERT, "DELETE FROM t"])
def test_the_first_statement_opens_it_in_one_write_on_a_guarded_backend(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(statement)
    # Confirmed before: when the BEGIN is refused, the statement behind it has to be, too.
    guard = stage.one.hears(GUARD)
    stage.quiet()
    guard.says(ok())
    stage.one.hears(OPENING, statement).says(ok(TRANS), ok(TRANS, rows=3))
    client.hears(ok(TRANS, rows=3))
    client.runs(stage.one, "COMMIT", ok())


def test_only_the_statements_own_reply_goes_to_the_client_however_it_is_cut(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    reply = rows("1", "2", status=TRANS)
    stage.one.hears(OPENING, READ).drips(ok(TRANS) + reply)
    client.hears(reply)
    client.runs(stage.one, "ROLLBACK", ok())


def test_a_guarded_backend_is_guarded_once(stage: Stage) -> None:
    client = stage.client()
    first = client.begins(stage.one, INSERT)
    client.runs(stage.one, "COMMIT", ok())
    client.says("BEGIN", UPDATE)
    client.hears(ok(TRANS))
    again = stage.one.hears(OPENING, UPDATE).says(ok(TRANS), ok(TRANS))
    client.hears(ok(TRANS))
    assert again is first
    client.runs(stage.one, "COMMIT", ok())


def test_a_read_only_transaction_is_opened_as_one(stage: Stage) -> None:
    client = stage.client()
    client.says("START TRANSACTION READ ONLY", READ)
    client.hears(ok(READ_ONLY))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears("START TRANSACTION READ ONLY", READ).says(ok(READ_ONLY), rows(status=READ_ONLY))
    client.hears(rows(status=READ_ONLY))
    client.runs(stage.one, "COMMIT", ok())


def test_a_snapshot_is_taken_when_the_client_asks_for_it(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "START TRANSACTION WITH CONSISTENT SNAPSHOT", ok(TRANS))
    client.runs(stage.one, READ, rows("1", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize(
    "statement",
    ["SHOW TABLES", "SET sql_mode='ANSI'", "SELECT @@tx_read_only", "SAVEPOINT a"],
)
def test_what_could_tell_that_nothing_has_begun_begins_it_for_real(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(statement)
    begin = stage.one.hears("BEGIN")
    stage.quiet()
    begin.says(ok(TRANS))
    stage.one.hears(statement).says(ok(TRANS))
    client.hears(ok(TRANS))
    client.runs(stage.one, "ROLLBACK", ok())


def test_ping_before_the_first_statement_needs_no_node(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", command(COM_PING))
    client.hears(ok(TRANS), ok(TRANS))
    assert not stage.one.links
    client.says("ROLLBACK")
    client.hears(ok())


def test_begin_twice_before_the_first_statement_is_one_transaction(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", "START TRANSACTION READ ONLY")
    client.hears(ok(TRANS), ok(READ_ONLY))
    client.says(READ)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears("START TRANSACTION READ ONLY", READ).says(ok(READ_ONLY), rows(status=READ_ONLY))
    client.hears(rows(status=READ_ONLY))
    client.runs(stage.one, "COMMIT", ok())


# -- the opening is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1205, 1213])
@pytest.mark.parametrize("statement", [INSERT, "INSERT INTO t (c) VALUES (UUID())"])
def test_an_opening_refused_for_a_moment_is_tried_again(stage: Stage, code: int, statement: str) -> None:
    """The statement behind it was refused, too: it could not write on a guarded backend. So it may even be one that
    must not run twice.
    """
    client = stage.client()
    client.says("BEGIN", statement)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    refused = stage.one.hears(OPENING, statement).says(error(code), error(1792))
    client.hears_nothing()
    assert refused.closed
    stage.passes(0.1)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, statement).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize("behind", [error(1792), ok(rows=1), rows("1", "2")])
def test_a_killed_opening_voids_the_reply_behind_it(stage: Stage, behind: bytes) -> None:
    """KILL is somebody's wish: not against it. What a read behind it returned was read outside any transaction."""
    client = stage.client()
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    link = stage.one.hears(OPENING, READ).says(error(1317), behind)
    client.hears(error(1317))
    assert link.closed


def test_after_a_refused_opening_the_transaction_has_still_to_begin(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(error(1317), error(1792))
    client.hears(error(1317))
    client.says(UPDATE)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, UPDATE).says(ok(TRANS), ok(TRANS))
    client.hears(ok(TRANS))
    client.runs(stage.one, "COMMIT", ok())


def test_the_first_statement_may_fail_without_ending_what_it_began(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    link = stage.one.hears(OPENING, INSERT).says(ok(TRANS), error(1062))
    client.hears(error(1062))
    assert client.runs(stage.one, UPDATE, ok(TRANS)) is link
    assert client.runs(stage.one, "COMMIT", ok()) is link


# -- within a transaction ---------------------------------------------------------------------------------------------


def test_a_transaction_keeps_its_backend_and_gives_it_back(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = client.begins(stage.one, INSERT)
    assert other.runs(stage.one, READ, rows("1")) is not link
    assert client.runs(stage.one, UPDATE, ok(TRANS)) is link
    assert client.runs(stage.one, "COMMIT", ok()) is link
    assert not stage.one.pool.leased


def test_begin_within_a_transaction_commits_it_and_begins_late(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("BEGIN")
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok(TRANS))
    assert not stage.one.pool.leased
    client.says("ROLLBACK")
    client.hears(ok())


def test_that_commit_may_fail(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("BEGIN")
    stage.one.hears("COMMIT").says(error(1180, "Got error 90 during COMMIT"))
    client.hears(error(1180, "Got error 90 during COMMIT"))
    client.says("COMMIT")
    client.hears(ok())


@pytest.mark.parametrize("statement", ["SAVEPOINT a", "SHOW TABLES", READ])
def test_what_cannot_tell_runs_on_the_guarded_backend(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, statement, ok(TRANS))
    client.runs(stage.one, "ROLLBACK", ok())


@pytest.mark.parametrize("statement", ["CREATE TABLE x (a INT)", "SELECT @@tx_read_only", "CALL p()", "SELECT f()"])
def test_what_could_tell_or_outlive_it_takes_the_guard_off_first(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(statement)
    unguard = stage.one.hears(UNGUARD)
    stage.quiet()
    unguard.says(ok(TRANS))
    stage.one.hears(statement).says(ok(TRANS))
    client.hears(ok(TRANS))
    client.vanishes()
    stage.one.hears(command(0x1F))


def test_commit_and_chain_keeps_the_backend(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.says("COMMIT AND CHAIN")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears("COMMIT AND CHAIN").says(ok(TRANS))
    client.hears(ok(TRANS))
    assert client.runs(stage.one, UPDATE, ok(TRANS)) is link
    client.runs(stage.one, "COMMIT", ok())


def test_commit_release_ends_the_clients_connection_and_not_the_backend(stage: Stage) -> None:
    """Without an answer, as MariaDB does."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT RELEASE")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    link = stage.one.hears("COMMIT AND NO CHAIN NO RELEASE").says(ok())
    client.hears_nothing()
    assert client.closed
    assert not link.closed


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"])
def test_so_does_one_that_completion_type_releases(stage: Stage, end: str) -> None:
    client = stage.client()
    client.runs(stage.one, "SET completion_type=2", ok())
    client.says(end)
    link = stage.one.hears(f"{end.split()[0]} AND NO CHAIN NO RELEASE").says(ok())
    assert client.closed
    assert stage.one.hears(RESET).says(ok()) is link


def test_a_node_that_closes_behind_a_commit_within_a_routine_is_no_failed_one(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET completion_type=2", ok())
    client.says("CALL p()")
    stage.one.hears("CALL p()").breaks()
    client.hears_nothing()
    assert client.closed
    assert stage.one.member.state is NodeState.UP


# -- each statement for itself ----------------------------------------------------------------------------------------


def test_a_read_runs_on_any_backend(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.runs(stage.one, "COMMIT", ok())
    assert client.runs(stage.one, READ, rows("1")) is link


@pytest.mark.parametrize(
    "statement", [INSERT, UPDATE, "SELECT c FROM t FOR UPDATE", "SELECT @@tx_read_only", "SHOW TABLES", "SELECT f()"]
)
def test_what_may_write_or_tell_runs_on_an_unguarded_one(build: Callable[..., Stage], statement: str) -> None:
    stage = build(pool=Pool(max_backends=1))
    client = stage.client()
    link = client.begins(stage.one, READ, rows(status=TRANS))
    client.runs(stage.one, "COMMIT", ok())
    client.says(statement)
    stage.one.hears(UNGUARD).says(ok())
    assert stage.one.hears(statement).says(ok()) is link
    client.hears(ok())


def test_a_session_whose_schema_was_dropped_by_itself_has_none(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    client.says("DROP DATABASE app")
    link = stage.one.hears("DROP DATABASE app").says(ok())
    stage.passes(1.1)  # definitions are read anew
    client.hears(ok())
    stage.one.pool.renew()
    assert link.closed
    client.runs(stage.one, "CREATE DATABASE app", ok())


def test_with_autocommit_off_a_session_guards_itself(stage: Stage) -> None:
    """The server begins by itself, and nothing there commits by itself."""
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    link = client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    assert client.runs(stage.one, READ, rows("1", status=MANUAL_TRANS)) is link
    client.runs(stage.one, "COMMIT", ok(MANUAL))
    assert not stage.one.pool.leased
    client.says("BEGIN", UPDATE)
    client.hears(ok(MANUAL_TRANS))
    stage.one.hears(OPENING, UPDATE).says(ok(MANUAL_TRANS), ok(MANUAL_TRANS))
    client.hears(ok(MANUAL_TRANS))
    client.runs(stage.one, "ROLLBACK", ok(MANUAL))


def test_a_read_with_autocommit_off_may_or_may_not_begin_a_transaction(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, "SELECT 1", rows("1", status=MANUAL))
    assert not stage.one.pool.leased


def test_with_autocommit_off_a_savepoint_keeps_its_backend_before_a_transaction_has_begun(stage: Stage) -> None:
    """The server's status does not tell of it: no engine has been used."""
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    link = client.runs(stage.one, "SAVEPOINT s", ok(MANUAL))
    other = stage.client()
    assert other.runs(stage.one, "SELECT 1", rows("1")) is not link
    for text, status in (
        ("SELECT 1", MANUAL),
        (INSERT, MANUAL_TRANS),
        ("ROLLBACK TO s", MANUAL),
        ("RELEASE SAVEPOINT s", MANUAL),
    ):
        assert client.runs(stage.one, text, ok(status)) is link
    assert client.runs(stage.one, "COMMIT", ok(MANUAL)) is link
    assert not stage.one.pool.leased
    client.runs(stage.one, "SELECT 1", ok(MANUAL))
    assert not stage.one.pool.leased


def test_a_session_that_is_read_only_guards_itself(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET SESSION TRANSACTION READ ONLY", ok())
    client.says("BEGIN", READ)
    client.hears(ok(READ_ONLY))
    stage.one.hears("START TRANSACTION", READ).says(ok(READ_ONLY), rows(status=READ_ONLY))
    client.hears(rows(status=READ_ONLY))
    client.runs(stage.one, "COMMIT", ok())


# -- the session's state ----------------------------------------------------------------------------------------------


def test_carried_variables_do_not_bind_a_session_to_its_backend(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    assert not stage.one.pool.leased
    assert client.session.relay.pinned is None


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SET @a = NOW()", "user_variable"),
        ("CREATE TEMPORARY TABLE x (a INT)", "temporary_table"),
        ("DO GET_LOCK('a', 1)", "get_lock"),
        ("LOCK TABLES t READ", "lock_tables"),
        ("PREPARE p FROM 'SELECT 1'", "sql_prepare"),
        ("SET debug_sync='now'", "variable"),
        ("CALL p()", "procedure"),
    ],
)
def test_what_cannot_be_carried_pins_with_a_reason(stage: Stage, statement: str, reason: str) -> None:
    client = stage.client()
    link = client.runs(stage.one, statement, ok())
    assert client.session.relay.pinned == reason
    assert stage.service.metrics.pinned == {reason: 1}
    assert client.runs(stage.one, READ, rows("1")) is link
    client.vanishes()
    stage.one.hears(command(0x1F))  # COM_RESET_CONNECTION, before anybody else gets it


def test_a_set_that_was_refused_changes_nothing(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET sql_mode='NONE_SUCH'", error(1231))
    client.runs(stage.one, "SET @a = none_such()", error(1305))
    assert client.session.relay.state.variables == ()


@pytest.mark.parametrize("said", [query("USE app"), command(COM_INIT_DB, b"app")])
def test_a_schema_is_part_of_the_state(stage: Stage, said: bytes) -> None:
    client = stage.client()
    client.says(said)
    link = stage.one.hears(said).says(ok())
    client.hears(ok())
    assert client.session.relay.state.schema == b"app"
    assert client.runs(stage.one, READ, rows("1")) is link


def test_a_schema_that_does_not_exist_leaves_the_old_one(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "USE app", ok())
    client.runs(stage.one, "USE none_such", error(1049))
    assert client.session.relay.state.schema == b"app"


def test_commands_that_are_no_statements_pass(stage: Stage) -> None:
    client = stage.client()
    client.says(command(COM_STATISTICS))
    text = frame(b"Uptime: 1", 1)
    stage.one.hears(command(COM_STATISTICS)).says(text)
    client.hears(text)


# -- diagnostics live in the backend ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [ok(warnings=1), rows("1", warnings=1), error(1146)])
def test_after_warnings_or_an_error_the_lease_lingers(stage: Stage, reply: bytes) -> None:
    client, other = stage.client(), stage.client()
    link = client.runs(stage.one, READ, reply)
    assert other.runs(stage.one, READ, rows("1")) is not link
    assert client.runs(stage.one, "SHOW WARNINGS", rows("w")) is link


def test_it_ends_when_the_next_statement_does_not_ask(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, READ, ok(warnings=1))
    assert stage.one.pool.leased
    client.runs(stage.one, READ, rows("1"))
    assert not stage.one.pool.leased


@pytest.mark.parametrize("asks", ["SELECT FOUND_ROWS()", "SELECT ROW_COUNT()"])
def test_it_lingers_for_found_rows(stage: Stage, asks: str) -> None:
    client = stage.client()
    link = client.runs(stage.one, "SELECT SQL_CALC_FOUND_ROWS c FROM t LIMIT 1", rows("1"))
    assert stage.one.pool.leased
    assert client.runs(stage.one, asks, rows("9")) is link


def test_the_status_that_we_answer_with_is_the_servers(stage: Stage) -> None:
    client = stage.client()
    no_backslash_escapes = 0x200
    client.runs(stage.one, "SET sql_mode='NO_BACKSLASH_ESCAPES'", ok(AUTO | no_backslash_escapes))
    client.says("BEGIN")
    client.hears(ok(TRANS | no_backslash_escapes))
    client.says("ROLLBACK")
    client.hears(ok(AUTO | no_backslash_escapes))
