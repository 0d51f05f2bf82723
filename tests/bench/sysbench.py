"""One timed run of sysbench against one endpoint, and what it cost: throughput, latency, CPU time by whom."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tests.bench.endpoints import Endpoint
from tests.bench.usage import cpu_seconds, promptly, system_share
from tests.support.sysbench import command

STARTED = "Threads started!"  # all are connected, and have prepared what they prepare
PROMPT = 0.9  # of a run that must lie between its first figures and its last, or the first ones were read late
TRIES = 3


class Failed(Exception):
    """sysbench could not do its work; the text is what it said."""


def measure(
    endpoint: Endpoint,
    schema: str,
    work: str,
    *,
    seconds: float,
    clients: int,
    prepared: bool,
    database: Sequence[int] = (),
    rows: int,
    options: Sequence[str] = (),
    directory: Path | None = None,
) -> dict[str, float]:
    """Figures of one run, `seconds` long (at least one) after everybody has connected.

    `cpu_us` is the CPU time of the endpoint's processes by query, `system_us` the kernel's part of it, `database_us`
    that of the processes `database`. sysbench looks for certificates in `directory`. What could not be read in time is
    measured again.
    """
    seconds = max(1.0, seconds)
    arguments = command(
        endpoint.port,
        schema,
        work,
        f"--time={seconds:g}",
        f"--db-ps-mode={'auto' if prepared else 'disable'}",
        "--histogram=on",
        *options,
        "run",
        threads=clients,
        host=endpoint.host,
        rows=rows,
    )
    for _ in range(TRIES):
        figures, elapsed = _run(arguments, endpoint, work, database, directory)
        if elapsed >= PROMPT * seconds:
            return figures
    raise Failed(f"{endpoint.name}, {work}: this machine is too full to read figures in time")


def _run(
    arguments: Sequence[str], endpoint: Endpoint, work: str, database: Sequence[int], directory: Path | None
) -> tuple[dict[str, float], float]:
    """The figures of one run, and the seconds between the first and the last."""
    with (
        promptly(),
        subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory
        ) as process,
    ):
        assert process.stdout is not None
        lines: list[str] = []
        pids = endpoint.pids
        before = cpu_seconds(pids), cpu_seconds(database)
        ticks = system_share(pids)
        began = perf_counter()
        for line in process.stdout:
            lines.append(line)
            if line.startswith(STARTED):
                before = cpu_seconds(pids), cpu_seconds(database)
                ticks = system_share(pids)
                began = perf_counter()
            elif line.startswith("SQL statistics"):
                elapsed = perf_counter() - began
                after = cpu_seconds(pids), cpu_seconds(database)
                later = system_share(pids)
    text = "".join(lines)
    if process.returncode != 0 or "FATAL" in text or "SQL statistics" not in text:
        raise Failed(f"{endpoint.name}, {work}:\n{text}")
    queries = count(text, "queries")
    transactions = count(text, "transactions")
    if not queries:
        raise Failed(f"{endpoint.name}, {work}: no query was answered\n{text}")
    figures = {
        "queries_per_s": queries / elapsed,
        "transactions_per_s": transactions / elapsed,
        **latencies(text),
        "errors": float(count(text, "ignored errors")),
        "database_us": (after[1] - before[1]) / queries * 1e6,
    }
    if pids:
        user, system = later[0] - ticks[0], later[1] - ticks[1]
        figures["cpu_us"] = (after[0] - before[0]) / queries * 1e6
        figures["system_us"] = figures["cpu_us"] * system / (user + system) if user + system else 0.0
    return figures, elapsed


def count(text: str, name: str) -> int:
    """One of the report's counts."""
    found = re.search(rf"^ +{name}: +(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def latencies(text: str) -> dict[str, float]:
    """Milliseconds from the histogram: median, 95th and 99th percentile of transactions (of a point select: queries).

    Its buckets grow by 1.8 %, which is how exact they are.
    """
    rows = [(float(value), int(number)) for value, number in re.findall(r"^ +([\d.]+) \|\**\s+(\d+)$", text, re.M)]
    total = sum(number for _, number in rows)
    found: dict[str, float] = {}
    for name, share in (("median_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        seen = 0
        for value, number in rows:
            seen += number
            if seen >= share * total:
                found[name] = value
                break
    return found
