"""The cluster as the relay sees it: which node a transaction goes to, the pool of each node, and what happens when
one changes state.

It joins the decisions of router/ (membership, spread, owners) to the pools. Passive signs from the traffic and the
monitor's polls both end here; a change of a node's state takes effect on its pool in the same turn of the loop.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final

from config import Config, Replay
from proxy.counters import Metrics
from proxy.crew import Crew
from proxy.deadlines import Deadlines
from proxy.link import link
from proxy.log import event
from proxy.marker import Markers
from proxy.pool import NodePool
from proxy.recovery import Recovery
from proxy.rows import KnownRows
from proxy.turns import Turns
from proxy.waiter import Waiter
from router.catalog import Catalog, Table
from router.contention import Conflict, Contention
from router.flavor import FLAVORS
from router.journal import JournalSpace
from router.membership import Membership, Node, NodeState, Transition
from router.openers import Openers
from router.outcomes import NodeSign
from router.ownership import Owners, rendezvous
from router.placement import Spread
from router.retry import Budget

logger = logging.getLogger(__name__)

# Seconds that lockers wait for the survivors to agree that a lost node is gone; with Galera's own settings it takes 6.
REGROUP_PATIENCE: Final = 10.0


OWNER_PATIENCE: Final = 1.0  # seconds that lockers of a table wait for those who still hold locks on its last owner
# Counted from when that owner began to drain: one that shuts down, or helps another to join, is slow for a while.
DRAIN_PATIENCE: Final = 5.0
# Share of the longest wait for a backend in which a transaction waits for one of its owner's, though others are free.
DEVOTION: Final = 0.1
GLANCE: Final = 0.01  # seconds between two looks at what they wait for


class NoWriter(Exception):
    """No node took writes within the time that a client waits for one. The text says what is wrong with each node."""


class Cluster:
    """Nodes, pools and placement of one cluster."""

    def __init__(self, config: Config, membership: Membership, metrics: Metrics) -> None:
        self.config = config
        self.flavor = FLAVORS[config.cluster.flavor]
        self.link = link(config.cluster)
        self.membership = membership
        self.metrics = metrics
        self.now = monotonic  # the loop's own clock stands still within a turn
        self.recovery = Recovery(self.flavor.recovery_patience)
        self.journal_space = JournalSpace(config.replay.total_journal_bytes)
        self.kept_space = JournalSpace(config.limits.kept_answer_bytes)
        self.owners = Owners()
        self.contention = Contention()
        self.openers = Openers()
        self.turns = Turns(metrics)
        self.known_rows = KnownRows()
        self.careful_tables: set[str] = set()  # whose rows are read, and then written, under snapshot isolation
        self.devotion = DEVOTION * config.pool.acquire_timeout
        self.parked: Deadlines[Waiter] = Deadlines(config.pool.acquire_timeout, lambda waiter: waiter.expired())
        self.parked_at_owner: Deadlines[Waiter] = Deadlines(self.devotion, lambda waiter: waiter.expired())
        self._spread = Spread()
        self._chance = random.Random()
        self.chance: Final = self._chance.random  # gives a number in [0, 1)
        self._budgets = {node.name: Budget(config.replay.budget_per_node) for node in membership}
        self._writer_came: asyncio.Event = asyncio.Event()
        self._first_sign: dict[str, float] = {}  # node -> when something first spoke against it
        self._last_use: dict[str, float] = {}  # node -> when it was used after that
        self._left_behind: dict[Node, tuple[int, float]] = {}  # lost node -> the view it was in, until when it matters
        self.lingering: dict[str, dict[object, Callable[[], None]]] = {node.name: {} for node in membership}
        self.keeping: set[asyncio.Task[None]] = set()  # backends that are asked what their former sessions may ask
        self.markers = Markers(config, membership, metrics, self.link, lambda: self.now())
        self.check_now: Callable[[str], None] = lambda name: None
        # Told of each node whose state has changed for the worse: others may not have noticed.
        self.lost_sight: Callable[[str], None] = lambda name: None
        self.catalog = Catalog()  # what is known of tables, as last read
        self._tables: dict[tuple[str, bytes], Table] = {}  # those of it that were asked for
        self.changes = 0  # how often a table may have been changed
        self._known_changes = 0  # of these, what the catalog has
        self.generation = 0  # of tables, where statements that were prepared before others must not pass for theirs
        # Returns once they are read anew, or after so many seconds; None: nobody reads them.
        self.definitions_changed: Callable[[float], Coroutine[Any, Any, None]] | None = None
        self.pools: Final = {
            node.name: NodePool(
                node,
                config.pool,
                metrics,
                on_lost=self._backend_lost,
                on_linger_end=self._end_a_lingering,
                flavor=self.flavor,
                link=self.link,
            )
            for node in membership
        }

    def redefined(self) -> None:
        """A table may have been changed."""
        self.changes += 1
        if self.flavor.prepares_types:
            self.generation += 1

    def join(self, crew: Crew) -> None:
        """There are other workers: what is learnt of conflicts, the queues and the owners are theirs, too."""
        self.lost_sight = crew.lost_sight
        self.contention = crew.contention
        self.contention.tell = crew.lost_conflict
        self.owners = Owners(others=crew.seat)
        self.turns.share(crew.want, crew.give)

    def heard(self, lost: Conflict, transactions: int, at: float) -> None:
        """A transaction of another worker has lost a conflict; see `Contention.heard`."""
        began = self.contention.heard(lost, transactions, at)
        if began is not None:
            self.owners.unsettle(began, self.membership.writers, self.now())

    # -- placement ----------------------------------------------------------------------------------------------------

    def choose(self, current: Node | None, now: float) -> Node | None:
        """The writer for the next transaction of a session that was last on `current`."""
        return self._spread.choose(self.membership.writers, current, now, self.chance)

    def owner(self, key: str, now: float) -> tuple[Node | None, bool]:
        """The writer where all lockers of `key` meet, and whether it may still have to apply what an earlier owner
        committed.
        """
        writers = self.membership.writers
        if not writers:
            return None, False
        return self.owners.owner(key, writers, now)

    async def regrouped(self) -> None:
        """Wait until the survivors of a lost node have agreed on a view without it, or are late in doing so.

        What the node had sent is delivered to them with that view: to read and lock before would be to lose what was
        locked to it. They commit nothing before that either, and what is replayed has the time for it from then on.
        """
        while self._left_behind:
            now = self.now()
            newest = max(
                (node.health.conf_id for node in self.membership.writers if node.health is not None), default=-1
            )
            for node, (view, until) in list(self._left_behind.items()):
                if newest > view or now >= until:
                    del self._left_behind[node]
            if not self._left_behind:
                self.recovery.prolong()
                return
            for node in self.membership.writers:
                self.check_now(node.name)
            await asyncio.sleep(GLANCE)

    async def owner_is_free(self, key: str) -> None:
        """Wait until nobody holds locks for `key` on an owner that is about to lose it, but not for long."""
        until = self.now() + OWNER_PATIENCE
        owner = self.owners.draining(key, self.membership.writers)
        if owner is not None:
            until = max(until, owner.since + DRAIN_PATIENCE)
        while True:
            if not self.owners.held_elsewhere(key, self.membership.writers) or self.now() >= until:
                return
            await asyncio.sleep(GLANCE)

    def know(self, catalog: Catalog) -> None:
        """What is known of tables from now on."""
        self.catalog = catalog
        self._tables.clear()

    def caught_up(self, changes: int) -> None:
        """So many changes are in what is known."""
        self._known_changes = changes

    @property
    def is_current(self) -> bool:
        """No table was changed, as far as anybody here has seen, that what is known does not have."""
        return self._known_changes == self.changes

    def table(self, name: str, schema: bytes = b"") -> Table | None:
        """What is known of "schema.table", or of "table" in that schema."""
        key = name, schema
        found = self._tables.get(key)
        if found is None:
            found = self.catalog.find(name, schema.decode("latin-1").lower())
            if found is not None:
                self._tables[key] = found
        return found

    def reload(self, replay: Replay) -> None:
        """Take new limits of replays."""
        self._budgets = {node.name: Budget(replay.budget_per_node) for node in self.membership}

    def is_quiet(self, key: str) -> bool:
        """Nothing has to be waited for before a transaction on `key` begins."""
        return (
            not self.recovery.active
            and not self._left_behind
            and not self.owners.held_elsewhere(key, self.membership.writers)
        )

    def may_retry(self, node: Node, now: float, budgets: dict[str, Budget] | None) -> bool:
        """Is there still a retry in the node's budget? `budgets`: those of the endpoint, if it has its own."""
        return (budgets or self._budgets)[node.name].take(now)

    def owner_of(self, key: str) -> str | None:
        """The name of the node that owns a key, or would."""
        node = rendezvous(key, self.membership.writers)
        return node.name if node is not None else None

    def hot(self) -> dict[tuple[str, str, str, str], int]:
        """What is hot, counted by what it is, its table, its owner and its state."""
        found: dict[tuple[str, str, str, str], int] = {}
        for each in self.contention.hot(self.now()):
            table = each.owner_key if each.what == "tables" else each.name.partition(":")[0]
            key = (
                each.what,
                self.metrics.table_label(table),
                self.owner_of(each.owner_key) or "",
                "queued" if each.queued else "owned",
            )
            found[key] = found.get(key, 0) + 1
        return found

    async def writer_appears(self, deadline: float) -> None:
        """Wait until there is a writer; raises `NoWriter` at the deadline (loop time)."""
        while not self.membership.writers:
            self._writer_came.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._writer_came.wait()
            except TimeoutError:
                raise NoWriter(self.describe()) from None

    def describe(self) -> str:
        """Each node with its state and the reason for it."""
        return ", ".join(f"{node.name} {node.state.value} ({node.reason})" for node in self.membership)

    # -- signs and changes --------------------------------------------------------------------------------------------

    def sign(self, node: Node, sign: NodeSign, reason: str) -> None:
        """Something in the traffic says this of the node."""
        if sign is NodeSign.NONE:
            return
        now = self.now()
        self._first_sign.setdefault(node.name, now)
        self.apply(self.membership.sign(node.name, sign, reason, now))
        self.check_now(node.name)

    def used(self, node: Node) -> None:
        """A command is sent to a node that is not up."""
        self._last_use[node.name] = self.now()

    def apply(self, transitions: list[Transition]) -> None:
        """Make the pools follow."""
        for change in transitions:
            node = change.node
            self.metrics.node_changes[node.name, change.old.value, change.new.value] += 1
            event(
                logger,
                "node.up" if change.new is NodeState.UP else "node.change",
                level=logging.INFO if change.new in (NodeState.UP, NodeState.JOINING) else logging.WARNING,
                node=node.name,
                was=change.old.value,
                now=change.new.value,
                reason=change.reason,
                epoch=self.membership.epoch,
            )
            pool = self.pools[node.name]
            if change.old is NodeState.UP and node.health is not None and node.health.conf_id >= 0:
                if self.flavor.view_delivers and change.new in (NodeState.SUSPECT, NodeState.DOWN):
                    self._left_behind[node] = (node.health.conf_id, change.at + REGROUP_PATIENCE)
            elif change.new is NodeState.UP:
                self._left_behind.pop(node, None)
            if change.new is NodeState.UP:
                self._first_sign.pop(node.name, None)
                self._last_use.pop(node.name, None)
            else:
                pool.close_idle()
                self.lost_sight(node.name)
            if change.new is NodeState.DOWN:
                self._observe_loss(node.name, change.at)
                pool.fail_leased(change.reason)
        if transitions and self.membership.writers:
            self._writer_came.set()

    def _observe_loss(self, name: str, now: float) -> None:
        first = self._first_sign.pop(name, now)
        self.metrics.node_loss_seconds.observe(self._last_use.pop(name, first) - first)

    def _backend_lost(self, node: Node, reason: str) -> None:
        if node.state in (NodeState.UP, NodeState.DRAINING):
            self.sign(node, NodeSign.SUSPECT, reason)

    def _end_a_lingering(self, node: Node) -> bool:
        """A session waits for a backend: one that is only kept for what its session may ask is given up, the oldest
        first.
        """
        lingering = self.lingering[node.name]
        if not lingering:
            return False
        who = next(iter(lingering))
        lingering.pop(who)()
        return True

    async def close(self) -> None:
        self.parked.close()
        self.parked_at_owner.close()
        for pool in self.pools.values():
            await pool.close()
