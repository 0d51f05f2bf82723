"""Questions about the statement before: SHOW WARNINGS and its kin, and the SELECTs that name nothing but its numbers.

Only what can be answered from memory is recognised, in the few forms in which clients ask. It must not know where the
answers come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from router.facts import Asks, Modes, Statement
from router.tokens import NUMBER, QUOTED, STRING, SYSTEM, WORD, Token, UnreadableError, tokenize


class Number(Enum):
    """What a column of the answer is."""

    FOUND_ROWS = "FOUND_ROWS"
    ROW_COUNT = "ROW_COUNT"
    WARNINGS = "WARNING_COUNT"
    ERRORS = "ERROR_COUNT"


@dataclass(frozen=True, slots=True)
class Listing:
    """SHOW WARNINGS or, with `errors`, SHOW ERRORS: `most` rows behind the first `skip`. None: all."""

    errors: bool = False
    skip: int = 0
    most: int | None = None


Question = Listing | tuple[Number, ...]
"""A listing, or one row of these numbers: SELECT of them, or SHOW COUNT(*)."""

_CALLS = {"FOUND_ROWS": Number.FOUND_ROWS, "ROW_COUNT": Number.ROW_COUNT}
_VARIABLES = {"WARNING_COUNT": Number.WARNINGS, "ERROR_COUNT": Number.ERRORS}


def question(text: bytes, statement: Statement, modes: int) -> Question | None:
    """What a text asks, if it asks for nothing else; `statement` are the facts about it."""
    if not statement.asks & (Asks.WARNINGS | Asks.ROWS) or statement.pins is not None or statement.tables:
        return None
    tokens = _tokens(text, modes)
    tokens = tokens[: _end(tokens)]
    words = [token.upper if token.kind == WORD else token.text for token in tokens]
    match words:
        case ["SHOW", ("WARNINGS" | "ERRORS") as which, *limit]:
            return _listing(tokens[2:], limit, errors=which == "ERRORS")
        case ["SHOW", "COUNT", "(", "*", ")", ("WARNINGS" | "ERRORS") as which]:
            return (Number.ERRORS if which == "ERRORS" else Number.WARNINGS,)
        case ["SELECT", *_]:
            return _columns(tokens[1:])
    return None


def opens_what_it_shows(text: bytes, modes: int) -> bool:
    """Is it SHOW CREATE TABLE and the like? The other SHOWs of a table, and DESCRIBE, are queries of the information
    schema: where they find no such table or schema, MariaDB has not begun them, and ROW_COUNT() is what it was.
    """
    tokens = _tokens(text, modes)
    return len(tokens) > 1 and tokens[1].upper == "CREATE"


def _tokens(text: bytes, modes: int) -> Sequence[Token]:
    """() where it can't be read, or is longer than questions are."""
    if modes & Modes.FOREIGN or len(text) > 1024:
        return ()
    try:
        return tokenize(text.decode("latin-1"), modes)
    except UnreadableError:
        return ()


def _end(tokens: Sequence[Token]) -> int:
    """Behind the last token that says something: a semicolon and FROM DUAL do not."""
    end = len(tokens)
    while end and tokens[end - 1].text == ";":
        end -= 1
    return end - 2 if [token.upper for token in tokens[end - 2 : end]] == ["FROM", "DUAL"] else end


def _listing(tokens: Sequence[Token], words: Sequence[str], *, errors: bool) -> Listing | None:
    numbers = [int(token.text) for token in tokens if token.kind == NUMBER and token.text.isdecimal()]
    match words:
        case []:
            return Listing(errors)
        case ["LIMIT", _] if len(numbers) == 1:
            return Listing(errors, 0, numbers[0])
        case ["LIMIT", _, ",", _] if len(numbers) == 2:
            return Listing(errors, numbers[0], numbers[1])
        case ["LIMIT", _, "OFFSET", _] if len(numbers) == 2:
            return Listing(errors, numbers[1], numbers[0])
    return None


def _columns(tokens: Sequence[Token]) -> tuple[Number, ...] | None:
    found: list[Number] = []
    at = 0
    while True:
        number, at = _number(tokens, at)
        if number is None:
            return None
        found.append(number)
        if at < len(tokens) and tokens[at].kind == WORD and tokens[at].upper == "AS":
            at += 1
            if at == len(tokens):
                return None
        if at < len(tokens) and tokens[at].kind in (WORD, QUOTED, STRING):
            if tokens[at].kind == WORD and tokens[at].upper in ("INTO", "LIMIT", "FROM", "WHERE", "UNION", "FOR"):
                return None
            at += 1
        if at == len(tokens):
            return tuple(found)
        if tokens[at].text != ",":
            return None
        at += 1


def _number(tokens: Sequence[Token], at: int) -> tuple[Number | None, int]:
    """The number that stands there, and what follows it."""
    texts = [token.upper for token in tokens[at : at + 4]]
    if tokens[at : at + 1] and tokens[at].kind == SYSTEM:
        if len(texts) == 4 and texts[1] in ("SESSION", "LOCAL") and texts[2] == ".":
            return _VARIABLES.get(texts[3]), at + 4
        return _VARIABLES.get(texts[1]) if len(texts) > 1 else None, at + 2
    if texts[1:3] == ["(", ")"] and tokens[at].kind == WORD:
        return _CALLS.get(texts[0]), at + 3
    return None, at
