"""A little memory that all workers see: how many clients each has, and the last connection id that it gave.

Each worker writes its own seat only, and reads the others'. A seat outlives its worker, so that the next one on it goes
on with the ids. Knows nothing of what the numbers are for.
"""

import mmap
import os
from typing import Final

LAST_ID: Final = 0xFFFFFFFF
"""All that a greeting can say (its connection id has four bytes)."""

_WORD: Final = 8  # bytes; written and read in one go
_CLIENTS, _ID, _WORDS = 0, 1, 2


class Board:
    """Seats for so many workers. `file` is the descriptor of a board that another process made."""

    def __init__(self, workers: int, file: int | None = None) -> None:
        size = workers * _WORDS * _WORD
        if file is None and workers > 1:
            file = os.memfd_create("multiwriter-board")
            os.ftruncate(file, size)
        self.workers = workers
        self.file = file
        """For the processes that are to share it; None: there is only one."""
        self._memory = mmap.mmap(-1 if file is None else file, size)
        self.words = memoryview(self._memory).cast("q")

    def seat(self, number: int) -> "Seat":
        return Seat(self, number)


class Seat:
    """One worker's place, counted from 0."""

    __slots__ = ("_board", "_first", "number")

    def __init__(self, board: Board, number: int) -> None:
        self.number = number
        self._board = board
        self._first = number * _WORDS

    def tell_clients(self, count: int) -> None:
        self._board.words[self._first + _CLIENTS] = count

    def clients_elsewhere(self) -> int:
        """Clients of all other workers."""
        if self._board.workers == 1:
            return 0
        return sum(self._board.words[_CLIENTS::_WORDS]) - self._board.words[self._first + _CLIENTS]

    def next_id(self) -> int:
        """Ids count up, each worker's in its own places of the count; behind the last one they begin again."""
        at = self._first + _ID
        last = self._board.words[at]
        following = last + self._board.workers if last else self.number + 1
        if following > LAST_ID:
            following = self.number + 1
        self._board.words[at] = following
        return following


def seat_of(connection_id: int, workers: int) -> int:
    """The number of the seat that gave this id."""
    return (connection_id - 1) % workers
