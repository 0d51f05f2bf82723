"""What a failed command means: for the transaction, for the node, for the retry, for the metrics.

One table, first match wins. Nothing else in the code decides from an error number. It must not know sockets, sessions
or the journal: whether a retry is *possible* (replayable, attempts left) is asked elsewhere; here is said whether it is
*safe*.

Codes and texts: https://mariadb.com/kb/en/mariadb-error-codes/ and
https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html. Where the two disagree on a number, or one number
has several meanings, a row also asks for a piece of the message.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple


class Phase(Enum):
    """What was going on when the command failed."""

    CONNECT = "connect"  # connecting and logging in to the node
    SETUP = "setup"  # restoring session state or opening the transaction ahead of the client's statement
    AUTOCOMMIT = "autocommit"  # a statement that commits by itself because no transaction is open
    STATEMENT = "statement"  # a statement inside a transaction
    COMMIT = "commit"  # COMMIT, and everything that commits by itself: DDL, LOCK TABLES, SET autocommit=1, CALL ...


class Outcome(Enum):
    """What is known of the failed command."""

    NOT_EXECUTED = "not executed"
    ROLLED_BACK = "rolled back"  # and with it the whole transaction
    STATEMENT_ROLLED_BACK = "statement rolled back"  # the transaction is still open
    UNKNOWN = "unknown"


class NodeSign(Enum):
    """What the failure says of the node."""

    NONE = "none"
    DOWN = "down"  # it said itself that it cannot work, or nobody listens
    SUSPECT = "suspect"  # a connection broke: the node may be dead, a poll will tell
    DRAINING = "draining"  # it is shutting down
    NOT_WRITER = "not writer"  # it takes no writes
    FULL = "full"  # it is alive but should be spared for a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The relay's questions, answered.

    `retry`: running the statement again (in a transaction: replaying it from its start) cannot execute anything twice.
    `move`: on another node, if there is one. `close_backend`: this backend must not be used again.
    `ends_transaction`: no transaction is open any more, because the server ended it or since the backend is closed.
    `confirm`: the error leaves open whether the transaction lives; ask the status flags of a next OK (COM_PING).
    `conflict`: another writer, or another transaction, won. `reason`: the metric label.
    `keeps_locks`: the transaction is undone, but on this backend its metadata locks stay until a ROLLBACK.
    """

    outcome: Outcome
    node_sign: NodeSign
    retry: bool
    move: bool
    close_backend: bool
    ends_transaction: bool
    confirm: bool
    conflict: bool
    keeps_locks: bool
    reason: str

    @property
    def unknown(self) -> bool:
        """The client has to be told that the outcome is unknown, whatever the server said."""
        return self.outcome is Outcome.UNKNOWN

    @property
    def guard(self) -> bool:
        """A read-only transaction refused it: the client's own, or the one that guards our backends."""
        return self.reason == GUARD


GUARD: Final = "read-only-transaction"


class Effect(NamedTuple):
    """What a row does to the command and its backend."""

    outcome: Outcome
    retry: bool = False
    move: bool = False
    close: bool = False
    conflict: bool = False
    confirm: bool = False
    locks: bool = False


ELSEWHERE = Effect(Outcome.NOT_EXECUTED, retry=True, move=True, close=True)
AGAIN = Effect(Outcome.NOT_EXECUTED, retry=True, close=True)
REFUSED = Effect(Outcome.NOT_EXECUTED)
LOST = Effect(Outcome.ROLLED_BACK, retry=True, move=True, close=True)
CONFLICT = Effect(Outcome.ROLLED_BACK, retry=True, conflict=True)
CONFLICT_AND_CLOSE = Effect(Outcome.ROLLED_BACK, retry=True, close=True, conflict=True)
CONFLICT_WITH_LOCKS = Effect(Outcome.ROLLED_BACK, retry=True, conflict=True, locks=True)
REPLAY = Effect(Outcome.ROLLED_BACK, retry=True, close=True)
FORWARD = Effect(Outcome.STATEMENT_ROLLED_BACK)
FORWARD_AND_ASK = Effect(Outcome.STATEMENT_ROLLED_BACK, confirm=True)
FORWARD_ROLLED_BACK = Effect(Outcome.ROLLED_BACK)
FORWARD_AND_CLOSE = Effect(Outcome.ROLLED_BACK, close=True)
UNKNOWN = Effect(Outcome.UNKNOWN, close=True)

