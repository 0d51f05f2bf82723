"""The console, asked by a real client. Its cluster is two nodes that nobody runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiomysql
import pymysql
import pytest

import config
from proxy.console.tables import TABLES
from proxy.service import Service

ACCOUNT = {"user": "admin", "password": "let me in"}


@asynccontextmanager
async def started(tmp_path: Path) -> AsyncIterator[Service]:
    with socket.socket() as one, socket.socket() as other:
        for sock in (one, other):
            sock.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        ports = [sock.getsockname()[1] for sock in (one, other)]
        service = Service(
            config.loads(f"""
            [cluster]
            nodes = ["127.0.0.1:{ports[0]}", "127.0.0.1:{ports[1]}"]
            user = "monitor"
            password = "monitor"
            [accounts]
            cluster = false
            [[endpoint]]
            name = "write"
            socket = "{tmp_path}/mysql.sock"
            [[user]]
            name = "app"
            password = "app"
            [console]
            listen = "127.0.0.1:0"
            socket = "{tmp_path}/console.sock"
            password = "{ACCOUNT["password"]}"
            """)
        )
        await service.start()
        try:
            yield service
        finally:
            await service.drain()


@asynccontextmanager
async def operator(service: Service, **more: Any) -> AsyncIterator[aiomysql.Connection]:
    assert service.console is not None
    (port,) = service.console.listener.ports
    connection = await aiomysql.connect(host="127.0.0.1", port=port, **{**ACCOUNT, **more})
    try:
        yield connection
    finally:
        connection.close()


async def ask(connection: aiomysql.Connection, sql: str) -> list[dict[str, Any]]:
    async with connection.cursor(aiomysql.DictCursor) as cursor:
        await cursor.execute(sql)
        rows: list[dict[str, Any]] = await cursor.fetchall()
        return rows


async def refused(connection: aiomysql.Connection, sql: str) -> tuple[int, str]:
    with pytest.raises(pymysql.MySQLError) as failure:
        await ask(connection, sql)
    code, text = failure.value.args
    return code, text


async def test_nodes_are_rows(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        rows = await ask(connection, "SELECT name, state, reason FROM nodes WHERE state <> 'up' ORDER BY name")
        assert [row["name"] for row in rows] == sorted(node.name for node in service.membership)
        assert {row["state"] for row in rows} == {"down"}
        assert [row["reason"] for row in rows] == [service.membership[row["name"]].reason for row in rows]
        counted = await ask(connection, "SELECT state, COUNT(*) AS nodes FROM multiwriter.nodes GROUP BY state")
        assert counted == [{"state": "down", "nodes": 2}]


async def test_each_table_can_be_read_and_described(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        shown = await ask(connection, "SHOW TABLES")
        assert {next(iter(row.values())) for row in shown} == set(TABLES)
        for table in TABLES.values():
            described = await ask(connection, f"DESCRIBE {table.name}")
            assert [row["Field"] for row in described] == [column.name for column in table.columns]
            for row in await ask(connection, f"SELECT * FROM {table.name}"):
                assert list(row) == [column.name for column in table.columns]


async def test_metrics_are_those_of_a_scrape(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        rows = await ask(connection, "SELECT * FROM metrics WHERE name = 'multiwriter_node_state'")
        assert len(rows) == len(service.membership) * 5
        assert sum(row["value"] for row in rows) == len(service.membership)


async def test_a_session_shows_why_it_is_pinned_and_can_be_killed(tmp_path: Path) -> None:
    cut: list[int] = []

    def client(number: int, pinned: str | None, state: str) -> Any:
        relay = SimpleNamespace(
            request=None, task=None, lease=None, pinned=pinned, state=SimpleNamespace(schema=b"shop"),
            transaction=SimpleNamespace(stage=None), frontend=SimpleNamespace(abort=lambda: cut.append(number)),
        )  # fmt: skip
        return SimpleNamespace(
            login=SimpleNamespace(connection_id=number, account=SimpleNamespace(name="app"), host="10.0.0.9"),
            relay=relay, endpoint=SimpleNamespace(name="write"), idle_for=lambda now: 2.5, shut_down=lambda: None,
        )  # fmt: skip

    async with started(tmp_path) as service, operator(service) as connection:
        service.sessions.update({7: client(7, "temporary-table", "idle"), 8: client(8, None, "idle")})
        try:
            rows = await ask(connection, "SELECT id, user, host, db, pinned FROM sessions WHERE pinned IS NOT NULL")
            assert rows == [
                {"id": 7, "user": "app", "host": "10.0.0.9", "db": "shop", "pinned": "temporary-table"},
            ]
            await ask(connection, "KILL 8")
            assert cut == [8]
            assert await refused(connection, "KILL 9") == (1094, "Unknown thread id: 9")
        finally:
            service.sessions.clear()


async def test_a_node_is_drained_until_the_operator_gives_it_back(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        node = next(iter(service.membership))
        await ask(connection, f"DRAIN NODE '{node.name}'")
        assert node.drained
        assert await ask(connection, "SELECT name FROM nodes WHERE drained = 1") == [{"name": node.name}]
        await ask(connection, f"undrain {node.name};")
        assert not node.drained
        code, text = await refused(connection, "DRAIN '10.1.1.1:3306'")
        assert code == 1105
        assert node.name in text


@pytest.mark.parametrize(
    ("sql", "code", "part"),
    [
        ("SELECT * FROM nowhere", 1146, "'multiwriter.nowhere' doesn't exist"),
        ("SELECT * FROM other.nodes", 1146, "'other.nodes' doesn't exist"),
        ("SELECT nothing FROM nodes", 1064, "nothing"),
        ("SELECT FROM WHERE", 1064, "cannot run"),
        ("UPDATE nodes SET name = 'x'", 1235, "DRAIN"),
        ("DROP TABLE nodes", 1235, "DRAIN"),
    ],
)
async def test_what_it_cannot_do_is_an_error_and_the_next_command_is_answered(
    sql: str, code: int, part: str, tmp_path: Path
) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        found, text = await refused(connection, sql)
        assert found == code
        assert part in text
        assert await ask(connection, "SELECT COUNT(*) AS n FROM nodes") == [{"n": 2}]


async def test_what_clients_ask_by_themselves_is_answered(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service, db="multiwriter", autocommit=True) as connection:
        await connection.ping()
        await connection.set_charset("utf8mb4")
        await connection.select_db("multiwriter")
        assert await ask(connection, "SELECT DATABASE() AS db") == [{"db": "multiwriter"}]
        (row,) = await ask(connection, "SELECT @@version_comment LIMIT 1")
        assert "multiwriter" in next(iter(row.values()))
        assert await ask(connection, "SHOW WARNINGS") in ([], ())


async def test_only_its_own_account_gets_in(tmp_path: Path) -> None:
    async with started(tmp_path) as service:
        for account in ({"password": "wrong"}, {"user": "app", "password": "app"}):
            with pytest.raises(pymysql.OperationalError) as failure:
                async with operator(service, **account):
                    pass
            assert failure.value.args[0] == 1045
        assert service.metrics.logins["console", "denied"] == 2


async def test_it_listens_on_its_socket(tmp_path: Path) -> None:
    async with started(tmp_path) as service:
        path = tmp_path / "console.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        connection = await aiomysql.connect(unix_socket=str(path), **ACCOUNT)
        assert len(await ask(connection, "SELECT * FROM nodes")) == len(service.membership)
        connection.close()


@pytest.mark.parametrize("leave", [lambda w: w.close(), lambda w: w.write(b"\xff\xff\xff\x00" + b"x" * 10)])
async def test_one_who_leaves_or_talks_nonsense_leaves_nothing_behind(
    leave: Callable[[asyncio.StreamWriter], None], tmp_path: Path
) -> None:
    async with started(tmp_path) as service:
        assert service.console is not None
        async with operator(service) as connection:
            leave(connection._writer)
            async with asyncio.timeout(5):
                while service.console.listener.clients:
                    await asyncio.sleep(0.005)
