"""The catalog as it is kept: read from a node, and again when a definition was changed there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from proxy.catalog import CatalogReader, Row
from proxy.login import ConnectFailed
from router.catalog import Catalog
from router.membership import Node

WAIT = "SET SESSION wsrep_sync_wait=15"


class Server:
    """A node's information schema, and what was asked of it."""

    def __init__(self, *tables: str) -> None:
        self.tables = list(tables)
        self.counters = {"Com_create_table": 0, "Com_create_temporary_table": 0}
        self.asked: list[str] = []
        self.failure: Exception | None = None

    async def open(self, node: Node) -> "Server":
        if self.failure is not None:
            raise self.failure
        return self

    async def query(self, sql: str) -> Sequence[Row]:
        if self.failure is not None:
            raise self.failure
        self.asked.append(sql)
        if sql.startswith("SHOW GLOBAL STATUS"):
            return [(name, str(value)) for name, value in self.counters.items()]
        if "information_schema.TABLES" in sql:
            return [("shop", name, "BASE TABLE", "InnoDB") for name in self.tables]
        if "information_schema.STATISTICS" in sql:
            return [("shop", name, "PRIMARY", "id", None) for name in self.tables]
        if "information_schema.COLUMNS" in sql:
            return [("shop", name, "id") for name in self.tables]
        return []

    def close(self) -> None:
        self.asked.append("close")

    def creates(self, name: str) -> None:
        self.tables.append(name)
        self.counters["Com_create_table"] += 1

    @property
    def readings(self) -> int:
        return sum("information_schema.TABLES" in sql for sql in self.asked)


@contextlib.asynccontextmanager
async def reading(
    *servers: Server, refresh: float = 60.0, max_tables: int = 10, nodes: Callable[[], list[Node]] | None = None
) -> AsyncIterator[CatalogReader]:
    members = [Node(f"db{number}", 3306) for number, _ in enumerate(servers)]

    async def open_connection(node: Node) -> Server:
        return await servers[int(node.host.removeprefix("db"))].open(node)

    made = CatalogReader(
        "monitor", "m", nodes or (lambda: members), refresh=refresh, max_tables=max_tables, wait=WAIT,
        open_connection=open_connection,
    )  # fmt: skip
    task = asyncio.create_task(made.run(), name="catalog")
    try:
        async with asyncio.timeout(10):
            await made.looked(10)
            yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def names(found: Catalog) -> list[str]:
    return sorted(name.name for name in found.tables)


async def test_it_is_read_again_only_when_a_definition_was_changed() -> None:
    server = Server("t")
    async with reading(server) as reader:
        assert names(reader.now) == ["t"]
        table = reader.now.tables[("shop", "t")]  # type: ignore[index]  # a plain pair will do
        assert (table.keys, table.generated) == ((("id",),), "id")
        server.counters["Com_create_temporary_table"] += 1
        await reader.looked(10)
        assert server.readings == 1
        server.creates("u")
        await reader.looked(10)
        assert (names(reader.now), server.readings) == (["t", "u"], 2)


async def test_what_has_been_read_is_told_by_the_changes_that_were_known_before() -> None:
    server = Server("t")
    async with reading(server) as reader:
        changes = 1
        caught_up: list[int] = []
        reader.changes = lambda: changes
        reader.caught_up = caught_up.append
        await reader.looked(10)  # nothing was changed: what is known is all
        changes = 2
        server.counters["Com_create_table"] += 1
        await reader.looked(10)
        server.failure = ConnectFailed(2013, "gone")
        await reader.looked(10)
        assert caught_up == [1, 2]


async def test_what_is_too_much_to_be_read_is_never_told_as_read() -> None:
    server = Server("t", "u")
    async with reading(server, max_tables=1) as reader:
        caught_up: list[int] = []
        reader.caught_up = caught_up.append
        await reader.looked(10)
        assert caught_up == []


async def test_a_schema_that_was_altered_or_dropped_is_told() -> None:
    server, other = Server("t"), Server("t")
    members = [Node("db0", 3306)]
    async with reading(server, other, nodes=lambda: members) as reader:
        told: list[str] = []
        moved: list[str] = []
        reader.schemas_changed = lambda: told.append(members[0].host)
        reader.moved = lambda: moved.append(members[0].host)
        for name in ("Com_create_table", "Com_create_db"):
            server.counters[name] = 1
            await reader.looked(10)
        await reader.looked(10)
        assert (told, moved) == ([], ["db0"] * 2)
        for counted in (1, 2):
            for name in ("Com_alter_db", "Com_drop_db"):
                server.counters[name] = counted
                await reader.looked(10)
        assert told == ["db0"] * 4
        members[:] = [Node("db1", 3306)]  # which has counted since another time
        await reader.looked(10)
        await reader.looked(10)
        assert told == ["db0"] * 4


async def test_looks_come_by_themselves() -> None:
    server = Server("t")
    async with reading(server, refresh=0.01) as reader:
        seen = asyncio.Event()
        reader.changed = lambda found: seen.set()
        server.creates("u")
        await seen.wait()
        assert names(reader.now) == ["t", "u"]


async def test_the_version_grows_only_with_a_difference() -> None:
    server = Server("t")
    async with reading(server) as reader:
        told: list[Catalog] = []
        reader.changed = told.append
        server.counters["Com_create_table"] += 1  # it was there already
        await reader.looked(10)
        assert (server.readings, told) == (2, [])
        before = reader.now.version
        server.creates("u")
        await reader.looked(10)
        assert told == [reader.now]
        assert reader.now.version == before + 1


async def test_after_a_failure_another_node_is_asked() -> None:
    one, two = Server("t"), Server("t", "u")
    async with reading(one, two) as reader:
        one.failure = ConnectFailed(2013, "lost", "HY000")
        await reader.looked(10)
        assert (names(reader.now), reader.problem) == (["t", "u"], "")
        assert one.asked[-1] == "close"


async def test_what_was_known_stays_while_no_node_answers() -> None:
    server = Server("t")
    members = [Node("db0", 3306)]
    async with reading(server, nodes=lambda: members) as reader:
        members.clear()
        await reader.looked(10)
        assert (names(reader.now), reader.problem) == (["t"], "no node takes writes")


async def test_too_many_tables_are_not_read() -> None:
    server = Server("t", "u")
    async with reading(server, max_tables=1) as reader:
        assert (names(reader.now), reader.problem) == ([], "db0:3306: there are more than 1 tables")
        await reader.looked(10)
        assert server.readings == 1
        server.tables.pop()
        server.counters["Com_drop_table"] = 1
        await reader.looked(10)
        assert (names(reader.now), reader.problem) == (["t"], "")


async def test_a_node_that_does_not_answer_keeps_nobody() -> None:
    server = Server("t")
    async with reading(server) as reader:
        answer = asyncio.Event()
        query = server.query

        async def silent(sql: str) -> Sequence[Row]:
            await answer.wait()
            return await query(sql)

        server.query = silent  # type: ignore[method-assign]
        await reader.looked(0.01)
        assert names(reader.now) == ["t"]
