"""Clients that fight over rows on three writers: none sees an error, and no update is lost."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.bench.conflicts import CLIENTS, WORKS, Work, run
from tests.integration.conftest import Direct, MakeProxy
from tests.support.duration import seconds
from tests.support.proxy import Proxy


def fight(work: Work, port: int, schema: str, cluster: Cluster, proxy: Proxy) -> None:
    """What must be so of two seconds of it."""
    outcome = run(port, schema, work, cluster, seconds=seconds(2), clients=CLIENTS, isolated=False)
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


@pytest.mark.only("group-replication")  # a Galera node's lock gives way to what was committed
def test_who_loses_to_what_its_node_has_yet_to_apply_waits_for_that(
    schema: str, cluster: Cluster, direct: Direct, make_proxy: MakeProxy
) -> None:
    """Until then every attempt is refused, and all that a transaction may have were used up in two seconds."""
    ahead, behind, holding = direct(1, database=schema), direct(2, database=schema), direct(2, database=schema)

    def execute(connection: Any, *statements: str) -> Any:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    execute(
        ahead,
        "CREATE TABLE fought (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE locked (id INT PRIMARY KEY)",
        "INSERT INTO fought VALUES (1, 0)",
    )
    execute(behind, cluster.causal, "SELECT * FROM fought")
    client = make_proxy({"cluster": {"nodes": [cluster[2].address]}}).connect(database=schema)
    execute(holding, "LOCK TABLES locked READ")
    execute(ahead, "BEGIN", "INSERT INTO locked VALUES (1)", "UPDATE fought SET v = v + 1 WHERE id = 1", "COMMIT")
    waiting = "SELECT 1 FROM performance_schema.processlist WHERE state LIKE '%hook on transaction begin%'"
    with ThreadPoolExecutor(1) as aside:
        done = aside.submit(execute, client, "BEGIN", "UPDATE fought SET v = v + 1 WHERE id = 1", "COMMIT")
        try:
            wait_until(lambda: done.done() or bool(execute(holding, waiting)), 10, lambda: "it does not wait")
        finally:
            execute(holding, "UNLOCK TABLES")
        done.result()
    assert execute(client, "SELECT v FROM fought") == ((2,),)
