"""Listening sockets go from one run to the next, and the old run goes when the new one says so."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config import Address, Config, loads
from proxy.addresses import CONSOLE, HTTP, Addresses
from proxy.takeover import Offer, Predecessor, ask

SETTINGS = """
[cluster]
nodes = ["a"]
user = "m"
password = "m"
[[endpoint]]
name = "write"
listen = "127.0.0.1:0"
[[user]]
name = "app"
password = "app"
[http]
listen = "127.0.0.1:9306"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "takeover")


@contextlib.contextmanager
def listening(*, backlog: int = 10) -> "contextlib.Generator[socket.socket]":
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as sock:
        yield sock


class Old:
    """A run that offers these sockets."""

    def __init__(self, path: str, sockets: dict[str, list[socket.socket]]) -> None:
        self.taken = 0
        self.offer = Offer(path, lambda: sockets, self._taken)

    def _taken(self) -> None:
        self.taken += 1

    async def goes(self) -> None:
        async with asyncio.timeout(10):
            while not self.taken:
                await asyncio.sleep(0)
        assert self.taken == 1

    async def __aenter__(self) -> "Old":
        self.offer.listen()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.offer.close()


async def asked(path: str) -> Predecessor | None:
    return await asyncio.get_running_loop().run_in_executor(None, ask, path)


async def test_the_new_run_gets_the_sockets_and_the_old_one_goes_when_it_says_so(path: str) -> None:
    with listening() as sock, listening() as web:
        async with Old(path, {"write": [sock], HTTP: [web]}) as old:
            assert os.stat(path).st_mode & 0o777 == 0o600
            predecessor = await asked(path)
            assert predecessor is not None
            assert not old.taken
            names = {name: [each.getsockname() for each in many] for name, many in predecessor.sockets.items()}
            assert names == {"write": [sock.getsockname()], HTTP: [web.getsockname()]}
            await predecessor.relieve()
            await old.goes()
            assert not os.path.exists(path), "the next one to offer has its place"
            for each in (*predecessor.sockets["write"], *predecessor.sockets[HTTP]):
                each.close()


async def test_what_waits_to_be_accepted_goes_along(path: str) -> None:
    with listening() as sock, socket.create_connection(sock.getsockname()) as client:
        async with Old(path, {"write": [sock]}):
            predecessor = await asked(path)
            assert predecessor is not None
            await predecessor.relieve()
        sock.close()
        (mine,) = predecessor.sockets["write"]
        with mine:
            accepted, _ = mine.accept()
            with accepted:
                accepted.send(b"x")
                assert client.recv(1) == b"x"


async def test_a_new_run_that_fails_costs_nothing(path: str) -> None:
    with listening() as sock:
        async with Old(path, {"write": [sock]}) as old:
            failed = await asked(path)
            assert failed is not None
            failed._control.close()
            failed.sockets["write"][0].close()
            again = await asked(path)
            assert again is not None
            assert not old.taken
            await again.relieve()
            await old.goes()
            again.sockets["write"][0].close()


async def test_more_sockets_than_one_message_takes(path: str) -> None:
    with contextlib.ExitStack() as opened:
        many = [opened.enter_context(listening()) for _ in range(450)]
        async with Old(path, {"write": many}):
            predecessor = await asked(path)
            assert predecessor is not None
            mine = predecessor.sockets["write"]
            assert [each.getsockname() for each in mine] == [each.getsockname() for each in many]
            await predecessor.relieve()
            for each in mine:
                each.close()


def test_where_nobody_offers_there_is_nothing_to_take_over(path: str) -> None:
    assert ask(path) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert ask(path) is None


# -- what becomes of them ---------------------------------------------------------------------------------------------


def settings(listen: str = "127.0.0.1:0", http: str = "127.0.0.1:9306") -> Config:
    return loads(SETTINGS.replace("127.0.0.1:0", listen).replace("127.0.0.1:9306", http))


@pytest.fixture
async def made() -> AsyncIterator[list[Addresses]]:
    made: list[Addresses] = []
    yield made
    for each in made:
        each.close()


def bound(made: list[Addresses], workers: int, config: Config, inherited: object = None) -> Config:
    made.append(Addresses(workers, inherited or {}))  # type: ignore[arg-type]
    return made[-1].bind(config)


def numbers(addresses: Addresses, worker: int) -> list[int]:
    return [sock.fileno() for sock in addresses.of(worker)["write"]]


async def test_each_worker_has_its_own_socket_at_the_same_address(made: list[Addresses]) -> None:
    config = bound(made, 3, settings())
    (addresses,) = made
    assert config.endpoints[0].listen == Address("127.0.0.1", addresses.all[0].getsockname()[1])
    assert len({number for worker in range(3) for number in numbers(addresses, worker)}) == 3
    assert len({sock.getsockname() for sock in addresses.all}) == 1


async def test_an_address_that_somebody_has_is_not_shared(made: list[Addresses]) -> None:
    with listening() as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match="ddress already in use") as caught:
            bound(made, 2, settings(address))
        assert caught.value.filename == address


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (1, 3), (3, 2), (3, 1)])
async def test_a_run_with_more_or_fewer_workers_takes_all_sockets(
    made: list[Addresses], before: int, after: int
) -> None:
    config = bound(made, before, settings())
    given = {"write": [sock.dup() for sock in made[0].sockets["write"]]}
    bound(made, after, config, given)
    assert made[1].sockets["write"] == given["write"]
    shares = [numbers(made[1], worker) for worker in range(after)]
    assert all(shares)
    assert {number for share in shares for number in share} == {sock.fileno() for sock in given["write"]}


async def test_what_does_not_fit_the_settings_is_closed(made: list[Addresses]) -> None:
    with contextlib.ExitStack() as opened:
        moved, gone, web, operators = (opened.enter_context(listening()) for _ in range(4))
        port = web.getsockname()[1]
        given = {"write": [moved], "read": [gone], HTTP: [web], CONSOLE: [operators]}
        bound(made, 1, settings("127.0.0.2:0", f"127.0.0.1:{port}"), given)
        assert made[0].others == {HTTP: [web], CONSOLE: []}
        assert moved.fileno() == gone.fileno() == operators.fileno() == -1
        bound(made, 1, settings("127.0.0.2:0", f"127.0.0.2:{port}"), {HTTP: [web]})
        assert made[1].others[HTTP] == []
        assert web.fileno() == -1


async def test_a_unix_sockets_file_goes_with_its_last_run(made: list[Addresses], tmp_path: Path) -> None:
    path = tmp_path / "sock"
    text = SETTINGS.replace('listen = "127.0.0.1:0"', f'socket = "{path}"')
    config = loads(text)
    bound(made, 2, config)
    assert path.is_socket()
    given = {"write": [made[0].all[0].dup()]}
    bound(made, 2, config, given)
    assert made[1].all == given["write"]
    made[0].leave(handed_on=True)
    assert path.is_socket()
    made[1].leave(handed_on=False)
    assert not path.exists()
