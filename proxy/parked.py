"""A command that waits because all backends are in use: no task and no future, and one timer of the loop for them all.

    park -> given a backend that is as it has to be -> sent       any other, or a place to connect -> proxy.dispatch

Where far more clients than backends are busy every command comes through here. A task for each costs several times what
the relay does besides. What has to wait for more than that, for a writer or its transaction's turn, has one.

A transaction that has an owner waits there alone at first: at another node it would lose a conflict sooner or later,
which may cost its client an error.
"""

import asyncio
from typing import TYPE_CHECKING

from proxy import failure, places
from proxy.backend import Backend
from proxy.launch import launch
from proxy.pool import NodePool
from proxy.ready import is_ready
from proxy.waiter import Waiter
from router import answers

if TYPE_CHECKING:
    from proxy.relay import Relay


class Parked(Waiter):
    """One session in the queues of all writers' pools, or of its owner's."""

    def __init__(self, relay: "Relay", pools: list[NodePool]) -> None:
        super().__init__(pools, relay.profile, relay.state)
        self.relay = relay
        cluster = relay.cluster
        self.deadlines = cluster.parked if relay.place is None else cluster.parked_at_owner
        self.given: tuple[NodePool, Backend | None] | None = None

    def got(self, pool: NodePool, backend: Backend | None) -> None:
        self.deadlines.leave(self)
        self.given = (pool, backend)
        asyncio.get_running_loop().call_soon(self.go_on)

    def go_on(self) -> None:
        """Its session has what it has waited for, if it is still there."""
        assert self.given is not None
        pool, backend = self.given
        relay = self.relay
        if relay.parked is not self:
            pool.take_back(backend)
            return
        relay.parked = None
        request = relay.request
        assert request is not None
        if backend is None:
            pool.promise_kept()
            relay.work(request)  # which finds the place, or another one
        elif backend.lost is not None or not (relay.place is None or places.is_still_at(relay, relay.place, pool.node)):
            pool.take_back(backend)
            relay.work(request)
        else:
            relay.hold(backend)
            places.taken(relay)
            wanted = relay.plan(request)
            if is_ready(relay, backend, request, wanted):
                launch(relay, backend, request, wanted)
            else:
                relay.send_later(backend, request, wanted)

    def expired(self) -> None:
        relay = self.relay
        stop(relay)
        if relay.place is not None:
            relay.place.devoted = False
            relay.work(relay.request)
            return
        error = answers.pool_exhausted(self.pools[0].node.name, relay.cluster.config.pool.acquire_timeout)
        failure.give_up(relay, error, "pool_exhausted")


def park(relay: "Relay") -> bool:
    """Have the session wait for a backend, if that is all that its command waits for."""
    cluster = relay.cluster
    place = relay.place
    if relay.attempts is not None:
        return False
    if place is None:
        pools = [cluster.pools[node.name] for node in cluster.membership.writers]
    else:
        pools = [cluster.pools[place.node.name]] if place.node is not None else []
    if not pools or any(pool.serves(relay.profile, relay.state) for pool in pools):
        return False
    parked = relay.parked = Parked(relay, pools)
    parked.deadlines.add(parked)
    parked.stand()
    return True


def stop(relay: "Relay") -> None:
    """Its command is not wanted any more."""
    parked, relay.parked = relay.parked, None
    if parked is not None:
        parked.deadlines.leave(parked)
        parked.leaves()
