"""Which rows a statement is about: the columns that it compares with plain values, found in its tokens.

    UPDATE t SET v=v+1 WHERE id=7 AND (kind IN ('a','b'))    id: 7, kind: a or b
    INSERT INTO t (id, v) VALUES (7, 1) ON DUPLICATE KEY UPDATE v=v+1    id: 7, v: 1

What is found serves placement only: to miss a condition, or to take two values for one, costs a conflict and never an
answer. So it looks at one table, at conditions joined by AND, and at nothing that has to be computed. It must not know
which columns are unique.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

from router.inserts import columns_of, target_of
from router.tokens import MARK, NUMBER, PARAMETER, STRING, WORD, Token

Value = str | int
"""A literal, so that 7 and '7' are the same and so are 'Ada' and 'ada'; or a parameter, by its position from 0."""

MOST_ROWS: Final = 8
"""A statement about more rows than this is about its table."""

_ENDS: Final = frozenset({
    "GROUP", "ORDER", "LIMIT", "FOR", "LOCK", "HAVING", "UNION", "EXCEPT", "INTERSECT", "WINDOW", "RETURNING", "INTO",
    "PROCEDURE", "ROWS", "FETCH", "OFFSET",
})  # fmt: skip
_OTHERWISE: Final = frozenset({"OR", "XOR"})


class Condition(NamedTuple):
    """`column` (lower case) has one of `values`."""

    column: str
    values: tuple[Value, ...]


def conditions(tokens: Sequence[Token]) -> tuple[Condition, ...]:
    """Those that hold for every row that the statement reads or writes. The statement has one table."""
    positions = _positions(tokens)
    at = _where(tokens)
    if at is None:
        return _inserted(tokens, positions)
    found: list[Condition] = []
    for term in _terms(tokens, at, _end(tokens, at)):
        condition = _condition(tokens, term, positions)
        if condition is not None:
            found.append(condition)
    return tuple(found)


def rows(found: Sequence[Condition], unique: Sequence[Sequence[str]]) -> tuple[tuple[Value, ...], ...]:
    """The rows, each by the values of one unique key, if all of its columns are compared; () if none is, or too many.

    `unique`: the unique keys, the primary key first. The number of the key stands ahead of its values, unless it is the
    primary key.
    """
    values = {condition.column: condition.values for condition in found}
    for number, columns in enumerate(unique):
        if all(column in values for column in columns):
            count = 1
            for column in columns:
                count *= len(values[column])
            if count > MOST_ROWS:
                return ()
            head: tuple[Value, ...] = (f"key{number}",) if number else ()
            return tuple((*head, *row) for row in product(*(values[column] for column in columns)))
    return ()


def _positions(tokens: Sequence[Token]) -> dict[int, int]:
    """The parameters: index of the token -> position."""
    return {at: position for position, at in enumerate(at for at, t in enumerate(tokens) if t.kind == PARAMETER)}


def _where(tokens: Sequence[Token]) -> int | None:
    """What follows the WHERE that no parentheses enclose."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.kind == WORD and token.upper == "WHERE":
            return at + 1
    return None


