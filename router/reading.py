"""From the tokens of a text to the facts about it: one function for each family of statements.

It must not know caches. First principle: what is not surely harmless is unclassified.
Source: "SQL Statements" in the MySQL and MariaDB manuals; for what commits by itself "Statements That Cause an
Implicit Commit".
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from router import functions, parse
from router.assignments import read_set, split
from router.facts import Asks, Begin, End, Kind, Modes, PinReason, Statement, Unreplayable, unclassified
from router.tokens import NUMBER, SYSTEM, USER_VARIABLE, WORD, Token, UnreadableError, tokenize

# Kinds whose facts depend on literals.
LITERAL_KINDS: Final = frozenset({Kind.SET, Kind.USE, Kind.KILL, Kind.MULTI, Kind.OTHER})

_DDL: Final = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "COMMENT", "IMPORT"})
_ADMIN: Final = frozenset({
    "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "RESET", "PURGE", "CHANGE", "STOP", "INSTALL", "UNINSTALL",
    "CACHE", "SHUTDOWN", "RESTART", "CLONE",
})  # fmt: skip
_ROUTINES: Final = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "VIEW"})
_SHOWS: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "HELP"})
_READS: Final = frozenset({"SELECT", "VALUES", "TABLE", "WITH", "("})
_WRITES: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})


class Scan:
    """What the expressions of a statement do, read from its tokens without knowing its grammar."""

    __slots__ = (
        "asks", "calculates_found_rows", "connection_id", "files", "locks", "nondeterministic", "pins", "sees_guard",
        "sequence", "unreplayable",
    )  # fmt: skip

    def __init__(self) -> None:
        self.asks = 0
        self.calculates_found_rows = False
        self.connection_id = False
        self.files = False
        self.locks = False
        self.nondeterministic = False
        self.pins: PinReason | None = None
        self.sees_guard = False
        self.sequence = False
        self.unreplayable: Unreplayable | None = None

    def pin(self, reason: PinReason, unreplayable: Unreplayable | None) -> None:
        if self.pins is None or reason is PinReason.UNCLASSIFIED:
            self.pins = reason
        if self.unreplayable is None or unreplayable is Unreplayable.UNCLASSIFIED:
            self.unreplayable = unreplayable or self.unreplayable


class Reader:
    """Reads texts for one engine: "mariadb", "mysql", or None where it is not known which."""

    __slots__ = ("_harmless", "_nondeterministic")

    def __init__(self, engine: str | None = None) -> None:
        self._harmless = functions.HARMLESS
        self._nondeterministic = functions.NONDETERMINISTIC
        if engine == "mariadb":
            self._harmless |= functions.HARMLESS_MARIADB
            self._nondeterministic |= functions.NONDETERMINISTIC_MARIADB
        elif engine == "mysql":
            self._harmless |= functions.HARMLESS_MYSQL

    def read(self, text: str, modes: int = 0) -> Statement:
        """The facts about `text` (latin-1)."""
        if modes & Modes.FOREIGN:
            return by_first_word(text)
        try:
            tokens = tokenize(text, modes)
        except UnreadableError:
            return by_first_word(text)
        parts = _statements(tokens)
        if not parts:
            return Statement(kind=Kind.OTHER)
        if len(parts) == 1:
            return self._statement(parts[0])
        if _defines_routine(parts[0]) or _is_compound(parts[0]):
            return self._statement(tokens)
        return several([self._statement(part) for part in parts])

    def _statement(self, tokens: Sequence[Token]) -> Statement:
        first = tokens[0]
        word = first.upper if first.kind == WORD else first.text if first.text == "(" else ""
        second = tokens[1].upper if len(tokens) > 1 else ""
        if word in _READS or word in _WRITES:
            return self._query(tokens)
        if word in _SHOWS:
            return self._show(tokens, word, second)
        if word == "SET":
            return read_set(tokens[1:], self._expression(tokens, Kind.SET))
        if word in ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"):
            return _boundary([token.upper for token in tokens], tokens)
        if word == "DO":
            return self._expression(tokens, Kind.DO)
        if word in _DDL:
            return self._ddl(tokens, word)
        if word == "ANALYZE" and second not in ("TABLE", "LOCAL", "NO_WRITE_TO_BINLOG"):
            return self._analyze(tokens)
        if word in _ADMIN or word == "ANALYZE":
            return _admin(tokens, word)
        if word == "LOAD":
            return self._load(tokens, second)
        return _by_word(tokens, word, second)

    # -- queries ------------------------------------------------------------------------------------------------

    def _query(self, tokens: Sequence[Token]) -> Statement:
        at, word = _main_word(tokens)
        if word == "":
            return unclassified()
        target = _insert_target(tokens, at) if word in ("INSERT", "REPLACE") else None
        scan = self.scan(tokens, target)
        kind = Kind.WRITE if word in _WRITES else Kind.LOCKING_READ if scan.locks else Kind.READ
        found: tuple[str, ...] | None
        if target is not None and not _has_word(tokens, ("SELECT", "TABLE", "WITH")):
            found = (_table_name(tokens, target),)
        else:
            found = parse.tables(tokens)
        if found is None:
            return unclassified(kind, (_table_name(tokens, target),) if target is not None else ())
        if any(name.rpartition(".")[2] in functions.VARIABLE_TABLES for name in found):
            scan.sees_guard = True
        inserts_one_row = target is not None and _one_row(tokens)
        return _facts(kind, scan, found, inserts_one_row)

    def _expression(self, tokens: Sequence[Token], kind: Kind) -> Statement:
        """The facts about a statement of which only the expressions count."""
        scan = self.scan(tokens, None)
        if _has_word(tokens, ("SELECT",) if kind is Kind.SHOW else ("SELECT", "TABLE")) and scan.pins is None:
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)  # its tables are not looked for
        return _facts(kind, scan, (), False)

    def scan(self, tokens: Sequence[Token], target: range | None) -> Scan:
        """Look at each token that may have an effect. `target`: the tokens that name the table of an INSERT."""
        scan = Scan()
        count = len(tokens)
        for index, token in enumerate(tokens):
            kind = token.kind
            after = tokens[index + 1] if index + 1 < count else None
            if kind == USER_VARIABLE:
                if _in_into(tokens, index) or (after is not None and after.text == ":="):
                    scan.pin(PinReason.USER_VARIABLE, Unreplayable.USER_VARIABLE)
            elif kind == SYSTEM:
                _system_variable(tokens, index, scan)
            elif kind > 1:
                continue
            elif after is not None and after.text == "(":
                if target is None or index not in target:
                    self._call(tokens, index, scan)
            elif kind == WORD:
                _keyword(tokens, index, scan)
        return scan

    def _call(self, tokens: Sequence[Token], index: int, scan: Scan) -> None:
        """A name with a parenthesis behind it."""
        token = tokens[index]
        before = tokens[index - 1] if index else None
        if before is not None and (before.upper == "AS" or _defines_cte(tokens, index)):
            return  # the names of columns follow
        name = token.upper
        if token.kind != WORD or (before is not None and before.text == "."):
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        elif name in functions.SYNTAX:
            return
        elif (name in functions.NO_SPACE and tokens[index + 1].spaced) or (
            name in functions.NOT_EMPTY and _is_empty_call(tokens, index)
        ):
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        elif name in self._harmless:
            return
        elif name in self._nondeterministic:
            scan.nondeterministic = True
            if name in ("CONNECTION_ID", "IS_USED_LOCK"):
                scan.connection_id = True
        elif name == "RAND":
            if _is_empty_call(tokens, index):
                scan.nondeterministic = True
        elif name == "LAST_INSERT_ID":
            if _is_empty_call(tokens, index):
                scan.asks |= Asks.LAST_INSERT_ID
            else:
                scan.pin(PinReason.LAST_INSERT_ID, None)
        elif name in ("FOUND_ROWS", "ROW_COUNT"):
            scan.asks |= Asks.ROWS
        elif name in ("GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"):
            scan.pin(PinReason.GET_LOCK, Unreplayable.GET_LOCK)
        elif name in ("NEXTVAL", "LASTVAL", "SETVAL"):
            scan.sequence = True
            scan.pin(PinReason.SEQUENCE, Unreplayable.SEQUENCE)
        else:
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)

    # -- the rest -----------------------------------------------------------------------------------------------

    def _show(self, tokens: Sequence[Token], word: str, second: str) -> Statement:
        if word == "HELP":
            return Statement(kind=Kind.SHOW)
        if word != "SHOW":
            return self._explain(tokens)
        words = {token.upper for token in tokens if token.kind == WORD}
        statement = self._expression(tokens, Kind.SHOW)
        if words & {"WARNINGS", "ERRORS"}:
            statement = replace(statement, asks=statement.asks | Asks.WARNINGS)
        if "VARIABLES" in words:
            statement = replace(statement, sees_guard=True)
        if words & {"PROCESSLIST", "EXPLAIN", "ANALYZE"}:
            statement = replace(statement, connection_id=True)
        return statement

    def _explain(self, tokens: Sequence[Token]) -> Statement:
        """DESCRIBE of a table, or EXPLAIN of a statement, which may run parts of it."""
        for index in range(1, len(tokens)):
            token = tokens[index]
            if token.upper == "ANALYZE" and token.kind == WORD:
                return self._analyze(tokens)
            if token.upper == "CONNECTION" and tokens[index - 1].upper == "FOR":
                return Statement(kind=Kind.SHOW, connection_id=True)
            if (token.kind == WORD and token.upper in _READS | _WRITES) or token.text == "(":
                inner = self._query(tokens[index:])
                if inner.pins is not None:
                    return replace(inner, kind=Kind.SHOW)
                return Statement(kind=Kind.SHOW, tables=inner.tables)
        return Statement(kind=Kind.SHOW)

    def _analyze(self, tokens: Sequence[Token]) -> Statement:
        """ANALYZE or EXPLAIN ANALYZE of a statement: it runs."""
        for index in range(1, len(tokens)):
            token = tokens[index]
            if (token.kind == WORD and token.upper in _READS | _WRITES) or token.text == "(":
                return self._query(tokens[index:])
        return unclassified()

    def _ddl(self, tokens: Sequence[Token], word: str) -> Statement:
        words = [token.upper if token.kind == WORD else "" for token in tokens]
        temporary = "TEMPORARY" in words[1:4]
        pins = PinReason.TEMPORARY_TABLE if temporary else None
        if not _ROUTINES.intersection(words[:8]) and "SELECT" in words:
            inner = self.scan(tokens[words.index("SELECT") :], None)
            pins = pins or inner.pins
        if pins is None and any(token.text == ":=" for token in tokens) and not _defines_routine(tokens):
            pins = PinReason.UNCLASSIFIED
        return Statement(
            kind=Kind.DDL,
            tables=_ddl_tables(tokens, words),
            pins=pins,
            commits=not temporary,
            may_write=True,
            unreplayable=Unreplayable.DDL,
        )

    def _load(self, tokens: Sequence[Token], second: str) -> Statement:
        if second == "INDEX":
            return _admin(tokens, "LOAD")
        pins: PinReason | None = None
        if any(token.kind == USER_VARIABLE for token in tokens):
            pins = PinReason.USER_VARIABLE
        found: tuple[str, ...] = ()
        for index, token in enumerate(tokens):
            if token.upper == "INTO" and index + 2 < len(tokens) and tokens[index + 1].upper == "TABLE":
                target = _name_at(tokens, index + 2)
                found = (_table_name(tokens, target),)
                if self.scan(tokens[index + 2 :], range(len(target))).pins is PinReason.UNCLASSIFIED:
                    pins = PinReason.UNCLASSIFIED
        if not found:
            return unclassified(Kind.LOAD)
        return Statement(kind=Kind.LOAD, tables=found, pins=pins, may_write=True, unreplayable=Unreplayable.LOAD)


# -- of several statements, and of what cannot be read --------------------------------------------------------------


def by_first_word(text: str) -> Statement:
    """The facts about a text of which no more than the first word is sure."""
    word = text.lstrip(" \t\n\v\f\r(")[:12].partition(" ")[0].upper()
    kind = Kind.OTHER
    if word in _WRITES:
        kind = Kind.WRITE
    elif word == "CALL":
        kind = Kind.CALL
    elif word == "LOAD":
        kind = Kind.LOAD
    elif word in _DDL:
        kind = Kind.DDL
    return unclassified(kind)


def several(parts: Sequence[Statement]) -> Statement:
    """The facts about several statements in one text. The first may be refused, and then no other is run."""
    pins: PinReason | None = None
    unreplayable: Unreplayable | None = None
    asks = 0
    for part in parts:
        if pins is None:
            pins = part.pins
            if pins is None and (part.carries or part.one_shot or part.schema is not None):
                pins = PinReason.VARIABLE
        asks |= part.asks
        if unreplayable is None:
            unreplayable = part.unreplayable
    commits = any(part.commits or part.transaction or part.end for part in parts)
    may_write = any(part.may_write for part in parts)
    if unreplayable is None and (commits or may_write):
        unreplayable = Unreplayable.MULTI
    return Statement(
        kind=Kind.MULTI,
        tables=parts[0].tables,
        pins=pins,
        asks=asks,
        calculates_found_rows=any(part.calculates_found_rows for part in parts),
        commits=commits,
        sees_guard=any(part.sees_guard for part in parts),
        may_write=may_write,
        unreplayable=unreplayable,
        connection_id=any(part.connection_id for part in parts),
    )


def _statements(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The statements between the semicolons, empty ones left out."""
    parts: list[Sequence[Token]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.text == ";":
            if index > start:
                parts.append(tokens[start:index])
            start = index + 1
    if start < len(tokens):
        parts.append(tokens[start:])
    return parts


def _defines_routine(tokens: Sequence[Token]) -> bool:
    """Whether the semicolons behind belong to the body of a procedure, function, trigger or event."""
    if tokens[0].upper not in ("CREATE", "ALTER"):
        return False
    return any(token.kind == WORD and token.upper in _ROUTINES for token in tokens[1:12])


def _is_compound(tokens: Sequence[Token]) -> bool:
    """MariaDB runs compound statements outside of procedures, too."""
    words = [token.upper for token in tokens[:2]]
    return words == ["BEGIN", "NOT"] or words[0] in ("IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR", "DECLARE")


# -- tokens and their neighbours -------------------------------------------------------------------------------------


def _facts(kind: Kind, scan: Scan, found: tuple[str, ...], inserts_one_row: bool) -> Statement:
    unreplayable = scan.unreplayable
    if scan.files and unreplayable is None:
        unreplayable = Unreplayable.FILE
    if kind is Kind.WRITE and scan.nondeterministic and unreplayable is None:
        unreplayable = Unreplayable.NONDETERMINISTIC
    unknown = scan.pins is PinReason.UNCLASSIFIED
    writes = kind is Kind.WRITE or kind is Kind.LOCKING_READ or scan.files or scan.sequence
    return Statement(
        kind=kind,
        tables=found,
        pins=scan.pins,
        asks=scan.asks,
        calculates_found_rows=scan.calculates_found_rows,
        sees_guard=scan.sees_guard or unknown,
        may_write=writes or unknown or scan.pins is PinReason.GET_LOCK,
        unreplayable=unreplayable,
        inserts_one_row=inserts_one_row,
        connection_id=scan.connection_id or unknown,
    )


def _system_variable(tokens: Sequence[Token], index: int, scan: Scan) -> None:
    at = index + 1
    if at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at].upper in ("SESSION", "LOCAL", "GLOBAL"):
        at += 2
    if at >= len(tokens) or not tokens[at].is_name:
        scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        return
    name = tokens[at].name
    if name in ("transaction_read_only", "tx_read_only"):
        scan.sees_guard = True
    elif name in ("warning_count", "error_count"):
        scan.asks |= Asks.WARNINGS
    elif name in ("last_insert_id", "identity"):
        scan.asks |= Asks.LAST_INSERT_ID
    elif name == "pseudo_thread_id":
        scan.connection_id = True


