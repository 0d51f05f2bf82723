"""The cluster prepared for comparing, and a proxy in front of it that moves every session it may."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymysql.constants import CLIENT

from proxy.demo.galera import Cluster
from proxy.demo.node import FAILURE_DETECTION
from tests.differential.runner import Runner
from tests.support.group import Group
from tests.support.moving import MovingProxy

# AUTO_INCREMENT counts in ones on every node, so that the ids that it generates do not tell the nodes apart. Nodes do
# not run again what lost a conflict, since the rows of an INSERT .. RETURNING would come twice. Nothing dies here: a
# node that a busy machine keeps from answering for a moment is not to be expelled for it.
ALIKE = {
    "galera": (
        "SET GLOBAL wsrep_auto_increment_control = OFF, wsrep_retry_autocommit = 0",
        "SET GLOBAL wsrep_provider_options = 'evs.inactive_timeout=PT60S; evs.suspect_timeout=PT30S'",
    ),
    "group-replication": (
        "SET GLOBAL auto_increment_increment = 1, auto_increment_offset = 1",
        "SET GLOBAL group_replication_member_expel_timeout = 60, log_bin_trust_function_creators = ON",
    ),
}
_EVS = "; ".join(f"{name}={FAILURE_DETECTION[name]}" for name in ("evs.suspect_timeout", "evs.inactive_timeout"))
AS_BEFORE = {
    "galera": (
        "SET GLOBAL wsrep_auto_increment_control = ON, wsrep_retry_autocommit = 1",
        f"SET GLOBAL wsrep_provider_options = '{_EVS}'",
    ),
    "group-replication": (
        "SET GLOBAL auto_increment_increment = @@GLOBAL.group_replication_auto_increment_increment",
        "SET GLOBAL auto_increment_offset = @@GLOBAL.server_id",
        "SET GLOBAL group_replication_member_expel_timeout = 0, log_bin_trust_function_creators = OFF",
    ),
}


@pytest.fixture(scope="package")
def patient_cluster(running_cluster: Cluster | Group) -> Iterator[Cluster | Group]:
    """Its nodes differ in nothing that a client sees. What was made meanwhile is gone in the end."""
    running_cluster.heal()
    schemas = "SELECT schema_name FROM information_schema.schemata"
    before = running_cluster[1].query(schemas)
    for node in running_cluster:
        for statement in ALIKE[running_cluster.flavor]:
            node.query(statement)
    yield running_cluster
    for node in running_cluster:
        for statement in AS_BEFORE[running_cluster.flavor]:
            node.query(statement)
    for (made,) in set(running_cluster[1].query(schemas)) - set(before):
        running_cluster[1].query(f"DROP DATABASE {made}")


@pytest.fixture(scope="package")
def moving_proxy(patient_cluster: Cluster | Group, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MovingProxy]:
    """A proxy over all three nodes. It gives none up that a busy machine keeps from answering for a second: with it the
    warnings that only that node has would be lost.
    """
    addresses = [node.address for node in patient_cluster]
    settings = {"pool": {"max_backends": 300}, "monitor": {"timeout": 10}}
    proxy = MovingProxy(tmp_path_factory.mktemp("moving"), addresses, settings, flavor=patient_cluster.flavor)
    try:
        proxy.start()
        yield proxy
        assert proxy.running, proxy.log_text()[-3000:]
        assert "internal.error" not in proxy.log_text(), proxy.log_text()[-3000:]
    finally:
        proxy.kill()


@pytest.fixture(scope="package")
def runner(patient_cluster: Cluster | Group, moving_proxy: MovingProxy) -> Iterator[Runner]:
    """Holds conversations with node1 and with the proxy."""

    def connect(number: int) -> Any:
        connection = patient_cluster[number].connect("app", "app", client_flag=CLIENT.MULTI_STATEMENTS)
        with connection.cursor() as cursor:
            cursor.execute(patient_cluster.causal)
        return connection

    runner = Runner(patient_cluster[1].port, moving_proxy.port, connect)
    yield runner
    runner.close()
