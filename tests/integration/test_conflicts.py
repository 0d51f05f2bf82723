"""Twelve clients that fight over rows on three writers: none sees an error, and no update is lost."""

import pytest

from proxy.demo.galera import Cluster
from tests.bench.conflicts import CLIENTS, WORKS, Work, run
from tests.integration.conftest import MakeProxy
from tests.support.duration import seconds
from tests.support.proxy import Proxy


def fight(work: Work, port: int, schema: str, cluster: Cluster, proxy: Proxy) -> None:
    """What must be so of two seconds of it."""
    check, causal = cluster[1].port, cluster.causal
    outcome = run(port, schema, work, check=check, seconds=seconds(2), clients=CLIENTS, isolated=False, causal=causal)
    metrics = proxy.metrics()
    counted = {name: metrics.total(f"multiwriter_{name}_total") for name in ("conflicts", "retries")}
    assert not outcome.errors, (outcome, counted)
    assert outcome.lost == 0, (outcome, counted)
    assert outcome.committed > CLIENTS, (outcome, counted)


@pytest.mark.parametrize("name", ["increments", "lock-and-write", "transfers"])
def test_nobody_sees_a_conflict(name: str, schema: str, cluster: Cluster, proxy: Proxy) -> None:
    fight(WORKS[name], proxy.port, schema, cluster, proxy)


def test_no_update_is_lost_under_snapshot_isolation(schema: str, cluster: Cluster, make_proxy: MakeProxy) -> None:
    proxy = make_proxy({"endpoint": [{"snapshot_isolation": True}]}, wait=False)
    proxy.wait_ready(60)
    fight(WORKS["read-and-write"], proxy.port, schema, cluster, proxy)
