"""sysbench as a client: its tables made, its OLTP work run, its report read."""

import re
import subprocess
from dataclasses import dataclass

TABLES = 4
ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a run said. `ignored`: errors after which it began its transaction anew (1213, 1020, 1205); `fatal`: the
    others, which end it.
    """

    transactions: int
    ignored: int
    reconnects: int
    fatal: tuple[str, ...]
    text: str


def prepare(port: int, schema: str, rows: int = ROWS) -> None:
    """Make its tables of so many rows; all of a schema's runs can use them."""
    done = _sysbench(port, schema, "oltp_read_write", 60, f"--table-size={rows}", "prepare", threads=TABLES)
    assert done.returncode == 0, done.stdout + done.stderr


def run(
    port: int, schema: str, work: str, seconds: float, *, threads: int, prepared: bool, options: tuple[str, ...] = ()
) -> Report:
    """Run `work` ("oltp_read_write", ...) for so long. Prepared statements or text, as `prepared` says."""
    mode = "auto" if prepared else "disable"
    done = _sysbench(port, schema, work, seconds + 60, "run", f"--time={seconds:.0f}", f"--db-ps-mode={mode}", *options,
                     threads=threads)  # fmt: skip
    text = done.stdout + done.stderr
    fatal = tuple(line for line in text.splitlines() if line.startswith("FATAL"))
    counts = {
        name: int(found[1]) if (found := re.search(rf"{name}: +(\d+)", text)) else 0
        for name in ("transactions", "ignored errors", "reconnects")
    }
    if done.returncode != 0 and not fatal:
        fatal = (f"exit status {done.returncode}",)
    return Report(counts["transactions"], counts["ignored errors"], counts["reconnects"], fatal, text)


def _sysbench(
    port: int, schema: str, work: str, seconds: float, *arguments: str, threads: int
) -> "subprocess.CompletedProcess[str]":
    """One command of it, ended after `seconds`."""
    return subprocess.run(
        command(port, schema, work, *arguments, threads=threads),
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip


def command(
    port: int, schema: str, work: str, *arguments: str, threads: int, host: str = "127.0.0.1", rows: int = ROWS
) -> list[str]:
    """What to start; `arguments` end with the command proper ("prepare", "run")."""
    return [
        "sysbench", work, "--db-driver=mysql", f"--mysql-host={host}", f"--mysql-port={port}",
        "--mysql-user=app", "--mysql-password=app", f"--mysql-db={schema}", f"--threads={threads}",
        f"--tables={TABLES}", f"--table-size={rows}", *arguments,
    ]  # fmt: skip