def _end(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        token = tokens[at]
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.kind == WORD and token.upper in _ENDS:
            return at
    return len(tokens)


def _terms(tokens: Sequence[Token], start: int, end: int) -> list[range]:
    """What AND joins, in parentheses or not; nothing where an OR makes it optional."""
    while end - start > 1 and tokens[start].text == "(" and _closes(tokens, start, end) == end - 1:
        start, end = start + 1, end - 1
    found: list[range] = []
    depth, begin = 0, start
    for at in range(start, end):
        token = tokens[at]
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0:
            if (token.kind == WORD and token.upper in _OTHERWISE) or token.text == "|":
                return []
            if token.kind == WORD and token.upper == "AND":
                found.append(range(begin, at))
                begin = at + 1
    if begin == start:
        return [range(start, end)]
    found.append(range(begin, end))
    return [inner for term in found for inner in _terms(tokens, term.start, term.stop)]


def _closes(tokens: Sequence[Token], start: int, end: int) -> int:
    depth = 0
    for at in range(start, end):
        if tokens[at].text == "(":
            depth += 1
        elif tokens[at].text == ")":
            depth -= 1
            if depth == 0:
                return at
    return end


def _condition(tokens: Sequence[Token], term: range, positions: dict[int, int]) -> Condition | None:
    """column = value, value = column, or column IN (value, ..)."""
    column, at = _column(tokens, term.start, term.stop)
    if column is None:
        value, at = _value(tokens, term.start, term.stop, positions)
        if value is None or at >= term.stop or tokens[at].text != "=":
            return None
        column, end = _column(tokens, at + 1, term.stop)
        return Condition(column, (value,)) if column is not None and end == term.stop else None
    if at >= term.stop:
        return None
    if tokens[at].text == "=":
        value, end = _value(tokens, at + 1, term.stop, positions)
        return Condition(column, (value,)) if value is not None and end == term.stop else None
    if tokens[at].kind == WORD and tokens[at].upper == "IN" and at + 1 < term.stop and tokens[at + 1].text == "(":
        if _closes(tokens, at + 1, term.stop) != term.stop - 1:
            return None
        values = _list(tokens, at + 2, term.stop - 1, positions)
        return Condition(column, values) if values else None
    return None


def _column(tokens: Sequence[Token], at: int, end: int) -> tuple[str | None, int]:
    """A column's name, with the names of table and schema ahead of it or without."""
    if at >= end or not tokens[at].is_name:
        return None, at
    while at + 2 < end and tokens[at + 1].text == "." and tokens[at + 2].is_name:
        at += 2
    return tokens[at].name, at + 1


def _value(tokens: Sequence[Token], at: int, end: int, positions: dict[int, int]) -> tuple[Value | None, int]:
    sign = ""
    if at < end and tokens[at].kind == MARK and tokens[at].text == "-":
        sign, at = "-", at + 1
    if at >= end:
        return None, at
    token = tokens[at]
    if token.kind == PARAMETER and not sign:
        return positions[at], at + 1
    if token.kind == NUMBER:
        return sign + token.text.lower(), at + 1
    if token.kind == STRING and not sign:
        return literal(token.text[token.text.index(token.text[-1]) + 1 : -1]), at + 1
    return None, at


def literal(text: str) -> str:
    """A string's value as it is compared here: most collations do not tell case."""
    return text.casefold()


def _list(tokens: Sequence[Token], at: int, end: int, positions: dict[int, int]) -> tuple[Value, ...]:
    """The values between commas; () if one of them is more than a value, or there are too many."""
    found: list[Value] = []
    while at < end:
        value, at = _value(tokens, at, end, positions)
        if value is None or (at < end and tokens[at].text != ",") or len(found) == MOST_ROWS:
            return ()
        if value not in found:
            found.append(value)
        at += 1
    return tuple(found)


def _inserted(tokens: Sequence[Token], positions: dict[int, int]) -> tuple[Condition, ...]:
    """The columns of the one row of REPLACE, or of INSERT .. ON DUPLICATE KEY UPDATE: it may be there already."""
    words = [token.upper if token.kind == WORD else "" for token in tokens]
    if words[0] != "REPLACE" and "DUPLICATE" not in words:
        return ()
    values = next((at for at, word in enumerate(words) if word in ("VALUES", "VALUE")), len(tokens))
    target = target_of(tokens, 0)
    if target is None or values + 1 >= len(tokens) or tokens[values + 1].text != "(":
        return ()
    end = _closes(tokens, values + 1, len(tokens))
    if end >= len(tokens):
        return ()
    if end + 1 < len(tokens) and tokens[end + 1].text == ",":
        return ()
    names = columns_of(tokens, target)
    found: list[Condition] = []
    depth, start, number = 0, values + 2, 0
    for at in range(values + 2, end + 1):
        text = tokens[at].text
        if text == "(":
            depth += 1
        elif text == ")" and at < end:
            depth -= 1
        if at == end or (text == "," and depth == 0):
            value, stop = _value(tokens, start, at, positions)
            if value is not None and stop == at and number < len(names):
                found.append(Condition(names[number], (value,)))
            number, start = number + 1, at + 1
    return tuple(found)