# When a row applies: C connect, P setup (ahead of a statement), R autocommit read (and the COMMIT of a transaction that
# only read), W autocommit write, S statement in a transaction, K commit.
EVERY: Final = "CPRWSK"
AFTER_LOGIN: Final = "PRWSK"

GALERA: Final = "galera"
PERCONA: Final = "percona-xtradb-cluster"
GROUP: Final = "group-replication"
TIDB: Final = "tidb"
AURORA: Final = "aurora"

ANY_CODE: Final = 0  # a row for a message whatever its number; tried after the rows that name the code


class Row(NamedTuple):
    code: int
    text: str  # a piece of the message, compared without regard to case; "" for any
    when: str
    flavors: tuple[str, ...]  # () for any
    effect: Effect
    sign: NodeSign
    reason: str


_SIGN_NONE = NodeSign.NONE
_DOWN = NodeSign.DOWN
_SUSPECT = NodeSign.SUSPECT
_DRAINING = NodeSign.DRAINING
_NOT_WRITER = NodeSign.NOT_WRITER
_FULL = NodeSign.FULL

# fmt: off
ROWS: tuple[Row, ...] = (
    # -- nobody there: what a client library makes of a failed connect -----------------------------------------------
    Row(2002, "", "C", (), ELSEWHERE, _DOWN, "unreachable"),
    Row(2003, "", "C", (), ELSEWHERE, _DOWN, "unreachable"),
    Row(2005, "", "C", (), ELSEWHERE, _DOWN, "unreachable"),
    Row(2006, "", "C", (), ELSEWHERE, _SUSPECT, "lost"),        # it accepted, then hung up
    Row(2013, "", "C", (), ELSEWHERE, _SUSPECT, "lost"),

    # -- somebody there who does not let us in -----------------------------------------------------------------------
    Row(1040, "", "C", (), ELSEWHERE, _FULL, "full"),           # max_connections
    Row(1203, "", "C", (), ELSEWHERE, _FULL, "full"),           # max_user_connections
    Row(1226, "", "C", (), ELSEWHERE, _FULL, "full"),           # a resource limit of the account
    Row(1129, "", "C", (), ELSEWHERE, _DOWN, "access"),         # our host is blocked after connection errors
    Row(1130, "", "C", (), ELSEWHERE, _DOWN, "access"),         # our host may not connect at all
    Row(2026, "", "C", (), ELSEWHERE, _DOWN, "access"),         # no TLS as the settings want it
    # One account's password is no news of the node: marking the node down would let one misconfigured login
    # take every node from everybody.
    Row(1045, "", "C", (), ELSEWHERE, _FULL, "access"),
    # Where the account is the cluster's and not the settings': what a client brings is no news of the node at all.
    Row(1698, "", "C", (), REFUSED, _SIGN_NONE, "refused"),
    Row(1044, "", "C", (), REFUSED, _SIGN_NONE, "refused"),     # no right to the schema: the client's own error
    Row(1049, "", "C", (), REFUSED, _SIGN_NONE, "refused"),     # no such schema

    # -- the node is going -------------------------------------------------------------------------------------------
    *(
        row
        for code in (1053, 1077, 1078, 1079, 1080)
        for row in (
            Row(code, "", "CPR", (), ELSEWHERE, _DRAINING, "shutdown"),
            Row(code, "", "S", (), LOST, _DRAINING, "shutdown"),
            Row(code, "", "WK", (), UNKNOWN, _DRAINING, "shutdown"),
        )
    ),
    # The server's own network errors: it has given this connection up, and may have run what it read.
    *(
        row
        for code in (1158, 1159, 1160, 1161)
        for row in (
            Row(code, "", "CPR", (), ELSEWHERE, _SUSPECT, "lost"),
            Row(code, "", "S", (), LOST, _SUSPECT, "lost"),
            Row(code, "", "WK", (), UNKNOWN, _SUSPECT, "lost"),
        )
    ),
    # Sent while the connection idled, before our command was read. MariaDB uses the number for something else.
    Row(4031, "because of inactivity", EVERY, (), AGAIN, _SIGN_NONE, "idle-timeout"),

    # -- the node is not part of the cluster, or does not write ------------------------------------------------------
    # After 1047 at COMMIT the transaction stays open on that backend and survives the rejoin: hence always close.
    Row(1047, "wsrep", EVERY, (), ELSEWHERE, _DOWN, "not-ready"),
    Row(1290, "--read-only", EVERY, (), ELSEWHERE, _NOT_WRITER, "read-only"),
    Row(1290, "--super-read-only", EVERY, (), ELSEWHERE, _NOT_WRITER, "read-only"),
    Row(1290, "--innodb-read-only", EVERY, (), ELSEWHERE, _NOT_WRITER, "read-only"),
    Row(1836, "", EVERY, (), ELSEWHERE, _NOT_WRITER, "read-only"),
    Row(1874, "", EVERY, (), ELSEWHERE, _NOT_WRITER, "read-only"),
    *(
        Row(code, "", EVERY, (), ELSEWHERE, _DOWN, "not-ready")
        for code in (3032, 3168, 3781, 3782, 3783, 3797, 3799)  # offline, or leaving or joining the group
    ),

    # -- conflicts ---------------------------------------------------------------------------------------------------
    Row(1213, "", "P", (), AGAIN, _SIGN_NONE, "conflict"),      # nothing of the client's had run
    Row(1213, "", "RWSK", (), CONFLICT, _SIGN_NONE, "conflict"),
    Row(1020, "", AFTER_LOGIN, (), CONFLICT, _SIGN_NONE, "conflict"),       # innodb_snapshot_isolation
    Row(1614, "", AFTER_LOGIN, (), CONFLICT, _SIGN_NONE, "conflict"),
    # Group Replication's certification. MySQL lets go of metadata locks only behind a COMMIT that succeeds: kept on an
    # idle backend they would bar the group from applying any DDL for those tables, and all that comes after it.
    Row(3101, "", "PWS", (), CONFLICT, _SIGN_NONE, "conflict"),
    Row(3101, "", "RK", (), CONFLICT_WITH_LOCKS, _SIGN_NONE, "conflict"),
    Row(1180, "error 149", "PWS", (), CONFLICT, _SIGN_NONE, "conflict"),
    Row(1180, "error 149", "RK", (), CONFLICT_WITH_LOCKS, _SIGN_NONE, "conflict"),
    # A savepoint is gone with what was undone while the transaction idled; the server takes it for open yet.
    Row(1030, "error 153", "S", (), CONFLICT_AND_CLOSE, _SIGN_NONE, "conflict"),
    Row(1181, "error 153", "S", (), CONFLICT_AND_CLOSE, _SIGN_NONE, "conflict"),
    *(Row(code, "", AFTER_LOGIN, (TIDB,), CONFLICT, _SIGN_NONE, "conflict") for code in (9007, 8005, 8022, 8002)),
    # The statement alone is undone; what retries is the transaction, with a new snapshot.
    Row(1412, "", AFTER_LOGIN, (), REPLAY, _SIGN_NONE, "definition-changed"),

    # -- the commit failed on its way --------------------------------------------------------------------------------
    Row(1180, "error 90", AFTER_LOGIN, (), FORWARD_ROLLED_BACK, _SIGN_NONE, "too-big"),  # EMSGSIZE: the write-set
    *(
        row
        for code in (1180, 3100)
        for row in (
            Row(code, "", "PR", (), ELSEWHERE, _SUSPECT, "commit-failed"),
            Row(code, "", "WSK", (), UNKNOWN, _SUSPECT, "commit-failed"),   # in S: something committed by itself
        )
    ),
    Row(9002, "", "WK", (TIDB,), UNKNOWN, _SUSPECT, "commit-failed"),
    Row(9005, "", "WK", (TIDB,), UNKNOWN, _SUSPECT, "commit-failed"),
    Row(ANY_CODE, "undetermined", "WSK", (TIDB,), UNKNOWN, _SUSPECT, "commit-failed"),

    # -- waits -------------------------------------------------------------------------------------------------------
    Row(1205, "", "P", (), ELSEWHERE, _FULL, "causal-wait"),
    # A plain read waits for no row lock: its causal wait ran out, or a metadata lock's; reading again harms nobody.
    Row(1205, "", "R", (), ELSEWHERE, _FULL, "causal-wait"),
    # With innodb_rollback_on_timeout the whole transaction is gone, and the error does not say so.
    Row(1205, "", "WSK", (), FORWARD_AND_ASK, _SIGN_NONE, "lock-wait"),

    # -- somebody's wish: never against it ---------------------------------------------------------------------------
    # Killed before it has begun, COMMIT or ROLLBACK leaves the transaction open, for whatever comes next to commit it.
    Row(1317, "", "K", (), FORWARD_AND_CLOSE, _SIGN_NONE, "killed"),
    Row(1317, "", "PRWS", (), FORWARD_AND_ASK, _SIGN_NONE, "killed"),
    Row(3024, "", "K", (), FORWARD_AND_CLOSE, _SIGN_NONE, "timed-out"),
    Row(3024, "", "PRWS", (), FORWARD, _SIGN_NONE, "timed-out"),
    Row(1969, "", "K", (), FORWARD_AND_CLOSE, _SIGN_NONE, "timed-out"),
    Row(1969, "", "PRWS", (), FORWARD, _SIGN_NONE, "timed-out"),
    Row(1927, "", AFTER_LOGIN, (), FORWARD_AND_CLOSE, _SIGN_NONE, "killed"),
    Row(3169, "", AFTER_LOGIN, (), FORWARD_AND_CLOSE, _SIGN_NONE, "killed"),

    # -- the client's own --------------------------------------------------------------------------------------------
    Row(1105, "maximum writeset size", "WK", (), FORWARD_ROLLED_BACK, _SIGN_NONE, "too-big"),
    Row(1105, "maximum writeset size", "PRS", (), FORWARD_AND_ASK, _SIGN_NONE, "too-big"),
    Row(1153, "", AFTER_LOGIN, (), FORWARD_AND_CLOSE, _SIGN_NONE, "too-big"),  # the server hangs up behind it
    Row(1197, "", AFTER_LOGIN, (), FORWARD, _SIGN_NONE, "too-big"),
    Row(1792, "", AFTER_LOGIN, (), FORWARD, _SIGN_NONE, GUARD),
)

