"""A transaction that lost a conflict or its node is run again, unseen; or it is not, and the server's error is told."""

from collections.abc import Callable

import pytest

from config import Pool, Replay
from proxy.wire.constants import COM_INIT_DB, COM_PING, COM_STATISTICS
from proxy.wire.framing import frame
from tests.proxy.scripted import (
    GUARD,
    MANUAL,
    MANUAL_TRANS,
    OPENING,
    TRANS,
    UNGUARD,
    WAIT,
    Client,
    Link,
    Stage,
    command,
    error,
    ok,
    prepared,
    query,
    rows,
)
from tests.proxy.test_prepared import execute, long_data, prepare

INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
READ = "SELECT c FROM t"
CONFLICT = error(1213)
RESET = command(0x1F)
UNDO = "ROLLBACK AND NO CHAIN NO RELEASE"  # of our own

Build = Callable[..., Stage]


def backed_off(stage: Stage) -> None:
    """Long enough for any wait before the next attempt."""
    stage.passes(0.1)


def replays(stage: Stage, *said: tuple[str, bytes]) -> Link:
    """The first node hears a transaction from its beginning."""
    link = stage.one.hears(OPENING).says(ok(TRANS))
    for sql, reply in said:
        assert stage.one.hears(sql).says(reply) is link
    return link


# -- conflicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1213, 1020])
def test_an_autocommit_write_that_lost_is_run_again(stage: Stage, code: int) -> None:
    client = stage.client()
    client.says(INSERT)
    stage.one.hears(INSERT).says(error(code))
    client.hears_nothing()
    backed_off(stage)
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))
    assert stage.conflicts() == {("one:3306", "autocommit"): 1}
    assert stage.retries() == {("conflict", "ok"): 1}


def test_it_waits_before_it_is_run_again(stage: Stage) -> None:
    client = stage.client()
    client.says(INSERT)
    stage.one.hears(INSERT).says(CONFLICT)
    stage.quiet()
    stage.passes(0.0009)
    stage.quiet()
    stage.passes(0.0012)
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_a_statement_that_lost_takes_its_transaction_with_it_and_all_of_it_runs_again(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, READ, rows("1", status=TRANS))
    client.runs(stage.one, INSERT, ok(TRANS, rows=1))
    client.says(UPDATE)
    stage.one.hears(UPDATE).says(CONFLICT)
    backed_off(stage)
    replays(stage, (READ, rows("1", status=TRANS)), (INSERT, ok(TRANS, rows=1)), (UPDATE, ok(TRANS, rows=2)))
    client.hears(ok(TRANS, rows=2))
    client.runs(stage.one, "COMMIT", ok())
    assert stage.conflicts() == {("one:3306", "statement"): 1}


@pytest.mark.parametrize("code", [1213, 1020])
def test_a_commit_that_was_not_certified_is_a_transaction_to_run_again(stage: Stage, code: int) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(error(code))
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1)), ("COMMIT", ok()))
    client.hears(ok())
    assert stage.service.metrics.transactions()["one:3306", "committed"] == 1
    assert stage.conflicts() == {("one:3306", "commit"): 1}


@pytest.mark.parametrize(
    "refusal", [error(3101), error(1180, "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT")]
)
def test_a_backend_whose_commit_was_not_certified_lets_go_of_its_metadata_locks(stage: Stage, refusal: bytes) -> None:
    """MySQL keeps them, and an idle connection would bar the group from changing the tables."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(refusal)
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1)), ("COMMIT", ok()))
    client.hears(ok())
    assert stage.conflicts() == {("one:3306", "commit"): 1}
    assert stage.service.metrics.replays.count == 1


def test_the_first_statement_may_be_the_one_that_lost(stage: Stage) -> None:
    client = stage.client()
    client.says("BEGIN", UPDATE)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, UPDATE).says(ok(TRANS), CONFLICT)
    backed_off(stage)
    replays(stage, (UPDATE, ok(TRANS)))
    client.hears(ok(TRANS))
    client.runs(stage.one, "COMMIT", ok())


def test_several_in_a_row(stage: Stage) -> None:
    """A node that is behind in applying refuses each attempt, so that the third one waits for what was committed."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    for attempt in range(1, 6):
        stage.one.hears("COMMIT").says(CONFLICT)
        backed_off(stage)
        if attempt == 3:
            stage.one.hears(WAIT).says(ok())
        replays(stage, (INSERT, ok(TRANS, rows=1)))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


