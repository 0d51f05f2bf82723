"""From the tokens of a text to the facts about it: one function for each family of statements.

It must not know caches. First principle: what is not surely harmless is unclassified.
Source: "SQL Statements" in the MySQL and MariaDB manuals; for what commits by itself "Statements That Cause an
Implicit Commit".
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from router import functions, parse
from router.assignments import queries, read_set, user_variable, values
from router.catalog import NOTHING_KNOWN, Catalog
from router.commands import admin, boundary, by_word
from router.conditions import conditions
from router.effects import Effects, Scan
from router.facts import Asks, Kind, Modes, PinReason, Result, Statement, Unreplayable, unclassified
from router.inserts import given, inserts_one_row, target_of
from router.several import ROUTINES, defines_routine, is_compound, several, statements
from router.tokens import (
    QUOTED,
    STRING,
    USER_VARIABLE,
    WORD,
    Token,
    UnreadableError,
    has_word,
    name_at,
    table_name,
    tokenize,
)

# Kinds whose facts depend on literals.
LITERAL_KINDS: Final = frozenset({Kind.SET, Kind.USE, Kind.KILL, Kind.MULTI, Kind.OTHER, Kind.SQL_PREPARE})

_DDL: Final = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "GRANT", "REVOKE", "COMMENT", "IMPORT"})
_ADMIN: Final = frozenset({
    "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "RESET", "PURGE", "CHANGE", "STOP", "INSTALL", "UNINSTALL",
    "CACHE", "SHUTDOWN", "RESTART", "CLONE",
})  # fmt: skip
_SCHEMA: Final = frozenset({"DATABASE", "SCHEMA"})
_SHOWS: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "HELP"})
_READS: Final = frozenset({"SELECT", "VALUES", "TABLE", "WITH", "("})
_PREPARED: Final = frozenset({Kind.READ, Kind.LOCKING_READ, Kind.WRITE, Kind.SHOW, Kind.DO})
_WRITES: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})


class Reader:
    """Reads texts for one engine: "mariadb", "mysql", or None where it is not known which."""

    __slots__ = ("_catalog", "_effects", "_engine")

    def __init__(self, engine: str | None = None, catalog: Catalog = NOTHING_KNOWN) -> None:
        self._engine = engine
        self._catalog = catalog
        self._effects = Effects(engine, catalog.functions)

    def read(self, text: str, modes: int = 0) -> Statement:
        """The facts about `text` (latin-1)."""
        if modes & Modes.FOREIGN:
            return by_first_word(text)
        try:
            tokens = tokenize(text, modes)
        except UnreadableError:
            return by_first_word(text)
        parts = statements(tokens)
        if not parts:
            return Statement(kind=Kind.OTHER)
        if len(parts) == 1:
            return self._statement(parts[0])
        if defines_routine(parts[0]) or is_compound(parts[0]):
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
        if word == "SET" and second == "STATEMENT":
            return self._set_statement(tokens)
        if word == "SET":
            return read_set(tokens[1:], self._expression(values(tokens[1:]), Kind.SET), self._engine)
        if word in ("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"):
            return boundary([token.upper for token in tokens], tokens)
        if word == "DO":
            return _of_one_call(self._expression(tokens, Kind.DO), tokens)
        if word == "DROP" and second == "PREPARE":
            return by_word(tokens, "DEALLOCATE", second)
        if word in _DDL:
            return self._ddl(tokens, word)
        if word == "ANALYZE" and second not in ("TABLE", "LOCAL", "NO_WRITE_TO_BINLOG"):
            return self._analyze(tokens)
        if word in _ADMIN or word == "ANALYZE":
            return admin(tokens, word)
        if word == "LOAD":
            return self._load(tokens, second)
        if word == "PREPARE":
            return self._prepare(tokens)
        return by_word(tokens, word, second)

    # -- queries ------------------------------------------------------------------------------------------------

    def _query(self, tokens: Sequence[Token]) -> Statement:
        at, word = _main_word(tokens)
        if word == "":
            return unclassified()
        target = target_of(tokens, at) if word in ("INSERT", "REPLACE") else None
        scan = self._effects.scan(tokens, target)
        kind = Kind.WRITE if word in _WRITES else Kind.LOCKING_READ if scan.locks else Kind.READ
        found: tuple[str, ...] | None
        if target is not None and not has_word(tokens, ("SELECT", "TABLE", "WITH")):
            found = (table_name(tokens, target),)
        else:
            found = parse.tables(tokens)
        if found is None:
            return unclassified(kind, (table_name(tokens, target),) if target is not None else ())
        self._read(scan, found, writes=kind is Kind.WRITE)
        one_row = target is not None and inserts_one_row(tokens)
        gives = given(tokens, target) if target is not None else ()
        compares = tuple(each.column for each in conditions(tokens)) if len(found) == 1 else ()
        facts = _facts(kind, scan, found, one_row, gives, compares)
        if kind is Kind.WRITE and has_word(tokens, ("RETURNING",)):
            facts = replace(facts, returns_rows=True)
        return _of_one_call(facts, tokens) if word == "SELECT" and not found else facts

    def _read(self, scan: Scan, found: Sequence[str], *, writes: bool) -> None:
        """What these tables show, and what their views and triggers do."""
        for name in found:
            if name.rpartition(".")[2] in functions.VARIABLE_TABLES:
                scan.sees_guard = True
            if (hidden := self._catalog.views.get(name)) is not None:
                scan.take(hidden)
            if writes and (hidden := self._catalog.writes.get(name)) is not None:
                scan.take(hidden)

    def _expression(self, tokens: Sequence[Token], kind: Kind) -> Statement:
        """The facts about a statement of which only the expressions count."""
        scan = self._effects.scan(tokens, None)
        found: tuple[str, ...] | None = ()
        if has_word(tokens, ("SELECT", "TABLE")) and has_word(tokens, ("FROM", "TABLE")) and kind is not Kind.SHOW:
            found = parse.tables(queries(tokens))
        elif has_word(tokens, ("SELECT",)) and has_word(tokens, ("FROM", "TABLE")):
            found = None  # they are not looked for
        if found is None:
            found = ()
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        else:
            self._read(scan, found, writes=False)
        facts = _facts(kind, scan, found)
        return replace(facts, may_write=True) if scan.locks else facts

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

    def _set_statement(self, tokens: Sequence[Token]) -> Statement:
        """SET STATEMENT variables FOR statement: what that may write, and whether it commits."""
        facts = unclassified(Kind.SET)
        begin = next((at for at, token in enumerate(tokens, 1) if token.kind == WORD and token.upper == "FOR"), 0)
        if not 0 < begin < len(tokens):
            return facts
        inner = self._statement(tokens[begin:])
        return replace(facts, tables=inner.tables, commits=inner.commits, may_write=inner.may_write)

    def _ddl(self, tokens: Sequence[Token], word: str) -> Statement:
        words = [token.upper if token.kind == WORD else "" for token in tokens]
        temporary = "TEMPORARY" in words[1:4]
        pins = PinReason.TEMPORARY_TABLE if temporary and word == "CREATE" else None
        held = _raw_names(tokens, words) if pins is not None else ()
        if not ROUTINES.intersection(words[:8]):
            for index, part in enumerate(words):
                if part == "SELECT" or (part == "VALUES" and _opens(tokens, index + 1)):
                    scan = self._effects.scan(tokens[index:], None)
                    if scan.pins is not None:
                        held = scan.held if pins is None else ()
                        pins = pins or scan.pins
                    break
        if pins is None and any(token.text == ":=" for token in tokens) and not defines_routine(tokens):
            pins = PinReason.UNCLASSIFIED
        # Connections that are in a schema know its character set by heart.
        of_schema = word != "CREATE" and not _SCHEMA.isdisjoint(words[1:2])
        defined = of_schema or "ENGINE" in words or not ROUTINES.isdisjoint(words[:12])
        return Statement(
            kind=Kind.DDL,
            tables=_ddl_tables(tokens, words),
            pins=pins,
            held=held,
            frees=_drops(tokens, words),
            result=Result.DEFINED if defined else None,
            drops_schema=_schema_dropped(tokens, words) if of_schema and word == "DROP" else None,
            commits=not temporary,
            may_write=True,
            unreplayable=Unreplayable.DDL,
        )

    def _prepare(self, tokens: Sequence[Token]) -> Statement:
        """PREPARE name FROM text: it leaves a name only if executing it leaves nothing."""
        facts = Statement(kind=Kind.SQL_PREPARE, pins=PinReason.SQL_PREPARE, unreplayable=Unreplayable.SQL_PREPARE)
        if len(tokens) != 4 or not tokens[1].is_name or tokens[3].kind != STRING or "\\" in tokens[3].text:
            return facts
        quote = tokens[3].text[0]
        inner = self.read(tokens[3].text[1:-1].replace(quote * 2, quote))
        if inner.kind not in _PREPARED or inner.pins is not None or inner.frees or inner.commits:
            return facts
        return replace(facts, held=(tokens[1].name,))

    def _load(self, tokens: Sequence[Token], second: str) -> Statement:
        if second == "INDEX":
            return admin(tokens, "LOAD")
        pins: PinReason | None = None
        assigned = [user_variable(token) for token in tokens if token.kind == USER_VARIABLE]
        held = tuple(name for name in assigned if name is not None)
        if assigned:
            pins = PinReason.USER_VARIABLE
        found: tuple[str, ...] = ()
        for index, token in enumerate(tokens):
            if token.upper == "INTO" and index + 2 < len(tokens) and tokens[index + 1].upper == "TABLE":
                target = name_at(tokens, index + 2)
                found = (table_name(tokens, target),)
                if self._effects.scan(tokens[index + 2 :], range(len(target))).pins is PinReason.UNCLASSIFIED:
                    pins = PinReason.UNCLASSIFIED
        if not found:
            return unclassified(Kind.LOAD)
        if len(held) < len(assigned) or pins is not PinReason.USER_VARIABLE:
            held = ()
        return Statement(
            kind=Kind.LOAD, tables=found, pins=pins, held=held, may_write=True, unreplayable=Unreplayable.LOAD
        )


# -- of what cannot be read ------------------------------------------------------------------------------------------


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


def _opens(tokens: Sequence[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].text == "("


# -- tokens and their neighbours -------------------------------------------------------------------------------------


def _facts(
    kind: Kind,
    scan: Scan,
    found: tuple[str, ...],
    one_row: bool = False,
    gives: tuple[str, ...] = (),
    compares: tuple[str, ...] = (),
) -> Statement:
    unreplayable = scan.unreplayable
    if scan.files and unreplayable is None:
        unreplayable = Unreplayable.FILE
    if kind is Kind.WRITE and scan.nondeterministic and unreplayable is None:
        unreplayable = Unreplayable.NONDETERMINISTIC
    unknown = scan.pins is PinReason.UNCLASSIFIED
    writes = kind is Kind.WRITE or kind is Kind.LOCKING_READ or scan.files or scan.sequence or scan.writes_unseen
    return Statement(
        kind=kind,
        tables=found,
        pins=scan.pins,
        held=scan.held,
        asks=scan.asks,
        calculates_found_rows=scan.calculates_found_rows,
        sees_guard=scan.sees_guard or unknown,
        may_write=writes or unknown or scan.pins is PinReason.GET_LOCK,
        unreplayable=unreplayable,
        inserts_one_row=one_row,
        gives=gives,
        writes_unseen=scan.writes_unseen,
        connection_id=scan.connection_id or unknown,
        compares=compares,
    )


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


_LOCK_CALLS: Final = {
    "GET_LOCK": Result.LOCKED, "RELEASE_LOCK": Result.UNLOCKED, "CONNECTION_ID": Result.CONNECTION_ID,
}  # fmt: skip


def _of_one_call(facts: Statement, tokens: Sequence[Token]) -> Statement:
    """SELECT or DO of one function alone, or of @@pseudo_thread_id: what becomes of its value."""
    words = [token.upper if token.kind == WORD else token.text for token in tokens]
    if words[1:3] == ["@@", "PSEUDO_THREAD_ID"] and _is_alias(tokens[3:]) and facts.kind is Kind.READ:
        return replace(facts, result=Result.CONNECTION_ID)
    if len(words) < 4 or words[2] != "(" or words.count(words[1]) > 1:
        return facts
    depth = 0
    for index in range(2, len(tokens)):
        depth += (words[index] == "(") - (words[index] == ")")
        if depth == 0:
            break
    else:
        return facts
    if not _is_alias(tokens[index + 1 :]):
        return facts
    if words[1] == "RELEASE_ALL_LOCKS":
        return replace(facts, frees=((PinReason.GET_LOCK, ""),))
    if facts.kind is Kind.DO or words[1] not in _LOCK_CALLS or {"GET_LOCK", "RELEASE_LOCK"} & set(words[2:]):
        return facts
    return replace(facts, result=_LOCK_CALLS[words[1]])


def _is_alias(tokens: Sequence[Token]) -> bool:
    """Nothing more, or only a name for the column."""
    if len(tokens) == 2 and tokens[0].upper == "AS":
        tokens = tokens[1:]
    return not tokens or (len(tokens) == 1 and tokens[0].kind in (WORD, QUOTED, STRING))


def _drops(tokens: Sequence[Token], words: Sequence[str]) -> tuple[tuple[PinReason, str], ...]:
    """What this ends of the session's temporary tables, if it has any."""
    if words[0] == "DROP" and ("TABLE" in words[1:3] or "TABLES" in words[1:3]):
        return tuple((PinReason.TEMPORARY_TABLE, name) for name in _raw_names(tokens, words))
    if words[0] == "RENAME" or (words[0] == "ALTER" and "RENAME" in words):
        return ((PinReason.TEMPORARY_TABLE, "?"),)
    return ()


