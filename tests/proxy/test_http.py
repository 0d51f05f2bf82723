"""The HTTP server: its few answers, and what it makes of clients that are none."""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Address
from proxy import http

Run = Callable[[Callable[[http.Server], Coroutine[Any, Any, None]]], None]

SHORT = 0.05  # seconds


def broken() -> http.Answer:
    raise RuntimeError("no answer today")


async def later() -> http.Answer:
    await asyncio.sleep(0)
    return 200, "text/plain", b"at last\n"


async def never() -> http.Answer:
    await asyncio.sleep(3600)
    raise AssertionError


async def broken_later() -> http.Answer:
    await asyncio.sleep(0)
    return broken()


ROUTES: http.Routes = {
    "/later": later,
    "/never": never,
    "/broken-later": broken_later,
    "/metrics": lambda: (200, "text/plain", b"clients 7\n"),
    "/readyz": lambda: (503, "text/plain", b"no writer\n"),
    "/big": lambda: (200, "text/plain", bytes(4 << 20)),
    "/broken": broken,
}


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    made: Callable[[], asyncio.AbstractEventLoop] = request.param
    return made


@pytest.fixture
def run(factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Run]:
    """Run a test against a server; nothing may be left of it."""

    async def served(test: Callable[[http.Server], Coroutine[Any, Any, None]]) -> None:
        server = await http.start(Address("127.0.0.1", 0), ROUTES, timeout=SHORT, max_connections=3)
        try:
            async with asyncio.timeout(15):
                await test(server)
        finally:
            await server.close()
        assert not server.connections
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda test: runner.run(served(test))


async def exchange(server: http.Server, data: bytes, *, eof: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send `data` and read to the end: status (0 when nothing came), headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    if eof:
        writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    if not received:
        return 0, {}, b""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ") for line in lines)}, body


def request(target: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def test_an_answer(run: Run) -> None:
    async def test(server: http.Server) -> None:
        status, headers, body = await exchange(server, request("/metrics"))
        assert (status, body) == (200, b"clients 7\n")
        assert headers["content-type"] == "text/plain"
        assert headers["content-length"] == "10"
        assert headers["connection"] == "close"

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(request("/metrics?name=x"), 200, id="a query is ignored"),
        pytest.param(request("http://x/metrics"), 200, id="absolute target"),
        pytest.param(b"GET /metrics HTTP/1.0\r\n\r\n", 200, id="HTTP 1.0"),
        pytest.param(request("/metrics", more="Expect: 100-continue\r\nContent-Length: 5\r\n"), 200, id="with a body"),
        pytest.param(request("/readyz"), 503, id="the route's own status"),
        pytest.param(request("/"), 404, id="no such path"),
        pytest.param(request("/metrics/"), 404, id="no such path either"),
        pytest.param(request("*", "OPTIONS"), 404, id="asterisk"),
        pytest.param(request("/metrics", "POST", "Content-Length: 0\r\n"), 405, id="POST"),
        pytest.param(request("/metrics", "DELETE"), 405, id="DELETE"),
        pytest.param(request("http://[x/metrics"), 400, id="target is no URL"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET /metrics\r\n\r\n", 400, id="no version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, id="TLS"),
        pytest.param(request("/metrics", more="Broken\r\n"), 400, id="header without colon"),
        pytest.param(request("/metrics", more="Content-Length: x\r\n"), 400, id="bad length"),
        pytest.param(request("/" + "x" * http.MAX_HEAD), 431, id="head too large"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * http.MAX_HEAD, 431, id="head without end"),
    ],
)
def test_statuses(run: Run, data: bytes, status: int) -> None:
    async def test(server: http.Server) -> None:
        got, headers, body = await exchange(server, data)
        assert got == status
        assert int(headers["content-length"]) == len(body)

    run(test)


def test_not_allowed_says_what_is(run: Run) -> None:
    async def test(server: http.Server) -> None:
        _, headers, _ = await exchange(server, request("/metrics", "PUT"))
        assert headers["allow"] == "GET, HEAD"

    run(test)


