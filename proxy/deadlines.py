"""Who has to be done by when, where all have the same time: one timer of the loop for them all.

A timer for each client that comes costs as much as a third of its login, and nearly all are cancelled.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Who = TypeVar("Who")


class Deadlines(Generic[Who]):
    """`expired` is called for each that has not left `seconds` after it was added, in the loop and not within add()."""

    def __init__(self, seconds: float, expired: Callable[[Who], None]) -> None:
        self.seconds = seconds
        self._expired = expired
        self._due: dict[Who, float] = {}  # the one that came first is due first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, who: Who) -> float:
        """Its deadline, in the loop's time."""
        loop = asyncio.get_running_loop()
        due = self._due[who] = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)
        return due

    def leave(self, who: Who) -> bool:
        """Whether it was still there. A timer that finds nobody due is set again or forgotten when it comes."""
        return self._due.pop(who, None) is not None

    def all(self) -> list[Who]:
        return list(self._due)

    def close(self) -> None:
        """Nobody expires any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due:
            who, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._look)
                return
            del self._due[who]
            self._expired(who)
        self._timer = None
