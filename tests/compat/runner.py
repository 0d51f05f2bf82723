"""Runs a client's program directly and through the proxy, and says what differs."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.demo.processes import wait_until
from tests.compat.checks import Report, Result, differences
from tests.compat.clients import Client
from tests.compat.stage import Stage

SECONDS: Final = 600
"""For one run of one program, on a busy machine."""
AT_ONCE: Final = 3
INCREMENTS: Final = 25
"""Processes that increment the counter, and how often each does; the programs know it, too."""


@dataclass(slots=True)
class Outcome:
    """What came of one client: its report through the proxy, and what must not be, a line each."""

    client: Client
    proxied: Report = field(default_factory=Report)
    faults: Mapping[str, str] = field(default_factory=dict)
    """The client's own, against this kind of server."""
    wrong: list[str] = field(default_factory=list)

    def mark(self, check: str) -> str:
        """For a cell of the table."""
        result = self.proxied.results.get(check)
        if check in self.faults:
            return "own"
        return {"ok": "✓", "none": "–"}.get(result.verdict, "✗") if result is not None else ""


def run(stage: Stage, client: Client) -> Outcome:
    """Both runs, and the comparison. Several clients may run at once: each has a schema of its own."""
    schema = "compat_" + re.sub(r"\W+", "_", client.name).lower()
    sides = ["proxied"] if client.only and client.only != stage.plugin else ["direct", "proxied"]
    reports = {side: _report(stage, client, side, schema) for side in sides}
    stage.drop(schema)
    faults = client.faults(stage.kind)
    outcome = Outcome(client, reports["proxied"], faults)
    found = differences(reports.get("direct"), reports["proxied"], stage.lacks)
    outcome.wrong = [text for text in found if text.partition(":")[0] not in faults]
    for name, why in faults.items():
        for side, report in reports.items():
            if report.passed(name):
                outcome.wrong.append(f"{name}: passes {side}, although {why}")
    return outcome


def _report(stage: Stage, client: Client, side: str, schema: str) -> Report:
    stage.fresh(schema)
    environment = stage.environment(side, schema, client.only)
    done = _run(client.command, environment)
    if done.returncode != 0:
        said = f"{done.stderr[-3000:]}\n{done.stdout[-500:]}"
        raise AssertionError(f"{client.name} {side}: status {done.returncode}\n{said}")
    report = Report.parse(done.stdout)
    report.results["conflicts"] = _conflicts(client.command, environment)
    wanted = (AT_ONCE * INCREMENTS, AT_ONCE * INCREMENTS)
    if report.passed("conflicts"):
        text = f"{client.name} {side}: the counter and the rows are"
        wait_until(lambda: stage.counted(schema) == wanted, 10, lambda: f"{text} {stage.counted(schema)}")
    return report


def _conflicts(command: tuple[str, ...], environment: dict[str, str]) -> Result:
    """Several processes of the client do the same work at once."""
    processes = [
        subprocess.Popen(
            [*command, "increments", f"client {number}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )
        for number in range(AT_ONCE)
    ]
    try:
        for process in processes:
            said, _ = process.communicate(timeout=SECONDS)
            if process.returncode != 0:
                return Result("not ok", " ".join(said[-300:].split()))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return Result("ok", f"{AT_ONCE} times {INCREMENTS}")


def _run(command: tuple[str, ...], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )
