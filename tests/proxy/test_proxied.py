"""Clients behind a load balancer that speaks the PROXY protocol."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.opening import Result
from proxy.tls import server_context
from tests.proxy.login_client import (
    PASSWORD,
    Client,
    door,
    native_scramble,
    packet,
    response,
    ssl_request,
    write_certificate,
)

Run = Callable[[Coroutine[Any, Any, None]], None]

V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 3306\r\n"
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c0000207 0a000001 c350 0cea")
LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a 20 00 0000")
HEADERS = pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])


def everybody(host: str) -> bool:
    return True


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


async def refused(client: Client) -> tuple[int, str, str]:
    """The error follows the response, so that a client can read it."""
    await client.greeting()
    client.send(response())
    return await client.error()


@HEADERS
def test_the_client_is_who_the_header_says(run: Run, header: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            client.writer.write(header)
            await client.log_in()
            (login,) = at.logins
            assert (login.host, login.port) == ("192.0.2.7", 50000)

    run(talk())


@pytest.mark.parametrize("welcome", [True, False])
@HEADERS
def test_a_header_may_be_there_before_the_greeting_is(run: Run, header: bytes, welcome: bool) -> None:
    """Balancers do not wait to be greeted."""

    async def talk() -> None:
        async with door(proxy_protocol=lambda host: welcome) as at:
            with socket.socket() as sock:
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, ("127.0.0.1", at.port))
                sock.send(header)  # the loop that serves it has not accepted it yet
                client = Client(*await asyncio.open_connection(sock=sock.dup()))
            if welcome:
                await client.log_in()
                assert at.logins[0].host == "192.0.2.7"
            else:
                assert (await refused(client))[0] == 1130
            await client.close()

    run(talk())


@HEADERS
def test_errors_name_that_address(run: Run, header: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            client.writer.write(header)
            greeting = await client.greeting()
            client.send(response(data=native_scramble("wrong", greeting.nonce)))
            _, _, text = await client.error()
            assert text == "Access denied for user 'app'@'192.0.2.7' (using password: YES)"

    run(talk())


@HEADERS
def test_header_and_login_byte_by_byte(run: Run, header: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            greeting = await client.greeting()
            for byte in header + packet(1, response(data=native_scramble(PASSWORD, greeting.nonce))):
                client.writer.write(bytes((byte,)))
                await client.writer.drain()
                await asyncio.sleep(0)
            client.seq = 2
            await client.ok()
            assert at.logins[0].host == "192.0.2.7"

    run(talk())


@HEADERS
def test_header_login_and_commands_in_one_segment(run: Run, header: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            greeting = await client.greeting()
            login = packet(1, response(data=native_scramble(PASSWORD, greeting.nonce)))
            client.writer.write(header + login + packet(0, b"\x0e"))
            client.seq = 2
            await client.ok()
            client.seq = 1
            await client.ok()

    run(talk())


@HEADERS
def test_under_tls_the_header_comes_first_and_in_clear(run: Run, header: bytes, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False

    async def talk() -> None:
        async with door(proxy_protocol=everybody, tls=server_context(certificate, key), tls_required=True) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.writer.write(header)
            client.send(ssl_request())
            await client.start_tls(context)
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
            await client.ok()
            assert (at.logins[0].host, at.logins[0].tls) == ("192.0.2.7", True)

    run(talk())


def test_who_may_send_a_header_need_not(run: Run) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            await (await at.connect()).log_in()
            health_check = await at.connect()
            health_check.writer.write(LOCAL)
            await health_check.log_in()
            assert [login.host for login in at.logins] == ["127.0.0.1"] * 2

    run(talk())


@HEADERS
def test_from_anybody_else_it_is_refused(run: Run, header: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=lambda host: host == "10.0.0.2") as at:
            client = await at.connect()
            client.writer.write(header)
            assert await refused(client) == (1130, "HY000", "Proxy header is not accepted from 127.0.0.1")
            assert at.results == [Result.PROXY_REFUSED]
            await (await at.connect()).log_in()

    run(talk())


@pytest.mark.parametrize("more", [V1 + V1, V1 + V2, V2 + V1, V1[:20] + b"\r" + V1[20:], b"PROXY TCP4 a b c d\r\n",
                                  V2[:14] + b"\xff\xff"])  # fmt: skip
def test_a_second_header_or_a_bad_one_is_no_handshake(run: Run, more: bytes) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.writer.write(more + packet(1, response(data=native_scramble(PASSWORD, greeting.nonce))))
            head = await client.reader.readexactly(4)
            assert (await client.reader.readexactly(head[0]))[:3] == b"\xff" + (1043).to_bytes(2, "little")
            assert at.results == [Result.MALFORMED]

    run(talk())


def test_a_header_is_no_header_once_the_login_has_begun(run: Run) -> None:
    async def talk() -> None:
        async with door(proxy_protocol=everybody) as at:
            client = await at.connect()
            await client.greeting()
            client.send(response(plugin="unknown_to_us"))
            assert (await client.read())[0] == 0xFE
            client.writer.write(V1)
            head = await client.reader.readexactly(4)
            assert (await client.reader.readexactly(head[0]))[:3] == b"\xff" + (1043).to_bytes(2, "little")

    run(talk())


@HEADERS
def test_a_client_is_not_local_because_its_load_balancer_is(run: Run, header: bytes, tmp_path: Path) -> None:
    """A Unix socket counts as secure, the network before it does not."""

    async def talk() -> None:
        async with door(proxy_protocol=lambda host: host == "localhost", unix=tmp_path / "s", tls_required=True) as at:
            client = await at.connect_unix()
            greeting = await client.greeting()
            client.writer.write(header)
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
            assert (await client.error())[0] == 3159
            local = await at.connect_unix()
            await local.log_in()
            assert at.logins[0].host == "localhost"

    run(talk())
