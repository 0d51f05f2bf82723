"""Processors: how many this process may use, and how it is given them.

Those that it may run on, and what its control group may spend:
https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max); cgroup-v1: cpu.cfs_quota_us, cpu.cfs_period_us
Scheduling policies: sched(7)
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/proc/self/cgroup")
_ROOT: Final = Path("/sys/fs/cgroup")


def available() -> int:
    """At least one. Of a part of a processor all is counted: one process can spend no more than one has."""
    return max(1, min([len(os.sched_getaffinity(0)), *map(ceil, _quotas())]))


def schedule(how: str) -> None:
    """Have this thread, and those that it starts from now on, scheduled as the setting says; but what was chosen for
    the process when it was started stays, as does everything where choosing is not allowed.
    """
    if how == "batch" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _quotas() -> Iterator[float]:
    """What each control group that we are in, and each above it, may spend, in processors."""
    for directory in _directories():
        with suppress(OSError, ValueError):
            quota, period = (directory / "cpu.max").read_text().split()
            if quota != "max":
                yield int(quota) / int(period)
        with suppress(OSError, ValueError):
            allowed = int((directory / "cpu.cfs_quota_us").read_text())
            if allowed > 0:
                yield allowed / int((directory / "cpu.cfs_period_us").read_text())


def _directories() -> Iterator[Path]:
    """Within a container the group's own path may not be there: then it is the root that one sees."""
    with suppress(OSError):
        for line in _GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            root = _ROOT if not controllers else _ROOT / controllers
            if controllers and "cpu" not in controllers.split(","):
                continue
            group = Path(path.lstrip("/"))
            yield from (root / above for above in (group, *group.parents))
