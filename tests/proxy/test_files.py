"""Limits of the machine: raised, and said in clear words where they are too low."""

import logging
import resource
from dataclasses import replace

import pytest

from config import Config, from_nodes
from proxy import files


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits that are set; the machine's are 1000, at most 4000."""
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1000, 4000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: made.append(limits))
    return made


def config(max_clients: int, backlog: int = 1) -> Config:
    usual = from_nodes(["a", "b"], "m", "m")
    return replace(
        usual,
        limits=replace(usual.limits, max_clients=max_clients),
        process=replace(usual.process, listen_backlog=backlog),
    )


def test_the_limit_is_raised_as_far_as_it_goes(limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    assert files.prepare(config(3000)) == 3000
    assert limit == [(4000, 4000)]
    assert not caplog.records


def test_clients_that_there_are_no_descriptors_for_are_not_let_in(
    limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    # Two nodes, a hundred backends each.
    assert files.prepare(config(10_000)) == 4000 - 200 - files.OTHERS
    (record,) = caplog.records
    assert record.getMessage() == "limits.files"
    assert record.fields["needed"] == 10_000 + 200 + files.OTHERS  # type: ignore[attr-defined]
    assert "ulimit" in record.fields["hint"]  # type: ignore[attr-defined]


def test_a_backlog_that_the_kernel_cuts_is_told(
    limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    path = tmp_path / "somaxconn"  # type: ignore[operator]
    path.write_text("128\n")
    monkeypatch.setattr(files, "_SOMAXCONN", path)
    files.prepare(config(10, backlog=128))
    assert not caplog.records
    files.prepare(config(10, backlog=129))
    assert [record.getMessage() for record in caplog.records] == ["limits.backlog"]
