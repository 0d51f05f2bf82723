"""Several statements in one text: where each one ends, and what they come to together.

It must not know how one statement is read.
"""

from collections.abc import Sequence
from typing import Final

from router.facts import Kind, PinReason, Statement, Unreplayable
from router.tokens import WORD, Token
from router.variables import BEFORE_OTHERS

ROUTINES: Final = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "VIEW"})


def statements(tokens: Sequence[Token]) -> list[Sequence[Token]]:
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


def defines_routine(tokens: Sequence[Token]) -> bool:
    """Whether the semicolons behind belong to the body of a procedure, function, trigger or event."""
    if tokens[0].upper not in ("CREATE", "ALTER"):
        return False
    return any(token.kind == WORD and token.upper in ROUTINES for token in tokens[1:12])


def is_compound(tokens: Sequence[Token]) -> bool:
    """MariaDB runs compound statements outside of procedures, too."""
    words = [token.upper for token in tokens[:2]]
    return words == ["BEGIN", "NOT"] or words[0] in ("IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR", "DECLARE")


def several(parts: Sequence[Statement]) -> Statement:
    """The facts about several statements in one text. The first may be refused, and then no other is run. What they set
    is carried along where all have succeeded, so that the values are those of the last.
    """
    pins: PinReason | None = None
    carries: list[tuple[str, str]] = []
    unreplayable: Unreplayable | None = None
    asks = 0
    for part in parts:
        if pins is None:
            pins = part.pins or (PinReason.VARIABLE if _changes_the_rest(part) else None)
            carries += part.carries
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
        carries=() if pins is not None else tuple(carries),
        asks=asks,
        calculates_found_rows=any(part.calculates_found_rows for part in parts),
        commits=commits,
        sees_guard=any(part.sees_guard for part in parts),
        may_write=may_write,
        unreplayable=unreplayable,
        connection_id=any(part.connection_id for part in parts),
    )


def _changes_the_rest(part: Statement) -> bool:
    """It sets what can't be carried from among others, or what those behind it depend on."""
    if part.learns or part.one_shot or part.schema is not None:
        return True
    return any(name in BEFORE_OTHERS for name, _ in part.carries)
