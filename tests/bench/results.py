"""What was measured: one measurement for each round of each subject, and what they come to. Pure; JSON in and out.

A case measures several *subjects* (endpoints, or the proxy with one setting changed) under the same *parameters*, in
rounds that alternate, so that what disturbs the machine disturbs all of them. A *figure* is one number with a unit in
its name: `us`, `ms`, `per_s`, `kib`, `mib`, `s`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Parameters = tuple[tuple[str, str | int], ...]

HAPROXY_ONE = "haproxy-one"
"""HAProxy before one writer: nobody conflicts there, so that it shows what a hop costs at the least."""

BARE = "spread-no-replay"
"""This proxy without what it does against conflicts."""

BASELINES = ("direct", "haproxy", "proxysql", "maxscale", "maxscale-split", BARE)
"""The subjects that others are compared with where a case has them."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One subject in one round of one case."""

    case: str
    subject: str
    round: int
    figures: Mapping[str, float]
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def group(self) -> tuple[str, Parameters]:
        return self.case, tuple(self.parameters.items())


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure of one subject over the rounds."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Summary:
    """A case under one set of parameters: figures by subject, and their ratios to each baseline.

    A ratio is the median of the rounds' ratios: within a round the two ran next to each other.
    """

    case: str
    parameters: Mapping[str, str | int]
    subjects: Mapping[str, Mapping[str, Spread]]
    ratios: Mapping[str, Mapping[str, Mapping[str, float]]]
    """By baseline, subject and figure."""


class Results:
    """All measurements of a run, and the machine that it was on."""

    def __init__(self, machine: Mapping[str, Any], measurements: Iterable[Measurement] = ()) -> None:
        self.machine = dict(machine)
        self.measurements = list(measurements)

    def add(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    def summaries(self) -> list[Summary]:
        """In the order in which they were measured."""
        groups: dict[tuple[str, Parameters], list[Measurement]] = {}
        for measurement in self.measurements:
            groups.setdefault(measurement.group, []).append(measurement)
        return [_summary(case, dict(parameters), found) for (case, parameters), found in groups.items()]

    def find(self, case: str, **parameters: str | int) -> Summary | None:
        """The first summary of this case that has at least these parameters."""
        for summary in self.summaries():
            if summary.case == case and parameters.items() <= summary.parameters.items():
                return summary
        return None

    def over(self, older: "Results") -> "Results":
        """These, and of the older ones the cases that were not measured again."""
        again = {measurement.case for measurement in self.measurements}
        kept = [measurement for measurement in older.measurements if measurement.case not in again]
        return Results(older.machine | self.machine, [*self.measurements, *kept])

    def json(self) -> str:
        return json.dumps(
            {
                "machine": self.machine,
                "measurements": [asdict(measurement) for measurement in self.measurements],
                "summaries": [asdict(summary) for summary in self.summaries()],
            },
            indent=1,
            sort_keys=False,
        )

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.json() + "\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` wrote; the summaries are made anew."""
        found = json.loads(path.read_text())
        return cls(found["machine"], (Measurement(**each) for each in found["measurements"]))


def _summary(case: str, parameters: dict[str, str | int], found: Sequence[Measurement]) -> Summary:
    by_subject: dict[str, list[Measurement]] = {}
    for measurement in found:
        by_subject.setdefault(measurement.subject, []).append(measurement)
    subjects = {
        subject: {
            figure: Spread.of([each.figures[figure] for each in rounds if figure in each.figures])
            for figure in dict.fromkeys(figure for each in rounds for figure in each.figures)
        }
        for subject, rounds in by_subject.items()
    }
    ratios = {
        baseline: {
            subject: _ratios(rounds, by_subject[baseline])
            for subject, rounds in by_subject.items()
            if subject != baseline
        }
        for baseline in BASELINES
        if baseline in by_subject
    }
    return Summary(case, parameters, subjects, ratios)


def _ratios(rounds: Sequence[Measurement], baseline: Sequence[Measurement]) -> dict[str, float]:
    theirs = {each.round: each.figures for each in baseline}
    found: dict[str, list[float]] = {}
    for each in rounds:
        for figure, value in each.figures.items():
            other = theirs.get(each.round, {}).get(figure)
            if other:
                found.setdefault(figure, []).append(value / other)
    return {figure: median(values) for figure, values in found.items()}
