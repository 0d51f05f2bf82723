"""Who is next at a key: a line for each, first come, first served, and at most one at its head.

It must not know why somebody waits, nor for how long.
"""

from collections import deque
from typing import Generic, TypeVar

Who = TypeVar("Who")


class Lines(Generic[Who]):
    """Memory is bounded by those who have a turn and those who wait."""

    __slots__ = ("_heads", "_waiting")

    def __init__(self) -> None:
        self._heads: dict[str, Who] = {}
        self._waiting: dict[str, deque[Who]] = {}

    def __len__(self) -> int:
        """Keys that are somebody's turn."""
        return len(self._heads)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def head(self, key: str) -> Who | None:
        """Whose turn it is."""
        return self._heads.get(key)

    def length(self, key: str) -> int:
        """How many stand in line behind the head."""
        return len(self._waiting.get(key, ()))

    def take(self, key: str, who: Who) -> bool:
        """Have the turn, if it is nobody else's."""
        return self._heads.setdefault(key, who) == who

    def wait(self, key: str, who: Who, most: int) -> bool:
        """Stand in line behind the others; False: as many as `most` do already."""
        line = self._waiting.setdefault(key, deque())
        if len(line) >= most:
            if not line:
                del self._waiting[key]
            return False
        line.append(who)
        return True

    def withdraw(self, key: str, who: Who) -> None:
        """Wait no more."""
        line = self._waiting.get(key)
        if line is not None:
            if who in line:
                line.remove(who)
            if not line:
                del self._waiting[key]

    def leave(self, key: str, who: Who) -> Who | None:
        """Give up the turn; who has it now. None: nobody, or it was not theirs to give."""
        if self._heads.get(key) != who:
            return None
        self.vacate(key)
        return self.lead(key)

    def vacate(self, key: str) -> None:
        """It is nobody's turn, and those in line go on waiting."""
        self._heads.pop(key, None)

    def lead(self, key: str) -> Who | None:
        """The first in line has the turn, which is nobody's now; None: nobody waits."""
        line = self._waiting.get(key)
        if not line:
            return None
        following = self._heads[key] = line.popleft()
        if not line:
            del self._waiting[key]
        return following
