"""Who waits for a backend where all of them are in use: in the queues of several pools, until the first one gives.

    stand -> gets a backend, or a place to connect -> got        leaves: it has stopped waiting

What `gets` runs within is another session's turn: whoever waits acts on it later, and gives back what it does not want
any more (`NodePool.take_back`).
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from proxy.profile import Profile
from router.session import State

if TYPE_CHECKING:
    from proxy.backend import Backend
    from proxy.pool import NodePool


class Exhausted(Exception):
    """No backend became free within the time allowed."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiter:
    """Wants a backend of this profile that can be brought to this state."""

    def __init__(self, pools: "Sequence[NodePool]", profile: Profile, state: State) -> None:
        self.pools = pools
        self.profile = profile
        self.state = state
        self.began = monotonic()
        self.waits = True

    def stand(self) -> None:
        """Join the queues, until one of the pools gives at once: a lease that was only kept for a question."""
        for pool in self.pools:
            if self.waits:
                pool.queue(self)

    def gets(self, pool: "NodePool", backend: "Backend | None") -> None:
        """A backend; or None: there is a place, to connect."""
        self.leaves()
        self.got(pool, backend)

    def leaves(self) -> None:
        """Wait no more; once is enough."""
        if self.waits:
            self.waits = False
            self.pools[0].metrics.pool_waits.observe(monotonic() - self.began)
            for pool in self.pools:
                pool.unqueue(self)

    def got(self, pool: "NodePool", backend: "Backend | None") -> None:
        """For those who wait in some way of their own."""

    def expired(self) -> None:
        """It has waited for as long as the settings allow; not for those who know that by themselves."""

    def dismissed(self) -> None:
        """The pool is closed."""


class _Task(Waiter):
    """One that a task waits for."""

    def __init__(self, pools: "Sequence[NodePool]", profile: Profile, state: State) -> None:
        super().__init__(pools, profile, state)
        self.ready: asyncio.Future[tuple[NodePool, Backend | None]] = asyncio.get_running_loop().create_future()

    def got(self, pool: "NodePool", backend: "Backend | None") -> None:
        self.ready.set_result((pool, backend))

    def dismissed(self) -> None:
        self.ready.cancel()


async def wait_for_any(
    pools: "Sequence[NodePool]", profile: Profile, state: State, seconds: float
) -> "tuple[NodePool, Backend | None]":
    """What the first of the pools has to give: a backend in whatever state, or a place to `connect`. Raises
    `Exhausted` when that takes longer than `seconds`.
    """
    waiter = _Task(pools, profile, state)
    waiter.stand()
    try:
        await asyncio.wait((waiter.ready,), timeout=seconds)
    except asyncio.CancelledError:
        if waiter.waits:
            waiter.leaves()
        elif not waiter.ready.cancelled():
            pool, backend = waiter.ready.result()
            pool.take_back(backend)
        raise
    if not waiter.ready.done():
        waiter.leaves()
        raise Exhausted
    pool, backend = waiter.ready.result()
    if backend is None:
        pool.promise_kept()
    return pool, backend
