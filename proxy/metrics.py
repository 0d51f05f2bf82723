"""What the proxy counts, and how Prometheus sees it. The only importer of prometheus_client.

The numbers themselves are in `proxy.counters`. FAMILIES is the one definition that the exposition and the documentation
are made from. This module knows none of the things it counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proxy.counters import Histogram, Histograms, Key

if TYPE_CHECKING:  # imported by the first scrape: nobody waits for it at the start
    from prometheus_client.core import Metric

# The oldest version that says the same: every scraper knows it.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]


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
        ("node", "phase", "reason", "table", "key", "result"),
        "retries",
        "Repeated statements and replayed transactions, by the node and phase that they ended in, what made them "
        "necessary, the table of the conflict, what the node was chosen by, and how they ended.",
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
        "multiwriter_kept_answers_total",
        "counter",
        ("result",),
        "kept_answers",
        "Sessions whose connection to a node another needed while they could ask about their last statement: `kept`, "
        "or without room (`no_room`) or lost with the node (`lost`); and questions answered from memory (`served`), or "
        "in a form in which they cannot be (`lost`).",
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


class Exposition:
    """Metrics as Prometheus text, the process's own CPU, memory and file descriptors included."""

    def __init__(self, metrics: Any, processes: "Processes | None" = None) -> None:
        """`metrics` has the attributes of Metrics; `processes` are those to be seen, if more than this one."""
        self._metrics = metrics
        self._processes = processes

    def render(self) -> bytes:
        """The body of a scrape, of CONTENT_TYPE."""
        from prometheus_client import generate_latest

        return generate_latest(self)  # of a registry it asks no more than to collect

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """(name, labels, value) of each line of a scrape."""
        for metric in self.collect():
            for sample in metric.samples:
                yield sample.name, sample.labels, sample.value

    def collect(self) -> "Iterator[Metric]":
        """Every metric, as it is now."""
        from prometheus_client import ProcessCollector

        for family in FAMILIES:
            source = getattr(self._metrics, family.source)
            value = source() if callable(source) else source
            yield _expose(family, value)
        yield from (self._processes or ProcessCollector(registry=None)).collect()


class Processes:
    """CPU time, memory and descriptors of several processes together, under the names that one's have."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._spent = 0.0

    def ended(self, seconds: float) -> None:
        """So much CPU time have those used that have ended, all together."""
        self._spent = seconds

    def collect(self) -> "Iterable[Metric]":
        """Their metrics, as they are now."""
        from prometheus_client import ProcessCollector

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


def _expose(family: Family, value: float | Histogram | Mapping[Key, int] | Histograms) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

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
