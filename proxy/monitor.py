"""Asks every node how it is, several times a second, and tells the membership.

One task and one connection per node, so that a node that does not answer keeps nobody waiting. What an answer means is
the business of router/flavor.py, what follows from it that of router/membership.py; this module knows
the deadlines, and when to ask again. It must not take a stall of its own event loop for the death of a node.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import reduce
from operator import and_
from time import perf_counter
from typing import Final, Protocol

from proxy import login, queries
from proxy.counters import Metrics
from proxy.link import PLAIN, Link
from proxy.log import event
from router.flavor import GALERA, Flavor
from router.membership import Membership, Node, NodeState, Transition
from router.outcomes import NodeSign, Phase, judge

logger = logging.getLogger(__name__)

_MIN_GAP: Final = 0.01  # seconds between the beginnings of two polls of a node, however many ask for one
_BEAT: Final = 0.02  # seconds between two looks at the event loop's punctuality, and what is not yet late
_HURRY: Final = 0.04  # seconds between two polls while a node that misses deadlines may be given up by the others
_STALL: Final = 0.25  # share of the deadline that our own loop may lose before a missed deadline says nothing
_ATTRIBUTES: Final = {"program_name": "multiwriter-monitor"}


class Connection(Protocol):
    """What the monitor needs of a connection: queries.QueryConnection has it."""

    @property
    def version(self) -> str: ...
    @property
    def offered(self) -> int: ...
    @property
    def collation(self) -> int: ...
    async def query(self, sql: str, /) -> Sequence[tuple[str | None, ...]]: ...
    def close(self) -> None: ...


class ClusterSettings(Protocol):
    """Whose account the monitor uses: config.Cluster is one."""

    @property
    def user(self) -> str: ...
    @property
    def password(self) -> "Secret": ...


class Secret(Protocol):
    def reveal(self) -> str: ...


class MonitorSettings(Protocol):
    """Seconds between two polls, and until a poll has failed: config.Monitor is one."""

    @property
    def interval(self) -> float: ...
    @property
    def timeout(self) -> float: ...


Open = Callable[[Node], Awaitable[Connection]]
Apply = Callable[[list[Transition]], None]


class Monitor:
    """Polls the nodes of `membership` from start() to close().

    `apply` gets the transitions of each poll that caused some, in the turn of the loop in which it ended. `versions`
    has what each node last greeted with. `version` and `collation` are those of the first node, in the order of the
    configuration, that has greeted; `capabilities` those of all that have.
    """

    def __init__(
        self,
        cluster: ClusterSettings,
        settings: MonitorSettings,
        membership: Membership,
        metrics: Metrics,
        apply: Apply,
        *,
        flavor: Flavor = GALERA,
        link: Link = PLAIN,
        open_connection: Open | None = None,
    ) -> None:
        self.versions: dict[str, str] = {}
        self.version = ""
        self.collation = 0
        self.capabilities = 0
        self._offered: dict[str, int] = {}
        self._collations: dict[str, int] = {}
        self._cluster = cluster
        self._flavor = flavor
        self._link = link
        self._interval = settings.interval
        self._timeout = settings.timeout
        self._membership = membership
        self._metrics = metrics
        self._apply = apply
        self._open = open_connection or self._log_in
        self._watches = {node.name: _Watch(node) for node in membership}
        self._tasks: list[asyncio.Task[None]] = []
        self._punctuality = _Punctuality()

    def start(self) -> None:
        """Start polling; to be called once, in a running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._watch(watch), name=f"monitor {watch.node.name}") for watch in self._watches.values()
        ]

    async def first_round(self) -> None:
        """Returns when each node has answered or failed, in less than four deadlines.

        A node that answered before the others could not yet know whether it belongs to the same cluster, so those are
        asked once more.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(4 * self._timeout):
                await self._round()
                if any(node.health is not None and node.health.ok and node not in self._membership.writers
                       for node in self._membership):  # fmt: skip
                    for name in self._watches:
                        self.check_now(name)
                    await self._round()

    def check_now(self, name: str) -> None:
        """Poll this node as soon as can be, and not with a poll that has already begun."""
        self._watches[name].wanted.set()

    async def close(self) -> None:
        """Stop polling and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for watch in self._watches.values():
            watch.drop()

    async def _round(self) -> None:
        for watch in self._watches.values():
            watch.polled.clear()
        for watch in self._watches.values():
            await watch.polled.wait()

    async def _watch(self, watch: "_Watch") -> None:
        loop = asyncio.get_running_loop()
        while True:
            # Cleared before the poll begins: a wish that comes while it runs is about what it may not have seen.
            watch.wanted.clear()
            began = loop.time()
            try:
                await self._poll(watch)
            except Exception:
                # Ours, not the node's: it must neither end the watch nor take the node out.
                event(logger, "monitor.failed", level=logging.ERROR, node=watch.node.name)
                watch.drop()
            watch.polled.set()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(began + self._pace()):
                    await watch.wanted.wait()
            await asyncio.sleep(began + _MIN_GAP - loop.time())

    def _pace(self) -> float:
        # That the others have gone on without a silent node is what ends the wait for it: it is to be known at once.
        silent = any(node.state is NodeState.SUSPECT and node.failures for node in self._membership)
        return min(_HURRY, self._interval) if silent else self._interval

    async def _poll(self, watch: "_Watch") -> None:
        loop = asyncio.get_running_loop()
        name = watch.node.name
        last_chance = False
        while True:
            began = await _later_than(watch.node)
            started = perf_counter()
            lost_before = self._punctuality.lost
            try:
                with self._punctuality:
                    async with asyncio.timeout(self._timeout):
                        rows = await self._ask(watch)
            except TimeoutError:
                watch.drop()
                now = loop.time()
                lost = self._punctuality.lost - lost_before + max(0.0, now - began - self._timeout)
                if lost > _STALL * self._timeout and not last_chance:
                    last_chance = True
                    continue
                self._count(name, "timeout", perf_counter() - started)
                reason = f"no answer to the monitor within {self._timeout:g} s"
                self._tell(self._membership.failed_poll(name, reason, now, timed_out=True))
                for other in self._watches:
                    if other != name:
                        self.check_now(other)
            except login.ConnectFailed as failed:
                watch.drop()
                now = loop.time()
                if judge(failed.code, failed.message, Phase.CONNECT).reason == "full":
                    # It lives, and has no connection to spare for telling how it is.
                    self._count(name, "full", perf_counter() - started)
                    self._tell(self._membership.sign(name, NodeSign.FULL, failed.message, now))
                else:
                    self._count(name, "error", perf_counter() - started)
                    self._tell(self._membership.failed_poll(name, failed.message, now))
            else:
                now = loop.time()
                self._count(name, "ok", perf_counter() - started)
                health, watch.seen = self._flavor.observe(rows, now, watch.seen)
                self._tell(self._membership.observe(name, health, now, began=began))
            return

    async def _ask(self, watch: "_Watch") -> Sequence[tuple[str | None, ...]]:
        """The answer, over the connection that there is or a new one. Raises ConnectFailed."""
        if watch.connection is not None:
            try:
                return await watch.connection.query(self._flavor.question)
            except login.ConnectFailed:
                # The end of this connection alone (KILL, wait_timeout) is no news of the node. A dead one refuses at
                # once, so that asking again costs nothing.
                watch.drop()
        watch.connection = await self._open(watch.node)
        self.versions[watch.node.name] = watch.connection.version
        self._offered[watch.node.name] = watch.connection.offered
        self._collations[watch.node.name] = watch.connection.collation
        self._sum_up()
        await watch.connection.query(self._flavor.prepare)
        return await watch.connection.query(self._flavor.question)

    def _sum_up(self) -> None:
        """What clients are greeted with, each of them: it changes seldom."""
        first = next(node.name for node in self._membership if node.name in self.versions)
        self.version, self.collation = self.versions[first], self._collations[first]
        self.capabilities = reduce(and_, self._offered.values())

    async def _log_in(self, node: Node) -> Connection:
        # Its own deadlines stay out of the way of the poll's.
        patience = 2 * self._timeout
        return await queries.open_queries(
            (node.host, node.port),
            user=self._cluster.user,
            password=self._cluster.password.reveal(),
            attributes=_ATTRIBUTES,
            link=self._link,
            timeout=patience,
            connect_timeout=patience,
        )

    def _count(self, name: str, result: str, seconds: float) -> None:
        self._metrics.monitor_polls[name, result] += 1
        self._metrics.monitor_seconds[name].observe(seconds)

    def _tell(self, transitions: list[Transition]) -> None:
        if transitions:
            self._apply(transitions)


