"""Results as tables: for a terminal, and as Markdown for the documents. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.bench.conflicts import WORKS
from tests.bench.results import BARE, HAPROXY_ONE, Results, Spread, Summary

OLTP = ("point-select", "read-only", "read-write", "write-only")
PEERS = {
    "haproxy": "HAProxy's",
    "proxysql": "ProxySQL's",
    "maxscale": "MaxScale's",
    "maxscale-split": "its readwritesplit's",
}
"""Whose CPU time by query ours is shown beside."""

# By case, the work that transactions of several writers do on the same rows.
FOUGHT = {f"conflicts-{work.name}": work.shows for work in WORKS.values()}

# Of the other cases, the figures that the documents show: unit, and what it is.
FACTS = {
    "pooled": (
        ("queries_per_s", "", "queries per second, 64 clients"),
        ("p95_ms", " ms", "their 95th percentile"),
    ),
    "logins": (("per_s", "", "connections opened and closed per second, with login"),),
    "idle-memory": (
        ("idle_client_kib", " KiB", "memory by client that is logged in and idle"),
        ("start_mib", " MiB", "resident memory at the start"),
    ),
    "slow-reader": (("growth_mib", " MiB", "growth while a client does not read a gigabyte"),),
    "one-among-many": (("median_ms", " ms", "median latency of one client"),),
    "more-clients": (("cpu_us", " µs", "CPU by query, eight clients at work, the others nearly idle"),),
    "more-nodes": (("cpu_us", " µs", "CPU by query"),),
    "workers": (("per_s", "", "point selects per second before fake nodes, clients and nodes on the same processors"),),
    "start": (("first_query_s", " s", "from the start to the first answer"),),
    "features": (("cpu_us", " µs", "CPU by query of read-write"),),
}


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


def markdown(results: Results) -> str:
    """What the documents show: sysbench's work beside the baselines, then the figures that stand alone."""
    machine = results.machine
    load = machine["load_before"]
    versions = {
        "Python": "python",
        "MariaDB": "database",
        "HAProxy": "haproxy",
        "ProxySQL": "proxysql",
        "MaxScale": "maxscale",
    }
    named = ", ".join(f"{name} {_version(machine[key])}" for name, key in versions.items() if key in machine)
    parts = [
        f"{machine['processor']}, {machine['cores']} processors, multiwriter {machine['multiwriter']}, {named};\n"
        f"the machine's load before it began was {load:.1f}.\n"
    ]
    rows = [
        (summary, summary.subjects["multiwriter"])
        for summary in results.summaries()
        if summary.case in OLTP and "multiwriter" in summary.subjects and "haproxy" in summary.ratios
    ]
    if rows:
        peers = [name for name in PEERS if any(name in summary.ratios for summary, _ in rows)]
        ofs = " | ".join(f"of {PEERS[name]}" for name in peers)
        parts.append(
            f"| sysbench | clients | CPU by query | {ofs} | median "
            f"| of HAProxy's | p95 | of HAProxy's | per second | of HAProxy's |\n|{'---|' * (9 + len(peers))}\n"
            + "".join(_row(summary, figures, peers) for summary, figures in rows)
        )
    fought = [_fought(summary) for summary in results.summaries() if summary.case in FOUGHT]
    if fought:
        parts.append(
            "| work of 12 clients, 3 writers | flushed each | committed per second | of HAProxy's | of one node's "
            "| HAProxy's before one writer, of one node's | of `spread` without replay | errors per second "
            "| HAProxy's |\n|---|---|---|---|---|---|---|---|---|\n" + "".join(fought)
        )
    facts = [line for summary in results.summaries() for line in _facts(summary)]
    if facts:
        parts.append("| figure | measured |\n|---|---|\n" + "".join(facts))
    return "\n".join(parts)


def _version(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else text


def _row(summary: Summary, figures: Mapping[str, Spread], peers: Sequence[str]) -> str:
    ratios = summary.ratios["haproxy"]["multiwriter"]
    cells = [f"{summary.case} {summary.parameters['mode']}", str(summary.parameters["clients"])]
    cells.append(f"{number(figures['cpu_us'].median)} µs")
    for peer in peers:
        found = summary.ratios.get(peer, {}).get("multiwriter")
        cells.append(f"{found['cpu_us']:.2f}" if found else "")
    for figure, unit in (("median_ms", " ms"), ("p95_ms", " ms"), ("queries_per_s", "")):
        cells += [f"{number(figures[figure].median)}{unit}", f"{ratios[figure]:.2f}"]
    return f"| {' | '.join(cells)} |\n"


def _fought(summary: Summary) -> str:
    def ratio(baseline: str, subject: str) -> str:
        found = summary.ratios.get(baseline, {}).get(subject, {})
        return f"{found['committed_per_s']:.2f}" if found else ""

    ours, theirs = summary.subjects["adaptive"], summary.subjects["haproxy"]
    cells = (
        FOUGHT[summary.case],
        str(summary.parameters["flush"]),
        number(ours["committed_per_s"].median),
        ratio("haproxy", "adaptive"),
        ratio("direct", "adaptive"),
        ratio("direct", HAPROXY_ONE),
        ratio(BARE, "adaptive"),
        number(ours["errors_per_s"].most),
        number(theirs["errors_per_s"].median),
    )
    return f"| {' | '.join(cells)} |\n"


def _facts(summary: Summary) -> Iterator[str]:
    given = summary.parameters
    depth = f", {given['depth']} commands at a time" if given.get("depth", 1) != 1 else ""
    work = f", {given['work']}" if "work" in given else ""
    share = f", each worker with {given['share']:.0%} of one" if "share" in given else ""
    for figure, unit, meaning in FACTS.get(summary.case, ()):
        values = ", ".join(
            f"{subject}: {number(figures[figure].median)}{unit}" if len(summary.subjects) > 1
            else f"{number(figures[figure].median)}{unit}"
            for subject, figures in summary.subjects.items()
            if figure in figures
        )  # fmt: skip
        yield f"| {meaning}{work}{depth}{share} | {values} |\n"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
