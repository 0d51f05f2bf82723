"""Asks nodes for commits whose answer was lost: connections of our own, as the account that watches the nodes.

What is asked and what an answer means is the business of router.marker; whom to ask, how often and how long is known
here. Nothing here knows a session.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from config import Config
from proxy import login, queries
from proxy.counters import Metrics
from proxy.link import Link
from proxy.log import event
from router import marker
from router.marker import Fate
from router.membership import Membership, Node, NodeState
from router.outcomes import unmarked

logger = logging.getLogger(__name__)

AT_ONCE: Final = 16  # connections for questions
AGAIN: Final = 0.02  # seconds before the same question is put again
GLANCE: Final = 0.1  # seconds between two looks whether a node that is being asked still is one
REPEAT: Final = 10.0  # seconds for which commits go without a marker after its procedures were found missing
ATTRIBUTES: Final = {"program_name": "multiwriter-marker"}
# An answer may have to wait for the others to expel a member, but nobody waits for its lock for ever.
PREPARE: Final = "SET SESSION autocommit = 1, innodb_lock_wait_timeout = 5"


class Connection(Protocol):
    """What queries.QueryConnection has."""

    async def query(self, sql: str, /) -> list[tuple[str | None, ...]]: ...
    def close(self) -> None: ...


Open = Callable[[Node], Awaitable[Connection]]


class Unusable(Exception):
    """The marker is not there, or may not be used: why, for an operator."""


class Markers:
    """The commit markers of one cluster."""

    def __init__(
        self,
        config: Config,
        membership: Membership,
        metrics: Metrics,
        link: Link,
        now: Callable[[], float],
        open_connection: Open | None = None,
    ) -> None:
        self._config = config
        self._membership = membership
        self._metrics = metrics
        self._link = link
        self._now = now
        self._open = open_connection or self._log_in
        self._places = asyncio.Semaphore(AT_ONCE)
        self._unusable_until: dict[str, float] = {}  # account -> when its next commit tries again

    # -- as far as sessions have met it -------------------------------------------------------------------------------

    def usable(self, user: str) -> bool:
        """The account was not refused it just now."""
        return not self._unusable_until or self._unusable_until.get(user, 0.0) <= self._now()

    def refused(self, user: str, node: str, why: str, message: str) -> None:
        """Its procedures are missing, or this account may not call them: its commits do without for a while."""
        self._unusable_until[user] = self._now() + REPEAT
        event(
            logger,
            "marker.refused",
            level=logging.WARNING,
            reason=why,
            account=user,
            node=node,
            error=message,
            hint="commits of this account are not marked; run `multiwriter setup`",
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    async def ask(self, slot: int, number: int, lost_on: Node) -> tuple[Fate, Node | None]:
        """What became of a commit, and the node that said so: what it says has arrived there."""
        began = self._now()
        found: Fate | None = None
        node: Node | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.limits.marker_wait), self._places:
                while found is None:
                    node = self._whom(lost_on)
                    if node is not None:
                        found = await self._ask(node, slot, number)
                    if found is None:
                        await asyncio.sleep(AGAIN)
        fate = found or Fate.UNKNOWN
        self._metrics.marker_lookups[fate.value] += 1
        self._metrics.marker_seconds.observe(self._now() - began)
        event(
            logger,
            "marker.lookup",
            level=logging.WARNING if fate is Fate.UNKNOWN else logging.INFO,
            lost_on=lost_on.name,
            answer=fate.value,
            asked=node.name if node is not None else "",
            seconds=round(self._now() - began, 3),
        )
        return fate, node

    def _whom(self, lost_on: Node) -> Node | None:
        """A writer other than the one that the answer was lost on, if there is one."""
        writers = self._membership.writers
        return next((node for node in writers if node is not lost_on), writers[0] if writers else None)

    async def _ask(self, node: Node, slot: int, number: int) -> Fate | None:
        """None: it could not say, now or at all."""
        asking = asyncio.get_running_loop().create_task(self._query(node, slot, number), name=f"marker {node.name}")
        try:
            while True:
                done, _ = await asyncio.wait((asking,), timeout=GLANCE)
                if done:
                    return asking.result()
                if node.state is NodeState.DOWN:
                    return None
        except login.ConnectFailed as failed:
            why = unmarked(failed.code, failed.message)
            if why is None:
                return None
            event(logger, "marker.refused", level=logging.ERROR, reason=why, node=node.name, error=failed.message)
            return Fate.UNKNOWN
        finally:
            asking.cancel()

    async def _query(self, node: Node, slot: int, number: int) -> Fate | None:
        connection = await self._open(node)
        try:
            await connection.query(PREPARE)
            tombstone, look = marker.tombstone(slot, number)
            await connection.query(tombstone)
            return marker.fate(number, await connection.query(look))
        finally:
            connection.close()

    async def probe(self) -> str | None:
        """Is the marker there, and may the account that watches the nodes use it? None: yes; otherwise why not.

        Asks the first writer. Raises login.ConnectFailed when that can't be asked.
        """
        writers = self._membership.writers
        return await probe(await self._open(writers[0])) if writers else "no node takes writes"

    async def look_at_start(self) -> None:
        """Say in the log when the marker is on but can't work."""
        try:
            fault = await self.probe()
        except login.ConnectFailed as failed:
            fault = str(failed)
        if fault is not None:
            event(
                logger,
                "marker.missing",
                level=logging.WARNING,
                error=fault,
                hint="commit_marker is on, but commits are not marked until `multiwriter setup` has been run",
            )

    async def _log_in(self, node: Node) -> Connection:
        cluster = self._config.cluster
        patience = self._config.pool.connect_timeout
        return await queries.open_queries(
            (node.host, node.port),
            user=cluster.user,
            password=cluster.password.reveal(),
            attributes=ATTRIBUTES,
            link=self._link,
            timeout=patience,
            connect_timeout=patience,
        )


async def probe(connection: Connection) -> str | None:
    """Whether all that the marker needs is there for the account of this connection, which is closed; why not."""
    try:
        await connection.query(marker.PROBE)
    except login.ConnectFailed as failed:
        if unmarked(failed.code, failed.message) != "slot_lost":
            return failed.message
    else:
        return f"{marker.COMMIT_PROCEDURE} is not ours"
    try:
        for statement in marker.tombstone(0, 1):
            await connection.query(statement)
    except login.ConnectFailed as failed:
        return failed.message
    finally:
        connection.close()
    return None
