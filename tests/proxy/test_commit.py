"""Commits that leave a marker: each is one statement, and one whose answer was lost is looked up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from config import Limits, Replay
from proxy.connector import CHARSET
from proxy.equip import CLEARS_WARNINGS
from tests.proxy.scripted import (
    AUTO,
    COMMIT_MARKED,
    GUARD,
    MANUAL_TRANS,
    OPENING,
    TAKE_SLOT,
    TRANS,
    UNGUARD,
    WAIT,
    Client,
    Link,
    Node,
    Stage,
    command,
    error,
    ok,
    prepared,
    query,
    rows,
    told,
)
from tests.proxy.test_kept import numbers, warnings
from tests.proxy.test_prepared import execute, prepare

Build = Callable[..., Stage]
INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"
COMMITTED = ok(AUTO, rows=1)  # CALL's own
PLAIN = "COMMIT AND NO CHAIN NO RELEASE"
ROLLBACK = "ROLLBACK AND NO CHAIN NO RELEASE"


@pytest.fixture
def stage(build: Build) -> Stage:
    """Two nodes are up, and commits are marked."""
    return build(up=("one", "two"), marker=True)


def begins(client: Client, node: Node, *, text: str = INSERT, reply: bytes = ok(TRANS, rows=1, insert_id=7)) -> Link:
    """BEGIN and a first write, on a backend that gets its slot and its guard first."""
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says(text)
    opens(client.stage, node)
    link = node.hears(OPENING, text).says(ok(TRANS), reply)
    client.hears(reply)
    return link


def opens(stage: Stage, node: Node) -> Link:
    """A backend that nobody has used gets its slot, and then its guard."""
    node.hears(OPENING).says(ok(TRANS))
    take(stage, node)
    return node.hears(GUARD).says(ok())


def take(stage: Stage, node: Node) -> Link:
    link, (raw,) = node.heard.popleft()
    assert told(raw).startswith(TAKE_SLOT), told(raw)
    assert stage.call(told(raw)) is None
    return link.says(ok(rows=1))


def hears_call(node: Node) -> tuple[Link, str]:
    link, raws = node.heard.popleft()
    (said,) = map(told, raws)
    assert said.startswith(COMMIT_MARKED), said
    return link, said


def commits(stage: Stage, node: Node, reply: bytes = COMMITTED) -> Link:
    """The node hears the CALL and does what it says."""
    link, said = hears_call(node)
    assert stage.call(said) is None
    return link.says(reply)


@pytest.fixture(params=["one", "two"])
def there(request: pytest.FixtureRequest, stage: Stage) -> tuple[Client, Node]:
    """A client whose backends will be on this node."""
    node = getattr(stage, request.param)
    (stage.two if node is stage.one else stage.one).goes_down()
    return stage.client(), node


def writer(stage: Stage) -> Client:
    """A client that will be on node one, with node two to be asked."""
    stage.two.goes_down()
    client = stage.client()
    begins(client, stage.one)
    stage.two.comes_up()
    return client


# -- all is well ------------------------------------------------------------------------------------------------------


def test_a_commit_is_one_statement_and_its_ok_is_a_commits(there: tuple[Client, Node]) -> None:
    client, node = there
    begins(client, node)
    client.says("COMMIT")
    commits(client.stage, node)
    client.hears(ok(AUTO))
    assert client.stage.service.metrics.markers_written[node.name] == 1


def test_each_commit_counts_the_slot_up(stage: Stage) -> None:
    client = writer(stage)
    for number in (1, 2, 3):
        client.says("COMMIT")
        link, said = hears_call(stage.one)
        assert said.endswith(f", {number}, NULL)")
        assert stage.call(said) is None
        link.says(COMMITTED)
        client.hears(ok(AUTO))
        client.says("BEGIN")
        client.hears(ok(TRANS))
        client.says(INSERT)
        stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
        client.hears(ok(TRANS, rows=1))
    client.says("ROLLBACK")
    stage.one.hears("ROLLBACK").says(ok())
    client.hears(ok())


def test_what_only_read_needs_no_marker(there: tuple[Client, Node]) -> None:
    client, node = there
    begins(client, node, text=READ, reply=rows("1", status=TRANS))
    client.says("COMMIT")
    node.hears("COMMIT").says(ok())
    client.hears(ok())


def test_chain_is_the_procedures_too(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT AND CHAIN")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    link, said = hears_call(stage.one)
    assert said.endswith(", 1)")
    stage.call(said)
    link.says(ok(TRANS, rows=1))
    client.hears(ok(TRANS))
    client.runs(stage.one, "ROLLBACK", ok())


def test_release_closes_the_connection(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT RELEASE")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    commits(stage, stage.one)
    client.hears(ok(AUTO))
    assert client.closed


def test_begin_within_a_transaction_commits_it_with_a_marker(stage: Stage) -> None:
    client = writer(stage)
    client.says("BEGIN")
    commits(stage, stage.one)
    client.hears(ok(TRANS))


def test_autocommit_on_commits_with_a_marker_first(stage: Stage) -> None:
    stage.two.goes_down()
    client = stage.client()
    client.says("SET autocommit=0")
    stage.one.hears(OPENING).says(ok(TRANS))
    take(stage, stage.one)
    stage.one.hears("SET autocommit=0").says(ok(0))
    client.hears(ok(0))
    client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    client.says("SET autocommit=1")
    commits(stage, stage.one, ok(0, rows=1))
    stage.one.hears("SET autocommit=1").says(ok(AUTO))
    client.hears(ok(AUTO))


# -- a statement that commits by itself -------------------------------------------------------------------------------


def alone(stage: Stage, client: Client, reply: bytes = ok(TRANS, rows=1, insert_id=7)) -> Link:
    client.says(INSERT)
    opens(stage, stage.one)
    return stage.one.hears(OPENING, INSERT).says(ok(TRANS), reply)


@pytest.fixture
def single(stage: Stage) -> Client:
    """A client for whom node one is the only one."""
    stage.two.goes_down()
    return stage.client()


def test_a_write_runs_then_commits_then_is_answered(stage: Stage, single: Client) -> None:
    alone(stage, single)
    single.hears_nothing()
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1, insert_id=7))


def test_a_prepared_write_too(stage: Stage, single: Client) -> None:
    single.says(prepare(INSERT))
    stage.one.hears(OPENING).says(ok(TRANS))
    take(stage, stage.one)
    stage.one.hears(f"COM_STMT_PREPARE {INSERT}").says(prepared(1))
    single.hears(prepared(1))
    single.says(execute(1))
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, "COM_STMT_EXECUTE 1").says(ok(TRANS), ok(TRANS, rows=1))
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1))


def test_a_write_that_is_refused_leaves_nothing(stage: Stage, single: Client) -> None:
    single.says(INSERT)
    opens(stage, stage.one)
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), error(1062))
    stage.one.hears(ROLLBACK).says(ok())
    single.hears(error(1062))
    single.says(INSERT)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1))


def test_a_write_that_lost_a_conflict_at_its_commit_is_run_again(stage: Stage, single: Client) -> None:
    alone(stage, single)
    link, _ = hears_call(stage.one)
    link.says(error(1213))
    stage.passes(0.1)
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1, insert_id=9))
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1, insert_id=9))


NOTE = ("Note", 1265, "Data truncated")


def test_warnings_are_asked_for_ahead_of_the_commit_and_told_from_memory(stage: Stage, single: Client) -> None:
    alone(stage, single, ok(TRANS, rows=1, warnings=1))
    stage.one.hears("SHOW WARNINGS").says(warnings(NOTE, status=TRANS))
    single.hears_nothing()
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1, warnings=1))
    single.says("SHOW WARNINGS")
    single.hears(warnings(NOTE))
    assert not stage.service.metrics.commits_unmarked


def test_warnings_that_there_is_no_room_for_are_left_to_a_plain_commit(build: Build) -> None:
    stage = build(marker=True, limits=Limits(kept_answer_bytes=0))
    single = stage.client()
    alone(stage, single, ok(TRANS, rows=1, warnings=1))
    stage.one.hears("SHOW WARNINGS").says(warnings(NOTE, status=TRANS))
    stage.one.hears(PLAIN).says(ok())
    single.hears(ok(AUTO, rows=1, warnings=1))
    single.runs(stage.one, "SHOW WARNINGS", warnings(NOTE))
    assert stage.service.metrics.commits_unmarked["warnings"] == 1


def test_warnings_of_a_run_that_was_undone_are_not_told(stage: Stage, single: Client) -> None:
    link = alone(stage, single, ok(TRANS, rows=1, warnings=1))
    stage.one.hears("SHOW WARNINGS").says(warnings(NOTE, status=TRANS))
    hears_call(stage.one)
    link.says(error(1213))
    stage.passes(0.1)
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(INSERT).says(ok(TRANS, rows=1))
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1))
    single.says("SHOW WARNINGS")
    stage.one.hears(CLEARS_WARNINGS.decode()).says(ok())
    stage.one.hears("SHOW WARNINGS").says(warnings())
    single.hears(warnings())


def test_the_warnings_of_a_write_whose_answer_was_lost_are_told(stage: Stage, single: Client) -> None:
    alone(stage, single, ok(TRANS, rows=1, warnings=1))
    stage.one.hears("SHOW WARNINGS").says(warnings(NOTE, status=TRANS))
    stage.two.comes_up()
    link, said = hears_call(stage.one)
    assert stage.call(said) is None
    link.breaks()
    single.hears(ok(AUTO, rows=1, warnings=1))
    single.says("SHOW WARNINGS")
    single.hears(warnings(NOTE))


def test_what_a_group_would_clear_is_asked_for_ahead_of_the_rollback_too(build: Build) -> None:
    stage = build(flavor="group-replication", marker=True)
    single = stage.client()
    single.says(INSERT)
    stage.one.hears(CHARSET.decode()).says(rows("SET NAMES utf8mb4"))
    opens(stage, stage.one)
    link = stage.one.hears(OPENING, INSERT).says(ok(TRANS), error(1062))
    single.hears(error(1062))
    stage.one.hears("SHOW WARNINGS")
    fault = ("Error", 1062, "Duplicate entry")
    link.says(warnings(fault, status=TRANS))
    stage.one.hears("SELECT FOUND_ROWS() LIMIT 1")
    link.says(numbers(1))
    stage.one.hears(ROLLBACK)
    link.says(ok())
    single.says("SHOW WARNINGS")
    single.hears(warnings(fault))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a INT)",
        "INSERT INTO t VALUES (1) RETURNING c",
        "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
        "CALL p()",
    ],
)
def test_what_cannot_be_marked_goes_as_it_is_and_is_counted(stage: Stage, single: Client, sql: str) -> None:
    single.says(sql)
    stage.one.hears(OPENING).says(ok(TRANS))
    take(stage, stage.one)
    stage.one.hears(sql).says(ok())
    single.hears(ok())
    assert stage.service.metrics.commits_unmarked == {"not_markable": 1}


def test_a_commit_within_a_definition_is_counted(stage: Stage) -> None:
    client = writer(stage)
    client.says("CREATE TABLE x (a INT)")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears("CREATE TABLE x (a INT)").says(ok())
    client.hears(ok())
    assert stage.service.metrics.commits_unmarked == {"not_markable": 1}


@pytest.mark.parametrize("sql", [READ, "SHOW TABLES"])
def test_what_commits_nothing_is_not_counted(stage: Stage, single: Client, sql: str) -> None:
    single.says(sql)
    stage.one.hears(OPENING).says(ok(TRANS))
    take(stage, stage.one)
    stage.one.hears(sql).says(rows("1"))
    single.hears(rows("1"))
    assert not stage.service.metrics.commits_unmarked


# -- the answer is lost -----------------------------------------------------------------------------------------------


def settles(stage: Stage) -> None:
    stage.passes(0.5)


@pytest.mark.parametrize("cut", range(len(COMMITTED)))
@pytest.mark.parametrize("kind", ["transaction", "alone"])
def test_committed_and_cut_at_every_byte_of_the_answer(stage: Stage, kind: str, cut: int) -> None:
    if kind == "alone":
        stage.two.goes_down()
        client = stage.client()
        alone(stage, client)
        stage.two.comes_up()
    else:
        client = writer(stage)
        client.says("COMMIT")
    link, said = hears_call(stage.one)
    assert stage.call(said) is None
    if cut:
        link.says(COMMITTED[:cut])
    link.breaks()
    settles(stage)
    client.hears(ok(AUTO, rows=1, insert_id=7) if kind == "alone" else ok(AUTO))
    metrics = stage.service.metrics
    assert metrics.marker_lookups["committed"] == 1
    assert not sum(metrics.unknown_outcomes.values())


@pytest.mark.parametrize("kind", ["transaction", "alone"])
def test_lost_before_it_was_committed_it_is_run_again_and_the_first_can_land_no_more(stage: Stage, kind: str) -> None:
    if kind == "alone":
        stage.two.goes_down()
        client = stage.client()
        alone(stage, client)
        stage.two.comes_up()
    else:
        client = writer(stage)
        client.says("COMMIT")
    link, said = hears_call(stage.one)
    link.breaks()
    settles(stage)
    assert stage.service.metrics.marker_lookups["rolled_back"] == 1
    assert stage.call(said) is not None, "the commit lands late, and finds its number taken"
    node = stage.two
    node.hears(WAIT).says(ok())  # its slot is the one in which the tombstone is
    node.hears("BEGIN").says(ok(TRANS))
    node.hears(INSERT).says(ok(TRANS, rows=1, insert_id=7))
    commits(stage, node)
    client.hears(ok(AUTO, rows=1, insert_id=7) if kind == "alone" else ok(AUTO))


def test_begun_again_behind_a_commit_that_was_found(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT AND CHAIN")
    stage.one.hears(UNGUARD).says(ok(TRANS))
    link, said = hears_call(stage.one)
    stage.call(said)
    link.breaks()
    settles(stage)
    client.hears(ok(TRANS))
    client.says("ROLLBACK")
    client.hears(ok(AUTO))


@pytest.mark.parametrize("landed", [True, False])
def test_killed_in_its_commit(stage: Stage, landed: bool) -> None:
    """KILL QUERY's error does not tell; and what somebody wished to end is not run again."""
    client = writer(stage)
    client.says("COMMIT")
    link, said = hears_call(stage.one)
    if landed:
        stage.call(said)
    link.says(error(1317))
    settles(stage)
    client.hears(ok(AUTO) if landed else error(1317))
    assert link.closed


