"""Prepared statement commands moved from one connection to another: statement ids and parameter types put in place.

A statement id is valid on the connection that prepared it, and COM_STMT_EXECUTE may leave out the parameter types that
the same connection saw before; a session that changes its backend needs both rewritten. Values are never read.
Everything takes and returns whole commands as wire bytes; which id belongs where is the caller's knowledge.

    0x17 | id, 4 | flags, 1 | iterations, 4 | count | NULL bitmap | types bound, 1 | types | values
    0xFA | id, 4 | flags, 2 | types | rows of values

The last four of COM_STMT_EXECUTE are there only with parameters, the types only if "types bound" is 1. The count is
there only under CLIENT_QUERY_ATTRIBUTES: the parameters, and the attributes behind them; then each type, two bytes, has
a name behind it. COM_STMT_BULK_EXECUTE has its types if a flag says so.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
https://mariadb.com/kb/en/com_stmt_bulk_execute/
"""

from typing import Final

from proxy.wire.attributes import read_types
from proxy.wire.constants import (
    COM_STMT_BULK_EXECUTE,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    CURSOR_TYPE_NO_CURSOR,
    EOF_HEADER,
    OK_HEADER,
    PARAMETER_COUNT_AVAILABLE,
    SEND_TYPES_TO_SERVER,
    SEND_UNIT_RESULTS,
)
from proxy.wire.framing import HEADER, MAX_PAYLOAD, ProtocolError, frame, payload_of
from proxy.wire.packets import EOF_LENGTH, read_lenenc_int

LAST_PREPARED: Final = 0xFFFFFFFF
"""MariaDB: the id by which a client means the statement it prepared last, so that it can send both in one go."""

WITH_STATEMENT_ID: Final = frozenset(
    (
        COM_STMT_EXECUTE,
        COM_STMT_BULK_EXECUTE,
        COM_STMT_SEND_LONG_DATA,
        COM_STMT_CLOSE,
        COM_STMT_RESET,
        COM_STMT_FETCH,
    )
)
"""Commands whose payload is the command byte and then a statement id of four bytes."""

_ID: Final = HEADER + 1
_FLAGS: Final = _ID + 4
_BITMAP: Final = _FLAGS + 1 + 4


def statement_id(raw: bytes) -> int:
    """The statement id of one of the commands in WITH_STATEMENT_ID."""
    _check(raw)
    return raw[_ID] | raw[_ID + 1] << 8 | raw[_ID + 2] << 16 | raw[_ID + 3] << 24


def with_statement_id(raw: bytes, statement: int) -> bytes:
    """The same command for the statement `statement`."""
    _check(raw)
    return raw[:_ID] + statement.to_bytes(4, "little") + raw[_FLAGS:]


def long_data_parameter(raw: bytes) -> int:
    """Which parameter a COM_STMT_SEND_LONG_DATA is for, counted from 0."""
    return int.from_bytes(raw[_FLAGS : _FLAGS + 2], "little")


def with_prepared_id(reply: bytes, statement: int) -> bytes:
    """The start of a reply to COM_STMT_PREPARE, with `statement` in its PREPARE_OK packet.

    `reply` is the first bytes that the reply scanner lets through: they hold that packet whole.
    """
    if len(reply) < _FLAGS or reply[HEADER] != OK_HEADER:
        raise ProtocolError("not a PREPARE_OK packet")
    return reply[:_ID] + statement.to_bytes(4, "little") + reply[_FLAGS:]


def with_status(reply: bytes, status: int) -> bytes:
    """A whole reply to COM_STMT_PREPARE with these flags, too, in its EOF packets; without CLIENT_DEPRECATE_EOF it has
    some.
    """
    answer = bytearray(reply)
    at = 0
    while at + HEADER < len(answer):
        size = answer[at] | answer[at + 1] << 8 | answer[at + 2] << 16
        if size == EOF_LENGTH and answer[at + HEADER] == EOF_HEADER:
            answer[at + HEADER + 3] |= status & 0xFF
            answer[at + HEADER + 4] |= status >> 8
        at += HEADER + size
    return bytes(answer)


def _check(raw: bytes) -> None:
    # The id lies in the first packet however many there are.
    if len(raw) < _FLAGS or raw[HEADER] not in WITH_STATEMENT_ID or raw[0] | raw[1] << 8 | raw[2] << 16 < 5:
        raise ProtocolError("not a command with a statement id")


def opens_cursor(raw: bytes) -> bool:
    """Whether this is a COM_STMT_EXECUTE whose rows may stay at the server, to be asked for with COM_STMT_FETCH."""
    return (
        len(raw) > _FLAGS
        and raw[HEADER] == COM_STMT_EXECUTE
        and raw[_FLAGS] & ~PARAMETER_COUNT_AVAILABLE != CURSOR_TYPE_NO_CURSOR
    )


def unit_results(raw: bytes) -> bool:
    """Whether this is a COM_STMT_BULK_EXECUTE that is answered with a row for each of its rows: their ids are there."""
    return len(raw) > _FLAGS and raw[HEADER] == COM_STMT_BULK_EXECUTE and bool(raw[_FLAGS] & SEND_UNIT_RESULTS)