def test_several_in_a_row_of_a_write_by_itself(stage: Stage) -> None:
    client = stage.client()
    client.says(INSERT)
    for attempt in range(1, 6):
        stage.one.hears(INSERT).says(CONFLICT)
        backed_off(stage)
        if attempt == 3:
            stage.one.hears(WAIT).says(ok())
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_who_is_bound_to_a_backend_that_cannot_wait_goes_on_without(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client = stage.client()
    lock = "SELECT GET_LOCK('a', 1)"
    client.runs(stage.one, lock, rows("1"))
    client.says(RESET)
    client.hears(ok())
    link = stage.one.hears(RESET).says(ok())
    assert client.runs(stage.one, lock, rows("1")) is link
    client.says(INSERT)
    for _ in range(5):
        stage.one.hears(INSERT).says(CONFLICT)
        backed_off(stage)
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))
    assert not client.closed


def test_a_replay_may_itself_lose(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, CONFLICT))
    stage.one.hears(RESET).says(ok())
    backed_off(stage)
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


def test_a_transaction_that_the_server_began_runs_again_too(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    stage.one.hears(INSERT).says(ok(MANUAL_TRANS, rows=1))  # the server begins by itself
    stage.one.hears("COMMIT").says(ok(MANUAL))
    client.hears(ok(MANUAL))


def test_an_error_that_the_client_has_seen_has_to_come_again(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, UPDATE, error(1062))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1)), (UPDATE, error(1062)), ("COMMIT", ok()))
    client.hears(ok())


def test_state_set_within_the_transaction_is_set_again(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("SET sql_mode='ANSI'")
    link = stage.one.hears(UNGUARD).says(ok(TRANS))
    assert stage.one.hears("SET sql_mode='ANSI'").says(ok(TRANS)) is link
    client.hears(ok(TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    stage.one.hears(RESET).says(ok())
    stage.one.hears("BEGIN").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    stage.one.hears("SET sql_mode='ANSI'").says(ok(TRANS))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())
    assert client.session.relay.state.variables == (("sql_mode", "'ANSI'"),)


def test_prepared_statements_are_executed_again_with_their_long_data(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client = stage.client()
    client.says(prepare(UPDATE + " LIMIT ?"))
    stage.one.hears(prepare(UPDATE + " LIMIT ?")).says(prepared(41, params=1))
    client.hears(prepared(1, params=1))
    client.says(long_data(1, b"abc"), execute(1, 5))
    stage.one.hears(prepare(UPDATE + " LIMIT ?")).says(prepared(42, params=1))  # another one for what is sent ahead
    stage.one.hears(long_data(42, b"abc"), execute(42, 5)).says(ok(rows=1))
    client.hears(ok(rows=1))
    client.says("BEGIN", long_data(1, b"abc"), execute(1, 5))
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, long_data(42, b"abc"), execute(42, 5)).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(long_data(42, b"abc"), execute(42, 5)).says(ok(TRANS, rows=1))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


# -- not the same again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (rows("1", status=TRANS), rows("2", status=TRANS)),
        (rows("1", status=TRANS), rows(status=TRANS)),
        (rows("1", status=TRANS), rows("1", status=TRANS, warnings=1)),
        (ok(TRANS, rows=1), ok(TRANS, rows=2)),
        (ok(TRANS, rows=1), error(1062)),
        (error(1062), ok(TRANS, rows=1)),
        (error(1062), error(1146)),
    ],
)
def test_at_the_first_difference_the_client_gets_the_original_error(stage: Stage, first: bytes, again: bytes) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, UPDATE, first)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    link = replays(stage, (INSERT, ok(TRANS, rows=1)), (UPDATE, again))
    client.hears(CONFLICT)
    # And the replay is undone before the backend is anybody else's.
    assert stage.one.hears(RESET).says(ok()) is link
    assert stage.service.metrics.unreplayable == {"different": 1}
    assert stage.retries() == {("conflict", "gave_up"): 1}
    client.says("COMMIT")
    client.hears(ok())


