"""The backends of a node: who gets which, how many there may be, who waits for how long, and in what order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from config import Pool
from proxy.backend import Backend
from proxy.login import ConnectFailed
from proxy.pool import NodePool
from proxy.profile import Profile
from proxy.waiter import Exhausted
from proxy.wire.constants import COM_QUERY, COM_RESET_CONNECTION
from router.membership import NodeState
from router.session import State
from tests.proxy.conftest import Build
from tests.proxy.scripted import CAPABILITIES, Stage, command, error, ok, query, rows

RESET = command(COM_RESET_CONNECTION)
PLAIN = State()
ANSI = State(b"", (("sql_mode", "'ANSI'"),))
IN_APP = State(b"app")
APP = Profile("app", "", CAPABILITIES, 45)
OTHER = Profile("other", "", CAPABILITIES, 45)


class Desk:
    """Takes backends from the first node's pool as sessions do."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.pool = stage.one.pool

    def asks(
        self, profile: Profile = APP, state: State = PLAIN, guarded: bool | None = False, own: Backend | None = None
    ) -> "asyncio.Task[Backend]":
        task = self.stage.clock.create_task(self.pool.acquire(profile, state, guarded, own))
        self.stage.clock.settle()
        return task

    def gets(
        self, profile: Profile = APP, state: State = PLAIN, guarded: bool | None = False, own: Backend | None = None
    ) -> Backend:
        return self.asks(profile, state, guarded, own).result()

    def gives(self, backend: Backend) -> None:
        self.stage.clock.does(lambda: self.pool.release(backend))

    def recycles(self, backend: Backend) -> None:
        self.stage.clock.does(lambda: self.pool.recycle(backend))

    def closes(self, backend: Backend) -> None:
        self.stage.clock.does(lambda: self.pool.discard(backend))


def desk(build: Build, **pool: Any) -> Desk:
    return Desk(build(pool=Pool(**pool)))


# -- which one --------------------------------------------------------------------------------------------------------


def test_the_last_one_used_is_the_first_one_taken(build: Build) -> None:
    """So that those which are too many grow old."""
    at = desk(build)
    one, two = at.gets(), at.gets()
    at.gives(one)
    at.gives(two)
    assert at.gets() is two
    at.gives(two)


def test_a_sessions_own_last_one_comes_before_that(build: Build) -> None:
    at = desk(build)
    one, two = at.gets(), at.gets()
    at.gives(one)
    at.gives(two)
    assert at.gets(own=one) is one
    at.gives(one)


@pytest.mark.parametrize("change", ["state", "guarded", "lost", "taken"])
def test_unless_it_does_not_fit_any_more(build: Build, change: str) -> None:
    at = desk(build)
    one, two = at.gets(), at.gets()
    if change == "state":
        one.state = ANSI
    if change == "guarded":
        one.guarded = True
    at.gives(one)
    at.gives(two)
    if change == "lost":
        at.stage.one.links[0].breaks()
        at.stage.one.comes_up()
        at.gives(two)
    if change == "taken":
        at.pool.take(APP, PLAIN, False, one)
    got = at.gets(own=one)
    assert got is not one
    for backend in (one, two, got):
        at.gives(backend)


