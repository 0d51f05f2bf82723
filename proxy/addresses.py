"""The sockets that clients connect to: bound before there are workers, shared out to them, handed on to a next run.

They belong to the process that was started. A connection that waits to be accepted is lost neither with a worker, since
the next one on its seat finds it there, nor with the run, since the next one gets the sockets themselves. Knows no
client.
"""

import errno
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from config import Address, Config, Endpoint
from proxy.listener import bound_unix_socket

Sockets = Mapping[str, Sequence[socket.socket]]
"""By endpoint."""

NONE: Final[Sockets] = {}

# Beside endpoints, whose names have no blanks: what is handed on to a next run as well.
HTTP: Final = " http"
CONSOLE: Final = " console"


class Addresses:
    """What all endpoints listen on, for so many workers. To be used once: bind(), leave(), close()."""

    def __init__(self, workers: int, inherited: Sockets = NONE) -> None:
        self._workers = workers
        self._inherited = inherited
        self._files: list[str] = []
        self.sockets: dict[str, list[socket.socket]] = {}
        self.others: dict[str, list[socket.socket]] = {}
        """What the last run served HTTP and the console on, where that is still so."""

    def bind(self, config: Config) -> Config:
        """Have every address, so that one that can't be had is known before there are workers. Returns the settings
        with the ports that were found. Raises OSError.
        """
        self.others = {
            HTTP: self._fitting(HTTP, config.http.listen, None),
            CONSOLE: self._fitting(CONSOLE, config.console.listen, config.console.socket),
        }
        names = {endpoint.name for endpoint in config.endpoints}
        for name, given in self._inherited.items():
            for sock in given if name not in names else ():
                if sock not in self.others.get(name, ()):
                    sock.close()  # clients would wait there in vain
        return replace(config, endpoints=tuple(self._bind(endpoint) for endpoint in config.endpoints))

    @property
    def all(self) -> list[socket.socket]:
        """Those of all workers."""
        return [sock for sockets in self.sockets.values() for sock in sockets]

    def of(self, number: int) -> dict[str, list[socket.socket]]:
        """Those of one worker, counted from 0. Unix sockets are for all of them, and TCP sockets where there are not
        enough: then the last run had fewer workers.
        """
        return {name: self._share(sockets, number) for name, sockets in self.sockets.items()}

    def leave(self, *, handed_on: bool) -> None:
        """Nobody listens any more: the files of Unix sockets go, unless they are now another's (`handed_on`)."""
        for path in self._files if not handed_on else ():
            with suppress(FileNotFoundError):
                os.unlink(path)
        self._files.clear()

    def close(self) -> None:
        """Those whom they were given to have their own, or are done with them."""
        for sockets in self.sockets.values():
            for sock in sockets:
                sock.close()
            sockets.clear()

    def _fitting(self, name: str, listen: Address | None, path: Path | None) -> list[socket.socket]:
        given = self._inherited.get(name, ())
        tcp = inherited_tcp(given, listen) if listen is not None else []
        return tcp + (inherited_unix(given, str(path)) if path is not None else [])

    def _share(self, sockets: Sequence[socket.socket], number: int) -> list[socket.socket]:
        by_address: dict[object, list[socket.socket]] = {}
        for sock in sockets:
            by_address.setdefault(sock.getsockname(), []).append(sock)
        found = []
        for same in by_address.values():
            found += same[number :: self._workers] or [same[number % len(same)]]
        return found

    def _bind(self, endpoint: Endpoint) -> Endpoint:
        mine = self.sockets[endpoint.name] = []
        given = list(self._inherited.get(endpoint.name, ()))
        listen = endpoint.listen
        if listen is not None:
            fitting = inherited_tcp(given, listen)
            mine += fitting
            port = fitting[0].getsockname()[1] if fitting else self._bind_tcp(listen, mine)
            endpoint = replace(endpoint, listen=Address(listen.host, port))
        if endpoint.socket is not None:
            path = str(endpoint.socket)
            mine += inherited_unix(given, path) or [bound_unix_socket(path, endpoint.socket_mode)]
            self._files.append(path)
        for sock in given:
            if sock not in mine:
                sock.close()
        return endpoint

    def _bind_tcp(self, address: Address, mine: list[socket.socket]) -> int:
        """One socket for each worker, among which the kernel spreads the clients; the port."""
        port = address.port
        for family, where in meant(address):
            try:
                with _tcp(family) as probe:
                    # Somebody else who shares his port would otherwise get some of our clients.
                    probe.bind((where, port))
                    port = probe.getsockname()[1]
                for _ in range(self._workers):
                    sock = _tcp(family)
                    mine.append(sock)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    sock.bind((where, port))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(address)) from None
        return port


def inherited_tcp(given: Sequence[socket.socket], address: Address) -> list[socket.socket]:
    """Those of the last run that listen on this address; none if they do not make up all of it."""
    wanted = {where for _, where in meant(address)}
    found = [
        sock
        for sock in given
        if sock.family != socket.AF_UNIX
        and sock.getsockname()[0] in wanted
        and address.port in (0, sock.getsockname()[1])
    ]
    return found if {sock.getsockname()[0] for sock in found} == wanted else []


def inherited_unix(given: Sequence[socket.socket], path: str) -> list[socket.socket]:
    """The one of the last run that has this file."""
    return [sock for sock in given if sock.family == socket.AF_UNIX and sock.getsockname() == path]


def meant(address: Address) -> Iterator[tuple[socket.AddressFamily, str]]:
    """Every address that a setting stands for. Raises OSError."""
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    usable = False
    for family, *_, where in dict.fromkeys(found):
        try:
            _tcp(family).close()
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
            continue
        usable = True
        yield family, str(where[0])
    if not usable:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), str(address))


def _tcp(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    # Connections of an earlier run in TIME_WAIT are no hindrance.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