class _Watch:
    """What is kept of one node between polls."""

    __slots__ = ("connection", "node", "polled", "seen", "wanted")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.connection: Connection | None = None
        self.seen: object = None  # what the flavor wants to know again at the next poll
        self.wanted = asyncio.Event()  # somebody wants a poll that begins from now on
        self.polled = asyncio.Event()  # a poll has ended since this was cleared

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class _Punctuality:
    """Adds up how much time the event loop lost while polls were under way: by how much timers fired late, where that
    was more than a busy loop's usual few milliseconds. An answer waits for those once, not once per beat.
    """

    def __init__(self) -> None:
        self.lost = 0.0
        self._polls = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._polls += 1
        if self._timer is None:
            self._wind()

    def __exit__(self, *exception: object) -> None:
        self._polls -= 1
        if self._timer is not None and not self._polls:
            self._timer.cancel()
            self._timer = None

    def _wind(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + _BEAT
        self._timer = loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late = asyncio.get_running_loop().time() - self._due
        if late > _BEAT:
            self.lost += late
        self._wind()


async def _later_than(node: Node) -> float:
    """The loop's time, once it is past the node's last sign: uvloop's clock stands still within a millisecond, and a
    poll that seems to have begun with the sign would say nothing about it."""
    loop = asyncio.get_running_loop()
    while (now := loop.time()) <= node.signed_at:  # noqa: ASYNC110  # nothing but time is awaited
        await asyncio.sleep(0.001)
    return now