def _keyword(tokens: Sequence[Token], index: int, scan: Scan) -> None:
    """A word with no parenthesis behind it."""
    word = tokens[index].upper
    after = tokens[index + 1].upper if index + 1 < len(tokens) else ""
    if word == "INTO":
        if after in ("OUTFILE", "DUMPFILE"):
            scan.files = True
    elif word == "FOR":
        if after in ("UPDATE", "SHARE"):
            scan.locks = True
    elif word == "LOCK":
        if after == "IN":
            scan.locks = True
    elif word == "SQL_CALC_FOUND_ROWS":
        scan.calculates_found_rows = True
    elif word == "VALUE" and after == "FOR" and index and tokens[index - 1].upper in ("NEXT", "PREVIOUS"):
        scan.sequence = True
        scan.pin(PinReason.SEQUENCE, Unreplayable.SEQUENCE)
    elif word == "PROCEDURE":
        scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)


def _in_into(tokens: Sequence[Token], index: int) -> bool:
    """Whether a user variable is one of INTO @a, @b."""
    while index > 1 and tokens[index].kind == USER_VARIABLE and tokens[index - 1].text == ",":
        index -= 2
    return index > 0 and tokens[index].kind == USER_VARIABLE and tokens[index - 1].upper == "INTO"


def _is_empty_call(tokens: Sequence[Token], index: int) -> bool:
    return index + 2 < len(tokens) and tokens[index + 2].text == ")"


