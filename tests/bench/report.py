"""Results as tables: for a terminal, and as Markdown for the documents. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.results import Results, Spread, Summary


def tables(results: Results) -> str:
    """Everything, case by case: medians, what they ranged over, and the ratios to the baselines."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items() if value != "")
    return "\n".join([machine, *(line for summary in results.summaries() for line in _table(summary))])


def _table(summary: Summary) -> Iterator[str]:
    parameters = " ".join(f"{name}={value}" for name, value in summary.parameters.items())
    yield ""
    yield f"{summary.case} {parameters}".rstrip()
    figures = list(dict.fromkeys(figure for found in summary.subjects.values() for figure in found))
    head = ["", *figures]
    rows = []
    for subject, found in summary.subjects.items():
        rows.append([subject, *(_spread(found.get(figure)) for figure in figures)])
        for baseline, ratios in summary.ratios.items():
            if subject in ratios:
                of = ratios[subject]
                rows.append([f"  / {baseline}", *(f"{of[figure]:.2f}" if figure in of else "" for figure in figures)])
    yield from _columns([head, *rows])


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.rounds == 1:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)}..{number(spread.most)})"


def number(value: float) -> str:
    """Three figures that count, and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