def _raw_names(tokens: Sequence[Token], words: Sequence[str]) -> tuple[str, ...]:
    """The tables named behind TABLE as they are written, since case may tell them apart."""
    at = next((index + 1 for index, word in enumerate(words) if word in ("TABLE", "TABLES")), len(words))
    while at < len(words) and words[at] in ("IF", "NOT", "EXISTS"):
        at += 1
    found: list[str] = []
    while len(name := name_at(tokens, at)):
        found.append("".join(tokens[i].text if tokens[i].kind == WORD else tokens[i].upper for i in name))
        at = name.stop + 1
        if words[0] != "DROP" or name.stop >= len(tokens) or tokens[name.stop].text != ",":
            break
    return tuple(found)


def _schema_dropped(tokens: Sequence[Token], words: Sequence[str]) -> str:
    """DROP DATABASE [IF EXISTS] name."""
    return table_name(tokens, name_at(tokens, 4 if words[2:4] == ["IF", "EXISTS"] else 2))


def _ddl_tables(tokens: Sequence[Token], words: Sequence[str]) -> tuple[str, ...]:
    """The tables named right behind TABLE, VIEW, or ON in CREATE INDEX."""
    at = 0
    for index, word in enumerate(words):
        if word in ("TABLE", "TABLES", "VIEW") or (word == "ON" and "INDEX" in words[:5]):
            at = index + 1
            break
    else:
        return (table_name(tokens, name_at(tokens, 1)),) if words[0] == "TRUNCATE" else ()
    while at < len(words) and words[at] in ("IF", "NOT", "EXISTS"):
        at += 1
    found: list[str] = []
    while True:
        name = name_at(tokens, at)
        if not len(name):
            return tuple(found)
        found.append(table_name(tokens, name))
        at = name.stop
        further = tokens[at].upper if at < len(tokens) else ""
        if not (further == "," and words[0] in ("DROP", "RENAME")) and not (further == "TO" and words[0] == "RENAME"):
            return tuple(found)
        at += 1
