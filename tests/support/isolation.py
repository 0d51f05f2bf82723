"""A node that hears nothing from the others, and they nothing from it, while clients still reach it.

Galera does that when told to. A member of a MySQL group has no such setting: there the kernel is told to drop whatever
arrives at the sockets between it and the others, by a filter on each. That needs no right that a test does not
have: the servers are its children, and run as its own account unless it is root.
"""

import contextlib
import ctypes
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.node import Node
from proxy.demo.processes import wait_until
from tests.support.group import Group

LOOK: Final = 0.01  # seconds between two looks for new connections
SO_DETACH_FILTER: Final = 27
PIDFD_OPEN: Final = 434  # system calls without a name in Python 3.11
PIDFD_GETFD: Final = 438
LISTENS: Final = "0A"  # /proc/net/tcp's state

_system = ctypes.CDLL(None, use_errno=True).syscall


@contextlib.contextmanager
def isolated(cluster: Cluster | Group, number: int) -> Iterator[None]:
    """The node with this number, for the length of a `with` block."""
    if isinstance(cluster, Group):
        with _Deaf(cluster, number):
            yield
    else:
        _told(cluster[number], isolate=True)
        yield
        _told(cluster[number], isolate=False)


def _told(node: Node, *, isolate: bool) -> None:
    def done() -> bool:
        with contextlib.suppress(pymysql.MySQLError, OSError):
            node.query(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(isolate)}'")
            return True
        return False

    wait_until(done, 10, lambda: f"{node.name} does not listen")


class _Deaf:
    """Filters on the sockets between one member and the others, those of connections to come included."""

    def __init__(self, group: Group, number: int) -> None:
        self._port = group[number].group_port
        self._ports = {node.group_port for node in group}
        self._pids = {node.group_port: node.pid for node in group if node.running}
        self._filtered: dict[int, socket.socket] = {}  # by inode
        self._over = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._watch, name=f"isolates {number}", daemon=True)

    def __enter__(self) -> None:
        self._look()
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        for each in self._filtered.values():
            each.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            each.close()
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        try:
            while not self._over.wait(LOOK):
                self._look()
        except OSError as failure:
            self._failure = failure

    def _look(self) -> None:
        for inode in self._between() - self._filtered.keys():
            found = self._socket(inode)
            if found is not None:
                _drop_all(found)
                self._filtered[inode] = found

    def _between(self) -> set[int]:
        """The inodes of the sockets at both ends of the member's connections, and of the one that it listens on."""
        found = []
        for family in ("tcp", "tcp6"):
            for line in Path("/proc/net", family).read_text().splitlines()[1:]:
                _, here, there, state, *_, inode = line.split()[:10]
                found.append((int(here.rpartition(":")[2], 16), int(there.rpartition(":")[2], 16), state, int(inode)))
        # The end that called has a port of its own, which the other end knows it by.
        own = set(self._inodes(self._pids[self._port]))
        callers = {here for here, there, _, inode in found if there in self._ports and inode in own}
        return {
            inode
            for here, there, state, inode in found
            if inode
            and (
                (here == self._port and (state == LISTENS or there))
                or there == self._port
                or (here in self._ports and there in callers)
                or (there in self._ports and inode in own)
            )
        }

    @staticmethod
    def _inodes(pid: int) -> Iterator[int]:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(path)):
                    yield int(found[1])

    def _socket(self, inode: int) -> socket.socket | None:
        """A descriptor of our own of one of the members' sockets; None: it is gone, or somebody else's."""
        for pid in self._pids.values():
            with contextlib.suppress(FileNotFoundError):
                for path in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        if os.readlink(path) == f"socket:[{inode}]":
                            return _taken(pid, int(path.name))
        return None


def _taken(pid: int, number: int) -> socket.socket | None:
    process = os.pidfd_open(pid)
    try:
        copy = _system(PIDFD_GETFD, process, number, 0)
        if copy < 0:
            error = ctypes.get_errno()
            if error == 9:  # EBADF: it was closed meanwhile
                return None
            raise OSError(error, os.strerror(error))
        return socket.socket(fileno=copy)
    finally:
        os.close(process)


def _drop_all(found: socket.socket) -> None:
    """A filter of one instruction: keep nothing of any packet (socket(7), SO_ATTACH_FILTER; struct sock_fprog)."""
    program = ctypes.create_string_buffer(bytes((6, 0, 0, 0, 0, 0, 0, 0)), 8)  # BPF_RET | BPF_K, 0

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    found.setsockopt(
        socket.SOL_SOCKET,
        26,
        bytes(Program(1, ctypes.addressof(program))),  # SO_ATTACH_FILTER
    )
