"""Settings that every test runs under, and a real cluster of three nodes, one for the whole run.

It is a Galera cluster, or with MULTIWRITER_FLAVOR=group-replication a MySQL group (`make mysql`).
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from proxy.demo.galera import Cluster
from tests.support.group import Group

# A few dozen examples find what a parser gets wrong at a boundary; a deadline would measure the machine, not the code.
settings.register_profile("default", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A failure on the continuous integration's machine must be the same failure here.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

FLAVOR = os.environ.get("MULTIWRITER_FLAVOR", Cluster.flavor)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], uvloop.Loop]]:
    """The proxy runs on uvloop, and so do the tests that are coroutines."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`@pytest.mark.only(flavor)`: a test of what only that kind of cluster has is not a test of the other."""
    foreign = [item for item in items if (mark := item.get_closest_marker("only")) and FLAVOR not in mark.args]
    config.hook.pytest_deselected(items=foreign)
    items[:] = [item for item in items if item not in foreign]


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster | Group]:
    """Three nodes, started once. A test asks for `cluster`, which has them all in step."""
    # Not below pytest's own directory, which it closes to other accounts: for root the nodes run as another one.
    directory = Path(tempfile.mkdtemp(prefix="multiwriter-"))
    cluster = Group(directory, progress=print) if Group.flavor == FLAVOR else Cluster(directory, progress=print)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(clean=False)
        shutil.rmtree(directory)


@pytest.fixture
def cluster(running_cluster: Cluster | Group) -> Iterator[Cluster | Group]:
    """Three nodes, all Synced when the test begins. The test may kill, end, pause and start them as it likes."""
    running_cluster.heal()
    yield running_cluster
    running_cluster.heal()