def test_status_and_texts_may_differ(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, READ, rows("1", status=TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    slow = 0x800
    replays(stage, (INSERT, ok(TRANS | slow, rows=1)), (READ, rows("1", status=TRANS | slow)), ("COMMIT", ok()))
    client.hears(ok())


def test_what_cannot_be_run_again_gets_the_servers_own_error(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, "INSERT INTO t (c) VALUES (UUID())", ok(TRANS))
    client.runs(stage.one, "COMMIT", CONFLICT)
    assert stage.service.metrics.unreplayable == {"nondeterministic": 1}
    client.says("COMMIT")
    client.hears(ok())


@pytest.mark.parametrize(
    ("statement", "reason"), [("SELECT GET_LOCK('a', 1)", "get_lock"), ("SELECT @a := 1", "user_variable")]
)
def test_what_pinned_the_session_within_the_transaction_cannot_either(
    stage: Stage, statement: str, reason: str
) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(statement)
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears(statement).says(rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.runs(stage.one, "COMMIT", CONFLICT)
    assert stage.service.metrics.unreplayable == {reason: 1}
    client.vanishes()
    stage.one.hears(RESET)


def test_a_journal_over_its_limit_is_not_replayed(build: Build) -> None:
    stage = build(replay=Replay(journal_bytes=2000))
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, f"UPDATE t SET c = '{'x' * 2000}'", ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT", CONFLICT)
    assert stage.service.metrics.unreplayable == {"journal-session-limit": 1}
    assert stage.service.cluster.journal_space.used == 0


def test_replay_can_be_switched_off(build: Build) -> None:
    stage = build(replay=Replay(enabled=False))
    client = stage.client()
    client.runs(stage.one, INSERT, CONFLICT)
    client.begins(stage.one, INSERT)
    client.runs(stage.one, "COMMIT", CONFLICT)
    client.says("COMMIT")
    client.hears(ok())


def test_a_second_transaction_in_a_chain_is_not_replayed(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "START TRANSACTION WITH CONSISTENT SNAPSHOT", ok(TRANS))
    client.runs(stage.one, INSERT, ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT AND CHAIN", ok(TRANS))
    client.runs(stage.one, UPDATE, CONFLICT)
    assert stage.service.metrics.unreplayable == {"chained": 1}


# -- limits -----------------------------------------------------------------------------------------------------------


def test_attempts_are_limited(build: Build) -> None:
    stage = build(replay=Replay(max_attempts=2))
    client = stage.client()
    client.says(INSERT)
    for _ in range(2):
        stage.one.hears(INSERT).says(CONFLICT)
        client.hears_nothing()
        backed_off(stage)
    stage.one.hears(INSERT).says(CONFLICT)
    client.hears(CONFLICT)
    assert stage.retries() == {("conflict", "gave_up"): 1}
    client.runs(stage.one, READ, rows("1"))


def test_each_statement_has_its_own_attempts(build: Build) -> None:
    stage = build(replay=Replay(max_attempts=1))
    client = stage.client()
    for _ in range(3):
        client.says(INSERT)
        stage.one.hears(INSERT).says(CONFLICT)
        backed_off(stage)
        stage.one.hears(INSERT).says(ok(rows=1))
        client.hears(ok(rows=1))


def test_a_budget_keeps_a_storm_from_feeding_itself(build: Build) -> None:
    stage = build(replay=Replay(budget_per_node=1))
    client, other = stage.client(), stage.client()
    client.says(INSERT)
    stage.one.hears(INSERT).says(CONFLICT)
    other.says(INSERT)
    stage.one.hears(INSERT).says(CONFLICT)
    other.hears(CONFLICT)
    backed_off(stage)
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_time_is_limited_though_a_replay_hangs(build: Build) -> None:
    stage = build(replay=Replay(max_time=3.0))
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    stage.one.hears(OPENING).says(ok(TRANS))
    hanging = stage.one.hears(INSERT)
    stage.passes(3.0)
    client.hears(CONFLICT)
    assert hanging.closed
    assert stage.service.metrics.unreplayable == {"limit_time": 1}


# -- generated ids ----------------------------------------------------------------------------------------------------


def test_a_generated_id_is_asked_for_when_it_did_not_come_by_itself(stage: Stage) -> None:
    """The first replay shows that it was the server who chose it; an insert_id that nobody uses would leak."""
    client = stage.client()
    client.begins(stage.one, INSERT, ok(TRANS, rows=1, insert_id=7))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    link = replays(stage, (INSERT, ok(TRANS, rows=1, insert_id=10)))
    assert stage.one.hears(UNDO).says(ok()) is link
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears("SET insert_id=7").says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1, insert_id=7))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


def test_the_next_replay_asks_for_it_at_once(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT, ok(TRANS, rows=1, insert_id=7))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1, insert_id=10)), (UNDO, ok()))
    replays(stage, ("SET insert_id=7", ok(TRANS)), (INSERT, ok(TRANS, rows=1, insert_id=7)))
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    replays(stage, ("SET insert_id=7", ok(TRANS)), (INSERT, ok(TRANS, rows=1, insert_id=7)), ("COMMIT", ok()))
    client.hears(ok())


