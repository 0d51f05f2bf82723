"""Packets and commands, from any chunking, and what is refused before it is buffered."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.framing import (
    MAX_PAYLOAD,
    CommandFramer,
    PacketTooLarge,
    ProtocolError,
    frame,
    message_end,
    payload_of,
)

LIMIT = 64 << 20


def commands(framer: CommandFramer) -> list[bytes]:
    taken = []
    while (raw := framer.next()) is not None:
        taken.append(raw)
    return taken


# --- frame, payload_of


@pytest.mark.parametrize(
    ("payload", "seq", "raw"),
    [
        (b"", 0, b"\0\0\0\0"),
        (b"\x0e", 0, b"\1\0\0\0\x0e"),
        (b"abc", 255, b"\3\0\0\xffabc"),
        (b"abc", 256, b"\3\0\0\0abc"),
        (b"x" * 300, 1, b"\x2c\1\0\1" + b"x" * 300),
    ],
)
def test_frame(payload: bytes, seq: int, raw: bytes) -> None:
    assert frame(payload, seq) == raw
    assert payload_of(raw) == payload


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (MAX_PAYLOAD - 1, [MAX_PAYLOAD - 1]),
        (MAX_PAYLOAD, [MAX_PAYLOAD, 0]),
        (MAX_PAYLOAD + 1, [MAX_PAYLOAD, 1]),
        (2 * MAX_PAYLOAD, [MAX_PAYLOAD, MAX_PAYLOAD, 0]),
    ],
)
def test_frame_splits_at_16_mb_and_never_ends_on_a_full_packet(size: int, lengths: list[int]) -> None:
    payload = bytes(size)
    raw = frame(payload, 254)
    at = 0
    for number, length in enumerate(lengths):
        assert raw[at : at + 4] == length.to_bytes(3, "little") + bytes([(254 + number) & 0xFF])
        at += 4 + length
    assert at == len(raw)
    assert payload_of(raw) == payload


@pytest.mark.parametrize("raw", [b"", b"\1\0\0", b"\1\0\0\0", b"\1\0\0\0ab", b"\1\0\0\0a\1\0\0\1b", b"\2\0\0\0a"])
def test_payload_of_what_is_not_one_message(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        payload_of(raw)


def test_message_end() -> None:
    assert message_end(b"..\1\0\0\0a..", 2) == 7
    assert message_end(b"..\2\0\0\0a", 2) == -1
    full = frame(bytes(MAX_PAYLOAD))
    assert message_end(full, 0) == len(full)
    assert message_end(full[:-1], 0) == -1
    assert message_end(full[:-4], 0) == -1


# --- CommandFramer


def test_a_chunk_that_is_one_command_is_not_copied() -> None:
    framer = CommandFramer(LIMIT)
    for payload in (b"\x03SELECT 1", b"\x0e"):
        raw = frame(payload)
        framer.feed(raw)
        assert framer.next() is raw
        assert framer.next() is None
        assert framer.pending == 0


def test_commands_in_one_chunk_leave_nothing_behind() -> None:
    framer = CommandFramer(LIMIT)
    first, second = frame(b"\x03SELECT 1"), frame(b"\x0e")
    framer.feed(first + second)
    assert framer.pending == len(first) + len(second)
    assert framer.next() == first
    assert framer.pending == len(second)
    assert framer.next() == second
    assert framer.pending == 0


def test_a_large_command_in_one_chunk_is_not_copied() -> None:
    framer = CommandFramer(LIMIT)
    raw = frame(b"\x03" + bytes(MAX_PAYLOAD))
    framer.feed(raw)
    assert framer.next() is raw


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), st.data())
def test_commands_come_out_as_they_went_in_whatever_the_chunks(payloads: list[bytes], data: st.DataObject) -> None:
    raws = [frame(payload) for payload in payloads]
    stream = b"".join(raws)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    edges = [0, *sorted(cuts), len(stream)]
    eager, lazy = CommandFramer(LIMIT), CommandFramer(LIMIT)
    taken: list[bytes] = []
    for start, end in pairwise(edges):
        eager.feed(stream[start:end])
        taken += commands(eager)
        lazy.feed(stream[start:end])
    assert taken == raws
    assert lazy.pending == len(stream)
    assert commands(lazy) == raws
    assert eager.pending == lazy.pending == 0


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_byte_by_byte(payloads: list[bytes]) -> None:
    framer = CommandFramer(LIMIT)
    for payload in payloads:
        raw = frame(payload)
        for at in range(len(raw)):
            assert framer.next() is None
            assert framer.pending == at
            framer.feed(raw[at : at + 1])
        assert framer.next() == raw


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD + 5])
def test_large_commands_in_pieces(size: int) -> None:
    raw = frame(b"\x03" + bytes(size - 1))
    behind = frame(b"\x0e")
    framer = CommandFramer(LIMIT)
    stream = raw + behind
    taken = []
    for at in range(0, len(stream), 1 << 18):
        framer.feed(stream[at : at + (1 << 18)])
        taken += commands(framer)
    assert taken == [raw, behind]


def test_a_large_command_cut_at_its_second_header() -> None:
    raw = frame(b"\x03" + bytes(MAX_PAYLOAD + 2))
    for cut in range(MAX_PAYLOAD + 4 - 1, MAX_PAYLOAD + 4 + 6):
        framer = CommandFramer(LIMIT)
        framer.feed(raw[:cut])
        assert framer.next() is None
        framer.feed(raw[cut:])
        assert framer.next() == raw


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\1\0\0\1\x0e", "sequence id 1 where 0 was due"),
        (b"\5\0\0\7", "sequence id 7"),
        (b"\0\0\0\0", "empty command"),
        (b"GET / HTTP/1.1\r\n", "sequence id"),
    ],
)
def test_refused_from_the_header_alone(data: bytes, why: str) -> None:
    framer = CommandFramer(LIMIT)
    framer.feed(data)
    with pytest.raises(ProtocolError, match=why):
        framer.next()
    framer = CommandFramer(LIMIT)
    for at in range(4):
        assert framer.next() is None
        framer.feed(data[at : at + 1])
    with pytest.raises(ProtocolError, match=why):
        framer.next()


def test_sequence_ids_of_a_large_command_count_up() -> None:
    framer = CommandFramer(LIMIT)
    framer.feed(frame(b"\x03" + bytes(MAX_PAYLOAD - 1))[:-4] + b"\1\0\0\2x")
    with pytest.raises(ProtocolError, match="sequence id 2 where 1 was due"):
        framer.next()


def test_too_large_a_command_is_refused_before_it_is_there() -> None:
    framer = CommandFramer(1000)
    exact = frame(b"\x03" + bytes(999))
    framer.feed(exact)
    assert framer.next() is exact
    framer.feed(frame(bytes(1001))[:4])
    with pytest.raises(PacketTooLarge) as refused:
        framer.next()
    assert (refused.value.size, refused.value.limit) == (1001, 1000)


def test_a_whole_chunk_too_large_is_refused() -> None:
    framer = CommandFramer(1000)
    framer.feed(frame(bytes(1001)))
    with pytest.raises(PacketTooLarge):
        framer.next()


def test_the_limit_counts_all_packets_of_a_command() -> None:
    framer = CommandFramer(MAX_PAYLOAD + 10)
    framer.feed(frame(b"\x03" + bytes(MAX_PAYLOAD - 1))[:-4] + b"\x0b\0\0\1")
    with pytest.raises(PacketTooLarge):
        framer.next()


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_garbage_is_refused_or_waited_on_and_no_byte_is_lost(chunks: list[bytes]) -> None:
    framer = CommandFramer(LIMIT)
    fed = b"".join(chunks)
    taken: list[bytes] = []
    try:
        for chunk in chunks:
            framer.feed(chunk)
            taken += commands(framer)
    except ProtocolError:
        pass
    else:
        assert framer.pending == len(fed) - sum(map(len, taken))
    assert fed.startswith(b"".join(taken))


def test_the_packets_of_a_file_come_one_by_one_whatever_their_ids() -> None:
    """LOAD DATA LOCAL INFILE: the client goes on counting where the server's request stopped, and ends with nothing."""
    packets = [frame(b"1,2\n", 2), frame(b"3,4\n", 3), frame(b"", 4)]
    command = frame(b"\x0e")
    stream = b"".join([*packets, command])
    for cut in range(len(stream)):
        framer = CommandFramer(LIMIT)
        taken: list[bytes] = []
        for piece in (stream[:cut], stream[cut:]):
            framer.feed(piece)
            while len(taken) < 3 and (packet := framer.next_packet()) is not None:
                taken.append(packet)
        assert taken == packets
        assert framer.next() == command
