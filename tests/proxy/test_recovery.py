"""After a node was lost nothing gets in between the replays that take their locks back, but nobody waits for ever."""

import asyncio
from collections.abc import Callable

from config import Limits, Replay
from proxy.login import ConnectFailed
from proxy.recovery import Recovery
from router.flavor import GALERA
from tests.proxy.scripted import (
    GUARD,
    OPENING,
    TRANS,
    WAIT,
    Client,
    Clock,
    Stage,
    ok,
    rows,
)
from tests.proxy.test_commit import hears_call, opens, take

Build = Callable[..., Stage]
INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
LOCKING = "SELECT c FROM t WHERE id = 1 FOR UPDATE"


def waits(clock: Clock, recovery: Recovery, *, holds: bool = False) -> "asyncio.Task[None]":
    task = clock.create_task(recovery.settled(holds=holds))
    clock.settle()
    return task


def recovery_on(clock: Clock, patience: float = 2.0) -> Recovery:
    async def make() -> Recovery:
        return Recovery(patience)

    made: Recovery = clock.finish(make())
    return made


def test_nobody_waits_when_nobody_replays() -> None:
    clock = Clock()
    assert waits(clock, recovery_on(clock)).done()
    clock.close()


def test_all_wait_for_the_last_replay() -> None:
    clock = Clock()
    recovery = recovery_on(clock)
    clock.does(lambda: recovery.enter("a", "one"))
    clock.does(lambda: recovery.enter("b", "one"))
    waiting = waits(clock, recovery)
    recovery.leave("a")
    clock.settle()
    assert not waiting.done()
    clock.does(lambda: recovery.leave("b"))
    assert waiting.done()
    clock.close()


def test_leaving_without_having_entered_is_nothing() -> None:
    clock = Clock()
    recovery = recovery_on(clock)
    clock.does(lambda: recovery.enter("a", "one"))
    recovery.leave("b")
    assert not waits(clock, recovery).done()
    recovery.leave("a")
    recovery.leave("a")
    assert waits(clock, recovery).done()
    clock.close()


def test_patience_counts_from_the_first_and_ends() -> None:
    clock = Clock()
    recovery = recovery_on(clock, 2.0)
    clock.does(lambda: recovery.enter("a", "one"))
    clock.passes(1.5)
    clock.does(lambda: recovery.enter("b", "one"))
    waiting = waits(clock, recovery)
    clock.passes(0.4)
    assert not waiting.done()
    clock.passes(0.2)
    assert waiting.done()
    assert waits(clock, recovery).done()  # nor does who comes later
    clock.close()


def test_patience_counts_anew_once_locks_can_be_taken_back() -> None:
    clock = Clock()
    recovery = recovery_on(clock)
    clock.does(recovery.prolong)
    assert waits(clock, recovery).done()
    clock.does(lambda: recovery.enter("a", "one"))
    clock.passes(1.9)
    clock.does(recovery.prolong)
    waiting = waits(clock, recovery)
    clock.passes(1.9)
    assert not waiting.done()
    clock.passes(0.2)
    assert waiting.done()
    clock.close()


def test_who_has_its_locks_waits_for_those_of_its_own_node_only() -> None:
    """One of another node may be waiting for these very locks."""
    clock = Clock()
    recovery = recovery_on(clock)
    clock.does(lambda: recovery.enter("a", "one"))
    holder, newcomer = waits(clock, recovery, holds=True), waits(clock, recovery)
    clock.settle()
    assert not holder.done()
    clock.does(lambda: recovery.enter("b", "two"))
    assert holder.done()
    clock.does(lambda: recovery.leave("b"))
    assert waits(clock, recovery, holds=True).done()
    assert not newcomer.done()
    clock.does(lambda: recovery.leave("a"))
    assert newcomer.done()
    clock.does(lambda: recovery.enter("c", "one"))
    assert not waits(clock, recovery, holds=True).done()
    clock.does(lambda: recovery.leave("c"))
    clock.close()


