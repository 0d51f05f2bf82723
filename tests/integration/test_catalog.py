"""What a text does not show, on real nodes: views, triggers and functions, and how soon a change of them is known."""

from collections.abc import Iterator

import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.integration.conftest import Connection, Direct
from tests.support.proxy import Proxy


@pytest.fixture
def client(proxy: Proxy, schema: str) -> Iterator[Connection]:
    connection = proxy.connect(database=schema)
    yield connection
    connection.close()


def run(connection: Connection, text: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def pins(proxy: Proxy, connection: Connection, text: str) -> str | None:
    """By what a statement pins the session, which is then reset."""
    before = proxy.metrics().by("reason", "multiwriter_pins_total")
    run(connection, text)
    after = proxy.metrics().by("reason", "multiwriter_pins_total")
    connection._execute_command(0x1F, b"")
    connection._read_ok_packet()
    return next((reason for reason in after if after[reason] > before.get(reason, 0)), None)


def test_what_a_client_defines_holds_for_its_next_statement(proxy: Proxy, client: Connection) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)")
    assert pins(proxy, client, "INSERT INTO t (a) VALUES (1)") is None
    run(client, "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @seen = NEW.a")
    assert pins(proxy, client, "INSERT INTO t (a) VALUES (2)") == "user_variable"
    run(client, "DROP TRIGGER r")
    assert pins(proxy, client, "INSERT INTO t (a) VALUES (3)") is None
    run(client, "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN 2 * x")
    run(client, "CREATE FUNCTION keeps(x INT) RETURNS INT DETERMINISTIC BEGIN SET @x = x; RETURN x; END")
    run(client, "CREATE VIEW v AS SELECT id, keeps(a) AS a FROM t")
    assert pins(proxy, client, "SELECT twice(a) FROM t") is None
    assert pins(proxy, client, "SELECT keeps(a) FROM t") == "user_variable"
    assert pins(proxy, client, "SELECT * FROM v") == "unclassified"


@pytest.mark.parametrize("how", ["ALTER DATABASE {} CHARACTER SET latin1", "DROP DATABASE {}"])
def test_a_new_session_finds_the_character_set_that_its_schema_has_now(
    proxy: Proxy, direct: Direct, schema: str, how: str
) -> None:
    """Connections to nodes know that of the schema that they are in from the time when they entered it."""
    charset = "SELECT @@character_set_database"
    sessions = [proxy.connect(database=schema) for _ in range(6)]
    assert {run(session, charset) for session in sessions} == {(("utf8mb4",),)}
    for session in sessions[1:]:
        session.close()
    run(sessions[0], how.format(schema))
    run(sessions[0], f"CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET latin1")
    sessions[0].close()
    default = "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = "
    nodes = [direct(number) for number in (1, 2, 3)]
    wait_until(
        lambda: all(run(node, f"{default}'{schema}'") == (("latin1",),) for node in nodes),
        10,
        lambda: "a node does not have the new definition",
    )
    for _ in range(6):
        session = proxy.connect(database=schema)
        assert run(session, charset) == (("latin1",),)
        session.close()


def test_a_definition_that_goes_costs_no_node_whatever_was_written_to_it_before_and_is_tried_behind_it(
    cluster: Cluster, client: Connection, direct: Direct, schema: str
) -> None:
    """Nodes apply rows in one order, of which a group's members leave definitions out: who got the two the other way
    about would leave.
    """
    elsewhere = [direct(number, database=schema) for number in (1, 2, 3)]
    much = ", ".join(f"({number}, REPEAT('x', 500000))" for number in range(20))
    for writer in elsewhere:
        run(client, "CREATE TABLE wide (id INT PRIMARY KEY, v LONGTEXT)")
        run(client, "CREATE TABLE gone (id INT PRIMARY KEY)")
        run(writer, cluster.causal)
        run(writer, f"INSERT INTO wide VALUES {much}")
        run(client, "DROP TABLE wide")
        run(client, "DROP TABLE gone")
        for late in elsewhere:
            with pytest.raises(pymysql.err.Error):
                run(late, "INSERT INTO gone VALUES (1)")
    for node in cluster:
        node.wait_synced(len(elsewhere), 20)


def test_what_is_defined_elsewhere_is_known_soon(proxy: Proxy, client: Connection, direct: Direct, schema: str) -> None:
    run(client, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT)")
    assert pins(proxy, client, "INSERT INTO t (a) VALUES (1)") is None
    elsewhere = direct(2, database=schema)
    run(elsewhere, "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @seen = NEW.a")
    wait_until(
        lambda: pins(proxy, client, "INSERT INTO t (a) VALUES (2)") == "user_variable",
        10,
        lambda: "the trigger is not known",
    )
