"""Results as a picture: what each endpoint costs by query, and how long clients wait. The only user of matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from tests.bench.oltp import WORK
from tests.bench.results import Results, Summary

COLOURS = {
    "direct": "#9aa0a6",
    "haproxy": "#4c78a8",
    "proxysql": "#e0a030",
    "maxscale": "#b07aa1",
    "maxscale-split": "#d4a6c8",
    "multiwriter": "#3a9d5d",
}
PANELS = (("cpu_us", "CPU µs by query"), ("median_ms", "median, ms"), ("p95_ms", "95th percentile, ms"))


def draw(results: Results, path: Path) -> bool:
    """Write a PNG; False, and nothing is written, if nothing of sysbench's was measured."""
    mpl.use("Agg")
    from matplotlib import pyplot

    found = [summary for summary in results.summaries() if summary.case in WORK]
    if not found:
        return False
    height = 1.2 + 0.42 * len(found)
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(13, height), sharey=True, layout="constrained")
    for axis, (name, title) in zip(axes, PANELS, strict=True):
        _bars(axis, found, name)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the time of drawing, so that the same results make the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return True


def _bars(axis: "mpl.axes.Axes", found: Sequence[Summary], figure: str) -> None:
    subjects = list(dict.fromkeys(subject for summary in found for subject in summary.subjects))
    thickness = 0.8 / len(subjects)
    for place, subject in enumerate(subjects):
        for at, summary in enumerate(found):
            spread = summary.subjects.get(subject, {}).get(figure)
            if spread is None:
                continue
            axis.barh(
                at + (place - (len(subjects) - 1) / 2) * thickness,
                spread.median,
                height=thickness,
                xerr=[[spread.median - spread.least], [spread.most - spread.median]],
                error_kw={"elinewidth": 0.7, "alpha": 0.6},
                color=COLOURS.get(subject, "#b279a2"),
                label=subject if at == 0 else "_",
            )
    if figure in ("median_ms", "p95_ms"):
        axis.set_xscale("log")
    axis.set_yticks(range(len(found)), [_name(summary) for summary in found], fontsize=8)


def _name(summary: Summary) -> str:
    parameters = summary.parameters
    return f"{summary.case} {parameters['mode']}, {parameters['clients']} clients"
