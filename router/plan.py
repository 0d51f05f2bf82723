"""What a backend must be like for a statement to run on it: guarded or not, and how the client's BEGIN gets there.

A *guarded* backend's session default is READ ONLY, confirmed before: no statement can write there by itself, only
inside START TRANSACTION READ WRITE. That makes it safe to send the two in one write, since when the BEGIN is refused
the statement is too. A session with autocommit off, or with READ ONLY for its default, guards itself.
"""

import enum
from typing import Final

from router.facts import MIGHT_ASK, Asks, Begin, Kind, PinReason, Statement
from router.session import State
from router.transaction import Stage, Transaction


class Opening(enum.Enum):
    """How a transaction that the client was told has begun is begun at the node."""

    NOTHING = "nothing"  # none is to be begun
    PIPELINED = "pipelined"  # in the same write, ahead of the statement
    CONFIRMED = "confirmed"  # the client's own BEGIN, before anything else


class Plan:
    """`guarded`: the backend must be (True), must not be (False), or either (None)."""

    __slots__ = ("guarded", "opening")

    def __init__(self, guarded: bool | None, opening: Opening) -> None:
        self.guarded: Final = guarded
        self.opening: Final = opening

    def __repr__(self) -> str:
        return f"<Plan guarded={self.guarded} {self.opening.value}>"


ANYWHERE: Final = Plan(None, Opening.NOTHING)
GUARDED: Final = Plan(True, Opening.NOTHING)
UNGUARDED: Final = Plan(False, Opening.NOTHING)
LATE: Final = Plan(True, Opening.PIPELINED)
LATE_UNGUARDED: Final = Plan(False, Opening.PIPELINED)
FOR_REAL: Final = Plan(False, Opening.CONFIRMED)

# A SET TRANSACTION for the next transaction only is not for these, nor for a read without tables: none begins.
_BEGINS_NONE: Final = frozenset(
    (Kind.SET, Kind.SHOW, Kind.USE, Kind.SAVEPOINT, Kind.DO, Kind.UNLOCK_TABLES, Kind.OTHER)
)

# Of these reasons a SET binds the session until a reset, so that what is sent ahead of it stays where the session does.
_BEHIND_ONE_SHOT: Final = (PinReason.VARIABLE, PinReason.TRACKING)

# Schemas whose tables belong to no engine with transactions.
_UNTRANSACTED: Final = ("information_schema.", "performance_schema.", "mysql.", "sys.")

# SHOW WARNINGS and its kin, and GET DIAGNOSTICS: they can't tell whether the backend is guarded.
_ASKS_ALONE: Final = frozenset((Kind.SHOW, Kind.OTHER))

# In a transaction these, too, can't tell whether the backend is guarded, nor outlive the transaction.
_WITHIN: Final = frozenset((Kind.SAVEPOINT, Kind.COMMIT, Kind.ROLLBACK, Kind.SHOW, Kind.USE))


def plan(statement: Statement, state: State, transaction: Transaction) -> Plan:
    """What the next statement of a session needs."""
    if transaction.stage is Stage.NONE:
        if not state.autocommit or transaction.one_shot:
            return UNGUARDED
        if (
            statement.kind is Kind.READ
            and not statement.may_write
            and not statement.sees_guard
            and statement.pins is None
        ):
            return ANYWHERE
        # What it asks for is where the statement before it ran, and on MySQL gone behind any other.
        if statement.asks & Asks.WARNINGS and statement.kind in _ASKS_ALONE and statement.pins not in MIGHT_ASK:
            return ANYWHERE
        return UNGUARDED
    begin = transaction.begin
    if transaction.stage is Stage.BEGUN:
        if not statement.plain or not _harmless(statement) or transaction.one_shot:
            return FOR_REAL
        if state.autocommit and not state.read_only:
            return LATE
        return LATE_UNGUARDED
    if begin is None or ((statement.plain or statement.kind in _WITHIN) and _harmless(statement)):
        return ANYWHERE
    return UNGUARDED


def plan_prepare(prepared: Statement, state: State, transaction: Transaction, *, told: bool) -> Plan:
    """What the PREPARE of a statement needs while no transaction is open at a node: where a write must not be run it is
    not even prepared. `told`: a SET TRANSACTION waits at the backend, and a READ ONLY there refuses by itself.
    """
    begin = transaction.begin
    if begin is None:
        return GUARDED if transaction.read_only and not state.read_only and not told else UNGUARDED
    if prepared.may_write and (told or state.read_only or is_read_only(begin, state, transaction)):
        return FOR_REAL
    return UNGUARDED


def keeps_one_shot(statement: Statement) -> bool:
    """Does a SET TRANSACTION for the next transaction still wait after this statement, since it begins none? What sets
    one of the variables that it is kept in, or has its changes told, must come behind it at the node as well.
    """
    if statement.kind is Kind.SET and statement.pins in _BEHIND_ONE_SHOT:
        return False
    if statement.pins is PinReason.UNCLASSIFIED:
        return False  # a function that nobody knows, or knows not to be there
    if statement.kind is Kind.READ or (statement.tables and statement.kind in (Kind.SET, Kind.DO)):
        return not any(not table.startswith("information_schema.") for table in statement.tables)
    if statement.kind is Kind.SQL_PREPARE:
        return not statement.may_write  # it is no EXECUTE
    return statement.kind in _BEGINS_NONE


def begins_one(statement: Statement) -> bool:
    """Does it surely begin a transaction, even by itself? Of what is neither, only the server knows."""
    if not statement.plain and statement.kind is not Kind.DDL:
        return False
    return bool(statement.tables) and not any(table.startswith(_UNTRANSACTED) for table in statement.tables)


def _harmless(statement: Statement) -> bool:
    if statement.end is not None:
        return not statement.end.chain and not statement.end.release
    return not statement.commits and statement.pins is None and not statement.sees_guard


def opening_text(begin: Begin, state: State) -> bytes:
    """The START TRANSACTION that is sent in place of the client's BEGIN, ahead of its first statement."""
    if begin.read_only:
        return b"START TRANSACTION READ ONLY"
    if begin.read_write or not state.read_only:
        return b"START TRANSACTION READ WRITE"
    return b"START TRANSACTION"


def access_left(begin: Begin) -> bytes:
    """What a transaction that is ended by SET autocommit = 1 leaves for the next one, while COMMIT and implicit ends
    leave nothing: the access mode of its BEGIN, as SET TRANSACTION has it. b"" where BEGIN said nothing.
    """
    if begin.read_only:
        return b"SET TRANSACTION READ ONLY"
    return b"SET TRANSACTION READ WRITE" if begin.read_write else b""


def is_read_only(begin: Begin, state: State, transaction: Transaction) -> bool:
    """Is the transaction that it began READ ONLY? What BEGIN itself says counts before SET TRANSACTION, and that before
    the session's default.
    """
    if begin.read_only or begin.read_write:
        return begin.read_only
    return state.read_only if transaction.read_only is None else transaction.read_only


def may_begin_late(begin: Begin) -> bool:
    """Can the client be answered before a node knows? The snapshot of WITH CONSISTENT SNAPSHOT is taken by the BEGIN
    itself.
    """
    return not begin.consistent_snapshot
