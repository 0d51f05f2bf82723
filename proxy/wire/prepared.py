"""Prepared statement commands moved from one connection to another: statement ids and parameter types put in place.

A statement id is valid on the connection that prepared it, and COM_STMT_EXECUTE may leave out the parameter types that
the same connection saw before; a session that changes its backend needs both rewritten. Values are never read.
Everything takes and returns whole commands as wire bytes; which id belongs where is the caller's knowledge.

    0x17 | id, 4 | flags, 1 | iterations, 4 | NULL bitmap | types bound, 1 | types | values

The last four are there only with parameters, the types, two bytes each, only if "types bound" is 1.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
"""

from typing import Final

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
)
from proxy.wire.framing import HEADER, MAX_PAYLOAD, ProtocolError, frame, payload_of
from proxy.wire.packets import EOF_LENGTH

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
    return int.from_bytes(raw[_ID:_FLAGS], "little")


def with_statement_id(raw: bytes, statement: int) -> bytes:
    """The same command for the statement `statement`."""
    _check(raw)
    return raw[:_ID] + statement.to_bytes(4, "little") + raw[_FLAGS:]


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
    return len(raw) > _FLAGS and raw[HEADER] == COM_STMT_EXECUTE and raw[_FLAGS] != CURSOR_TYPE_NO_CURSOR


class ExecuteView:
    """What stands before the values of a COM_STMT_EXECUTE for a statement with `num_params` parameters.

    flags: a CURSOR_TYPE_ number. types_bound: whether the command brings its parameter types; false without parameters,
    where there is nothing to bring. types: 2 * num_params bytes, or None.

    Raises ProtocolError if the command is no COM_STMT_EXECUTE or ends before its values.
    """

    __slots__ = ("flags", "num_params", "types", "types_bound")

    def __init__(self, raw: bytes, num_params: int) -> None:
        _check(raw)
        if raw[HEADER] != COM_STMT_EXECUTE or len(raw) < _BITMAP:
            raise ProtocolError("not a COM_STMT_EXECUTE")
        self.num_params = num_params
        self.flags = raw[_FLAGS]
        self.types_bound = False
        self.types: bytes | None = None
        if self.flags & PARAMETER_COUNT_AVAILABLE:
            # Only with CLIENT_QUERY_ATTRIBUTES: attributes would follow, with names among the types.
            raise ProtocolError("query attributes were not agreed upon")
        if num_params == 0:
            return
        at = _bound_flag(num_params)
        if at >= len(raw) or raw[at] > 1:
            raise ProtocolError("a COM_STMT_EXECUTE that ends before its parameter types")
        if raw[at]:
            # All of this is in the first packet: 65,535 parameters need 140 kB, a packet that is continued has 16 MB.
            end = at + 1 + 2 * num_params
            if end > len(raw):
                raise ProtocolError("a COM_STMT_EXECUTE that ends within its parameter types")
            self.types_bound = True
            self.types = raw[at + 1 : end]


def with_types(raw: bytes, num_params: int, types: bytes) -> bytes:
    """The COM_STMT_EXECUTE with its parameter types in it; as it is if it brings its own.

    `types` is what an earlier execution had: two bytes for each of the `num_params` parameters. A command that grows
    over 16 MB is framed anew.
    """
    view = ExecuteView(raw, num_params)
    if view.types_bound or num_params == 0:
        return raw
    if len(types) != 2 * num_params:
        raise ValueError(f"{len(types)} bytes of types for {num_params} parameters")
    at = _bound_flag(num_params)
    grown = len(raw) - HEADER + len(types)
    if grown < MAX_PAYLOAD:
        return b"".join((grown.to_bytes(3, "little"), raw[3:at], b"\x01", types, raw[at + 1 :]))
    payload = payload_of(raw)
    at -= HEADER
    return frame(b"".join((payload[:at], b"\x01", types, payload[at + 1 :])))


def _bound_flag(num_params: int) -> int:
    """Where "new_params_bind_flag" is: behind the bitmap of a bit for each parameter."""
    return _BITMAP + (num_params + 7) // 8
