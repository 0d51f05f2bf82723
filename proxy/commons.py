"""What the workers of one proxy have in common, at the supervisor: what conflicts have taught, and whose turn it is.

It passes on what one of them says to those whom it concerns. Decisions are those of `router.leases` and
`router.contention`. While nothing is fought over, nobody says anything.
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proxy.turns import RIGHT_OF_WAY
from router.contention import Conflict, Contention
from router.leases import Leases, Word

Told = Sequence[Any]
"""A conflict as it travels: see `packed`."""


def packed(lost: Conflict, transactions: int, at: float) -> Told:
    """As JSON can have it. `at`: on the clock that all processes of a machine have in common."""
    return (lost.opener, lost.rows, lost.changed, lost.met, lost.visible, transactions, at)


def unpacked(told: Told) -> tuple[Conflict, int, float]:
    opener, rows, changed, met, visible, transactions, at = told
    return Conflict(opener, tuple(rows), tuple(changed), met=met, visible=visible), transactions, at


class Commons:
    """`say` passes a word and its arguments to a worker, if it is there; `there` has the numbers of all that are."""

    def __init__(self, say: Callable[..., None], there: Callable[[], Iterable[int]]) -> None:
        self._say = say
        self._there = there
        self._leases = Leases()
        self._contention = Contention()
        self._ways: dict[str, int] = {}  # right of way -> the worker that has it, as the others know

    def learnt(self) -> str:
        """What a worker that begins now has to know of conflicts."""
        return pickle.dumps(self._contention).hex()

    @property
    def ways(self) -> list[str]:
        """The rights of way that a worker which begins now finds taken."""
        return sorted(self._ways)

    def conflicts(self, worker: int, told: Sequence[Told]) -> None:
        """Some of this worker's transactions have lost conflicts: all have to know."""
        for each in told:
            self._contention.heard(*unpacked(each))
        for other in self._there():
            if other != worker:
                self._say(other, "conflicts", told)

    def want(self, worker: int, key: str) -> None:
        """This worker wants to serve the queue of a key."""
        self._pass_on(self._leases.want(key, worker))

    def give(self, worker: int, key: str) -> None:
        """It gives that back."""
        self._pass_on(self._leases.give(key, worker))
        self._announce(key)

    def gone(self, worker: int) -> None:
        """It has ended, and all that it had is free."""
        self._pass_on(self._leases.gone(worker))
        for key in [key for key, holder in self._ways.items() if holder == worker]:
            self._announce(key)

    def _pass_on(self, words: Sequence[Word]) -> None:
        for word in words:
            self._say(word.worker, word.what, word.key)
            self._announce(word.key)

    def _announce(self, key: str) -> None:
        """Others wait for who has the right of way, and so have to know that there is somebody."""
        if not key.startswith(RIGHT_OF_WAY):
            return
        holder = self._leases.holder(key)
        if holder == self._ways.get(key):
            return
        if holder is None:
            del self._ways[key]
        else:
            self._ways[key] = holder
        for worker in self._there():
            self._say(worker, "ahead", key, holder is not None and holder != worker)
