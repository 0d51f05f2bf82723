"""Statements that a few words tell, without a grammar: transaction boundaries, locks, KILL, administration.

It must not know queries. Source: "Transactional and Locking Statements", "KILL Statement" and "XA Transaction SQL
Statements" in the MySQL and MariaDB manuals.
"""

from collections.abc import Sequence
from dataclasses import replace

from router.assignments import split
from router.facts import Asks, Begin, End, Kind, PinReason, Result, Statement, Unreplayable, unclassified
from router.tokens import NUMBER, WORD, Token, has_word, name_at, table_name


def boundary(words: Sequence[str], tokens: Sequence[Token]) -> Statement:
    """BEGIN, START TRANSACTION, COMMIT, ROLLBACK and the statements about savepoints."""
    first = words[0]
    rest = list(words[1:])
    if first == "BEGIN":
        if rest in ([], ["WORK"]):
            return Statement(kind=Kind.BEGIN, commits=True, transaction=Begin())
        return unclassified()
    if first == "START":
        if rest[:1] != ["TRANSACTION"]:
            return admin(tokens, "START")
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
    return Statement(kind=kind, commits=True, end=End(chain, release), result=Result.RELEASES if release else None)


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


def admin(tokens: Sequence[Token], word: str) -> Statement:
    pins: PinReason | None = None
    if word == "FLUSH" and has_word(tokens, ("LOCK", "EXPORT")):
        pins = PinReason.LOCK_TABLES
    return Statement(
        kind=Kind.ADMIN,
        pins=pins,
        held=("tables",) if pins else (),
        commits=True,
        may_write=True,
        unreplayable=Unreplayable.ADMIN,
    )


def by_word(tokens: Sequence[Token], word: str, second: str) -> Statement:
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
            held=("tables",),
            commits=True,
            may_write=True,
            unreplayable=Unreplayable.LOCK_TABLES,
        )
    if word == "UNLOCK" and second in ("TABLE", "TABLES"):
        return Statement(
            kind=Kind.UNLOCK_TABLES,
            frees=((PinReason.LOCK_TABLES, ""),),
            commits=True,
            unreplayable=Unreplayable.LOCK_TABLES,
        )
    if word == "KILL":
        return _kill(tokens)
    if word == "XA":
        if second == "RECOVER":
            return Statement(kind=Kind.SHOW)
        ends = second in ("COMMIT", "ROLLBACK")
        return Statement(
            kind=Kind.XA,
            pins=None if ends else PinReason.XA,
            held=() if ends else ("xa",),
            frees=((PinReason.XA, ""),) if ends else (),
            commits=True,
            may_write=True,
            unreplayable=Unreplayable.XA,
        )
    if word in ("EXECUTE", "DEALLOCATE"):
        if word == "EXECUTE":
            # What it may leave, its PREPARE has said.
            worst = unclassified(Kind.SQL_PREPARE)
            pins = PinReason.UNCLASSIFIED if second == "IMMEDIATE" else None
            return replace(worst, pins=pins, unreplayable=Unreplayable.SQL_PREPARE)
        return Statement(
            kind=Kind.SQL_PREPARE,
            frees=((PinReason.SQL_PREPARE, tokens[-1].name),),
            unreplayable=Unreplayable.SQL_PREPARE,
        )
    if word == "HANDLER":
        return _handler(tokens)
    if word == "GET" and has_word(tokens, ("DIAGNOSTICS",)):
        return Statement(
            kind=Kind.OTHER, pins=PinReason.DIAGNOSTICS, asks=Asks.WARNINGS, unreplayable=Unreplayable.USER_VARIABLE
        )
    return unclassified()


def _handler(tokens: Sequence[Token]) -> Statement:
    """HANDLER table OPEN [[AS] alias], HANDLER name READ .., HANDLER name CLOSE."""
    name = name_at(tokens, 1)
    table = table_name(tokens, name)
    does = tokens[name.stop].upper if name.stop < len(tokens) else ""
    statement = Statement(kind=Kind.HANDLER, tables=(table,), unreplayable=Unreplayable.HANDLER)
    if does == "READ":
        return statement  # what it reads from was opened before
    if does == "CLOSE" and name.stop == len(tokens) - 1:
        return replace(statement, frees=((PinReason.HANDLER, table),))
    alias = tokens[-1].name if tokens[-1].is_name and len(tokens) > name.stop + 1 else tokens[name.stop - 1].name
    return replace(statement, pins=PinReason.HANDLER, held=(alias,) if does == "OPEN" else ())


def _lock_tables(tokens: Sequence[Token]) -> tuple[str, ...]:
    names = [table_name(part, name_at(part, 0)) for part in split(tokens) if part]
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
