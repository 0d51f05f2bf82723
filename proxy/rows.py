"""Which rows a command is about, by its literals or parameters and the unique keys of its table; and what a client says
of it in a comment.

Asked only where it matters: for tables that are fought over, or where placement is by key. It must not know what is
done with them.
"""

import re
from typing import TYPE_CHECKING, Final

from proxy.wire.attributes import query_text
from proxy.wire.constants import COM_STMT_EXECUTE
from proxy.wire.framing import payload_of
from proxy.wire.parameters import parameters
from proxy.wire.prepared import ExecuteView, unnamed
from router.conditions import Condition, conditions, literal, rows
from router.tokens import UnreadableError, tokenize

if TYPE_CHECKING:
    from proxy.relay import Relay
    from proxy.request import Prepared, Request

HINT_WITHIN: Final = 256
"""Bytes of a text among which a hint begins."""

LONGEST: Final = 4096
"""Bytes of a text that is read for its rows."""

MAX_KNOWN: Final = 5000

_HINT: Final = re.compile(rb"/\*\s*multiwriter:\s*key\s*=\s*([^*\s]{1,64})\s*\*/")


class KnownRows:
    """The rows of the texts that came last: two generations, of which the old one is dropped when the young is full."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._old: dict[tuple[object, ...], tuple[str, ...]] = {}

    def get(self, key: tuple[object, ...]) -> tuple[str, ...] | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: tuple[object, ...], value: tuple[str, ...]) -> None:
        if len(self._young) >= MAX_KNOWN:
            self._old, self._young = self._young, {}
        self._young[key] = value


def hint_of(request: "Request") -> str | None:
    """The key in a comment `/* multiwriter: key=... */` at the beginning of the text."""
    raw = request.raw if request.prepared is None else request.prepared.raw
    at = raw.find(b"multiwriter:", 0, HINT_WITHIN)
    if at < 0:
        return None
    found = _HINT.search(raw, 0, 2 * HINT_WITHIN)
    return found[1].decode("latin-1") if found is not None else None


def rows_of(relay: "Relay", request: "Request", table: str) -> tuple[str, ...]:
    """Names of the rows of `table` that the statement is about; () if that is not known."""
    compares = request.statement.compares
    if not compares:
        return ()
    definition = relay.cluster.table(table)
    # Where nobody knows its keys, a single column that is compared with a value is likely to be one.
    likely = (compares,) if len(compares) == 1 else ()
    unique = likely if definition is None else definition.keys
    if not any(all(column in compares for column in columns) for columns in unique):
        return ()
    if request.code == COM_STMT_EXECUTE:
        assert request.prepared is not None
        found = _by_parameters(request, request.prepared, attributes=relay.attributes)
        return tuple(f"{table}:{','.join(map(str, row))}" for row in rows(found, unique))
    if len(request.raw) > LONGEST:
        return ()
    known = relay.cluster.known_rows
    key = (request.raw, table, unique, relay.modes)
    names = known.get(key)
    if names is None:
        names = tuple(f"{table}:{','.join(map(str, row))}" for row in rows(_read_query(relay, request), unique))
        known.put(key, names)
    return names


def _read_query(relay: "Relay", request: "Request") -> tuple[Condition, ...]:
    payload = payload_of(request.raw)
    return _read(query_text(payload) if relay.attributes else payload[1:], relay.modes)


def _read(text: bytes, modes: int) -> tuple[Condition, ...]:
    try:
        return conditions(tokenize(text.decode("latin-1"), modes))
    except (UnreadableError, ValueError):
        return ()


def _by_parameters(request: "Request", prepared: "Prepared", *, attributes: bool) -> list[Condition]:
    """The conditions with the values of this execution in place of its parameters."""
    if prepared.conditions is None:
        prepared.conditions = _read(payload_of(prepared.raw)[1:], prepared.state.modes)
    places = [value for condition in prepared.conditions for value in condition.values if isinstance(value, int)]
    given: list[str | None] = []
    if places:
        view = ExecuteView(request.raw, prepared.num_params, attributes=attributes)
        types = view.types or request.types
        if types is None:
            return []
        raw, types = (view.plain(request.raw), unnamed(types)) if attributes else (request.raw, types)
        given = parameters(raw, types, max(places) + 1, bool(request.long_data))
    found: list[Condition] = []
    for column, values in prepared.conditions:
        meant: list[str] = []
        for value in values:
            text = value if isinstance(value, str) else given[value] if value < len(given) else None
            if text is None:
                break
            meant.append(literal(text) if isinstance(value, int) else text)
        else:
            found.append(Condition(column, tuple(meant)))
    return found
