"""The clients that people use, each through the proxy: they connect, ask, transact, prepare, err, get every value."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Callable
from typing import Any

import aiomysql
import mysql.connector
import MySQLdb
import pymysql
import pytest

from tests.integration.conftest import Connection
from tests.support import sysbench
from tests.support.proxy import Proxy

ACCOUNT = {"host": "127.0.0.1", "user": "app", "password": "app"}
TEXT = "grün 東京 🐬 '\"\\%_\n\0end"
BIG = "y" * (5 << 20)
ROWS = [(1, TEXT, None), (2, "", "0.10"), (3, None, "-12345678.90")]
CREATE = "CREATE TABLE t (id INT PRIMARY KEY, a LONGTEXT CHARACTER SET utf8mb4, d DECIMAL(10, 2))"

Open = Callable[[Proxy, str], Any]


def by_pymysql(proxy: Proxy, schema: str) -> Any:
    return proxy.connect(database=schema, autocommit=False)


def by_mysqlclient(proxy: Proxy, schema: str) -> Any:
    return MySQLdb.connect(port=proxy.port, db=schema, charset="utf8mb4", **ACCOUNT)


def by_connector(proxy: Proxy, schema: str) -> Any:
    return mysql.connector.connect(port=proxy.port, database=schema, charset="utf8mb4", use_pure=True, **ACCOUNT)


def seen(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, decimals as text."""
    cursor.execute(sql)
    return [tuple(str(value) if type(value).__name__ == "Decimal" else value for value in row) for row in cursor]


@pytest.fixture
def table(schema: str, direct: Callable[..., Connection]) -> str:
    with direct(1, database=schema).cursor() as cursor:
        cursor.execute(CREATE)
    return schema


@pytest.mark.parametrize("opens", [by_pymysql, by_mysqlclient, by_connector])
def test_libraries(opens: Open, proxy: Proxy, table: str) -> None:
    with contextlib.closing(opens(proxy, table)) as connection:
        cursor = connection.cursor()
        for row in ROWS:
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s)", row)
        connection.rollback()
        assert seen(cursor, "SELECT * FROM t") == []
        for row in ROWS:
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s)", row)
        connection.commit()
        assert seen(cursor, "SELECT * FROM t ORDER BY id") == ROWS
        cursor.execute("INSERT INTO t VALUES (4, %s, NULL)", (BIG,))
        connection.commit()
        assert seen(cursor, "SELECT a FROM t WHERE id = 4") == [(BIG,)]
        for code, wrong in (
            (1064, "SELEC 1"),
            (1146, "SELECT * FROM nosuch"),
            (1062, "INSERT INTO t VALUES (1, '', 0)"),
            (1054, "SELECT nosuch FROM t"),
        ):
            with pytest.raises((pymysql.MySQLError, MySQLdb.Error, mysql.connector.Error)) as refused:
                cursor.execute(wrong)
            assert refused.value.args[0] == code
        assert seen(cursor, "SELECT COUNT(*) FROM t") == [(4,)]


@pytest.mark.parametrize("opens", [by_pymysql, by_mysqlclient, by_connector])
def test_wrong_passwords(opens: Open, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACCOUNT, "password", "wrong")
    with pytest.raises((pymysql.MySQLError, MySQLdb.Error, mysql.connector.Error), match=r"1045|Access denied"):
        opens(proxy, "mysql") if opens is not by_pymysql else proxy.connect(password="wrong")


def test_mysql_connector_prepares(proxy: Proxy, table: str) -> None:
    with contextlib.closing(by_connector(proxy, table)) as connection:
        insert = connection.cursor(prepared=True)
        for row in ROWS:
            insert.execute("INSERT INTO t VALUES (?, ?, ?)", row)
        connection.commit()
        select = connection.cursor(prepared=True)
        select.execute("SELECT a FROM t WHERE id = ?", (1,))
        assert select.fetchall() == [(TEXT,)]
        insert.execute("INSERT INTO t VALUES (?, ?, ?)", (4, BIG, None))
        connection.commit()
        select.execute("SELECT a FROM t WHERE id = ?", (4,))
        assert select.fetchall() == [(BIG,)]
        with pytest.raises(mysql.connector.Error) as refused:
            insert.execute("INSERT INTO t VALUES (?, ?, ?)", (1, "", None))
        assert refused.value.errno == 1062