def test_nobody_can_be_asked_and_the_outcome_is_unknown(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT")
    hears_call(stage.one)
    for node in (stage.two, stage.one):
        node.dies()
    stage.passes(29)
    client.hears_nothing()
    stage.passes(2)
    client.hears_error(1180, "08007")
    metrics = stage.service.metrics
    assert metrics.marker_lookups["unknown"] == 1
    assert metrics.unknown_outcomes[stage.one.name] == 1
    for node in (stage.one, stage.two):
        node.comes_up()


def test_not_replayed_where_that_is_off_but_the_error_is_definite(build: Build) -> None:
    stage = build(up=("one", "two"), marker=True, replay=Replay(enabled=False))
    client = writer(stage)
    client.says("COMMIT")
    link, _ = hears_call(stage.one)
    link.breaks()
    settles(stage)
    client.hears_error(1213, "40001")


def test_the_client_leaves_while_its_commit_is_looked_up(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT")
    hears_call(stage.one)
    for node in (stage.two, stage.one):
        node.dies()
    client.vanishes()
    for node in (stage.one, stage.two):
        node.comes_up()


# -- the marker is not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1305, 1370, 1792])
@pytest.mark.parametrize("kind", ["transaction", "alone"])
def test_without_the_procedure_the_commit_is_plain(stage: Stage, kind: str, code: int) -> None:
    if kind == "alone":
        stage.two.goes_down()
        client = stage.client()
        alone(stage, client)
    else:
        client = writer(stage)
        client.says("COMMIT")
    link, _ = hears_call(stage.one)
    link.says(error(code))
    stage.one.hears(PLAIN if kind == "alone" else "COMMIT").says(ok())
    client.hears(ok(AUTO, rows=1, insert_id=7) if kind == "alone" else ok(AUTO))
    assert sum(stage.service.metrics.commits_unmarked.values()) == 1


def test_without_a_slot_nothing_is_marked_for_a_while_and_then_it_is_tried_again(stage: Stage, single: Client) -> None:
    single.says(INSERT)
    stage.one.hears(OPENING).says(ok(TRANS))
    link, _ = stage.one.heard.popleft()
    link.says(error(1370))
    stage.one.hears("ROLLBACK AND NO CHAIN NO RELEASE").says(ok())
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    stage.one.hears(PLAIN).says(ok())
    single.hears(ok(AUTO, rows=1))
    single.says(INSERT)
    stage.one.hears(UNGUARD).says(ok())
    stage.one.hears(INSERT).says(ok(rows=1))
    single.hears(ok(rows=1))
    stage.passes(11)
    single.says(INSERT)
    stage.one.hears(OPENING).says(ok(TRANS))
    take(stage, stage.one)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1))


