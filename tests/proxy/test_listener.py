"""How many get in, where one listens, and that nothing is left behind."""

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.listener import Admission, remove_stale_socket
from proxy.opening import Login, Result
from tests.proxy.login_client import (
    CLIENT_FLAGS,
    NATIVE,
    PASSWORD,
    SCRAMBLES,
    SHA2,
    Door,
    door,
    native_scramble,
    packet,
    response,
)

Run = Callable[[Coroutine[Any, Any, None]], None]

TOO_MANY = (1040, "08004", "Too many connections")


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


def test_one_client_too_many_is_told_so_instead_of_greeted(run: Run) -> None:
    async def talk() -> None:
        async with door(max_clients=2) as at:
            first, second = await at.connect(), await at.connect()
            await first.log_in()
            await second.greeting()  # one that is logging in counts too
            third = await at.connect()
            assert await third.error() == TOO_MANY
            assert at.results == [Result.ACCEPTED, Result.FULL]
            # A place is free again as soon as a client is gone.
            await first.close()
            await at.until(lambda: at.admission.clients == 1)
            await (await at.connect()).log_in()

    run(talk())


def test_strangers_cannot_take_more_than_the_places_for_logging_in(run: Run) -> None:
    async def talk() -> None:
        async with door(max_pending_logins=3) as at:
            strangers = [await at.connect() for _ in range(3)]
            for stranger in strangers:
                await stranger.greeting()
            late = await at.connect()
            assert await late.error() == TOO_MANY
            assert at.results == [Result.BUSY]
            await strangers[0].close()
            await at.until(lambda: Result.GONE in at.results)
            while at.admission.pending == 3:
                await asyncio.sleep(0)
            for _ in range(4):  # those who are in take no place of those who come
                await (await at.connect()).log_in()
            assert (at.admission.clients, at.admission.pending, at.listener.clients) == (6, 2, 6)

    run(talk())


def test_limits_and_connection_ids_are_common_to_all_listeners(run: Run) -> None:
    async def talk() -> None:
        async with door(max_clients=1) as one, door() as other:
            other.listener._admission = one.admission
            client = await one.connect()
            await client.log_in()
            refused = await other.connect()
            assert await refused.error() == TOO_MANY
            other.listener._admission = other.admission

    run(talk())


def test_connection_ids_count_up_and_wrap_before_they_outgrow_the_greeting() -> None:
    admission = Admission(1, 1)
    assert [admission.next_id() for _ in range(3)] == [1, 2, 3]
    admission.seat._board.words[1] = 0xFFFFFFFE
    assert [admission.next_id() for _ in range(2)] == [0xFFFFFFFF, 1]


