"""Compressed packets: byte by byte as the manual draws them, and what may not be opened."""

import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.compression import (
    Algorithm,
    Codec,
    CompressionError,
    Headers,
    Unpacker,
    Zlib,
    Zstd,
    agreed,
    codec,
    pack,
)
from proxy.wire.constants import CLIENT_COMPRESS, CLIENT_PROTOCOL_41, CLIENT_ZSTD_COMPRESSION_ALGORITHM
from proxy.wire.framing import frame

CODECS = [Zlib(), Zstd(3)]
EVERY_CODEC = pytest.mark.parametrize("using", CODECS, ids=["zlib", "zstd"])


def packet(body: bytes, seq: int = 0, size: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((seq,)) + size.to_bytes(3, "little") + body


def opened(data: bytes, using: Codec) -> list[tuple[int, bytes]]:
    unpacker = Unpacker(using)
    unpacker.feed(data)
    found = []
    while (one := unpacker.next()) is not None:
        found.append(one)
    assert unpacker.pending == 0
    return found


@pytest.mark.parametrize(
    ("capabilities", "algorithm"),
    [
        (CLIENT_PROTOCOL_41, None),
        (CLIENT_COMPRESS, Algorithm.ZLIB),
        (CLIENT_ZSTD_COMPRESSION_ALGORITHM, Algorithm.ZSTD),
        (CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM, Algorithm.ZLIB),
    ],
)
def test_the_capabilities_say_how(capabilities: int, algorithm: Algorithm | None) -> None:
    assert agreed(capabilities) is algorithm


def test_a_compressed_packet_opens_to_what_was_put_in() -> None:
    query = b"\x2e\0\0\0\x03" + b'select "012345678901234567890123456789012345"'
    assert opened(packet(zlib.compress(query), 0, len(query)), Zlib()) == [(0, query)]


def test_short_contents_stay_as_they_are() -> None:
    """The manual's uncompressed packet: 09 00 00 00 00 00 00 | 05 00 00 00 03 53 45 4c .."""
    query = bytes.fromhex("05000000034453454c")
    assert pack(query, 0, Zlib()) == (bytes.fromhex("09000000000000") + query, 1)
    assert pack(b"a" * 49, 255, Zlib()) == (packet(b"a" * 49, 255), 0)
    assert pack(b"a" * 50, 7, Zlib()) == (packet(zlib.compress(b"a" * 50, 1), 7, 50), 8)


@EVERY_CODEC
def test_what_would_only_grow_stays_as_it_is(using: Codec) -> None:
    noise = bytes(range(200))
    assert pack(noise, 1, using) == (packet(noise, 1), 2)


@EVERY_CODEC
def test_more_than_16_mib_goes_in_several_packets(using: Codec) -> None:
    data = bytes(0xFFFFFF) + b"0123456789" * 10
    packed, due = pack(data, 255, using)
    assert due == 1
    assert opened(packed, using) == [(255, bytes(0xFFFFFF)), (0, b"0123456789" * 10)]


@EVERY_CODEC
def test_what_would_keep_others_waiting_stays_as_it_is(using: Codec) -> None:
    assert len(pack(bytes(1 << 20), 0, using)[0]) < 1 << 16
    assert pack(bytes((1 << 20) + 1), 0, using) == (packet(bytes((1 << 20) + 1)), 1)


@EVERY_CODEC
@given(pieces=st.lists(st.one_of(st.binary(min_size=1, max_size=200), st.integers(50, 5000).map(bytes)), max_size=5))
def test_byte_at_a_time_it_is_the_same(using: Codec, pieces: list[bytes]) -> None:
    packed = b""
    due = 0
    for piece in pieces:
        more, due = pack(piece, due, using)
        packed += more
    unpacker = Unpacker(using)
    found = []
    for at in range(len(packed)):
        unpacker.feed(packed[at : at + 1])
        while (one := unpacker.next()) is not None:
            found.append(one)
    assert found == list(enumerate(pieces))
    assert opened(packed, using) == found


@EVERY_CODEC
@given(noise=st.binary(max_size=300))
def test_anything_is_opened_or_refused(using: Codec, noise: bytes) -> None:
    unpacker = Unpacker(using)
    unpacker.feed(noise)
    try:
        while unpacker.next() is not None:
            pass
    except CompressionError:
        pass


@EVERY_CODEC
@pytest.mark.parametrize("announced", [1, 99, 101, 0xFFFFFF])
def test_a_content_of_another_size_is_refused(using: Codec, announced: int) -> None:
    with pytest.raises(CompressionError):
        opened(packet(using.compress(bytes(100)), 0, announced), using)


@EVERY_CODEC
def test_a_bomb_is_not_opened_beyond_what_it_announced(using: Codec) -> None:
    bomb = using.compress(bytes(64 << 20))
    assert len(bomb) < 1 << 20
    with pytest.raises(CompressionError):
        using.expand(bomb, 1000)


def test_a_frame_that_hides_its_size_is_not_opened_beyond_what_it_announced() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))
    assert zstandard.frame_content_size(bomb) == -1
    with pytest.raises(CompressionError):
        Zstd(3).expand(bomb, 1000)
    content = b"no size in it" * 10
    assert Zstd(3).expand(zstandard.ZstdCompressor(write_content_size=False).compress(content), 130) == content


@EVERY_CODEC
def test_what_is_broken_or_followed_by_more_is_refused(using: Codec) -> None:
    body = using.compress(b"something" * 20)
    for broken in (body[:-1], body + b"x", body + body, b"\xff" * 20):
        with pytest.raises(CompressionError):
            using.expand(broken, 180)


def test_a_packet_without_content_is_refused() -> None:
    """It would be one more sequence id for nothing."""
    with pytest.raises(CompressionError):
        opened(packet(b""), Zlib())


@pytest.mark.parametrize(("asked", "same_as"), [(0, 1), (1, 1), (2, 2), (3, 3), (22, 3), (255, 3)])
def test_clients_choose_zstds_level_within_what_all_can_bear(asked: int, same_as: int) -> None:
    assert codec(Algorithm.ZSTD, asked) is codec(Algorithm.ZSTD, same_as)
    assert codec(Algorithm.ZSTD, 1) is not codec(Algorithm.ZSTD, 3)
    assert codec(Algorithm.ZLIB, asked) is codec(Algorithm.ZLIB)


@given(sizes=st.lists(st.integers(0, 300), max_size=5), data=st.data())
def test_headers_are_followed_through_any_chunking(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(frame(bytes(size), seq) for seq, size in enumerate(sizes))
    headers = Headers()
    found = []
    at = 0
    while at < len(stream):
        chunk = stream[at : at + data.draw(st.integers(1, 50))]
        walked = headers.walk(chunk)
        found += [(chunk[where], length) for where, length in walked]
        at += len(chunk)
        ends = [end for end in (sum(sizes[:n]) + 4 * n for n in range(len(sizes) + 1)) if end <= at]
        assert headers.unfinished(walked, len(chunk)) == min(at - ends[-1], len(chunk))
    assert found == list(enumerate(sizes))
