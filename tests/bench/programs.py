"""The two small C programs of the benchmark: a node that answers at once (fake.c) and many cheap clients (load.c)."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from proxy.demo.processes import Process, StartError, free_ports, is_free, tail, wait_until
from tests.bench.endpoints import HOST, Endpoint
from tests.bench.usage import cpu_seconds

HERE = Path(__file__).parent
SETTLE_SECONDS = 10.0
POINT_SELECT = "SELECT c FROM sbtest1 WHERE id=4711"

# What a proxy needs to be told before fake nodes: they have no accounts and no tables.
FAKED: Mapping[str, Any] = {"accounts": {"cluster": False}, "catalog": {"enabled": False}}


def built(name: str, directory: Path) -> Path:
    """The program of this name, compiled if it is not yet."""
    program = directory / name
    if not program.exists():
        flags = ["-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["cc", *flags, "-o", program, HERE / f"{name}.c"], check=True)
    return program


class FakeNode:
    """A process that answers as a lone Galera node, at once and always the same."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self.address = f"{HOST}:{self.port}"
        log = directory / f"fake-{self.port}.log"
        with log.open("ab") as output:
            self.process = Process([built("fake", directory), str(self.port)], output=output)
        wait_until(lambda: not is_free(self.port), 20, lambda: f"no fake node\n{tail(log)}", every=0.01)

    def stop(self) -> None:
        self.process.kill()


class Load:
    """Clients of an endpoint, logged in when made. `run` has them do their work, once."""

    def __init__(self, directory: Path, endpoint: Endpoint, *arguments: object) -> None:
        self.endpoint = endpoint
        self._process = subprocess.Popen(
            [built("load", directory), str(endpoint.port), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.stop()
            raise StartError(f"the clients of {endpoint.name} did not get in: {line}")

    def run(self) -> dict[str, float]:
        """`per_s`, latencies in milliseconds, and `cpu_us` of the endpoint's processes for each that was done."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        before, own = cpu_seconds(self.endpoint.pids), cpu_seconds([self._process.pid])
        children = getrusage(RUSAGE_CHILDREN)
        stdin.write("go\n")
        stdin.flush()
        said = stdout.readline()
        spent = cpu_seconds(self.endpoint.pids) - before
        rest, _ = self._process.communicate()
        said += rest
        settle(self.endpoint.pids)
        since = getrusage(RUSAGE_CHILDREN)
        clients = since.ru_utime + since.ru_stime - children.ru_utime - children.ru_stime - own
        if self._process.returncode:
            raise StartError(f"the clients of {self.endpoint.name} gave up: {said}")
        found = json.loads(said)
        done = max(1, found["done"])
        return {
            "per_s": found["done"] / found["seconds"],
            "median_ms": found["median_us"] / 1e3,
            "p95_ms": found["p95_us"] / 1e3,
            "p99_ms": found["p99_us"] / 1e3,
            "errors": float(found["failures"]),
            "cpu_us": spent / done * 1e6,
            "clients_us": clients / done * 1e6,
        }

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def settle(pids: Sequence[int]) -> None:
    """Return when these processes are nearly idle: what thousands of clients cost that leave is no part of the next
    measurement."""
    until = time.monotonic() + SETTLE_SECONDS
    spent = cpu_seconds(pids)
    while time.monotonic() < until:
        time.sleep(0.1)
        before, spent = spent, cpu_seconds(pids)
        if spent - before < 0.02:
            return


def queries(
    directory: Path,
    endpoint: Endpoint,
    *,
    clients: int,
    active: int,
    seconds: float,
    rate: float = 0.0,
    text: str = POINT_SELECT,
    depth: int = 1,
) -> Callable[[], dict[str, float]]:
    """A measurement: `active` of the clients ask again and again, `depth` times before they look at an answer, the
    others together `rate` times a second.
    """
    return lambda: Load(directory, endpoint, "query", clients, active, rate, seconds, text, depth).run()
