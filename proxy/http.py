"""A small HTTP/1.1 server for what operators and Prometheus ask: a table of paths, GET and HEAD, nothing else.

h11 reads the requests; callbacks on a protocol do the rest, so that there is no task to leak. Each connection serves
one request and is closed. This module knows no path and no content.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import h11

from proxy.log import event

logger = logging.getLogger(__name__)

Answer = tuple[int, str, bytes]  # status, content type, body
Routes = Mapping[str, Callable[[], Answer | Awaitable[Answer]]]

MAX_HEAD: Final = 8192  # bytes of request line and headers
MAX_CONNECTIONS: Final = 64
TIMEOUT: Final = 5.0  # seconds for the request to come, and again for the answer to be taken
_MAX_IGNORED: Final = 1 << 16  # bytes taken from a client that goes on talking after its answer

_TEXT: Final = "text/plain; charset=utf-8"


class Listen(Protocol):
    """Where to listen: config.Address is one. An empty host is every address."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Server:
    """A listening server. Made by start()."""

    def __init__(self, routes: Routes, *, timeout: float = TIMEOUT, max_connections: int = MAX_CONNECTIONS) -> None:
        self.routes = routes
        self.timeout = timeout
        self.max_connections = max_connections
        self.connections: set[_Connection] = set()
        self._listening: list[asyncio.Server] = []
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    @property
    def port(self) -> int:
        """The port in fact, where 0 was asked for."""
        port: int = self.sockets[0].getsockname()[1]
        return port

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """What it listens on."""
        return [sock for server in self._listening for sock in server.sockets]

    async def listen(self, listen: Listen, inherited: Sequence[socket.socket] = ()) -> None:
        loop = asyncio.get_running_loop()
        for sock in inherited:
            self._listening.append(await loop.create_server(lambda: _Connection(self), sock=sock))
        if not inherited:
            server = await loop.create_server(lambda: _Connection(self), listen.host or None, listen.port)
            self._listening.append(server)

    def came(self, connection: "_Connection") -> None:
        self.connections.add(connection)
        self._all_gone.clear()

    def went(self, connection: "_Connection") -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._all_gone.set()

    async def close(self) -> None:
        """Stop listening and drop what is still connected."""
        for server in self._listening:
            server.close()
        for connection in self.connections:
            connection.abort()
        await self._all_gone.wait()
        for server in self._listening:
            await server.wait_closed()  # on some loops it waits for the connections as well


async def start(
    listen: Listen,
    routes: Routes,
    *,
    timeout: float = TIMEOUT,  # noqa: ASYNC109  # it is that of each request to come
    max_connections: int = MAX_CONNECTIONS,
    inherited: Sequence[socket.socket] = (),
) -> Server:
    """Serve `routes` (path to a callable that makes the answer), on a socket that was inherited, if there is one.
    Raises OSError when the address cannot be had.
    """
    server = Server(routes, timeout=timeout, max_connections=max_connections)
    await server.listen(listen, inherited)
    return server


class _Connection(asyncio.Protocol):
    """One client: a request, an answer, the end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._answered = False
        self._method = b"GET"
        self._received = 0
        self._ignored = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        crowded = len(self._server.connections) >= self._server.max_connections
        self._server.came(self)
        self._timer = asyncio.get_running_loop().call_later(self._server.timeout, self._too_slow)
        if crowded:
            # No waiting for what it wants, and none for it to take the answer: the places are for those who came first.
            self._answer(503, {}, _TEXT, b"too many connections\n")
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            self._ignored += len(data)
            if self._ignored > _MAX_IGNORED:
                self.abort()
            return
        self._received += len(data)
        try:
            self._http.receive_data(data)
            received = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._answer(error.error_status_hint, {}, _TEXT, f"{error}\n".encode())
            return
        if isinstance(received, h11.Request):
            self._method = received.method
            # h11's own limit is for what is incomplete; a large head that comes all at once passes it.
            if self._received - len(self._http.trailing_data[0]) > MAX_HEAD:
                self._answer(431, {}, _TEXT, b"request head too large\n")
            else:
                self._serve(received)

    def eof_received(self) -> bool:
        if self._answered or self._http.trailing_data[0] == b"":
            return False  # done, or it never asked: close
        self._answer(400, {}, _TEXT, b"incomplete request\n")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._server.went(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _serve(self, request: h11.Request) -> None:
        try:
            path = urlsplit(request.target.decode("ascii")).path
        except ValueError:
            self._answer(400, {}, _TEXT, b"unreadable target\n")
            return
        route = self._server.routes.get(path)
        if route is None:
            self._answer(404, {}, _TEXT, (" ".join(self._server.routes) + "\n").encode())
        elif request.method not in (b"GET", b"HEAD"):
            self._answer(405, {"Allow": "GET, HEAD"}, _TEXT, b"GET or HEAD\n")
        else:
            try:
                answer = route()
            except Exception:
                self._failed(path)
                return
            if isinstance(answer, tuple):
                status, content_type, body = answer
                self._answer(status, {}, content_type, body)
            else:
                self._task = asyncio.get_running_loop().create_task(self._later(answer, path), name=f"http {path}")

    async def _later(self, coming: Awaitable[Answer], path: str) -> None:
        """Answer with what has to be waited for; the deadline of the request holds for that, too."""
        try:
            status, content_type, body = await coming
        except Exception:
            if not self._answered:
                self._failed(path)
            return
        if not self._answered:
            self._answer(status, {}, content_type, body)

    def _failed(self, path: str) -> None:
        event(logger, "http.failed", level=logging.ERROR, path=path)
        self._answer(500, {}, _TEXT, b"internal error\n")

    def _answer(self, status: int, more: dict[str, str], content_type: str, body: bytes) -> None:
        """Writes the answer, then waits for the client to hang up: closing with its bytes unread would reset it."""
        assert self._transport is not None
        self._answered = True
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        response = h11.Response(
            status_code=status,
            reason=HTTPStatus(status).phrase.encode(),
            headers=list((headers | more).items()),
        )
        data = self._http.send(response) or b""
        if self._method != b"HEAD":
            data += body
        self._transport.write(data)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._server.timeout, self.abort)
        self._transport.write_eof()

    def _too_slow(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._answer(503, {}, _TEXT, b"the answer took too long\n")
        elif self._http.trailing_data[0] == b"":
            self.abort()  # it said nothing: nobody waits for an answer
        else:
            self._answer(408, {}, _TEXT, b"request took too long\n")
            assert self._transport is not None
            self._transport.close()