# Errors of the statement that commits with a marker (router.marker): it came to nothing, and the transaction is open as
# it was, so that a plain COMMIT may follow. Texts that name the marker are its own.
UNMARKED: tuple[tuple[int, str, str], ...] = (
    (1305, "", "missing"),                          # no such procedure
    (1049, "", "missing"),
    (1146, "multiwriter", "missing"),
    (1370, "", "denied"),                           # no EXECUTE
    (1044, "", "denied"),
    (1142, "multiwriter", "denied"),                # of the procedures' owner
    (1143, "multiwriter", "denied"),
    (1449, "", "denied"),                           # there is no owner
    (1644, "multiwriter: not to be marked", "not_markable"),
    (1644, "multiwriter: the slot", "slot_lost"),
    (1792, "", "not_markable"),                     # a READ ONLY transaction
    (1100, "", "not_markable"),                     # under LOCK TABLES
    (1399, "", "not_markable"),                     # an XA transaction
)

# What no row names, by phase.
OTHER: dict[str, tuple[Effect, NodeSign, str]] = {
    "C": (ELSEWHERE, _FULL, "refused"),
    "P": (REFUSED, _SIGN_NONE, "setup"),        # the session's state is refused: its own error
    "R": (FORWARD, _SIGN_NONE, "error"),
    "W": (FORWARD, _SIGN_NONE, "error"),
    "S": (FORWARD, _SIGN_NONE, "error"),
    # A parse error leaves the transaction open, CREATE TABLE of an existing one has committed it: ask.
    "K": (FORWARD_AND_ASK, _SIGN_NONE, "error"),
}

