"""Finds a node for what a session is about to run, and gets a backend there, whatever the backend's state.

It waits for a writer, for the transaction's place, and for a backend where all are in use, at first for one of the
owner's alone if there is an owner; a node that does not let us in is passed over. What the backend must be like is the
business of `proxy.equip`.
"""

from typing import TYPE_CHECKING

from proxy import places
from proxy.backend import Backend
from proxy.cluster import NoWriter
from proxy.login import ConnectFailed
from proxy.pool import NodePool
from proxy.request import Request
from proxy.waiter import Exhausted, wait_for_any
from proxy.wire.packets import error_packet
from router import answers
from router.answers import Answer as ProxyError
from router.membership import Node
from router.outcomes import Phase, judge
from router.plan import plan

if TYPE_CHECKING:
    from proxy.relay import Relay


class GiveUp(Exception):
    """The command can't be run: the client gets `error`. `goes_on`: the transaction that it came in is still open."""

    def __init__(self, error: ProxyError | bytes, reason: str, *, goes_on: bool = False) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.goes_on = goes_on


async def obtain(relay: "Relay", request: Request | None) -> Backend:
    """A lease on a writer, whatever its state."""
    cluster = relay.cluster
    waits = cluster.config.limits.writer_wait
    deadline = cluster.now() + waits
    place = await places.enter(relay, request)
    refused: dict[str, ConnectFailed] = {}
    while True:
        if place is not None and place.key is not None and not relay.replaying:
            await cluster.regrouped()
            await cluster.recovery.settled()
            await cluster.owner_is_free(place.key)
        now = cluster.now()
        node = _choose(relay, request, now)
        if node is None:
            try:
                await cluster.writer_appears(deadline)
            except NoWriter as none:
                raise GiveUp(answers.no_writer(waits, str(none)), "no_writer") from None
            continue
        pools = _where(relay, node, refused)
        if not pools:
            refusal = refused[node.name]
            raise GiveUp(error_packet(1, refusal.code, refusal.sqlstate, refusal.message), "connect")
        state = relay.transaction.state if relay.replaying and relay.transaction.state is not None else relay.state
        guarded = plan(request.statement, state, relay.transaction).guarded if request is not None else None
        devoted = place is not None and place.key is not None and place.devoted
        near = pools[:1] if devoted else pools
        pool = next((pool for pool in near if pool.serves(relay.profile, state)), None)
        try:
            if pool is not None:
                node = pool.node
                backend = await pool.acquire(relay.profile, state, guarded, relay.home(node))
            else:
                patience = cluster.devotion if devoted else cluster.config.pool.acquire_timeout
                pool, found = await wait_for_any(near, relay.profile, state, patience)
                node = pool.node
                backend = found if found is not None else await pool.connect(relay.profile)
        except ConnectFailed as failed:
            refused[node.name] = failed
            verdict = judge(failed.code, failed.message, Phase.CONNECT)
            cluster.sign(node, verdict.node_sign, f"{verdict.reason}: {failed.message}")
            if not verdict.retry:
                raise GiveUp(error_packet(1, failed.code, failed.sqlstate, failed.message), verdict.reason) from None
            continue
        except Exhausted:
            if place is not None and devoted:
                place.devoted = False
                continue
            raise GiveUp(
                answers.pool_exhausted(node.name, cluster.config.pool.acquire_timeout), "pool_exhausted"
            ) from None
        relay.hold(backend)
        places.taken(relay)
        return backend


def _where(relay: "Relay", chosen: Node, refused: dict[str, ConnectFailed]) -> list[NodePool]:
    """The pools that may give a backend: that of the node that was chosen, and in case it is exhausted the others, the
    least busy first. Not those of nodes that did not let us in.
    """
    cluster = relay.cluster
    nodes = [node for node in cluster.membership.writers if node.name not in refused]
    nodes.sort(key=lambda node: (node is not chosen, node.outstanding))
    return [cluster.pools[node.name] for node in nodes]


def _choose(relay: "Relay", request: Request | None, now: float) -> Node | None:
    cluster = relay.cluster
    attempts = relay.attempts
    if relay.replaying and (tied := _tied(relay)) is not None:
        tied.placed(now)
        return tied
    if relay.place is not None and relay.place.key is not None:
        return places.owner(relay, relay.place)
    if attempts is not None and attempts.meets and (tables := _tables(relay, request)):
        node, _ = cluster.owner(tables[0], now)
        return node
    return cluster.choose(relay.node, now)


def _tied(relay: "Relay") -> Node | None:
    """Where alone the transaction can run again as before, because of the ids that it has generated."""
    node = relay.replay_from
    if node is None or node not in relay.cluster.membership.writers:
        return None
    return node if any(entry.several_ids for entry in relay.journal) else None


def _tables(relay: "Relay", request: Request | None) -> tuple[str, ...]:
    """Those of the first statement of the transaction that names any."""
    for entry in relay.journal:
        if entry.request.statement.tables:
            return entry.request.statement.tables
    return request.statement.tables if request is not None else ()
