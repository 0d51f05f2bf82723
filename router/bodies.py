"""What runs unseen when a statement is: the definitions of views, and the bodies of triggers and stored functions.

Upper bounds again. A body is understood only if each of its statements is of a kind that leaves nothing behind, or
what it leaves is found; anything else might do anything. It must not know which objects there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from router.assignments import split, user_variable
from router.effects import Effects
from router.hidden import ANYTHING, Hidden
from router.tokens import USER_VARIABLE, WORD, Token, UnreadableError, has_word, tokenize
from router.variables import modes_of

_OPENS: Final = frozenset({"BEGIN", "THEN", "ELSE", "DO", "LOOP", "REPEAT"})
_HARMLESS: Final = frozenset({
    "BEGIN", "END", "IF", "ELSEIF", "ELSE", "CASE", "WHEN", "LOOP", "REPEAT", "UNTIL", "WHILE", "LEAVE", "ITERATE",
    "RETURN", "DECLARE", "SET", "SELECT", "SIGNAL", "RESIGNAL", "OPEN", "FETCH", "CLOSE",
})  # fmt: skip
_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})


def read_view(definition: str, effects: Effects) -> Hidden:
    """A view, by its SELECT; nothing is known of one whose definition may not be seen."""
    return _read(definition, 0, None, effects) if definition else ANYTHING


def read_body(body: str, sql_mode: str, parameters: Sequence[str], effects: Effects) -> Hidden:
    """A trigger or a function. `parameters`: their names, in lower case."""
    return _read(body, modes_of(f"'{sql_mode}'"), parameters, effects) if body else ANYTHING


def _read(text: str, modes: int, parameters: Sequence[str] | None, effects: Effects) -> Hidden:
    if modes > 3:
        return ANYTHING
    try:
        tokens = tokenize(text, modes)
    except UnreadableError:
        return ANYTHING
    scan = effects.scan(tokens, None)
    local = {*(parameters or ()), *_declared(tokens)}
    writes = False
    for statement in _statements(tokens) if parameters is not None else ():
        word = statement[0].upper if statement[0].kind == WORD else ""
        if word in _WRITES:
            writes = True
        elif word not in _HARMLESS:
            return ANYTHING
        if word == "DECLARE" and has_word(statement, ("HANDLER",)):
            words = [token.upper for token in statement]
            if words[-1] == "BEGIN":
                continue
            if "SET" not in words:
                return ANYTHING
            statement, word = statement[words.index("SET") :], "SET"
        if word == "SET":
            for part in split(statement[1:]):
                if not part:
                    return ANYTHING
                if part[0].kind == USER_VARIABLE:
                    scan.assigns(user_variable(part[0]))
                elif part[0].name not in local and [token.upper for token in part[:2]] != ["NEW", "."]:
                    return ANYTHING  # a variable of the session
    return Hidden(
        pins=scan.pins,
        held=scan.held,
        unreplayable=scan.unreplayable,
        nondeterministic=scan.nondeterministic,
        writes=writes or scan.files,
        asks=scan.asks,
        sees_guard=scan.sees_guard,
        connection_id=scan.connection_id,
        mentions=frozenset(token.name for token in tokens if token.is_name),
    )


def _statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The statements of a body, each up to its semicolon, or to where another one begins in it."""
    start = expressions = 0
    for index, token in enumerate(tokens):
        if token.kind == WORD and token.upper == "CASE" and index > start and tokens[index - 1].upper != "END":
            expressions += 1
        elif expressions:
            expressions -= token.kind == WORD and token.upper == "END"
        elif index == start and index + 1 < len(tokens) and token.is_name and tokens[index + 1].text == ":":
            start = index + 2  # a label
        elif index < start:
            continue
        elif token.text == ";" or _opens(tokens, index):
            if token.text != ";" or index > start:
                end = index if token.text == ";" else index + 1
                yield tokens[start:end]
            start = index + 1
    if start < len(tokens):
        yield tokens[start:]


def _opens(tokens: Sequence[Token], index: int) -> bool:
    """Does another statement begin behind this word?"""
    word = tokens[index].upper if tokens[index].kind == WORD else ""
    if word == "REPEAT":
        return index + 1 >= len(tokens) or tokens[index + 1].text != "("
    return word in _OPENS


def _declared(tokens: Sequence[Token]) -> Iterator[str]:
    """Local variables: DECLARE a, b INT."""
    for index, token in enumerate(tokens):
        if token.kind == WORD and token.upper == "DECLARE":
            at = index + 1
            while at < len(tokens) and tokens[at].is_name:
                yield tokens[at].name
                if at + 1 >= len(tokens) or tokens[at + 1].text != ",":
                    break
                at += 2


def resolved(hidden: Hidden, of_name: "dict[str, Hidden]") -> Hidden:
    """With what the objects do that it mentions, and those that they mention."""
    seen: set[str] = set()
    todo = set(hidden.mentions)
    found = hidden
    while todo:
        name = todo.pop()
        if name in seen or name not in of_name:
            continue
        seen.add(name)
        found = found.joined(of_name[name])
        todo |= of_name[name].mentions
    return replace(found, mentions=frozenset())