def _defines_cte(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name is that of WITH name (columns) AS (query)."""
    if index == 0 or tokens[index - 1].upper not in ("WITH", "RECURSIVE", ","):
        return False
    depth = 0
    for at in range(index + 1, len(tokens)):
        text = tokens[at].text
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            if depth == 0:
                return at + 2 < len(tokens) and tokens[at + 1].upper == "AS" and tokens[at + 2].text == "("
    return False


def _main_word(tokens: Sequence[Token]) -> tuple[int, str]:
    """Where the statement's own verb is, behind WITH and parentheses."""
    if tokens[0].upper != "WITH":
        for index, token in enumerate(tokens):
            if token.text != "(":
                return index, token.upper if token.kind == WORD and token.upper in _READS | _WRITES else ""
        return 0, ""
    depth = 0
    for index, token in enumerate(tokens):
        if token.text == "(":
            depth += 1
            if depth == 1 and index and tokens[index - 1].text == ")":
                return index, "SELECT"
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.kind == WORD and token.upper in ("SELECT", "VALUES", "TABLE", *_WRITES):
            return index, token.upper
    return 0, ""


_INSERT_WORDS: Final = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "INTO"})


def _name_at(tokens: Sequence[Token], at: int) -> range:
    """The tokens of a name, qualified or not, that begins at `at`."""
    if at >= len(tokens) or not tokens[at].is_name:
        return range(at, at)
    if at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].is_name:
        return range(at, at + 3)
    return range(at, at + 1)


