"""Which of a proxy's workers serves the line at a key: a lease that they pass on to each other.

    worker:  want -> granted ... (another one wants it) ... give, and want again for those who are left in its line

`Leases` is the one place where they are granted, `LeasedLines` is one worker's end of it. As long as a single worker
has transactions on a key, the lease stays with it and nothing is said. One that is contested goes round: those who
stood in the holder's line when another worker asked come first, since they came first, then it is the other's.

Nothing here is needed for an answer to be right: who is not served in time goes ahead. It knows no process and no time;
what is to be said is passed to who says it.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

from router.lines import Lines

Who = TypeVar("Who")

MAX_IDLE: Final = 1000
"""Leases that a worker keeps although nobody in it needs them: those unused for longest are given back first."""


class Word(NamedTuple):
    """To be said to a worker: `what` is "granted" (it has the lease) or "wanted" (another one asks for it)."""

    worker: int
    what: str
    key: str


class Leases:
    """Who has what, and who wants it. Memory is bounded by what workers ask for: each key at most once."""

    __slots__ = ("_holders", "_wanting")

    def __init__(self) -> None:
        self._holders: dict[str, int] = {}
        self._wanting: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, key: str) -> int | None:
        """The worker that has the lease."""
        return self._holders.get(key)

    def want(self, key: str, worker: int) -> list[Word]:
        """A worker has somebody in its line."""
        holder = self._holders.setdefault(key, worker)
        if holder == worker:
            return [Word(worker, "granted", key)]
        line = self._wanting.setdefault(key, deque())
        if worker not in line:
            line.append(worker)
        return [Word(holder, "wanted", key)]

    def give(self, key: str, worker: int) -> list[Word]:
        """It gives the lease back."""
        return self._pass_on(key) if self._holders.get(key) == worker else []

    def gone(self, worker: int) -> list[Word]:
        """It has ended: what it had is the next one's."""
        for key, line in list(self._wanting.items()):
            if worker in line:
                line.remove(worker)
                if not line:
                    del self._wanting[key]
        held = [key for key, holder in self._holders.items() if holder == worker]
        return [word for key in held for word in self._pass_on(key)]

    def _pass_on(self, key: str) -> list[Word]:
        line = self._wanting.get(key)
        if not line:
            del self._holders[key]
            return []
        following = self._holders[key] = line.popleft()
        said = [Word(following, "granted", key)]
        if line:
            said.append(Word(following, "wanted", key))
        else:
            del self._wanting[key]
        return said


class LeasedLines(Lines[Who], Generic[Who]):
    """A worker's lines. `want` and `give` are called to say so; `keeps` says whether a lease is kept that nobody here
    needs.
    """

    __slots__ = ("_asked", "_give", "_idle", "_keeps", "_left", "_mine", "_want")

    def __init__(
        self, want: Callable[[str], None], give: Callable[[str], None], keeps: Callable[[str], bool] = lambda key: True
    ) -> None:
        super().__init__()
        self._want = want
        self._give = give
        self._keeps = keeps
        self._mine: set[str] = set()
        self._asked: set[str] = set()
        self._idle: dict[str, None] = {}  # of those that are mine, the latest to become idle last
        self._left: dict[str, int] = {}  # wanted by another worker -> how many here still come first

    def take(self, key: str, who: Who) -> bool:
        if key not in self._mine:
            return False
        self._idle.pop(key, None)
        return super().take(key, who)

    def wait(self, key: str, who: Who, most: int) -> bool:
        if not super().wait(key, who, most):
            return False
        if key not in self._mine and key not in self._asked:
            self._asked.add(key)
            self._want(key)
        return True

    def leave(self, key: str, who: Who) -> Who | None:
        if self.head(key) != who:
            return None
        left = self._left.get(key)
        if left == 0:
            self.vacate(key)
            self._return(key)
            if self.length(key):
                self._asked.add(key)
                self._want(key)
            return None
        if left is not None:
            self._left[key] = left - 1
        following = super().leave(key, who)
        if following is None:
            self._rest(key)
        return following

    def granted(self, key: str) -> Who | None:
        """The lease is ours; whose turn it is."""
        self._asked.discard(key)
        self._mine.add(key)
        following = self.lead(key)
        if following is None:
            self._rest(key)
        return following

    def wanted(self, key: str) -> None:
        """Another worker has somebody who waits for it."""
        if key not in self._mine:
            return
        if self.head(key) is None:
            self._return(key)
        else:
            self._left.setdefault(key, self.length(key))

    def _rest(self, key: str) -> None:
        """Nobody here needs it now."""
        if key in self._left or not self._keeps(key):
            self._return(key)
            return
        self._idle[key] = None
        if len(self._idle) > MAX_IDLE:
            self._return(next(iter(self._idle)))

    def _return(self, key: str) -> None:
        self._left.pop(key, None)
        self._idle.pop(key, None)
        self._mine.discard(key)
        self._give(key)
