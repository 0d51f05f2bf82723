"""The console, asked by a real client. Its cluster is two nodes that nobody runs."""

import asyncio
import re
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


async def test_conflicts_and_commits_in_doubt_are_tables_of_their_own(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        node = service.nodes[0]
        metrics = service.metrics
        metrics.conflicts[node, "commit", "conflict", "shop.stock", "row"] += 3
        metrics.retries[node, "commit", "conflict", "shop.stock", "row", "ok"] += 2
        metrics.markers_written[node] += 5
        metrics.commits_unmarked["warnings"] += 1
        metrics.marker_lookups["committed"] += 4
        assert await ask(connection, "SELECT * FROM conflicts") == [
            {"on_table": "shop.stock", "chosen_by": "row", "node": node, "phase": "commit", "reason": "conflict",
             "times": 3}
        ]  # fmt: skip
        told = await ask(connection, "SELECT on_table, chosen_by, result, times FROM retries WHERE reason = 'conflict'")
        assert told == [{"on_table": "shop.stock", "chosen_by": "row", "result": "ok", "times": 2}]
        marked = await ask(connection, "SELECT what, detail, times FROM marked WHERE times > 0 ORDER BY times")
        assert marked == [
            {"what": "unmarked", "detail": "warnings", "times": 1},
            {"what": "looked up", "detail": "committed", "times": 4},
            {"what": "marked", "detail": node, "times": 5},
        ]
        unknown = await ask(connection, "SELECT SUM(times) AS left_over FROM marked WHERE what = 'unknown'")
        assert unknown == [{"left_over": 0}]


# What has to be seen of conflicts and of commits in doubt: the metric and its labels.
SEEN = {
    "multiwriter_conflicts": {"table", "key", "node", "phase", "reason"},
    "multiwriter_retries": {"table", "key", "node", "phase", "reason", "result"},
    "multiwriter_replay_attempts": set(),
    "multiwriter_unreplayable_transactions": {"reason"},
    "multiwriter_hot": {"what", "table", "owner", "state"},
    "multiwriter_queue_waiting": set(),
    "multiwriter_queue_wait_seconds": {"result"},
    "multiwriter_commit_markers": {"node"},
    "multiwriter_commits_unmarked": {"reason"},
    "multiwriter_marker_lookups": {"answer"},
    "multiwriter_marker_lookup_seconds": set(),
    "multiwriter_unknown_outcomes": {"node"},
}


async def test_what_has_to_be_seen_is_in_a_scrape_and_in_the_console(tmp_path: Path) -> None:
    async with started(tmp_path) as service, operator(service) as connection:
        metrics, node = service.metrics, service.nodes[0]
        metrics.conflicts[node, "commit", "conflict", "shop.stock", "row"] += 1
        metrics.retries[node, "commit", "conflict", "shop.stock", "row", "ok"] += 1
        metrics.unreplayable["procedure"] += 1
        metrics.commits_unmarked["warnings"] += 1
        metrics.queue_seconds["turn"].observe(0.1)
        metrics.hot_now = lambda: {("key", "shop.stock", node, "owned"): 1}
        text = service.exposition.render().decode()
        for name, labels in SEEN.items():
            (kind,) = re.findall(rf"^# TYPE {name}(?:_total)? (\w+)", text, re.MULTILINE)
            suffix = {"counter": "_total", "gauge": "", "histogram": "_count"}[kind]
            rows = await ask(connection, f"SELECT labels, value FROM metrics WHERE name = '{name}{suffix}'")
            assert rows, name
            shown = {label.partition("=")[0] for row in rows for label in filter(None, row["labels"].split(","))}
            assert shown == labels, name


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