def _insert_target(tokens: Sequence[Token], at: int) -> range | None:
    at += 1
    while at < len(tokens) and tokens[at].kind == WORD and tokens[at].upper in _INSERT_WORDS:
        if tokens[at].upper == "DELAYED":
            return None  # another connection writes it, some time
        at += 1
    target = _name_at(tokens, at)
    return target if len(target) else None


def _table_name(tokens: Sequence[Token], name: range) -> str:
    return "".join(tokens[at].name for at in name)


def _has_word(tokens: Sequence[Token], words: tuple[str, ...]) -> bool:
    return any(token.kind == WORD and token.upper in words for token in tokens)


def _one_row(tokens: Sequence[Token]) -> bool:
    """INSERT .. VALUES with one row, or INSERT .. SET, and nothing by which the row may not be inserted."""
    depth = rows = 0
    after_values = False
    for index, token in enumerate(tokens):
        text = token.text
        if text == "(":
            if depth == 0 and after_values:
                rows += 1
            depth += 1
        elif text == ")":
            depth -= 1
        elif text == "...":
            return False
        elif token.kind == WORD:
            word = token.upper
            if word in ("IGNORE", "DUPLICATE", "SELECT", "TABLE"):
                return False
            if depth == 0 and word in ("VALUES", "VALUE"):
                after_values = True
            elif depth == 0 and word == "SET" and index and not after_values:
                rows = 1
            elif depth == 0 and word == "RETURNING":
                after_values = False
    return rows == 1


