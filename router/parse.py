"""The door to sqlglot: which tables a statement names. Nothing else is asked of it.

Statements on one table, by far the most, are read without it, which saves the time that it takes: for each new form,
and, since it is imported when it is first asked, to be ready after the start.

The text it gets is made of our own tokens (see `router.tokens`), so that both read the same; a text that sqlglot
does not understand is not an error of the client's, it only means that nothing is known.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from router.tokens import (
    NUMBER,
    PARAMETER,
    QUOTED,
    STRING,
    USER_VARIABLE,
    WORD,
    Token,
    has_word,
    name_at,
    table_name,
)

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.dialects.mysql import MySQL

# sqlglot descends by recursion, in compiled code that no interpreter limit guards.
MAX_TOKENS: Final = 2000
MAX_DEPTH: Final = 40
# A join without a condition of its own doubles its work.
MAX_OPEN_JOINS: Final = 5

_MODIFIED: Final = frozenset({"UPDATE", "DELETE", "LOW_PRIORITY", "QUICK"})

# Words that change nothing about the tables, and that sqlglot does not know in every place.
_LEFT_OUT: Final = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "QUICK", "SQL_NO_CACHE", "SQL_CACHE"})

# What may stand behind the only table of a statement; and what, anywhere, may bring in others, or hide the first one.
_BEHIND: Final[Mapping[str, frozenset[str]]] = {
    "SELECT": frozenset({"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "FOR", "LOCK"}),
    "DELETE": frozenset({"WHERE", "ORDER", "LIMIT", "RETURNING"}),
    "UPDATE": frozenset({"SET"}),
}
_OTHERS: Final = (
    "SELECT", "FROM", "JOIN", "STRAIGHT_JOIN", "UNION", "EXCEPT", "INTERSECT", "MINUS", "WITH", "TABLE", "VALUES",
    "INTO", "PROCEDURE",
)  # fmt: skip


@cache
def dialect() -> "MySQL":
    """sqlglot's MySQL. The first call imports it, for a tenth of a second or so."""
    from sqlglot.dialects.mysql import MySQL

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it logs what it falls back on; we see that in the tree
    return MySQL()


def tables(tokens: Sequence[Token]) -> tuple[str, ...] | None:
    """The tables of one SELECT, INSERT, UPDATE, DELETE, REPLACE, VALUES or TABLE, lower case, in their order.

    Names of common table expressions and derived tables are not among them. None: not known.
    """
    only = _only_table(tokens)
    return parsed(tokens) if only is None else (only,)


def _only_table(tokens: Sequence[Token]) -> str | None:
    """The table of SELECT .. FROM t, DELETE FROM t or UPDATE t, if nothing in it could name another one. None: ask."""
    verb = tokens[0].upper if tokens[0].kind == WORD else ""
    if verb not in _BEHIND:
        return None
    at = 1
    if verb != "UPDATE":
        at = next((at for at, token in enumerate(tokens) if token.kind == WORD and token.upper == "FROM"), 0) + 1
        if at == 1 or (verb == "DELETE" and at != 2) or _is_open(tokens[:at]):
            return None  # EXTRACT(.. FROM ..), and the like
    name = name_at(tokens, at)
    rest = tokens[name.stop :]
    if not name or (rest and (rest[0].kind != WORD or rest[0].upper not in _BEHIND[verb])):
        return None
    if has_word(tokens[1 : max(1, at - 1)], _OTHERS) or has_word(rest, _OTHERS):
        return None
    found = table_name(tokens, name)
    return None if found == "dual" or tokens[at].upper in _OTHERS else found


def _is_open(tokens: Sequence[Token]) -> bool:
    """It ends within parentheses."""
    return sum((token.text == "(") - (token.text == ")") for token in tokens) != 0


def parsed(tokens: Sequence[Token]) -> tuple[str, ...] | None:
    """The same, always by sqlglot."""
    from sqlglot.errors import SqlglotError

    if len(tokens) > MAX_TOKENS or _open_joins(tokens) > MAX_OPEN_JOINS:
        return None
    text = _render(_without_into(tokens))
    if text is None:
        return None
    try:
        found = dialect().parse(text)
    except (SqlglotError, RecursionError, ValueError, IndexError, KeyError, AttributeError, TypeError):
        return None
    if len(found) != 1 or found[0] is None:
        return None
    return _tables(found[0])


