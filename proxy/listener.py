"""An address that clients connect to: accepts, bounds how many may be there, has them log in, passes them on.

    accept -> too many? 1040 : greeting -> is the first packet enough by itself? on_client(login) -> a session
                                        -> otherwise a task of its own: login(), on_client(login) -> a session

Most logins are done in two turns of the loop, without a task. The limits are shared by all listeners of a process
(Admission). Knows nothing of what happens after on_client.
"""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from proxy.board import Board, Seat
from proxy.channel import ClientChannel
from proxy.deadlines import Deadlines
from proxy.handshake import login, refuse
from proxy.opening import Login, LoginFailed, LoginSettings, Opening, Result, greet, login_at_once

logger = logging.getLogger(__name__)


Waiting = Coroutine[Any, Any, None]
"""What is left to do for a login, where something has to be waited for."""


@dataclass(slots=True)
class Admission:
    """How many clients there may be, all listeners taken together, and their connection ids.

    With a `seat` among several workers, `max_clients` is for all of them.
    """

    max_clients: int
    max_pending_logins: int
    clients: int = 0
    """Accepted and not gone yet, those that are logging in included."""
    pending: int = 0
    """Logging in."""
    seat: Seat = field(default_factory=lambda: Board(1).seat(0))
    _nobody: asyncio.Event = field(default_factory=asyncio.Event)

    def admit(self) -> Result | None:
        """Give one more client a place, as one that is logging in; if there is none, why."""
        # Counted first: of workers that do this at the same time, each then sees the others.
        self._count(1)
        full = self.clients + self.seat.clients_elsewhere() > self.max_clients
        if full or self.pending >= self.max_pending_logins:
            self._count(-1)
            return Result.FULL if full else Result.BUSY
        self.pending += 1
        return None

    def logged_in(self) -> None:
        """Or given up: it is no longer in the middle of it."""
        self.pending -= 1

    def gone(self) -> None:
        self._count(-1)
        if not self.clients:
            self._nobody.set()

    async def empty(self) -> None:
        """Returns when nobody is there any more, neither in a session nor logging in."""
        while self.clients:
            self._nobody.clear()
            await self._nobody.wait()

    def next_id(self) -> int:
        """Connection ids count up and start again behind 32 bits, all that a greeting can say."""
        return self.seat.next_id()

    def _count(self, change: int) -> None:
        self.clients += change
        self.seat.tell_clients(self.clients)