class ExecuteView:
    """What stands before the values of a COM_STMT_EXECUTE, or a COM_STMT_BULK_EXECUTE, for a statement with
    `num_params` parameters. `attributes`: CLIENT_QUERY_ATTRIBUTES was agreed upon.

    types_bound: whether the command brings its parameter types; false without parameters, where there is nothing to
    bring. types: as the command has them, for as many parameters as it counts, or None.

    Raises ProtocolError if the command is neither, or ends before its values.
    """

    __slots__ = ("_at", "_bitmap", "flags", "num_params", "types", "types_bound")

    def __init__(self, raw: bytes, num_params: int, *, attributes: bool = False) -> None:
        _check(raw)
        self.num_params = num_params
        self.types_bound = False
        self.types: bytes | None = None
        self._at = 0  # of the flag that says whether types follow
        self._bitmap = _BITMAP
        # All of this is in the first packet: 65,535 parameters need 140 kB, a packet that is continued has 16 MB.
        if raw[HEADER] == COM_STMT_BULK_EXECUTE:
            self._read_bulk(raw)
            return
        if raw[HEADER] != COM_STMT_EXECUTE or len(raw) < _BITMAP:
            raise ProtocolError("not a COM_STMT_EXECUTE")
        self.flags = raw[_FLAGS]
        at = _BITMAP
        if attributes:
            if num_params or self.flags & PARAMETER_COUNT_AVAILABLE:
                self.num_params, at = read_lenenc_int(raw, at)
                self._bitmap = at
        elif self.flags & PARAMETER_COUNT_AVAILABLE:
            raise ProtocolError("query attributes were not agreed upon")
        if self.num_params == 0:
            return
        at += (self.num_params + 7) // 8
        if at >= len(raw) or raw[at] > 1:
            raise ProtocolError("a COM_STMT_EXECUTE that ends before its parameter types")
        self._at = at
        if raw[at]:
            end = read_types(raw, at + 1, self.num_params)[1] if attributes else at + 1 + 2 * self.num_params
            if end > len(raw):
                raise ProtocolError("a COM_STMT_EXECUTE that ends within its parameter types")
            self.types_bound = True
            self.types = raw[at + 1 : end]

    def plain(self, raw: bytes) -> bytes:
        """A COM_STMT_EXECUTE with attributes as it were without count and names; their values are behind the others."""
        types = self.types or b""
        behind = raw[self._at + 1 + len(types) :]
        return b"".join((raw[:_BITMAP], raw[self._bitmap : self._at + 1], unnamed(types), behind))

    def _read_bulk(self, raw: bytes) -> None:
        end = _FLAGS + 2
        if len(raw) < end:
            raise ProtocolError("a COM_STMT_BULK_EXECUTE that ends before its rows")
        self.flags = raw[_FLAGS]
        self._at = _FLAGS
        if self.flags & SEND_TYPES_TO_SERVER and self.num_params:
            end += 2 * self.num_params
            if end > len(raw):
                raise ProtocolError("a COM_STMT_BULK_EXECUTE that ends within its parameter types")
            self.types_bound = True
            self.types = raw[_FLAGS + 2 : end]

    def with_types(self, raw: bytes, types: bytes) -> bytes:
        """The same command with these types in it: of an earlier one with as many parameters."""
        at = self._at
        bound = (
            bytes((SEND_TYPES_TO_SERVER | self.flags, raw[at + 1])) if raw[HEADER] == COM_STMT_BULK_EXECUTE else b"\x01"
        )
        grown = len(raw) - HEADER + len(types)
        if grown < MAX_PAYLOAD:
            return b"".join((grown.to_bytes(3, "little"), raw[3:at], bound, types, raw[at + len(bound) :]))
        payload = payload_of(raw)
        at -= HEADER
        return frame(b"".join((payload[:at], bound, types, payload[at + len(bound) :])))


def with_types(raw: bytes, num_params: int, types: bytes, *, attributes: bool = False) -> bytes:
    """The command with its parameter types in it; as it is if it brings its own.

    `types` is what an earlier execution had. A command that grows over 16 MB is framed anew.
    """
    view = ExecuteView(raw, num_params, attributes=attributes)
    if view.types_bound or view.num_params == 0:
        return raw
    if not attributes and len(types) != 2 * num_params:
        raise ValueError(f"{len(types)} bytes of types for {num_params} parameters")
    if attributes and view.num_params != _count(types):
        return raw  # the attributes are others than those: what it means is the server's to say
    return view.with_types(raw, types)


def unnamed(types: bytes) -> bytes:
    """The types without the names that query attributes give them."""
    parts: list[bytes] = []
    at = 0
    while at < len(types):
        parts.append(types[at : at + 2])
        _, at = read_types(types, at, 1)
    return b"".join(parts)


def _count(types: bytes) -> int:
    """How many parameters with names these are the types of."""
    count = at = 0
    while at < len(types):
        _, at = read_types(types, at, 1)
        count += 1
    return count