def test_listening_on_all_addresses_and_on_a_port_taken(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            with pytest.raises(OSError) as caught:
                await at.listener.listen_tcp("127.0.0.1", at.port)
            assert caught.value.errno == errno.EADDRINUSE
            await at.listener.listen_tcp("127.0.0.2", 0)
            assert len(at.listener.ports) == 2
            assert "accepting, 0 clients" in repr(at.listener)

    run(talk())


def test_several_processes_may_share_a_port(run: Run) -> None:
    async def talk() -> None:
        async with door() as one, door() as other:
            await one.listener.listen_tcp("127.0.0.3", 0, reuse_port=True)
            await other.listener.listen_tcp("127.0.0.3", one.listener.ports[-1], reuse_port=True)

    run(talk())


def test_after_stopping_nobody_comes_in_and_those_inside_stay(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client, stranger, port = await at.connect(), await at.connect(), at.port
            await client.log_in()
            greeting = await stranger.greeting()
            at.listener.stop_accepting()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            client.command(b"\x0e")
            await client.ok()
            stranger.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
            await stranger.ok()
            assert "not accepting, 2 clients" in repr(at.listener)

    run(talk())


def test_closing_cuts_off_who_is_logging_in(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            greeted, client = await at.connect(), await at.connect()
            await client.log_in()
            await greeted.greeting()
            await at.listener.close()
            await greeted.closed()
            client.command(b"\x0e")
            await client.ok()
            assert at.admission.pending == 0

    run(talk())


def test_who_is_made_known_only_after_closing_is_cut_off(run: Run) -> None:
    """The loop may have accepted a connection already when the listener closes."""

    async def talk() -> None:
        async with door() as at:
            connected = at.listener._connected

            async def close_first(channel: Any) -> None:
                await at.listener.close()
                connected(channel)

            closing: list[asyncio.Task[None]] = []
            at.listener._connected = lambda channel: closing.append(  # type: ignore[method-assign]
                asyncio.create_task(close_first(channel), name="close")
            )
            client = await at.connect()
            await client.closed()
            await closing[0]
            assert (at.admission.clients, at.results) == (0, [])

    run(talk())


def test_dead_machines_are_found_out_by_the_kernel(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            await (await at.connect()).log_in()
            sock = at.logins[0].transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    run(talk())


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_only_a_login_that_has_to_wait_has_a_task(run: Run, plugin: str) -> None:
    tasks: list[list[str]] = []

    async def talk() -> None:
        async with door(plugin=plugin) as at:
            on_client = at.listener._on_client

            def count(login: Login) -> Any:
                names = [task.get_name() for task in asyncio.all_tasks()]
                tasks.append([name for name in names if name.startswith("login ")])
                return on_client(login)

            at.listener._on_client = count
            await (await at.connect()).log_in()
            second = await at.connect()
            greeting = await second.greeting()
            second.send(response(data=b"", plugin="", flags=CLIENT_FLAGS))
            assert (await second.read())[0] == 0xFE
            second.send(SCRAMBLES[plugin](PASSWORD, greeting.nonce))
            if plugin == SHA2:
                assert await second.read() == b"\x01\x03"
            await second.ok()

    run(talk())
    assert [len(names) for names in tasks] == [0, 1]


@pytest.mark.parametrize("proven", [True, False])
def test_a_login_cancelled_before_its_first_step_leaves_nothing(run: Run, proven: bool) -> None:
    """One that has to be asked for more, and one whose session has to ask a node."""

    async def talk() -> None:
        async with door() as at:
            answered = at.listener._answered
            cancelled: list[asyncio.Task[bool]] = []

            def answer_and_cancel(opening: Any) -> None:
                answered(opening)
                cancelled.extend(at.listener._tasks)
                cancelled[0].cancel()

            at.listener._answered = answer_and_cancel  # type: ignore[method-assign]
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce) if proven else b""))
            await client.closed()
            assert cancelled[0].cancelled()
            assert (at.admission.clients, at.admission.pending) == (0, 0)
            assert at.results == ([Result.ACCEPTED] if proven else [])

    run(talk())


def test_a_session_that_cannot_begin_is_logged_and_its_place_given_back(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        async with door() as at:

            async def fail(login: Login) -> None:
                raise ZeroDivisionError

            at.listener._on_client = fail
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
            await client.closed()
            await at.empty()

    with caplog.at_level(logging.ERROR):
        run(talk())
    assert [record.getMessage() for record in caplog.records] == ["login on endpoint write failed"]


def test_a_client_that_leaves_between_its_login_and_its_session_is_no_error(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        async with door() as at:
            at.gate = asyncio.Event()
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
            await at.until(lambda: len(at.logins) == 1)
            at.logins[0].transport.abort()
            at.gate.set()
            await client.closed()
            await at.empty()
            assert at.results == [Result.ACCEPTED]

    run(talk())
    assert caplog.records == []


def test_many_clients_at_once(run: Run) -> None:
    async def one(at: Door) -> None:
        client = await at.connect()
        await client.log_in(flags=CLIENT_FLAGS)
        client.command(b"\x01")
        await client.closed()

    async def talk() -> None:
        async with door() as at:
            async with asyncio.TaskGroup() as group:
                for _ in range(60):
                    group.create_task(one(at))
            assert len({login.connection_id for login in at.logins}) == 60

    run(talk())


def test_a_refused_client_that_already_spoke_costs_nothing(run: Run) -> None:
    async def talk() -> None:
        async with door(max_clients=0) as at:
            client = await at.connect()
            client.writer.write(packet(1, response()))
            await at.until(lambda: at.results == [Result.FULL])

    run(talk())


# Unix sockets


def test_a_unix_socket_has_its_mode_and_goes_when_we_go(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mysql.sock"

    async def talk() -> None:
        async with door() as at:
            await at.listener.listen_unix(str(path), mode=0o660)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
            at.unix_path = str(path)
            await (await at.connect_unix()).log_in()
            at.listener.stop_accepting()
            assert not path.exists()

    run(talk())


def test_a_dead_process_socket_is_replaced_and_a_living_ones_is_not(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mysql.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def talk() -> None:
        async with door(unix=path) as at, door() as other:
            await (await at.connect_unix()).log_in()
            with pytest.raises(OSError) as caught:
                await other.listener.listen_unix(str(path))
            assert caught.value.errno == errno.EADDRINUSE
            await at.until(lambda: at.results == [Result.ACCEPTED, Result.GONE])  # the probe

    run(talk())


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError):
        remove_stale_socket(str(path))
    assert path.read_text() == "data"
    remove_stale_socket(str(tmp_path / "nothing"))


def test_a_successors_socket_is_not_removed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mysql.sock"

    async def talk() -> None:
        async with door(unix=path) as at:
            path.unlink()
            with socket.socket(socket.AF_UNIX) as successor:
                successor.bind(str(path))
                at.listener.stop_accepting()
                assert path.exists()

    run(talk())
