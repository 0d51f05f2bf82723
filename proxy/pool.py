"""The backends of one node: which are idle, which session each fits, how many there may be, who waits.

`take` is the steady state and touches no loop: an idle backend that already carries the session's state, the
session's own last one first. `acquire` is everything else: an idle backend that has to be brought to another state, a
new connection, or a wait with a deadline. The pool does not know what is run on a backend.

    connecting -> leased -> idle -> leased ... -> closed (age, idle time, lost, not reusable)
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from config import Pool as PoolSettings
from proxy import login
from proxy.backend import Backend, Lost
from proxy.connector import Connector
from proxy.counters import COMMITTED, ROLLED_BACK, Metrics
from proxy.link import PLAIN, Link
from proxy.profile import Profile
from proxy.shelf import Shelf
from proxy.waiter import Waiter, wait_for_any
from router.flavor import GALERA, Flavor
from router.marker import FORGOTTEN, Slot
from router.membership import Node
from router.session import State, reachable


def _nobody_asks(backend: Backend) -> bool:
    """The session that used it last is gone, or there was none."""
    return backend.last_user is None or backend.last_user.closed


class NodePool:
    """At most `max_backends` backends to one node. Its methods never raise for a lost backend: that arrives as
    `on_lost`.
    """

    def __init__(
        self,
        node: Node,
        settings: PoolSettings,
        metrics: Metrics,
        *,
        on_lost: Callable[[Node, str], None],
        on_linger_end: Callable[[Node], bool],
        flavor: Flavor = GALERA,
        link: Link = PLAIN,
    ) -> None:
        self.node = node
        self.flavor = flavor
        self.connector: Final = Connector(flavor, link)
        self.settings = settings
        self.metrics = metrics
        self._on_lost = on_lost
        self._on_linger_end = on_linger_end
        self.committed: Final = metrics.transaction_seconds[node.name, COMMITTED]
        self.rolled_back: Final = metrics.transaction_seconds[node.name, ROLLED_BACK]
        self._shelves: dict[Profile, Shelf] = {}
        self._backends: dict[Backend, None] = {}  # all that are logged in
        self._waiters: dict[Waiter, None] = {}  # in the order in which they came
        self._resetting: dict[Backend, asyncio.Task[None]] = {}
        self._slots: list[tuple[Slot, float]] = []  # of closed backends, and since when they are free
        self._promised = 0  # places given to waiters that have not begun to connect
        self.connecting = 0
        self.closed = False

    def __repr__(self) -> str:
        counts = f"{len(self.leased)} leased, {self.idle} idle, {self.connecting} connecting, {self.waiting} waiting"
        return f"<NodePool {self.node.name} {counts}>"

    @property
    def leased(self) -> list[Backend]:
        """Those that sessions hold."""
        return [backend for backend in self._backends if backend.leased]

    @property
    def idle(self) -> int:
        return sum(shelf.count for shelf in self._shelves.values())

    def idle_backends(self) -> list[Backend]:
        return [backend for shelf in self._shelves.values() for backend in shelf.all()]

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @property
    def size(self) -> int:
        """Places taken, of `max_backends`."""
        return len(self._backends) + self.connecting + self._promised

    # -- taking -------------------------------------------------------------------------------------------------------

    def take(self, profile: Profile, state: State, guarded: bool | None, own: Backend | None) -> Backend | None:
        """An idle backend that needs nothing done to it, or None. `guarded` None: either will do. `own`: the caller's
        last one here.
        """
        if (
            own is not None
            and own.idle
            and own.state is state
            and (guarded is None or own.guarded is guarded)
            and own.profile is profile
        ):
            return self._lease(own)
        shelf = self._shelves.get(profile)
        if shelf is None or not shelf.count:
            return None
        full = self.size >= self.settings.max_backends
        for wanted in (False, True) if guarded is None else (guarded,):
            group = shelf.fitting(state, wanted)
            if group:
                # With room for another connection, what a session may still ask its last backend for is left to it.
                backend = next(iter(group)) if full else next(filter(_nobody_asks, reversed(group)), None)
                if backend is not None:
                    return self._lease(backend)
        return None

    def _lease(self, backend: Backend) -> Backend:
        """One that is idle is somebody's now."""
        assert backend.shelf is not None
        backend.shelf.remove(backend)
        backend.leased = True
        return backend

    def borrow(self, backend: Backend) -> bool:
        """Take this very backend, if it is idle."""
        if not backend.idle:
            return False
        self._lease(backend)
        return True

    async def acquire(self, profile: Profile, state: State, guarded: bool | None, own: Backend | None) -> Backend:
        """A backend of this profile, in whatever state; raises `Exhausted`, or `login.ConnectFailed` when a new one
        was refused.
        """
        pool, backend = self, self.take(profile, state, guarded, own) or self._take_other(profile, state, own)
        if backend is None and not self._make_room(profile):
            pool, backend = await wait_for_any((self,), profile, state, self.settings.acquire_timeout)
        return backend if backend is not None else await pool.connect(profile)

    def serves(self, profile: Profile, state: State) -> bool:
        """Would `acquire` give one without a wait for somebody else's?"""
        if self.size < self.settings.max_backends:
            return True
        shelf = self._shelves.get(profile)
        if shelf is not None and shelf.count and any(reachable(backend.state, state) for backend in shelf.all()):
            return True
        return self._victim(profile) is not None

    def _take_other(self, profile: Profile, state: State, own: Backend | None) -> Backend | None:
        """One in another state: the caller's last one here, or else one that nobody asks anything."""
        shelf = self._shelves.get(profile)
        if shelf is None:
            return None
        if own is not None and own.idle and own.profile is profile and reachable(own.state, state):
            return self._lease(own)
        full = self.size >= self.settings.max_backends
        for backend in shelf.all():
            if reachable(backend.state, state) and (full or _nobody_asks(backend)):
                return self._lease(backend)
        return None

    def _make_room(self, profile: Profile) -> bool:
        """Is there, or can there be made, a place for a new connection?"""
        if self.size < self.settings.max_backends:
            return True
        victim = self._victim(profile)
        if victim is None:
            return False
        self._close(victim)
        return self.size < self.settings.max_backends  # unless one who waits has got it

    def _victim(self, profile: Profile) -> Backend | None:
        """An idle backend that may be closed for one of `profile`, which no idle one fits."""
        for other, shelf in self._shelves.items():
            if shelf.count:
                victim = min(shelf.all(), key=lambda backend: backend.idle_since)
                if other is not profile or not victim.reusable or len(self._shelves) == 1:
                    return victim
        return None

    async def connect(self, profile: Profile) -> Backend:
        """A new backend, where there is room for one. Raises `login.ConnectFailed`."""
        self.connecting += 1
        try:
            backend = await self.connector.open(self, profile)
        except BaseException as failed:
            self.connecting -= 1
            self._place_free()
            if isinstance(failed, login.ConnectFailed):
                self.metrics.backend_connects[self.node.name, str(failed.code)] += 1
            raise
        self.connecting -= 1
        self._backends[backend] = None
        backend.leased = True
        self.metrics.backend_connects[self.node.name, "ok"] += 1
        return backend

    def queue(self, waiter: Waiter) -> None:
        """Let it wait here; what becomes free goes to whom it fits and who came first."""
        self._waiters[waiter] = None
        self._on_linger_end(self.node)

    def unqueue(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)

    def promise_kept(self) -> None:
        """Who was promised a place begins to connect now."""
        self._promised -= 1

    def take_back(self, backend: Backend | None) -> None:
        """Who was given it has stopped waiting in the same turn: it goes on to the next."""
        if backend is not None:
            self.release(backend)
        else:
            self._promised -= 1
            self._place_free()

    # -- giving back --------------------------------------------------------------------------------------------------

    def release(self, backend: Backend, now: float | None = None) -> None:
        """Its session is done with it, and nothing is due on it. `now`: the time, if the caller has it."""
        if not backend.leased:
            return
        if backend.keeps_locks:
            backend.roll_back()
        if backend.lost is not None or not backend.reusable or self.closed or self.node.closed_to_backends:
            self._close(backend)
        elif self._waiters:
            self._hand_over(backend)
        else:
            backend.leased = False
            backend.idle_since = monotonic() if now is None else now
            shelf = backend.shelf
            if shelf is None:
                shelf = backend.shelf = self._shelf(backend.profile)
            shelf.put(backend)

    def recycle(self, backend: Backend) -> None:
        """Give back one that may hold session state or an open transaction: it is reset first. One with a reply due
        is closed.
        """
        if not backend.leased:
            return
        if backend.lost is not None or backend.busy or not backend.reusable or self.closed:
            self._close(backend)
            return
        backend.leased = False
        self._resetting[backend] = asyncio.get_running_loop().create_task(
            self._reset(backend), name=f"reset {backend.thread_id} on {self.node.name}"
        )

    async def _reset(self, backend: Backend) -> None:
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                answer = await backend.reset()
            clean = answer.error is None
        except (Lost, TimeoutError):
            clean = False
        del self._resetting[backend]
        backend.leased = True
        if clean:
            self.release(backend)
        else:
            self._close(backend)

    def discard(self, backend: Backend) -> None:
        """Close one that must not be used again."""
        self._close(backend)

    def _hand_over(self, backend: Backend) -> None:
        for waiter in self._waiters:
            if waiter.profile is backend.profile and reachable(backend.state, waiter.state):
                waiter.gets(self, backend)
                return
        self._close(backend)  # nobody who waits can use it: its place goes to one that does

    def _place_free(self) -> None:
        if self._waiters and self.size < self.settings.max_backends:
            self._promised += 1
            next(iter(self._waiters)).gets(self, None)

    def _close(self, backend: Backend) -> None:
        self._forget(backend)
        backend.close()
        self._place_free()

    def _forget(self, backend: Backend) -> None:
        self._backends.pop(backend, None)
        backend.leased = False
        if backend.slot is not None:
            self.put_slot(backend.slot)
            backend.slot = None
        if backend.shelf is not None:
            backend.shelf.remove(backend)
        profile = backend.profile
        if profile in self._shelves and not any(other.profile is profile for other in self._backends):
            del self._shelves[profile]

    def put_slot(self, slot: Slot) -> None:
        """A slot for markers that no backend has any more, and that this node knows as far as it has been counted up.
        One whose last commit nobody knows is not used again.
        """
        if not slot.due:
            self._slots.append((slot, monotonic()))

    def take_slot(self) -> Slot | None:
        """One that was used here before, if its row can't have been purged meanwhile."""
        while self._slots:
            slot, since = self._slots.pop()
            if monotonic() - since < FORGOTTEN / 2:
                return slot
        return None

    def _shelf(self, profile: Profile) -> Shelf:
        shelf = self._shelves.get(profile)
        if shelf is None:
            shelf = self._shelves[profile] = Shelf()
        return shelf

    # -- events -------------------------------------------------------------------------------------------------------

    def backend_lost(self, backend: Backend, reason: str) -> None:
        """Called by the backend itself."""
        self._forget(backend)
        if not backend.state.releases:  # or it is no news of the node
            self._on_lost(self.node, reason)
        self._place_free()

    def close_idle(self) -> None:
        for shelf in list(self._shelves.values()):
            for backend in shelf.all():
                self._close(backend)

    def renew(self) -> None:
        """What the connections know of the schema that they are in may be out of date: nobody else gets any of them."""
        self.close_idle()
        for backend in self.leased:
            backend.reusable = False

    def fail_leased(self, reason: str) -> None:
        """The node is lost: every lease learns it now."""
        for backend in self.leased:
            backend.fail(reason)

    def reap(self, now: float) -> None:
        """Close what has been idle, or alive, for too long."""
        for shelf in list(self._shelves.values()):
            for backend in shelf.all():
                if (
                    now - backend.idle_since > self.settings.idle_timeout
                    or now - backend.created > self.settings.max_age
                ):
                    self._close(backend)

    async def close(self) -> None:
        self.closed = True
        self.close_idle()
        for waiter in list(self._waiters):
            waiter.leaves()
            waiter.dismissed()
        for backend in self.leased:
            self._close(backend)
        if self._resetting:
            await asyncio.wait(self._resetting.values())
