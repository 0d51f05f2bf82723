"""Query attributes, against bytes written out by hand from the manual's page of COM_QUERY."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.attributes import query_text
from proxy.wire.framing import ProtocolError

TEXT = b"SELECT 'a'"
# One attribute "n" of type TINY with the value 5; as the manual lays it out.
ONE = b"\x03\x01\x01\x00\x01\x01\x00\x01n\x05"
VALUES = [
    (0x01, b"\x05"),  # TINY
    (0x02, b"\x05\x00"),  # SHORT
    (0x03, b"\x05\x00\x00\x00"),  # LONG
    (0x04, bytes(4)),  # FLOAT
    (0x05, bytes(8)),  # DOUBLE
    (0x06, b""),  # NULL
    (0x07, b"\x00"),  # TIMESTAMP, all zero
    (0x08, bytes(8)),  # LONGLONG
    (0x09, bytes(4)),  # INT24
    (0x0A, b"\x04\xe9\x07\x01\x02"),  # DATE
    (0x0B, b"\x08" + bytes(8)),  # TIME
    (0x0C, b"\x0b" + bytes(11)),  # DATETIME
    (0x0D, b"\xe9\x07"),  # YEAR
    (0xF4, b"\x01"),  # BOOL
    (0xF6, b"\x011"),  # NEWDECIMAL
    (0xFC, b"\xfc\x2c\x01" + bytes(300)),  # BLOB
    (0xFD, b"\x03abc"),  # VAR_STRING
    (0xFE, b"\x00"),  # STRING
]


def attributed(values: list[tuple[int, bytes]], nulls: frozenset[int] = frozenset()) -> bytes:
    """A COM_QUERY with attributes of these types and values."""
    bitmap = bytearray((len(values) + 7) // 8)
    for index in nulls:
        bitmap[index // 8] |= 1 << index % 8
    types = b"".join(bytes((kind, 0, 1)) + b"n" for kind, _ in values)
    data = b"".join(value for index, (_, value) in enumerate(values) if index not in nulls)
    return b"\x03" + bytes((len(values), 1)) + bytes(bitmap) + b"\x01" + types + data + TEXT


def test_a_text_without_attributes() -> None:
    assert query_text(b"\x03\x00\x01" + TEXT) == TEXT


def test_a_text_with_one() -> None:
    assert query_text(ONE + TEXT) == TEXT
    assert attributed([(1, b"\x05")]) == ONE + TEXT


@pytest.mark.parametrize("value", VALUES, ids=lambda value: hex(value[0]))
def test_every_type_is_stepped_over(value: tuple[int, bytes]) -> None:
    assert query_text(attributed([value])) == TEXT
    assert query_text(attributed([value], frozenset({0}))) == TEXT


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=20), st.sets(st.integers(0, 19)))
def test_any_number_of_them(values: list[tuple[int, bytes]], nulls: set[int]) -> None:
    assert query_text(attributed(values, frozenset(one for one in nulls if one < len(values)))) == TEXT


def test_an_empty_text() -> None:
    assert query_text(ONE) == b""


@pytest.mark.parametrize(
    "payload",
    [
        b"\x03",
        b"\x03\x01",
        b"\x03\x00\x02SELECT",  # two sets
        b"\x03\x01\x01\x00",  # ends behind the bitmap
        b"\x03\x01\x01\x00\x00\x05",  # types that were sent before: there is no before
        b"\x03\x01\x01\x00\x01\x01",  # ends within a type
        b"\x03\x01\x01\x00\x01\x01\x00\x05n",  # ends within a name
        ONE[:-1],  # ends before the value
        attributed([(0xFD, b"\x7fabc")]),
    ],
)
def test_what_ends_too_early_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        query_text(payload)


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    with suppress(ProtocolError):
        assert (b"\x03" + data).endswith(query_text(b"\x03" + data))