def test_who_is_looked_up_is_waited_for_until_it_is_known_and_then_as_any() -> None:
    clock = Clock()
    recovery = recovery_on(clock, 2.0)
    clock.does(lambda: recovery.enter("a", "one", 30.0))
    waiting = [waits(clock, recovery, holds=holds) for holds in (False, True)]
    clock.passes(20)
    assert not any(each.done() for each in waiting)

    def goes_on() -> None:
        recovery.leave("a")
        recovery.enter("a", "one")

    clock.does(goes_on)
    clock.passes(1.8)
    assert not any(each.done() for each in waiting)
    clock.passes(0.4)  # it has to wait for somebody's lock, which may be one of theirs
    assert all(each.done() for each in waiting)
    clock.does(lambda: recovery.leave("a"))
    clock.close()


def test_a_new_loss_is_a_new_wait() -> None:
    clock = Clock()
    recovery = recovery_on(clock, 2.0)
    clock.does(lambda: recovery.enter("a", "one"))
    recovery.leave("a")
    clock.passes(5)
    clock.does(lambda: recovery.enter("b", "one"))
    waiting = waits(clock, recovery)
    assert not waiting.done()
    clock.does(lambda: recovery.leave("b"))
    assert waiting.done()
    clock.close()


# -- among sessions ---------------------------------------------------------------------------------------------------


def test_a_statement_waits_until_all_have_their_locks_back(stage: Stage) -> None:
    """It was in flight when the node was lost; on the new node it would get a row that the other still has to take."""
    first, second = stage.client(), stage.client()
    first.begins(stage.one, INSERT)
    second.begins(stage.one, INSERT)
    first.says(UPDATE)
    stage.one.hears(UPDATE)
    stage.one.dies()
    stage.two.comes_up()
    # Both run their journals ...
    links = [stage.two.hears(WAIT) for _ in range(2)]
    for link in links:
        link.says(ok())
    for _ in range(2):
        stage.two.hears("BEGIN").says(ok(TRANS))
    one, other = stage.two.hears(INSERT), stage.two.hears(INSERT)
    one.says(ok(TRANS, rows=1))
    stage.quiet()  # ... and who is ready first waits
    other.says(ok(TRANS, rows=1))
    stage.two.hears(UPDATE).says(ok(TRANS, rows=1))
    first.hears(ok(TRANS, rows=1))
    for client in (first, second):
        client.says("ROLLBACK")
        stage.two.hears("ROLLBACK").says(ok())
        client.hears(ok())


def test_but_not_longer_than_patience(stage: Stage) -> None:
    first, second = stage.client(), stage.client()
    first.begins(stage.one, INSERT)
    second.begins(stage.one, INSERT)
    first.says(UPDATE)
    stage.one.hears(UPDATE)
    stage.one.dies()
    stage.two.comes_up()
    for link in [stage.two.hears(WAIT) for _ in range(2)]:
        link.says(ok())
    for _ in range(2):
        stage.two.hears("BEGIN").says(ok(TRANS))
    links = [stage.two.hears(INSERT) for _ in range(2)]
    mine = next(link for link in links if link.thread_id == first_backend(first))
    mine.says(ok(TRANS, rows=1))  # the other waits for a lock that somebody else holds
    stage.passes(GALERA.recovery_patience - 0.1)
    stage.quiet()
    stage.passes(0.2)
    assert stage.two.hears(UPDATE).says(ok(TRANS, rows=1)) is mine
    first.hears(ok(TRANS, rows=1))


def test_of_two_lost_nodes_none_waits_for_who_waits_for_its_lock(stage: Stage) -> None:
    first, second = stage.client(), stage.client()
    first.begins(stage.one, UPDATE)
    stage.two.comes_up()
    stage.service.cluster.apply(stage.service.membership.drain(stage.one.member.name, stage.clock.time()))
    second.begins(stage.two, UPDATE)
    first.says(INSERT)
    stage.one.hears(INSERT)
    stage.three.comes_up()
    stage.one.dies()
    stage.two.dies()
    for link in [stage.three.hears(WAIT) for _ in range(2)]:
        link.says(ok())
    for _ in range(2):
        stage.three.hears("BEGIN").says(ok(TRANS))
    links = [stage.three.hears(UPDATE) for _ in range(2)]
    mine = next(link for link in links if link.thread_id == first_backend(first))
    mine.says(ok(TRANS, rows=1))  # the other has to wait for this row
    assert stage.three.hears(INSERT).says(ok(TRANS, rows=1)) is mine
    first.hears(ok(TRANS, rows=1))
    first.runs(stage.three, "COMMIT", ok())
    links[links[0] is mine].says(ok(TRANS, rows=1))
    second.runs(stage.three, "ROLLBACK", ok())


