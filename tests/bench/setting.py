"""What cases have in common: the options of the run, a cluster and endpoints that are started when first wanted, and
rounds that alternate between subjects.
"""

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proxy.cli import about
from proxy.demo.galera import Cluster
from tests.bench.endpoints import GIVEN, Endpoint, HAProxy, Multiwriter, version_of
from tests.bench.results import Measurement, Results
from tests.support import sysbench

SCHEMA = "bench"

Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    rounds: int = 5
    seconds: float = 4.0
    clients: tuple[int, ...] = (1, 8, 64)
    modes: tuple[str, ...] = ("text", "prepared")
    nodes: int = 1
    rows: int = 10_000
    """Of each of sysbench's four tables."""
    many: int = 10_000
    """Clients where a case is about many of them."""
    endpoints: tuple[str, ...] = ("direct", "multiwriter", "haproxy", *GIVEN)
    binaries: Mapping[str, str] = field(default_factory=dict)
    """Of endpoints.BINARIES those that there are: name to path."""
    also: tuple[Endpoint, ...] = ()
    short: bool = False
    """Only show that everything works: figures mean nothing."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the usual ones of this proxy, by section."""


class Setting:
    """One run. `say` gets a line for each step. `running_cluster` is one that runs already, and stays at the end."""

    def __init__(
        self, options: Options, say: Callable[[str], None] = print, running_cluster: Cluster | None = None
    ) -> None:
        self.options = options
        self._running_cluster = running_cluster
        self.say = say
        self.started = 0
        """Proxies that cases have started, so that each has a directory of its own."""
        self.results = Results(machine())
        say(about())
        self.directory = Path(tempfile.mkdtemp(prefix="multiwriter-bench-"))
        self._cluster: Cluster | None = None
        self._writers: Cluster | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)

    def __enter__(self) -> "Setting":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    # -- what is measured against -------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """Real nodes with sysbench's tables on them."""
        if self._cluster is None:
            cluster = self._running_cluster or self._start_cluster("cluster", self.options.nodes)
            cluster[1].query(f"CREATE DATABASE {SCHEMA}")
            self._stack.callback(cluster[1].query, f"DROP DATABASE {SCHEMA}")
            self.say(f"making sysbench's tables of {self.options.rows} rows")
            sysbench.prepare(cluster[1].port, SCHEMA, self.options.rows)
            self._cluster = cluster
            self.results.machine["database"] = cluster[1].query("SELECT VERSION()")[0][0]
        return self._cluster

    @property
    def writers(self) -> Cluster:
        """At least three real nodes: the others' cluster, if it has so many."""
        if self._writers is None:
            enough = self._running_cluster is not None or self.options.nodes >= 3
            self._writers = self.cluster if enough else self._start_cluster("writers", 3)
        return self._writers

    def _start_cluster(self, name: str, size: int) -> Cluster:
        # The nodes run as another account, which has to get to their directory.
        os.chmod(self.directory, 0o755)
        cluster = Cluster(self.directory / name, size=size, progress=self.say)
        self._stack.callback(cluster.stop, clean=False)
        cluster.start()
        return cluster

    @property
    def database(self) -> list[int]:
        """The nodes' processes."""
        return [node.pid for node in self.cluster]

    def endpoints(self) -> list[Endpoint]:
        """Those that were asked for and are there, before the real cluster, all running."""
        nodes = [node.address for node in self.cluster]
        for name in self.options.endpoints:
            if name in self._endpoints:
                continue
            directory = self.directory / name
            endpoint: Endpoint
            if name == "direct":
                endpoint = Endpoint(name, self.cluster[1].port)
            elif name == "multiwriter":
                endpoint = Multiwriter(directory, nodes, self.options.settings)
            elif name == "haproxy":
                endpoint = HAProxy(directory, nodes)
            else:
                binary, start = GIVEN[name]
                if binary not in self.options.binaries:
                    continue
                endpoint = start(directory, nodes, self.options.binaries[binary])
            self.run(endpoint)
            self._endpoints[name] = endpoint
            if endpoint.version:
                self.results.machine[name] = endpoint.version
        return [*self._endpoints.values(), *self.options.also]

    def run(self, endpoint: Endpoint) -> Endpoint:
        """Start it; it ends with the run, if not before."""
        self.ends(endpoint.stop)
        endpoint.start()
        return endpoint

    def ends(self, stop: Callable[[], object]) -> None:
        """To be done when the run ends."""
        self._stack.callback(stop)

    # -- rounds -------------------------------------------------------------------------------------------------------

    def alternate(
        self,
        case: str,
        subjects: Mapping[str, Measure],
        parameters: Mapping[str, str | int] | None = None,
        rounds: int | None = None,
    ) -> None:
        """Measure each subject once a round, beginning with another one each time.

        The first round warms caches up and is not counted, unless there is only one.
        """
        names = list(subjects)
        shown = " ".join(f"{name}={value}" for name, value in (parameters or {}).items())
        rounds = rounds or self.options.rounds
        for number in range(-1 if rounds > 1 else 0, rounds):
            for name in rotated(names, number):
                figures = subjects[name]()
                if number >= 0:
                    self.results.add(Measurement(case, name, number, figures, parameters or {}))
                told = "  ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
                self.say(f"{case} {shown} {f'round {number + 1}' if number >= 0 else 'warm-up'} {name}: {told}")


def rotated(names: Sequence[str], by: int) -> Iterator[str]:
    """All of them, beginning with another one."""
    at = by % len(names) if names else 0
    yield from names[at:]
    yield from names[:at]


def machine() -> dict[str, Any]:
    """What ran it."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line[:10] == "model name"
    ]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "multiwriter": about().removeprefix("multiwriter "),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processor": models[0] if models else "",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "sysbench": version_of(["sysbench", "--version"]),
    }
