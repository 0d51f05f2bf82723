"""What a direct connection answers, the proxy answers: against real nodes, one, where ids are to be equal, or three."""

import contextlib
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import MySQLdb
import pymysql
import pytest

from proxy.connector import CHARSET
from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.integration.conftest import Connection, Direct, MakeProxy
from tests.support.moving import MovingProxy
from tests.support.proxy import Proxy
from tests.support.recording import COMMAND, Recording, recording
from tests.support.workload import Ledger, Work, connect

MIB = 1 << 20
BIG = 64 * MIB  # max_allowed_packet, where a test sends more than the usual 16 MB


@pytest.fixture
def roomy(cluster: Cluster, make_proxy: MakeProxy) -> Iterator[Proxy]:
    """The nodes take packets of up to 64 MB, on connections made from now on: not on those that a pool has already."""
    (before,) = cluster[1].query("SELECT @@GLOBAL.max_allowed_packet")[0]
    for node in cluster:
        node.query(f"SET GLOBAL max_allowed_packet = {BIG}")
    yield make_proxy()
    cluster.heal()
    for node in cluster:
        node.query(f"SET GLOBAL max_allowed_packet = {before}")


@pytest.fixture
def client(proxy: Proxy, schema: str) -> Iterator[Connection]:
    with contextlib.closing(proxy.connect(database=schema, max_allowed_packet=BIG)) as connection:
        yield connection


