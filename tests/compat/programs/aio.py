"""aiomysql and asyncmy, on asyncio.  python aio.py aiomysql|asyncmy [increments CLIENT]"""

import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from importlib.metadata import version as installed
from typing import Any

import told
from told import none, same

DRIVER: Any = import_module(sys.argv[1])
CURSORS: Any = import_module(f"{sys.argv[1]}.cursors")
FLAGS: Any = import_module("pymysql.constants").CLIENT


async def connect(user: tuple[str, str] = told.USER, **options: Any) -> Any:
    given = {"charset": "utf8mb4", "local_infile": True, "autocommit": True} | options
    return await DRIVER.connect(host=told.HOST, port=told.PORT, user=user[0], password=user[1], db=told.SCHEMA, **given)


@contextlib.asynccontextmanager
async def opened(user: tuple[str, str] = told.USER, **options: Any) -> AsyncIterator[Any]:
    connection = await connect(user, **options)
    try:
        yield connection
    finally:
        connection.close()


async def ask(connection: Any, sql: str, *parameters: Any) -> Any:
    async with connection.cursor() as cursor:
        await cursor.execute(sql, parameters or None)
        return list(await cursor.fetchall())


async def changed(connection: Any, sql: str, *parameters: Any) -> int:
    async with connection.cursor() as cursor:
        await cursor.execute(sql, parameters or None)
        return int(cursor.rowcount)


async def raised(waiting: Awaitable[Any]) -> Exception:
    try:
        await waiting
    except Exception as error:
        return error
    raise AssertionError("no error")


async def eventually(connection: Any, sql: str, wanted: Any) -> Any:
    """Another session's commit may be on its way to the node that is asked."""
    deadline = time.monotonic() + 10
    while (seen := await ask(connection, sql)) != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return same(seen, wanted)


def facts(error: Exception) -> Any:
    return type(error).__name__, error.args[:2]


async def check(name: str, function: Callable[[], Awaitable[Any]]) -> None:
    try:
        seen = await function()
    except Exception as error:
        told.failed(name, error)
    else:
        told.ok(name, seen)


async def login(user: tuple[str, str], **options: Any) -> Any:
    async with opened(user, **options) as connection:
        return await ask(connection, "SELECT 1, DATABASE()")


async def login_refused() -> Any:
    return same((await raised(connect((told.USER[0], "wrong")))).args[0], 1045)


async def tls() -> Any:
    await raised(connect(ssl=ssl.create_default_context(cafile=told.WRONG_CA)))
    async with opened(ssl=ssl.create_default_context(cafile=told.CA)) as connection:
        return await ask(connection, "SELECT 1"), await ask(connection, "SELECT REPEAT('x', 3000000)")


async def text_types() -> Any:
    seen: list[Any] = []
    async with opened() as connection:
        seen.append(await ask(connection, "SELECT * FROM types ORDER BY id"))
        columns = ("c_date", "c_datetime", "c_timestamp", "c_time", "c_year")
        seen += [await ask(connection, f"SELECT {column} FROM zeros") for column in columns]
    return seen


async def parameters() -> Any:
    async with opened() as connection:
        values = (2**64 - 1, "-1234567890123456.7891", "9999-12-31 23:59:59.999999", told.TEXT, bytes(range(256)))
        insert = "INSERT INTO people (name, number, amount, born, note, picture) VALUES ('p', %s, %s, %s, %s, %s)"
        await changed(connection, insert, *values)
        sql = "SELECT number, CAST(amount AS CHAR), CAST(born AS CHAR), note, picture FROM people"
        seen = await ask(connection, sql)
        await changed(connection, "DELETE FROM people")
        return same(seen, [values])


async def unicode() -> Any:
    async with opened() as connection:
        seen = await ask(connection, "SELECT %s, CHAR_LENGTH(%s), 'ü' AS `größe`", told.TEXT, told.TEXT)
        return same(seen, [(told.TEXT, len(told.TEXT), "ü")])


async def charset() -> Any:
    async with opened(charset="latin1") as connection:
        seen = await ask(connection, "SELECT HEX(%s), c_latin FROM types WHERE id = 2", "grün")
        return same(seen, [("6772FC6E", "grün")])