async def test_aiomysql(proxy: Proxy, table: str) -> None:
    async with aiomysql.create_pool(
        port=proxy.port, db=table, charset="utf8mb4", minsize=1, maxsize=4, **ACCOUNT
    ) as pool:

        async def work(number: int) -> list[tuple[Any, ...]]:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("INSERT INTO t VALUES (%s, %s, NULL)", (number, TEXT))
                await connection.commit()
                await cursor.execute("INSERT INTO t VALUES (%s, 'undone', NULL)", (number + 100,))
                await connection.rollback()
                with pytest.raises(pymysql.err.IntegrityError):
                    await cursor.execute("INSERT INTO t VALUES (%s, '', NULL)", (number,))
                await connection.rollback()
                await cursor.execute("SELECT id, a FROM t WHERE id IN (%s, %s)", (number, number + 100))
                return list(await cursor.fetchall())

        answers = await asyncio.gather(*map(work, range(1, 21)))
    assert answers == [[(number, TEXT)] for number in range(1, 21)]


@pytest.fixture
def mysql_command(proxy: Proxy, table: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs statements in the mysql command line client."""

    def run(statements: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{proxy.port}", "-uapp", "-papp", table,
             "--default-character-set=utf8mb4", "-N", "-B", *options],
            input=statements, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    return run


def test_mysql_command(mysql_command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = mysql_command(
        """
        INSERT INTO t VALUES (1, 'grün 🐬', NULL);
        BEGIN; INSERT INTO t VALUES (2, 'undone', 1); ROLLBACK;
        SELECT id, a, d FROM t;
        PREPARE s FROM 'SELECT ? + 1'; SET @n = 6; EXECUTE s USING @n;
        DELIMITER $$
        CREATE PROCEDURE p() BEGIN SELECT 'one'; SELECT 'two'; END$$
        DELIMITER ;
        CALL p();
        USE mysql; SELECT DATABASE();
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1\tgrün 🐬\tNULL", "7", "one", "two", "mysql"]
    warned = mysql_command("SELECT CAST('x' AS SIGNED); SELECT 1;", "--show-warnings")
    assert "Warning (Code 1292)" in warned.stdout + warned.stderr
    failed = mysql_command("SELECT 1; SELECT * FROM nosuch; SELECT 2;")
    assert failed.returncode == 1
    assert failed.stdout.split() == ["1"]
    assert "ERROR 1146 (42S02) at line 1" in failed.stderr
    status = mysql_command("STATUS")
    assert "127.0.0.1 via TCP/IP" in status.stdout, status.stdout


def test_dump_and_restore(
    mysql_command: Callable[..., subprocess.CompletedProcess[str]], proxy: Proxy, table: str
) -> None:
    assert mysql_command(f"INSERT INTO t VALUES (1, {json.dumps('grün 🐬', ensure_ascii=False)}, 2.5)").returncode == 0
    dump = subprocess.run(
        ["mariadb-dump", "--no-defaults", "-h127.0.0.1", f"-P{proxy.port}", "-uapp", "-papp", "--single-transaction",
         "--routines", table],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    restored = mysql_command("DROP TABLE t;\n" + dump.stdout + "\nSELECT * FROM t;")
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.splitlines() == ["1\tgrün 🐬\t2.50"]


@pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
def test_sysbench_makes_its_tables(prepared: bool, proxy: Proxy, schema: str) -> None:
    sysbench.prepare(proxy.port, schema)
    report = sysbench.run(proxy.port, schema, "oltp_point_select", 2, threads=4, prepared=prepared)
    assert not report.fatal, report.text
    assert report.transactions > 100
    assert report.ignored == report.reconnects == 0