# The connection broke without a word, or a deadline passed.
BROKEN: dict[str, Effect] = {
    "C": ELSEWHERE,
    "P": ELSEWHERE,
    "R": ELSEWHERE,
    "W": UNKNOWN,
    "S": LOST,
    "K": UNKNOWN,
}
# fmt: on

_NO_SUCH_COLUMN: Final = 1054
_NO_SUCH_ROUTINE: Final = 1305
# Syntax error, empty query, no database selected.
_UNPARSED: Final = frozenset((1064, 1065, 1046))
# No such table, no such column.
_UNREAD: Final = _UNPARSED | {1146, 1054}

_LETTER: dict[Phase, str] = {
    Phase.CONNECT: "C",
    Phase.SETUP: "P",
    Phase.AUTOCOMMIT: "W",
    Phase.STATEMENT: "S",
    Phase.COMMIT: "K",
}


def judge(code: int, message: str, phase: Phase, *, flavor: str = GALERA, reads_only: bool = False) -> Verdict:
    """What the server's error means.

    `reads_only`: in AUTOCOMMIT the statement, in COMMIT the whole transaction, is known to have written nothing;
    of no meaning in the other phases.
    """
    letter = _letter(phase, reads_only)
    lowered: str | None = None
    for row, verdicts in _BY_CODE.get(code, _ANY):
        if letter not in row.when or (row.flavors and flavor not in row.flavors):
            continue
        if row.text:
            if lowered is None:
                lowered = message.lower()
            if row.text not in lowered:
                continue
        verdict = verdicts[letter]
        break
    else:
        verdict = _OTHER[letter]
    if phase is Phase.COMMIT and reads_only and not verdict.ends_transaction and not verdict.confirm:
        return replace(verdict, confirm=True)
    return verdict


