"""The compressed protocol as bytes: what is written is packed, what was packed is unpacked. No IO.

    | 3 bytes: length of the body | 1: sequence id | 3: length of the content, 0: the body is the content | body |

The content is a piece of the stream of ordinary packets, cut anywhere: one packet, a hundred, a part of one. The
sequence ids here count compressed packets. Those of the packets inside are looked at by nobody and often wrong
(libmariadb writes 0 in all, servers go on with the outer one after a flush), so that they have to be made anew for a
side that is not compressed. Whose turn it is, and so which id is due, is the business of the caller.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression_packet.html
"""

import zlib
from enum import StrEnum
from functools import cache
from typing import Final, Protocol

import zstandard

from proxy.wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION_ALGORITHM
from proxy.wire.framing import MAX_PAYLOAD, ProtocolError

HEADER: Final = 7

LEAST: Final = 50
"""Shorter contents are never compressed: MIN_COMPRESS_LENGTH of every server and client."""

MOST: Final = 1 << 20
"""Longer contents are not compressed either: it would keep everybody else waiting, 250 ms for 16 MiB with zlib."""

# One event loop serves everybody: a reply of 64 KiB takes zlib 1 ms at level 1 and three times that at its usual 6,
# for a tenth less. zstd is faster at its usual 3, and asks for more memory and time above.
_ZLIB_LEVEL: Final = 1
_ZSTD_LEVELS: Final = range(1, 4)
# A frame of a content known to be 16 MiB needs no larger window, whatever level it was made with.
_ZSTD_WINDOW: Final = 1 << 25


class CompressionError(ProtocolError):
    """What came is not what was compressed."""


class Algorithm(StrEnum):
    """What a connection can be compressed with."""

    ZLIB = "zlib"
    ZSTD = "zstd"


CAPABILITIES: Final = {Algorithm.ZLIB: CLIENT_COMPRESS, Algorithm.ZSTD: CLIENT_ZSTD_COMPRESSION_ALGORITHM}
"""The bit in which both sides agree on each."""

ANY: Final = CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM


def agreed(capabilities: int) -> Algorithm | None:
    """What these capabilities amount to; zlib where both bits are set, as servers read it."""
    if not capabilities & ANY:
        return None
    return next((algorithm for algorithm, bit in CAPABILITIES.items() if capabilities & bit), None)


class Codec(Protocol):
    """One way to compress. Keeps nothing from one content to the next."""

    def compress(self, content: bytes) -> bytes: ...

    def expand(self, body: bytes, size: int) -> bytes:
        """The content, of exactly `size` bytes, or CompressionError: never more than that is made."""


class Zlib:
    def compress(self, content: bytes) -> bytes:
        return zlib.compress(content, _ZLIB_LEVEL)

    def expand(self, body: bytes, size: int) -> bytes:
        stream = zlib.decompressobj()
        try:
            content = stream.decompress(body, size + 1)  # one more, since without it the checksum is not looked at
        except zlib.error as error:
            raise CompressionError(str(error)) from None
        if len(content) != size or not stream.eof or stream.unused_data:
            raise CompressionError(f"not the {size} bytes that were announced")
        return content


class Zstd:
    """Each content is a frame of its own."""

    def __init__(self, level: int) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._expander = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)

    def compress(self, content: bytes) -> bytes:
        return self._compressor.compress(content)

    def expand(self, body: bytes, size: int) -> bytes:
        try:
            # A frame may say its size, and then decompress() believes it rather than us.
            if zstandard.frame_content_size(body) not in (-1, size):
                raise CompressionError(f"not the {size} bytes that were announced")
            content = self._expander.decompress(body, max_output_size=size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CompressionError(str(error)) from None
        if len(content) != size:
            raise CompressionError(f"not the {size} bytes that were announced")
        return content


_ZLIB: Final = Zlib()


def codec(algorithm: Algorithm, level: int = _ZSTD_LEVELS[-1]) -> Codec:
    """The one that all connections share. `level` is what the peer asks zstd for; it gets 1 to 3."""
    return _ZLIB if algorithm is Algorithm.ZLIB else _zstd(min(max(level, _ZSTD_LEVELS[0]), _ZSTD_LEVELS[-1]))


@cache
def _zstd(level: int) -> Zstd:
    return Zstd(level)


def pack(data: bytes, seq: int, using: Codec) -> tuple[bytes, int]:
    """`data` as compressed packets of which the first has sequence id `seq`, and the id that is due after them."""
    parts: list[bytes] = []
    for at in range(0, len(data), MAX_PAYLOAD):
        content = data[at : at + MAX_PAYLOAD]
        body = using.compress(content) if LEAST <= len(content) <= MOST else content
        parts.append(_packet(body, seq, len(content)) if len(body) < len(content) else _packet(content, seq, 0))
        seq = (seq + 1) & 0xFF
    return b"".join(parts), seq


def _packet(body: bytes, seq: int, size: int) -> bytes:
    return (len(body) | seq << 24 | size << 32).to_bytes(HEADER, "little") + body


class Headers:
    """Follows the headers of the packets inside through a stream that is cut anywhere."""

    __slots__ = ("_begun", "_left")

    def __init__(self) -> None:
        self._begun = b""  # of a header
        self._left = 0  # bytes of a payload

    def unfinished(self, found: list[tuple[int, int]], size: int) -> int:
        """After walk() of `size` bytes: how many at their end belong to a packet that is not whole; `size` for all."""
        if self._begun:
            return min(len(self._begun), size)
        if self._left:
            return min(size - found[-1][0] + 3, size) if found else size
        return 0

    def walk(self, data: bytes) -> list[tuple[int, int]]:
        """For each packet whose header ends in `data`: where its sequence id is, and the length of its payload."""
        found: list[tuple[int, int]] = []
        size = len(data)
        at = self._left
        while at < size:
            need = 4 - len(self._begun)
            if at + need > size:
                self._begun += data[at:]
                self._left = 0
                return found
            if need == 4:
                length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            else:
                length = int.from_bytes((self._begun + data[at : at + need])[:3], "little")
                self._begun = b""
            at += need
            found.append((at - 1, length))
            at += length
        self._left = at - size
        return found


class Unpacker:
    """Cuts what comes into compressed packets and opens them, one at a time: what nobody has asked for yet is kept
    small.
    """

    __slots__ = ("_buffer", "_codec")

    def __init__(self, using: Codec) -> None:
        self._codec = using
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes fed and not opened yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """Sequence id and content of the next packet, at most 16 MiB of it; None while it is incomplete.

        Raises CompressionError for what cannot be opened, and for a packet without content.
        """
        buffer = self._buffer
        if len(buffer) < HEADER:
            return None
        length = buffer[0] | buffer[1] << 8 | buffer[2] << 16
        size = buffer[4] | buffer[5] << 8 | buffer[6] << 16
        if not length:
            raise CompressionError("a compressed packet without content")
        end = HEADER + length
        if len(buffer) < end:
            return None
        seq = buffer[3]
        body = bytes(memoryview(buffer)[HEADER:end])
        if len(buffer) == end:
            self._buffer = bytearray()  # a new one: the old one's memory goes with it
        else:
            del buffer[:end]
        return seq, self._codec.expand(body, size) if size else body
