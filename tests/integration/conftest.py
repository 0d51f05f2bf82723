"""Connections to the nodes of the real cluster, schemas on it, and real proxies in front of it."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.support.proxy import Proxy, Settings

Connection = pymysql.Connection  # type: ignore[type-arg]


class Direct(Protocol):
    """Opens a connection to one node, past the proxy, as app unless told otherwise; it is closed after the test."""

    def __call__(self, node: int = 1, user: str = "app", password: str = "app", **options: Any) -> Connection: ...


class MakeProxy(Protocol):
    """Starts a proxy with settings of its own, ready unless `wait` is false; it is ended after the test."""

    def __call__(self, settings: Settings | None = None, *, wait: bool = True) -> Proxy: ...


@pytest.fixture
def direct(cluster: Cluster) -> Iterator[Direct]:
    with contextlib.ExitStack() as opened:

        def connect(node: int = 1, user: str = "app", password: str = "app", **options: Any) -> Connection:
            return opened.enter_context(contextlib.closing(cluster[node].connect(user, password, **options)))

        yield connect


_numbers = itertools.count(1)


@pytest.fixture
def schema(cluster: Cluster) -> Iterator[str]:
    """The name of a new, empty schema that is there on every node and goes after the test."""
    name = f"test_{next(_numbers)}"
    cluster[1].query(f"CREATE DATABASE {name}")
    wait_until(lambda: all(node.query(f"SHOW DATABASES LIKE '{name}'") for node in cluster), 10, lambda: f"no {name}")
    yield name
    cluster.heal()
    cluster[1].query(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def make_proxy(cluster: Cluster, tmp_path: Path) -> Iterator[MakeProxy]:
    started: list[Proxy] = []

    def make(settings: Settings | None = None, *, wait: bool = True) -> Proxy:
        addresses = [node.address for node in cluster]
        proxy = Proxy(tmp_path / f"proxy{len(started) + 1}", addresses, settings, flavor=cluster.flavor)
        started.append(proxy)
        proxy.start(wait=wait)
        return proxy

    yield make
    for proxy in started:
        proxy.kill()


@pytest.fixture(scope="session")
def running_proxy(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Proxy]]:
    """Gives the run's common proxy, starting it at the first call and again if a test ended it."""
    current: list[Proxy] = []

    def get() -> Proxy:
        if not current or not current[-1].running:
            addresses = [node.address for node in running_cluster]
            proxy = Proxy(tmp_path_factory.mktemp("proxy"), addresses, flavor=running_cluster.flavor)
            current.append(proxy)
            proxy.start()
        return current[-1]

    yield get
    for proxy in current:
        proxy.kill()


@pytest.fixture
def proxy(cluster: Cluster, running_proxy: Callable[[], Proxy]) -> Iterator[Proxy]:
    """A proxy with the usual settings that sees every node up. Tests share it: they count events as differences."""
    proxy = running_proxy()

    def states() -> dict[str, str]:
        return proxy.metrics().node_states()

    wait_until(
        lambda: set(states().values()) == {"up"} and len(states()) == len(cluster.nodes),
        20,
        lambda: f"the proxy does not see every node up: {states()}",
    )
    yield proxy
    assert proxy.running, f"the proxy ended in this test:\n{proxy.log_text()[-3000:]}"
