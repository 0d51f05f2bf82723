"""The numbers of several workers as those of one proxy."""

import json
from typing import Any

import pytest

from proxy.counters import Metrics
from proxy.metrics import FAMILIES, Exposition, Processes
from proxy.sums import Sums, snapshot
from proxy.wire.constants import COM_QUERY


def worker(commands: int = 0, *, state: str = "up", lag: float = 0.0, clients: int = 0, started: float = 5.0) -> Any:
    """A worker's numbers as they arrive."""
    metrics = Metrics(["n"], "1.0", started=started)
    metrics.command_counts[COM_QUERY] += commands
    for _ in range(commands):
        metrics.transaction_seconds["n", "committed"].observe(0.002)
    metrics.pool_waits.observe(1.5)
    metrics.loop_lag_seconds = lag
    metrics.clients_now = lambda: {"write": clients}
    metrics.node_info_now = lambda: {("n", "n:3306", "10.11"): 1}
    metrics.node_states_now = lambda: {("n", each): int(each == state) for each in ("up", "suspect", "down")}
    return json.loads(json.dumps(snapshot(metrics)))


@pytest.fixture
def sums() -> Sums:
    return Sums(Metrics())


def samples(sums: Sums) -> dict[tuple[str, ...], float]:
    exposition = Exposition(sums, Processes(list))
    return {(name, *labels.values()): value for name, labels, value in exposition.samples()}


def test_counters_and_histograms_are_added_up(sums: Sums) -> None:
    sums.take([worker(3), worker(4)])
    found = samples(sums)
    assert found["multiwriter_commands_total", "COM_QUERY"] == 7
    assert found["multiwriter_transactions_total", "n", "committed"] == 7
    assert found["multiwriter_transaction_seconds_count", "n", "committed"] == 7
    assert found["multiwriter_transaction_seconds_bucket", "n", "committed", "0.001"] == 0
    assert found["multiwriter_pool_wait_seconds_sum",] == 3.0


def test_gauges_come_to_what_they_mean(sums: Sums) -> None:
    sums.take([worker(clients=2, lag=0.5, started=7), worker(clients=3, lag=0.1, started=6)])
    found = samples(sums)
    assert found["multiwriter_clients", "write"] == 5
    assert found["multiwriter_loop_lag_seconds",] == 0.5
    assert found["multiwriter_start_time_seconds",] == 6
    assert found["multiwriter_build_info", "1.0"] == 1
    assert found["multiwriter_node_info", "n", "n:3306", "10.11"] == 1


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["up", "up", "down"], "up"),
        (["up", "down", "down"], "down"),
        (["up", "down"], "down"),
        (["suspect"], "suspect"),
    ],
)
def test_a_node_is_in_the_state_that_most_workers_see(sums: Sums, states: list[str], shown: str) -> None:
    sums.take([worker(state=state) for state in states])
    found = samples(sums)
    assert {state: found["multiwriter_node_state", "n", state] for state in ("up", "suspect", "down")} == {
        state: float(state == shown) for state in ("up", "suspect", "down")
    }


def test_what_a_worker_counted_stays_when_it_is_gone_and_its_gauges_do_not(sums: Sums) -> None:
    for number in range(3):
        sums.bury(worker(10 + number, clients=9))
    sums.take([worker(1, clients=1)])
    found = samples(sums)
    assert found["multiwriter_commands_total", "COM_QUERY"] == 10 + 11 + 12 + 1
    assert found["multiwriter_transaction_seconds_count", "n", "committed"] == 34
    assert found["multiwriter_clients", "write"] == 1


def test_with_no_worker_everything_is_there_and_nothing_is_counted(sums: Sums) -> None:
    sums.take([])
    assert all(hasattr(sums, family.source) for family in FAMILIES)
    assert ("multiwriter_commands_total", "COM_QUERY") not in samples(sums)


def test_processes_are_one_in_what_they_use() -> None:
    import os

    def cpu(processes: Processes) -> float:
        metrics = {metric.name: metric.samples[0].value for metric in processes.collect()}
        assert metrics["process_resident_memory_bytes"] > 1e6
        return metrics["process_cpu_seconds"]

    alone, twice = Processes(lambda: [os.getpid()]), Processes(lambda: [os.getpid(), os.getpid()])
    assert cpu(twice) >= 1.9 * cpu(alone) > 0
    alone.ended(100.0)
    assert cpu(alone) > 100
