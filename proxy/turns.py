"""Transactions that wait for others before they begin: the queue of a hot key, and the right of way at a table.

A queue only spares conflicts, so that nobody waits in it for longer than the settings say, and nobody is refused: where
it is full, or took too long, the transaction begins at once, and the nodes decide. It must not know what a key is.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

from proxy.counters import Metrics
from router.lines import Lines

RIGHT_OF_WAY: Final = "way:"


class Turns:
    """Whose turn it is at each key. `ways`: how many have the right of way at some table."""

    __slots__ = ("_called", "_lines", "_metrics", "ways")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lines: Lines[object] = Lines()
        self._called: dict[object, asyncio.Future[None]] = {}
        self.ways = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def waiting(self) -> int:
        return self._lines.waiting

    def blocked(self, key: str, who: object) -> bool:
        """It is somebody else's turn."""
        head = self._lines.head(key)
        return head is not None and head != who

    def take(self, keys: Iterable[str], who: object) -> bool:
        """Have all of these turns now, or none."""
        keys = tuple(keys)
        if any(self.blocked(key, who) for key in keys):
            return False
        for key in keys:
            self._take(key, who)
        return True

    def _take(self, key: str, who: object) -> bool:
        new = self._lines.head(key) is None
        taken = self._lines.take(key, who)
        if new and key.startswith(RIGHT_OF_WAY):
            self.ways += 1
        return taken

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
            following = self._lines.leave(key, who)
            if following is not None:
                self._called[following].set_result(None)
            elif key.startswith(RIGHT_OF_WAY):
                self.ways -= 1