def test_head_is_get_without_the_body(run: Run) -> None:
    async def test(server: http.Server) -> None:
        _, expected, _ = await exchange(server, request("/metrics"))
        status, headers, body = await exchange(server, request("/metrics", "HEAD"))
        assert (status, body) == (200, b"")
        assert headers == expected

    run(test)


def test_a_request_byte_by_byte(run: Run) -> None:
    async def test(server: http.Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in request("/metrics"):
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await reader.read()).endswith(b"clients 7\n")
        writer.close()
        await writer.wait_closed()

    run(test)


def test_a_large_answer_arrives_whole(run: Run) -> None:
    async def test(server: http.Server) -> None:
        _, _, body = await exchange(server, request("/big"))
        assert len(body) == 4 << 20

    run(test)


def test_a_failing_route_costs_one_answer(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: http.Server) -> None:
        with caplog.at_level(logging.ERROR, "proxy.http"):
            assert (await exchange(server, request("/broken")))[0] == 500
        assert [record.msg for record in caplog.records] == ["http.failed"]
        assert (await exchange(server, request("/metrics")))[0] == 200

    run(test)


def test_an_answer_that_has_to_be_waited_for(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: http.Server) -> None:
        assert (await exchange(server, request("/later")))[::2] == (200, b"at last\n")
        with caplog.at_level(logging.ERROR, "proxy.http"):
            assert (await exchange(server, request("/broken-later")))[0] == 500
        assert [record.msg for record in caplog.records] == ["http.failed"]
        assert (await exchange(server, request("/never")))[0] == 503
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request("/never"))
        while not server.connections:
            await asyncio.sleep(0)
        writer.close()  # it does not wait: nor do we

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 0), (b"GET /metr", 408), (b"GET /metrics HTTP/1.1\r\nHost: x\r\n", 408)],
    ids=["silent", "half a line", "no end"],
)
def test_a_client_that_is_too_slow(run: Run, data: bytes, status: int) -> None:
    async def test(server: http.Server) -> None:
        try:
            assert (await exchange(server, data))[0] == status
        except ConnectionResetError:
            assert status == 0

    run(test)


@pytest.mark.parametrize(("data", "status"), [(b"", 0), (b"GET /metr", 400)], ids=["nothing", "half a request"])
def test_a_client_that_hangs_up(run: Run, data: bytes, status: int) -> None:
    async def test(server: http.Server) -> None:
        assert (await exchange(server, data, eof=True))[0] == status

    run(test)


def test_a_client_that_does_not_take_its_answer_is_dropped(run: Run) -> None:
    async def test(server: http.Server) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(request("/big"))
            while not server.connections:
                await asyncio.sleep(0)
            while server.connections:
                await asyncio.sleep(0.001)

    run(test)


def test_too_many_connections(run: Run) -> None:
    async def test(server: http.Server) -> None:
        waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        while len(server.connections) < 3:
            await asyncio.sleep(0)
        status, _, body = await exchange(server, b"")
        assert (status, body) == (503, b"too many connections\n")
        for _, writer in waiting:
            writer.close()
            await writer.wait_closed()
        while server.connections:
            await asyncio.sleep(0)
        assert (await exchange(server, request("/metrics")))[0] == 200

    run(test)


def test_closing_drops_who_is_connected(run: Run) -> None:
    async def test(server: http.Server) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            while not server.connections:
                await asyncio.sleep(0)
            await server.close()
            with suppress(ConnectionError):  # as good an end
                assert client.recv(1) == b""

    run(test)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([b"GET /metrics HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"]))
    )
)
@settings(max_examples=30)
def test_any_bytes_get_a_status_or_the_end(parts: list[bytes]) -> None:
    async def main() -> None:
        server = await http.start(Address("127.0.0.1", 0), ROUTES)
        status, _, _ = await exchange(server, b"".join(parts), eof=True)
        await server.close()
        assert status in (0, 200, 400, 404, 405, 431)

    uvloop.run(main())


def test_an_address_that_is_taken(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        first = await http.start(Address("127.0.0.1", 0), ROUTES)
        with pytest.raises(OSError, match="in use"):
            await http.start(Address("127.0.0.1", first.port), ROUTES)
        await first.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