def test_a_slot_outlives_its_backend(stage: Stage, single: Client) -> None:
    alone(stage, single)
    link = commits(stage, stage.one)
    single.hears(ok(AUTO, rows=1, insert_id=7))
    link.breaks()
    stage.one.comes_up()
    single.says(INSERT)
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    _, said = hears_call(stage.one)
    assert said.endswith(", 2, 0)")
    stage.call(said)
    stage.one.links[-1].says(COMMITTED)
    single.hears(ok(AUTO, rows=1))
    assert len(stage.slots) == 1


def test_off_nothing_of_it_is_seen(build: Build) -> None:
    stage = build()
    client = stage.client()
    client.says(INSERT)
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))
    client.begins(stage.one, INSERT)
    client.says(query("COMMIT"))
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())
    assert not stage.slots


def test_a_reset_session_keeps_its_markers(stage: Stage) -> None:
    client = writer(stage)
    client.says(command(0x1F))
    stage.one.hears("COM_RESET_CONNECTION").says(ok())
    client.hears(ok())
    assert client.session.relay.marks


# -- on and off while clients are there -------------------------------------------------------------------------------


def reloads(stage: Stage, endpoint: dict[str, Any], user: dict[str, Any] | None = None) -> None:
    """The settings file says this of the endpoint and of the user app, and is read again."""
    config = stage.service.config
    changed = replace(
        config,
        endpoints=(replace(config.endpoints[0], **endpoint),),
        users=(replace(config.users[0], **user or {}), *config.users[1:]),
    )
    ignored: list[str] = []
    stage.clock.does(lambda: ignored.extend(stage.service.reload(changed)))
    assert ignored == []


