"""Exact reads: whatever way the bytes come, a packet is read whole and nothing behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.channel import ClientChannel
from proxy.wire.framing import PacketTooLarge, ProtocolError
from tests.proxy.login_client import packet

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


@asynccontextmanager
async def channel(max_packet: int = 1000) -> AsyncIterator[tuple[ClientChannel, socket.socket]]:
    """A channel and the other end of its connection."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    made = ClientChannel(max_packet)
    with theirs:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: made, ours)
        try:
            async with asyncio.timeout(10):
                yield made, theirs
        finally:
            made.transport.abort()
            while not made.closed:
                await asyncio.sleep(0)


class Collector(asyncio.Protocol):
    def __init__(self) -> None:
        self.got = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


class Paused:
    """A transport that only counts: for packets that were read before the channel was there."""

    def __init__(self) -> None:
        self.written = b""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def pause_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += data


def test_what_follows_a_packet_is_left_for_the_next_protocol(run: Run) -> None:
    async def read() -> None:
        async with channel() as (ours, theirs):
            theirs.sendall(packet(0, b"first") + packet(1, b"") + b"\x05\x00\x00what follows" * 1000)
            assert await ours.receive() == b"first"
            assert await ours.receive() == b""
            assert ours.seq == 2
            assert ours.unread == b""
            collector = Collector()
            ours.transport.set_protocol(collector)
            ours.transport.resume_reading()
            theirs.shutdown(socket.SHUT_WR)
            await collector.ended
            ours.closed = True
            assert collector.got == b"\x05\x00\x00what follows" * 1000

    run(read())


def test_who_is_given_the_connection_when_a_packet_has_come_gets_all_that_follows(run: Run) -> None:
    """In the same turn of the loop, without a pause in between."""

    async def read() -> None:
        async with channel() as (ours, theirs):
            collector = Collector()
            ours.on_first(lambda: ours.give_to(collector))
            theirs.sendall(packet(0, b"first") + b"behind it")
            while not collector.got:
                await asyncio.sleep(0)
            theirs.sendall(b", and later")
            theirs.shutdown(socket.SHUT_WR)
            await collector.ended
            ours.closed = True
            assert (ours.waiting, collector.got) == (b"first", b"behind it, and later")

    run(read())


def test_packets_byte_by_byte(run: Run) -> None:
    async def read() -> None:
        async with channel() as (ours, theirs):
            reading = asyncio.create_task(ours.receive(), name="receive")
            for byte in packet(0, b"slow"):
                assert not reading.done()
                theirs.send(bytes((byte,)))
                for _ in range(5):
                    await asyncio.sleep(0)
            assert await reading == b"slow"

    run(read())


def test_out_of_sequence_and_too_large_are_refused_from_the_header_alone(run: Run) -> None:
    async def read() -> None:
        async with channel() as (ours, theirs):
            theirs.send(packet(7, b"x")[:4])
            with pytest.raises(ProtocolError, match="packet 7 came where packet 0 was due"):
                await ours.receive()
            assert ours.seq == 8
        async with channel(max_packet=10) as (ours, theirs):
            theirs.send(packet(0, bytes(10)) + packet(1, bytes(11))[:4])
            assert await ours.receive() == bytes(10)
            for _ in range(2):
                with pytest.raises(PacketTooLarge):
                    await ours.receive()

    run(read())


@pytest.mark.parametrize("sent", [b"", b"\x05\x00", packet(0, b"hello")[:-1]])
def test_a_client_that_is_gone_is_noticed(run: Run, sent: bytes) -> None:
    async def read() -> None:
        async with channel() as (ours, theirs):
            theirs.send(sent)
            theirs.close()
            for _ in range(2):
                with pytest.raises(ConnectionResetError):
                    await ours.receive()
            with pytest.raises(ConnectionResetError):
                ours.send(b"too late")
            await ours.close_after(b"too late")

    run(read())


def test_the_last_packet_arrives_while_the_client_is_still_sending(run: Run) -> None:
    async def read() -> None:
        async with channel() as (ours, theirs):
            theirs.setblocking(False)
            sent = theirs.send(bytes(100_000))
            assert sent > 10_000
            closing = asyncio.create_task(ours.close_after(packet(0, b"the end")), name="close")
            got = await asyncio.get_running_loop().sock_recv(theirs, 100)
            assert got == packet(0, b"the end")
            assert await asyncio.get_running_loop().sock_recv(theirs, 100) == b""
            theirs.close()
            await closing
            assert ours.closed

    run(read())


def test_a_client_that_stays_after_the_last_packet_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.channel.SHUTDOWN_SECONDS", 0.02)

    async def read() -> None:
        async with channel() as (ours, _theirs):
            await ours.close_after(packet(0, b"the end"))
            assert ours.transport.is_closing()

    run(read())


def test_a_client_that_never_stops_sending_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.channel.SHUTDOWN_SECONDS", 60)

    async def read() -> None:
        async with channel() as (ours, theirs):
            theirs.setblocking(False)
            closing = asyncio.create_task(ours.close_after(packet(0, b"the end")), name="close")
            with pytest.raises(OSError):
                await asyncio.get_running_loop().sock_sendall(theirs, bytes(20_000_000))
            await closing

    run(read())


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.binary(max_size=50))
def test_bytes_read_earlier_are_used_first_and_the_rest_given_back(payloads: list[bytes], rest: bytes) -> None:
    early = b"".join(packet(seq + 1, payload) for seq, payload in enumerate(payloads)) + rest

    async def read() -> None:
        transport: Any = Paused()
        made = ClientChannel.take_over(transport, 1000, seq=1, early=early)
        assert [await made.receive() for _ in payloads] == payloads
        assert made.unread == rest
        made.send(b"x")
        assert transport.written == packet(len(payloads) + 1, b"x")

    uvloop.run(read())
