"""What is known of a statement before it runs: the vocabulary shared by classification, session and relay.

Data only. It must not know how the facts are found, nor what is done about them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a statement is, by what has to be done about it. The values are metric labels."""

    __hash__ = object.__hash__  # as it compares; Enum's own takes longer than all else that a set is asked for

    READ = "read"  # SELECT, VALUES, TABLE: without locks
    LOCKING_READ = "locking_read"  # SELECT .. FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE
    WRITE = "write"  # INSERT, UPDATE, DELETE, REPLACE
    DDL = "ddl"  # CREATE, ALTER, DROP, RENAME, TRUNCATE, GRANT, REVOKE
    BEGIN = "begin"  # BEGIN, START TRANSACTION
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"  # SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO
    SET = "set"
    USE = "use"
    SHOW = "show"  # SHOW, DESCRIBE, EXPLAIN, HELP, XA RECOVER
    CALL = "call"
    LOCK_TABLES = "lock_tables"
    UNLOCK_TABLES = "unlock_tables"
    KILL = "kill"
    SETTING = "setting"  # SET of a variable that is the proxy's own
    XA = "xa"
    ADMIN = "admin"  # FLUSH, ANALYZE TABLE, OPTIMIZE, ...: they commit implicitly
    LOAD = "load"  # LOAD DATA, LOAD XML
    SQL_PREPARE = "sql_prepare"  # PREPARE, EXECUTE, DEALLOCATE PREPARE
    HANDLER = "handler"
    DO = "do"
    MULTI = "multi"  # several statements in one text
    OTHER = "other"  # empty, or nothing that is known


class PinReason(Enum):
    """What a statement leaves in its backend that cannot be set up in another one. The values are metric labels."""

    USER_VARIABLE = "user_variable"
    TEMPORARY_TABLE = "temporary_table"
    GET_LOCK = "get_lock"
    LOCK_TABLES = "lock_tables"
    HANDLER = "handler"
    XA = "xa"
    SQL_PREPARE = "sql_prepare"
    ROLE = "role"
    VARIABLE = "variable"  # a session variable that is not carried, or a value that is no plain literal
    TRACKING = "tracking"  # session trackers that report what an OK of the proxy's own does not have
    PROCEDURE = "procedure"  # CALL may have left anything
    LAST_INSERT_ID = "last_insert_id"  # LAST_INSERT_ID(expr)
    SEQUENCE = "sequence"  # NEXTVAL: the session's LASTVAL
    DIAGNOSTICS = "diagnostics"  # GET DIAGNOSTICS into variables, and what else works on the diagnostics area
    OPEN_CURSOR = "open_cursor"  # rows that wait for COM_STMT_FETCH
    UNCLASSIFIED = "unclassified"  # not understood, or an unknown function: might do anything


# Of these it is only not known that they do not ask for what the statement before left.
MIGHT_ASK: Final = frozenset((PinReason.UNCLASSIFIED, PinReason.PROCEDURE))


class Unreplayable(Enum):
    """Why a statement must not be run a second time in a replay. The values are metric labels."""

    GET_LOCK = "get_lock"
    USER_VARIABLE = "user_variable"
    NONDETERMINISTIC = "nondeterministic"  # UUID(), RAND(): in a write, where the client cannot see the value
    SEQUENCE = "sequence"  # sequences are not rolled back
    FILE = "file"  # INTO OUTFILE, INTO DUMPFILE
    LOAD = "load"
    PROCEDURE = "procedure"
    DDL = "ddl"
    LOCK_TABLES = "lock_tables"
    HANDLER = "handler"
    XA = "xa"
    KILL = "kill"
    ADMIN = "admin"
    SQL_PREPARE = "sql_prepare"
    GLOBAL = "global"  # SET GLOBAL, SET PERSIST
    NONTRANSACTIONAL = "nontransactional"  # a write that no ROLLBACK undoes: MyISAM, Aria
    MULTI = "multi"  # several statements, of which one may write or moves a transaction's boundary
    UNCLASSIFIED = "unclassified"


class Result(Enum):
    """What the reply means to us, where it is more than something to pass on. Most are about the value of a SELECT that
    returns that of one function and nothing else.
    """

    LOCKED = "locked"  # 1: GET_LOCK() has got it
    UNLOCKED = "unlocked"  # 1: RELEASE_LOCK() has given one back
    CONNECTION_ID = "connection_id"  # the client's is another
    DEFINED = "defined"  # a definition was changed: what is known of them has to be read anew
    REMEMBERED = "remembered"  # a row of numbers that no node knows any more
    UNSEEN = "unseen"  # a SET has left values that only the server knows: it has to be asked for them, see `learns`
    RELEASES = "releases"  # COMMIT RELEASE, ROLLBACK RELEASE: it is the client's connection that ends, not the backend