def unmarked(code: int, message: str) -> str | None:
    """Why the marker could not be written, by the error of the statement that commits with one; the transaction is
    then open as it was. None: the error means something else.
    """
    lowered = message.lower()
    return next((why for number, text, why in UNMARKED if number == code and text in lowered), None)


def judge_marked(code: int, message: str, *, flavor: str = GALERA) -> Verdict:
    """What any other error of that statement means. Where the server does not surely say that nothing was committed the
    outcome is unknown, since the marker can be asked: KILL QUERY gives its error also behind the commit.
    """
    verdict = judge(code, message, Phase.COMMIT, flavor=flavor)
    if verdict.conflict or verdict.outcome is Outcome.NOT_EXECUTED:
        return verdict
    return replace(_BROKEN["K"], node_sign=verdict.node_sign, reason=verdict.reason)


def lost(phase: Phase, *, reads_only: bool = False, sent: bool = True) -> Verdict:
    """What it means that the connection broke, or was given up, before the reply was complete.

    `sent`: False when no byte of the command was handed to the kernel;
    a successful write proves nothing, so that everything else counts as sent.
    """
    letter = _letter(phase, reads_only)
    if not sent:
        return _UNSENT[letter]
    return _BROKEN[letter]


def undone(*, conflict: bool) -> Verdict:
    """What it means that an open transaction was found to be undone, or was rolled back to be run again.

    `conflict`: another transaction was the cause.
    """
    return _UNDONE if conflict else _BEGUN_AGAIN


def before_tables(code: int) -> bool:
    """Refused before a table was opened: no transaction has begun for it."""
    return code in _UNREAD and code != _NO_SUCH_COLUMN


def undefined(code: int) -> bool:
    """It names a column or a function that is not there, which is found once its tables are open, if it has any."""
    return code in (_NO_SUCH_COLUMN, _NO_SUCH_ROUTINE)


def unparsed(code: int) -> bool:
    """Refused before anything at all: not even what is committed ahead of DDL was."""
    return code in _UNPARSED


def unread(code: int) -> bool:
    """The text itself was refused, before anything of it ran. Of several statements in one text the earlier ones did
    run.
    """
    return code in _UNREAD


def _letter(phase: Phase, reads_only: bool) -> str:
    if reads_only and (phase is Phase.AUTOCOMMIT or phase is Phase.COMMIT):
        return "R"
    return _LETTER[phase]


def _verdict(letter: str, effect: Effect, sign: NodeSign, reason: str) -> Verdict:
    # A backend whose session state was refused is in no known state.
    close = effect.close or letter in "CP"
    ends = close or effect.outcome in (Outcome.ROLLED_BACK, Outcome.UNKNOWN)
    return Verdict(
        outcome=effect.outcome if letter not in "CP" else Outcome.NOT_EXECUTED,
        node_sign=sign,
        retry=effect.retry,
        move=effect.move,
        close_backend=close,
        ends_transaction=ends,
        # Whatever commits by itself may have done so before it failed.
        confirm=not ends and (letter == "K" or (letter == "S" and effect.confirm)),
        conflict=effect.conflict and letter not in "CP",
        keeps_locks=effect.locks,
        reason=reason,
    )


def _compile(rows: Iterable[Row]) -> list[tuple[Row, dict[str, Verdict]]]:
    return [(row, {letter: _verdict(letter, row.effect, row.sign, row.reason) for letter in row.when}) for row in rows]


_ANY = _compile(row for row in ROWS if row.code == ANY_CODE)
_BY_CODE: dict[int, list[tuple[Row, dict[str, Verdict]]]] = {
    code: _compile(row for row in ROWS if row.code == code) + _ANY for code in {row.code for row in ROWS}
}
_OTHER = {letter: _verdict(letter, *rest) for letter, rest in OTHER.items()}
_BROKEN = {
    letter: _verdict(letter, effect, _DOWN if letter == "C" else _SUSPECT, "lost") for letter, effect in BROKEN.items()
}
_UNSENT = {
    letter: _verdict(letter, LOST if letter in "SK" else ELSEWHERE, _DOWN if letter == "C" else _SUSPECT, "lost")
    for letter in EVERY
}
_UNDONE = _verdict("S", CONFLICT, _SIGN_NONE, "conflict")
_BEGUN_AGAIN = _verdict("S", Effect(Outcome.ROLLED_BACK, retry=True), _SIGN_NONE, "savepoint")
