"""The metrics of several workers as those of one proxy: each worker's numbers as JSON, and what they come to together.

Counters and histograms are added up, those of workers that are gone included, so that they never fall. What a gauge
comes to is one table. Knows neither processes nor how the numbers travel.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from proxy.counters import Histogram, Histograms, Key, Metrics
from proxy.metrics import FAMILIES
from router.membership import NodeState

Snapshot = dict[str, Any]
"""By the family's source: a number; [[key, number], ...]; {"counts": ..., "sum": ...}; or [[key, such a one], ...]."""

Merge = Callable[[list[float]], float]

# Those that are no sum. A key is compared as it is: the same node, the same version.
_OTHERWISE: Final[Mapping[str, Merge]] = {
    "build_info": max,
    "started": min,
    "node_info_now": max,
    "hot_now": max,
    "loop_lag_seconds": max,
}
_VOTED: Final = "node_states_now"


def snapshot(metrics: Metrics) -> Snapshot:
    """One worker's numbers, now."""
    found: Snapshot = {}
    for family in FAMILIES:
        source = getattr(metrics, family.source)
        found[family.source] = _plain(source() if callable(source) else source)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Histogram):
        return {"counts": value.counts, "sum": value.sum}
    if isinstance(value, Mapping):
        return [[key, _plain(each)] for key, each in value.items()]
    return value


class Sums:
    """Numbers with the names and forms that those of `Metrics` have, as an exposition reads them."""

    def __init__(self, bounds: Metrics) -> None:
        """`bounds` is any metrics: its histograms say which bounds there are."""
        self._bounds = bounds
        self._gone: list[Snapshot] = []
        self._values: dict[str, Any] = {}
        self.take([])

    def __getattr__(self, source: str) -> Any:
        try:
            return self._values[source]
        except KeyError:
            raise AttributeError(source) from None

    def bury(self, last: Snapshot) -> None:
        """The worker that these were the last numbers of is gone: what it counted stays."""
        counted = {family.source: last[family.source] for family in FAMILIES if family.kind != "gauge"}
        # One for all that are gone.
        self._gone = [{source: _plain(self._sum(source, [*self._gone, counted])) for source in counted}]

    def take(self, snapshots: Iterable[Snapshot]) -> None:
        """These are the numbers of the workers that there are."""
        given = [*self._gone, *snapshots]
        self._values = {family.source: self._sum(family.source, given) for family in FAMILIES}

    def _sum(self, source: str, given: list[Snapshot]) -> Any:
        values = [each[source] for each in given if source in each]
        kind = getattr(self._bounds, source)
        kind = kind() if callable(kind) else kind
        merge = _OTHERWISE.get(source, sum)
        if isinstance(kind, Histogram):
            return _histogram(kind.bounds, values)
        if isinstance(kind, Histograms):
            merged = Histograms(kind.bounds)
            for key, each in _by_key(values).items():
                merged[key] = _histogram(kind.bounds, each)
            return merged
        if isinstance(kind, Mapping):
            found = {key: merge(each) for key, each in _by_key(values).items()}
            return _voted(found) if source == _VOTED else found
        return merge(values) if values else 0


def _by_key(values: Iterable[Iterable[Any]]) -> dict[Key, list[Any]]:
    found: dict[Key, list[Any]] = {}
    for rows in values:
        for key, value in rows:
            found.setdefault(key if isinstance(key, str) else tuple(key), []).append(value)
    return found


def _histogram(bounds: tuple[float, ...], values: Iterable[Mapping[str, Any]]) -> Histogram:
    total = Histogram(bounds)
    for each in values:
        total.counts = [one + other for one, other in zip(total.counts, each["counts"], strict=True)]
        total.sum += each["sum"]
    return total


def _voted(votes: Mapping[Key, float]) -> dict[Key, float]:
    """Each node is in the state that most workers see it in; of two as frequent, in the one listed later."""
    order = [state.value for state in NodeState]
    best: dict[str, tuple[float, int]] = {}
    for key, count in votes.items():
        assert isinstance(key, tuple), "a node and a state"
        best[key[0]] = max(best.get(key[0], (0.0, 0)), (count, order.index(key[1])))
    return {key: float(order[best[key[0]][1]] == key[1]) for key in votes}
