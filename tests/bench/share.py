"""A share of a processor for each of some processes, by control groups of either version (cgroups(7)). As root."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


class Unlimited(Exception):
    """No control group can be made here."""


@contextlib.contextmanager
def limited(pids: Iterable[int], share: float) -> Iterator[None]:
    """Each of these processes gets at most so much of a processor's time, in [0.1, 1]. Raises `Unlimited`."""
    parent = _parent()
    groups: dict[int, Path] = {}
    try:
        try:
            for pid in pids:
                group = groups[pid] = parent / f"multiwriter-bench-{os.getpid()}-{pid}"
                group.mkdir()
                _limit(group, share)
                (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise Unlimited(str(error)) from error
        yield
    finally:
        for pid, group in groups.items():
            with contextlib.suppress(OSError):  # it has ended
                (parent / "cgroup.procs").write_text(str(pid))
            with contextlib.suppress(OSError):
                group.rmdir()


def _parent() -> Path:
    """Where groups that limit processor time are made."""
    for version_one in (ROOT / "cpu", ROOT / "cpu,cpuacct"):
        if (version_one / "cgroup.procs").exists():
            return version_one
    controllers = ROOT / "cgroup.controllers"
    if not controllers.exists() or "cpu" not in controllers.read_text().split():
        raise Unlimited("there are no control groups for processor time")
    try:
        (ROOT / "cgroup.subtree_control").write_text("+cpu")
    except OSError as error:
        raise Unlimited(str(error)) from error
    return ROOT


def _limit(group: Path, share: float) -> None:
    quota = int(PERIOD_US * share)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