def _ddl_tables(tokens: Sequence[Token], words: Sequence[str]) -> tuple[str, ...]:
    """The tables named right behind TABLE, VIEW, or ON in CREATE INDEX."""
    at = 0
    for index, word in enumerate(words):
        if word in ("TABLE", "TABLES", "VIEW") or (word == "ON" and "INDEX" in words[:5]):
            at = index + 1
            break
    else:
        return (_table_name(tokens, _name_at(tokens, 1)),) if words[0] == "TRUNCATE" else ()
    while at < len(words) and words[at] in ("IF", "NOT", "EXISTS"):
        at += 1
    found: list[str] = []
    while True:
        name = _name_at(tokens, at)
        if not len(name):
            return tuple(found)
        found.append(_table_name(tokens, name))
        at = name.stop
        further = tokens[at].upper if at < len(tokens) else ""
        if not (further == "," and words[0] in ("DROP", "RENAME")) and not (further == "TO" and words[0] == "RENAME"):
            return tuple(found)
        at += 1


# -- statements known by their words --------------------------------------------------------------------------------


def _boundary(words: Sequence[str], tokens: Sequence[Token]) -> Statement:
    """BEGIN, START TRANSACTION, COMMIT, ROLLBACK and the statements about savepoints."""
    first = words[0]
    rest = list(words[1:])
    if first == "BEGIN":
        if rest in ([], ["WORK"]):
            return Statement(kind=Kind.BEGIN, commits=True, transaction=Begin())
        return unclassified()
    if first == "START":
        if rest[:1] != ["TRANSACTION"]:
            return _admin(tokens, "START")
        return _start(rest[1:])
    if first == "SAVEPOINT":
        return Statement(kind=Kind.SAVEPOINT) if len(rest) == 1 and tokens[1].is_name else unclassified()
    if first == "RELEASE":
        if len(rest) == 2 and rest[0] == "SAVEPOINT" and tokens[2].is_name:
            return Statement(kind=Kind.SAVEPOINT)
        return unclassified()
    if rest[:1] == ["WORK"]:
        rest = rest[1:]
    kind = Kind.COMMIT if first == "COMMIT" else Kind.ROLLBACK
    if kind is Kind.ROLLBACK and rest[:1] == ["TO"]:
        name = rest[2:] if rest[1:2] == ["SAVEPOINT"] and len(rest) > 2 else rest[1:]
        return Statement(kind=Kind.SAVEPOINT) if len(name) == 1 and tokens[-1].is_name else unclassified()
    chain: bool | None = None
    release: bool | None = None
    if rest[:2] == ["AND", "CHAIN"]:
        chain, rest = True, rest[2:]
    elif rest[:3] == ["AND", "NO", "CHAIN"]:
        chain, rest = False, rest[3:]
    if rest[:1] == ["RELEASE"]:
        release, rest = True, rest[1:]
    elif rest[:2] == ["NO", "RELEASE"]:
        release, rest = False, rest[2:]
    if rest or (chain and release):
        return unclassified()
    return Statement(kind=kind, commits=True, end=End(chain, release))