class Asks:
    """Bits of `Statement.asks`: what it wants to know of the statement before it, kept by the backend that ran it."""

    WARNINGS: Final = 1  # SHOW WARNINGS, SHOW ERRORS, SHOW COUNT(*), GET DIAGNOSTICS, @@warning_count, @@error_count
    LAST_INSERT_ID: Final = 2  # LAST_INSERT_ID(), @@last_insert_id, @@identity
    FOUND_ROWS: Final = 4
    ROW_COUNT: Final = 8
    ROWS: Final = 12


class Modes:
    """Bits that change how the server reads a text. The session knows them (see `router.variables.modes_of`)."""

    NO_BACKSLASH_ESCAPES: Final = 1
    ANSI_QUOTES: Final = 2
    FOREIGN: Final = 4  # sql_mode=ORACLE, or a character set in which a byte below 0x80 may be half a character
    ALL: Final = 7


@dataclass(frozen=True, slots=True)
class Begin:
    """The characteristics that a BEGIN or START TRANSACTION names."""

    consistent_snapshot: bool = False
    read_only: bool = False
    read_write: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The completion that a COMMIT or ROLLBACK names; None where `completion_type` decides."""

    chain: bool | None = None
    release: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The facts about one text. They are upper bounds: what might happen, if the server accepts it at all.

    tables: "schema.table" or "table", lower case, the table written to first; of the first statement of several.
        Views, triggers and column defaults are not visible in a text: the catalog has to be asked.
    held: what `pins` is about, by name: user variables, temporary tables and so on. Empty: it is not known, or there is
        more than one reason.
    frees: what a success ends of that which pinned the session before: reason and name, or "" for all of that reason,
        or "?" where one of unknown name has got another one.
    carries: session variables that a success leaves, name in lower case -> SQL text of a literal, in the order
        of the statement; `router.variables` keeps and restores them. User variables have their "@" before the name.
    learns: in place of `carries` where a value is an expression: the same, in the order of the statement, with None for
        what the server has to be asked for.
    one_shot: what SET TRANSACTION without a scope says of the next transaction only, named as in `carries`.
    schema: the schema that USE names. drops_schema: the one that is dropped.
    kill: (query_only, id) for KILL with a literal id.
    asks: bits of `Asks`.
    commits: ends a transaction that is open, by itself: COMMIT, DDL, BEGIN, LOCK TABLES, SET autocommit=1, CALL.
    transaction: of a BEGIN. end: of a COMMIT or ROLLBACK.
    sees_guard: could observe the session's transaction_read_only.
    may_write: not known to be a plain read.
    inserts_one_row: INSERT or REPLACE of one row, with no IGNORE and no ON DUPLICATE KEY: at most one generated id.
    result: what has to be done with its reply, see `Result`.
    writes_unseen: a trigger or a function writes, too, and may use up an id that is asked for.
    connection_id: reads or names a connection id of the server.
    gives: the columns that an INSERT or REPLACE names; (): it names none, or it may leave rows as they are.
    compares: the columns of its only table that it compares with plain values, for placement (`router.conditions`).
    meets: a transaction that it begins may have a place, whatever the policy.
    plain: a query that reads or writes rows.
    returns_rows: a write with RETURNING.
    """

    kind: Kind
    tables: tuple[str, ...] = ()
    pins: PinReason | None = None
    held: tuple[str, ...] = ()
    frees: tuple[tuple[PinReason, str], ...] = ()
    carries: tuple[tuple[str, str], ...] = ()
    learns: tuple[tuple[str, str | None], ...] = ()
    one_shot: tuple[tuple[str, str], ...] = ()
    schema: str | None = None
    drops_schema: str | None = None
    kill: tuple[bool, int] | None = None
    asks: int = 0
    calculates_found_rows: bool = False
    commits: bool = False
    transaction: Begin | None = None
    end: End | None = None
    sees_guard: bool = False
    may_write: bool = False
    unreplayable: Unreplayable | None = None
    inserts_one_row: bool = False
    result: "Result | None" = None
    writes_unseen: bool = False
    connection_id: bool = False
    gives: tuple[str, ...] = field(default=(), compare=False)
    compares: tuple[str, ...] = field(default=(), compare=False)
    meets: bool = field(init=False, compare=False)
    plain: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meets", self.kind is Kind.LOCKING_READ or self.kind is Kind.DDL)
        object.__setattr__(self, "plain", self.kind in (Kind.READ, Kind.LOCKING_READ, Kind.WRITE))

    returns_rows: bool = False


def unclassified(kind: Kind = Kind.OTHER, tables: tuple[str, ...] = ()) -> Statement:
    """The facts about a text of which nothing is sure: each is the worst it could be."""
    return Statement(
        kind=kind,
        tables=tables,
        pins=PinReason.UNCLASSIFIED,
        asks=Asks.WARNINGS | Asks.LAST_INSERT_ID | Asks.ROWS,
        calculates_found_rows=True,
        commits=True,
        sees_guard=True,
        may_write=True,
        unreplayable=Unreplayable.UNCLASSIFIED,
        connection_id=True,
    )
