"""What the proxy counts, and how Prometheus sees it. The only importer of prometheus_client.

Counting happens on the relay's hot path, so it is a plain `dict[key] += 1` or an integer attribute; names, help texts
and labels meet the numbers only when somebody scrapes. FAMILIES is the one definition that the exposition and the
documentation are made from. This module knows none of the things it counts.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# The oldest version that says the same: every scraper knows it.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Key = str | tuple[str, ...]
ByOne = defaultdict[str, int]
ByTwo = defaultdict[tuple[str, str], int]
ByThree = defaultdict[tuple[str, str, str], int]
ByFive = defaultdict[tuple[str, str, str, str, str], int]

# Seconds. From a point select on loopback to the longest wait anybody configures.
TRANSACTION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
POLL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Not seconds: replays of one transaction.
ATTEMPT_BUCKETS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0)
LOSS_BUCKETS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


MAX_TABLE_LABELS = 100


class Histogram:
    """Counts of observations by upper bound, not yet cumulative."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, observations up to it), the last one "+Inf"."""
        rows: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows


class Histograms(dict[Key, Histogram]):
    """A histogram for each key, made on first use."""

    __slots__ = ("bounds",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self.bounds = bounds

    def __missing__(self, key: Key) -> Histogram:
        made = self[key] = Histogram(self.bounds)
        return made


class Metrics:
    """The numbers of one process, by the labels of their family in FAMILIES: a tuple, or a string for a single label.

    The attributes that end in `_now` are callables that a scrape asks; whoever owns the thing puts its own in place.
    """

    __slots__ = (
        "_tables",
        "backend_connects",
        "backends_now",
        "client_in",
        "client_out",
        "clients_now",
        "commands",
        "commits_unmarked",
        "conflicts",
        "errors_made",
        "hot_now",
        "journal_bytes_now",
        "logins",
        "loop_lag_seconds",
        "marker_lookups",
        "marker_seconds",
        "markers_written",
        "monitor_polls",
        "monitor_seconds",
        "node_bytes_in",
        "node_bytes_out",
        "node_changes",
        "node_info_now",
        "node_loss_seconds",
        "node_states_now",
        "pinned",
        "pinned_now",
        "pool_waiters_now",
        "pool_waits",
        "queue_now",
        "queue_seconds",
        "replays",
        "retries",
        "started",
        "transaction_seconds",
        "transactions",
        "unknown_outcomes",
        "unreplayable",
        "version",
    )

    def __init__(self, nodes: Iterable[str] = (), version: str = "unknown", started: float | None = None) -> None:
        """`nodes` get their zeros at once: an alert on an increase misses a series that starts at 1."""
        self.version = version
        self.started = time.time() if started is None else started
        self.logins: ByTwo = defaultdict(int)
        self.commands: ByOne = defaultdict(int)
        self.transactions: ByTwo = defaultdict(int)
        self.transaction_seconds = Histograms(TRANSACTION_BUCKETS)
        self.conflicts: ByFive = defaultdict(int)
        self.retries: ByFive = defaultdict(int)
        self.replays = Histogram(ATTEMPT_BUCKETS)
        self.queue_seconds = Histograms(WAIT_BUCKETS)
        self._tables: set[str] = set()  # those that have a label of their own
        self.unreplayable: ByOne = defaultdict(int)
        self.pinned: ByOne = defaultdict(int)
        self.pinned_now: ByOne = defaultdict(int)
        self.errors_made: ByOne = defaultdict(int)
        self.unknown_outcomes: ByOne = defaultdict(int)
        self.markers_written: ByOne = defaultdict(int)
        self.marker_lookups: ByOne = defaultdict(int)
        self.marker_seconds = Histogram(LOSS_BUCKETS)
        self.commits_unmarked: ByOne = defaultdict(int)
        self.node_changes: ByThree = defaultdict(int)
        self.node_loss_seconds = Histogram(LOSS_BUCKETS)
        self.backend_connects: ByTwo = defaultdict(int)
        self.pool_waits = Histogram(WAIT_BUCKETS)
        self.monitor_polls: ByTwo = defaultdict(int)
        self.monitor_seconds = Histograms(POLL_BUCKETS)
        # Bytes read from and written to clients and nodes.
        self.client_in = 0
        self.client_out = 0
        self.node_bytes_in = 0
        self.node_bytes_out = 0
        # How late the event loop's own timer was when it last looked.
        self.loop_lag_seconds = 0.0

        self.clients_now: Callable[[], Mapping[str, int]] = dict
        self.backends_now: Callable[[], Mapping[tuple[str, str], int]] = dict
        self.pool_waiters_now: Callable[[], Mapping[str, int]] = dict
        # (node, state) for each node and each state there is: 1 for the state that it is in, 0 for the others.
        self.node_states_now: Callable[[], Mapping[tuple[str, str], int]] = dict
        # (node, address, version), all 1.
        self.node_info_now: Callable[[], Mapping[tuple[str, str, str], int]] = dict
        self.journal_bytes_now: Callable[[], int] = int
        # (what, table, owner, state) -> how many.
        self.hot_now: Callable[[], Mapping[tuple[str, str, str, str], int]] = dict
        self.queue_now: Callable[[], int] = int

        for answer in ("committed", "rolled_back", "unknown"):
            self.marker_lookups[answer] = 0
        for node in nodes:
            self.unknown_outcomes[node] = 0
            self.markers_written[node] = 0
            for outcome in ("committed", "rolled_back"):
                self.transactions[node, outcome] = 0

    @property
    def ended(self) -> int:
        """Transactions and autocommit statements that have ended."""
        return sum(self.transactions.values())

    def table_label(self, table: str) -> str:
        """The table's name, for as many tables as there may be labels."""
        if table in self._tables:
            return table
        if len(self._tables) >= MAX_TABLE_LABELS:
            return "other"
        self._tables.add(table)
        return table

    def bytes_by_side(self) -> dict[Key, int]:
        return {
            ("client", "in"): self.client_in,
            ("client", "out"): self.client_out,
            ("backend", "in"): self.node_bytes_in,
            ("backend", "out"): self.node_bytes_out,
        }

    def build_info(self) -> dict[Key, int]:
        return {self.version: 1}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name as exposed (counters end in _total), and the attribute of Metrics that has its numbers."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: str
    help: str


FAMILIES: tuple[Family, ...] = (
    Family("multiwriter_build_info", "gauge", ("version",), "build_info", "Always 1; the version that is running."),
    Family("multiwriter_start_time_seconds", "gauge", (), "started", "When the proxy started, in Unix time."),
    Family("multiwriter_clients", "gauge", ("endpoint",), "clients_now", "Clients that are logged in."),
    Family(
        "multiwriter_logins_total",
        "counter",
        ("endpoint", "result"),
        "logins",
        "Login attempts of clients by result: ok, or why the client was turned away.",
    ),
    Family("multiwriter_commands_total", "counter", ("command",), "commands", "Commands received from clients."),
    Family(
        "multiwriter_transactions_total",
        "counter",
        ("node", "outcome"),
        "transactions",
        "Transactions and autocommit statements that ended, by the node that ended them and their outcome.",
    ),
    Family(
        "multiwriter_transaction_seconds",
        "histogram",
        ("node", "outcome"),
        "transaction_seconds",
        "Time of transactions and autocommit statements, from the first command to the last reply, retries included.",
    ),
    Family(
        "multiwriter_conflicts_total",
        "counter",
        ("node", "phase", "reason", "table", "key"),
        "conflicts",
        "Transactions that a node rolled back because another writer or another transaction won, by where it showed, "
        "a table that it had changed (of 100, then `other`), and what its node was chosen by: `row`, `table`, "
        "`schema`, `user`, `hint`, or `none`.",
    ),
    Family(
        "multiwriter_retries_total",
        "counter",
        ("node", "phase", "reason", "table", "result"),
        "retries",
        "Repeated statements and replayed transactions, by the node and phase that they ended in, what made them "
        "necessary, the table of the conflict, and how they ended.",
    ),
    Family(
        "multiwriter_replay_attempts",
        "histogram",
        (),
        "replays",
        "Attempts that repeated statements and replayed transactions needed.",
    ),
    Family(
        "multiwriter_hot",
        "gauge",
        ("what", "table", "owner", "state"),
        "hot_now",
        "Keys, tables and groups of tables that are fought over, by the node that owns them; state: `owned`, or "
        "`queued` where their transactions begin one after the other.",
    ),
    Family(
        "multiwriter_queue_waiting",
        "gauge",
        (),
        "queue_now",
        "Transactions that wait for a key to be free before they begin.",
    ),
    Family(
        "multiwriter_queue_wait_seconds",
        "histogram",
        ("result",),
        "queue_seconds",
        "Time that transactions waited so, by what ended it: `turn`, `deadline`, or `full` where too many waited.",
    ),
    Family(
        "multiwriter_unreplayable_transactions_total",
        "counter",
        ("reason",),
        "unreplayable",
        "Transactions that were lost and could not be replayed, so that the client got the error.",
    ),
    Family(
        "multiwriter_pins_total",
        "counter",
        ("reason",),
        "pinned",
        "Sessions that were bound to one backend, by the statement that left something there.",
    ),
    Family(
        "multiwriter_pinned_sessions",
        "gauge",
        ("reason",),
        "pinned_now",
        "Sessions that are bound to one backend now, by the oldest of the reasons.",
    ),
    Family(
        "multiwriter_unknown_outcomes_total",
        "counter",
        ("node",),
        "unknown_outcomes",
        "Commits and autocommit writes whose answer was lost with the node: the client was told error 1180 (08007).",
    ),
    Family(
        "multiwriter_commit_markers_total",
        "counter",
        ("node",),
        "markers_written",
        "Commits that left a marker.",
    ),
    Family(
        "multiwriter_marker_lookups_total",
        "counter",
        ("answer",),
        "marker_lookups",
        "Commits whose answer was lost and was looked up, by what was found: committed, rolled_back or unknown.",
    ),
    Family(
        "multiwriter_marker_lookup_seconds",
        "histogram",
        (),
        "marker_seconds",
        "Time that it took to look up a commit, the wait for the cluster to regroup included.",
    ),
    Family(
        "multiwriter_commits_unmarked_total",
        "counter",
        ("reason",),
        "commits_unmarked",
        "Commits that were to leave a marker and were done without, by what stood against it.",
    ),
    Family(
        "multiwriter_errors_total",
        "counter",
        ("reason",),
        "errors_made",
        "Errors that the proxy itself gave to clients, unlike those that it passed on from a node.",
    ),
    Family(
        "multiwriter_backends",
        "gauge",
        ("node", "state"),
        "backends_now",
        "Connections to nodes by state: idle, leased to a session, or connecting.",
    ),
    Family(
        "multiwriter_backend_connects_total",
        "counter",
        ("node", "result"),
        "backend_connects",
        "Connections opened to nodes by result: ok, or the error's code.",
    ),
    Family(
        "multiwriter_pool_waiters", "gauge", ("node",), "pool_waiters_now", "Sessions that wait for a free backend."
    ),
    Family(
        "multiwriter_pool_wait_seconds",
        "histogram",
        (),
        "pool_waits",
        "Time that sessions waited for a backend because none was free.",
    ),
    Family(
        "multiwriter_node_info",
        "gauge",
        ("node", "address", "version"),
        "node_info_now",
        "Always 1; the address of a node and the server version that it greets with.",
    ),
    Family(
        "multiwriter_node_state",
        "gauge",
        ("node", "state"),
        "node_states_now",
        "1 for the state that a node is in (up, draining, suspect, down, joining), 0 for the others.",
    ),
    Family(
        "multiwriter_node_changes_total",
        "counter",
        ("node", "from", "to"),
        "node_changes",
        "Changes of a node's state.",
    ),
    Family(
        "multiwriter_node_loss_seconds",
        "histogram",
        (),
        "node_loss_seconds",
        "Time from the first sign that a node is lost to the last use of it.",
    ),
    Family(
        "multiwriter_monitor_polls_total",
        "counter",
        ("node", "result"),
        "monitor_polls",
        "Times that a node was asked for its state, by result: ok, timeout, or error.",
    ),
    Family(
        "multiwriter_monitor_poll_seconds",
        "histogram",
        ("node",),
        "monitor_seconds",
        "Time that a node took to tell its state, connecting included.",
    ),
    Family(
        "multiwriter_bytes_total",
        "counter",
        ("side", "direction"),
        "bytes_by_side",
        "Bytes read (in) and written (out) on the client and the backend side.",
    ),
    Family(
        "multiwriter_journal_bytes",
        "gauge",
        (),
        "journal_bytes_now",
        "Memory held by the journals of open transactions.",
    ),
    Family(
        "multiwriter_loop_lag_seconds",
        "gauge",
        (),
        "loop_lag_seconds",
        "How late the event loop last was: time that every client waited.",
    ),
)


class Exposition(Collector):
    """Metrics as Prometheus text, the process's own CPU, memory and file descriptors included."""

    def __init__(self, metrics: Any, processes: "Processes | None" = None) -> None:
        """`metrics` has the attributes of Metrics; `processes` are those to be seen, if more than this one."""
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._registry.register(processes or ProcessCollector(registry=None))

    def render(self) -> bytes:
        """The body of a scrape, of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """(name, labels, value) of each line of a scrape."""
        for metric in self._registry.collect():
            for sample in metric.samples:
                yield sample.name, sample.labels, sample.value

    def describe(self) -> Iterator[Metric]:
        # Without it, registering would collect, before the owners have put their callables in place.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            source = getattr(self._metrics, family.source)
            value = source() if callable(source) else source
            yield _expose(family, value)


class Processes(Collector):
    """CPU time, memory and descriptors of several processes together, under the names that one's have."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._spent = 0.0

    def ended(self, seconds: float) -> None:
        """So much CPU time have those used that have ended, all together."""
        self._spent = seconds

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for pid in self._pids():
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                first = merged.setdefault(metric.name, metric)
                if first is not metric and first.samples and metric.samples:
                    together = min if metric.name.endswith(("start_time_seconds", "max_fds")) else _add
                    sample = first.samples[0]
                    first.samples[0] = sample._replace(value=together(sample.value, metric.samples[0].value))
        for name, metric in merged.items():
            if name.startswith("process_cpu") and metric.samples:
                sample = metric.samples[0]
                metric.samples[0] = sample._replace(value=sample.value + self._spent)
        return merged.values()


def _add(one: float, other: float) -> float:
    return one + other


def documentation() -> list[tuple[str, Kind, tuple[str, ...], str]]:
    """(name, type, labels, help) of each metric of our own, in the order of the exposition."""
    return [(family.name, family.kind, family.labels, family.help) for family in FAMILIES]


def _expose(family: Family, value: float | Histogram | Mapping[Key, int] | Histograms) -> Metric:
    rows = value.items() if isinstance(value, Mapping) else (((), value),)
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    match family.kind:
        case "counter":
            metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
        case "gauge":
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        case "histogram":
            metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for key, number in sorted(rows, key=lambda row: row[0]):
        labels = (key,) if isinstance(key, str) else key
        if isinstance(metric, HistogramMetricFamily):
            assert isinstance(number, Histogram)
            metric.add_metric(labels, number.cumulative(), number.sum)
        else:
            assert isinstance(number, int | float)
            metric.add_metric(labels, number)
    return metric
