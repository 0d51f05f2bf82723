"""The control packets of the protocol, OK, EOF and ERR, read and written; and the length-encoded values in them.

Layouts only. What a status flag or an error number means is decided elsewhere; result rows are never read at all.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_response_packets.html

Every reader raises ProtocolError where the packet ends too early. Writers make whole wire packets, header included.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    EOF_HEADER,
    ERR_HEADER,
    OK_HEADER,
    SERVER_SESSION_STATE_CHANGED,
    SESSION_TRACK_GTIDS,
    SESSION_TRACK_SCHEMA,
    SESSION_TRACK_SYSTEM_VARIABLES,
    SESSION_TRACK_TRANSACTION_CHARACTERISTICS,
    SESSION_TRACK_TRANSACTION_STATE,
)
from proxy.wire.framing import HEADER, ProtocolError, frame

EOF_LENGTH: Final = 5  # header, warnings, status
OK_LENGTH: Final = 7  # header, two one-byte integers, status, warnings

_STRINGS: Final = frozenset(
    (SESSION_TRACK_SCHEMA, SESSION_TRACK_TRANSACTION_CHARACTERISTICS, SESSION_TRACK_TRANSACTION_STATE)
)
"""Kinds of change whose data is one length-encoded string."""


@dataclass(slots=True, frozen=True)
class Change:
    """One piece of session state that an OK packet reports; `kind` is a SESSION_TRACK_ number.

    A system variable has name and value; everything else has a value only: a schema's name, "1", a GTID set, SQL text,
    or the eight characters of the transaction state.
    """

    kind: int
    name: bytes
    value: bytes


@dataclass(slots=True, frozen=True)
class Ok:
    """An OK packet; also an EOF packet, which has warnings and status only."""

    affected_rows: int
    insert_id: int
    status: int
    warnings: int
    info: bytes
    changes: tuple[Change, ...]


@dataclass(slots=True, frozen=True)
class ServerError:
    """An ERR packet. A value, not an exception: most errors are the client's own and only pass through."""

    code: int
    sqlstate: str
    message: str

    def __str__(self) -> str:
        return f"ERROR {self.code} ({self.sqlstate}): {self.message}"


# --- Length-encoded values (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html)


def lenenc_int(value: int) -> bytes:
    """`value` as a length-encoded integer; 0 <= value < 2**64."""
    if value < 0xFB:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfc" + value.to_bytes(2, "little")
    if value <= 0xFFFFFF:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_str(value: bytes) -> bytes:
    """`value` with its length in front."""
    return lenenc_int(len(value)) + value


def read_lenenc_int(data: bytes, at: int) -> tuple[int, int]:
    """The length-encoded integer at `at`, and the offset behind it. NULL (0xFB) is not an integer."""
    if at >= len(data):
        raise ProtocolError("the packet ends where an integer was due")
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    if first == 0xFC:
        end = at + 3
    elif first == 0xFD:
        end = at + 4
    elif first == 0xFE:
        end = at + 9
    else:
        raise ProtocolError(f"0x{first:02x} starts no length-encoded integer")
    if end > len(data):
        raise ProtocolError("the packet ends within an integer")
    return int.from_bytes(data[at + 1 : end], "little"), end


def read_lenenc_str(data: bytes, at: int) -> tuple[bytes, int]:
    """The length-encoded string at `at`, and the offset behind it."""
    length, at = read_lenenc_int(data, at)
    end = at + length
    if end > len(data):
        raise ProtocolError("the packet ends within a string")
    return data[at:end], end


def read_int2(data: bytes, at: int) -> int:
    """The two-byte integer at `at`."""
    if at + 2 > len(data):
        raise ProtocolError("the packet ends within an integer")
    return data[at] | data[at + 1] << 8


# --- OK and EOF


def ok_packet(
    seq: int,
    *,
    affected_rows: int = 0,
    insert_id: int = 0,
    status: int,
    warnings: int = 0,
    info: bytes = b"",
    changes: tuple[Change, ...] = (),
    capabilities: int,
    header: int = OK_HEADER,
) -> bytes:
    """An OK packet. It reports `changes`, and SERVER_SESSION_STATE_CHANGED with them, only where tracking was agreed.

    The text has its length in front whatever was agreed: so servers send it and clients read it, though the manual says
    it of CLIENT_SESSION_TRACK only. `header` is EOF_HEADER where the OK ends a result set under CLIENT_DEPRECATE_EOF.
    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
    """
    status &= ~SERVER_SESSION_STATE_CHANGED
    text = lenenc_str(info) if info else b""
    if changes and capabilities & CLIENT_SESSION_TRACK:
        status |= SERVER_SESSION_STATE_CHANGED
        text = lenenc_str(info) + lenenc_str(b"".join([_change(change) for change in changes]))
    head = bytes((header,)) + lenenc_int(affected_rows) + lenenc_int(insert_id)
    return frame(head + status.to_bytes(2, "little") + warnings.to_bytes(2, "little") + text, seq)


@lru_cache(maxsize=256)
def plain_ok(status: int, capabilities: int) -> bytes:
    """The OK packet that answers a command which changed nothing."""
    return ok_packet(1, status=status, capabilities=capabilities)


