"""Packets on the wire: a three-byte length, a sequence id, a payload; and whole commands cut out of a client's stream.

Knows lengths and sequence ids only, never what a payload means, and does no IO: bytes in, bytes out.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html

    feed(b"...")  any chunking: half a header, three commands and a half, a 64 MiB command in 64 KiB pieces
    next()        the next whole command as it came, headers included, all its packets; None while it is incomplete
"""

from typing import Final

HEADER: Final = 4
MAX_PAYLOAD: Final = 0xFFFFFF
"""A payload of this length or more goes on in the next packet; an empty one ends a payload that is a multiple of it."""


class ProtocolError(Exception):
    """The peer sent bytes that the protocol does not allow. What follows cannot be understood: close the connection."""


class PacketTooLarge(ProtocolError):
    """A command announced more bytes than are allowed. `size` is what was announced so far, in bytes of payload."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a command of at least {size} bytes is over the limit of {limit}")
        self.size = size
        self.limit = limit


def frame(payload: bytes, seq: int = 0) -> bytes:
    """The wire packets that carry `payload`, the first with sequence id `seq`; ids wrap at 256."""
    size = len(payload)
    if size < MAX_PAYLOAD:
        return (size | (seq & 0xFF) << 24).to_bytes(4, "little") + payload
    parts: list[bytes] = []
    for at in range(0, size + 1, MAX_PAYLOAD):  # + 1: a multiple of the maximum needs the empty packet at its end
        part = payload[at : at + MAX_PAYLOAD]
        parts.append((len(part) | (seq & 0xFF) << 24).to_bytes(4, "little"))
        parts.append(part)
        seq += 1
    return b"".join(parts)


def payload_of(raw: bytes) -> bytes:
    """The payload of one message given as wire bytes: its packets joined.

    Raises ProtocolError if `raw` is not exactly one message.
    """
    if message_end(raw, 0) != len(raw):
        raise ProtocolError("not exactly one message")
    if len(raw) < HEADER + MAX_PAYLOAD:
        return raw[HEADER:]
    step = HEADER + MAX_PAYLOAD
    return b"".join([raw[at + HEADER : at + step] for at in range(0, len(raw), step)])


def message_end(data: bytes | bytearray, at: int) -> int:
    """Where the message that starts at `at` ends: the offset behind its last packet, or -1 if `data` ends before."""
    size = len(data)
    while at + HEADER <= size:
        length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        at += HEADER + length
        if length < MAX_PAYLOAD:
            return at if at <= size else -1
    return -1


class CommandFramer:
    """Cuts a client's stream into commands and checks what the framing alone can tell.

    `max_bytes` limits a command's payload; it is checked against the headers, before the bytes are buffered.
    What is buffered beyond that is commands the caller did not take yet: `pending` says how much, so that it can stop
    reading.
    """

    __slots__ = ("_at", "_buffer", "_chunk", "_max")

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._chunk = b""  # the last chunk, looked at in place ...
        self._at = 0  # ... from here on
        self._buffer = bytearray()  # what came in pieces; while it holds anything the chunk is empty

    @property
    def pending(self) -> int:
        """Bytes fed and not taken yet."""
        return len(self._buffer) + len(self._chunk) - self._at

    def feed(self, data: bytes) -> None:
        """Adds what the client sent."""
        if self._buffer:
            self._buffer += data
        elif self._at == len(self._chunk):
            self._chunk = data
            self._at = 0
        else:
            self._buffer += self._chunk[self._at :]
            self._buffer += data
            self._chunk = b""
            self._at = 0

    def next(self) -> bytes | None:
        """The next whole command as wire bytes, or None. A chunk that is one packet comes back as the same object.

        Raises ProtocolError for an empty command and for sequence ids that do not count up from 0, PacketTooLarge above
        `max_bytes`.
        """
        data = self._chunk
        size = len(data)
        if self._at == 0 and size > HEADER:  # the steady state: one command, one packet, one chunk
            length = data[0] | data[1] << 8 | data[2] << 16
            if length + HEADER == size and data[3] == 0 and length <= self._max and length < MAX_PAYLOAD:
                self._chunk = b""
                return data
        return self._take(self._command_end())

    def take_all(self) -> bytes:
        """All that is pending, as it came."""
        data, at = self._position()
        unread = bytes(data[at:])
        self._buffer = bytearray()
        self._chunk = b""
        self._at = 0
        return unread

    def next_packet(self) -> bytes | None:
        """The next single packet as wire bytes, whatever its sequence id, or None.

        For what a client sends that is no command: the file of LOAD DATA LOCAL INFILE, which ends with an empty packet.
        https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_local_infile_request.html
        """
        data, at = self._position()
        if at + HEADER > len(data):
            return self._take(-1)
        end = at + HEADER + (data[at] | data[at + 1] << 8 | data[at + 2] << 16)
        return self._take(end if end <= len(data) else -1)

    def _position(self) -> tuple[bytes | bytearray, int]:
        if self._buffer:
            return self._buffer, 0
        return self._chunk, self._at

    def _command_end(self) -> int:
        """The offset behind the next command, or -1. Checks each header that is there: a bad one is refused at once."""
        data, at = self._position()
        size = len(data)
        seq = 0
        total = 0
        while at + HEADER <= size:
            length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if data[at + 3] != seq:
                raise ProtocolError(f"sequence id {data[at + 3]} where {seq} was due")
            total += length
            if total == 0:
                raise ProtocolError("empty command")
            if total > self._max:
                raise PacketTooLarge(total, self._max)
            at += HEADER + length
            if length < MAX_PAYLOAD:
                return at if at <= size else -1
            seq = (seq + 1) & 0xFF
        return -1

    def _take(self, end: int) -> bytes | None:
        if self._buffer:
            if end < 0:
                return None
            if end == len(self._buffer):
                raw = bytes(self._buffer)
                self._buffer = bytearray()  # a new one: clear() would keep a large command's memory for an idle client
                return raw
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            return raw
        data, at = self._chunk, self._at
        if end >= 0:
            if end < len(data):
                self._at = end
                return data[at:end]
            self._chunk = b""
            self._at = 0
            return data[at:] if at else data
        self._buffer += data[at:]
        self._chunk = b""
        self._at = 0
        return None
