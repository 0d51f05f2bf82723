"""Texts that differ only in the digits of their literals, known again without being read.

An application sends the same statements again and again with other numbers in them. With each digit made a zero, which
is one pass over the bytes, such texts are one *shape*. The digits that belong to names stand at the same places in all
texts of a shape, and have to be looked at: `t1` and `t2` are two tables.

It must not know statements: what is remembered by shape is the caller's.
"""

import re
from typing import Final, Generic, TypeVar

from router.normalize import folded

T = TypeVar("T")

# What is one shape: each digit a zero.
ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
MOST_VARIANTS: Final = 64
"""Names that are remembered of one shape."""

Places = tuple[tuple[int, int], ...]

_DIGITS: Final = re.compile(rb"[0-9]+")
# Digits that are a name or a number depending on which they are: 0x1 is a number, 1x1 a name.
_AMBIGUOUS: Final = re.compile(rb"(?<![A-Za-z0-9_$\x80-\xff`@.?])[0-9]+[A-Za-z_$\x80-\xff]")
_PLAIN_NUMBER: Final = re.compile(rb"[0-9.]+")


class Shape(Generic[T]):
    """What is known of the texts of one shape. `places`: of the digits in names, as offsets."""

    __slots__ = ("_only", "_places", "_variants")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._only: T | None = None  # where no name has a digit
        self._variants: dict[bytes, T] = {}  # by the digits in names

    def get(self, text: bytes) -> T | None:
        places = self._places
        if not places:
            return self._only
        return self._variants.get(self._names(text))

    def put(self, text: bytes, value: T) -> None:
        if not self._places:
            self._only = value
            return
        if len(self._variants) >= MOST_VARIANTS:
            self._variants.clear()
        self._variants[self._names(text)] = value

    def _names(self, text: bytes) -> bytes:
        places = self._places
        if len(places) == 1:
            start, end = places[0]
            return text[start:end]
        return b"".join([text[start:end] for start, end in places])


def places_of_names(text: bytes, modes: int) -> Places | None:
    """Where the digits are that do not belong to literals; None where that depends on which digits they are.

    What decides where a literal is (`router.normalize`) looks at digits as such, but for prefixes like 0x.
    """
    spans = folded(text, modes)
    if spans is None:
        return None
    places: list[tuple[int, int]] = []
    at = 0
    for start, end in (*spans, (len(text), len(text))):
        if _AMBIGUOUS.search(text, at, start):
            return None
        places += [match.span() for match in _DIGITS.finditer(text, at, start)]
        first = text[start : start + 1]
        if (first.isdigit() or first == b".") and not _PLAIN_NUMBER.fullmatch(text, start, end):
            return None
        at = end
    return tuple(places)
