"""A server's side of the protocol for tests: replies built packet by packet, as was agreed with the client."""

from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_OPTIONAL_RESULTSET_METADATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SESSION_TRACK,
    EOF_HEADER,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_PS_OUT_PARAMS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_LAST_ROW_SENT,
)
from proxy.wire.framing import frame
from proxy.wire.packets import eof_packet, error_packet, lenenc_int, lenenc_str

AUTOCOMMIT = SERVER_STATUS_AUTOCOMMIT
MORE = SERVER_STATUS_AUTOCOMMIT | SERVER_MORE_RESULTS_EXISTS
CURSOR = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_CURSOR_EXISTS
OUT = MORE | SERVER_PS_OUT_PARAMS
LAST = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_LAST_ROW_SENT
CHANGED = SERVER_STATUS_AUTOCOMMIT | SERVER_SESSION_STATE_CHANGED

PLAIN = CLIENT_PROTOCOL_41
CAPABILITIES = {
    "EOF": PLAIN,
    "EOF,tracked": PLAIN | CLIENT_SESSION_TRACK,
    "no EOF": PLAIN | CLIENT_DEPRECATE_EOF,
    "no EOF,tracked": PLAIN | CLIENT_DEPRECATE_EOF | CLIENT_SESSION_TRACK,
    "EOF,optional": PLAIN | CLIENT_OPTIONAL_RESULTSET_METADATA,
    "no EOF,optional": PLAIN | CLIENT_DEPRECATE_EOF | CLIENT_OPTIONAL_RESULTSET_METADATA,
}
"""What changes the form of replies: EOF packets or OK packets at the end of rows, OK packets that report changes of the
session, and definitions that may be left out.
"""

SCHEMA_CHANGED = b"\x01\x04\x03new"


class Server:
    """Packets of one reply, in `sent`, with their sequence ids counted."""

    def __init__(self, capabilities: int) -> None:
        self.deprecate_eof = bool(capabilities & CLIENT_DEPRECATE_EOF)
        self.tracked = bool(capabilities & CLIENT_SESSION_TRACK)
        self.optional = bool(capabilities & CLIENT_OPTIONAL_RESULTSET_METADATA)
        self.sent = b""
        self.seq = 1

    def packet(self, payload: bytes) -> "Server":
        raw = frame(payload, self.seq)
        self.seq += 1 + len(payload) // 0xFFFFFF
        self.sent += raw
        return self

    def ok(
        self,
        status: int = AUTOCOMMIT,
        *,
        rows: int = 0,
        insert_id: int = 0,
        warnings: int = 0,
        info: bytes = b"",
        header: int = 0,
    ) -> "Server":
        """An OK packet; one whose status says that the session changed reports a new schema, if tracking was agreed."""
        numbers = lenenc_int(rows) + lenenc_int(insert_id)
        flags = status.to_bytes(2, "little") + warnings.to_bytes(2, "little")
        text = lenenc_str(info) if info else b""
        if self.tracked and status & SERVER_SESSION_STATE_CHANGED:
            text = lenenc_str(info) + lenenc_str(SCHEMA_CHANGED)
        return self.packet(bytes((header,)) + numbers + flags + text)

    def eof(self, status: int = AUTOCOMMIT, warnings: int = 0) -> "Server":
        """The old EOF packet, whatever was agreed."""
        self.sent += eof_packet(self.seq, status=status, warnings=warnings)
        self.seq += 1
        return self

    def end(self, status: int = AUTOCOMMIT, warnings: int = 0) -> "Server":
        """What ends rows."""
        if self.deprecate_eof:
            return self.ok(status, warnings=warnings, header=EOF_HEADER)
        return self.eof(status, warnings)

    def err(self, code: int = 1146, sqlstate: str = "42S02", message: str = "No such table") -> "Server":
        self.sent += error_packet(self.seq, code, sqlstate, message)
        self.seq += 1
        return self

    def definition(self, name: bytes = b"c") -> "Server":
        parts = [lenenc_str(part) for part in (b"def", b"app", b"t", b"t", name, name)]
        return self.packet(b"".join(parts) + b"\x0c\x21\x00\x78\x00\x00\x00\xfe\x00\x00\x00\x00\x00")

    def definitions(self, count: int, status: int = AUTOCOMMIT) -> "Server":
        """Definitions, ended as agreed."""
        for number in range(count):
            self.definition(b"c%d" % number)
        if not self.deprecate_eof:
            self.eof(status)
        return self

    def count(self, count: int, *, defined: bool = True) -> "Server":
        """The number of columns, and where that is asked for whether they are defined."""
        return self.packet(lenenc_int(count) + (bytes((defined,)) if self.optional else b""))

    def columns(self, count: int, status: int = AUTOCOMMIT) -> "Server":
        """The head of a result set."""
        return self.count(count).definitions(count, status)

    def undefined_columns(self, count: int, status: int = AUTOCOMMIT) -> "Server":
        """The head of a result set for a client that wants no definitions."""
        self.count(count, defined=False)
        return self if self.deprecate_eof else self.eof(status)

    def row(self, *fields: bytes | None) -> "Server":
        """A text row."""
        return self.packet(b"".join(b"\xfb" if field is None else lenenc_str(field) for field in fields))

    def binary_row(self, *fields: bytes) -> "Server":
        """A binary row of strings, none of them NULL."""
        return self.packet(b"\x00" + bytes((len(fields) + 9) // 8) + b"".join(lenenc_str(field) for field in fields))

    def prepared(
        self, statement: int, columns: int, params: int, warnings: int = 0, *, defined: bool = True
    ) -> "Server":
        """A whole reply to COM_STMT_PREPARE."""
        head = b"\x00" + statement.to_bytes(4, "little") + columns.to_bytes(2, "little") + params.to_bytes(2, "little")
        self.packet(head + b"\x00" + warnings.to_bytes(2, "little") + (bytes((defined,)) if self.optional else b""))
        for count in filter(None, (params, columns)):
            if defined:
                self.definitions(count)
            elif not self.deprecate_eof:
                self.eof()
        return self
