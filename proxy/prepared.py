"""The statements that one client has prepared, under ids of ours.

A backend's own ids never reach the client: each backend prepares a statement when it is first executed there.
"""

from typing import Final

from proxy.backend import Backend, PreparedThere
from proxy.request import Prepared, Request
from proxy.wire.constants import COM_STMT_CLOSE
from proxy.wire.framing import frame
from proxy.wire.prepared import LAST_PREPARED, with_prepared_id
from proxy.wire.replies import ReplyScanner
from router.session import State

# Statements kept prepared on one backend. The server's own limit, max_prepared_stmt_count, is 16382 for all
# connections.
PER_BACKEND: Final = 256


class PreparedStatements:
    """id -> statement. Ids count up and are not used twice, as at a server."""

    __slots__ = ("_copies", "_last_id", "_newest", "_statements")

    def __init__(self) -> None:
        self._statements: dict[int, Prepared] = {}
        self._copies: dict[tuple[State, bytes], set[int]] = {}  # those that are open of each
        self._last_id = 0
        self._newest = 0  # what a MariaDB client means by LAST_PREPARED; 0: what it prepared last was refused

    def __len__(self) -> int:
        return len(self._statements)

    def get(self, prepared_id: int) -> Prepared | None:
        return self._statements.get(self._newest if prepared_id == LAST_PREPARED else prepared_id)

    def close(self, prepared_id: int) -> None:
        closed = self._statements.pop(self._newest if prepared_id == LAST_PREPARED else prepared_id, None)
        if closed is not None:
            copies = self._copies[closed.state, closed.raw]
            copies.discard(closed.copy)
            if not copies:
                del self._copies[closed.state, closed.raw]

    def clear(self) -> None:
        self._statements.clear()
        self._copies.clear()

    def begin(self) -> None:
        """A COM_STMT_PREPARE has come."""
        self._newest = 0

    def add(
        self, request: Request, data: bytes, reply: ReplyScanner, backend: Backend, state: State, tables: int
    ) -> bytes:
        """The reply to a COM_STMT_PREPARE came: keep the statement, and return the reply with our id in it."""
        self._newest = self._last_id = self._last_id + 1
        copies = self._copies.setdefault((state, request.raw), set())
        copy = next(number for number in range(len(copies) + 1) if number not in copies)
        copies.add(copy)
        prepared = Prepared(self._last_id, request.raw, request.facts, reply.num_params, state, copy, tables)
        prepared.read_as = request.read_as
        self._statements[self._last_id] = prepared
        keep(backend, prepared, reply.statement_id)
        return with_prepared_id(data, self._last_id)


def keep(backend: Backend, prepared: Prepared, statement_id: int) -> None:
    """`backend` has prepared it as `statement_id`: remember that, and close what there is too much of.

    Another session's of the same text goes: see `Flavor.prepares_types`.
    """
    known = backend.prepared.pop(prepared.key, None)
    if known is not None:
        backend.tell(_close(known.id))
    backend.prepared[prepared.key] = PreparedThere(statement_id)
    if len(backend.prepared) > PER_BACKEND:
        oldest = next(iter(backend.prepared))
        backend.tell(_close(backend.prepared.pop(oldest).id))


def _close(statement_id: int) -> bytes:
    return frame(bytes((COM_STMT_CLOSE,)) + statement_id.to_bytes(4, "little"))
