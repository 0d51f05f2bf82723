"""What processes have used, as /proc says (proc(5)): CPU time, resident memory, descriptors. Linux only."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes and all that they have started and that still run.

    From the scheduler, to the nanosecond, by thread; a thread that has ended meanwhile is missing.
    """
    total = 0
    for pid in family(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def system_share(pids: Iterable[int]) -> tuple[float, float]:
    """(user, system) seconds, by the clock's tick."""
    user = system = 0
    for pid in family(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user += int(fields[11])
            system += int(fields[12])
    return user * _TICK, system * _TICK


@contextlib.contextmanager
def promptly() -> Iterator[None]:
    """Who measures goes ahead of who is measured, where it may: on a machine that is full it has come to read a run's
    first figures as late as at its end. What it starts meanwhile is scheduled as usual.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes and those that they have started: what is shared counts for each."""
    total = 0
    for pid in family(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def family(pids: Iterable[int]) -> list[int]:
    """These processes and all their descendants."""
    found = list(pids)
    for pid in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found.extend(int(child) for child in (thread / "children").read_text().split())
    return found
