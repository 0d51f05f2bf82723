"""SET, in all its forms: what it leaves in the session, and whether that can be carried.

It must not know what is done with it. Source: "SET Syntax for Variable Assignment" and "SET TRANSACTION Statement"
in the MySQL and MariaDB manuals.
"""

from collections.abc import Sequence
from typing import Final

from router import variables
from router.facts import Kind, PinReason, Result, Statement, Unreplayable, unclassified
from router.tokens import MARK, NUMBER, QUOTED, STRING, SYSTEM, USER_VARIABLE, WORD, Token

_SESSION = ("SESSION", "LOCAL")
_GLOBAL = ("GLOBAL", "PERSIST", "PERSIST_ONLY")
LONGEST_VALUE: Final = 1024
"""Characters of a user variable's value that is carried along."""

# Bare words that are not short for a string.
_CONSTANTS = frozenset({"DEFAULT", "NULL", "TRUE", "FALSE", "ON", "OFF"})


class _Leaves:
    """What the assignments read so far leave."""

    __slots__ = ("carries", "commits", "engine", "is_global", "one_shot", "ours", "pins", "unknown")

    def __init__(self, engine: str | None) -> None:
        self.engine = engine
        self.carries: list[tuple[str, str | None]] = []  # None: the server has to be asked for the value
        self.one_shot: list[tuple[str, str]] = []
        self.ours: list[tuple[str, str]] = []
        self.pins: PinReason | None = None
        self.unknown: dict[str, None] = {}  # user variables set to what is not known before
        self.is_global = False
        self.commits = False

    def pin(self, reason: PinReason) -> None:
        if self.pins is None:
            self.pins = reason

    def user(self, name: str | None, value: str | None) -> None:
        """A user variable is set."""
        if name is None:
            self.pin(PinReason.USER_VARIABLE)
        elif value is None:
            self.carries = [pair for pair in self.carries if pair[0] != name]
            self.unknown[name] = None
        else:
            self.unknown.pop(name, None)
            self.carries.append((name, value))


def read_set(tokens: Sequence[Token], expression: Statement, engine: str | None = None) -> Statement:
    """The facts about the SET whose tokens follow the keyword.

    `expression` holds what the values do, seen as a SELECT of them. `engine`: as in `router.reading`.
    """
    if not tokens:
        return unclassified(Kind.SET)
    special = _special(tokens)
    if special is not None:
        return special
    leaves = _Leaves(engine)
    sticky = False  # a GLOBAL may hold for the assignments after it, too: the engines differ
    for part in split(tokens):
        sticky = _assignment(part, leaves, sticky)
    if leaves.ours:
        # Together with others it is answered neither here nor there: one half would be missing.
        return Statement(kind=Kind.SETTING, carries=tuple(leaves.ours) if len(split(tokens)) == 1 else ())
    if expression.pins is PinReason.UNCLASSIFIED:
        return unclassified(Kind.SET)
    pins = leaves.pins or expression.pins
    held: tuple[str, ...] = ()
    if pins is None:
        held = tuple(leaves.unknown)
        pins = PinReason.USER_VARIABLE if held else None
    elif leaves.pins is None and (not leaves.unknown or (pins is PinReason.USER_VARIABLE and expression.held)):
        held = tuple(dict.fromkeys((*leaves.unknown, *expression.held)))
    seen = tuple((name, value) for name, value in leaves.carries if value is not None)
    unseen = len(seen) < len(leaves.carries)
    unreplayable = expression.unreplayable
    if leaves.is_global:
        unreplayable = Unreplayable.GLOBAL
    elif pins is PinReason.USER_VARIABLE:
        unreplayable = unreplayable or Unreplayable.USER_VARIABLE
    elif pins is not None or unseen:
        unreplayable = unreplayable or Unreplayable.UNCLASSIFIED
    return Statement(
        kind=Kind.SET,
        tables=expression.tables,
        pins=pins,
        held=held,
        frees=tuple((PinReason.USER_VARIABLE, name) for name, _ in leaves.carries if name[0] == "@"),
        carries=() if unseen else seen,
        learns=tuple(leaves.carries) if unseen else (),
        result=Result.UNSEEN if unseen else None,
        one_shot=tuple(leaves.one_shot),
        asks=expression.asks,
        commits=leaves.commits,
        sees_guard=expression.sees_guard,
        may_write=expression.may_write or leaves.is_global,
        unreplayable=unreplayable,
        connection_id=expression.connection_id,
    )