def with_ok_status(packet: bytes, status: int) -> bytes:
    """The same OK packet, header included, with these SERVER_STATUS flags."""
    if packet[HEADER] != OK_HEADER:
        raise ProtocolError("not an OK packet")
    _, at = read_lenenc_int(packet, HEADER + 1)
    _, at = read_lenenc_int(packet, at)
    return packet[:at] + status.to_bytes(2, "little") + packet[at + 2 :]


def _change(change: Change) -> bytes:
    if change.kind == SESSION_TRACK_SYSTEM_VARIABLES:
        data = lenenc_str(change.name) + lenenc_str(change.value)
    elif change.kind == SESSION_TRACK_GTIDS:
        data = b"\x00" + lenenc_str(change.value)
    elif change.kind in _STRINGS:
        data = lenenc_str(change.value)
    else:
        data = change.value
    return bytes((change.kind,)) + lenenc_str(data)


def eof_packet(seq: int, *, status: int, warnings: int = 0) -> bytes:
    """An EOF packet, for connections without CLIENT_DEPRECATE_EOF.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_eof_packet.html
    """
    return frame(bytes((EOF_HEADER,)) + warnings.to_bytes(2, "little") + status.to_bytes(2, "little"), seq)


def parse_ok(payload: bytes, capabilities: int) -> Ok:
    """Reads an OK packet (header 0x00, or 0xFE at the end of a result set) or an EOF packet (0xFE, five bytes)."""
    size = len(payload)
    if size == 0 or payload[0] not in (OK_HEADER, EOF_HEADER):
        raise ProtocolError("not an OK packet")
    if payload[0] == EOF_HEADER and (size < OK_LENGTH or not capabilities & CLIENT_DEPRECATE_EOF):
        return Ok(0, 0, read_int2(payload, 3), read_int2(payload, 1), b"", ())
    affected_rows, at = read_lenenc_int(payload, 1)
    insert_id, at = read_lenenc_int(payload, at)
    status = read_int2(payload, at)
    warnings = read_int2(payload, at + 2)
    at += 4
    info = b""
    changes: tuple[Change, ...] = ()
    if at < size:  # both parts are left out when there is neither a text nor a change
        info, at = read_lenenc_str(payload, at)
        if capabilities & CLIENT_SESSION_TRACK and status & SERVER_SESSION_STATE_CHANGED and at < size:
            state, at = read_lenenc_str(payload, at)
            changes = tuple(_parse_changes(state))
    return Ok(affected_rows, insert_id, status, warnings, info, changes)


def _parse_changes(state: bytes) -> list[Change]:
    changes: list[Change] = []
    at = 0
    while at < len(state):
        kind = state[at]
        data, at = read_lenenc_str(state, at + 1)
        if kind == SESSION_TRACK_SYSTEM_VARIABLES:
            inner = 0
            while inner < len(data):  # one entry may hold several variables
                name, inner = read_lenenc_str(data, inner)
                value, inner = read_lenenc_str(data, inner)
                changes.append(Change(kind, name, value))
        elif kind == SESSION_TRACK_GTIDS:  # a byte in front says how the set is encoded; only 0, text, is defined
            changes.append(Change(kind, b"", read_lenenc_str(data, 1)[0]))
        elif kind in _STRINGS:
            changes.append(Change(kind, b"", read_lenenc_str(data, 0)[0]))
        else:  # SESSION_TRACK_STATE_CHANGE is a bare "1"; a kind of a newer server has a layout that is unknown here
            changes.append(Change(kind, b"", data))
    return changes


# --- ERR


def error_packet(seq: int, code: int, sqlstate: str, message: str) -> bytes:
    """An ERR packet; `sqlstate` has five characters.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html
    """
    head = bytes((ERR_HEADER,)) + code.to_bytes(2, "little") + b"#" + sqlstate.encode("ascii")
    return frame(head + message.encode("utf-8"), seq)


def parse_error(payload: bytes) -> ServerError:
    """Reads an ERR packet. One sent before login has no SQLSTATE: it counts as HY000, the general error."""
    if len(payload) < 3 or payload[0] != ERR_HEADER:
        raise ProtocolError("not an ERR packet")
    code = payload[1] | payload[2] << 8
    sqlstate = b"HY000"
    text = payload[3:]
    if text[:1] == b"#" and len(text) >= 6:
        sqlstate, text = text[1:6], text[6:]
    return ServerError(code, sqlstate.decode("latin-1"), text.decode("utf-8", "replace"))


# --- rows


def single_value(reply: bytes) -> bytes:
    """The value of a whole text result of one row and one column: the row is the packet before the last."""
    at = 0
    rows: list[bytes] = []
    while at + 4 <= len(reply):
        size = int.from_bytes(reply[at : at + 3], "little")
        rows.append(reply[at + 4 : at + 4 + size])
        at += 4 + size
    if len(rows) < 3:  # a client may have asked for results without definitions
        raise ProtocolError("not a result of one row")
    return read_lenenc_str(rows[-2], 0)[0]
