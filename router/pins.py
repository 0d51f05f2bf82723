"""What binds a session to its backend, by reason and name, and when it has ended.

A reason that came with names ends with the last of them. One that came without, or beside another in the same
statement, stays until a reset. It must not know how a statement shows what it leaves or ends.
"""

from collections.abc import Sequence

from router.facts import PinReason

CHARSET = "@@"
"""In place of a name: the collation of a string in a user variable is no longer that of the connection."""

REPORT = "schema"
"""In place of a name: the server's report of the schema waits for its next OK."""

NEXT = "transaction"
"""In place of a name: only the server knows whether a SET TRANSACTION still waits for its transaction."""

SOME = "0"
"""In place of a name: one or more that were not counted."""


class Pins:
    """The oldest reason comes first."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[PinReason, set[str] | None] = {}  # None: until a reset

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return f"<Pins {' '.join(f'{reason.value}={sorted(held or ())}' for reason, held in self._held.items())}>"

    @property
    def reason(self) -> str | None:
        """What is said when somebody asks for one."""
        for reason in self._held:
            return reason.value
        return None

    def any_of(self, reasons: frozenset[PinReason]) -> bool:
        return bool(self._held) and not reasons.isdisjoint(self._held)

    def hold(self, reason: PinReason, names: Sequence[str]) -> None:
        """`names`: empty where they are not known."""
        held = self._held.setdefault(reason, set())
        if not names:
            self._held[reason] = None
        elif held is not None:
            held.update(names)

    def free(self, reason: PinReason, name: str) -> None:
        """`name` as in `Statement.frees`."""
        held = self._held.get(reason)
        if held is None:
            return
        if name == "?":
            self._held[reason] = None
            return
        if name == "":
            held.clear()
        else:
            held.discard(name)
        if not held:
            del self._held[reason]

    def holds(self, reason: PinReason, name: str) -> bool:
        return name in (self._held.get(reason) or ())

    def free_one(self, reason: PinReason) -> None:
        """One of those that were counted, no matter which."""
        for name in self._held.get(reason) or ():
            if name != SOME:
                self.free(reason, name)
                return

    def count(self, reason: PinReason) -> None:
        """One more of those that are only counted."""
        held = self._held.get(reason, set())
        if held is not None:
            self.hold(reason, (str(max(map(int, held), default=0) + 1),))

    def clear(self) -> None:
        """All has gone: the connection was reset, or is another."""
        self._held.clear()
