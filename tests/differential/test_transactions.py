"""How transactions begin and end, one conversation for each way, directly and through the proxy."""

import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.conftest import FLAVOR
from tests.differential.conversation import Execute, Prepare
from tests.differential.runner import Runner
from tests.differential.test_kept import said
from tests.support.group import Group
from tests.support.moving import MovingProxy

SEEN = "SELECT id, v FROM t ORDER BY id"
FLAGS = f"SELECT {'@@in_transaction, ' if Cluster.flavor == FLAVOR else ''}@@autocommit, @@completion_type"

WAYS = {
    "autocommit off": said(
        "SET autocommit = 0", FLAGS, SEEN, FLAGS, "UPDATE t SET v = v + 1 WHERE id = 1", "COMMIT", FLAGS, SEEN,
        "INSERT INTO t VALUES (50, 1, '')", "ROLLBACK", SEEN, "DELETE FROM t WHERE id = 2", "SET autocommit = 1", FLAGS,
        SEEN,
    ),
    "autocommit off and on within a transaction": said(
        "BEGIN", "INSERT INTO t VALUES (51, 1, '')", "SET autocommit = 0", FLAGS, "ROLLBACK", SEEN, "BEGIN",
        "INSERT INTO t VALUES (52, 1, '')", "SET autocommit = 1", FLAGS, "ROLLBACK", SEEN,
    ),
    "completion_type CHAIN": said(
        "SET completion_type = 'CHAIN'", "BEGIN", "INSERT INTO t VALUES (53, 1, '')", "COMMIT", FLAGS,
        "INSERT INTO t VALUES (54, 1, '')", "ROLLBACK", FLAGS, SEEN, "COMMIT AND NO CHAIN", FLAGS,
        "SET completion_type = DEFAULT", "BEGIN", "COMMIT", FLAGS,
    ),
    "completion_type RELEASE is undone by NO RELEASE": said(
        "SET completion_type = 2", "BEGIN", "INSERT INTO t VALUES (55, 1, '')", "COMMIT NO RELEASE", SEEN,
        "SET completion_type = 0", "BEGIN", "COMMIT", FLAGS,
    ),
    "COMMIT RELEASE closes": said("BEGIN", "INSERT INTO t VALUES (56, 1, '')", "COMMIT RELEASE"),
    "ROLLBACK RELEASE closes": said("BEGIN", "INSERT INTO t VALUES (57, 1, '')", "ROLLBACK RELEASE"),
    "completion_type RELEASE closes": said(
        "SET completion_type = 'RELEASE'", SEEN, "BEGIN", "INSERT INTO t VALUES (74, 1, '')", "COMMIT", SEEN,
    ),
    "ROLLBACK, too": said(
        "SET completion_type = 2", "BEGIN", "INSERT INTO t VALUES (75, 1, '')", "COMMIT NO RELEASE", SEEN, "ROLLBACK",
    ),
    "an unknown savepoint does not": said(
        "SET completion_type = @@GLOBAL.completion_type + 2", "BEGIN", SEEN, "ROLLBACK TO nosuch", "COMMIT AND CHAIN",
    ),
    "with completion_type RELEASE what commits by itself does not": said(
        "SET completion_type = RELEASE", "BEGIN", "INSERT INTO t VALUES (76, 1, '')", "BEGIN", SEEN,
        "CREATE TABLE n0 (c INT)", "DROP TABLE n0", Prepare("c", "COMMIT"), Execute("c"),
    ),
    "a procedure that commits does": said("SET completion_type = RELEASE", "CALL commits()", SEEN),
    "so do several statements": said("SET completion_type = RELEASE", "SELECT 1; COMMIT; SELECT 2", SEEN),
    "AND CHAIN": said(
        "BEGIN", "INSERT INTO t VALUES (58, 1, '')", "COMMIT AND CHAIN", FLAGS, "INSERT INTO t VALUES (59, 1, '')",
        "ROLLBACK AND CHAIN", FLAGS, SEEN, "COMMIT", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "START TRANSACTION READ ONLY", "COMMIT AND CHAIN", "DELETE FROM t", "COMMIT", FLAGS,
    ),
    "DDL commits": said(
        "BEGIN", "INSERT INTO t VALUES (60, 1, '')", "CREATE TABLE made (c INT)", FLAGS, "ROLLBACK", SEEN,
        "BEGIN", "INSERT INTO t VALUES (61, 1, '')", "DROP TABLE made", "ROLLBACK", SEEN,
        "BEGIN", "INSERT INTO t VALUES (62, 1, '')", "CREATE TABLE t (c INT)", "ROLLBACK", SEEN,
    ),
    "BEGIN commits": said(
        "BEGIN", "INSERT INTO t VALUES (63, 1, '')", "BEGIN", "INSERT INTO t VALUES (64, 1, '')", "ROLLBACK", SEEN,
        "BEGIN", "INSERT INTO t VALUES (65, 1, '')", "START TRANSACTION READ ONLY", "DELETE FROM t", "COMMIT", SEEN,
    ),
    "LOCK TABLES commits": said(
        "BEGIN", "INSERT INTO t VALUES (66, 1, '')", "LOCK TABLES t READ", "SELECT COUNT(*) FROM t", "UNLOCK TABLES",
        "ROLLBACK", SEEN,
    ),
    "CREATE TEMPORARY TABLE does not": said(
        "BEGIN", "INSERT INTO t VALUES (67, 1, '')", "CREATE TEMPORARY TABLE x (c INT)", FLAGS, "ROLLBACK", SEEN,
        "DROP TEMPORARY TABLE x", SEEN,
    ),
    "savepoints": said(
        "SAVEPOINT a", "ROLLBACK TO a", "BEGIN", "SAVEPOINT a", "INSERT INTO t VALUES (68, 1, '')", "SAVEPOINT b",
        "INSERT INTO t VALUES (69, 1, '')", "ROLLBACK TO SAVEPOINT b", SEEN, "RELEASE SAVEPOINT b", "ROLLBACK TO b",
        "ROLLBACK WORK TO a", "SAVEPOINT a", "COMMIT", "ROLLBACK TO a", SEEN,
    ),
    "read only": said(
        "START TRANSACTION READ ONLY", SEEN, "DELETE FROM t", "SELECT id FROM t FOR UPDATE", "COMMIT", "DELETE FROM w",
        "SET SESSION TRANSACTION READ ONLY", "DELETE FROM t", "BEGIN", "DELETE FROM t", "COMMIT",
        "START TRANSACTION READ WRITE", "INSERT INTO t VALUES (70, 1, '')", "COMMIT",
        "SET SESSION TRANSACTION READ WRITE", SEEN,
    ),
    "one-shots": said(
        "SET TRANSACTION READ ONLY", "DELETE FROM t", "DELETE FROM w",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "BEGIN", SEEN, "DELETE FROM t", "COMMIT",
        "BEGIN", "DELETE FROM w", "SET TRANSACTION READ ONLY", "COMMIT", "SET TRANSACTION READ ONLY",
        "SET SESSION TRANSACTION READ WRITE", "INSERT INTO t VALUES (71, 1, '')", SEEN,
    ),
    "boundaries that were prepared": said(
        Prepare("b", "START TRANSACTION"), Prepare("i", "INSERT INTO t VALUES (?, 1, '')"), Prepare("c", "COMMIT"),
        Prepare("r", "ROLLBACK"), Execute("b"), Execute("i", (72,)), Execute("r"), SEEN, Execute("b"),
        Execute("i", (73,)), Execute("c"), SEEN,
    ),
    "a snapshot": said(
        "START TRANSACTION WITH CONSISTENT SNAPSHOT", SEEN, "UPDATE t SET v = 0", SEEN, "ROLLBACK", SEEN,
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "DELETE FROM t", "COMMIT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", WAYS)
def test_way(runner: Runner, title: str) -> None:
    for seed in range(2):
        for difference in runner.run([WAYS[title]], seed):
            raise AssertionError(str(difference))


RELEASED = (
    said("SET completion_type = RELEASE", "BEGIN", "INSERT INTO t VALUES (77, 1, '')", "COMMIT"),
    said("SET completion_type = RELEASE", "CALL commits()", SEEN),
    said("SET completion_type = RELEASE", "SELECT 1; COMMIT; SELECT 2", SEEN),
)


def test_a_node_that_closes_as_it_was_told_is_no_failed_one(
    runner: Runner, moving_proxy: MovingProxy, patient_cluster: Cluster | Group
) -> None:
    changes = moving_proxy.metrics().total("multiwriter_node_changes_total")
    for number, conversation in enumerate(RELEASED * 2):
        assert runner.run([conversation], number) == []
    assert moving_proxy.metrics().total("multiwriter_node_changes_total") == changes

    def counted() -> tuple[float, int]:
        """Backends, and the connections that nodes have but for the runner's own."""
        asked = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'"
        there = sum(int(node.query(asked)[0][0]) - 1 for node in patient_cluster)
        return moving_proxy.metrics().total("multiwriter_backends"), there

    wait_until(lambda: len(set(counted())) == 1, 10, lambda: f"backends and connections: {counted()}")
