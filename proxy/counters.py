"""What the proxy counts: plain integers and dictionaries, since it is counted on the relay's hot path.

Names, help texts and labels meet the numbers in `proxy.metrics`, when somebody scrapes.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.wire.constants import COMMAND_NAMES

Key = str | tuple[str, ...]
ByOne = defaultdict[str, int]
ByTwo = defaultdict[tuple[str, str], int]
ByThree = defaultdict[tuple[str, str, str], int]
ByFive = defaultdict[tuple[str, str, str, str, str], int]
BySix = defaultdict[tuple[str, str, str, str, str, str], int]

# Seconds. From a point select on loopback to the longest wait anybody configures.
TRANSACTION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
POLL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Not seconds: replays of one transaction.
ATTEMPT_BUCKETS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0)
LOSS_BUCKETS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


MAX_TABLE_LABELS = 100

COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled_back"


class Histogram:
    """Counts of observations by upper bound, not yet cumulative."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        at = 0
        for bound in self.bounds:  # most are short: found sooner than by halving
            if seconds <= bound:
                break
            at += 1
        self.counts[at] += 1
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
        "command_counts",
        "commits_unmarked",
        "conflicts",
        "errors_made",
        "hot_now",
        "journal_bytes_now",
        "kept_answers",
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
        "unknown_outcomes",
        "unreplayable",
        "version",
    )

    def __init__(self, nodes: Iterable[str] = (), version: str = "unknown", started: float | None = None) -> None:
        """`nodes` get their zeros at once: an alert on an increase misses a series that starts at 1."""
        self.version = version
        self.started = time.time() if started is None else started
        self.logins: ByTwo = defaultdict(int)
        self.command_counts = [0] * 256  # by the command's byte
        self.transaction_seconds = Histograms(TRANSACTION_BUCKETS)
        self.conflicts: ByFive = defaultdict(int)
        self.retries: BySix = defaultdict(int)
        self.replays = Histogram(ATTEMPT_BUCKETS)
        self.queue_seconds = Histograms(WAIT_BUCKETS)
        self._tables: set[str] = set()  # those that have a label of their own
        self.unreplayable: ByOne = defaultdict(int)
        self.kept_answers: ByOne = defaultdict(int)
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
            for outcome in (COMMITTED, ROLLED_BACK):
                self.transaction_seconds[node, outcome] = Histogram(TRANSACTION_BUCKETS)

    @property
    def ended(self) -> int:
        """Transactions and autocommit statements that have ended."""
        return sum(self.transactions().values())

    def transactions(self) -> dict[Key, int]:
        """Those that have ended, by node and outcome."""
        return {key: histogram.count for key, histogram in self.transaction_seconds.items()}

    def commands(self) -> dict[Key, int]:
        """Those that were received, by name."""
        found: dict[Key, int] = {}
        for code, count in enumerate(self.command_counts):
            if count:
                name = COMMAND_NAMES.get(code, "unknown")
                found[name] = found.get(name, 0) + count
        return found

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
