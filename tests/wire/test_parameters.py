"""The parameters of a COM_STMT_EXECUTE: the values that placement reads, and nothing else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.framing import frame
from proxy.wire.parameters import parameters

LONGLONG, LONG, TINY, DOUBLE, NULL, VARSTRING, DATETIME = 0x08, 0x03, 0x01, 0x05, 0x06, 0xFD, 0x0C
UNSIGNED = 0x80


def execute(types: bytes, values: bytes, *, nulls: int = 0, bound: bool = True) -> bytes:
    count = len(types) // 2
    bitmap = nulls.to_bytes((count + 7) // 8, "little")
    brought = b"\x01" + types if bound else b"\x00"
    return frame(b"\x17" + bytes(4) + b"\x00" + b"\x01\x00\x00\x00" + bitmap + brought + values)


@pytest.mark.parametrize("bound", [True, False])
def test_whole_numbers_and_texts_are_read_and_the_others_passed_over(bound: bool) -> None:
    types = bytes((LONGLONG, 0, DOUBLE, 0, VARSTRING, 0, DATETIME, 0, TINY, UNSIGNED, LONG, 0, NULL, 0, LONGLONG, 0))
    values = (
        struct.pack("<q", -7)
        + struct.pack("<d", 1.5)
        + b"\x03Ada"
        + b"\x04\xe8\x07\x01\x02"
        + b"\xff"
        + struct.pack("<i", 5)
        + struct.pack("<q", 9)
    )
    found = parameters(execute(types, values, nulls=1 << 6, bound=bound), types, 8)
    assert found == ["-7", None, "Ada", None, "255", "5", None, "9"]


def test_no_more_than_is_wanted() -> None:
    types = bytes((LONG, 0)) * 3
    assert parameters(execute(types, struct.pack("<3i", 1, 2, 3)), types, 2) == ["1", "2"]


def test_with_long_data_nothing_is_known() -> None:
    types = bytes((LONG, 0))
    assert parameters(execute(types, struct.pack("<i", 1)), types, 1, long_data=True) == [None]


@given(st.binary(max_size=60), st.binary(max_size=12).filter(lambda types: len(types) % 2 == 0))
def test_what_cannot_be_read_is_not_known(payload: bytes, types: bytes) -> None:
    found = parameters(frame(b"\x17" + payload), types, 6)
    assert len(found) == min(6, len(types) // 2)
