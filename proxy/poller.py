"""Keeps something that the cluster holds as it is there: read from one of the nodes, again and again, and when asked.

One task and one connection; the next node is asked when one fails. What is read, and what became of it, is its owner's
business: the cluster's accounts (proxy.accounts), its definitions (proxy.catalog).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Generic, Protocol, TypeVar

from proxy import login
from router.membership import Node


class Closable(Protocol):
    def close(self) -> None: ...


Connection = TypeVar("Connection", bound=Closable)


class Poller(Generic[Connection]):
    """Polls from run() until that is cancelled.

    `read` is given an open connection, its node, and whether somebody asked for this poll; it returns what is wrong
    with what it read, "" if nothing, and raises where the node can't be read. `tell` hears what was wrong after each
    poll. Seconds: `refresh` between the beginnings of two polls nobody asked for, `gap` between any two, `patience` for
    one node.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[Node]],
        open_connection: Callable[[Node], Awaitable[Connection]],
        read: Callable[[Connection, Node, bool], Awaitable[str]],
        tell: Callable[[str], None],
        *,
        refresh: float,
        patience: float,
        gap: float = 0.0,
    ) -> None:
        self._nodes = nodes
        self._open = open_connection
        self._read = read
        self._tell = tell
        self._refresh = refresh
        self._patience = patience
        self._gap = gap
        self._connection: Connection | None = None
        self._node: Node | None = None
        self._wanted = asyncio.Event()
        self._begun = 0  # polls
        self._ended = asyncio.Event()  # set and replaced whenever a poll ends

    def ask(self) -> None:
        """Poll soon."""
        self._wanted.set()

    async def polled(self, patience: float) -> None:
        """Returns when a poll that began after this call has ended, well or not, or after `patience` seconds."""
        begins_after = self._begun
        self.ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while True:
                    ended = self._ended
                    await ended.wait()
                    if self._begun > begins_after:
                        return

    async def run(self) -> None:
        """A failure is told, and another try."""
        try:
            while True:
                # Looked at here and not where it is asked: a poll that was under way does not answer that.
                asked = self._wanted.is_set()
                self._wanted.clear()
                began = monotonic()
                await self._poll(asked)
                ended, self._ended = self._ended, asyncio.Event()
                ended.set()
                await asyncio.sleep(max(0.0, began + self._gap - monotonic()))
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, began + self._refresh - monotonic())):
                        await self._wanted.wait()
        finally:
            self._drop()

    async def _poll(self, asked: bool) -> None:
        self._begun += 1
        problem = "no node takes writes"
        nodes = list(self._nodes())
        if self._node in nodes:  # the one that is connected
            nodes.remove(self._node)
            nodes.insert(0, self._node)
        for node in nodes:
            try:
                async with asyncio.timeout(self._patience):
                    if self._connection is None or node is not self._node:
                        self._drop()
                        self._connection, self._node = await self._open(node), node
                    wrong = await self._read(self._connection, node, asked)
            except (login.ConnectFailed, TimeoutError) as failed:
                self._drop()
                problem = f"{node.name}: {failed or 'no answer'}"
            except Exception as failed:  # rows that nobody understands must not end the polling
                self._drop()
                problem = f"{node.name}: {failed!r}"
            else:
                self._tell(f"{node.name}: {wrong}" if wrong else "")
                return
        self._tell(problem)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._node = None