def _open_joins(tokens: Sequence[Token]) -> int:
    """How many joins have no condition ahead of the next join."""
    count = 0
    waiting = False
    before = ""
    for token in tokens:
        if token.kind != WORD:
            continue
        word = token.upper
        if word in ("JOIN", "STRAIGHT_JOIN"):
            count += waiting
            waiting = before not in ("CROSS", "NATURAL")
        elif word in ("ON", "USING"):
            waiting = False
        before = word
    return count + waiting


def _without_into(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without INTO @a, @b or INTO OUTFILE 'name', which sqlglot knows in one of their places at most."""
    for index, token in enumerate(tokens):
        if token.kind == WORD and token.upper == "INTO" and index + 1 < len(tokens):
            end = index + 1
            if tokens[end].kind == USER_VARIABLE:
                while end + 2 < len(tokens) and tokens[end + 1].text == "," and tokens[end + 2].kind == USER_VARIABLE:
                    end += 2
            elif tokens[end].upper in ("OUTFILE", "DUMPFILE"):
                end += 1
            else:
                continue
            return [*tokens[:index], *tokens[end + 1 :]]
    return tokens


def _render(tokens: Sequence[Token]) -> str | None:
    """The text for sqlglot: literals made short, long lists of them cut. None when it is nested too deeply."""
    pieces: list[str] = []
    depth = 0
    unary = 0
    for index, token in enumerate(tokens):
        text = token.text
        kind = token.kind
        unary = unary + 1 if text in "!~-+" or token.upper == "NOT" else 0
        if unary > MAX_DEPTH:
            return None
        if kind == WORD:
            if token.upper in _LEFT_OUT or (token.upper == "IGNORE" and index and tokens[index - 1].upper in _MODIFIED):
                continue
            if index == 0 and token.upper == "REPLACE":
                text = "INSERT"
            elif _introduces(tokens, index):
                continue
        elif kind == QUOTED:
            text = f"`{token.upper.replace('`', '``')}`"
        elif kind == STRING:
            text = "''"
        elif kind in (NUMBER, PARAMETER):
            text = "1"
        elif text == "(":
            depth += 1
            if depth > MAX_DEPTH:
                return None
        elif text == ")":
            depth -= 1
        elif text == "..." or (text == "," and index + 1 < len(tokens) and tokens[index + 1].text == "..."):
            continue
        pieces.append(f" {text}" if token.spaced else text)
    return "".join(pieces)


def _introduces(tokens: Sequence[Token], index: int) -> bool:
    """Whether a word is the character set of the literal behind it, or the N, X or B of a literal that was folded."""
    if index + 1 == len(tokens):
        return False
    word, after = tokens[index].upper, tokens[index + 1]
    if word[0] == "_":
        return after.kind in (STRING, NUMBER, PARAMETER)
    return word in ("N", "X", "B") and after.kind == PARAMETER and not after.spaced


def _tables(tree: "exp.Expr") -> tuple[str, ...] | None:
    from sqlglot import exp

    found: list[str] = []
    defined = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for node in tree.walk():
        if isinstance(node, exp.Command):
            return None
        if not isinstance(node, exp.Table):
            continue
        this = node.this
        if not isinstance(this, exp.Identifier):
            if isinstance(this, (exp.Parameter, exp.JSONTable)) or (
                isinstance(this, exp.Anonymous) and str(this.this).upper() == "JSON_TABLE"
            ):
                continue
            return None
        name: str = this.this.lower()
        if node.catalog:
            return None
        if node.db:
            name = f"{node.db.lower()}.{name}"
        elif name == "dual" or (name in defined and not _within_its_own(node, name)):
            continue
        if name not in found:
            found.append(name)
    return tuple(found)


def _within_its_own(node: "exp.Expr", name: str) -> bool:
    """Within WITH x AS (.. x ..), the inner x is a base table, unless the expression is recursive."""
    from sqlglot import exp

    above = node.parent
    while above is not None:
        if isinstance(above, exp.CTE) and above.alias.lower() == name:
            return not (isinstance(above.parent, exp.With) and above.parent.args.get("recursive"))
        above = above.parent
    return False
