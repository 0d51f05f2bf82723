"""One command of a client: its bytes, the facts about it, and how it reads on a given backend."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.backend import Backend
from proxy.wire.constants import COM_INIT_DB, COM_QUERY, COM_STMT_BULK_EXECUTE, COM_STMT_EXECUTE
from proxy.wire.framing import HEADER, payload_of
from proxy.wire.packets import ServerError, error_packet
from proxy.wire.prepared import long_data_parameter, unit_results, with_statement_id, with_types
from router.conditions import Condition
from router.facts import PinReason, Statement
from router.session import State

if TYPE_CHECKING:
    from proxy.profile import Profile

# What a replay has to run again. The others (PING, PREPARE, STATISTICS) leave no trace in a transaction.
JOURNALED: Final = frozenset((COM_QUERY, COM_INIT_DB, COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE))


class Prepared:
    """A statement that the client prepared, under the id that we gave it.

    `state` is the session's at that time: the schema and the SQL mode it was parsed in are part of its meaning. `raw`
    is the COM_STMT_PREPARE. `copy`: how many others of the same the client had; each has a statement of its own at a
    backend, since one may have an open cursor when the other is executed. `tables`: their generation then,
    see `Cluster.generation`.
    """

    __slots__ = (
        "conditions",
        "copy",
        "id",
        "key",
        "long_data",
        "long_data_bytes",
        "num_params",
        "raw",
        "read_as",
        "refused",
        "state",
        "statement",
        "tables",
        "types",
    )

    def __init__(
        self, prepared_id: int, raw: bytes, statement: Statement, num_params: int, state: State, copy: int, tables: int
    ) -> None:
        self.id = prepared_id
        self.raw = raw
        self.statement = statement
        self.num_params = num_params
        self.state = state
        self.copy = copy
        self.tables = tables
        # By which backends know it; compiled, it is made once as an object.
        self.key: object = (state, raw, 2 * copy + (tables << 16))
        self.conditions: tuple[Condition, ...] | None = None  # which rows it is about; None: not looked at yet
        self.read_as = (0, 0)  # the modes that its text was read under, and the version of what was known then
        self.types: bytes | None = None  # the parameter types that the client named last
        self.long_data: list[bytes] = []  # COM_STMT_SEND_LONG_DATA for the next execution
        self.long_data_bytes = 0
        self.refused = False  # some of it is for a parameter that there is not: no execution until a reset

    def send_ahead(self, part: bytes) -> None:
        """Keep a COM_STMT_SEND_LONG_DATA for the next execution."""
        self.long_data.append(part)
        self.long_data_bytes += len(part)
        if long_data_parameter(part) >= self.num_params:
            self.refused = True

    def take_long_data(self) -> tuple[bytes, ...]:
        """The values that were sent ahead; the server forgets them with the execution, too. That and those behind it
        are of another statement at the backends: MariaDB misreads what is sent ahead (1264) for a parameter that the
        same statement has had as a number before.
        """
        parts = tuple(self.long_data)
        if self.refused:
            self.key = self  # so will be, by the server, whatever else is executed as this statement
            return parts
        self.drop_long_data()
        self.key = self._apart()
        return parts

    def drop_long_data(self) -> None:
        """COM_STMT_RESET: nobody will execute it with these."""
        self.long_data = []
        self.long_data_bytes = 0
        if self.refused:
            self.refused = False
            self.key = self._apart()

    def _apart(self) -> object:
        return self.state, self.raw, 2 * self.copy + 1 + (self.tables << 16)


class Request:
    """`raw` are its wire bytes with our statement id in them; `code` its command byte."""

    __slots__ = (
        "code",
        "facts",
        "long_data",
        "numbers",
        "opens_cursor",
        "prepared",
        "raw",
        "read_as",
        "statement",
        "tables",
        "types",
    )

    def __init__(self, code: int, raw: bytes, statement: Statement) -> None:
        self.code = code
        self.raw = raw
        self.statement = statement
        self.read_as = (0, 0)  # likewise
        self.facts = statement  # of a COM_STMT_PREPARE: about the statement in it
        self.prepared: Prepared | None = None
        self.types: bytes | None = None
        self.opens_cursor = False
        self.numbers: tuple[int | None, ...] = ()  # to be put into the row that answers it; None: what it has
        self.long_data: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<Request {self.code:#04x} {self.statement.kind.value} {len(self.raw)} bytes>"

    @staticmethod
    def of_prepared(code: int, raw: bytes, prepared: Prepared, statement: Statement) -> "Request":
        """A command for a prepared statement."""
        self = Request(code, raw, statement)
        self.prepared = prepared
        return self

    @staticmethod
    def execute(raw: bytes, prepared: Prepared, *, cursor: bool) -> "Request":
        """A COM_STMT_EXECUTE or COM_STMT_BULK_EXECUTE, with the types and the long data that were sent ahead of it."""
        statement = prepared.statement
        if statement.schema is not None:
            # It holds only where it was prepared in the schema that the session is in.
            statement = replace(statement, schema=None, pins=PinReason.VARIABLE)
        if unit_results(raw):
            # The ids that it generates are among its rows, which nobody reads here.
            statement = replace(statement, pins=statement.pins or PinReason.LAST_INSERT_ID)
        if cursor and not statement.learns:  # a SET has no rows
            held = (str(prepared.id),) if statement.pins is None else ()
            statement = replace(statement, pins=statement.pins or PinReason.OPEN_CURSOR, held=held, result=None)
        self = Request.of_prepared(raw[HEADER], raw, prepared, statement)
        self.types = prepared.types
        self.opens_cursor = cursor
        if prepared.long_data:
            self.long_data = prepared.take_long_data()
        return self

    @property
    def journaled(self) -> bool:
        return self.code in JOURNALED

    @property
    def size(self) -> int:
        """Bytes that keeping it takes."""
        size = len(self.raw)
        for part in self.long_data:
            size += len(part)
        return size

    @property
    def changes_state(self) -> bool:
        """Success leaves another session state that is carried along."""
        return bool(self.statement.carries) or self.statement.schema is not None

    def state_after(self, state: State) -> State:
        statement = self.statement
        if statement.schema is not None:
            return state.with_schema(self.raw[5:] if self.code == COM_INIT_DB else statement.schema.encode("latin-1"))
        return state.with_variables(statement.carries)

    def bind(self, backend: Backend) -> bytes:
        """The bytes for this backend, on which the statement is prepared."""
        if self.prepared is None:
            return self.raw
        there = backend.prepared[self.prepared.key]
        raw = with_statement_id(self.raw, there.id)
        if self.types is not None and there.types != self.types:
            raw = with_types(raw, self.prepared.num_params, self.types, attributes=backend.profile.attributes)
            there.types = self.types
        if self.long_data:
            return b"".join((*(with_statement_id(part, there.id) for part in self.long_data), raw))
        return raw

    def in_our_words(self, error: ServerError, raw: bytes, backend: Backend) -> bytes:
        """The error packet `raw` of this backend for the client: where it names the statement's id, with ours."""
        if self.prepared is None or "(" not in error.message:
            return raw
        there = backend.prepared.get(self.prepared.key)
        if there is None:
            return raw
        message = error.message
        for noun in ("statement", "handler"):
            message = message.replace(f"{noun} ({there.id})", f"{noun} ({self.prepared.id})", 1)
        return raw if message == error.message else error_packet(raw[3], error.code, error.sqlstate, message)

    def as_query(self, profile: "Profile") -> bytes:
        """The statement as a COM_QUERY, where the client may have prepared it: for BEGIN, which has no parameters."""
        if self.prepared is None:
            return self.raw
        return profile.query(payload_of(self.prepared.raw)[1:])
