"""Classification: what a text of SQL is, what it may do and what it may leave behind, found once and remembered.

The door for everybody else; the work is in `router.reading`. It must not know sessions, nor what is done with facts.
"""

from typing import Final, Generic, TypeVar

from router.catalog import NOTHING_KNOWN, Catalog
from router.digits import ZEROS, Shape, places_of_names
from router.facts import (
    Asks,
    Begin,
    End,
    Kind,
    Modes,
    PinReason,
    Statement,
    Unreplayable,
    unclassified,
)
from router.normalize import normalize
from router.reading import LITERAL_KINDS, Reader, by_first_word

__all__ = [
    "Asks",
    "Begin",
    "Classifier",
    "End",
    "Kind",
    "Modes",
    "PinReason",
    "Statement",
    "Unreplayable",
    "unclassified",
]

# A longer text is not remembered as it is.
LONGEST_KEPT: Final = 64 * 1024
# A longer text is not looked at beyond its first word: that would keep the loop too long.
LONGEST_READ: Final = 256 * 1024
# A text up to this length is read as it is, a longer one by its form.
LONGEST_EXACT: Final = 4 * 1024
# Texts that begin so have no use for their form.
_BY_LITERAL: Final = frozenset({b"SET ", b"USE ", b"KILL"})


T = TypeVar("T")


class Generations(Generic[T]):
    """A bounded map: two generations, of which the old one is dropped when the young one is full.

    What is asked for again moves to the young one, so that half of the entries at least are the latest used.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_entries", "old", "young")

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.young: dict[bytes, T] = {}
        self.old: dict[bytes, T] = {}
        self._bytes = 0
        self._max_entries = max(1, max_entries // 2)
        self._max_bytes = max_bytes // 2

    def get(self, key: bytes) -> T | None:
        found = self.young.get(key)
        if found is None:
            found = self.old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: bytes, value: T) -> None:
        if len(self.young) >= self._max_entries or self._bytes + len(key) > self._max_bytes:
            self.old = self.young
            self.young = {}
            self._bytes = 0
        self.young[key] = value
        self._bytes += len(key)

    def __len__(self) -> int:
        return len(self.young) + len(self.old)


class Classifier:
    """Facts by text, remembered by the text's shape (`router.digits`), by its form, or by the exact text.

    cache_size: texts remembered of each; cache_bytes: their length, for each. engine: "mariadb" or "mysql" where it
    is known, which decides whose built-in functions are known. Not for use by several threads.
    """

    __slots__ = ("_engine", "_exact", "_forms", "_reader", "_shapes", "_sizes", "version")

    def __init__(self, cache_size: int = 10000, *, cache_bytes: int = 16 * 1024 * 1024, engine: str | None = None):
        self._engine = engine
        self._sizes = (cache_size, cache_bytes)
        self.version = 0
        """Grows when facts may have become others, which were found before."""
        self.renew(NOTHING_KNOWN)

    def renew(self, catalog: Catalog) -> None:
        """Facts are found anew, with these definitions."""
        self.version += 1
        # By the bits of `Modes` that hold.
        self._shapes: list[Generations[Shape[Statement]]] = [Generations(*self._sizes) for _ in range(Modes.ALL + 1)]
        self._exact: list[Generations[Statement]] = [Generations(*self._sizes) for _ in range(Modes.ALL + 1)]
        self._forms: list[Generations[Statement]] = [Generations(*self._sizes) for _ in range(Modes.ALL + 1)]
        self._reader = Reader(self._engine, catalog)

    def classify(self, text: bytes, modes: int = 0) -> Statement:
        """The facts about `text`, as the client sent it, under the bits of `Modes` that hold for its session.

        Never raises: what cannot be read is unclassified.
        """
        if len(text) > LONGEST_KEPT:
            return self._classify_long(text, modes)
        key = text.translate(ZEROS)
        shape = self._shapes[modes].get(key)
        found = shape.get(text) if shape is not None else self._exact[modes].get(text)
        return found if found is not None else self._learn(text, modes, key, shape)

    def _learn(self, text: bytes, modes: int, key: bytes, shape: Shape[Statement] | None) -> Statement:
        found = self._by_form(text, modes)
        if shape is None and not self._is_read_literally(text, found, modes):
            places = places_of_names(text, modes)
            if places is not None:
                shape = Shape(places)
                self._shapes[modes].put(key, shape)
        if shape is not None:
            shape.put(text, found)
        else:
            self._exact[modes].put(text, found)
        return found

    @staticmethod
    def _is_read_literally(text: bytes, found: Statement, modes: int) -> bool:
        """The facts may depend on its literals."""
        return bool(modes & Modes.FOREIGN) or text[:4].upper() in _BY_LITERAL or found.kind in LITERAL_KINDS

    def _by_form(self, text: bytes, modes: int) -> Statement:
        if modes & Modes.FOREIGN:
            return by_first_word(text[:64].decode("latin-1"))
        if text[:4].upper() in _BY_LITERAL:
            return self._reader.read(text.decode("latin-1"), modes)
        form = normalize(text, modes)
        forms = self._forms[modes]
        found = forms.get(form)
        if found is not None:
            return found
        source = text if len(text) <= LONGEST_EXACT or len(form) == len(text) else form
        found = self._reader.read(source.decode("latin-1"), modes)
        if found.kind in LITERAL_KINDS:
            if source is not text:
                found = self._reader.read(text.decode("latin-1"), modes)
        else:
            forms.put(form, found)
        return found

    def _classify_long(self, text: bytes, modes: int) -> Statement:
        if len(text) > LONGEST_READ or modes & Modes.FOREIGN:
            return by_first_word(text[:64].decode("latin-1"))
        form = normalize(text, modes)
        if len(form) > LONGEST_KEPT:
            return by_first_word(text[:64].decode("latin-1"))
        found = self._forms[modes].get(form)
        if found is not None:
            return found
        found = self._reader.read(form.decode("latin-1"), modes)
        if found.kind in LITERAL_KINDS:
            return by_first_word(text[:64].decode("latin-1"))
        self._forms[modes].put(form, found)
        return found
