"""A new run of the proxy takes over from the old one: it gets the listening sockets, and the old one drains.

    new: connects to the old one's socket file          old: sends the listening sockets
    new: starts, listens on them, says "ready"          old: accepts no more, frees the file, says "done", drains

Up to "ready" the old one serves as if nothing had happened, so that a new one that cannot start costs nothing. At every
moment somebody accepts from the same sockets, and no connection is refused. Only the user that runs the proxy, and
root, may ask.
"""

import array
import asyncio
import errno
import json
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from proxy.addresses import Sockets
from proxy.listener import remove_stale_socket
from proxy.log import event

logger = logging.getLogger(__name__)

PATIENCE: Final = 120.0
"""Seconds that the new one may take to start, and the old one to answer."""
GRACE: Final = 2.0
"""Seconds in which the old one still serves clients that are about to go by themselves, as those do that connect for
each request."""

_AT_ONCE: Final = 200  # descriptors in a message; the kernel takes 253
_READY: Final = b"ready\n"
_DONE: Final = b"done\n"
_MOST: Final = 1 << 20  # bytes of a list of names


@dataclass
class Predecessor:
    """The run that was there before, still serving."""

    sockets: dict[str, list[socket.socket]]
    _control: socket.socket

    async def relieve(self) -> None:
        """We serve now: it may go. Returns when it accepts no more."""
        loop = asyncio.get_running_loop()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await loop.sock_sendall(self._control, _READY)
                await loop.sock_recv(self._control, len(_DONE))
        self._control.close()


def ask(path: str) -> Predecessor | None:
    """The run that offers its sockets at `path`; None: there is none. Raises OSError if it does not give them."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        control.settimeout(PATIENCE)
        try:
            control.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            control.close()
            return None
        names, descriptors = _received(control)
        if len(names) != len(descriptors):
            raise OSError(errno.EPROTO, "the running proxy did not hand over its sockets", path)
        sockets: dict[str, list[socket.socket]] = {}
        for name, descriptor in zip(names, descriptors, strict=True):
            sockets.setdefault(name, []).append(socket.socket(fileno=descriptor))
        control.setblocking(False)
        return Predecessor(sockets, control)
    except BaseException:
        control.close()
        raise


def _received(control: socket.socket) -> tuple[list[str], list[int]]:
    text = b""
    descriptors: list[int] = []
    while not text.endswith(b"\n"):
        data, found, _, _ = socket.recv_fds(control, 65536, _AT_ONCE)
        descriptors += found
        if not data or len(text) > _MOST:
            return [], descriptors
        text += data.lstrip(b" ")
    return json.loads(text), descriptors


class Offer:
    """Offers `sockets()` at `path` to whoever may take over; `taken` is called when somebody has."""

    def __init__(self, path: str, sockets: Callable[[], Sockets], taken: Callable[[], None]) -> None:
        self._path = path
        self._sockets = sockets
        self._taken = taken
        self._task: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None

    def listen(self) -> None:
        """Raises OSError if somebody else does."""
        remove_stale_socket(self._path)
        sock = self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind(self._path)
        os.chmod(self._path, 0o600)
        sock.listen(1)
        self._task = asyncio.get_running_loop().create_task(self._run(sock), name="takeover")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._free()

    def _free(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    async def _run(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            control, _ = await loop.sock_accept(sock)
            with control:
                try:
                    if await self._handed_over(control):
                        return
                except (OSError, TimeoutError) as error:
                    event(logger, "takeover.failed", level=logging.WARNING, error=repr(error))

    async def _handed_over(self, control: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        _, uid, _ = struct.unpack("3i", control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()):
            return False
        event(logger, "takeover.asked")
        async with asyncio.timeout(PATIENCE):
            _send(control, [(name, sock.fileno()) for name, many in self._sockets().items() for sock in many])
            if await loop.sock_recv(control, len(_READY)) != _READY:
                event(logger, "takeover.failed", level=logging.WARNING, error="the new one did not start")
                return False
        self._free()
        with suppress(OSError):  # whatever becomes of it now, it serves
            await loop.sock_sendall(control, _DONE)
        event(logger, "takeover.done")
        self._taken()
        return True


def _send(control: socket.socket, named: Sequence[tuple[str, int]]) -> None:
    """Into the empty buffer of a new connection: nothing here waits."""
    for first in range(0, len(named), _AT_ONCE):
        some = array.array("i", [descriptor for _, descriptor in named[first : first + _AT_ONCE]])
        control.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, some)])
    control.sendall(json.dumps([name for name, _ in named]).encode() + b"\n")
