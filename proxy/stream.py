"""The bytes to and from a node while a login goes on: read by aiomysql, and taken along with the transport after it.

It goes over to TLS and to compression where the login does. It knows no packet.
"""

import asyncio
import socket
import ssl
from typing import Final, cast

from proxy.compression import ToNode
from proxy.wire import compression

MAX_BUFFERED: Final = 1 << 20  # a login and a monitor's answer are a few KiB: more is no server we should read on from
LOST: Final = 2013
TLS_FAILED: Final = 2026
_TLS_SHUTDOWN: Final = 1.0  # seconds that a node may take to say goodbye to TLS


class ConnectFailed(Exception):
    """A node did not let us in, or a query connection failed.

    `code` is the server's error number, or the client library's: 2003 refused, unreachable or no TCP connection in
    time, 2005 unknown host, 2013 lost or no answer in time, 2026 no TLS as it was asked for, 2027 malformed, 2059
    unsupported authentication.
    """

    def __init__(self, code: int, message: str, sqlstate: str = "HY000") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.sqlstate = sqlstate

    def __str__(self) -> str:
        return f"{self.code} ({self.sqlstate}): {self.message}"


class Stream(asyncio.Protocol):
    """Reader and writer for aiomysql. It never pauses reading, and what it has buffered can be taken along."""

    def __init__(self, max_buffered: int = MAX_BUFFERED) -> None:
        self.buffer = bytearray()
        self.lost = False
        self._max_buffered = max_buffered
        self.transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > self._max_buffered and self.transport is not None:
            self.lost = True
            self.transport.abort()
        self._wake()

    def eof_received(self) -> None:
        self.lost = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def readexactly(self, size: int) -> bytes:
        """As StreamReader.readexactly, which aiomysql expects."""
        while len(self.buffer) < size:
            if self.lost:
                raise asyncio.IncompleteReadError(bytes(self.buffer), size)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Goes on under TLS with `host`, for whom the certificate has to be. The caller brings the deadline."""
        assert self.transport is not None
        if self.buffer:
            # It would be taken for what the node says under TLS, though anybody on the way can have put it there.
            raise ConnectFailed(
                TLS_FAILED, "TLS connection error: the node sent something in clear behind its greeting"
            )
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                self.transport, self, context, server_hostname=host, ssl_shutdown_timeout=_TLS_SHUTDOWN
            )
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(TLS_FAILED, f"TLS connection error: {error.verify_message}") from error
        except OSError as error:  # ssl.SSLError is one
            why = getattr(error, "reason", None) or error.strerror or "the node ended the TLS handshake"
            raise ConnectFailed(TLS_FAILED, f"TLS connection error: {str(why).replace('_', ' ').lower()}") from error
        if upgraded is None:
            raise ConnectFailed(TLS_FAILED, "TLS connection error: the node ended the TLS handshake")
        self.transport = upgraded

    def start_compression(self, codec: compression.Codec) -> None:
        """What follows the OK of a login where it was agreed on. The node says nothing by itself between the two."""
        assert self.transport is not None
        self.transport = ToNode(self.transport, codec)
        self.transport.set_protocol(self)

    def write_if_open(self, data: bytes) -> None:
        """For a goodbye: uvloop raises RuntimeError for what is written to a connection that is closing."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def tune(self) -> None:
        assert self.transport is not None
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
