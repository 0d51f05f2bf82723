"""A client's connection before it is a session: whole packets, read one at a time and not a byte further.

Reading is exact because of what follows a packet. Behind SSLRequest begins TLS: bytes sent there in clear must meet the
TLS handshake, which refuses them, and never be taken for a packet. Behind the login begin the commands: they stay in
the kernel until the session's own protocol is in place. So the buffer offered to the transport is exactly what the
packet still misses, and the transport is paused whenever no packet is waited for.

Knows lengths and sequence ids, not what a packet says.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from proxy.wire import proxied
from proxy.wire.framing import HEADER, PacketTooLarge, ProtocolError, frame

SHUTDOWN_SECONDS = 1.0
"""How long a connection that is being closed may take to read our last packet."""

_DISCARD_BYTES = 1 << 20
_TCP_ENDED = (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT of the kernel's tcp_states.h


class ClientChannel:
    """Exact packet reads and writes on one transport. Payloads over `max_packet` bytes are refused unread."""

    def __init__(
        self, max_packet: int, connected: "Callable[[ClientChannel], None] | None" = None, *, local: bool = False
    ) -> None:
        self.transport: asyncio.Transport
        self.local = local
        """By a Unix socket."""
        self.seq = 0
        """Sequence id of the next packet, whichever side sends it."""
        self.closed = False
        self.proxy_header: bytes | None = None
        """A header of the PROXY protocol, if one came ahead of the first packet; whether it is welcome, and what it
        says, is for others to judge."""
        self._header_may_come = True
        self._header_begun = b""
        self._max_packet = max_packet
        self._connected = connected
        self._room = memoryview(bytearray(HEADER))  # what is being read: a header or a payload
        self._filled = 0
        self._in_payload = False
        self._early = b""  # bytes read before this channel was in place
        self._packet: bytes | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard: Callable[[], None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._discarded = -1  # -1: not discarding
        self._given = False  # another protocol reads

    @classmethod
    def take_over(
        cls, transport: asyncio.Transport, max_packet: int, *, seq: int, early: bytes = b""
    ) -> "ClientChannel":
        """A channel on a transport in use, for an exchange in the middle of a session; its reading must be paused.

        `early` is what was read behind the last packet; whatever of it the exchange did not need is in `unread`
        afterwards.
        """
        channel = cls(max_packet)
        channel.seq = seq
        channel._early = early
        channel._header_may_come = False
        channel.transport = transport
        transport.set_protocol(channel.protocol)
        return channel

    @property
    def protocol(self) -> asyncio.BufferedProtocol:
        """Itself: uvloop asks what a protocol can do, and not what it is derived from, and a compiled class is derived
        from nothing.
        """
        return cast("asyncio.BufferedProtocol", self)

    @property
    def unread(self) -> bytes:
        """Bytes given as `early` that no packet has used."""
        return self._early

    def send(self, payload: bytes) -> None:
        """Writes one packet; raises ConnectionResetError if the client is gone.

        Not drained: what is sent before login is a few hundred bytes.
        """
        if self.closed or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")  # uvloop's write() would raise RuntimeError
        self.transport.write(frame(payload, self.seq))
        self.seq = (self.seq + 1) & 0xFF

    def on_first(self, heard: Callable[[], None] | None) -> None:
        """Calls `heard` once: when the first packet has come, or that none will come."""
        self._heard = heard

    @property
    def waiting(self) -> bytes | None:
        """The payload of a packet that has come and was not taken yet."""
        return self._packet

    def take(self) -> None:
        """The packet that has come is dealt with."""
        self._packet = None

    async def receive(self) -> bytes:
        """The payload of the client's next packet.

        Raises ProtocolError if it is out of sequence, PacketTooLarge if too long, ConnectionResetError if it will never
        come.
        """
        while self._packet is None:
            if self._failure is not None:
                raise self._failure
            if self.closed or self.transport.is_closing():
                raise ConnectionResetError("the client is gone")
            if self._early:
                self._take_early()
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            self.transport.resume_reading()
            try:
                await self._waiter
            finally:
                self._waiter = None
        packet, self._packet = self._packet, None
        return packet

    async def start_tls(self, context: ssl.SSLContext, seconds: float) -> None:
        """Goes on under TLS, at most `seconds` later.

        Raises OSError (ssl.SSLError among them) if the client does not; the connection is closed then.
        """
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(
            self.transport,
            self.protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )
        if upgraded is None:  # the client left during the last step of the handshake
            raise ConnectionResetError("the client is gone")
        # A header that came in one flight with the end of the TLS handshake has been read by now; more than that only
        # if it announced nothing or is refused, and then the login ends.
        self.transport = upgraded

    async def close_after(self, packet: bytes) -> None:
        """Sends a last packet, then closes so that the client can still read it.

        Closing with unread bytes in the kernel resets the connection, which takes the error away from the client: what
        it is still sending is read and dropped, for SHUTDOWN_SECONDS and a MiB at most.
        """
        if self.closed or self.transport.is_closing():
            return
        self._discarded = 0
        self._gone = asyncio.get_running_loop().create_future()
        self.transport.write(packet)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.transport.resume_reading()
        else:
            self.transport.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_SECONDS):
                    await self._gone
        finally:
            self.transport.abort()

    def left(self) -> bool:
        """Whether the client has gone, though nothing is read from it: the system is asked, it does not tell by itself.

        One that has sent ahead and sends no more may still be there; under TLS, which knows no such end, it is not.
        """
        if self.closed or self.transport.is_closing():
            return True
        found = self.transport.get_extra_info("socket")
        if found is None or found.fileno() < 0:
            return False
        tls = self.transport.get_extra_info("sslcontext") is not None
        with socket.fromfd(found.fileno(), found.family, found.type) as sock:
            try:
                if tls and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _TCP_ENDED:
                    return True
                return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:  # it was reset
                return True

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it
        if self._connected is not None:
            self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._discarded >= 0:
            return memoryview(bytearray(65536))
        return self._room[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarded >= 0:
            self._discarded += nbytes
            if self._discarded > _DISCARD_BYTES:
                self.transport.abort()
            return
        self._filled += nbytes
        if self._filled == len(self._room):
            self._advance()

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._wake()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _take_early(self) -> None:
        part = self._early[: len(self._room) - self._filled]
        self._early = self._early[len(part) :]
        self._room[self._filled : self._filled + len(part)] = part
        self.buffer_updated(len(part))

    def _advance(self) -> None:
        """The header or the payload is complete."""
        if self._header_begun:
            self._go_on_with_header(self._header_begun + bytes(self._room))
            return
        if self._in_payload:
            self._deliver(bytes(self._room))
            return
        if self._header_may_come and proxied.begins(bytes(self._room)):
            self._go_on_with_header(bytes(self._room))
            return
        self._header_may_come = False
        size = int.from_bytes(self._room[:3], "little")
        seq = self._room[3]
        due, self.seq = self.seq, (seq + 1) & 0xFF  # an error must follow what the client sent, or it will not be read
        if seq != due:
            self._fail(ProtocolError(f"packet {seq} came where packet {due} was due"))
        elif size > self._max_packet:
            self._fail(PacketTooLarge(size, self._max_packet))
        elif size == 0:
            self._deliver(b"")
        else:
            self._room = memoryview(bytearray(size))
            self._filled = 0
            self._in_payload = True

    def _go_on_with_header(self, header: bytes) -> None:
        try:
            missing = proxied.missing(header)
        except ProtocolError as error:
            self._fail(error)
            return
        if missing:
            self._header_begun = header
        else:
            self.proxy_header = header
            self._header_begun = b""
            self._header_may_come = False  # there is only one
        self._room = memoryview(bytearray(missing or HEADER))
        self._filled = 0

    def _deliver(self, payload: bytes) -> None:
        self._packet = payload
        self._room = memoryview(bytearray(HEADER))
        self._filled = 0
        self._in_payload = False
        self._wake()
        self._pause()

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._filled = 0
        self._wake()
        self._pause()

    def _pause(self) -> None:
        """Unless whoever was told of the packet has the connection now: what comes next is for that one."""
        if not (self._given or self.transport.is_closing()):
            self.transport.pause_reading()

    def give_to(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` reads, and not a byte of what comes behind the last packet is lost."""
        self._given = True
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._heard is not None:
            heard, self._heard = self._heard, None
            heard()