def rows_of(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


# -- a connection to one node and one through the proxy are told the same ---------------------------------------------

SCRIPTS = {
    "writes": """
        CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(20) NOT NULL DEFAULT 'x', UNIQUE (a))
        INSERT INTO t (a) VALUES (1)
        INSERT INTO t (a) VALUES (2), (3), (4)
        INSERT INTO t (a) VALUES (1)
        INSERT IGNORE INTO t (a) VALUES (1), (5)
        SHOW WARNINGS
        SHOW COUNT(*) WARNINGS
        INSERT INTO t (a) VALUES (2) ON DUPLICATE KEY UPDATE b = 'y'
        REPLACE INTO t (a, b) VALUES (3, 'z')
        UPDATE t SET b = 'w' WHERE a < 4
        UPDATE t SET b = 'w' WHERE a < 4
        SELECT ROW_COUNT()
        SELECT LAST_INSERT_ID()
        DELETE FROM t WHERE a = 4
        SELECT * FROM t ORDER BY id
        SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT 1
        SELECT FOUND_ROWS()
        INSERT INTO t (a) SELECT a + 100 FROM t
        INSERT INTO t (a) VALUES (900) RETURNING id, a
        ALTER TABLE t ADD c INT
        TRUNCATE t
        DROP TABLE IF EXISTS t, nosuch
        SHOW WARNINGS
    """,
    "reads": """
        SELECT 1
        SELECT NULL, '', 'ü', _binary 'a\\0b', 1.50, 2e10, DATE '2026-01-02', TRUE
        SELECT 1 WHERE FALSE
        SELECT
        SELECT * FROM nosuch
        SELECT 1/0, CAST('x' AS INT)
        SHOW WARNINGS
        SELECT @@warning_count
        SELECT seq FROM seq_1_to_3
        VALUES (1, 'a'), (2, 'b')
        WITH x AS (SELECT 7 AS y) SELECT y FROM x
        SHOW VARIABLES LIKE 'autocommit'
        SHOW DATABASES LIKE 'nosuch'
        EXPLAIN SELECT 1
        DO 1
        SELECT @@autocommit, @@tx_read_only, @@in_transaction
        SELECT DATABASE()
        SELECT SLEEP(0)
        SET @a = 5
        SELECT @a
        SET nosuch = 1
        SET NAMES latin1
        SELECT 'ü'
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine'
    """,
    "transactions": """
        CREATE TABLE t (id INT PRIMARY KEY, a INT)
        BEGIN
        COMMIT
        ROLLBACK
        BEGIN
        INSERT INTO t VALUES (1, 1)
        SELECT @@in_transaction, @@autocommit, @@tx_read_only
        SAVEPOINT s
        INSERT INTO t VALUES (2, 2)
        ROLLBACK TO s
        ROLLBACK TO nosuch
        RELEASE SAVEPOINT s
        INSERT INTO t VALUES (1, 1)
        SELECT * FROM t
        COMMIT
        START TRANSACTION READ ONLY
        SELECT * FROM t
        INSERT INTO t VALUES (3, 3)
        ROLLBACK
        START TRANSACTION WITH CONSISTENT SNAPSHOT
        UPDATE t SET a = 9
        COMMIT
        BEGIN
        INSERT INTO t VALUES (4, 4)
        BEGIN
        INSERT INTO t VALUES (5, 5)
        ROLLBACK
        SELECT * FROM t ORDER BY id
        BEGIN
        INSERT INTO t VALUES (6, 6)
        COMMIT AND CHAIN
        INSERT INTO t VALUES (7, 7)
        ROLLBACK AND CHAIN
        SELECT @@in_transaction
        COMMIT
        BEGIN
        INSERT INTO t VALUES (8, 8)
        CREATE TABLE u (a INT)
        ROLLBACK
        SELECT * FROM t ORDER BY id
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED
        START TRANSACTION
        SELECT COUNT(*) FROM t
        COMMIT
        SET TRANSACTION READ ONLY
        BEGIN
        INSERT INTO t VALUES (20, 20)
        COMMIT
        INSERT INTO t VALUES (21, 21)
        BEGIN
        SET TRANSACTION READ ONLY
        COMMIT
        BEGIN
        SELECT * FROM nosuch
        SELECT @@in_transaction
        ROLLBACK
    """,
    "autocommit off": """
        CREATE TABLE t (id INT PRIMARY KEY, a INT)
        SET autocommit = 0
        SELECT 1
        SELECT @@autocommit, @@in_transaction
        INSERT INTO t VALUES (1, 1)
        SELECT @@in_transaction
        ROLLBACK
        SELECT * FROM t
        INSERT INTO t VALUES (2, 2)
        COMMIT
        INSERT INTO t VALUES (3, 3)
        SET autocommit = 1
        SELECT * FROM t ORDER BY id
        SET autocommit = 0
        BEGIN
        INSERT INTO t VALUES (4, 4)
        ROLLBACK
        SELECT * FROM t ORDER BY id
        SET autocommit = DEFAULT
    """,
    "routines": """
        CREATE TABLE t (id INT PRIMARY KEY, a INT)
        CREATE PROCEDURE p(n INT) BEGIN INSERT INTO t VALUES (n, n); SELECT n; SELECT n + 1; END
        CREATE FUNCTION f(n INT) RETURNS INT DETERMINISTIC RETURN n + 1
        CREATE PROCEDURE o(OUT n INT) SET n = 7
        CALL p(1)
        CALL p(1)
        SELECT f(2)
        CALL o(@x)
        SELECT @x
        BEGIN
        CALL p(2)
        ROLLBACK
        SELECT * FROM t
        PREPARE s FROM 'SELECT ? + 1'
        EXECUTE s USING @x
        DEALLOCATE PREPARE s
        CREATE TEMPORARY TABLE tmp (a INT)
        INSERT INTO tmp VALUES (1)
        SELECT * FROM tmp
        DROP TEMPORARY TABLE tmp
        SELECT GET_LOCK('mine', 0), RELEASE_LOCK('mine')
        LOCK TABLES t WRITE
        INSERT INTO t VALUES (9, 9)
        UNLOCK TABLES
        CREATE VIEW v AS SELECT id FROM t
        SELECT * FROM v ORDER BY id
        DESCRIBE v
        CREATE SEQUENCE q
        SELECT NEXTVAL(q)
        ANALYZE TABLE t
        CHECK TABLE t
        FLUSH TABLES
        HANDLER t OPEN
        HANDLER t READ FIRST
        HANDLER t CLOSE
        USE nosuch
        XA START '$schema'
        XA END '$schema'
        XA ROLLBACK '$schema'
        DROP PROCEDURE p
    """,
    "several at once": """
        CREATE TABLE t (id INT PRIMARY KEY)
        INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT * FROM t
        SELECT 1; SELECT * FROM nosuch; SELECT 2
        BEGIN; INSERT INTO t VALUES (3)
        SELECT @@in_transaction
        ROLLBACK; SELECT * FROM t
        SELECT 1;
    """,
}


@pytest.fixture
def twins(cluster: Cluster, make_proxy: MakeProxy, schema: str) -> Iterator[tuple[Recording, Recording]]:
    """A direct connection to node1, and one by way of a proxy that has no other node, each in a schema of its own."""
    other = f"{schema[:-1]}{chr(ord(schema[-1]) + 17)}"  # of the same length, since names are part of the answers
    cluster[1].query(f"CREATE DATABASE {other}")
    one = make_proxy({"cluster": {"nodes": [cluster[1].address]}})
    multi = {"client_flag": pymysql.constants.CLIENT.MULTI_STATEMENTS}
    with (
        contextlib.closing(recording(cluster[1].port, schema, **multi)) as direct,
        contextlib.closing(recording(one.port, other, **multi)) as proxied,
    ):
        proxied.replaced = (other.encode(), schema.encode())  # type: ignore[attr-defined]
        yield direct, proxied
    cluster[1].query(f"DROP DATABASE {other}")


def same(direct: Recording, proxied: Recording, ask: Callable[[Recording], list[bytes]]) -> str:
    """What differs in the answers, empty if nothing does."""
    old, new = proxied.replaced  # type: ignore[attr-defined]
    expected = ask(direct)
    assert expected, "no answer was recorded"
    found = [packet.replace(old, new) for packet in ask(proxied)]
    return "" if expected == found else f"direct {expected}\n  proxied {found}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_answers_are_the_same_to_the_byte(script: str, twins: tuple[Recording, Recording]) -> None:
    different = []
    for line in SCRIPTS[script].strip().splitlines():
        sql = line.strip()
        if differs := same(*twins, lambda c, sql=sql: c.replies(sql.replace("$schema", c.schema))):  # type: ignore[misc]
            different.append(f"{sql}\n  {differs}")
    assert not different, "\n".join(different)


def test_the_greeting_is_that_of_a_node(cluster: Cluster, proxy: Proxy) -> None:
    """Some clients choose their character set by its collation."""
    found = []
    for port in (cluster[1].port, proxy.port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            version, _, rest = sock.recv(1000)[5:].partition(b"\0")
        found.append((version, rest[15], rest[16:18]))  # the collation, the status
    assert found[0] == found[1]


def test_what_brings_back_the_character_set_of_a_login_brings_back_what_columns_tell_of_it(direct: Direct) -> None:
    def told() -> int:
        with node.cursor() as cursor:
            cursor.execute("SELECT 'a'")
            return int(cursor._result.fields[0].charsetnr)  # type: ignore[union-attr]

    node = direct(1)
    rows_of(node, "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci")
    before = told()
    ((back,),) = rows_of(node, CHARSET.decode())
    node._execute_command(0x1F, b"")
    node._read_ok_packet()
    rows_of(node, back)
    assert told() == before


def test_other_commands_are_answered_the_same(twins: tuple[Recording, Recording]) -> None:
    for connection in twins:
        connection.replies("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(9) DEFAULT 'x')")
    commands = [
        (COMMAND.COM_PING, b""),
        (COMMAND.COM_INIT_DB, b"mysql"),
        (COMMAND.COM_INIT_DB, b"nosuch"),
        (COMMAND.COM_SET_OPTION, b"\x01\x00"),
        (COMMAND.COM_SET_OPTION, b"\x00\x00"),
        (0x1F, b""),  # COM_RESET_CONNECTION
        (COMMAND.COM_STMT_PREPARE, b"SELECT"),
        (COMMAND.COM_STMT_EXECUTE, b"\x63\x00\x00\x00\x00\x01\x00\x00\x00"),
        (COMMAND.COM_SLEEP, b""),
        (0x99, b""),
    ]
    different = [
        f"{code:#x} {payload!r}: {differs}"
        for code, payload in commands
        if (differs := same(*twins, lambda connection: connection.command(code, payload)))  # noqa: B023
    ]
    assert not different, "\n".join(different)


# -- sizes ------------------------------------------------------------------------------------------------------------


def numbers(digits: int) -> str:
    """A derived table of the numbers from 1 to ten to the power of `digits`, in no order."""
    digit = " UNION ALL ".join(f"SELECT {d} AS d" for d in range(10))
    value = " + ".join(f"d{place}.d * {10**place}" for place in range(digits))
    return f"(SELECT 1 + {value} AS seq FROM {', '.join(f'({digit}) d{place}' for place in range(digits))}) numbers"


def test_many_rows(client: Connection) -> None:
    rows = rows_of(client, f"SELECT seq, REPEAT('x', seq % 50) FROM {numbers(5)} ORDER BY seq")
    assert len(rows) == 100_000
    assert rows[0] == (1, "x")
    assert all(row == (i, "x" * (i % 50)) for i, row in enumerate(rows, 1))


@pytest.mark.parametrize("size", [0xFFFFFF - 5, 0xFFFFFF - 4, 0xFFFFFF, 40 * MIB])
def test_rows_of_several_packets(size: int, roomy: Proxy) -> None:
    with contextlib.closing(roomy.connect(max_allowed_packet=BIG)) as connection:
        ((value, after),) = rows_of(connection, f"SELECT REPEAT('x', {size}), 'end'")
        assert (len(value), after) == (size, "end")
        assert rows_of(connection, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("size", [0xFFFFFF - 20, 0xFFFFFF, 40 * MIB])
def test_requests_of_several_packets(size: int, roomy: Proxy, schema: str) -> None:
    with contextlib.closing(roomy.connect(database=schema, max_allowed_packet=BIG)) as connection:
        rows_of(connection, "CREATE TABLE t (id INT PRIMARY KEY, a LONGTEXT)")
        rows_of(connection, f"INSERT INTO t VALUES (1, '{'x' * size}')")
        assert rows_of(connection, "SELECT LENGTH(a) FROM t") == [(size,)]


def test_a_request_above_the_nodes_limit_is_refused(make_proxy: MakeProxy) -> None:
    proxy = make_proxy()
    with contextlib.closing(proxy.connect(max_allowed_packet=BIG)) as connection:
        with pytest.raises(pymysql.MySQLError) as refused:
            rows_of(connection, f"SELECT '{'x' * (17 * MIB)}'")
        assert refused.value.args[0] in (1153, 2013)
    with contextlib.closing(proxy.connect()) as connection:
        assert rows_of(connection, "SELECT 1") == [(1,)]


def resident(pid: int) -> int:
    """Bytes of memory that the process has."""
    with open(f"/proc/{pid}/status") as status:
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read())
    assert found is not None
    return int(found[1]) * 1024


def test_a_client_that_does_not_read_costs_no_memory(make_proxy: MakeProxy, schema: str) -> None:
    proxy = make_proxy()

    def taken() -> float:
        return proxy.metrics().total("multiwriter_bytes_total", side="backend", direction="in")

    with contextlib.closing(proxy.connect(database=schema)) as warm:
        rows_of(warm, f"SELECT REPEAT('x', 1000) FROM {numbers(4)}")
    before = resident(proxy.pid)
    connection = proxy.connect(database=schema)
    connection._execute_command(COMMAND.COM_QUERY, f"SELECT REPEAT('x', 1000) FROM {numbers(6)}")
    seen = [-1.0]

    def stopped() -> bool:
        seen.append(taken())
        return seen[-1] - seen[0] > 0 and seen[-1] - seen[-2] < 10_000

    wait_until(stopped, 10, lambda: f"the proxy reads on: {seen}", every=0.5)
    assert resident(proxy.pid) - before < 8 * MIB
    # Others are served meanwhile, and the one that reads on gets everything.
    with contextlib.closing(proxy.connect()) as other:
        assert rows_of(other, "SELECT 1") == [(1,)]
    raw = connection._sock
    total, buffer = 0, bytearray(MIB)
    while total < 100 * MIB:
        total += raw.recv_into(buffer)
    assert resident(proxy.pid) - before < 8 * MIB
    connection._force_close()
    wait_until(
        lambda: proxy.metrics().total("multiwriter_backends", state="leased") == 0, 5, lambda: proxy.log_text()[-2000:]
    )


# -- sessions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def moving_proxy(cluster: Cluster, tmp_path: Path) -> Iterator[MovingProxy]:
    """Sessions go to another node at each statement, where they may."""
    proxy = MovingProxy(tmp_path / "moving", [node.address for node in cluster], flavor=cluster.flavor)
    try:
        proxy.start()
        yield proxy
        assert proxy.running, proxy.log_text()[-3000:]
    finally:
        proxy.kill()


@pytest.fixture
def mover(moving_proxy: MovingProxy, schema: str) -> Iterator[Connection]:
    with contextlib.closing(moving_proxy.connect(database=schema)) as connection:
        yield connection


@contextlib.contextmanager
def busy(proxy: Proxy, ledger: Ledger, clients: int = 4) -> Iterator[None]:
    """Others write meanwhile, so that nodes have something to apply."""
    with Work(proxy.port, [ledger.increment] * clients) as work:
        yield
    assert not work.errors, work.seen()


@pytest.fixture
def ledger(direct: Direct, schema: str) -> Ledger:
    ledger = Ledger(schema)
    ledger.create(direct(1), direct(2), direct(3))
    return ledger


def test_a_session_reads_what_it_wrote_wherever_it_is(
    mover: Connection, ledger: Ledger, moving_proxy: MovingProxy
) -> None:
    rows_of(mover, "CREATE TABLE mine (id INT PRIMARY KEY, a INT, at INT)")
    rows_of(mover, "INSERT INTO mine VALUES (1, 0, 0)")
    stale, moves = [], 0
    with busy(moving_proxy, ledger):
        for number in range(1, 1001):
            rows_of(mover, f"UPDATE mine SET a = {number}, at = @@port WHERE id = 1")
            ((value, written, read),) = rows_of(mover, "SELECT a, at, @@port FROM mine WHERE id = 1")
            moves += written != read
            if value != number:
                stale.append((number, value, written, read))
    assert not stale, f"{len(stale)} of 1000: {stale[:5]}"
    assert moves > 900


@pytest.mark.parametrize("first", ["SELECT 1", "SAVEPOINT early"])
def test_a_savepoint_hides_no_conflict(first: str, client: Connection, direct: Direct, cluster: Cluster) -> None:
    """The transaction is undone while it idles, for one that another node committed; SAVEPOINT comes next."""
    rows_of(client, "CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    rows_of(client, "INSERT INTO t VALUES (1, 0), (2, 0)")
    nodes = [direct(number, database=client.db.decode()) for number in (1, 2, 3)]  # type: ignore[union-attr]
    for node in nodes:
        rows_of(node, cluster.causal)
    rows_of(client, "BEGIN")
    rows_of(client, first)
    rows_of(client, "UPDATE t SET a = a + 1 WHERE id = 1")
    writing = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0"
    elsewhere = next(node for node in nodes if rows_of(node, writing) == [(0,)])
    rows_of(elsewhere, "UPDATE t SET a = a + 10 WHERE id = 1")
    assert [rows_of(node, "SELECT a FROM t WHERE id = 1") for node in nodes] == [[(10,)]] * 3
    rows_of(client, "SAVEPOINT late")
    rows_of(client, "UPDATE t SET a = a + 1 WHERE id = 2")
    rows_of(client, "COMMIT")
    assert [rows_of(node, "SELECT a FROM t ORDER BY id") for node in nodes] == [[(11,), (1,)]] * 3


def test_a_commit_that_lost_leaves_no_metadata_lock(client: Connection, direct: Direct) -> None:
    """MySQL keeps those of such a transaction until a ROLLBACK: no node could apply a change of the table."""
    rows_of(client, "CREATE TABLE t (id INT PRIMARY KEY, a INT)")
    rows_of(client, "INSERT INTO t VALUES (1, 0)")
    nodes = [direct(number, database=client.db.decode()) for number in (1, 2, 3)]  # type: ignore[union-attr]
    writing = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0"
    for number in range(1, 9):
        # What they show of transactions is some moments old.
        wait_until(lambda: not any(rows_of(node, writing) != [(0,)] for node in nodes), 10, lambda: "one stays open")
        rows_of(client, "BEGIN")
        rows_of(client, "UPDATE t SET a = a + 1 WHERE id = 1")
        wait_until(lambda: any(rows_of(node, writing) != [(0,)] for node in nodes), 10, lambda: "none is open")
        elsewhere = next(node for node in nodes if rows_of(node, writing) == [(0,)])
        rows_of(elsewhere, "UPDATE t SET a = a + 10 WHERE id = 1")
        rows_of(client, "COMMIT")
        assert rows_of(client, "SELECT a FROM t") == [(11 * number,)]
    rows_of(nodes[0], "ALTER TABLE t ADD COLUMN b INT")
    for node in nodes:
        wait_until(lambda node=node: bool(rows_of(node, "SHOW COLUMNS FROM t LIKE 'b'")), 10, lambda: "no change comes")  # type: ignore[misc]


def test_a_statement_that_failed_leaves_no_metadata_lock(proxy: Proxy, direct: Direct, schema: str) -> None:
    """With autocommit off servers keep those until a COMMIT, also where no transaction has begun."""
    for number in range(6):  # each from where it happens to be; the node of changes is one
        with contextlib.closing(proxy.connect(database=schema, autocommit=False, read_timeout=20)) as connection:
            with pytest.raises(pymysql.ProgrammingError):
                rows_of(connection, f"DESCRIBE t{number}")
            connection.ping()
            rows_of(connection, f"CREATE TABLE t{number} (id INT PRIMARY KEY)")
            assert rows_of(connection, f"SELECT COUNT(*) FROM t{number}") == [(0,)]
    for number in (1, 2, 3):
        node = direct(number, database=schema)
        wait_until(lambda node=node: len(rows_of(node, "SHOW TABLES")) == 6, 10, lambda: "no change comes")  # type: ignore[misc]


def test_ids_and_prepared_statements_go_along(moving_proxy: MovingProxy, ledger: Ledger, schema: str) -> None:
    """LAST_INSERT_ID(), a prepared statement with long data and the session's variables, on all nodes."""
    with contextlib.closing(
        mysql.connector.connect(
            host="127.0.0.1", port=moving_proxy.port, user="app", password="app", database=schema, autocommit=True,
            use_pure=True,
        )
    ) as connection, busy(moving_proxy, ledger):  # fmt: skip
        plain = connection.cursor()
        plain.execute("CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT, a LONGBLOB)")
        plain.execute("SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'")
        insert, select = connection.cursor(prepared=True), connection.cursor(prepared=True)
        nodes = set()
        for number in range(200):
            value = bytes((number,)) * (1 + number * 40)
            insert.execute("INSERT INTO mine (n, a) VALUES (?, ?)", (number, value))
            made = insert.lastrowid
            plain.execute('SELECT LAST_INSERT_ID(), @@time_zone AS "zone", @@port')
            (last, zone, node), *_ = plain.fetchall()
            nodes.add(node)
            assert (last, zone) == (made, "+03:00")
            select.execute("SELECT n, a FROM mine WHERE id = ?", (made,))
            assert [(n, bytes(a)) for n, a in select.fetchall()] == [(number, value)]
        assert len(nodes) == 3


def test_a_statement_that_is_prepared_anew_means_the_tables_as_they_are(proxy: Proxy, schema: str) -> None:
    with contextlib.closing(
        mysql.connector.connect(
            host="127.0.0.1", port=proxy.port, user="app", password="app", database=schema, autocommit=True,
            use_pure=True,
        )
    ) as connection:  # fmt: skip
        plain = connection.cursor()
        for kind, value in (("INT", 7), ("VARCHAR(20)", "007")):
            plain.execute("DROP TABLE IF EXISTS renewed")
            plain.execute(f"CREATE TABLE renewed (id INT AUTO_INCREMENT PRIMARY KEY, value {kind})")
            insert = connection.cursor(prepared=True)
            insert.execute("INSERT INTO renewed (value) VALUES (?)", (value,))
            insert.close()
            plain.execute("SELECT value FROM renewed")
            assert plain.fetchall() == [(value,)]


@pytest.mark.parametrize(
    ("reason", "leaves", "shows", "value"),
    [
        ("temporary_table", "CREATE TEMPORARY TABLE tmp SELECT 5 AS a", "SELECT a FROM tmp", 5),
        ("user_variable", "SET @mine = LENGTH('12345')", "SELECT @mine", 5),
        ("get_lock", "SELECT GET_LOCK('mine', 0)", "SELECT IS_USED_LOCK('mine') = CONNECTION_ID()", 1),
    ],
)
def test_what_cannot_be_carried_keeps_its_backend(
    reason: str, leaves: str, shows: str, value: int, mover: Connection, moving_proxy: MovingProxy
) -> None:
    rows_of(mover, leaves)
    assert {rows_of(mover, shows)[0][0] for _ in range(200)} == {value}
    assert moving_proxy.metrics().total("multiwriter_pins_total", reason=reason) == 1


def test_the_next_session_finds_nothing_of_it(proxy: Proxy, schema: str) -> None:
    for _ in range(20):
        with contextlib.closing(proxy.connect(database=schema)) as connection:
            assert rows_of(connection, "SELECT @mine, @@sql_mode = @@GLOBAL.sql_mode") == [(None, 1)]
            rows_of(connection, "SET @mine = 1")
            rows_of(connection, "SET sql_mode = ''")
            rows_of(connection, "CREATE TEMPORARY TABLE tmp (a INT)")


def test_reset_and_change_user(proxy: Proxy, schema: str) -> None:
    with contextlib.closing(connect(proxy.port, db=schema)) as connection:
        connection.query("SET @mine = 1")
        connection.query("SET time_zone = '+01:00'")
        connection.change_user("app", "app", schema)
        cursor = connection.cursor()
        cursor.execute("SELECT @mine, @@time_zone = @@GLOBAL.time_zone, DATABASE(), CURRENT_USER()")
        assert cursor.fetchall() == ((None, 1, schema, "app@%"),)
        with pytest.raises(MySQLdb.OperationalError) as refused:
            connection.change_user("app", "wrong", schema)
        assert refused.value.args[0] == 1045


# -- interruptions ----------------------------------------------------------------------------------------------------


def test_a_query_is_killed_by_the_id_that_its_client_knows(proxy: Proxy) -> None:
    with contextlib.closing(proxy.connect()) as victim, contextlib.closing(proxy.connect()) as killer:
        own = victim.thread_id()
        errors: list[Exception] = []

        def sleep() -> None:
            try:
                rows_of(victim, "SELECT SLEEP(30) FROM DUAL WHERE SLEEP(30) = 0")
            except pymysql.MySQLError as error:
                errors.append(error)

        sleeping = threading.Thread(target=sleep, daemon=True)
        began = time.monotonic()
        sleeping.start()

        def killed() -> bool:
            rows_of(killer, f"KILL QUERY {own}")
            sleeping.join(0.2)
            return not sleeping.is_alive()

        wait_until(killed, 10, lambda: "it sleeps on")
        assert time.monotonic() - began < 30
        assert errors == [] or errors[0].args[0] == 1317
        assert rows_of(victim, "SELECT 1") == [(1,)]
        rows_of(killer, f"KILL {own}")
        with pytest.raises(pymysql.MySQLError):
            rows_of(victim, "SELECT 1")


def test_control_c_in_the_mysql_client(proxy: Proxy) -> None:
    with subprocess.Popen(
        ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{proxy.port}", "-uapp", "-papp", "-Ne",
         "SELECT SLEEP(30) + 7"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        wait_until(
            lambda: proxy.metrics().total("multiwriter_backends", state="leased") > 0, 10, lambda: "it does not sleep"
        )
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=10)
    assert "Query execution was interrupted" in text or "8" in text, text


def test_a_client_that_vanishes_leaves_no_lock(proxy: Proxy, ledger: Ledger) -> None:
    gone = proxy.connect()
    rows_of(gone, "BEGIN")
    rows_of(gone, f"UPDATE {ledger.counter} SET value = 7 WHERE id = 1")
    rows_of(gone, f"SELECT * FROM {ledger.account} FOR UPDATE")
    gone._force_close()
    with contextlib.closing(proxy.connect()) as connection:
        began = time.monotonic()
        rows_of(connection, f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
        rows_of(connection, f"SELECT * FROM {ledger.account} FOR UPDATE")
        assert time.monotonic() - began < 20  # the nodes would wait for a lock for 50 s
        assert rows_of(connection, f"SELECT value FROM {ledger.counter} WHERE id = 1") == [(1,)]


def test_no_backend_is_an_error_in_time(make_proxy: MakeProxy) -> None:
    few = make_proxy({"pool": {"max_backends": 2, "acquire_timeout": "500ms"}})
    refused: list[pymysql.MySQLError] = []
    with contextlib.closing(few.connect()) as late:
        began = time.monotonic()
        with contextlib.ExitStack() as holders:
            for _ in range(7):  # three nodes have room for six
                try:
                    rows_of(holders.enter_context(contextlib.closing(few.connect())), "SET @mine = NOW()")
                except pymysql.MySQLError as error:
                    refused.append(error)
                    break
            assert [error.args[0] for error in refused] == [1040]
            assert time.monotonic() - began < 5
        wait_until(lambda: _answers(late), 5, lambda: "the places of those that have gone are not given to others")


def _answers(connection: Connection) -> bool:
    try:
        return rows_of(connection, "SELECT 1") == [(1,)]
    except pymysql.MySQLError:
        return False


# -- the end ----------------------------------------------------------------------------------------------------------


def test_sigterm_lets_transactions_finish(make_proxy: MakeProxy, ledger: Ledger) -> None:
    proxy = make_proxy()
    idle, working = proxy.connect(), proxy.connect()
    rows_of(working, "BEGIN")
    rows_of(working, f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
    assert proxy.process is not None
    proxy.process.signal(signal.SIGTERM)
    wait_until(lambda: not _answers(idle), 5, lambda: "an idle client is kept")
    with pytest.raises(pymysql.MySQLError):
        proxy.connect()
    rows_of(working, f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
    rows_of(working, "COMMIT")
    assert proxy.process.wait(10) == 0, proxy.log_text()[-3000:]


def test_sigterm_does_not_wait_for_ever(make_proxy: MakeProxy, ledger: Ledger, direct: Direct) -> None:
    proxy = make_proxy({"limits": {"drain_timeout": "1s"}})
    stuck = proxy.connect()
    rows_of(stuck, "BEGIN")
    rows_of(stuck, f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
    began = time.monotonic()
    assert proxy.stop(10) == 0, proxy.log_text()[-3000:]
    assert time.monotonic() - began < 20  # usually it is 30 s
    # What it had not committed is gone, and locks nothing.
    connection = direct(1)
    rows_of(connection, f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
    assert rows_of(connection, f"SELECT value FROM {ledger.counter} WHERE id = 1") == [(1,)]
