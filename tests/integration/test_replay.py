"""Transactions that a real cluster has undone: run again unseen, whatever tells of it, with the ids that they had."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pymysql
import pytest
from pymysql.constants import COMMAND

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from proxy.wire.constants import COM_RESET_CONNECTION
from tests.conftest import FLAVOR
from tests.integration.conftest import Connection, Direct
from tests.support.proxy import Proxy

CONFLICTS = "multiwriter_conflicts_total"
LEASED = "multiwriter_backends"
MINE = "UPDATE t SET a = a + 1 WHERE id = 1"
THEIRS = "UPDATE t SET a = a + 10 WHERE id = 1"


@pytest.fixture
def client(proxy: Proxy, direct: Direct, schema: str) -> Iterator[Connection]:
    rows_of(direct(1, database=schema), "CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    rows_of(direct(1, database=schema), "INSERT INTO t VALUES (1, 0), (2, 0)")
    rows_of(direct(1, database=schema), "CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY, c INT)")
    with contextlib.closing(proxy.connect(database=schema)) as connection:
        yield connection


def rows_of(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def inserts(client: Connection, sql: str) -> int:
    with client.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.lastrowid or 0)


@pytest.fixture
def place(proxy: Proxy, cluster: Cluster) -> Callable[[], int]:
    """The number of the node that the only open transaction is on."""

    def found() -> int:
        def leases() -> list[str]:
            return [node for node, count in proxy.metrics().by("node", LEASED, state="leased").items() if count]

        # While it is taken up elsewhere there is none.
        wait_until(lambda: len(leases()) == 1, 10, lambda: f"leases on {leases()}")
        return next(number for number in (1, 2, 3) if cluster[number].address in leases())

    return found


@pytest.fixture
def overtakes(cluster: Cluster, direct: Direct, schema: str, place: Callable[[], int]) -> Callable[[str], None]:
    """Somebody commits this on another node than the open transaction's, and every node has it."""

    def overtake(sql: str) -> None:
        other = direct(place() % 3 + 1, database=schema)
        rows_of(other, sql)
        for number in (1, 2, 3):
            connection = direct(number, database=schema)
            rows_of(connection, cluster.causal)
            rows_of(connection, "SELECT 1 FROM t LIMIT 1")

    return overtake


def prepares(client: Connection) -> None:
    client._execute_command(COMMAND.COM_STMT_PREPARE, "SELECT a FROM t WHERE id = ?")
    assert client._read_packet().is_ok_packet()
    for _ in range(4):  # its parameter and its column, each with an EOF
        client._read_packet()


def statistics(client: Connection) -> None:
    client._execute_command(COMMAND.COM_STATISTICS, "")
    client._read_packet()


NEXT: dict[str, Callable[[Connection], object]] = {
    "a read": lambda client: rows_of(client, "SELECT a FROM t WHERE id = 2"),
    "a write": lambda client: rows_of(client, "UPDATE t SET a = a + 0 WHERE id = 2"),
    "a locking read": lambda client: rows_of(client, "SELECT a FROM t WHERE id = 2 FOR UPDATE"),
    "SAVEPOINT": lambda client: rows_of(client, "SAVEPOINT s"),
    "SHOW": lambda client: rows_of(client, "SHOW TABLES"),
    "SET": lambda client: rows_of(client, "SET @x = 1"),
    "USE": lambda client: client.select_db(client.db),
    "PING": lambda client: client.ping(reconnect=False),
    "STATISTICS": statistics,
    "PREPARE": prepares,
    "COMMIT": lambda client: client.commit(),
    "BEGIN": lambda client: rows_of(client, "BEGIN"),
}


def test_an_abort_while_it_idles_is_found_by_any_next_command_and_seen_by_nobody(
    client: Connection, overtakes: Callable[[str], None], proxy: Proxy
) -> None:
    for times, (name, command) in enumerate(NEXT.items(), 1):
        before = proxy.metrics().total(CONFLICTS)
        rows_of(client, "BEGIN")
        rows_of(client, MINE)
        overtakes(THEIRS)
        command(client)
        rows_of(client, "COMMIT")
        assert rows_of(client, "SELECT a FROM t WHERE id = 1") == [(11 * times,)], name
        # In a MySQL group the first SAVEPOINT behind a write has it run again before anybody has seen that.
        if Cluster.flavor == FLAVOR or name != "SAVEPOINT":
            assert proxy.metrics().total(CONFLICTS) > before, name