class Listener:
    """Accepts clients on one endpoint.

    `on_client` ends with login.hand_over() or login.reject(), by itself or in what it returns to be awaited. From then
    on the client is its receiver's, who calls `released()` once when the connection is gone, a rejected one too. If it
    raises, the connection is closed and the client forgotten here. `on_result` is told how each login ended.
    """

    def __init__(
        self,
        name: str,
        settings: LoginSettings,
        admission: Admission,
        on_client: Callable[[Login], Waiting | None],
        on_result: Callable[[Result], None],
    ) -> None:
        self.name = name
        self.settings = settings
        self.clients = 0
        """Clients of this endpoint, those that are logging in included."""
        self._admission = admission
        self._on_client = on_client
        self._on_result = on_result
        self._servers: list[asyncio.Server] = []
        self._greeted: Deadlines[ClientChannel] = Deadlines(settings.timeout, self._expired)
        """Those who have not answered the greeting."""
        self._tasks: set[asyncio.Task[bool]] = set()
        self._closed = False
        self._socket_file: tuple[str, int, int] | None = None  # path, device and inode of what we bound

    def __repr__(self) -> str:
        state = "accepting" if self._servers else "not accepting"
        coming = len(self._greeted) + len(self._tasks)
        return f"<Listener {self.name}: {state}, {self.clients} clients, {coming} logging in>"

    @property
    def ports(self) -> list[int]:
        """The TCP ports in use: where port 0 was asked for, the one that was found."""
        names = [sock.getsockname() for sock in self.sockets]
        return [name[1] for name in names if isinstance(name, tuple)]

    async def listen_tcp(self, host: str | None, port: int, *, backlog: int = 1024, reuse_port: bool = False) -> None:
        """Listens on every address that `host` stands for (None: on all).

        Raises OSError if one is taken or not ours.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            partial(self._channel, False),
            host,
            port,
            backlog=backlog,
            reuse_port=reuse_port,
            reuse_address=True,
            start_serving=False,
        )
        try:
            for sock in _sockets_of(server):
                # Lets the kernel find out that a client's machine is gone; without it an idle session would stay for
                # ever. What is accepted has the options of what it was accepted from.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await server.start_serving()
        except BaseException:
            server.close()
            raise
        self._servers.append(server)

    async def listen_unix(self, path: str, *, mode: int = 0o777, backlog: int = 1024) -> None:
        """Listens on a Unix socket, open to everyone by default as the server's is: accounts decide who gets in.

        What a dead process left at `path` is replaced. Raises OSError if somebody listens there, or if it is no socket.
        """
        sock = bound_unix_socket(path, mode)
        found = os.stat(path)
        await self.listen_on(sock, backlog=backlog)
        self._socket_file = (path, found.st_dev, found.st_ino)

    async def listen_on(self, sock: socket.socket, *, backlog: int = 1024) -> None:
        """Listens on a bound socket; the file of a Unix socket is its maker's business. The socket is ours from now
        on.
        """
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        server: asyncio.Server
        try:
            channel = partial(self._channel, sock.family == socket.AF_UNIX)
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(channel, sock=sock, backlog=backlog)
            else:
                server = await loop.create_server(channel, sock=sock, backlog=backlog)
        except BaseException:
            sock.close()
            raise
        self._servers.append(server)

    @property
    def sockets(self) -> list[socket.socket]:
        """What it listens on."""
        return [sock for server in self._servers for sock in _sockets_of(server)]

    def hand_on(self) -> None:
        """Accept no more: another process listens on the same sockets, and has their files."""
        self._socket_file = None
        self.stop_accepting()

    def stop_accepting(self) -> None:
        """Closes the listening sockets. Logins under way and sessions go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._socket_file is not None:
            path, device, inode = self._socket_file
            self._socket_file = None
            with suppress(FileNotFoundError):
                found = os.stat(path)
                if (found.st_dev, found.st_ino) == (device, inode):
                    os.unlink(path)

    async def close(self) -> None:
        """Stops accepting and cuts the logins under way; sessions go on."""
        self._closed = True
        self.stop_accepting()
        for channel in self._greeted.all():
            self._forget(channel)
        self._greeted.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def released(self) -> None:
        """A client that on_client received is gone. To be called once for each."""
        self._admission.gone()
        self.clients -= 1

    def _channel(self, local: bool) -> asyncio.BufferedProtocol:
        return ClientChannel(self.settings.max_packet, self._connected, local=local).protocol

    def _connected(self, channel: ClientChannel) -> None:
        if self._closed:  # accepted by the loop before, made known to us only now
            channel.transport.abort()
            return
        refused = self._admission.admit()
        if refused is not None:
            # Written into an empty socket buffer and closed: no task, nothing to wait for, however many come.
            self._on_result(refused)
            packet = LoginFailed(refused).packet(0)
            assert packet is not None
            channel.transport.write(packet)
            channel.transport.close()
            return
        self.clients += 1
        deadline = self._greeted.add(channel)
        try:
            opening = greet(channel, self.settings, self._admission.next_id(), deadline)
        except ConnectionError:
            self._on_result(Result.GONE)
            self._forget(channel)
            return
        channel.on_first(partial(self._answered, opening))

    def _answered(self, opening: Opening) -> None:
        """The client has sent its first packet, or never will."""
        channel = opening.channel
        self._greeted.leave(channel)
        if channel.closed:
            self._on_result(Result.GONE)
            self._forget(channel)
            return
        rest: Waiting | None = None
        try:
            client = login_at_once(opening)
            if client is not None:
                self._on_result(Result.ACCEPTED)
                rest = self._on_client(client)
                if rest is None:
                    self._admission.logged_in()
                    return
        except ConnectionError:  # gone between its login and its session
            self._forget(channel)
            return
        except Exception:
            logger.exception("login on endpoint %s failed", self.name)
            self._forget(channel)
            return
        task = asyncio.get_running_loop().create_task(
            self._serve(opening, rest), name=f"login {self.name} {opening.connection_id}"
        )
        self._tasks.add(task)
        # Not in the task itself: one that is cancelled before its first step never runs a line.
        task.add_done_callback(partial(self._finished, channel, rest))

    async def _serve(self, opening: Opening, rest: Waiting | None) -> bool:
        """Whether the client is its receiver's now. `rest`: what is left to do for one that is who it says."""
        try:
            if rest is None:
                refused: LoginFailed | None = None
                try:
                    client = await login(opening)
                except LoginFailed as failed:
                    refused = failed
                if refused is not None:
                    self._on_result(refused.result)
                    await refuse(opening.channel, refused)
                    return False
                self._on_result(Result.ACCEPTED)
                rest = self._on_client(client)
            if rest is not None:
                await rest
            return True
        except ConnectionError:
            return False  # gone between its login and its session
        except Exception:
            logger.exception("login on endpoint %s failed", self.name)
            return False

    def _finished(self, channel: ClientChannel, rest: Waiting | None, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if rest is not None:
            rest.close()  # it has not begun if the task was cancelled before its first step
        if task.cancelled() or not task.result():
            self._forget(channel)
        else:
            self._admission.logged_in()

    def _expired(self, channel: ClientChannel) -> None:
        self._on_result(Result.TIMEOUT)
        self._forget(channel)

    def _forget(self, channel: ClientChannel) -> None:
        """One that was logging in does not get in: its connection ends, and its place is free."""
        self._greeted.leave(channel)
        channel.on_first(None)
        channel.transport.close()
        self._admission.logged_in()
        self.released()


def _sockets_of(server: Any) -> list[socket.socket]:
    """uvloop has them in a list, where asyncio has a tuple: a compiled module takes neither for the other."""
    return list(server.sockets)


def bound_unix_socket(path: str, mode: int) -> socket.socket:
    """A Unix socket that has its file with this mode and does not listen yet. Raises OSError as `listen_unix` does."""
    remove_stale_socket(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        os.chmod(path, mode)  # before listen(): nobody can connect under another mode
    except BaseException:
        sock.close()
        raise
    return sock


def remove_stale_socket(path: str) -> None:
    """Removes a Unix socket that nobody listens on any more; nothing there is fine.

    Raises OSError (EADDRINUSE) if somebody does, or if it is something else than a socket.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "exists and is not a socket", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another process listens there", path)
