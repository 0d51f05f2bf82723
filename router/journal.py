"""The commands of the open transaction and a digest of each reply: enough to run it again and prove it the same.

Bounded twice: by session and, through a JournalSpace, over all sessions. At a limit nothing fails; the transaction
becomes unreplayable, with a reason, and its memory is given back. It must not know how commands are sent or replies
read.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

Request = TypeVar("Request")

OVERHEAD: Final = 512
"""Bytes accounted for an entry beside its raw command: objects, digest, list slot. Measured 300-450, rounded up."""

SESSION_FULL: Final = "journal-session-limit"
SPACE_FULL: Final = "journal-total-limit"


class JournalSpace:
    """Bytes that the journals of all sessions of a process may hold together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        assert 0 <= size <= self.used, "more given back than taken"
        self.used -= size


class Entry(Generic[Request]):
    """One command as the client sent it, and what it gave.

    `request`: the caller's own record of the command; not looked at here. `size`: its bytes. `digest`: of the whole
    reply. `insert_id`: what the reply reported, 0 for none. `affected_rows`: likewise. `error`: the code of the error
    that the client saw, 0 for none. `generated`: the server is known to have chosen the insert id, so that a replay
    asks for the same one.
    """

    __slots__ = ("affected_rows", "digest", "error", "generated", "insert_id", "request", "size")

    def __init__(
        self, request: Request, size: int, digest: bytes, insert_id: int = 0, affected_rows: int = 0, error: int = 0
    ) -> None:
        self.request = request
        self.size = size
        self.digest = digest
        self.insert_id = insert_id
        self.affected_rows = affected_rows
        self.error = error
        self.generated = False

    @property
    def several_ids(self) -> bool:
        """The statement may have generated more than one: on another node they would step differently."""
        return self.insert_id != 0 and self.affected_rows > 1


class Journal(Generic[Request]):
    """The open transaction of one session. `limit` in bytes.

    Either it can be replayed (`unreplayable` is "") from its entries, or it has none and a reason.
    """

    __slots__ = ("_entries", "_limit", "_space", "size", "unreplayable")

    def __init__(self, space: JournalSpace, limit: int) -> None:
        self._space = space
        self._limit = limit
        self._entries: list[Entry[Request]] = []
        self.size = 0
        self.unreplayable = ""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Request]]:
        return iter(self._entries)

    @property
    def first(self) -> Entry[Request]:
        """What the transaction began with. Raises IndexError when nothing is recorded."""
        return self._entries[0]

    @property
    def entries(self) -> tuple[Entry[Request], ...]:
        return tuple(self._entries)

    def append(self, entry: Entry[Request]) -> bool:
        """Keep one more command; False when the transaction is, or by this has become, unreplayable."""
        if self.unreplayable:
            return False
        size = entry.size + OVERHEAD
        if self.size + size > self._limit:
            self.forbid(SESSION_FULL)
            return False
        if not self._space.take(size):
            self.forbid(SPACE_FULL)
            return False
        self.size += size
        self._entries.append(entry)
        return True

    def forbid(self, reason: str) -> None:
        """This transaction must not be replayed. The first reason stays; the entries are dropped."""
        assert reason
        if not self.unreplayable:
            self.unreplayable = reason
            self._drop()

    def clear(self) -> None:
        """The transaction has ended."""
        self.unreplayable = ""
        if self._entries:
            self._drop()

    def resize(self, limit: int) -> None:
        """Another limit, for what comes."""
        if self._limit >= 0:
            self._limit = limit

    def release(self) -> None:
        """The session has ended: nothing is held or taken any more."""
        self.clear()
        self._limit = -1

    def _drop(self) -> None:
        self._space.give(self.size)
        self.size = 0
        self._entries = []
