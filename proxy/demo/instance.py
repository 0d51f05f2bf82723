"""A proxy of our own as a child process: started from a settings file, waited for, asked for its metrics, ended.

Knows the proxy from outside only: its command line, its HTTP address and the text of its metrics.
"""

import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from proxy.demo.processes import Process, StartError, tail, wait_until

READY_SECONDS = 20.0
# Above the proxy's own deadline for transactions that are to finish, which is 30 s unless set.
STOP_SECONDS = 40.0

Sample = tuple[str, dict[str, str], float]
"""Name, labels and value of one line of the metrics."""

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape, in the order in which the proxy gave it."""

    __slots__ = ("samples",)

    def __init__(self, text: str) -> None:
        """`text` is in Prometheus' text format, comments included."""
        self.samples: list[Sample] = []
        for line in text.splitlines():
            found = None if line.startswith("#") else _SAMPLE.match(line)
            if found:
                labels = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _LABEL.findall(found[2] or "")}
                self.samples.append((found[1], labels, float(found[3])))

    def matching(self, name: str, **labels: str) -> Iterator[Sample]:
        """The samples of this name that have at least these labels with these values."""
        for sample in self.samples:
            if sample[0] == name and labels.items() <= sample[1].items():
                yield sample

    def total(self, name: str, **labels: str) -> float:
        """The sum over the matching samples; 0 if there is none, since a label appears with its first event."""
        return sum(value for _, _, value in self.matching(name, **labels))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """The matching samples' sums by the value of one label."""
        sums: dict[str, float] = {}
        for _, found, value in self.matching(name, **labels):
            if label in found:
                sums[found[label]] = sums.get(found[label], 0.0) + value
        return sums

    def node_states(self) -> dict[str, str]:
        """State by node: the one of each node's states whose gauge is 1."""
        return {found["node"]: found["state"] for _, found, value in self.matching("multiwriter_node_state") if value}


def scrape(address: str, seconds: float = 5.0) -> Metrics:
    """The metrics of the proxy whose HTTP address is `host:port`; StartError if it does not answer."""
    try:
        return Metrics(_get(address, "/metrics", seconds)[1])
    except OSError as error:
        raise StartError(f"no metrics from http://{address}/metrics: {error}") from error


class Instance:
    """One `multiwriter serve` with its settings file and its log, both in `directory`."""

    def __init__(self, directory: Path, settings: Path, http: str) -> None:
        """`http` is the host:port of the settings' `[http]`, which tells when it is ready."""
        self.settings = settings
        self.http = http
        self.log = directory / "proxy.log"
        self.process: Process | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise StartError("the proxy was not started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return when it says that it is ready. StartError with the end of its log otherwise."""
        with self.log.open("ab") as log:
            # SIGTERM, not SIGKILL, when we die: it then lets transactions finish and closes its connections in order.
            self.process = Process(
                [*_command(), "serve", "--config", self.settings], output=log, on_parent_death=signal.SIGTERM
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when /readyz says 200."""

        def ready() -> bool:
            if self.process is not None and self.process.returncode is not None:
                raise StartError(f"the proxy ended (status {self.process.returncode})\n{tail(self.log)}")
            return self.get("/readyz")[0] == 200

        wait_until(ready, seconds, lambda: f"the proxy is not ready after {seconds:.0f} s\n{tail(self.log)}")

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, and SIGKILL after `seconds`; the exit status."""
        if self.process is None:
            raise StartError("the proxy was not started")
        return self.process.terminate(seconds)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP request to it; status 0 when it does not answer."""
        try:
            return _get(self.http, path, 5.0)
        except OSError:
            return 0, ""

    def metrics(self) -> Metrics:
        return scrape(self.http)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def _get(address: str, path: str, seconds: float) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=seconds) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def _command() -> list[str]:
    """The `multiwriter` command of the environment that we run in."""
    installed = Path(sys.executable).parent / "multiwriter"
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "import sys; from proxy.cli import main; sys.exit(main())"]
