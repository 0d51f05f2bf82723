"""What the expressions of a statement may do, seen in its tokens without its grammar.

A name with a parenthesis behind it is a call, unless it stands where only the name of a table or of columns can. It
must not know which statement the expressions belong to.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from router import functions
from router.assignments import user_variable
from router.facts import Asks, PinReason, Unreplayable
from router.hidden import Hidden
from router.pins import SOME
from router.tokens import SYSTEM, USER_VARIABLE, WORD, Token


class Scan:
    """What the expressions of a statement do, read from its tokens without knowing its grammar."""

    __slots__ = (
        "asks", "calculates_found_rows", "connection_id", "files", "locks", "nondeterministic", "pins", "reasons",
        "sees_guard", "sequence", "unreplayable", "user_variables", "writes_unseen",
    )  # fmt: skip

    def __init__(self) -> None:
        self.asks = 0
        self.calculates_found_rows = False
        self.connection_id = False
        self.files = False
        self.locks = False
        self.nondeterministic = False
        self.pins: PinReason | None = None
        self.reasons: set[PinReason] = set()
        self.sees_guard = False
        self.sequence = False
        self.unreplayable: Unreplayable | None = None
        self.writes_unseen = False
        self.user_variables: dict[str, None] | None = {}  # those that are assigned to; None: not all are known

    def take(self, hidden: Hidden) -> None:
        """What an object does that the statement names."""
        if hidden.pins is not None:
            self.pin(hidden.pins, hidden.unreplayable)
            if not hidden.held:
                self.user_variables = None
            elif self.user_variables is not None:
                self.user_variables.update(dict.fromkeys(hidden.held))
        self.unreplayable = self.unreplayable or hidden.unreplayable
        self.nondeterministic = self.nondeterministic or hidden.nondeterministic
        self.writes_unseen = self.writes_unseen or hidden.writes
        self.asks |= hidden.asks
        self.sees_guard = self.sees_guard or hidden.sees_guard
        self.connection_id = self.connection_id or hidden.connection_id

    def assigns(self, name: str | None) -> None:
        self.pin(PinReason.USER_VARIABLE, Unreplayable.USER_VARIABLE)
        if name is None:
            self.user_variables = None
        elif self.user_variables is not None:
            self.user_variables[name] = None

    @property
    def held(self) -> tuple[str, ...]:
        if self.reasons == {PinReason.USER_VARIABLE}:
            return tuple(self.user_variables or ())
        if self.reasons == {PinReason.GET_LOCK}:
            return (SOME,)
        return ()

    def pin(self, reason: PinReason, unreplayable: Unreplayable | None) -> None:
        self.reasons.add(reason)
        if self.pins is None or reason is PinReason.UNCLASSIFIED:
            self.pins = reason
        if self.unreplayable is None or unreplayable is Unreplayable.UNCLASSIFIED:
            self.unreplayable = unreplayable or self.unreplayable


class Effects:
    """Looks at the expressions of one engine: "mariadb", "mysql", or None where it is not known which."""

    __slots__ = ("_functions", "_harmless", "_nondeterministic")

    def __init__(self, engine: str | None = None, known: Mapping[str, Hidden] = MappingProxyType({})) -> None:
        """`known`: stored functions by name, in lower case, with and without their schema."""
        self._functions = known
        self._harmless = functions.HARMLESS
        self._nondeterministic = functions.NONDETERMINISTIC
        if engine == "mariadb":
            self._harmless |= functions.HARMLESS_MARIADB
            self._nondeterministic |= functions.NONDETERMINISTIC_MARIADB
        elif engine == "mysql":
            self._harmless |= functions.HARMLESS_MYSQL

    def scan(self, tokens: Sequence[Token], target: range | None) -> Scan:
        """Look at each token that may have an effect. `target`: the tokens that name the table of an INSERT."""
        scan = Scan()
        count = len(tokens)
        for index, token in enumerate(tokens):
            kind = token.kind
            after = tokens[index + 1] if index + 1 < count else None
            if kind == USER_VARIABLE:
                if _in_into(tokens, index) or (after is not None and after.text == ":="):
                    scan.assigns(user_variable(token))
            elif kind == SYSTEM:
                _system_variable(tokens, index, scan)
            elif kind > 1:
                continue
            elif after is not None and after.text == "(":
                if target is None or index not in target:
                    self._call(tokens, index, scan)
            elif kind == WORD:
                _keyword(tokens, index, scan)
        return scan

    def _call(self, tokens: Sequence[Token], index: int, scan: Scan) -> None:
        """A name with a parenthesis behind it."""
        token = tokens[index]
        before = tokens[index - 1] if index else None
        if before is not None and (before.upper == "AS" or _defines_cte(tokens, index)):
            return  # the names of columns follow
        name = token.upper
        if token.kind != WORD or (before is not None and before.text == "."):
            self._stored(tokens, index, scan)
        elif name in functions.SYNTAX:
            return
        elif (name in functions.NO_SPACE and tokens[index + 1].spaced) or (
            name in functions.NOT_EMPTY and _is_empty_call(tokens, index)
        ):
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        elif name in self._harmless:
            return
        elif name in self._nondeterministic:
            scan.nondeterministic = True
            if name in ("CONNECTION_ID", "IS_USED_LOCK"):
                scan.connection_id = True
        elif name == "RAND":
            if _is_empty_call(tokens, index):
                scan.nondeterministic = True
        elif name == "LAST_INSERT_ID":
            # Brought along also ahead of what sets it: then the backend has the right one, and it is not set again.
            scan.asks |= Asks.LAST_INSERT_ID
            if not _is_empty_call(tokens, index):
                scan.pin(PinReason.LAST_INSERT_ID, None)
        elif name == "FOUND_ROWS":
            scan.asks |= Asks.FOUND_ROWS
        elif name == "ROW_COUNT":
            scan.asks |= Asks.ROW_COUNT
        elif name == "GET_LOCK":
            scan.pin(PinReason.GET_LOCK, Unreplayable.GET_LOCK)
        elif name in ("RELEASE_LOCK", "RELEASE_ALL_LOCKS"):
            scan.unreplayable = scan.unreplayable or Unreplayable.GET_LOCK
        elif name in ("NEXTVAL", "LASTVAL", "SETVAL"):
            scan.sequence = True
            scan.pin(PinReason.SEQUENCE, Unreplayable.SEQUENCE)
        else:
            self._stored(tokens, index, scan)

    def _stored(self, tokens: Sequence[Token], index: int, scan: Scan) -> None:
        """A function that is not built in."""
        name = tokens[index].name
        if index > 1 and tokens[index - 1].text == ".":
            name = f"{tokens[index - 2].name}.{name}"
        known = self._functions.get(name)
        if known is None:
            scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        else:
            scan.take(known)


def _system_variable(tokens: Sequence[Token], index: int, scan: Scan) -> None:
    at = index + 1
    if at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at].upper in ("SESSION", "LOCAL", "GLOBAL"):
        at += 2
    if at >= len(tokens) or not tokens[at].is_name:
        scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)
        return
    name = tokens[at].name
    if name in ("transaction_read_only", "tx_read_only"):
        scan.sees_guard = True
    elif name in ("warning_count", "error_count"):
        scan.asks |= Asks.WARNINGS
    elif name in ("last_insert_id", "identity"):
        scan.asks |= Asks.LAST_INSERT_ID
    elif name == "pseudo_thread_id":
        scan.connection_id = True


def _keyword(tokens: Sequence[Token], index: int, scan: Scan) -> None:
    """A word with no parenthesis behind it."""
    word = tokens[index].upper
    after = tokens[index + 1].upper if index + 1 < len(tokens) else ""
    if word == "INTO":
        if after in ("OUTFILE", "DUMPFILE"):
            scan.files = True
    elif word == "FOR":
        if after in ("UPDATE", "SHARE"):
            scan.locks = True
    elif word == "LOCK":
        if after == "IN":
            scan.locks = True
    elif word == "SQL_CALC_FOUND_ROWS":
        scan.calculates_found_rows = True
    elif word == "VALUE" and after == "FOR" and index and tokens[index - 1].upper in ("NEXT", "PREVIOUS"):
        scan.sequence = True
        scan.pin(PinReason.SEQUENCE, Unreplayable.SEQUENCE)
    elif word == "PROCEDURE":
        scan.pin(PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED)


def _in_into(tokens: Sequence[Token], index: int) -> bool:
    """Whether a user variable is one of INTO @a, @b."""
    while index > 1 and tokens[index].kind == USER_VARIABLE and tokens[index - 1].text == ",":
        index -= 2
    return index > 0 and tokens[index].kind == USER_VARIABLE and tokens[index - 1].upper == "INTO"


def _is_empty_call(tokens: Sequence[Token], index: int) -> bool:
    return index + 2 < len(tokens) and tokens[index + 2].text == ")"


def _defines_cte(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name is that of WITH name (columns) AS (query)."""
    if index == 0 or tokens[index - 1].upper not in ("WITH", "RECURSIVE", ","):
        return False
    depth = 0
    for at in range(index + 1, len(tokens)):
        text = tokens[at].text
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            if depth == 0:
                return at + 2 < len(tokens) and tokens[at + 1].upper == "AS" and tokens[at + 2].text == "("
    return False