def test_take_asks_for_nothing_that_needs_work(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    one.state, one.guarded = ANSI, True
    at.gives(one)
    take = at.pool.take
    assert take(APP, PLAIN, True, None) is None
    assert take(APP, ANSI, False, None) is None
    assert take(OTHER, ANSI, True, None) is None
    assert take(APP, ANSI, True, None) is one
    assert take(APP, ANSI, True, None) is None  # nobody gets what is leased
    at.gives(one)


@pytest.mark.parametrize("guarded", [True, False])
def test_either_will_do_where_nothing_is_said(build: Build, guarded: bool) -> None:
    at = desk(build)
    one = at.gets()
    one.guarded = guarded
    at.gives(one)
    assert at.pool.take(APP, PLAIN, None, None) is one
    at.gives(one)


def test_an_unguarded_one_is_preferred_there(build: Build) -> None:
    at = desk(build)
    one, two = at.gets(), at.gets()
    two.guarded = True
    at.gives(one)
    at.gives(two)
    assert at.pool.take(APP, PLAIN, None, None) is one
    at.gives(one)


def test_one_in_another_state_is_better_than_a_new_one(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    one.state = ANSI
    at.gives(one)
    assert at.gets() is one
    at.gives(one)


def test_no_command_leads_from_a_schema_to_none(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    one.state = IN_APP
    at.gives(one)
    other = at.gets()
    assert other is not one
    assert at.gets(state=State(b"other")) is one
    at.gives(one)
    at.gives(other)


def test_profiles_do_not_share(build: Build) -> None:
    at = desk(build)
    one = at.gets(APP)
    at.gives(one)
    other = at.gets(OTHER)
    assert other is not one
    assert other.profile is OTHER
    at.gives(other)
    assert at.pool.idle == 2


def test_equal_profiles_are_one_to_the_service(stage: Stage) -> None:
    clients = [stage.client(), stage.client()]
    assert clients[0].session.relay.profile is clients[1].session.relay.profile
    assert stage.client(collation=8).session.relay.profile is not clients[0].session.relay.profile


# -- how many ---------------------------------------------------------------------------------------------------------


def test_connections_under_way_count(build: Build) -> None:
    at = desk(build, max_backends=2)
    at.stage.one.slow = True
    asking = [at.asks() for _ in range(3)]
    assert (at.pool.connecting, at.pool.waiting, at.pool.size) == (2, 1, 2)
    at.stage.one.lets_in()
    at.gives(asking[0].result())
    assert asking[2].result() is asking[0].result()
    for task in asking[1:]:
        at.gives(task.result())


def test_resets_under_way_count(build: Build) -> None:
    at = desk(build, max_backends=1)
    at.recycles(at.gets())
    waiting = at.asks()
    assert (at.pool.size, at.pool.waiting) == (1, 1)
    at.stage.one.hears(RESET).says(ok())
    at.gives(waiting.result())
    assert at.pool.size == 1


def test_an_idle_one_of_another_profile_makes_room(build: Build) -> None:
    at = desk(build, max_backends=2)
    one, two = at.gets(), at.gets()
    at.gives(one)
    at.stage.passes(1)
    at.gives(two)
    other = at.gets(OTHER)
    assert one.lost  # it had been idle for longer
    assert not two.lost
    at.gives(other)


def test_one_that_reaches_no_state_makes_room_too(build: Build) -> None:
    """All idle ones have a schema, and this session has none."""
    at = desk(build, max_backends=1)
    one = at.gets()
    one.state = IN_APP
    at.gives(one)
    got = at.gets()
    assert one.lost
    at.gives(got)


def test_a_refused_connection_frees_its_place(build: Build) -> None:
    at = desk(build, max_backends=1)
    at.stage.one.refuses = ConnectFailed(1045, "Access denied", "28000")
    refused = at.asks()
    with pytest.raises(ConnectFailed, match="Access denied"):
        refused.result()
    assert at.pool.size == 0
    assert at.stage.service.metrics.backend_connects == {("one:3306", "1045"): 1}


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_who_came_first_is_served_first(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = [at.asks() for _ in range(3)]
    for task in waiting:
        at.gives(one)
        assert task.result() is one
    at.gives(one)


def test_a_backend_is_handed_over_and_not_shown_to_others(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = at.asks()

    def gives_and_takes() -> None:
        at.pool.release(one)
        assert at.pool.take(APP, PLAIN, False, None) is None

    at.stage.clock.does(gives_and_takes)
    assert waiting.result() is one
    at.gives(one)


def test_who_waits_with_another_profile_gets_the_place(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = at.asks(OTHER)
    at.gives(one)
    assert one.lost
    assert waiting.result().profile is OTHER
    at.gives(waiting.result())


def test_a_lost_backends_place_goes_to_who_waits(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = at.asks()
    at.stage.one.links[0].breaks()
    assert one.lost
    at.stage.one.comes_up()
    at.gives(waiting.result())


def test_a_closed_backends_place_goes_to_who_waits(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = at.asks()
    at.closes(one)
    at.gives(waiting.result())


def test_waiting_ends(build: Build) -> None:
    at = desk(build, max_backends=1, acquire_timeout=3.0)
    one = at.gets()
    waiting = at.asks()
    at.stage.passes(2.9)
    assert not waiting.done()
    at.stage.passes(0.2)
    with pytest.raises(Exhausted):
        waiting.result()
    assert at.pool.waiting == 0
    at.gives(one)
    assert at.pool.idle == 1
    assert at.stage.service.metrics.pool_waits.count == 1


def test_who_stops_waiting_is_passed_over(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    first, second = at.asks(), at.asks()
    first.cancel()
    at.stage.clock.settle()
    at.gives(one)
    assert first.cancelled()
    assert second.result() is one
    at.gives(one)


def test_who_stops_in_the_moment_of_getting_it_gives_it_back(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    waiting = at.asks()

    def gives_and_cancels() -> None:
        at.pool.release(one)
        waiting.cancel()

    at.stage.clock.does(gives_and_cancels)
    assert waiting.cancelled()
    assert not at.pool.leased
    assert at.pool.idle == 1


def test_who_stops_while_it_connects_frees_the_place(build: Build) -> None:
    at = desk(build, max_backends=1)
    at.stage.one.slow = True
    connecting, waiting = at.asks(), at.asks()
    connecting.cancel()
    at.stage.clock.settle()
    assert at.pool.connecting == 1  # the other's now
    at.stage.one.lets_in()
    at.gives(waiting.result())


# -- what happens in the same turn of the loop ------------------------------------------------------------------------


def test_a_place_that_was_given_to_who_waits_is_not_given_again(build: Build) -> None:
    """A lost backend is reported by itself and by its session: one place, not two."""
    stage = build(pool=Pool(max_backends=1))
    clients = [stage.client() for _ in range(3)]
    clients[0].runs(stage.one, "SET @a = NOW()", ok())
    for client in clients[1:]:
        client.says("SELECT 1")
    assert stage.one.pool.waiting == 2
    lost = stage.one.links[0]
    stage.clock.call_soon(lost.wire.breaks, ConnectionResetError())
    stage.clock.call_soon(clients[0].wire.breaks, ConnectionResetError())
    stage.clock.settle()
    stage.one.comes_up()
    assert stage.one.pool.size == 1
    for _ in clients[1:]:
        stage.one.hears("SELECT 1").says(ok())
    for client in clients[1:]:
        client.hears(ok())


def test_a_place_that_was_given_to_who_waits_is_taken(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    first = at.asks()
    later: list[asyncio.Task[Backend]] = []

    loop = at.stage.clock
    loop.call_soon(at.pool.discard, one)
    later.append(loop.create_task(at.pool.acquire(APP, PLAIN, False, None)))
    loop.settle()
    assert at.pool.size == 1
    at.gives(first.result())
    at.gives(later[0].result())


def test_a_place_goes_on_when_who_got_it_has_stopped_waiting(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    first, second = at.asks(), at.asks()

    def closes_and_cancels() -> None:
        at.pool.discard(one)
        first.cancel()

    at.stage.clock.does(closes_and_cancels)
    at.gives(second.result())


def test_a_backend_handed_over_when_the_wait_ends_is_not_lost(build: Build) -> None:
    at = desk(build, max_backends=1, acquire_timeout=3.0)
    one = at.gets()
    waiting = at.asks()
    at.stage.clock.call_later(3.0 - 1e-10, at.pool.release, one)  # just before, in the same turn
    at.stage.passes(3.1)
    if waiting.exception() is None:
        at.gives(waiting.result())
    assert not at.pool.leased


# -- what is not kept -------------------------------------------------------------------------------------------------


def test_idle_ones_are_closed_after_a_time(build: Build) -> None:
    at = desk(build, idle_timeout=100.0)
    one, two = at.gets(), at.gets()
    at.gives(one)
    at.stage.passes(60)
    at.gives(two)
    at.stage.passes(41)
    at.stage.clock.does(lambda: at.pool.reap(at.stage.clock.time()))
    assert one.lost
    assert not two.lost


def test_when_a_schema_was_changed_nobody_gets_one_that_is_there(build: Build) -> None:
    stage = build(up=("one",))
    busy, idle = stage.client(), stage.client()
    for client in (busy, idle):
        client.says("SELECT SLEEP(1)")
    first, second = (stage.one.hears("SELECT SLEEP(1)") for _ in range(2))
    second.says(rows("0"))
    idle.hears(rows("0"))
    stage.one.pool.renew()
    assert second.closed
    first.says(rows("0"))
    busy.hears(rows("0"))
    assert first.closed


def test_so_are_old_ones_between_two_uses(build: Build) -> None:
    at = desk(build, max_age=100.0)
    one, two = at.gets(), at.gets()
    at.gives(two)
    at.stage.passes(101)
    at.stage.clock.does(lambda: at.pool.reap(at.stage.clock.time()))
    assert not one.lost  # somebody uses it
    assert two.lost
    at.gives(one)
    at.stage.clock.does(lambda: at.pool.reap(at.stage.clock.time()))
    assert one.lost


@pytest.mark.parametrize("state", [NodeState.DRAINING, NodeState.SUSPECT, NodeState.DOWN])
def test_nothing_is_kept_of_a_node_that_takes_no_work(build: Build, state: NodeState) -> None:
    at = desk(build)
    one = at.gets()
    at.stage.one.member.state = state
    at.gives(one)
    assert one.lost
    assert at.pool.size == 0


def test_giving_back_twice_is_giving_back_once(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    at.gives(one)
    at.gives(one)
    at.recycles(one)
    assert at.pool.idle == 1
    at.stage.quiet()


def test_one_with_a_reply_due_is_closed_and_not_reset(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    asking = at.stage.clock.create_task(one.run(query("SELECT 1"), COM_QUERY))
    at.stage.clock.settle()
    at.stage.one.hears("SELECT 1")
    at.recycles(one)
    assert at.stage.one.links[0].closed
    assert at.pool.size == 0
    asking.cancel()


@pytest.mark.parametrize("how", ["refused", "lost", "silent"])
def test_a_reset_that_fails_is_the_end_of_it(build: Build, how: str) -> None:
    at = desk(build, connect_timeout=2.0)
    at.recycles(at.gets())
    link = at.stage.one.hears(RESET)
    if how == "refused":
        link.says(error(1205))
    if how == "lost":
        link.breaks()
    at.stage.passes(2.1)
    assert link.closed
    assert at.pool.size == 0


def test_an_interruption_counts_for_no_limit_and_spoils_what_it_interrupts(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    side = at.stage.clock.create_task(at.pool.connector.interrupt(one, lambda: True))
    at.stage.clock.settle()
    assert at.pool.size == 1
    link = at.stage.one.hears(f"KILL QUERY {one.thread_id}").says(ok())
    assert side.done()
    assert side.exception() is None
    assert link.closed
    assert not one.reusable
    at.gives(one)


def test_an_interruption_that_nobody_wants_any_more_is_none(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    side = at.stage.clock.create_task(at.pool.connector.interrupt(one, lambda: False))
    at.stage.clock.settle()
    assert side.done()
    assert side.exception() is None
    assert one.reusable
    at.gives(one)


def test_it_says_how_things_are(build: Build) -> None:
    at = desk(build)
    one = at.gets()
    assert repr(at.pool) == "<NodePool one:3306 1 leased, 0 idle, 0 connecting, 0 waiting>"
    at.gives(one)


# -- whatever happens -------------------------------------------------------------------------------------------------


class Anything(RuleBasedStateMachine):
    """Sessions, node and time do what they like: the limits hold, nobody is forgotten and nothing leased twice."""

    MOST = 3
    PATIENCE = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(pool=Pool(max_backends=self.MOST, acquire_timeout=self.PATIENCE, connect_timeout=1.0))
        self.pool: NodePool = self.stage.one.pool
        self.asking: dict[asyncio.Task[Backend], float] = {}
        self.held: list[Backend] = []

    def teardown(self) -> None:
        for task in self.asking:
            task.cancel()
        self.stage.clock.settle()
        self._collect()
        while self.held:
            self.closes(0)
        self.stage.one.heard.clear()
        self.stage.end()

    def _collect(self) -> None:
        for task in [task for task in self.asking if task.done()]:
            del self.asking[task]
            if task.cancelled():
                continue
            failed = task.exception()
            if failed is None:
                backend = task.result()
                if backend.lost is None:
                    assert backend not in self.held, "leased twice"
                    self.held.append(backend)
            else:
                assert isinstance(failed, (Exhausted, ConnectFailed))
        self.held = [backend for backend in self.held if backend.lost is None]

    def _does(self, action: Callable[[], object]) -> None:
        self.stage.clock.does(action)
        self._collect()

    @rule(
        profile=st.sampled_from([APP, OTHER]),
        state=st.sampled_from([PLAIN, ANSI, IN_APP]),
        guarded=st.sampled_from([True, False, None]),
    )
    def asks(self, profile: Profile, state: State, guarded: bool | None) -> None:
        task = self.stage.clock.create_task(self.pool.acquire(profile, state, guarded, None))
        self.asking[task] = self.stage.clock.time()
        self.stage.clock.settle()
        self._collect()

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), state=st.sampled_from([PLAIN, ANSI, IN_APP]), guarded=st.booleans())
    def gives(self, which: int, state: State, guarded: bool) -> None:
        backend = self.held.pop(which % len(self.held))
        backend.state, backend.guarded = state, guarded
        self._does(lambda: self.pool.release(backend))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9))
    def recycles(self, which: int) -> None:
        backend = self.held.pop(which % len(self.held))
        self._does(lambda: self.pool.recycle(backend))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9))
    def closes(self, which: int) -> None:
        backend = self.held.pop(which % len(self.held))
        self._does(lambda: self.pool.discard(backend))

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 9))
    def stops_asking(self, which: int) -> None:
        task = list(self.asking)[which % len(self.asking)]
        task.cancel()
        self.stage.clock.settle()
        self._collect()

    @precondition(lambda self: self.stage.one.heard)
    @rule(well=st.booleans())
    def answers_a_reset(self, well: bool) -> None:
        link = self.stage.one.hears(RESET)
        link.says(ok() if well else error(1205))
        self._collect()

    @precondition(lambda self: any(not link.closed for link in self.stage.one.links))
    @rule(which=st.integers(0, 9))
    def breaks(self, which: int) -> None:
        alive = [link for link in self.stage.one.links if not link.closed]
        alive[which % len(alive)].breaks()
        self.stage.one.heard = type(self.stage.one.heard)(
            (link, raws) for link, raws in self.stage.one.heard if not link.closed
        )
        self.stage.one.comes_up()
        self._collect()

    @precondition(lambda self: self.held and self.asking)
    @rule(which=st.integers(0, 9), closes=st.booleans(), cancels=st.booleans(), profile=st.sampled_from([APP, OTHER]))
    def all_at_once(self, which: int, closes: bool, cancels: bool, profile: Profile) -> None:
        """In one turn of the loop a place becomes free, somebody stops waiting and somebody comes."""
        loop = self.stage.clock
        backend = self.held.pop(which % len(self.held))
        loop.call_soon(self.pool.discard if closes else self.pool.release, backend)
        if cancels:
            loop.call_soon(list(self.asking)[which % len(self.asking)].cancel)
        self.asking[loop.create_task(self.pool.acquire(profile, PLAIN, None, None))] = loop.time()
        loop.settle()
        self._collect()

    @rule(slow=st.booleans())
    def the_door(self, slow: bool) -> None:
        if slow:
            self.stage.one.slow = True
            self.stage.one._door.clear()
        else:
            self.stage.one.lets_in()
        self._collect()

    @rule(refuses=st.booleans())
    def lets_nobody_in(self, refuses: bool) -> None:
        self.stage.one.refuses = ConnectFailed(1040, "Too many connections") if refuses else None

    @rule(seconds=st.sampled_from([0.5, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.passes(seconds)
        self.stage.one.heard = type(self.stage.one.heard)(
            (link, raws) for link, raws in self.stage.one.heard if not link.closed
        )
        self._does(lambda: self.pool.reap(self.stage.clock.time()))

    @invariant()
    def never_too_many(self) -> None:
        pool = self.pool
        assert pool.size <= self.MOST
        open_links = sum(not link.closed for link in self.stage.one.links)
        assert open_links <= pool.size

    @invariant()
    def what_is_leased_is_held(self) -> None:
        assert set(self.pool.leased) == set(self.held)

    @invariant()
    def nobody_waits_longer_than_allowed(self) -> None:
        now = self.stage.clock.time()
        if not self.stage.one.slow:
            assert all(now - since <= self.PATIENCE for since in self.asking.values())

    @invariant()
    def nobody_waits_while_there_is_a_place(self) -> None:
        assert not self.pool.waiting or self.pool.size == self.MOST


Anything.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAnything = Anything.TestCase
