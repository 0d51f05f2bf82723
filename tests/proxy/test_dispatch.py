"""What is done to a backend before a client's command is sent on it, and what is done where that fails."""

from collections.abc import Callable
from typing import Any

import pytest

from config import Limits, Pool
from proxy.login import ConnectFailed
from proxy.wire.constants import COM_INIT_DB, COM_RESET_CONNECTION, SERVER_MORE_RESULTS_EXISTS
from proxy.wire.packets import error_packet
from router.catalog import Catalog, Name, Table
from router.causality import SYNC_WAIT
from router.membership import NodeState
from tests.proxy.scripted import (
    AUTO,
    DO_NOT_WAIT,
    GUARD,
    OPENING,
    TRANS,
    UNGUARD,
    WAIT,
    Stage,
    command,
    error,
    ok,
    rows,
    told,
)

INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"
WRITE = "UPDATE t SET c = 1"
LOCKING = "SELECT c FROM t WHERE id = 1 FOR UPDATE"
RESET = command(COM_RESET_CONNECTION)
ONE = Pool(max_backends=1)

Build = Callable[..., Stage]

# -- session state ----------------------------------------------------------------------------------------------------


def test_the_difference_is_set_on_a_new_backend_before_a_write_is_sent(stage: Stage) -> None:
    client = stage.client()
    first = client.runs(stage.one, "SET sql_mode='ANSI', time_zone='+01:00'", ok())
    first.breaks()
    stage.one.comes_up()
    client.says(WRITE)
    setting = stage.one.hears("SET sql_mode='ANSI',time_zone='+01:00'")
    stage.quiet()
    setting.says(ok())
    stage.one.hears(WRITE).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_a_schema_is_selected_on_a_new_backend(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "USE app", ok()).breaks()
    stage.one.comes_up()
    client.says(WRITE)
    stage.one.hears(command(COM_INIT_DB, b"app")).says(ok())
    stage.one.hears(WRITE).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_a_backend_in_another_sessions_state_is_reset_first(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    other.says(READ)
    reset = stage.one.hears(RESET)
    stage.quiet()
    reset.says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_what_both_have_set_is_not_set_again(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    other.says("SET sql_mode='ANSI'")
    stage.one.hears(RESET).says(ok())
    stage.one.hears("SET sql_mode='ANSI'").says(ok())
    other.hears(ok())
    client.runs(stage.one, READ, rows("1"))
    other.runs(stage.one, READ, rows("1"))
    other.runs(stage.one, "SET sql_notes=0", ok())
    client.says(READ)
    stage.one.hears(RESET).says(ok())
    stage.one.hears("SET sql_mode='ANSI'").says(ok())
    stage.one.hears(READ).says(rows("1"))
    client.hears(rows("1"))


def test_state_that_a_node_refuses_is_the_sessions_own_error(stage: Stage) -> None:
    """The command is not sent: it would run in another state than the client believes."""
    client = stage.client()
    client.runs(stage.one, "USE app", ok()).breaks()
    stage.one.comes_up()
    client.says(INSERT)
    refused = stage.one.hears(command(COM_INIT_DB, b"app")).says(error(1049))
    client.hears(error(1049))
    assert refused.closed


def test_state_is_not_set_on_a_backend_that_fits(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    client.says("SET sql_mode='ANSI'")
    other.says(READ)
    link = stage.one.hears("SET sql_mode='ANSI'").says(ok())
    other_link = stage.one.hears(READ).says(rows("1"))
    client.hears(ok())
    other.hears(rows("1"))
    assert client.runs(stage.one, READ, rows("1")) is link
    assert other.runs(stage.one, READ, rows("1")) is other_link


def test_a_pinned_sessions_backend_is_reset_before_the_next_gets_it(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    link = client.runs(stage.one, "SET @a = NOW()", ok())
    other.says(READ)
    client.vanishes()
    reset = stage.one.hears(RESET)
    stage.quiet()
    reset.says(ok())
    assert stage.one.hears(READ).says(rows("1")) is link
    other.hears(rows("1"))


def test_an_open_transaction_is_reset_away(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.begins(stage.one, INSERT)
    client.vanishes()
    other.says(READ)
    stage.one.hears(RESET).says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_a_backend_that_refuses_to_be_reset_is_closed(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, "SET @a = NOW()", ok())
    client.vanishes()
    assert stage.one.hears(RESET).says(error(1205)).closed
    assert stage.one.pool.size == 0


def test_who_waits_gets_the_place_of_a_backend_that_refused_to_be_reset(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET @a = NOW()", ok())
    other.says(READ)
    client.vanishes()
    stage.one.hears(RESET).says(error(1205))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_who_waits_with_another_account_gets_the_place_of_a_backend_that_was_reset(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client(user="other")
    client.runs(stage.one, "SET @a = NOW()", ok())
    other.says(READ)
    client.vanishes()
    stage.one.hears(RESET).says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_a_login_with_a_schema_is_answered_once_a_node_has_it(stage: Stage) -> None:
    client = stage.client(database="app")
    link = stage.one.hears(command(COM_INIT_DB, b"app"))
    client.hears_nothing()
    link.says(ok())
    client.hears(ok(seq=2))
    assert client.runs(stage.one, READ, rows("1")) is link


def test_a_login_with_a_schema_that_does_not_exist_is_refused(stage: Stage) -> None:
    client = stage.client(database="none_such")
    stage.one.hears(command(COM_INIT_DB, b"none_such")).says(error(1049))
    refused = error(1049)
    client.hears(refused[:3] + b"\x02" + refused[4:])
    assert client.closed


# -- LAST_INSERT_ID() -------------------------------------------------------------------------------------------------

ID = "SELECT LAST_INSERT_ID()"
ASKED = "SELECT LAST_INSERT_ID() LIMIT 1"  # by the proxy, whatever the session's sql_select_limit is


def test_where_the_session_has_been_all_along_the_backend_has_its_id(stage: Stage) -> None:
    """INSERT .. (id) VALUES (7) replies 7, too, and leaves LAST_INSERT_ID() as it was."""
    client = stage.client()
    link = client.runs(stage.one, INSERT, ok(rows=1, insert_id=3))
    assert client.runs(stage.one, "INSERT INTO t (id) VALUES (7)", ok(rows=1, insert_id=7)) is link
    assert client.runs(stage.one, ID, rows("3")) is link
    assert client.runs(stage.one, ID, rows("3")) is link


def test_elsewhere_it_is_asked_whether_an_id_was_generated(build: Build) -> None:
    """Another session left its own there."""
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    link = other.runs(stage.one, INSERT, ok(rows=1, insert_id=3))
    client.says("INSERT INTO t (id) VALUES (7)")
    stage.one.hears(ASKED).says(rows("3"))
    stage.one.hears("INSERT INTO t (id) VALUES (7)").says(ok(rows=1, insert_id=7))
    client.hears(ok(rows=1, insert_id=7))
    client.says(ID)
    assert stage.one.hears(ASKED).says(rows("3")) is link
    assert stage.one.hears("SET last_insert_id=0").says(ok()) is link
    assert stage.one.hears(ID).says(rows("0")) is link
    client.hears(rows("0"))


def knowing(stage: Stage, **facts: Any) -> Stage:
    """A stage on which a table is known, "shop.t", whose "id" the server generates."""
    stage.service.cluster.know(Catalog({Name("shop", "t"): Table(generated="id", **facts)}))
    return stage


@pytest.mark.parametrize("values", ["(c) VALUES (1)", "(c) VALUES (1), (2)", "SET c = 1"])
def test_an_id_whose_column_was_not_named_was_generated(build: Build, values: str) -> None:
    stage = knowing(build(pool=ONE))
    client, other = stage.client(), stage.client()
    client.runs(stage.one, f"INSERT INTO shop.t {values}", ok(rows=1, insert_id=7))
    other.runs(stage.one, f"REPLACE INTO shop.t {values}", ok(rows=1, insert_id=8))
    other.runs(stage.one, ID, rows("8"))
    client.says(ID)
    stage.one.hears("SET last_insert_id=7").says(ok())
    stage.one.hears(ID).says(rows("7"))
    client.hears(rows("7"))


def test_the_table_is_that_of_the_schema_that_the_session_is_in(stage: Stage) -> None:
    client = knowing(stage).client()
    ids = client.session.relay.insert_ids
    for schema, known in (("shop", True), ("other", False)):
        client.runs(stage.one, f"USE {schema}", ok())
        client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
        assert ids.settled is known


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("INSERT INTO shop.t (id, c) VALUES (7, 1)", {}),
        ("INSERT INTO shop.t VALUES (7, 1)", {}),
        ("INSERT INTO shop.t (c) VALUES (1) ON DUPLICATE KEY UPDATE c = 2", {}),
        ("INSERT INTO shop.u (c) VALUES (1)", {}),
        ("INSERT INTO shop.t (c) VALUES (1)", {"triggers": frozenset({"insert"})}),
    ],
)
def test_where_an_id_may_have_been_given_the_node_is_asked(build: Build, text: str, facts: dict[str, Any]) -> None:
    stage = knowing(build(pool=ONE), **facts)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, text, ok(rows=1, insert_id=7))
    other.says(INSERT)
    stage.one.hears(ASKED).says(rows("7"))
    stage.one.hears(INSERT).says(ok(rows=1, insert_id=8))
    other.hears(ok(rows=1, insert_id=8))


def test_after_a_definition_was_changed_the_node_is_asked_until_it_has_been_read(stage: Stage) -> None:
    cluster = knowing(stage).service.cluster
    client = stage.client()
    ids = client.session.relay.insert_ids
    before = cluster.changes
    client.runs(stage.one, "ALTER TABLE shop.t ADD d INT", ok())
    client.runs(stage.one, "INSERT INTO shop.t (c) VALUES (1)", ok(rows=1, insert_id=7))
    assert not ids.settled
    cluster.caught_up(before)  # a reading that had begun before
    client.runs(stage.one, "INSERT INTO shop.t (c) VALUES (1)", ok(rows=1, insert_id=8))
    assert not ids.settled
    cluster.caught_up(cluster.changes)
    client.runs(stage.one, "INSERT INTO shop.t (c) VALUES (1)", ok(rows=1, insert_id=9))
    assert ids.settled


def test_a_definition_may_be_changed_within_a_transaction_which_it_ends(stage: Stage) -> None:
    cluster = knowing(stage).service.cluster
    client = stage.client()
    before = cluster.changes
    client.begins(stage.one, WRITE)
    client.says("ALTER TABLE shop.t ADD d INT")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears("ALTER TABLE shop.t ADD d INT").says(ok())
    client.hears(ok())
    assert cluster.changes > before


def test_a_pinned_session_may_mean_another_table(build: Build) -> None:
    """A temporary one, for example."""
    stage = knowing(build())
    client = stage.client()
    client.runs(stage.one, "CREATE TEMPORARY TABLE shop.t (c INT AUTO_INCREMENT PRIMARY KEY)", ok())
    link = client.runs(stage.one, "INSERT INTO shop.t (c) VALUES (7)", ok(rows=1, insert_id=7))
    assert not client.session.relay.insert_ids.settled
    assert client.runs(stage.one, ID, rows("0")) is link


def test_it_is_taken_along_to_another_backend(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7)).breaks()
    stage.one.comes_up()
    client.says(ID)
    stage.one.hears("SET last_insert_id=7").says(ok())
    stage.one.hears(ID).says(rows("7"))
    client.hears(rows("7"))


def test_it_is_asked_for_and_set_ahead_of_what_would_tell_of_that(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    other.says("SET session_track_transaction_info='STATE'")
    stage.one.hears(ASKED).says(rows("7"))
    stage.one.hears("SET last_insert_id=0").says(ok())
    stage.one.hears("SET session_track_transaction_info='STATE'").says(ok())
    other.hears(ok())
    other.runs(stage.one, "BEGIN", ok())
    other.runs(stage.one, INSERT, ok(rows=1, insert_id=8))
    other.runs(stage.one, ID, rows("8"))


def test_another_session_does_not_overwrite_it(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    other.says(INSERT)
    stage.one.hears(ASKED).says(rows("7"))
    stage.one.hears(INSERT).says(ok(rows=1, insert_id=8))
    other.hears(ok(rows=1, insert_id=8))
    client.says(ID)
    stage.one.hears("SET last_insert_id=7").says(ok())
    stage.one.hears(ID).says(rows("7"))
    client.hears(rows("7"))
    other.says(ID)
    other.hears_nothing()
    while stage.one.heard:
        link, raws = stage.one.heard[0]
        stage.one.hears(*raws)
        link.says(rows("8") if b"SELECT" in raws[0] else ok())
    other.hears(rows("8"))


def test_a_session_that_never_had_one_is_not_told_anothers(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    other.says(ID)
    for _ in range(3):
        link, raws = stage.one.heard[0]
        said = told(raws[0])
        stage.one.hears(said)
        if said == ID:
            link.says(rows("0"))
            break
        link.says(rows("7") if said == ASKED else ok())
        last = said
    assert last == "SET last_insert_id=0"
    other.hears(rows("0"))


def test_a_reset_does_not_lose_it(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET sql_mode='ANSI'", ok())
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    other.says(READ)
    stage.one.hears(ASKED).says(rows("7"))
    stage.one.hears(RESET).says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_a_new_connection_is_better_than_asking_for_it(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    assert other.runs(stage.one, INSERT, ok(rows=1, insert_id=8)) is not link


def test_nobody_asks_for_the_id_of_a_session_that_has_gone(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1, insert_id=7))
    client.vanishes()
    other.runs(stage.one, INSERT, ok(rows=1, insert_id=8))


# -- read your writes -------------------------------------------------------------------------------------------------


def moved_to_two(stage: Stage) -> None:
    """One is no writer any more, and two is."""
    stage.two.comes_up()
    stage.one.goes_down()


def test_after_a_write_a_read_elsewhere_waits_for_it(build: Build) -> None:
    stage = build()
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(READ)
    wait = stage.two.hears(WAIT)
    stage.quiet()
    wait.says(ok())
    link = stage.two.hears(READ).says(rows("1"))
    client.hears(rows("1"))
    # It has waited, and does not wait again; nobody waits for the answer to that.
    client.says(READ)
    assert stage.two.hears(DO_NOT_WAIT) is link
    assert stage.two.hears(READ).says(ok(), rows("2")) is link
    client.hears(rows("2"))
    client.runs(stage.two, READ, rows("3"))


@pytest.mark.parametrize(
    "statement",
    [
        "DO (SELECT COUNT(*) FROM t)",
        "SET @a = (SELECT MAX(c) FROM t)",
        "LOAD DATA LOCAL INFILE 'f' INTO TABLE t",
        "CREATE TEMPORARY TABLE u AS SELECT c FROM t",
        "LOCK TABLES t READ",
        "CALL p()",
        command(0x02, b"shop"),
        command(0x04, b"t\0"),
    ],
)
def test_what_the_node_would_run_without_waiting_is_not_sent_before_something_has_waited(
    stage: Stage, statement: str | bytes
) -> None:
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(statement)
    stage.two.hears(WAIT).says(ok())
    wait = stage.two.hears(SYNC_WAIT.just.decode())
    stage.quiet()
    wait.says(rows("1"))
    if statement == "CALL p()":  # it might ask for what the statement before it has left
        stage.two.hears(statement).says(error(1146))
    else:
        stage.two.hears(DO_NOT_WAIT)
        stage.two.hears(statement).says(ok(), error(1146))
    assert client.hears_error(1146)


def test_a_backend_that_waits_on_anothers_account_does_not_pass_for_one_that_has_waited(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    other.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(READ)
    stage.two.hears(WAIT).says(ok())
    link = stage.two.hears(READ).says(rows("1"))
    client.hears(rows("1"))
    client.vanishes()
    load = "LOAD DATA LOCAL INFILE 'f' INTO TABLE t"  # does not wait by itself
    other.says(load)
    wait = stage.two.hears(SYNC_WAIT.just.decode())
    assert wait is link
    stage.quiet()
    wait.says(rows("1"))
    stage.two.hears(DO_NOT_WAIT)
    stage.two.hears(load).says(ok(), error(1146))
    assert other.hears_error(1146)


@pytest.mark.parametrize(
    ("statement", "reply"),
    [
        (f"{INSERT}; {WRITE}", ok(AUTO | SERVER_MORE_RESULTS_EXISTS, rows=1) + error_packet(2, 1205, "HY000", "")),
        ("DROP TABLE t, u", error(1051)),
    ],
)
def test_of_what_failed_half_way_a_part_may_have_been_committed(stage: Stage, statement: str, reply: bytes) -> None:
    client = stage.client()
    client.runs(stage.one, statement, reply)
    client.runs(stage.one, READ, rows("1"))
    moved_to_two(stage)
    client.says(READ)
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(READ).says(rows("1"))
    client.hears(rows("1"))


def test_a_transaction_that_wrote_counts_when_it_is_committed(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.runs(stage.one, "COMMIT", ok())
    moved_to_two(stage)
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(OPENING).says(ok(TRANS))
    stage.two.hears(READ).says(rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.says("COMMIT")
    stage.two.hears("COMMIT").says(ok())
    client.hears(ok())


def test_nothing_is_sent_behind_a_begin_that_may_have_to_wait(stage: Stage) -> None:
    """START TRANSACTION READ WRITE lifts the guard before it waits: if that fails, a write behind it is let through."""
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(WAIT).says(ok())
    refused = stage.two.hears(OPENING).says(error(1205))
    stage.passes(0.1)
    assert refused.closed
    link = stage.somewhere(GUARD).says(ok())
    link.node.hears(WAIT).says(ok())
    link.node.hears(OPENING).says(ok(TRANS))
    link.node.hears(INSERT).says(ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_what_did_not_write_or_was_rolled_back_is_not_waited_for(stage: Stage, end: str) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT if end == "ROLLBACK" else READ)
    client.runs(stage.one, end, ok())
    moved_to_two(stage)
    client.runs(stage.two, READ, rows("1"))


def test_a_wait_that_runs_out_keeps_the_statement_from_running_and_another_node_is_asked(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(READ)
    stage.two.hears(WAIT).says(ok())
    late = stage.two.hears(READ)
    stage.three.comes_up()
    late.says(error(1205))
    stage.passes(0.1)
    stage.somewhere(WAIT).says(ok())
    stage.somewhere(READ).says(rows("1"))
    client.hears(rows("1"))


def test_a_backend_that_does_not_stop_waiting_is_not_used_again(stage: Stage) -> None:
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(READ)
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(READ).says(rows("1"))
    client.hears(rows("1"))
    client.says(READ)
    stage.two.hears(DO_NOT_WAIT)
    link = stage.two.hears(READ).says(error(1193), rows("2"))
    client.hears(rows("2"))
    assert link.closed
    client.runs(stage.two, READ, rows("3"))


def test_a_session_that_has_written_nothing_does_not_wait_on_anothers_account(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    moved_to_two(stage)
    client.says(READ)
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(READ).says(rows("1"))
    client.hears(rows("1"))
    other.says(READ)
    stage.two.hears(DO_NOT_WAIT)
    stage.two.hears(READ).says(ok(), rows("1"))
    other.hears(rows("1"))


def test_locking_reads_of_a_table_meet_on_one_node(build: Build) -> None:
    stage = build(up=("one", "two", "three"))
    for node in stage.nodes:
        node.answers(lambda said: rows(status=TRANS) if said == LOCKING else ok(TRANS))
    for _ in range(6):
        client = stage.client()
        client.says("BEGIN", LOCKING)
        client.hears(ok(TRANS), rows(status=TRANS))
    assert sorted(len(node.pool.leased) for node in stage.nodes) == [0, 0, 6]


def test_a_new_owner_first_waits_for_what_the_old_one_committed(stage: Stage) -> None:
    """For a while after the set of writers changed: with each transaction, whoever's it is."""
    stage.passes(10)
    client = stage.client()
    client.says("BEGIN", LOCKING)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(WAIT).says(ok())  # as far as is known, the writers changed just now
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(LOCKING).says(rows(status=TRANS))
    client.hears(rows(status=TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())
    stage.passes(5)
    later = stage.client()
    later.says("BEGIN", LOCKING)
    later.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, LOCKING).says(ok(TRANS), rows(status=TRANS))
    later.hears(rows(status=TRANS))
    later.runs(stage.one, "COMMIT", ok())


# -- no backend to be had ---------------------------------------------------------------------------------------------


def test_a_node_that_does_not_let_us_in_is_left_for_another(stage: Stage) -> None:
    stage.two.comes_up()
    stage.one.refuses = stage.two.refuses = ConnectFailed(2003, "Connection refused")
    stage.two.refuses = None
    clients = [stage.client() for _ in range(4)]
    for client in clients:
        client.runs(stage.two, READ, rows("1"))
    assert stage.one.member.state in (NodeState.UP, NodeState.DOWN)
    client = stage.client()
    client.runs(stage.two, INSERT, ok(rows=1))


def test_a_full_node_is_spared_and_its_error_told_when_there_is_no_other(stage: Stage) -> None:
    stage.one.refuses = ConnectFailed(1040, "Too many connections", "08004")
    client = stage.client()
    client.says(INSERT)
    stage.passes(0.1)
    assert client.hears_error(1040, "08004").message == "Too many connections"
    assert stage.one.member.state is NodeState.UP


def test_a_full_node_is_left_for_another_at_once(stage: Stage) -> None:
    stage.two.comes_up()
    stage.three.comes_up()
    stage.one.refuses = stage.three.refuses = ConnectFailed(1040, "Too many connections", "08004")
    clients = [stage.client() for _ in range(6)]
    for client in clients:
        client.runs(stage.two, READ, rows("1"))


def test_nobody_waits_while_another_node_has_room(build: Build) -> None:
    stage = build(up=("one", "two", "three"), pool=Pool(max_backends=1))
    clients = [stage.client() for _ in range(3)]
    links = []
    for client in clients:
        client.says("SELECT id FROM t")
        links.append(stage.somewhere("SELECT id FROM t"))
    assert len({link.node for link in links}) == 3
    for client, link in zip(clients, links, strict=True):
        link.says(rows("1"))
        client.hears(rows("1"))


def test_who_waits_gets_what_becomes_free_first_on_whatever_node(build: Build) -> None:
    stage = build(up=("one", "two"), pool=Pool(max_backends=1))
    holders = [stage.client() for _ in range(2)]
    links = []
    for holder in holders:
        holder.says(INSERT)
        links.append(stage.somewhere(INSERT))
    waiting = stage.client()
    waiting.says(READ)
    stage.quiet()
    for holder, link in zip(holders, links, strict=True):
        link.says(ok(rows=1))
        holder.hears(ok(rows=1))
        if holder is holders[0]:
            stage.somewhere(READ).says(rows("1"))
            waiting.hears(rows("1"))
    assert not stage.one.pool.waiting
    assert not stage.two.pool.waiting


def test_a_session_whose_state_has_changed_goes_back_to_its_own_backend(stage: Stage) -> None:
    """A guarded one for its transaction, and the same one after it: another session's is left alone."""
    client, other = stage.client(), stage.client()
    other.says(READ)
    client.says(READ)
    others = stage.one.hears(READ).says(rows("1"))
    own = stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    client.hears(rows("1"))
    client.begins(stage.one, INSERT)
    assert client.runs(stage.one, "COMMIT", ok()) is own
    client.says(INSERT)
    stage.one.hears("SET SESSION TRANSACTION READ WRITE").says(ok())
    assert stage.one.hears(INSERT).says(ok(rows=1)) is own
    client.hears(ok(rows=1))
    assert others is not own
    assert stage.one.pool.size == 2


def test_without_a_writer_a_client_waits_for_one(stage: Stage) -> None:
    client = stage.client()
    stage.one.goes_down()
    client.says(INSERT)
    stage.passes(9.9)
    client.hears_nothing()
    stage.two.comes_up()
    stage.two.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_and_not_for_ever(build: Build) -> None:
    stage = build(limits=Limits(writer_wait=3.0))
    client = stage.client()
    stage.one.goes_down()
    client.says(INSERT)
    stage.passes(2.9)
    client.hears_nothing()
    stage.passes(0.2)
    assert "waited 3 s" in client.hears_error(3168).message
    client.says("BEGIN", "COMMIT")  # no node is needed for that
    client.hears(ok(TRANS), ok())


def test_a_client_that_leaves_while_it_waits_leaves_nothing(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET @a = NOW()", ok())
    other.says(READ)
    assert stage.one.pool.waiting == 1
    other.vanishes()
    assert stage.one.pool.waiting == 0


def test_a_client_that_leaves_while_a_backend_connects_leaves_nothing(stage: Stage) -> None:
    stage.one.slow = True
    client = stage.client()
    client.says(READ)
    assert stage.one.pool.connecting == 1
    client.vanishes()
    assert stage.one.pool.size == 0
    stage.one.lets_in()


def test_no_backend_in_time_is_an_error_that_names_the_limit(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1, acquire_timeout=2.0))
    client, other = stage.client(), stage.client()
    client.begins(stage.one, INSERT)
    other.says(INSERT)
    stage.passes(1.9)
    other.hears_nothing()
    stage.passes(0.2)
    assert "within 2 s" in other.hears_error(1040, "08004").message
    client.runs(stage.one, "COMMIT", ok())
    other.says(READ)
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


# -- a node that cannot do what goes ahead of a command ----------------------------------------------------------------

NOT_READY = error(1047, "WSREP has not yet prepared node for application use")


def test_who_refuses_what_goes_ahead_since_it_left_the_cluster_is_not_asked_again(build: Build) -> None:
    stage = build(up=("one", "two"))
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    refused = stage.somewhere(GUARD).says(NOT_READY)
    assert refused.closed
    assert refused.node.member.state is NodeState.DOWN
    link = stage.somewhere(GUARD).says(ok())
    assert link.node is not refused.node
    link.node.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))


def test_while_every_node_refuses_the_command_waits_for_one_that_does_not(build: Build) -> None:
    """A cluster that regroups: each node says so for a moment, and thirty attempts are made in less than that."""
    stage = build(up=("one", "two"))
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    for _ in range(2):
        stage.somewhere(GUARD).says(NOT_READY)
    stage.quiet()
    stage.passes(5)
    client.hears_nothing()
    stage.two.comes_up()
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
