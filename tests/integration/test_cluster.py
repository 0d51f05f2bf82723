"""The cluster that the other tests stand on does what they rely on: it breaks as told and is made whole again."""

import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import StartError, wait_until
from router.flavor import FLAVORS
from tests.integration.conftest import Direct


def test_a_write_on_one_node_is_read_on_each(cluster: Cluster, direct: Direct, schema: str) -> None:
    with direct(1, database=schema).cursor() as cursor:
        cursor.execute("CREATE TABLE t (a INT PRIMARY KEY)")
        cursor.execute("INSERT INTO t VALUES (7)")
    for number in (1, 2, 3):
        with direct(number, database=schema).cursor() as cursor:
            cursor.execute(cluster.causal)
            cursor.execute("SELECT a FROM t")
            assert cursor.fetchall() == ((7,),)


def test_accounts_are_those_of_the_settings(direct: Direct) -> None:
    with direct(1, "monitor", "monitor").cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), COUNT(*) > 0 FROM mysql.user")
        assert cursor.fetchone() == ("monitor@%", 1)
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        direct(1, "app", "wrong")


def test_a_server_tells_what_it_is_asked_for_its_kind_of_cluster(cluster: Cluster) -> None:
    """Percona's is asked in MySQL's tables: MySQL's own server answers that it is no such node."""
    own = FLAVORS[cluster.flavor]
    for flavor in FLAVORS.values():
        if flavor.engine == own.engine:
            rows = [tuple(None if value is None else str(value) for value in row)
                    for row in cluster[1].query(flavor.question)]  # fmt: skip
            found, _ = flavor.observe(rows, 0.0, None)
            assert found.ok is (flavor is own), (flavor.name, rows)


def test_temporary_tables_are_where_no_other_server_that_starts_removes_them(cluster: Cluster) -> None:
    places = [str(node.query("SELECT @@tmpdir")[0][0]) for node in cluster]
    assert places == [str(node.directory) for node in cluster]


@pytest.mark.parametrize("end", ["kill", "term"])
def test_an_ended_node_is_expelled_and_comes_back_with_what_it_missed(
    cluster: Cluster, direct: Direct, schema: str, end: str
) -> None:
    getattr(cluster[2], end)()
    assert not cluster[2].running
    cluster[1].wait_synced(size=2)
    with direct(1, database=schema).cursor() as cursor:
        cursor.execute("CREATE TABLE missed (a INT PRIMARY KEY)")
    cluster[2].start()
    assert cluster[2].query(f"SHOW TABLES FROM {schema}") == [("missed",)]


def test_a_paused_node_is_expelled_and_comes_back_by_itself(cluster: Cluster) -> None:
    cluster[3].pause()
    assert cluster[3].running
    assert not cluster[3].in_step()
    cluster[1].wait_synced(size=2)
    cluster[3].resume()
    cluster[3].wait_synced(3)


def test_a_cluster_that_lost_its_majority_is_made_whole_without_losing_a_commit(
    cluster: Cluster, direct: Direct, schema: str
) -> None:
    with direct(1, database=schema).cursor() as cursor:
        cursor.execute("CREATE TABLE kept (a INT PRIMARY KEY)")
        cursor.execute("INSERT INTO kept VALUES (1)")
    cluster[1].kill()
    cluster[2].kill()
    cluster.heal()
    assert all(node.in_step(3) for node in cluster)
    assert cluster[2].query(f"SELECT a FROM {schema}.kept") == [(1,)]


def test_a_node_that_cannot_start_says_why_and_where(cluster: Cluster) -> None:
    with pytest.raises(StartError, match="node1 is running already"):
        cluster[1].start()
    with pytest.raises(StartError, match="there is no node 4"):
        cluster[4]


def test_a_killed_node_leaves_nothing_behind(cluster: Cluster) -> None:
    pid = cluster[1].pid
    cluster[1].kill()
    wait_until(lambda: not _exists(pid), 5, lambda: f"process {pid} is still there")


def _exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status"):
            return True
    except FileNotFoundError:
        return False