@pytest.mark.parametrize("where", ["endpoint", "user"])
def test_a_reload_turns_it_on_and_off_for_open_sessions(build: Build, where: str) -> None:
    stage = build()
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    on, off = ({"commit_marker": value} for value in (True, False))
    reloads(stage, *((on,) if where == "endpoint" else (off, on)))
    client.says(INSERT)
    opens(stage, stage.one)
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    commits(stage, stage.one)
    client.hears(ok(AUTO, rows=1))
    reloads(stage, off, {"commit_marker": None})
    client.says(INSERT)
    stage.one.hears(UNGUARD).says(ok())
    stage.one.hears(INSERT).says(ok(rows=1))
    client.hears(ok(rows=1))


def test_turned_on_within_a_transaction_its_commit_is_plain_and_counted(build: Build) -> None:
    stage = build()
    client = stage.client()
    client.begins(stage.one, INSERT)
    reloads(stage, {"commit_marker": True})
    client.runs(stage.one, "COMMIT", ok())
    assert stage.service.metrics.commits_unmarked == {"no_slot": 1}


def test_turned_off_within_a_commit_it_is_still_looked_up(stage: Stage) -> None:
    client = writer(stage)
    client.says("COMMIT")
    link, said = hears_call(stage.one)
    stage.call(said)
    reloads(stage, {"commit_marker": False})
    link.breaks()
    settles(stage)
    client.hears(ok(AUTO))


def test_what_a_user_says_counts_before_what_the_endpoint_does(build: Build) -> None:
    stage = build(marker=True)
    reloads(stage, {}, {"commit_marker": False})
    client = stage.client()
    client.runs(stage.one, INSERT, ok(rows=1))
    other = stage.client(user="other")
    other.says(INSERT)
    opens(stage, stage.one)
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    commits(stage, stage.one)
    other.hears(ok(AUTO, rows=1))