async def autocommit() -> Any:
    sql = "SELECT value FROM counter WHERE id = 2"
    async with opened() as one, opened() as other:
        await one.autocommit(False)
        await changed(one, "UPDATE counter SET value = 5 WHERE id = 2")
        seen = [await eventually(other, sql, [(0,)])]
        await one.autocommit(True)
        seen.append(await eventually(other, sql, [(5,)]))
        await changed(one, "UPDATE counter SET value = 0 WHERE id = 2")
        return [*seen, await eventually(other, sql, [(0,)])]


async def transactions() -> Any:
    async with opened() as connection:
        await connection.begin()
        await changed(connection, "INSERT INTO people (name) VALUES ('undone')")
        await connection.rollback()
        await connection.begin()
        await changed(connection, "INSERT INTO people (name) VALUES ('one')")
        await changed(connection, "SAVEPOINT s")
        await changed(connection, "INSERT INTO people (name) VALUES ('two')")
        await changed(connection, "ROLLBACK TO SAVEPOINT s")
        await connection.commit()
        seen = await ask(connection, "SELECT name FROM people")
        await changed(connection, "DELETE FROM people")
        return same(seen, [("one",)])


async def lock_wait() -> Any:
    lock = "SELECT value FROM counter WHERE id = 2 FOR UPDATE"
    async with opened() as one, opened() as other:
        await one.begin()
        await ask(one, lock)
        await changed(other, "SET innodb_lock_wait_timeout = 1")
        await other.begin()
        error = await raised(ask(other, lock))
        await one.rollback()
        seen = await ask(other, lock)
        await other.rollback()
        return same(error.args[0], 1205), facts(error), seen


async def results(connection: Any, sql: str) -> Any:
    async with connection.cursor() as cursor:
        await cursor.execute(sql)
        seen = [await cursor.fetchall()]
        while await cursor.nextset():
            seen.append(await cursor.fetchall())
        return seen


async def multi_statements() -> Any:
    async with opened(client_flag=FLAGS.MULTI_STATEMENTS) as connection:
        seen = await results(connection, "SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4")
        error = await raised(results(connection, "SELECT 1; SELECT nosuch; SELECT 3"))
        return seen, facts(error)


async def procedures() -> Any:
    async with opened() as connection:
        return await results(connection, "CALL several(3)"), facts(await raised(results(connection, "CALL fails()")))


async def out_parameters() -> Any:
    async with opened() as connection:
        await changed(connection, "SET @b = 40")
        await changed(connection, "CALL sums(2, @b, @c)")
        return same(await ask(connection, "SELECT @b, @c"), [(42, "sum 42")])


async def errors() -> Any:
    async with opened() as connection:
        return [
            facts(await raised(ask(connection, sql)))
            for sql in (
                "SELEC 1",
                "SELECT * FROM nosuch",
                "SELECT nosuch FROM numbers",
                "INSERT INTO numbers VALUES (1)",
                "INSERT INTO numbers VALUES (NULL)",
                "SELECT 1 FROM nosuch.t",
                "CALL nosuch()",
                "DROP TABLE nosuch",
            )
        ]


async def warnings() -> Any:
    async with opened() as connection:
        await ask(connection, "SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)")
        return await connection.show_warnings()


async def insert_id() -> Any:
    async with opened() as connection, connection.cursor() as cursor:
        await cursor.execute("INSERT INTO people (name) VALUES ('a')")
        first = cursor.lastrowid
        await cursor.execute("INSERT INTO people (name) VALUES ('b'), ('c')")
        second = cursor.lastrowid
        same(await ask(connection, "SELECT LAST_INSERT_ID()"), [(second,)])
        named = await ask(connection, "SELECT name FROM people WHERE id IN (%s, %s) ORDER BY id", first, second)
        await changed(connection, "DELETE FROM people")
        return same(named, [("a",), ("b",)]), second > first


async def affected_rows() -> Any:
    async with opened() as connection:
        counts = [
            await changed(connection, sql)
            for sql in (
                "INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
                "UPDATE people SET number = 1 WHERE name IN ('p', 'q')",
                "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
                "REPLACE INTO people (name) VALUES ('p')",
                "DELETE FROM people WHERE name IN ('p', 'q')",
            )
        ]
        return same(counts, [2, 0, 2, 2, 2])


async def found_rows() -> Any:
    async with opened(client_flag=FLAGS.FOUND_ROWS) as connection:
        return same(await changed(connection, "UPDATE counter SET value = value WHERE id < 3"), 2)