def test_what_others_are_waited_for_does_not_count_as_time_for_replays(build: Build) -> None:
    """A commit is looked up for longer than replays may take; those of its node wait for it, and get no error."""
    stage = build(up=("one",), marker=True, replay=Replay(max_time=5.0), limits=Limits(marker_wait=30.0))
    in_doubt, other = stage.client(), stage.client()
    for client in (in_doubt, other):
        client.says("BEGIN")
        client.hears(ok(TRANS))
        client.says(INSERT)
        opens(stage, stage.one)
        stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
        client.hears(ok(TRANS, rows=1))
    in_doubt.says("COMMIT")
    _, said = hears_call(stage.one)
    stage.two.refuses = ConnectFailed(2013, "no answer")
    other.says(UPDATE)
    stage.one.hears(UPDATE)
    stage.one.dies()
    asked = stage.service.cluster.markers
    found = asked._query

    async def nobody_says(*_: object) -> None:
        return None

    asked._query = nobody_says  # type: ignore[method-assign, assignment]
    stage.two.refuses = None
    stage.two.comes_up()
    stage.two.hears(OPENING).says(ok(TRANS))
    take(stage, stage.two)
    stage.two.hears(WAIT).says(ok())
    stage.two.hears("BEGIN").says(ok(TRANS))
    stage.two.hears(INSERT).says(ok(TRANS, rows=1))
    stage.passes(15)
    other.hears_nothing()
    stage.call(said)
    asked._query = found  # type: ignore[method-assign]
    stage.passes(0.2)
    in_doubt.hears(ok())
    stage.two.hears(UPDATE).says(ok(TRANS, rows=1))
    other.hears(ok(TRANS, rows=1))
    other.runs(stage.two, "ROLLBACK", ok())


def first_backend(client: Client) -> int:
    lease = client.session.relay.lease
    assert lease is not None
    return lease.thread_id


def locks(client: Client, stage: Stage) -> None:
    """Its transaction, which has waited, begins with the locking read."""
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(OPENING).says(ok(TRANS))
    stage.two.hears(LOCKING).says(rows(status=TRANS))
    client.hears(rows(status=TRANS))


def test_a_locking_read_waits_before_it_is_placed(stage: Stage) -> None:
    first, second = stage.client(), stage.client()
    first.begins(stage.one, INSERT)
    stage.one.dies()
    stage.two.comes_up()
    stage.two.hears(WAIT).says(ok())
    stage.two.hears("BEGIN").says(ok(TRANS))
    second.says("BEGIN", LOCKING)
    second.hears(ok(TRANS))
    replaying = stage.two.hears(INSERT)
    stage.quiet()
    replaying.says(ok(TRANS, rows=1))
    locks(second, stage)


def test_patience_with_replays_begins_when_the_survivors_have_regrouped(stage: Stage) -> None:
    first, second = stage.client(), stage.client()
    first.begins(stage.one, INSERT)
    stage.one.comes_up(view=1)
    stage.two.comes_up(view=1)
    stage.one.dies()
    stage.two.hears(WAIT).says(ok())
    begins = stage.two.hears("BEGIN")
    second.says("BEGIN", LOCKING)
    second.hears(ok(TRANS))
    stage.passes(GALERA.recovery_patience + 1)
    stage.quiet()
    stage.two.comes_up(view=2)
    stage.passes(GALERA.recovery_patience - 1)
    begins.says(ok(TRANS))
    replaying = stage.two.hears(INSERT)
    stage.quiet()
    replaying.says(ok(TRANS, rows=1))
    locks(second, stage)


def test_who_leaves_meanwhile_holds_up_nobody(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, INSERT)
    stage.one.dies()
    assert stage.service.cluster.recovery.active
    client.vanishes()
    assert not stage.service.cluster.recovery.active


def test_a_client_that_leaves_in_the_moment_of_its_nodes_loss_is_waited_for_by_nobody(stage: Stage) -> None:
    """Its replay was announced, and the task cancelled before its first step: nothing takes the announcement back."""
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    stage.clock.call_soon(link.wire.breaks, ConnectionResetError())
    stage.clock.call_soon(client.wire.breaks, ConnectionResetError())
    stage.clock.settle()
    assert not stage.service.cluster.recovery.active
