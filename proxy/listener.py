"""An address that clients connect to: accepts, bounds how many may be there, has them log in, passes them on.

    accept -> too many? 1040 : a task of its own -> login() -> on_client(login), which hands the connection to a session

The limits are shared by all listeners of a process (Admission). Knows nothing of what happens after on_client.
"""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from proxy.board import Board, Seat
from proxy.channel import ClientChannel
from proxy.handshake import Login, LoginFailed, LoginSettings, Result, login, refuse

logger = logging.getLogger(__name__)


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

    def next_id(self) -> int:
        """Connection ids count up and start again behind 32 bits, all that a greeting can say."""
        return self.seat.next_id()

    def _count(self, change: int) -> None:
        self.clients += change
        self.seat.tell_clients(self.clients)


class Listener:
    """Accepts clients on one endpoint.

    `on_client` is awaited in the login's task: it ends with login.hand_over() or login.reject(). From its return on the
    client is its receiver's, who calls `released()` once when the connection is gone, a rejected one too. If it raises,
    the connection is closed and the client forgotten here. `on_result` is told how each login ended.
    """

    def __init__(
        self,
        name: str,
        settings: LoginSettings,
        admission: Admission,
        on_client: Callable[[Login], Awaitable[None]],
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
        self._tasks: set[asyncio.Task[bool]] = set()
        self._closed = False
        self._socket_file: tuple[str, int, int] | None = None  # path, device and inode of what we bound

    def __repr__(self) -> str:
        state = "accepting" if self._servers else "not accepting"
        return f"<Listener {self.name}: {state}, {self.clients} clients, {len(self._tasks)} logging in>"

    @property
    def ports(self) -> list[int]:
        """The TCP ports in use: where port 0 was asked for, the one that was found."""
        names = [sock.getsockname() for server in self._servers for sock in server.sockets]
        return [name[1] for name in names if isinstance(name, tuple)]

    async def listen_tcp(self, host: str | None, port: int, *, backlog: int = 1024, reuse_port: bool = False) -> None:
        """Listens on every address that `host` stands for (None: on all).

        Raises OSError if one is taken or not ours.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._channel, host, port, backlog=backlog, reuse_port=reuse_port, reuse_address=True
        )
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
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(self._channel, sock=sock, backlog=backlog)
            else:
                server = await loop.create_server(self._channel, sock=sock, backlog=backlog)
        except BaseException:
            sock.close()
            raise
        self._servers.append(server)

    @property
    def sockets(self) -> list[socket.socket]:
        """What it listens on."""
        return [sock for server in self._servers for sock in server.sockets]

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
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def released(self) -> None:
        """A client that on_client received is gone. To be called once for each."""
        self._admission.gone()
        self.clients -= 1

    def _channel(self) -> ClientChannel:
        return ClientChannel(self.settings.max_packet, self._connected)

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
        connection_id = self._admission.next_id()
        task = asyncio.get_running_loop().create_task(
            self._serve(channel, connection_id), name=f"login {self.name} {connection_id}"
        )
        self._tasks.add(task)
        # Not in the task itself: one that is cancelled before its first step never runs a line.
        task.add_done_callback(partial(self._finished, channel))

    async def _serve(self, channel: ClientChannel, connection_id: int) -> bool:
        """Whether the client is its receiver's now."""
        try:
            _keep_alive(channel.transport)
            try:
                client = await login(channel, self.settings, connection_id)
            except LoginFailed as failed:
                self._on_result(failed.result)
                await refuse(channel, failed)
                return False
            self._on_result(Result.ACCEPTED)
            await self._on_client(client)
            return True
        except ConnectionError:
            return False  # gone between its login and its session
        except Exception:
            logger.exception("login on endpoint %s failed", self.name)
            return False

    def _finished(self, channel: ClientChannel, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        self._admission.logged_in()
        if task.cancelled() or not task.result():
            channel.transport.close()
            self.released()


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


def _keep_alive(transport: asyncio.Transport) -> None:
    """Lets the kernel find out that a client's machine is gone; without it an idle session would stay for ever."""
    sock = transport.get_extra_info("socket")
    if sock.family != socket.AF_UNIX:
        with suppress(OSError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
