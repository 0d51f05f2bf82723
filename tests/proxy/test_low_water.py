"""When the kernel wakes us for what comes from a node, over real sockets."""

import asyncio
import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.backend import Backend
from proxy.compression import ToNode
from proxy.connector import Connector
from proxy.link import PLAIN
from proxy.login import Connected
from proxy.low_water import LowWater
from proxy.stream import ConnectFailed, Stream
from proxy.wire.compression import Zlib
from proxy.wire.constants import COM_QUERY
from router.flavor import GALERA
from router.session import State
from tests.proxy.scripted import CAPABILITIES, Stage, ok, query
from tests.proxy.test_backend import Listener, leased

Pair = tuple[socket.socket, socket.socket]

SOON = 0.05
"""Seconds in which nothing happens."""
LATE = 5.0


class Transport(asyncio.Transport):
    """As much of a transport as has a socket."""

    def __init__(self, ours: Any, **known: Any) -> None:
        super().__init__({"socket": ours} | known)
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing is to be closed."""

    def abort(self) -> None:
        """Likewise."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nobody reads."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our end of a TCP connection, and the node's."""
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, socket.create_connection(listening.getsockname()) as ours:
        node, _ = listening.accept()
        with node:
            yield ours, node


def wakes(ours: socket.socket, seconds: float) -> bool:
    """As epoll would, by which the loop waits."""
    with select.epoll() as epoll:
        epoll.register(ours, select.EPOLLIN)
        return bool(epoll.poll(seconds))


def test_the_kernel_wakes_us_for_the_last_of_several_replies(pair: Pair) -> None:
    ours, node = pair
    mark = LowWater(Transport(ours))
    mark.raise_to(12)
    node.sendall(bytes(11))
    assert not wakes(ours, SOON)
    node.sendall(bytes(1))
    assert wakes(ours, LATE)
    assert len(ours.recv(64)) == 12
    mark.lower()
    node.sendall(bytes(1))
    assert wakes(ours, LATE)
    mark.leave()
    ours.getsockname()  # it is still open


def test_the_end_of_a_connection_wakes_us_below_the_mark(pair: Pair) -> None:
    ours, node = pair
    mark = LowWater(Transport(ours))
    mark.raise_to(12)
    node.sendall(bytes(3))
    node.close()
    assert wakes(ours, LATE)
    mark.leave()


@pytest.mark.parametrize("way", ["no socket", "TLS", "compression"])
def test_where_other_bytes_come_nothing_is_set(way: str, pair: Pair) -> None:
    """Compressed they may be fewer than the mark; of an encrypted connection we hear when its descriptor is gone."""
    transport: asyncio.BaseTransport = Transport(None if way == "no socket" else pair[0])
    if way == "TLS":
        transport = Transport(pair[0], sslcontext=object())
    elif way == "compression":
        transport = ToNode(Transport(pair[0]), Zlib())
    mark = LowWater(transport)
    mark.raise_to(12)
    assert (mark.raised, low_water(pair[0])) == (False, 1)
    mark.lower()
    mark.leave()


def test_a_connection_that_is_lost_right_after_its_login_has_no_mark(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor is gone, or another connection's."""
    lent, _ = leased(stage)
    lent.pool.release(lent)
    gone = SimpleNamespace(family=socket.AF_INET, type=socket.SOCK_STREAM, proto=0, fileno=lambda: -1)
    stream = Stream()
    stream.lost = True
    found = Connected(
        transport=Transport(gone),
        version="",
        thread_id=1,
        capabilities=CAPABILITIES,
        offered=0,
        status=0,
        stream=stream,
    )
    monkeypatch.setattr("proxy.login.connect", lambda *_, **__: asyncio.sleep(0, found))
    with pytest.raises(ConnectFailed) as failed:
        asyncio.run(Connector(GALERA, PLAIN).open(lent.pool, lent.profile))
    assert failed.value.code == 2013


def connected(stage: Stage, ours: socket.socket) -> Backend:
    """A backend that reads from a real socket, as far as its mark goes."""
    lent, _ = leased(stage)
    lent.pool.release(lent)
    backend = Backend(lent.pool, lent.profile, State(), CAPABILITIES, 1, 0.0)
    backend.connection_made(Transport(ours))
    return backend


@pytest.fixture
def backend(stage: Stage, pair: Pair) -> Iterator[Backend]:
    backend = connected(stage, pair[0])
    yield backend
    backend.close()


def low_water(ours: socket.socket) -> int:
    return ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


def test_a_backend_waits_for_the_last_reply_to_what_it_has_sent_at_once(backend: Backend, pair: Pair) -> None:
    ours, _ = pair
    sink = Listener()
    backend.send_several(sink, query("BEGIN") + query("SELECT 1"), [COM_QUERY, COM_QUERY])
    while_waiting = low_water(ours)
    backend.data_received(ok(3) + ok())
    assert (while_waiting, low_water(ours), sink.told) == (len(ok()) + 1, 1, [ok(3), "done", ok(), "done"])


def test_what_comes_in_pieces_is_no_longer_waited_for(backend: Backend, pair: Pair) -> None:
    """The first reply says more than the shortest one, and so wakes us: the rest may come as it likes."""
    ours, _ = pair
    backend.send_several(Listener(), query("BEGIN") + query("SELECT 1"), [COM_QUERY, COM_QUERY])
    backend.data_received(ok(3))
    assert low_water(ours) == 1


def test_one_command_is_waited_for_as_ever(backend: Backend, pair: Pair) -> None:
    backend.send(Listener(), query("SELECT 1"), COM_QUERY)
    assert low_water(pair[0]) == 1


def test_a_backend_that_is_lost_leaves_the_socket_alone(stage: Stage, pair: Pair) -> None:
    backend = connected(stage, pair[0])
    backend.send_several(Listener(), query("BEGIN") + query("SELECT 1"), [COM_QUERY, COM_QUERY])
    backend.close()
    del backend
    pair[0].getsockname()
    assert wakes(pair[0], 0.0) is False
