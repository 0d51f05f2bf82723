"""After a node was lost: the transactions that were on it run their statements again before anything else gets their
rows.

All of them held their locks at the same time, so none of them can block another while they take them again elsewhere.
A statement that is still waiting, or a new transaction on the same rows, could get in between and change what a
replay has to reproduce. So these wait until the last journal has been run, but not for long once it can be: a replay
may itself wait for a lock that a survivor holds, or that one of those who wait has got, where a node locks more than
the lost one did.
A commit that is being looked up is waited for until it is known whether it has to be run again: that needs no lock.

Transactions of two nodes may have held locks on the same rows. When both nodes are lost one waits for the other's lock
where they meet, and the other must not wait for it in turn: who has its locks back then goes on at once.
"""

import asyncio
from contextlib import suppress
from typing import Final

GLANCE: Final = 0.1  # seconds between two looks at how long there is still to wait


class Recovery:
    """The replays after a lost node that are still taking back their locks."""

    def __init__(self, patience: float) -> None:
        self._patience: Final = patience
        self._replaying: set[object] = set()
        self._looked_up: set[object] = set()  # of these
        self._origins: set[str] = set()  # of all that have replayed since nobody did
        self._settled = asyncio.Event()
        self._settled.set()
        self._holders_go = asyncio.Event()  # settled, or of several origins
        self._holders_go.set()
        self._until = 0.0

    @property
    def active(self) -> bool:
        return bool(self._replaying)

    def enter(self, who: object, origin: str, lookup: float | None = None) -> None:
        """`who` has lost its backend and will run its journal again. `origin`: those of the same one held their locks
        at the same time, as on one node. `lookup`: it will know within so many seconds whether it has to.
        """
        now = asyncio.get_running_loop().time()
        if not self._replaying:
            self._until = now + self._patience
            self._origins.clear()
            self._settled.clear()
            self._holders_go.clear()
        if lookup is not None:
            self._looked_up.add(who)
            self._until = max(self._until, now + lookup)
        self._replaying.add(who)
        self._origins.add(origin)
        if len(self._origins) > 1:
            self._holders_go.set()

    def leave(self, who: object) -> None:
        """It has its locks, or has given up, or knows what became of its commit."""
        if who in self._looked_up:
            self._looked_up.discard(who)
            if not self._looked_up:
                self._until = min(self._until, asyncio.get_running_loop().time() + self._patience)
        self._replaying.discard(who)
        if not self._replaying:
            self._settled.set()
            self._holders_go.set()

    def prolong(self) -> None:
        """Only from now on can they take their locks back."""
        if self._replaying:
            self._until = max(self._until, asyncio.get_running_loop().time() + self._patience)

    async def settled(self, *, holds: bool = False) -> None:
        """Wait until nobody replays, but not longer than since the first of them has had its time. `holds`: who waits
        has locks, which those of another origin may be waiting for.
        """
        over = self._holders_go if holds else self._settled
        loop = asyncio.get_running_loop()
        while not over.is_set() and loop.time() < self._until:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(self._until, loop.time() + GLANCE)):
                    await over.wait()
