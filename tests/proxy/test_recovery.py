"""After a node was lost nothing gets in between the replays that take their locks back, but nobody waits for ever."""

import asyncio

from proxy.cluster import RECOVERY_PATIENCE
from proxy.recovery import Recovery
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

INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
LOCKING = "SELECT c FROM t WHERE id = 1 FOR UPDATE"


def waits(clock: Clock, recovery: Recovery) -> "asyncio.Task[None]":
    task = clock.create_task(recovery.settled())
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
    clock.does(lambda: recovery.enter("a"))
    clock.does(lambda: recovery.enter("b"))
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
    clock.does(lambda: recovery.enter("a"))
    recovery.leave("b")
    assert not waits(clock, recovery).done()
    recovery.leave("a")
    recovery.leave("a")
    assert waits(clock, recovery).done()
    clock.close()


def test_patience_counts_from_the_first_and_ends() -> None:
    clock = Clock()
    recovery = recovery_on(clock, 2.0)
    clock.does(lambda: recovery.enter("a"))
    clock.passes(1.5)
    clock.does(lambda: recovery.enter("b"))
    waiting = waits(clock, recovery)
    clock.passes(0.4)
    assert not waiting.done()
    clock.passes(0.2)
    assert waiting.done()
    assert waits(clock, recovery).done()  # nor does who comes later
    clock.close()


def test_a_new_loss_is_a_new_wait() -> None:
    clock = Clock()
    recovery = recovery_on(clock, 2.0)
    clock.does(lambda: recovery.enter("a"))
    recovery.leave("a")
    clock.passes(5)
    clock.does(lambda: recovery.enter("b"))
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
    stage.passes(RECOVERY_PATIENCE - 0.1)
    stage.quiet()
    stage.passes(0.2)
    assert stage.two.hears(UPDATE).says(ok(TRANS, rows=1)) is mine
    first.hears(ok(TRANS, rows=1))


def first_backend(client: Client) -> int:
    lease = client.session.relay.lease
    assert lease is not None
    return lease.thread_id


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
    stage.two.hears(GUARD).says(ok())
    stage.two.hears(WAIT).says(ok())
    stage.two.hears(OPENING).says(ok(TRANS))
    stage.two.hears(LOCKING).says(rows(status=TRANS))
    second.hears(rows(status=TRANS))


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
