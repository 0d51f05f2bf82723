"""What a statement does beside what its text says, by the objects that it names: `Hidden`.

Data only. It must not know how it is found.
"""

from dataclasses import dataclass, field
from typing import Final

from router.facts import PinReason, Unreplayable


@dataclass(frozen=True, slots=True)
class Hidden:
    """`mentions`: every name in its text; some are of tables, some of functions."""

    pins: PinReason | None = None
    held: tuple[str, ...] = ()
    unreplayable: Unreplayable | None = None
    nondeterministic: bool = False
    writes: bool = False
    asks: int = 0
    sees_guard: bool = False
    connection_id: bool = False
    mentions: frozenset[str] = field(default=frozenset(), compare=False)

    def __bool__(self) -> bool:
        return self != HARMLESS

    def joined(self, other: "Hidden") -> "Hidden":
        """Both of them."""
        pins, held = self.pins or other.pins, self.held or other.held
        if self.pins is not None and other.pins is not None:
            worst = PinReason.UNCLASSIFIED in (self.pins, other.pins)
            pins = PinReason.UNCLASSIFIED if worst else self.pins
            held = tuple(dict.fromkeys(self.held + other.held)) if self.pins is other.pins and self.held else ()
            held = held if other.held else ()
        return Hidden(
            pins=pins,
            held=held,
            unreplayable=self.unreplayable or other.unreplayable,
            nondeterministic=self.nondeterministic or other.nondeterministic,
            writes=self.writes or other.writes,
            asks=self.asks | other.asks,
            sees_guard=self.sees_guard or other.sees_guard,
            connection_id=self.connection_id or other.connection_id,
            mentions=self.mentions | other.mentions,
        )


HARMLESS: Final = Hidden()
ANYTHING: Final = Hidden(
    pins=PinReason.UNCLASSIFIED, unreplayable=Unreplayable.UNCLASSIFIED, writes=True, sees_guard=True,
    connection_id=True,
)  # fmt: skip
NONTRANSACTIONAL: Final = Hidden(unreplayable=Unreplayable.NONTRANSACTIONAL)
