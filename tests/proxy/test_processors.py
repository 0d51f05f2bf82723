"""`workers = "auto"`: no more than the machine, the affinity and the control group allow. And `scheduling`."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy import processors


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands for /sys/fs/cgroup; we are in /a/b of it, on eight processors."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    monkeypatch.setattr(processors, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processors, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return tmp_path


def test_as_many_as_it_may_run_on(group: Path) -> None:
    assert processors.available() == 8


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("?", 8)]
)
def test_a_quota_counts(group: Path, text: str, expected: int) -> None:
    (group / "a" / "b" / "cpu.max").write_text(text)
    assert processors.available() == expected


def test_that_of_a_group_above_counts_too(group: Path) -> None:
    (group / "a" / "b" / "cpu.max").write_text("400000 100000")
    (group / "a" / "cpu.max").write_text("300000 100000")
    assert processors.available() == 3


def test_version_1_has_other_files(group: Path) -> None:
    (group / "cgroup").write_text("4:memory:/a\n3:cpu,cpuacct:/a\n")
    directory = group / "cpu,cpuacct" / "a"
    directory.mkdir(parents=True)
    (directory / "cpu.cfs_quota_us").write_text("-1")
    assert processors.available() == 8
    (directory / "cpu.cfs_quota_us").write_text("250000")
    (directory / "cpu.cfs_period_us").write_text("100000")
    assert processors.available() == 3


def test_within_a_container_the_group_is_the_root(group: Path) -> None:
    (group / "cgroup").write_text("0::/not/seen/from/here\n")
    (group / "cpu.max").write_text("100000 100000")
    assert processors.available() == 1


def test_no_control_groups_at_all(group: Path) -> None:
    (group / "cgroup").unlink()
    assert processors.available() == 8


def aside(*work: Callable[[], object]) -> int:
    """How a thread is scheduled that has done this."""
    with ThreadPoolExecutor(1) as thread:
        for each in work:
            thread.submit(each).result()
        return thread.submit(os.sched_getscheduler, 0).result()


@pytest.mark.parametrize(("how", "policy"), [("batch", os.SCHED_BATCH), ("normal", os.SCHED_OTHER)])
def test_a_thread_is_scheduled_as_the_setting_says(how: str, policy: int) -> None:
    assert aside(lambda: processors.schedule(how)) == policy


def test_what_was_chosen_at_the_start_stays() -> None:
    def chosen() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    assert aside(chosen, lambda: processors.schedule("batch")) == os.SCHED_IDLE


def test_nor_need_it_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuses)
    assert aside(lambda: processors.schedule("batch")) == os.SCHED_OTHER
