"""What becomes of a command that fails or loses its backend: every phase by every loss, and what the client is told.

Replays are in test_replay.py; here is where they are not possible, not needed, or not enough.
"""

from collections.abc import Callable

import pytest

from config import Limits, Pool, Replay
from router.membership import NodeState
from tests.proxy.scripted import (
    AUTO,
    GUARD,
    MANUAL,
    MANUAL_TRANS,
    OPENING,
    TRANS,
    UNGUARD,
    WAIT,
    Stage,
    command,
    error,
    ok,
    rows,
)

INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
READ = "SELECT c FROM t"
RESET = command(0x1F)

Build = Callable[..., Stage]


def two_up(stage: Stage) -> None:
    """A second node, for what happens when the first is lost."""
    stage.two.comes_up()


# -- the connection is lost while nothing is under way ----------------------------------------------------------------


def test_idle_without_a_lease_it_is_nobodys_business(stage: Stage) -> None:
    two_up(stage)
    client = stage.client()
    client.says(READ)
    link = stage.somewhere(READ).says(rows("1"))
    client.hears(rows("1"))
    link.breaks()
    client.hears_nothing()
    assert link.node.member.state is NodeState.SUSPECT
    client.says(READ)
    assert stage.somewhere(READ).says(rows("1")).node is not link.node
    client.hears(rows("1"))


def test_idle_and_pinned_the_connection_ends(stage: Stage) -> None:
    client = stage.client()
    link = client.runs(stage.one, "SET @a = NOW()", ok())
    link.breaks()
    client.hears_nothing()
    assert client.closed


def test_idle_and_lingering_only_the_warnings_are_lost(stage: Stage) -> None:
    client = stage.client()
    link = client.runs(stage.one, READ, ok(warnings=1))
    link.breaks()
    assert not client.closed
    stage.one.comes_up()
    client.runs(stage.one, READ, rows("1"))


def test_idle_in_a_transaction_that_cannot_be_replayed_the_next_command_is_told(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, "INSERT INTO t (c) VALUES (UUID())")
    link.breaks()
    client.hears_nothing()
    client.says(UPDATE)
    assert "nondeterministic" in client.hears_error(1213, "40001").message
    assert stage.service.metrics.unreplayable == {"nondeterministic": 1}
    client.says("COMMIT")  # there is nothing any more
    client.hears(ok())


