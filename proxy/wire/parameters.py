"""The values of a COM_STMT_EXECUTE's parameters, as far as placement looks at them: whole numbers and texts.

Bytes in, texts out; what cannot be read is not known, and never an error: the server will say so.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html#sect_protocol_binary_resultset_row_value
"""

from typing import Final

from proxy.wire.framing import HEADER, MAX_PAYLOAD, ProtocolError
from proxy.wire.packets import read_lenenc_int

# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
_INTEGERS: Final = {0x01: 1, 0x02: 2, 0x03: 4, 0x08: 8, 0x09: 4, 0x0D: 2}
_FIXED: Final = {**_INTEGERS, 0x04: 4, 0x05: 8, 0x06: 0}
_DATES: Final = frozenset((0x07, 0x0A, 0x0B, 0x0C))  # a length of one byte, and as many bytes
_UNSIGNED: Final = 0x80
_VALUES: Final = HEADER + 1 + 4 + 1 + 4


def parameters(raw: bytes, types: bytes, wanted: int, long_data: bool = False) -> list[str | None]:
    """The first `wanted` parameters, None where one is NULL or of another type.

    `types`: two bytes for each parameter, as this or an earlier execution brought them. `long_data`: some were sent
    ahead, so that nobody knows where the others are.
    """
    count = len(types) // 2
    bitmap = (count + 7) // 8
    found: list[str | None] = [None] * min(wanted, count)
    flag = _VALUES + bitmap
    if long_data or flag >= len(raw) or len(raw) > MAX_PAYLOAD:
        return found
    at = flag + 1 + (2 * count if raw[flag] else 0)
    for number in range(len(found)):
        if raw[_VALUES + number // 8] >> number % 8 & 1:
            continue
        kind, flags = types[2 * number], types[2 * number + 1]
        size = _FIXED.get(kind)
        try:
            if size is None:
                if kind in _DATES:
                    size, at = raw[at], at + 1
                else:
                    size, at = read_lenenc_int(raw, at)
        except (ProtocolError, IndexError):
            return found
        value = raw[at : at + size]
        if len(value) < size:
            return found
        if kind in _INTEGERS:
            found[number] = str(int.from_bytes(value, "little", signed=not flags & _UNSIGNED))
        elif kind not in _FIXED and kind not in _DATES:
            found[number] = value.decode("latin-1")
        at += size
    return found
