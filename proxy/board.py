"""A little memory that all workers see: how many clients each has, the last connection id that it gave, and on which
keys it has transactions open.

Each worker writes its own seat only, and reads the others'. A seat outlives its worker, so that the next one on it goes
on with the ids. Knows nothing of what the numbers are for.
"""

import mmap
import os
from typing import Final
from zlib import crc32

LAST_ID: Final = 0xFFFFFFFF
"""All that a greeting can say (its connection id has four bytes)."""

_WORD: Final = 8  # bytes; written and read in one go
_CLIENTS, _ID, _WORDS = 0, 1, 2
# Transactions open by key and node, each pair in the slot that its hash names. Two that share one are taken for each
# other, which makes a transaction wait, in the seconds in which owners change, for one that it need not wait for.
_SLOTS: Final = 1 << 16  # of which only those that were used take memory
_COUNT: Final = 4  # bytes


class Board:
    """Seats for so many workers. `file` is the descriptor of a board that another process made."""

    def __init__(self, workers: int, file: int | None = None) -> None:
        words = workers * _WORDS * _WORD
        size = words + (workers * _SLOTS * _COUNT if workers > 1 else 0)
        if file is None and workers > 1:
            file = os.memfd_create("multiwriter-board")
            os.ftruncate(file, size)
        self.workers = workers
        self.file = file
        """For the processes that are to share it; None: there is only one."""
        self._memory = mmap.mmap(-1 if file is None else file, size)
        memory = memoryview(self._memory)
        self.words = memory[:words].cast("q")
        self.counts = memory[words:].cast("i")

    def seat(self, number: int) -> "Seat":
        return Seat(self, number)


class Seat:
    """One worker's place, counted from 0."""

    __slots__ = ("_board", "_counts", "_first", "_others", "number")

    def __init__(self, board: Board, number: int) -> None:
        self.number = number
        self._board = board
        self._first = number * _WORDS
        self._counts = number * _SLOTS
        self._others = tuple(other * _SLOTS for other in range(board.workers) if other != number)

    def tell_clients(self, count: int) -> None:
        self._board.words[self._first + _CLIENTS] = count

    def clients_elsewhere(self) -> int:
        """Clients of all other workers."""
        if self._board.workers == 1:
            return 0
        return sum(self._board.words[_CLIENTS::_WORDS]) - self._board.words[self._first + _CLIENTS]

    def add(self, key: str, node: str, change: int) -> None:
        """So many more transactions are open on this key there."""
        self._board.counts[self._counts + _slot(key, node)] += change

    def open(self, key: str, node: str) -> bool:
        """Another worker has some."""
        slot, counts = _slot(key, node), self._board.counts
        return any(counts[first + slot] for first in self._others)

    def vacate(self) -> None:
        """Its worker has ended: it has no clients, and no transactions."""
        self.tell_clients(0)
        if self._others:
            self._board.counts[self._counts : self._counts + _SLOTS] = memoryview(bytes(_SLOTS * _COUNT)).cast("i")

    def next_id(self) -> int:
        """Ids count up, each worker's in its own places of the count; behind the last one they begin again."""
        at = self._first + _ID
        last = self._board.words[at]
        following = last + self._board.workers if last else self.number + 1
        if following > LAST_ID:
            following = self.number + 1
        self._board.words[at] = following
        return following


def _slot(key: str, node: str) -> int:
    return crc32(f"{node}\0{key}".encode("utf-8", "surrogateescape")) % _SLOTS


def seat_of(connection_id: int, workers: int) -> int:
    """The number of the seat that gave this id."""
    return (connection_id - 1) % workers
