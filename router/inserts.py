"""What an INSERT or REPLACE says of its rows, found in its tokens: the table, the columns, whether it is one row.

It must not know what is in the rows, nor what is made of the answers.
"""

from collections.abc import Sequence
from typing import Final

from router.tokens import WORD, Token, has_word, name_at

_MODIFIERS: Final = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "INTO"})


def target_of(tokens: Sequence[Token], at: int) -> range | None:
    """The tokens that name the table, behind the verb at `at`; None: there is none, or who writes it is not known."""
    at += 1
    while at < len(tokens) and tokens[at].kind == WORD and tokens[at].upper in _MODIFIERS:
        if tokens[at].upper == "DELAYED":
            return None  # another connection writes it, some time
        at += 1
    target = name_at(tokens, at)
    return target if len(target) else None


def inserts_one_row(tokens: Sequence[Token]) -> bool:
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


def given(tokens: Sequence[Token], target: range) -> tuple[str, ...]:
    """The columns that it names, where it leaves no row as it is."""
    return () if has_word(tokens, ("IGNORE", "DUPLICATE")) else columns_of(tokens, target)


def columns_of(tokens: Sequence[Token], target: range) -> tuple[str, ...]:
    """The columns that it names, in parentheses or behind SET, without their table's name."""
    at = target.stop
    if at >= len(tokens):
        return ()
    if tokens[at].upper == "SET":
        return _assigned(tokens, at)
    if tokens[at].text != "(":
        return ()
    found: list[str] = []
    while name := name_at(tokens, at + 1):
        found.append(tokens[name.stop - 1].name)
        at = name.stop
        if at >= len(tokens) or tokens[at].text != ",":
            break
    return tuple(found) if at < len(tokens) and tokens[at].text == ")" else ()


def _assigned(tokens: Sequence[Token], at: int) -> tuple[str, ...]:
    """The columns ahead of each "=" behind SET, which is at `at`."""
    found: list[str] = []
    depth = 0
    for index in range(at + 1, len(tokens) - 1):
        text = tokens[index].text
        depth += (text == "(") - (text == ")")
        begins = index == at + 1 or tokens[index - 1].text in (",", ".")
        if depth == 0 and begins and tokens[index].is_name and tokens[index + 1].text in ("=", ":="):
            found.append(tokens[index].name)
    return tuple(found)