@pytest.mark.parametrize("end", ["ROLLBACK", "reset"])
def test_to_roll_back_what_was_undone_is_a_success(
    end: str, client: Connection, overtakes: Callable[[str], None]
) -> None:
    rows_of(client, "BEGIN")
    rows_of(client, MINE)
    overtakes(THEIRS)
    if end == "ROLLBACK":
        client.rollback()
    else:
        client._execute_command(COM_RESET_CONNECTION, "")
        assert client._read_packet().is_ok_packet()
    assert rows_of(client, "SELECT a FROM t WHERE id = 1") == [(10,)]


def test_what_autocommit_on_commits_is_run_again(client: Connection, overtakes: Callable[[str], None]) -> None:
    rows_of(client, "SET autocommit = 0")
    rows_of(client, MINE)
    overtakes(THEIRS)
    rows_of(client, "SET autocommit = 1")
    assert rows_of(client, "SELECT a FROM t WHERE id = 1") == [(11,)]


def test_a_definition_commits_what_was_before_it_or_tells_of_the_conflict(
    client: Connection, overtakes: Callable[[str], None]
) -> None:
    """It might have been carried out in part, so that it is not run again."""
    rows_of(client, "BEGIN")
    rows_of(client, MINE)
    overtakes(THEIRS)
    told = 0
    try:
        rows_of(client, "CREATE TABLE x (a INT)")
    except pymysql.OperationalError as refused:
        told = refused.args[0]
    assert told in (0, 1213, 1180, 3101)  # a MySQL group tells of conflicts by the others as well
    client.rollback()
    assert rows_of(client, "SELECT a FROM t WHERE id = 1") == [(10 if told else 11,)]


@pytest.mark.parametrize("access", ["READ ONLY", "READ WRITE"])
def test_what_only_reads_goes_on_over_a_definition_from_elsewhere(
    access: str, client: Connection, direct: Direct, schema: str, place: Callable[[], int]
) -> None:
    rows_of(client, f"START TRANSACTION {access}")
    assert rows_of(client, "SELECT a FROM t ORDER BY id") == [(0,), (0,)]
    rows_of(direct(place() % 3 + 1, database=schema), "ALTER TABLE t ADD COLUMN more INT")
    for _ in range(3):
        assert rows_of(client, "SELECT a FROM t ORDER BY id") == [(0,), (0,)]
    client.commit()


# -- generated ids ----------------------------------------------------------------------------------------------------


@pytest.fixture
def loses_its_backend(cluster: Cluster, proxy: Proxy, place: Callable[[], int]) -> Callable[[], None]:
    """The connection of the open transaction ends, so that it is taken up on another node."""

    def lose() -> None:
        number = place()
        sql = "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0"
        wait_until(lambda: len(cluster[number].query(sql)) == 1, 10, lambda: "it is not there")
        cluster[number].query(f"KILL {cluster[number].query(sql)[0][0]}")
        wait_until(lambda: place() != number, 10, lambda: "it was not taken up")

    return lose


def test_ids_are_the_same_on_another_node_and_none_leaks(
    client: Connection, loses_its_backend: Callable[[], None]
) -> None:
    rows_of(client, "BEGIN")
    told = [inserts(client, f"INSERT INTO made (c) VALUES ({number})") for number in range(3)]
    loses_its_backend()
    told.append(inserts(client, "INSERT INTO made (c) VALUES (3)"))
    client.commit()
    told += [inserts(client, f"INSERT INTO made (c) VALUES ({number})") for number in (4, 5)]
    found = rows_of(client, "SELECT id FROM made ORDER BY c")
    assert found == [(number,) for number in told]
    assert len(set(told)) == 6


def test_several_ids_of_one_statement_are_the_same_on_the_same_node(
    client: Connection, overtakes: Callable[[str], None], proxy: Proxy
) -> None:
    before = proxy.metrics().total(CONFLICTS)
    rows_of(client, "BEGIN")
    first = inserts(client, "INSERT INTO made (c) VALUES (1), (2), (3)")
    ids = rows_of(client, "SELECT id FROM made ORDER BY c")
    assert ids[0] == (first,)
    rows_of(client, MINE)
    overtakes(THEIRS)
    client.commit()
    assert rows_of(client, "SELECT id FROM made ORDER BY c") == ids
    assert proxy.metrics().total(CONFLICTS) > before