def _start(words: Sequence[str]) -> Statement:
    """What follows START TRANSACTION."""
    snapshot = read_only = read_write = False
    for part in " ".join(words).split(" , ") if words else ():
        if part == "WITH CONSISTENT SNAPSHOT":
            snapshot = True
        elif part == "READ ONLY":
            read_only = True
        elif part == "READ WRITE":
            read_write = True
        else:
            return unclassified()
    if read_only and read_write:
        return unclassified()
    return Statement(kind=Kind.BEGIN, commits=True, transaction=Begin(snapshot, read_only, read_write))


def _admin(tokens: Sequence[Token], word: str) -> Statement:
    pins: PinReason | None = None
    if word == "FLUSH" and _has_word(tokens, ("LOCK", "EXPORT")):
        pins = PinReason.LOCK_TABLES
    return Statement(kind=Kind.ADMIN, pins=pins, commits=True, may_write=True, unreplayable=Unreplayable.ADMIN)


def _by_word(tokens: Sequence[Token], word: str, second: str) -> Statement:
    if word == "USE":
        if len(tokens) == 2 and tokens[1].is_name:
            name = tokens[1].text if tokens[1].kind == WORD else tokens[1].upper
            return Statement(kind=Kind.USE, schema=name)
        return unclassified(Kind.USE)
    if word == "CALL":
        return Statement(
            kind=Kind.CALL,
            pins=PinReason.PROCEDURE,
            asks=Asks.WARNINGS | Asks.LAST_INSERT_ID | Asks.ROWS,
            calculates_found_rows=True,
            commits=True,
            sees_guard=True,
            may_write=True,
            unreplayable=Unreplayable.PROCEDURE,
            connection_id=True,
        )
    if word == "LOCK" and second in ("TABLE", "TABLES"):
        return Statement(
            kind=Kind.LOCK_TABLES,
            tables=_lock_tables(tokens[2:]),
            pins=PinReason.LOCK_TABLES,
            commits=True,
            may_write=True,
            unreplayable=Unreplayable.LOCK_TABLES,
        )
    if word == "UNLOCK" and second in ("TABLE", "TABLES"):
        return Statement(kind=Kind.UNLOCK_TABLES, commits=True, unreplayable=Unreplayable.LOCK_TABLES)
    if word == "KILL":
        return _kill(tokens)
    if word == "XA":
        if second == "RECOVER":
            return Statement(kind=Kind.XA)
        return Statement(kind=Kind.XA, pins=PinReason.XA, commits=True, may_write=True, unreplayable=Unreplayable.XA)
    if word in ("PREPARE", "EXECUTE", "DEALLOCATE"):
        if word == "PREPARE":
            return Statement(kind=Kind.SQL_PREPARE, pins=PinReason.SQL_PREPARE, unreplayable=Unreplayable.SQL_PREPARE)
        if word == "EXECUTE":
            worst = unclassified(Kind.SQL_PREPARE)
            pins = PinReason.UNCLASSIFIED if second == "IMMEDIATE" else PinReason.SQL_PREPARE
            return replace(worst, pins=pins, unreplayable=Unreplayable.SQL_PREPARE)
        return Statement(kind=Kind.SQL_PREPARE, unreplayable=Unreplayable.SQL_PREPARE)
    if word == "HANDLER":
        return Statement(
            kind=Kind.HANDLER,
            tables=(_table_name(tokens, _name_at(tokens, 1)),),
            pins=PinReason.HANDLER,
            unreplayable=Unreplayable.HANDLER,
        )
    if word == "GET" and _has_word(tokens, ("DIAGNOSTICS",)):
        return Statement(
            kind=Kind.OTHER, pins=PinReason.DIAGNOSTICS, asks=Asks.WARNINGS, unreplayable=Unreplayable.USER_VARIABLE
        )
    return unclassified()


def _lock_tables(tokens: Sequence[Token]) -> tuple[str, ...]:
    names = [_table_name(part, _name_at(part, 0)) for part in split(tokens) if part]
    return tuple(name for name in names if name)


def _kill(tokens: Sequence[Token]) -> Statement:
    """KILL [HARD | SOFT] [CONNECTION | QUERY] id."""
    at = 1
    query_only = False
    if at < len(tokens) and tokens[at].upper in ("HARD", "SOFT"):
        at += 1
    if at < len(tokens) and tokens[at].upper in ("CONNECTION", "QUERY"):
        query_only = tokens[at].upper == "QUERY"
        at += 1
    kill: tuple[bool, int] | None = None
    if at == len(tokens) - 1 and tokens[at].kind == NUMBER and tokens[at].text.isdigit():
        kill = (query_only, int(tokens[at].text))
    return Statement(kind=Kind.KILL, kill=kill, may_write=True, unreplayable=Unreplayable.KILL, connection_id=True)