def test_an_id_that_the_client_named_needs_no_asking(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT, ok(TRANS, rows=1, insert_id=7))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1, insert_id=7)), ("COMMIT", ok()))
    client.hears(ok())


# -- a lost node ------------------------------------------------------------------------------------------------------


def opened_somewhere(stage: Stage, client: Client, reply: bytes = ok(TRANS, rows=1)) -> Link:
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.somewhere(GUARD).says(ok())
    link = stage.somewhere(OPENING, INSERT).says(ok(TRANS), reply)
    client.hears(reply)
    return link


def taken_up(stage: Stage, *said: tuple[str, bytes]) -> Link:
    """Another node hears the transaction from its beginning."""
    link = stage.somewhere(WAIT).says(ok())
    stage.somewhere("BEGIN").says(ok(TRANS))
    for sql, reply in said:
        stage.somewhere(sql).says(reply)
    return link


def test_a_transaction_is_taken_up_elsewhere_before_the_client_says_anything(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    taken_up(stage, (INSERT, ok(TRANS, rows=1)))
    client.hears_nothing()
    client.says("COMMIT")
    stage.somewhere("COMMIT").says(ok())
    client.hears(ok())
    assert stage.retries() == {("lost", "ok"): 1}


def test_a_command_that_comes_meanwhile_waits_for_that(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    client.says("COMMIT")
    stage.somewhere(WAIT).says(ok())
    stage.somewhere("BEGIN").says(ok(TRANS))
    stage.somewhere(INSERT).says(ok(TRANS, rows=1))
    stage.somewhere("COMMIT").says(ok())
    client.hears(ok())


def test_a_statement_in_flight_is_run_behind_the_journal(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    link = opened_somewhere(stage, client)
    client.says(UPDATE)
    assert stage.somewhere(UPDATE) is link
    link.node.dies()
    taken_up(stage, (INSERT, ok(TRANS, rows=1)), (UPDATE, ok(TRANS, rows=2)))
    client.hears(ok(TRANS, rows=2))
    client.vanishes()
    stage.somewhere(RESET)


def test_the_opening_in_flight_is_sent_elsewhere(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.somewhere(GUARD).says(ok())
    stage.somewhere(OPENING, INSERT).node.dies()
    client.hears_nothing()
    taken_up(stage, (INSERT, ok(TRANS, rows=1)))
    client.hears(ok(TRANS, rows=1))
    client.says("COMMIT")
    stage.somewhere("COMMIT").says(ok())
    client.hears(ok())


def test_a_difference_while_nobody_waits_is_told_with_the_next_command(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    taken_up(stage, (INSERT, ok(TRANS, rows=2)))
    stage.somewhere(RESET).says(ok())
    client.hears_nothing()
    client.says(UPDATE)
    client.hears_error(1213, "40001")
    client.says("COMMIT")
    client.hears(ok())


def test_several_generated_ids_are_not_the_same_on_another_node(build: Build) -> None:
    """Galera gives each node its own step: the ids behind the first one would differ, unseen."""
    stage = build(up=("one", "two"))
    client = stage.client()
    opened_somewhere(stage, client, ok(TRANS, rows=3, insert_id=4)).node.dies()
    stage.somewhere(WAIT).says(ok())
    stage.somewhere("BEGIN").says(ok(TRANS))
    stage.somewhere(INSERT).says(ok(TRANS, rows=3, insert_id=5))
    stage.somewhere(UNDO).says(ok())
    stage.somewhere("BEGIN").says(ok(TRANS))
    stage.somewhere(RESET).says(ok())
    client.says("COMMIT")
    client.hears_error(1213, "40001")


def test_so_it_is_run_again_where_it_was_even_if_others_are_preferred(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    home = opened_somewhere(stage, client, ok(TRANS, rows=3, insert_id=4)).node
    home.member.penalty_until = stage.clock.time() + 1000
    client.says("COMMIT")
    home.hears("COMMIT").says(CONFLICT)
    backed_off(stage)
    other = stage.two if home is stage.one else stage.one
    home.hears(OPENING).says(ok(TRANS))
    home.hears(INSERT).says(ok(TRANS, rows=3, insert_id=4))
    home.hears("COMMIT").says(ok())
    client.hears(ok())
    assert not other.heard


def test_with_no_node_left_the_client_waits_for_one(build: Build) -> None:
    stage = build(replay=Replay(max_time=5.0))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    client.says("COMMIT")
    stage.passes(3.0)
    client.hears_nothing()
    stage.two.comes_up()
    taken_up(stage, (INSERT, ok(TRANS, rows=1)), ("COMMIT", ok()))
    client.hears(ok())


def test_and_not_for_ever(build: Build) -> None:
    stage = build(replay=Replay(max_time=5.0))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    client.says("COMMIT")
    stage.passes(5.1)
    client.hears_error(1213, "40001")
    client.says("COMMIT")
    client.hears(ok())


def test_a_pinned_transaction_is_not_taken_up(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    client.says("SET @a = NOW()")
    link = stage.somewhere("SET @a = NOW()").says(ok())
    client.hears(ok())
    client.runs(link.node, "BEGIN", ok(TRANS))
    client.says(INSERT)
    stage.somewhere(INSERT)
    link.node.dies()
    client.hears_error(1213, "40001")
    assert client.closed


def test_a_client_that_leaves_during_a_replay_leaves_nothing(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    opened_somewhere(stage, client).node.dies()
    link = stage.somewhere(WAIT)
    client.vanishes()
    assert link.closed


def test_ping_in_a_transaction_asks_the_server(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(command(COM_PING))
    stage.one.hears(command(COM_PING)).says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1)))
    stage.one.hears(command(COM_PING)).says(ok(TRANS))
    client.hears(ok(TRANS))
    client.runs(stage.one, "ROLLBACK", ok())


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (prepare(READ), prepared(1, columns=1)),
        (command(COM_INIT_DB, b"app"), ok(TRANS)),
        (query("SAVEPOINT a"), ok(TRANS)),
        (query("SHOW TABLES"), rows("t", status=TRANS)),
        (command(COM_STATISTICS), frame(b"Uptime: 1", 1)),
    ],
)
def test_any_command_may_carry_the_conflict_of_an_idle_transaction(stage: Stage, said: bytes, reply: bytes) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(said)
    stage.one.hears(said).says(CONFLICT)
    backed_off(stage)
    replays(stage, (INSERT, ok(TRANS, rows=1)))
    stage.one.hears(said).says(reply)
    client.hears(reply)
    client.says("ROLLBACK")
    stage.one.hears("ROLLBACK").says(ok())
    client.hears(ok())


def test_what_its_last_statement_left_can_be_asked_for_where_it_was_run_again(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    counted = "SELECT SQL_CALC_FOUND_ROWS c FROM t LIMIT 1"
    client.says("BEGIN", counted)
    client.hears(ok(TRANS))
    lost = stage.somewhere(GUARD).says(ok())
    lost.node.hears(OPENING, counted).says(ok(TRANS) + rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    lost.node.goes_down()
    other = stage.two if lost.node is stage.one else stage.one
    for sql, reply in ((WAIT, ok()), ("BEGIN", ok(TRANS)), (counted, rows("1", status=TRANS))):
        other.hears(sql).says(reply)
    client.says("SELECT FOUND_ROWS()", "SHOW WARNINGS")
    other.hears("SELECT FOUND_ROWS()").says(rows("7", status=TRANS))
    client.hears(rows("7", status=TRANS))
    other.hears("SHOW WARNINGS")


# -- a transaction that something else than a BEGIN has opened --------------------------------------------------------


@pytest.mark.parametrize("opener", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_a_chained_transaction_is_not_gone_on_with_outside_of_one(stage: Stage, opener: str) -> None:
    """The server begins one whether or not one was open. There is no BEGIN to run again: what follows would commit by
    itself.
    """
    client = stage.client()
    client.runs(stage.one, opener, ok(TRANS)).breaks()
    stage.one.comes_up()
    client.says(INSERT)
    stage.quiet()
    client.hears_error(1213, "40001")


def test_nor_is_one_that_a_procedure_began(stage: Stage) -> None:
    """CALL had written, and its writes are gone: to run the rest alone and commit it would be another transaction."""
    client = stage.client()
    client.runs(stage.one, "CALL begins_and_writes()", ok(TRANS))
    client.runs(stage.one, INSERT, ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT", error(1213))
    client.vanishes()
    stage.one.hears(RESET)


@pytest.mark.parametrize("far", range(4))
def test_a_reset_while_an_idle_transaction_is_run_again_ends_that(build: Build, far: int) -> None:
    """Wherever the replay has got to, nothing more of it is heard, by node or client."""
    stage = build(up=("one", "two"))
    client = stage.client()
    client.says("BEGIN", UPDATE)
    client.hears(ok(TRANS))
    lost = stage.somewhere(GUARD).says(ok())
    assert lost.node.hears(OPENING, UPDATE).says(ok(TRANS) + ok(TRANS, rows=1)) is lost
    client.hears(ok(TRANS, rows=1))
    lost.node.goes_down()
    other = stage.two if lost.node is stage.one else stage.one
    steps = [(WAIT, ok()), ("BEGIN", ok(TRANS)), (UPDATE, ok(TRANS, rows=1))]
    for sql, reply in steps[:far]:
        other.hears(sql).says(reply)
    client.says(command(0x1F))
    client.hears(ok())
    while other.heard:
        other.heard.popleft()[0].says(ok())
    stage.passes(5)
    other.answers(lambda said: rows("1") if said == READ else ok())
    client.says(READ)
    client.hears(rows("1"))
