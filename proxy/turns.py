"""Transactions that wait for others before they begin: the queue of a hot key, and the right of way at a table.

A queue only spares conflicts, so that nobody waits in it for longer than the settings say, and nobody is refused: where
it is full, or took too long, the transaction begins at once, and the nodes decide. Where there are other workers, a
queue is served by one of them at a time (`router.leases`). It must not know what a key is.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

from proxy.counters import Metrics
from router.leases import LeasedLines
from router.lines import Lines

RIGHT_OF_WAY: Final = "way:"


class Turns:
    """Whose turn it is at each key. `ways`: how many have the right of way at some table, in whichever worker."""

    __slots__ = ("_ahead", "_called", "_leased", "_lines", "_metrics", "_ways", "ways")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lines: Lines[object] = Lines()
        self._leased: LeasedLines[object] | None = None
        self._called: dict[object, asyncio.Future[None]] = {}
        self._ways: set[str] = set()  # rights of way that somebody here has
        self._ahead: set[str] = set()  # and in other workers
        self.ways = 0

    def share(self, want: Callable[[str], None], give: Callable[[str], None]) -> None:
        """There are other workers; the two ask for the lease of a key, and give it back.

        A right of way goes back at once: others need to know whether anybody has it.
        """
        self._lines = self._leased = LeasedLines(want, give, lambda key: not key.startswith(RIGHT_OF_WAY))

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def waiting(self) -> int:
        return self._lines.waiting

    def blocked(self, key: str, who: object) -> bool:
        """It is somebody else's turn."""
        head = self._lines.head(key)
        return head != who if head is not None else key in self._ahead

    def take(self, keys: Iterable[str], who: object) -> bool:
        """Have all of these turns now, or none."""
        keys = tuple(keys)
        if any(self.blocked(key, who) for key in keys):
            return False
        taken = [key for key in keys if self._take(key, who)]
        if len(taken) < len(keys):  # another worker serves one of them
            self.leave(taken, who)
            return False
        return True

    def _take(self, key: str, who: object) -> bool:
        taken = self._lines.take(key, who)
        self._look(key)
        return taken

    def _look(self, key: str) -> None:
        """Is it still, or now, a right of way that somebody has?"""
        if key.startswith(RIGHT_OF_WAY):
            (self._ways.discard if self._lines.head(key) is None else self._ways.add)(key)
            self.ways = len(self._ways) + len(self._ahead)

    async def wait(self, keys: Iterable[str], who: object, patience: float, most: int) -> list[str]:
        """Wait for these turns, for `patience` seconds in all; those that were had. One order for all who wait for
        several: nobody waits for who waits for them.
        """
        held: list[str] = []
        began = monotonic()
        result = "turn"
        try:
            for key in sorted(keys):
                if self._take(key, who):
                    held.append(key)
                    continue
                if not self._lines.wait(key, who, most):
                    result = "full"
                elif await self._call(key, who, began + patience - monotonic()):
                    held.append(key)
                else:
                    result = "deadline"
                    break
        except asyncio.CancelledError:
            self.leave(held, who)
            raise
        self._metrics.queue_seconds[result].observe(monotonic() - began)
        return held

    async def _call(self, key: str, who: object, seconds: float) -> bool:
        """Whether the turn came in time."""
        called = self._called[who] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((called,), timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            if called.done():
                self.leave((key,), who)
            raise
        finally:
            del self._called[who]
            self._lines.withdraw(key, who)
        return called.done()

    def leave(self, keys: Iterable[str], who: object) -> None:
        """Give these turns to those who wait for them."""
        for key in keys:
            if self._lines.head(key) != who:
                continue
            self._call_up(key, self._lines.leave(key, who))

    def _call_up(self, key: str, following: object | None) -> None:
        if following is not None:
            self._called[following].set_result(None)
        self._look(key)

    # -- said by where leases are granted -----------------------------------------------------------------------------

    def granted(self, key: str) -> None:
        """This worker serves the queue of the key from now on."""
        if self._leased is not None:
            self._call_up(key, self._leased.granted(key))

    def wanted(self, key: str) -> None:
        """Another worker waits for that."""
        if self._leased is not None:
            self._leased.wanted(key)

    def ahead(self, key: str, there: bool) -> None:
        """Somebody in another worker has this right of way, or nobody has any more."""
        (self._ahead.add if there else self._ahead.discard)(key)
        self.ways = len(self._ways) + len(self._ahead)
