"""Query attributes: what a client says beside the text of a COM_QUERY, where CLIENT_QUERY_ATTRIBUTES was agreed upon.

    0x03 | count | 1 | NULL bitmap | 1 | types and names | values | text

The four behind the "1", the number of sets, are there only if the count is not zero. Values are stepped over, never
read: the server gives them to those of its components that ask. Whoever sends a text of its own over such a connection
puts `NONE` in front of it.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html
"""

from typing import Final

from proxy.wire import constants as c
from proxy.wire.framing import ProtocolError
from proxy.wire.packets import read_lenenc_int, read_lenenc_str

NONE: Final = b"\x00\x01"
"""No attributes, one set of them: what stands ahead of a text that has none."""

_FIXED: Final = {
    c.MYSQL_TYPE_NULL: 0,
    c.MYSQL_TYPE_TINY: 1,
    c.MYSQL_TYPE_BOOL: 1,
    c.MYSQL_TYPE_SHORT: 2,
    c.MYSQL_TYPE_YEAR: 2,
    c.MYSQL_TYPE_LONG: 4,
    c.MYSQL_TYPE_INT24: 4,
    c.MYSQL_TYPE_FLOAT: 4,
    c.MYSQL_TYPE_LONGLONG: 8,
    c.MYSQL_TYPE_DOUBLE: 8,
}
_DATED: Final = frozenset((c.MYSQL_TYPE_DATE, c.MYSQL_TYPE_DATETIME, c.MYSQL_TYPE_TIMESTAMP, c.MYSQL_TYPE_TIME))


def query_text(payload: bytes) -> bytes:
    """The text of a COM_QUERY, given with its command byte, behind its attributes. Raises ProtocolError."""
    if payload[1:3] == NONE:
        return payload[3:]
    count, at = read_lenenc_int(payload, 1)
    sets, at = read_lenenc_int(payload, at)
    if sets != 1:
        raise ProtocolError(f"{sets} sets of query attributes")
    if count == 0:
        return payload[at:]
    bitmap = at
    at += (count + 7) // 8
    if at >= len(payload) or payload[at] != 1:
        raise ProtocolError("query attributes without their types")
    types, at = read_types(payload, at + 1, count)
    for index, kind in enumerate(types):
        if not payload[bitmap + index // 8] >> index % 8 & 1:
            at = _value_end(payload, at, kind)
    if at > len(payload):
        raise ProtocolError("a COM_QUERY that ends within its attributes")
    return payload[at:]


def read_types(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """The types of named parameters, without their flags and names, and the offset behind them."""
    types: list[int] = []
    for _ in range(count):
        if at + 2 > len(data):
            raise ProtocolError("a command that ends within the types of its parameters")
        types.append(data[at])
        _, at = read_lenenc_str(data, at + 2)
    return types, at


def _value_end(data: bytes, at: int, kind: int) -> int:
    """https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html"""
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return at + fixed
    if kind in _DATED:
        return at + 1 + (data[at] if at < len(data) else 0)
    length, at = read_lenenc_int(data, at)
    return at + length