def split(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The tokens between the commas that no parentheses enclose."""
    parts: list[Sequence[Token]] = []
    depth = start = 0
    for index, token in enumerate(tokens):
        if token.kind != MARK:
            continue
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif token.text == "," and depth == 0:
            parts.append(tokens[start:index])
            start = index + 1
    parts.append(tokens[start:])
    return parts


def _special(tokens: Sequence[Token]) -> Statement | None:
    """SET with a keyword of its own, not to be mixed with assignments."""
    words = [token.upper if token.kind == WORD else "" for token in tokens]
    first = words[0]
    second = words[1] if len(words) > 1 else ""
    assigned = len(tokens) > 1 and tokens[1].text in ("=", ":=")
    if first == "TRANSACTION" and not assigned:
        return _transaction(words[1:], None)
    if second == "TRANSACTION" and (first in _SESSION or first in _GLOBAL):
        return _transaction(words[2:], first)
    if first == "ROLE" and second == "DEFAULT" and len(tokens) == 2:
        return Statement(kind=Kind.SET, frees=((PinReason.ROLE, ""),), unreplayable=Unreplayable.UNCLASSIFIED)
    if first == "ROLE" and not assigned:
        return Statement(kind=Kind.SET, pins=PinReason.ROLE, held=("role",), unreplayable=Unreplayable.UNCLASSIFIED)
    if first == "PASSWORD" or (first == "DEFAULT" and second == "ROLE"):
        return Statement(kind=Kind.SET, commits=True, may_write=True, unreplayable=Unreplayable.DDL)
    if (first == "STATEMENT" and not assigned) or (first == "RESOURCE" and second == "GROUP"):
        return unclassified(Kind.SET)
    return None


def _transaction(words: Sequence[str], scope: str | None) -> Statement:
    """SET [GLOBAL | SESSION] TRANSACTION characteristic [, characteristic]."""
    found: list[tuple[str, str]] = []
    for part in " ".join(word or "," for word in words).split(" , "):
        if part.startswith("ISOLATION LEVEL ") and part[16:] in variables.LEVELS.values():
            found.append((variables.ISOLATION, part[16:]))
        elif part in ("READ ONLY", "READ WRITE"):
            found.append((variables.ACCESS, part))
        else:
            return unclassified(Kind.SET)
    if scope is None:
        return Statement(kind=Kind.SET, one_shot=tuple(found))
    if scope in _SESSION:
        return Statement(kind=Kind.SET, carries=tuple(found))
    return Statement(kind=Kind.SET, may_write=True, unreplayable=Unreplayable.GLOBAL)


def _assignment(tokens: Sequence[Token], leaves: _Leaves, sticky: bool) -> bool:
    """One assignment; returns whether a GLOBAL may hold on."""
    if not tokens:
        leaves.pin(PinReason.UNCLASSIFIED)
        return sticky
    first = tokens[0]
    if first.kind == USER_VARIABLE:
        if _is_assign(tokens, 1):
            leaves.user(user_variable(first), user_value(tokens[2:]))
        else:
            leaves.pin(PinReason.UNCLASSIFIED)
        return sticky
    if first.kind == WORD and first.upper == "NAMES" and not _is_assign(tokens, 1):
        _names(tokens[1:], leaves)
        return sticky
    if first.kind == WORD and not _is_assign(tokens, 1) and first.upper in ("CHARACTER", "CHARSET", "CHAR"):
        # The connection's collation it takes from the schema.
        leaves.carries += [(each, None) for each in variables.OF_CHARACTER_SET]
        return sticky
    scope = ""
    at = 0
    if first.kind == SYSTEM:
        at = 1
        if len(tokens) > 2 and tokens[2].text == "." and tokens[1].upper in (*_SESSION, *_GLOBAL):
            scope = tokens[1].upper
            at = 3
        else:
            scope = "@@"
    elif first.kind == WORD and first.upper in (*_SESSION, *_GLOBAL) and not _is_assign(tokens, 1):
        scope = first.upper
        at = 1
        sticky = scope in _GLOBAL
    if not _is_assign(tokens, at + 1) or not tokens[at].is_name:
        leaves.pin(PinReason.UNCLASSIFIED if scope not in _GLOBAL else PinReason.VARIABLE)
        return sticky
    if scope in _GLOBAL:
        leaves.is_global = True
    elif sticky and scope not in _SESSION:
        leaves.is_global = True
        leaves.pin(PinReason.VARIABLE)
    else:
        _variable(tokens[at].name, literal(tokens[at + 2 :]), scope, leaves)
    return sticky


def _is_assign(tokens: Sequence[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].kind == MARK and tokens[at].text in ("=", ":=")


def _variable(name: str, value: str | None, scope: str, leaves: _Leaves) -> None:
    name = variables.ALIASES.get(name, name)
    if value is not None and value.startswith("-") and name not in variables.UNTOLD:
        value = None  # most have no such: what it becomes, and under which sql_mode that is an error, the server knows
    if name.startswith(variables.OURS):
        leaves.ours.append((name, value or ""))
    elif name in variables.TRACKING:
        leaves.pin(PinReason.TRACKING)
    elif name == variables.COMPLETION:
        leaves.pin(PinReason.VARIABLE)
        known = variables.carried(name, value) if value is not None else None
        leaves.carries.append(known or (name, None))
    elif not variables.is_carried(name) or _passes(name, scope, leaves.engine):
        leaves.pin(PinReason.VARIABLE)
    else:
        carried = variables.carried(name, value) if value is not None else None
        if carried is not None:
            leaves.carries.append(carried)
        elif value in (None, "DEFAULT") and name not in variables.UNTOLD:
            leaves.carries.append((variables.ASKED.get(name, name), None))
        else:
            leaves.pin(PinReason.VARIABLE)
        leaves.commits |= name == "autocommit" and carried != (name, "0")


def _passes(name: str, scope: str, engine: str | None) -> bool:
    """Does it concern the next transaction only? Without a scope these do, but not on MariaDB without "@@" before."""
    if name not in variables.ISOLATION_VARIABLES and name not in variables.ACCESS_VARIABLES:
        return False
    return scope not in _SESSION and (scope == "@@" or engine != "mariadb")


def _names(tokens: Sequence[Token], leaves: _Leaves) -> None:
    """NAMES {charset [COLLATE collation] | DEFAULT}."""
    charset = literal(tokens[:1])
    if charset is None or len(tokens) not in (1, 3):
        leaves.pin(PinReason.VARIABLE)
    elif len(tokens) == 1:
        leaves.carries.append((variables.NAMES, charset))
    else:
        collation = literal(tokens[2:])
        if tokens[1].upper != "COLLATE" or collation is None or charset == "DEFAULT":
            leaves.pin(PinReason.VARIABLE)
        else:
            leaves.carries.append((variables.NAMES, f"{charset} COLLATE {collation}"))


def values(tokens: Sequence[Token]) -> list[Token]:
    """The tokens without the user variables that are assigned to."""
    found: list[Token] = []
    for part in split(tokens):
        if len(part) > 1 and part[0].kind == USER_VARIABLE and _is_assign(part, 1):
            found.extend(part[2:])
        else:
            found.extend(part)
        found.append(Token(MARK, ",", False))
    return found


def queries(tokens: Sequence[Token]) -> list[Token]:
    """What has a query in it, as one SELECT: of the `values` of a SET, or of a DO with its keyword."""
    found = [Token(WORD, "SELECT", False)]
    for part in split(tokens):
        if not any(token.kind == WORD and token.upper in ("SELECT", "TABLE") for token in part):
            continue
        opening = next((at for at, token in enumerate(part) if token.text == "("), len(part))
        start = next((at + 1 for at in range(opening) if _is_assign(part, at) or part[at].upper == "DO"), 0)
        if len(found) > 1:
            found.append(Token(MARK, ",", False))
        if start < len(part):
            found.append(Token(part[start].kind, part[start].text, True))
        found.extend(part[start + 1 :])
    return found


def user_variable(token: Token) -> str | None:
    """The name of a user variable, "@" before it and in lower case; None if it can't be told."""
    name = token.text[1:].strip("`")  # one in other quotes counts as a literal, which facts must not depend on
    if not name or not name.isascii() or any(mark in name for mark in "'\"`\\"):
        return None
    return "@" + name.lower()


def user_value(tokens: Sequence[Token]) -> str | None:
    """SQL of a value that a user variable can be given again, or None if the value is not known."""
    if len(tokens) == 2 and tokens[0].text in ("-", "+") and tokens[1].kind == NUMBER:
        return tokens[0].text + tokens[1].text
    if len(tokens) != 1:
        return None
    token = tokens[0]
    if token.kind == NUMBER and len(token.text) <= LONGEST_VALUE:
        return token.text
    if token.kind == WORD and token.upper in ("NULL", "TRUE", "FALSE"):
        return token.upper
    if token.kind == STRING and token.text[0] in "'\"" and len(token.text) <= LONGEST_VALUE:
        text = token.text[1:-1]
        if not any(mark in text for mark in "'\"\\"):
            return f"'{text}'"
    return None


def literal(tokens: Sequence[Token]) -> str | None:
    """SQL that means the same under every sql_mode and character set, or None if it is more than a plain literal."""
    if len(tokens) == 2 and tokens[0].text in ("-", "+") and tokens[1].kind == NUMBER:
        return tokens[0].text + tokens[1].text
    if len(tokens) != 1:
        return None
    token = tokens[0]
    if token.kind == NUMBER:
        return token.text
    if token.kind == WORD and token.upper in _CONSTANTS:
        return token.upper
    text = token.text if token.kind == WORD else token.text[1:-1]
    if token.kind not in (WORD, STRING, QUOTED) or (token.kind == STRING and token.text[0] in "nN"):
        return None
    if not text.isascii() or any(mark in text for mark in "'\"`\\"):
        return None
    return f"'{text}'"