async def streaming() -> Any:
    async with opened() as connection:
        async with connection.cursor(CURSORS.SSCursor) as cursor:
            await cursor.execute("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10")
            count = 0
            while await cursor.fetchone():
                count += 1
        return same(count, 10000), await ask(connection, "SELECT 1")


async def local_infile() -> Any:
    async with opened() as connection:
        load = f"LOAD DATA LOCAL INFILE '{told.FILE}' INTO TABLE loaded CHARACTER SET utf8mb4"
        count = await changed(connection, load)
        seen = await ask(connection, "SELECT * FROM loaded ORDER BY id")
        await changed(connection, "DELETE FROM loaded")
        return same((count, seen), (3, [(1, "one"), (2, "grün 🐬"), (3, None)]))


async def kill(what: str) -> Any:
    async with opened() as killer:
        connection = await connect()

        async def later() -> None:
            await asyncio.sleep(0.7)
            await ask(killer, f"KILL {what} {connection.thread_id()}")

        task = asyncio.create_task(later())
        try:
            seen = await asyncio.wait_for(ask(connection, "SELECT SLEEP(20) FROM counter WHERE id = 1"), 10)
        except DRIVER.MySQLError as error:
            seen = facts(error)
        await task
        if what:
            after = await ask(connection, "SELECT 1")
            connection.close()
            return seen, after
        await raised(ask(connection, "SELECT 1"))
        connection.close()
        return await ask(killer, "SELECT 1")


async def read_timeout() -> Any:
    async with opened() as connection:
        error = await raised(asyncio.wait_for(ask(connection, "SELECT SLEEP(20) FROM counter WHERE id = 1"), 1))
        assert isinstance(error, TimeoutError), error
    async with opened() as again:
        return await ask(again, "SELECT 1")


async def ping() -> Any:
    async with opened() as connection:
        await connection.ping()
        return await ask(connection, "SELECT 1")


async def pool() -> Any:
    account = {"user": told.USER[0], "password": told.USER[1], "db": told.SCHEMA}
    made = await DRIVER.create_pool(host=told.HOST, port=told.PORT, minsize=1, maxsize=3, autocommit=True, **account)

    async def work(number: int) -> Any:
        async with made.acquire() as connection:
            return (await ask(connection, "SELECT n FROM numbers WHERE n = %s", number))[0][0]

    seen = await asyncio.gather(*map(work, range(1, 31)))
    made.close()
    await made.wait_closed()
    return same(seen, list(range(1, 31)))


async def big() -> Any:
    given = bytes(range(256)) * (told.BIG // 256)
    async with opened() as connection:
        await changed(connection, "INSERT INTO people (name, picture) VALUES ('big', %s)", given)
        ((seen, digest),) = await ask(connection, "SELECT picture, SHA2(picture, 256) FROM people")
        await changed(connection, "DELETE FROM people")
        assert seen == given, "other bytes"
        return digest


CHECKS = (
    login_refused, tls, text_types, parameters, unicode, charset, autocommit, transactions, lock_wait, multi_statements,
    procedures, out_parameters, errors, warnings, insert_id, affected_rows, found_rows, streaming, local_infile,
    read_timeout, ping, pool, big,
)  # fmt: skip


async def checks() -> None:
    told.version(f"{sys.argv[1]} {installed(sys.argv[1])}")
    await check("login_native", lambda: login(told.USER))
    await check("login_sha2", lambda: login(told.SHA2))
    for function in CHECKS:
        await check(function.__name__, function)
    await check("kill_query", lambda: kill("QUERY"))
    await check("kill_connection", lambda: kill(""))
    none("it has no compression", "compression")
    none("it has no prepared statements", "prepared_types", "many_statements", "cursor")
    none("it has no such call", "reset", "change_user")
    none("an interface without objects", "models", "migrations")


async def increments(client: str) -> None:
    async with opened(autocommit=False) as connection:
        for number in range(told.INCREMENTS):
            await changed(connection, "UPDATE counter SET value = value + 1 WHERE id = 1")
            await changed(connection, "INSERT INTO entry (client, number) VALUES (%s, %s)", client, number)
            await connection.commit()


asyncio.run(increments(sys.argv[3]) if len(sys.argv) > 2 else checks())