def test_then_rollback_is_what_happened(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (UUID())").breaks()
    client.says("ROLLBACK", "COMMIT")
    client.hears(ok(), ok())


def test_and_commit_is_not(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (UUID())").breaks()
    client.says("COMMIT")
    client.hears_error(1213, "40001")


# -- a statement for itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", [INSERT, UPDATE, "SELECT c FROM t FOR UPDATE", "SELECT f()", "CALL p()"])
def test_a_write_in_flight_has_an_unknown_outcome(stage: Stage, statement: str) -> None:
    two_up(stage)
    client = stage.client()
    client.says(statement)
    stage.somewhere(statement).breaks()
    assert "may or may not" in client.hears_error(1180, "08007").message
    assert sum(stage.service.metrics.unknown_outcomes.values()) == 1
    assert not client.closed


def test_a_read_in_flight_is_asked_elsewhere(stage: Stage) -> None:
    two_up(stage)
    client = stage.client()
    client.says(READ)
    lost = stage.somewhere(READ)
    lost.breaks()
    client.hears_nothing()
    assert stage.somewhere(READ).says(rows("1")).node is not lost.node
    client.hears(rows("1"))
    assert stage.retries() == {("lost", "ok"): 1}


def test_a_read_is_not_asked_again_where_replay_is_off(build: Build) -> None:
    stage = build(replay=Replay(enabled=False), up=("one", "two"))
    client = stage.client()
    client.says(READ)
    stage.somewhere(READ).breaks()
    assert "disabled" in client.hears_error(1213).message


@pytest.mark.parametrize(
    ("text", "code", "heard"),
    [
        ("WSREP has not yet prepared node for application use", 1047, 1047),
        ("The MariaDB server is running with the --read-only option", 1290, 1290),
    ],
)
def test_a_node_that_says_it_did_not_run_it_is_left_for_another(stage: Stage, text: str, code: int, heard: int) -> None:
    two_up(stage)
    client = stage.client()
    client.says(INSERT)
    refused = stage.somewhere(INSERT).says(error(code, text))
    assert refused.closed
    assert refused.node.member.state is not NodeState.UP
    assert stage.somewhere(INSERT).says(ok(rows=1)).node is not refused.node
    client.hears(ok(rows=1))


@pytest.mark.parametrize("code", [1062, 1064, 1146, 1205, 1317])
def test_an_error_that_is_the_clients_own_is_its_own(stage: Stage, code: int) -> None:
    client = stage.client()
    client.runs(stage.one, INSERT, error(code))
    client.runs(stage.one, READ, rows("1"))
    assert not client.session.relay.pinned


def test_a_write_on_a_node_that_shuts_down_is_unknown(stage: Stage) -> None:
    client = stage.client()
    client.says(INSERT)
    stage.one.hears(INSERT).says(error(1053, "Server shutdown in progress"))
    client.hears_error(1180, "08007")


# -- in a transaction -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["idle", "in flight"])
def test_rollback_of_what_is_lost_is_done(stage: Stage, phase: str) -> None:
    client = stage.client()
    link = client.begins(stage.one, "INSERT INTO t (c) VALUES (UUID())")
    if phase == "idle":
        link.breaks()
        client.says("ROLLBACK")
    else:
        client.says("ROLLBACK")
        stage.one.hears("ROLLBACK").breaks()
    client.hears(ok())


@pytest.mark.parametrize("code", [1213, 1020])
def test_rollback_of_what_was_rolled_back_is_done(stage: Stage, code: int) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("ROLLBACK")
    stage.one.hears("ROLLBACK").says(error(code))
    client.hears(ok())
    client.runs(stage.one, READ, rows("1"))


def test_a_commit_in_flight_has_an_unknown_outcome(stage: Stage) -> None:
    two_up(stage)
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.somewhere(GUARD).says(ok())
    stage.somewhere(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.says("COMMIT")
    stage.somewhere("COMMIT").breaks()
    client.hears_error(1180, "08007")
    client.says("COMMIT")  # no transaction is open
    client.hears(ok())


@pytest.mark.parametrize("statement", ["CREATE TABLE x (a INT)", "CALL p()", "BEGIN"])
def test_whatever_commits_by_itself_has_an_unknown_outcome(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    client.says(statement)
    heard = "COMMIT" if statement == "BEGIN" else statement
    stage.one.hears(heard).breaks()
    client.hears_error(1180, "08007")


@pytest.mark.parametrize("statement", ["SET autocommit=1", "START TRANSACTION WITH CONSISTENT SNAPSHOT"])
def test_what_commits_a_transaction_that_wrote_has_an_unknown_outcome(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    client.says(statement)
    stage.one.hears(statement).breaks()
    client.hears_error(1180, "08007")


def test_the_commit_of_what_only_read_is_not_unknown(stage: Stage) -> None:
    two_up(stage)
    client = stage.client()
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    stage.somewhere(GUARD).says(ok())
    stage.somewhere(OPENING, READ).says(ok(TRANS), rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.says("COMMIT")
    stage.somewhere("COMMIT").breaks()
    stage.somewhere(WAIT).says(ok())  # what it saw there has to be here
    stage.somewhere("BEGIN").says(ok(TRANS))
    stage.somewhere(READ).says(rows("1", status=TRANS))
    stage.somewhere("COMMIT").says(ok())
    client.hears(ok())


def test_a_commit_that_the_group_may_or_may_not_have_is_unknown(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(error(1180, "Got error 5 (provider status: Not connected to Primary Component)"))
    client.hears_error(1180, "08007")


def test_a_killed_commit_takes_its_backend_with_it(stage: Stage) -> None:
    """The kill may have come before it began: the transaction would be open for whatever comes next to commit it."""
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.runs(stage.one, "COMMIT", error(1317))
    assert link.closed
    client.says("COMMIT")
    client.hears(ok())


def test_so_does_a_killed_rollback(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.says("ROLLBACK")
    stage.one.hears("ROLLBACK").says(error(1317))
    client.hears(ok())
    assert link.closed


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_after_an_error_the_guard_is_set_anew_before_anything_is_sent_behind_a_begin(stage: Stage, end: str) -> None:
    """A START TRANSACTION READ WRITE lifts it, and where the transaction's end fails nothing takes that back."""
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    client.runs(stage.one, UPDATE, error(1205))
    client.says(end)
    stage.one.hears(end).says(error(1213))
    stage.passes(0.2)
    if end == "COMMIT":
        client.hears_error(1213)
    else:
        client.hears(ok())
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    assert stage.one.hears(GUARD).says(ok()) is link
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.runs(stage.one, "ROLLBACK", ok())
    assert client.begins(stage.one, INSERT) is link
    client.runs(stage.one, "ROLLBACK", ok())


@pytest.mark.parametrize("code", [1062, 1064, 1146, 1317])
def test_a_failed_statement_leaves_its_transaction_open(stage: Stage, code: int) -> None:
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    assert client.runs(stage.one, UPDATE, error(code)) is link
    assert client.runs(stage.one, "COMMIT", ok()) is link


def test_a_lock_wait_timeout_may_have_ended_it(stage: Stage) -> None:
    """With innodb_rollback_on_timeout it has: the status flag of the next OK tells, and no replay is tried."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, UPDATE, error(1205))
    client.runs(stage.one, UPDATE, error(1213))
    client.says("COMMIT")
    client.hears(ok())
    assert stage.service.metrics.unreplayable == {"uncertain": 1}


def test_after_a_failed_ddl_the_next_status_tells_whether_a_transaction_is_open(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    link = client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    assert client.runs(stage.one, "CREATE TABLE t (a INT)", error(1050)) is link
    assert client.runs(stage.one, "SHOW TABLES", rows(status=MANUAL)) is link
    client.says(READ)  # has a table: who asked for the error would have done so
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok(MANUAL))  # of metadata locks
    stage.one.hears(READ).says(rows(status=MANUAL))
    client.hears(rows(status=MANUAL))
    assert not stage.one.pool.leased


@pytest.mark.parametrize(("statement", "code"), [("DESCRIBE nosuch", 1146), (READ, 1054), (INSERT, 1136)])
def test_with_autocommit_off_a_statement_that_failed_leaves_no_metadata_lock(
    stage: Stage, statement: str, code: int
) -> None:
    """Servers keep those for a transaction that may never begin there. They would bar changes of the table."""
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, statement, error(code))
    client.runs(stage.one, "SELECT 1", rows("1", status=MANUAL))  # no transaction has begun
    client.says(READ)
    link = stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE")
    assert stage.one.hears(READ) is link
    link.says(ok(MANUAL), rows("1", status=MANUAL_TRANS))
    client.hears(rows("1", status=MANUAL_TRANS))
    client.runs(stage.one, "COMMIT", ok(MANUAL))
    assert not stage.one.pool.leased
    stage.quiet()  # not again


def test_a_time_limit_of_one_read_does_not_end_the_session(stage: Stage) -> None:
    client = stage.client()
    link = client.runs(stage.one, "SET STATEMENT max_statement_time=1 FOR SELECT SLEEP(2) FROM t", error(1969))
    assert client.runs(stage.one, "SELECT 1", rows("1")) is link
    client.vanishes()
    stage.one.hears(RESET).says(ok())


def test_killed_by_the_server_the_transaction_is_over(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(UPDATE)
    link = stage.one.hears(UPDATE).says(error(1927, "Connection was killed"))
    client.hears(error(1927, "Connection was killed"))
    assert link.closed
    client.says("COMMIT")
    client.hears(ok())


# -- pinned -----------------------------------------------------------------------------------------------------------


def test_a_pinned_session_that_loses_its_backend_is_told_and_closed(stage: Stage) -> None:
    two_up(stage)
    client = stage.client()
    client.says("SET @a = NOW()")
    link = stage.somewhere("SET @a = NOW()").says(ok())
    client.hears(ok())
    client.says(READ)
    assert stage.somewhere(READ) is link
    link.breaks()
    assert client.received
    client.received.clear()
    assert client.closed


def test_a_write_of_a_pinned_session_is_unknown_and_the_connection_ends(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = NOW()", ok())
    client.says(INSERT)
    stage.one.hears(INSERT).breaks()
    client.hears_error(1180, "08007")
    assert client.closed


def test_what_failed_half_way_pins_all_the_same(stage: Stage) -> None:
    client = stage.client()
    link = client.runs(stage.one, "CALL p()", error(1146))
    assert client.session.relay.pinned == "procedure"
    assert client.runs(stage.one, READ, rows("1")) is link
    client.vanishes()
    stage.one.hears(RESET)


@pytest.mark.parametrize("said", ["SELEC 1", "SET @a = none_such", ""])
def test_what_was_refused_unread_does_not(stage: Stage, said: str) -> None:
    client = stage.client()
    client.runs(stage.one, said, error(1064))
    assert client.session.relay.pinned is None


# -- the node is given up ---------------------------------------------------------------------------------------------


def test_a_node_found_dead_by_the_monitor_fails_its_leases_at_once(stage: Stage) -> None:
    """A node that has vanished sends no reset; nobody waits for one."""
    client, reader = stage.client(), stage.client()
    two_up(stage)
    stage.one.member.load = 0.0
    stage.two.goes_down()
    client.says(INSERT)
    stage.one.hears(INSERT)
    reader.says(READ)
    stage.one.hears(READ)
    stage.two.comes_up()
    stage.one.goes_down()
    client.hears_error(1180, "08007")
    stage.two.hears(READ).says(rows("1"))
    reader.hears(rows("1"))


def test_a_suspect_node_keeps_what_runs_there(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = client.begins(stage.one, INSERT)
    other.says(READ)
    stage.one.hears(READ).breaks()
    assert stage.one.member.state is NodeState.SUSPECT
    assert client.runs(stage.one, "COMMIT", ok()) is link
    stage.two.comes_up()
    stage.two.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    assert link.closed  # nothing of a node that takes no new work is worth keeping


def test_no_backend_of_a_suspect_node_is_kept(build: Build) -> None:
    stage = build(pool=Pool(max_backends=4))
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.says(READ)
    links = [stage.one.hears(READ) for _ in clients]
    for link, client in zip(links, clients, strict=True):
        link.says(rows("1"))
        client.hears(rows("1"))
    links[0].breaks()
    assert all(link.closed for link in links)
    assert stage.one.pool.size == 0


def test_the_status_after_a_loss_is_that_of_no_transaction(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").breaks()
    client.hears_error(1180)
    client.says(command(0x0E))
    client.hears(ok(AUTO))


def test_a_transaction_lost_for_want_of_a_writer_is_told_to_be_rolled_back(build: Build) -> None:
    """Any other code than that of a rollback leaves a client to believe that its transaction goes on."""
    stage = build(limits=Limits(writer_wait=1.0))
    client = stage.client()
    client.begins(stage.one, INSERT)
    stage.one.dies()
    client.says(READ)
    stage.passes(1.1)
    client.hears_error(1213, "40001")


@pytest.mark.parametrize("statement", ["SET autocommit=1", "CALL p()"])
def test_what_might_have_committed_and_did_not_leaves_a_transaction_that_wrote(stage: Stage, statement: str) -> None:
    """The transaction is still the one that wrote: with autocommit on already, SET autocommit=1 commits nothing."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(statement)
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears(statement).says(ok(TRANS))
    client.hears(ok(TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").breaks()
    client.hears_error(1180, "08007")
