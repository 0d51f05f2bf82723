"""What belongs to one client's session and must be the same on whichever backend it runs next.

`State` is the part that is carried along: the schema and the session variables set to known values. It is immutable
and interned, so that "does this backend fit?" is one identity comparison. `restore` says how to bring a backend from
one state to another. Nothing here knows a connection.
"""

from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from router.facts import Modes
from router.variables import ACCESS, CONTEXT, NAMES, carry, modes_of, needs_reset, portable, releases, statements

Variables = tuple[tuple[str, str], ...]

# Character sets in which a byte below 0x80 may be a part of a longer character.
FOREIGN_CHARSETS: Final = ("big5", "sjis", "cp932", "gbk", "gb18030", "ucs2", "utf16", "utf32")


# The schema of a backend of which nobody knows it; the name of none. It can only be changed for another.
UNKNOWN: Final = b"\0"


class State:
    """Schema and session variables, interned: equal states are the same object.

    `variables` holds (name, SQL text of the value) in the order in which they have to be set; the names are those of
    router.variables. `schema` is in the bytes that the client sent.
    """

    __slots__ = (
        "__weakref__",
        "autocommit",
        "has_user_variables",
        "modes",
        "portable",
        "read_only",
        "releases",
        "schema",
        "variables",
    )

    schema: bytes
    variables: Variables
    autocommit: bool
    modes: int  # bits of `Modes`: how the server reads a text in this state, as far as the client has set it
    has_user_variables: bool
    portable: bool  # it can be had on another backend
    read_only: bool  # the client made READ ONLY the default of its transactions
    releases: bool  # the node closes the connection behind COMMIT and ROLLBACK, unless they say otherwise

    def __new__(cls, schema: bytes = b"", variables: Variables = ()) -> "State":
        known = _interned.get((schema, variables))
        if known is not None:
            return known
        self = super().__new__(cls)
        self.schema = schema
        self.variables = variables
        values = dict(variables)
        self.autocommit = values.get("autocommit") != "0"
        self.modes = modes_of(values.get("sql_mode", "''"))
        # Where there are both, the one of the client came behind NAMES.
        if values.get("character_set_client", values.get(NAMES, "")).strip("'").startswith(FOREIGN_CHARSETS):
            self.modes |= Modes.FOREIGN
        self.read_only = values.get(ACCESS) == "READ ONLY"
        self.releases = releases(values)
        self.has_user_variables = any(name.startswith("@") for name in values)
        self.portable = not self.has_user_variables or portable(variables)
        _interned[schema, variables] = self
        return self

    def with_schema(self, schema: bytes) -> "State":
        return State(schema, self.variables)

    def with_variables(self, carries: Variables) -> "State":
        """The state after the client has set these, in order."""
        values = dict(self.variables)
        carry(values, carries)
        return State(self.schema, tuple(values.items()))

    def without_user_variables(self) -> "State":
        if not self.has_user_variables:
            return self
        return State(self.schema, tuple((name, value) for name, value in self.variables if name[0] != "@"))

    def __repr__(self) -> str:
        settings = "".join(f" {name}={value}" for name, value in self.variables)
        return f"<State {self.schema.decode('utf-8', 'replace') or 'no schema'}{settings}>"


_interned: Final[WeakValueDictionary[tuple[bytes, Variables], State]] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Restore:
    """How to bring a backend to a state: reset it or not, then these statements, then this schema."""

    reset: bool
    statements: tuple[str, ...]
    schema: bytes | None


def restore(have: State, want: State) -> Restore:
    """The way from one state to another that is `reachable`."""
    current = dict(have.variables)
    wanted = dict(want.variables)
    # What a variable's default is only the server knows: it goes back to it by a reset, not by a SET.
    reset = needs_reset(current, wanted)
    if reset or any(current.get(name) != wanted.get(name) for name in CONTEXT):
        changed = want.variables  # SET NAMES overwrites others, and strings are read by it, so that all are set again
    else:
        changed = tuple((name, value) for name, value in want.variables if current.get(name) != value)
    return Restore(reset, tuple(statements(changed)), want.schema if want.schema != have.schema else None)


def reachable(have: State, want: State) -> bool:
    """Can a backend in state `have` be brought to `want`? No command leaves a schema for none."""
    return not have.schema or bool(want.schema)
