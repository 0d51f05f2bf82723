"""LAST_INSERT_ID() of one session, which moves from backend to backend.

A reply with an insert id does not say whether the server generated the id (then it is the new LAST_INSERT_ID()) or
the statement named it (then the old one stands). Where the statement names its columns, and the AUTO_INCREMENT one is
not among them, it was generated. Otherwise the backend knows: it is asked when the session asks, or before another
session overwrites it.
"""

from typing import TYPE_CHECKING, Final

from proxy.backend import Backend
from proxy.request import Request
from proxy.wire.constants import COM_STMT_BULK_EXECUTE

if TYPE_CHECKING:
    from proxy.relay import Relay

REMEMBERED: Final = 16  # replies whose ids may still turn out either way; older ones are taken for generated


class InsertIds:
    """`known` is LAST_INSERT_ID() before the replies that are not `settled`."""

    __slots__ = ("_native", "_told", "known")

    def __init__(self) -> None:
        self.known = 0
        self._told: list[tuple[Backend, int]] = []  # the newest last
        self._native: Backend | None = None  # had the right one before the replies that came from it

    def __repr__(self) -> str:
        return f"<InsertIds {self.known}{''.join(f' or {value}' for _, value in self._told)}>"

    @property
    def settled(self) -> bool:
        return not self._told

    def told(self, backend: Backend, value: int) -> None:
        """A reply on `backend` had this insert id."""
        if not self.is_at(backend):
            self._native = backend if self.settled and backend.last_insert_id == self.known else None
        backend.insert_id_of = self
        backend.last_insert_id = None
        self._told.append((backend, value))
        if len(self._told) > REMEMBERED:
            self.known = self._told.pop(0)[1]

    def generated(self, backend: Backend, value: int) -> None:
        """The same, and the server generated it: what the replies before it meant does not matter any more."""
        self._settle(value)
        self._native = backend
        backend.insert_id_of = self
        backend.last_insert_id = value

    def is_at(self, backend: Backend) -> bool:
        """LAST_INSERT_ID() there is the session's, whatever was generated: nothing has to be asked or set."""
        return self._native is backend and backend.insert_id_of is self

    def in_doubt(self) -> Backend | None:
        """The backend that has to be asked next; None: `known` is it."""
        while self._told:
            backend, value = self._told[-1]
            if backend.lost is None and backend.insert_id_of is self:
                return backend
            self._settle(value)  # nobody can be asked any more, and most ids are generated
        return None

    def learn(self, backend: Backend, value: int) -> None:
        """`backend` says that LAST_INSERT_ID() is `value` there."""
        backend.last_insert_id = value
        for at in range(len(self._told) - 1, -1, -1):
            where, told = self._told[at]
            if where is backend and told == value:
                newer = [entry for entry in self._told[at + 1 :] if entry[0] is not backend]
                self.known = value
                self._told = newer
                return
        self._told = [entry for entry in self._told if entry[0] is not backend]

    def clear(self) -> None:
        self.known = 0
        self._told.clear()
        self._native = None

    def _settle(self, value: int) -> None:
        self.known = value
        self._told.clear()


def replied(relay: "Relay", request: Request, backend: Backend, value: int) -> None:
    """The reply to the client's command on `backend` had this insert id."""
    if _generates(relay, request):
        relay.insert_ids.generated(backend, value)
    else:
        relay.insert_ids.told(backend, value)


def _generates(relay: "Relay", request: Request) -> bool:
    """The id is none that the statement has given, nor a trigger; and its table is the one that everybody knows."""
    statement = request.statement
    if not statement.gives or statement.pins is not None or relay.pinned is not None:
        return False
    if request.code == COM_STMT_BULK_EXECUTE or not relay.cluster.is_current:
        return False
    state = relay.state if request.prepared is None else request.prepared.state
    table = relay.cluster.table(statement.tables[0], state.schema)
    if table is None or not table.generated or "insert" in table.triggers:
        return False
    return table.generated not in statement.gives
