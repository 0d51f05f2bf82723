"""Clients that leave in the middle of something: a login, a change of user, a wait. Nothing of them stays.

That a client has left is known without reading from it, which nobody does while its login waits for a node.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from config import Pool
from proxy.channel import ClientChannel
from proxy.wire.constants import COM_CHANGE_USER
from tests.proxy.conftest import Build
from tests.proxy.login_client import write_certificate
from tests.proxy.scripted import Stage, command, error, ok, rows

LOOK = 0.2  # seconds, in which it is looked whether a client is still there
USE = "COM_INIT_DB shop"


def gone(stage: Stage) -> None:
    """Of the client nothing is left, long before any wait has come to its end."""
    stage.passes(LOOK)
    assert not stage.service.sessions
    assert not stage.service.endpoints[0].listener.clients
    pool = stage.one.pool
    assert not pool.leased
    assert not pool.waiting
    assert not pool.connecting
    assert not asyncio.all_tasks(stage.clock)


def test_while_a_node_does_not_let_us_in(stage: Stage) -> None:
    stage.one.slow = True
    client = stage.client(database="shop")
    client.vanishes()
    gone(stage)


def test_while_the_schema_is_not_answered(stage: Stage) -> None:
    """The connection owes a reply: it is closed, and no other session's."""
    client = stage.client(database="shop")
    link = stage.one.hears(USE)
    client.vanishes()
    gone(stage)
    assert link.closed


def test_while_there_is_no_node(build: Build) -> None:
    stage = build(up=())
    client = stage.client(database="shop")
    client.vanishes()
    gone(stage)


def test_while_there_is_no_backend(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    busy = stage.client()
    busy.says("SELECT 1")
    client = stage.client(database="shop")
    assert stage.one.pool.waiting == 1
    client.vanishes()
    stage.passes(LOOK)
    assert stage.one.pool.waiting == 0
    stage.one.hears("SELECT 1").says(rows("1"))
    busy.hears(rows("1"))


def change_user(schema: str) -> bytes:
    return command(COM_CHANGE_USER, b"app\0" + b"\0" + schema.encode() + b"\0")


def test_while_a_change_of_user_waits(stage: Stage) -> None:
    client = stage.client()
    client.says(change_user("shop"))
    link = stage.one.hears(USE)
    client.vanishes()
    gone(stage)
    assert link.closed


@pytest.mark.parametrize("reply", [ok(), error(1049)])
def test_a_change_of_user_that_is_answered(stage: Stage, reply: bytes) -> None:
    client = stage.client()
    client.says(change_user("shop"))
    stage.passes(5)  # the client is patient
    stage.one.hears(USE).says(reply)
    told, client.received = bytes(client.received), bytearray()
    assert told[4] == reply[4]
    assert client.closed is (reply[4] == 0xFF)


def test_a_shutdown_during_a_login(stage: Stage) -> None:
    """The login is cancelled with its listener."""
    client = stage.client(database="shop")
    link = stage.one.hears(USE)
    (login,) = (task for task in asyncio.all_tasks(stage.clock) if task.get_name() == "login")
    login.cancel()
    stage.clock.settle()
    assert not stage.service.sessions
    assert not stage.one.pool.leased
    assert link.closed
    stage.service.endpoints[0].listener.clients -= 1  # the listener's own part, which is no part of the stage
    client.wire.close()


# -- how it is known --------------------------------------------------------------------------------------------------


@pytest.fixture
def run() -> Iterator[Callable[[Any], None]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield lambda main: runner.run(main)


def resets(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


WAYS: dict[str, tuple[Callable[[socket.socket], object], bool]] = {
    "stays": (lambda client: None, False),
    "sends ahead": (lambda client: client.sendall(b"more"), False),
    "closes": (socket.socket.close, True),
    "resets": (resets, True),
    "sends ahead and half-closes": (lambda client: (client.sendall(b"x"), client.shutdown(socket.SHUT_WR)), False),
    "half-closes": (lambda client: client.shutdown(socket.SHUT_WR), True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_whether_a_client_has_left(run: Callable[[Any], None], family: int, way: str, tmp_path: Path) -> None:
    leave, left = WAYS[way]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[ClientChannel] = loop.create_future()

        def channel() -> ClientChannel:
            return ClientChannel(1024, connected.set_result)

        if family == socket.AF_UNIX:
            server = await loop.create_unix_server(channel, str(tmp_path / "s"))
        else:
            server = await loop.create_server(channel, "127.0.0.1")
        client = socket.socket(family)
        client.connect(server.sockets[0].getsockname())
        ours = await connected
        ours.transport.pause_reading()  # as it is between two packets of a login
        leave(client)
        async with asyncio.timeout(10):
            while ours.left() is not left:
                await asyncio.sleep(0)
        ours.transport.abort()
        client.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_whether_one_has_left_that_says_goodbye_to_tls(run: Callable[[Any], None], tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate, key)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[ClientChannel] = loop.create_future()
        server = await loop.create_server(lambda: ClientChannel(1024, connected.set_result), "127.0.0.1", ssl=serves)
        trusts = ssl.create_default_context(cafile=certificate)
        plain = socket.create_connection(server.sockets[0].getsockname())
        client = await asyncio.to_thread(trusts.wrap_socket, plain, server_hostname="127.0.0.1")
        ours = await connected
        ours.transport.pause_reading()
        assert not ours.left()
        client.setblocking(False)
        with suppress(ssl.SSLWantReadError):  # it does not wait for ours
            client.unwrap()
        client.close()
        async with asyncio.timeout(10):
            while not ours.left():
                await asyncio.sleep(0.01)
        ours.transport.abort()
        server.close()
        await server.wait_closed()

    run(main())
