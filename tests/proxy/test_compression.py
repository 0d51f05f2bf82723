"""The layer between a transport and its protocol: what either side sees, how packets are numbered, who waits."""

import asyncio
import zlib
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.channel import ClientChannel
from proxy.compression import FromClient, ToNode
from proxy.counters import Metrics
from proxy.frontend import PIPELINED_BYTES, Conversation, Frontend
from proxy.wire.compression import Unpacker, Zlib, Zstd, pack
from proxy.wire.framing import frame
from proxy.wire.packets import parse_error

SELECT = frame(b"\x03SELECT 1")
LONG = frame(b"\x03SELECT " + b"'all the same' " * 20)
OK = frame(b"\0\0\0\x02\0\0\0", 1)


def packet(body: bytes, seq: int = 0, size: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((seq,)) + size.to_bytes(3, "little") + body


def squeezed(data: bytes, seq: int = 0) -> bytes:
    return packet(zlib.compress(data), seq, len(data))


class Below(asyncio.Transport):
    """A transport in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.9", 1)})
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self.written = b""
        self.reading = True
        self.closing = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def receives(self, *data: bytes) -> None:
        assert isinstance(self.protocol, asyncio.Protocol)
        for one in data:
            self.protocol.data_received(one)

    def sent(self) -> list[tuple[int, bytes]]:
        """Sequence id and content of each packet written since the last time."""
        unpacker = Unpacker(Zlib())
        unpacker.feed(self.written)
        self.written = b""
        found = []
        while (one := unpacker.next()) is not None:
            found.append(one)
        assert not unpacker.pending
        return found


class Heard(Conversation):
    """A conversation that notes what it is told, and answers when the test says so."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.events: list[str] = []

    def command(self, raw: bytes) -> None:
        self.commands.append(raw)

    def client_paused(self) -> None:
        self.events.append("paused")

    def client_resumed(self) -> None:
        self.events.append("resumed")

    def client_gone(self) -> None:
        self.events.append("gone")


class Client:
    """A Frontend behind the layer, in the command phase."""

    def __init__(self, limit: int = 1 << 26) -> None:
        self.below = Below()
        self.heard = Heard()
        self.metrics = Metrics([], "")
        layer = FromClient(self.below, Zlib())
        self.frontend = Frontend(layer, layer.numbering(self.heard), self.metrics, max_command_bytes=limit)
        layer.set_protocol(self.frontend)
        self.layer = layer

    def replies(self, *data: bytes) -> list[tuple[int, bytes]]:
        """Writes each by itself, then is ready for the next command."""
        for one in data:
            self.frontend.write(one)
        self.frontend.ready()
        return self.below.sent()


async def turn() -> None:
    await asyncio.sleep(0)


async def test_nothing_is_compressed_before_a_protocol_takes_over() -> None:
    below = Below()
    layer = FromClient(below, Zlib())
    assert layer.get_protocol() is below.protocol
    layer.write(OK * 20)
    assert below.written == OK * 20
    below.written = b""
    taken = asyncio.Protocol()
    layer.set_protocol(taken)
    assert (layer.get_protocol(), below.protocol) == (taken, layer)
    layer.write(OK * 20)
    assert below.sent() == [(0, OK * 20)]
    assert layer.get_extra_info("peername") == ("10.0.0.9", 1)


async def test_a_reply_goes_on_where_its_command_ended() -> None:
    client = Client()
    client.below.receives(packet(SELECT))
    assert client.heard.commands == [SELECT]
    assert client.replies(OK, LONG) == [(1, OK), (2, LONG)]
    # A command in three compressed packets; the next one begins at 0 again.
    client.below.receives(packet(LONG[:10], 0), packet(LONG[10:60], 1), squeezed(LONG[60:], 2))
    assert client.heard.commands == [SELECT, LONG]
    assert client.replies(OK) == [(3, OK)]
    client.below.receives(squeezed(LONG))
    assert client.replies(OK) == [(1, OK)]


async def test_commands_sent_ahead_are_answered_with_their_own_numbers() -> None:
    client = Client()
    client.below.receives(packet(SELECT) + packet(LONG[:100], 0) + packet(LONG[100:], 1) + packet(SELECT))
    assert client.heard.commands == [SELECT]
    assert client.replies(OK, OK) == [(1, OK), (2, OK)]
    assert client.heard.commands[1:] == [LONG]
    assert client.replies(OK) == [(2, OK)]
    assert client.replies(OK) == [(1, OK)]


async def test_commands_in_one_compressed_packet_are_one_exchange() -> None:
    """As a server counts: what it reads without a new packet continues the last one's numbers."""
    client = Client()
    client.below.receives(squeezed(SELECT + LONG))
    assert client.replies(OK) == [(1, OK)]
    assert client.replies(OK) == [(2, OK)]


async def test_a_packet_is_never_spread_over_compressed_ones() -> None:
    rows = [frame(b"row" * 30, at) for at in range(1, 4)]
    stream = b"".join(rows)
    for size in (1, 2, 3, 50, 96, 100, 150):
        client = Client()
        client.below.receives(packet(SELECT))
        for at in range(0, len(stream), size):
            client.frontend.write(stream[at : at + size])
        sent = client.below.sent()
        assert b"".join(content for _, content in sent) == stream
        assert [seq for seq, _ in sent] == list(range(1, len(sent) + 1))
        for _, content in sent:
            assert content in (rows[0], rows[1], rows[2], rows[0] + rows[1], rows[1] + rows[2])


async def test_numbers_wrap_within_an_exchange() -> None:
    client = Client()
    command = frame(b"\x03" + b"x" * 255)
    client.below.receives(*(packet(command[at : at + 1], at & 0xFF) for at in range(len(command))))
    assert client.heard.commands == [command]
    assert client.replies(OK) == [(260 & 0xFF, OK)]
    client.below.receives(packet(SELECT))
    seqs = [seq for seq, _ in client.replies(*[OK] * 300)]
    assert seqs == [at & 0xFF for at in range(1, 301)]


async def test_a_client_that_answers_within_its_exchange_goes_on_counting() -> None:
    """LOAD DATA LOCAL: request, the file, its end, the verdict."""
    client = Client()
    client.below.receives(packet(SELECT))
    client.frontend.write(frame(b"\xfbfile", 1))
    assert client.below.sent() == [(1, frame(b"\xfbfile", 1))]
    client.below.receives(packet(frame(b"content", 2), 2), packet(frame(b"", 3), 3))
    assert client.frontend.suspend() == frame(b"content", 2) + frame(b"", 3)
    assert client.replies(frame(OK[4:], 4)) == [(4, frame(OK[4:], 4))]


async def test_a_number_that_is_not_due_ends_the_connection() -> None:
    client = Client()
    client.below.receives(packet(SELECT, 1))
    ((_, error),) = client.below.sent()
    assert (parse_error(error[4:]).code, client.below.closing) == (1157, True)
    assert client.heard.commands == []


@pytest.mark.parametrize("broken", [packet(b""), packet(b"no zlib at all", 0, 99), squeezed(bytes(99))[:-1] + b"x"])
async def test_what_cannot_be_opened_ends_the_connection(broken: bytes) -> None:
    client = Client()
    client.below.receives(broken + packet(SELECT))
    ((_, error),) = client.below.sent()
    assert (parse_error(error[4:]).code, parse_error(error[4:]).sqlstate) == (1157, "08S01")
    assert client.below.closing
    assert client.metrics.errors_made["bad-compression"] == 1
    assert client.heard.commands == []
    client.below.receives(packet(SELECT))  # nothing comes through any more
    assert client.heard.commands == []


async def test_within_a_reply_no_error_is_put() -> None:
    client = Client()
    client.below.receives(packet(SELECT), packet(b""))
    assert (client.below.written, client.below.aborted) == (b"", True)


async def test_a_bomb_is_opened_no_faster_than_commands_are_taken() -> None:
    """A hundred times 16 MiB in 1.6 MiB: of what follows the first command only as much is opened as is bounded."""
    client = Client()
    many = frame(b"\x03" + bytes(0xFFFFF0))
    client.below.receives(packet(SELECT))
    bomb = squeezed(many)
    client.below.receives(bomb * 100)
    assert not client.below.reading
    assert PIPELINED_BYTES < client.frontend.pending <= len(many)
    client.replies(OK)
    await turn()
    await turn()
    assert client.heard.commands[1] == many
    assert client.frontend.pending <= len(many)


async def test_a_command_over_the_limit_is_refused_as_ever() -> None:
    client = Client(limit=1000)
    client.below.receives(squeezed(frame(b"\x03" + bytes(1000))))
    ((_, error),) = client.below.sent()
    assert parse_error(error[4:]).code == 1153


async def test_flow_control_and_the_end_pass_through() -> None:
    client = Client()
    client.layer.pause_writing()
    client.layer.resume_writing()
    client.layer.eof_received()
    client.layer.connection_lost(None)
    assert client.heard.events == ["paused", "resumed", "gone"]
    client.layer.close()
    assert client.layer.is_closing()


async def test_what_came_before_the_end_is_handed_up_before_it() -> None:
    client = Client()
    client.layer.pause_reading()
    client.below.receives(packet(SELECT))
    assert client.heard.commands == []
    client.layer.resume_reading()
    client.layer.eof_received()
    assert client.heard.commands == [SELECT]


async def test_an_exchange_of_single_packets_reads_exactly() -> None:
    """COM_CHANGE_USER: the channel takes a packet at a time, and what follows is there for the session."""
    client = Client()
    client.below.receives(packet(SELECT))
    early = client.frontend.suspend()
    channel = ClientChannel.take_over(client.layer, 1 << 16, seq=1, early=early)
    channel.send(b"switch")
    assert client.below.sent() == [(1, frame(b"switch", 1))]
    answer = asyncio.ensure_future(channel.receive())
    await turn()
    client.below.receives(packet(frame(b"answer", 2), 2) + packet(SELECT))
    assert await answer == b"answer"
    assert client.heard.commands == [SELECT]
    client.layer.write(frame(OK[4:], 3))
    assert client.below.sent() == [(3, frame(OK[4:], 3))]
    client.layer.set_protocol(client.frontend)
    client.layer.resume_reading()
    client.frontend.ready()
    await turn()
    assert client.heard.commands == [SELECT, SELECT]


@given(data=st.data())
def test_any_chunking_gives_the_same_commands(data: st.DataObject) -> None:
    async def main() -> None:
        client = Client()
        commands = [frame(b"\x03" + bytes(size)) for size in data.draw(st.lists(st.integers(1, 300), max_size=6))]
        stream = b""
        for command in commands:
            cut = data.draw(st.integers(0, len(command)))
            due = 0
            for part in (command[:cut], command[cut:]):
                if part:
                    packed, due = pack(part, due, Zlib())
                    stream += packed
        at = 0
        while at < len(stream):
            size = data.draw(st.integers(1, 40))
            client.below.receives(stream[at : at + size])
            at += size
        for count, command in enumerate(commands, 1):
            assert client.heard.commands[count - 1 :] == [command]
            assert [content for _, content in client.replies(OK)] == [OK]

    uvloop.run(main())


def test_a_layer_is_a_transport_as_the_one_below() -> None:
    layer = FromClient(Below(), Zlib())
    with pytest.raises(NotImplementedError):
        layer.can_write_eof()  # asked of the one below, which has none
    assert repr(layer).startswith("<FromClient ")
    layer.abort()
    assert layer.is_closing()


async def test_commands_are_numbered_as_without_compression_whatever_the_client_writes() -> None:
    """libmariadb writes 0 in every packet, and nobody checks it."""
    client = Client()
    big = frame(b"\x03" + bytes(17 << 20))
    careless = bytearray(big)
    assert careless[4 + 0xFFFFFF + 3] == 1
    careless[4 + 0xFFFFFF + 3] = 0
    packed, _ = pack(bytes(careless), 0, Zlib())
    client.below.receives(packed)
    assert client.heard.commands == [big]
    client.replies(OK)
    client.below.receives(packet(SELECT[:3] + b"\x07" + SELECT[4:]))
    assert client.heard.commands[1:] == [SELECT]


async def test_a_file_is_numbered_as_without_compression_whatever_the_client_writes() -> None:
    """The request was the reply's third packet inside, but the first outside."""
    client = Client()
    client.below.receives(packet(SELECT))
    client.frontend.write(frame(b"one", 1) + frame(b"two", 2) + frame(b"\xfbfile", 3)[:5])
    client.frontend.write(frame(b"\xfbfile", 3)[5:])
    client.below.receives(packet(frame(b"a", 3) + frame(b"b", 0), 3), packet(frame(b"c", 4)[:3], 4))
    client.below.receives(packet(frame(b"c", 4)[3:] + frame(b"", 9), 5))
    assert client.frontend.suspend() == b"".join(frame(part, at) for at, part in enumerate((b"a", b"b", b"c", b""), 4))


# Towards a node


class Replies(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


CLOSE = frame(b"\x19\x01\0\0\0")


def node(codec: Any = None) -> tuple[Below, ToNode, Replies]:
    below, replies = Below(), Replies()
    layer = ToNode(below, codec or Zlib())
    layer.set_protocol(replies)
    return below, layer, replies


def test_each_command_begins_at_0_and_is_packed_by_itself() -> None:
    below, layer, replies = node()
    layer.write(SELECT)
    below.receives(packet(OK, 1)[:5], packet(OK, 1)[5:])
    assert replies.take() == OK
    layer.write(LONG + SELECT)
    assert below.sent() == [(0, SELECT), (0, LONG), (0, SELECT)]
    below.receives(packet(OK, 1) + packet(OK, 1))
    assert replies.take() == OK + OK
    big = frame(b"\x03" + bytes(17 << 20))
    layer.write(CLOSE + big)
    sent = below.sent()
    assert sent[0] == (0, CLOSE)
    assert ([seq for seq, _ in sent[1:]], b"".join(content for _, content in sent[1:])) == ([0, 1], big)
    below.receives(packet(frame(OK[4:], 2), 2))
    assert replies.take() == frame(OK[4:], 2)
    layer.write(SELECT)
    assert below.sent() == [(0, SELECT)]


def test_a_reply_is_numbered_as_without_compression_whatever_the_node_writes() -> None:
    """After a flush in its middle a server goes on with the outer id. What a client sees has to count."""
    below, layer, replies = node()
    for _ in range(3):
        layer.write(SELECT)
        rows = [frame(b"row", at) for at in range(1, 401)]
        flushed = b"".join(packet(b"".join(rows[at : at + 40]), (at // 40 + 1)) for at in range(0, 360, 40))
        below.receives(flushed + packet(b"".join(frame(b"row", at) for at in range(10, 50)), 10))
        assert replies.take() == b"".join(rows)


def test_replies_of_commands_sent_together_are_numbered_each_by_itself() -> None:
    below, layer, replies = node()
    layer.write(SELECT)  # whose reply nobody waits for
    layer.write(SELECT + CLOSE + SELECT)
    below.receives(packet(OK, 1) + packet(OK + frame(b"more", 2), 1) + packet(frame(b"end", 9), 2) + packet(OK, 1))
    assert replies.take() == OK + OK + frame(b"more", 2) + frame(b"end", 3) + OK


def test_a_long_reply_does_not_run_into_the_next_one() -> None:
    """After 256 compressed packets the next reply begins with the id that would be due."""
    below, layer, replies = node()
    for count in (255, 256, 257):
        layer.write(SELECT)
        below.receives(*(packet(frame(b"row", at), at & 0xFF) for at in range(1, count + 1)))
        assert replies.take() == b"".join(frame(b"row", at) for at in range(1, count + 1))


def test_a_file_goes_on_where_the_request_ended() -> None:
    """However many packets: their ids wrap, and the command after it begins at 0 whatever the last one had."""
    below, layer, replies = node()
    for parts in (1, 253, 254, 255, 510):
        layer.write(SELECT)
        below.receives(packet(frame(b"\xfbfile", 1), 1))
        below.sent()
        for at in range(2, 2 + parts):
            layer.write(frame(b"part", at))
        layer.write(frame(b"", 2 + parts))
        assert [seq for seq, _ in below.sent()] == [at & 0xFF for at in range(2, 3 + parts)]
        replies.take()
        below.receives(packet(OK, (3 + parts) & 0xFF))
        assert replies.take() == frame(OK[4:], 3 + parts)
        layer.write(SELECT)
        assert below.sent() == [(0, SELECT)]
        below.receives(packet(OK, 1))
        assert replies.take() == OK


def test_a_node_that_sends_nonsense_is_cut_off_and_the_reason_is_told() -> None:
    below, layer, replies = node(Zstd(3))
    below.receives(packet(b"a notice that nobody asked for"))
    assert replies.take() == b"a notice that nobody asked for"
    below.receives(packet(b"no zstd", 1, 500))
    assert below.aborted
    layer.connection_lost(None)
    assert replies.lost is not None
