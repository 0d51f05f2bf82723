"""PyMySQL, mysqlclient and mysql-connector-python, in C and in Python, by Python's database interface.

python dbapi.py pymysql|mysqlclient|connector_c|connector_pure [increments]
"""

import contextlib
import datetime
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version as installed
from typing import Any

if sys.argv[1] == "connector_c":
    import _mysql_connector  # noqa: F401  it brings an OpenSSL of its own, which must be loaded before the system's

import told
from told import check, eventually, none, raised, same

ERRORS = (
    "SELEC 1",
    "SELECT * FROM nosuch",
    "SELECT nosuch FROM numbers",
    "INSERT INTO numbers VALUES (1)",
    "INSERT INTO numbers VALUES (NULL)",
    "SELECT 1 FROM nosuch.t",
    "CALL nosuch()",
    "DROP TABLE nosuch",
)
LIMITS = (
    -(2**63),
    2**63 - 1,
    Decimal("-1234567890123456.7891"),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
    told.TEXT,
    bytes(range(256)),
)


class Driver:
    """What differs between the drivers."""

    name = ""
    error: Any = None
    largest = 2**64 - 1
    prepares = False

    def connect(self, user: tuple[str, str] = told.USER, **options: Any) -> Any:
        raise NotImplementedError

    def prepared(self, connection: Any) -> Any:
        return connection.cursor()

    def version(self) -> str:
        raise NotImplementedError

    def ident(self, connection: Any) -> int:
        return int(connection.thread_id())

    def autocommit(self, connection: Any, on: bool) -> None:
        connection.autocommit(on)

    def warnings(self, connection: Any, cursor: Any) -> int:
        raise NotImplementedError

    def multi(self, connection: Any, text: str) -> list[Any]:
        """All rows of all results, None for one without rows."""
        cursor = connection.cursor()
        cursor.execute(text)
        results = []
        while True:
            results.append(cursor.fetchall() if cursor.description else None)
            if not cursor.nextset():
                return results

    def streaming(self, connection: Any) -> Any:
        raise NotImplementedError

    def found(self) -> dict[str, Any]:
        raise NotImplementedError

    def tls(self, ca: str) -> dict[str, Any]:
        return {"ssl": {"ca": ca}}

    def compressed(self) -> dict[str, Any] | None:
        return None

    def sha2(self) -> dict[str, Any]:
        return {}

    def others(self) -> None:
        """Checks that only this driver has, or has not."""


class PyMySQL(Driver):
    name = "pymysql"

    def __init__(self) -> None:
        import pymysql
        import pymysql.cursors

        self.module: Any = pymysql
        self.error = pymysql.MySQLError

    def version(self) -> str:
        return f"PyMySQL {installed('PyMySQL')}"

    def connect(self, user: tuple[str, str] = told.USER, **options: Any) -> Any:
        given = {"ssl_disabled": "ssl" not in options, "charset": "utf8mb4", "local_infile": True} | options
        return self.module.connect(
            host=told.HOST, port=told.PORT, user=user[0], password=user[1], database=told.SCHEMA, **given
        )

    def warnings(self, connection: Any, cursor: Any) -> int:
        return int(cursor.warning_count)

    def multi(self, connection: Any, text: str) -> list[Any]:
        from pymysql.constants import CLIENT

        with contextlib.closing(self.connect(client_flag=CLIENT.MULTI_STATEMENTS)) as other:
            return super().multi(other, text)

    def streaming(self, connection: Any) -> Any:
        return connection.cursor(self.module.cursors.SSCursor)

    def found(self) -> dict[str, Any]:
        return {"client_flag": self.module.constants.CLIENT.FOUND_ROWS}

    def others(self) -> None:
        none("it has no compression", "compression")
        none("it has no prepared statements", "prepared_types", "many_statements", "cursor")
        none("it has no such call", "reset", "change_user", "out_parameters")
        none("it has no pool", "pool")


class MySQLClient(Driver):
    name = "mysqlclient"

    def __init__(self) -> None:
        import MySQLdb
        import MySQLdb.cursors

        self.module: Any = MySQLdb
        self.error = MySQLdb.Error

    def version(self) -> str:
        return f"mysqlclient {installed('mysqlclient')} (libmariadb {self.module.get_client_info()})"

    def connect(self, user: tuple[str, str] = told.USER, **options: Any) -> Any:
        given = {"charset": "utf8mb4", "local_infile": 1, "ssl_mode": "DISABLED"} | options
        return self.module.connect(
            host=told.HOST, port=told.PORT, user=user[0], password=user[1], database=told.SCHEMA, **given
        )

    def warnings(self, connection: Any, cursor: Any) -> int:
        return int(connection.warning_count())

    def streaming(self, connection: Any) -> Any:
        return connection.cursor(self.module.cursors.SSCursor)

    def found(self) -> dict[str, Any]:
        return {"client_flag": self.module.constants.CLIENT.FOUND_ROWS}

    def compressed(self) -> dict[str, Any]:
        return {"compress": True}

    def tls(self, ca: str) -> dict[str, Any]:
        return {"ssl": {"ca": ca}, "ssl_mode": "REQUIRED"}

    def others(self) -> None:
        none("it has no prepared statements", "prepared_types", "many_statements", "cursor")
        none("it has no such call", "reset", "out_parameters")
        none("it has no pool", "pool")

        def change_user() -> Any:
            with contextlib.closing(self.connect()) as connection:
                run(connection, "SET SESSION max_sort_length = 99, @left = 1")
                connection.change_user(*told.SECOND, told.SCHEMA)
                name = ask(connection, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), @left")
                same(name, [(told.SECOND[0], None)])
                assert ask(connection, "SELECT @@max_sort_length") != [(99,)]
                error = raised(connection.change_user, told.SECOND[0], "wrong", told.SCHEMA)
                return name, error.args[0]

        check("change_user", change_user)


class Connector(Driver):
    prepares = True

    def __init__(self, pure: bool) -> None:
        import mysql.connector
        import mysql.connector.pooling

        self.pure = pure
        self.name = "connector_pure" if pure else "connector_c"
        if not pure:
            self.largest = 2**63 - 1  # as a parameter of a prepared statement
        self.module: Any = mysql.connector
        self.error = mysql.connector.Error

    def version(self) -> str:
        kind = "pure Python" if self.pure else "C extension"
        if not self.pure:
            assert self.module.HAVE_CEXT
        return f"mysql-connector-python {installed('mysql-connector-python')} ({kind})"

    def given(self, user: tuple[str, str], **options: Any) -> dict[str, Any]:
        given = {"use_pure": self.pure, "ssl_disabled": True, "charset": "utf8mb4", "allow_local_infile": True}
        where = {"host": told.HOST, "port": told.PORT, "user": user[0], "password": user[1], "database": told.SCHEMA}
        return given | where | options

    def connect(self, user: tuple[str, str] = told.USER, **options: Any) -> Any:
        return self.module.connect(**self.given(user, **options))

    def prepared(self, connection: Any) -> Any:
        return connection.cursor(prepared=True)

    def ident(self, connection: Any) -> int:
        return int(connection.connection_id)

    def autocommit(self, connection: Any, on: bool) -> None:
        connection.autocommit = on

    def warnings(self, connection: Any, cursor: Any) -> int:
        return int(cursor.warning_count)

    def multi(self, connection: Any, text: str) -> list[Any]:
        cursor = connection.cursor()
        cursor.execute(text)
        return [rows if (rows := result.result_set) else None for result in self._sets(cursor)]

    def _sets(self, cursor: Any) -> Iterator[Any]:
        return (_Set(cursor) for _ in cursor.fetchsets())

    def streaming(self, connection: Any) -> Any:
        return connection.cursor(buffered=False)

    def found(self) -> dict[str, Any]:
        return {"client_flags": [self.module.constants.ClientFlag.FOUND_ROWS]}

    def tls(self, ca: str) -> dict[str, Any]:
        return {"ssl_disabled": False, "ssl_ca": ca, "ssl_verify_cert": True}

    def compressed(self) -> dict[str, Any]:
        return {"compress": True}

    def sha2(self) -> dict[str, Any]:
        return {"ssl_disabled": False}

    def others(self) -> None:
        none("no option for it", "cursor")

        def reset() -> Any:
            with contextlib.closing(self.connect()) as connection:
                run(connection, "SET @left = 1")
                run(connection, "CREATE TEMPORARY TABLE left_over (a INT)")
                connection.cmd_reset_connection()
                error = raised(run, connection, "SELECT * FROM left_over")
                return same(ask(connection, "SELECT @left, DATABASE()"), [(None, told.SCHEMA)]), error.args[0]

        def change_user() -> Any:
            with contextlib.closing(self.connect()) as connection:
                run(connection, "SET @left = 1")
                connection.cmd_change_user(*told.SECOND, told.SCHEMA)
                return same(
                    ask(connection, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), @left"), [(told.SECOND[0], None)]
                )

        def many_statements() -> Any:
            with contextlib.closing(self.connect()) as connection:
                cursors = [connection.cursor(prepared=True) for _ in range(40)]
                seen = []
                for turn in range(2):
                    for number, cursor in enumerate(cursors, 1):
                        cursor.execute(f"SELECT n + {number}, ? FROM numbers WHERE n = ?", (f"t{turn}", number))
                        seen.append(same(cursor.fetchall(), [(2 * number, f"t{turn}")]))
                return len(seen)

        def pool() -> Any:
            pooled = self.module.pooling.MySQLConnectionPool(pool_name="compat", pool_size=3, **self.given(told.USER))
            seen = []
            for turn in range(8):
                connections = [pooled.get_connection() for _ in range(3)]
                for number, connection in enumerate(connections):
                    same(ask(connection, "SELECT @left"), [(None,)])
                    run(connection, f"SET @left = {turn}")
                    seen += ask(connection, f"SELECT n FROM numbers WHERE n = {number + 1 + turn}")
                for connection in connections:
                    connection.close()
            return seen

        def out_parameters() -> Any:
            with contextlib.closing(self.connect()) as connection:
                cursor = connection.cursor()
                return same(cursor.callproc("sums", (2, 40, None)), (2, 42, "sum 42"))

        check("reset", reset)
        check("change_user", change_user)
        check("many_statements", many_statements)
        check("pool", pool)
        check("out_parameters", out_parameters)


class _Set:
    def __init__(self, cursor: Any) -> None:
        self.result_set = cursor.fetchall() if cursor.description else None


DRIVERS = {
    "pymysql": PyMySQL,
    "mysqlclient": MySQLClient,
    "connector_c": lambda: Connector(False),
    "connector_pure": lambda: Connector(True),
}


def run(connection: Any, sql: str, *parameters: Any) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql, *([parameters] if parameters else []))
        if cursor.description:
            cursor.fetchall()


def changed(connection: Any, sql: str) -> int:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def ask(connection: Any, sql: str, *parameters: Any) -> list[Any]:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql, *([parameters] if parameters else []))
        return list(cursor.fetchall())


def facts(error: Exception) -> Any:
    return (type(error).__name__, error.args[:2], getattr(error, "sqlstate", None))


def checks(driver: Driver) -> None:
    def login(user: tuple[str, str], **options: Any) -> Any:
        with contextlib.closing(driver.connect(user, **options)) as connection:
            return ask(connection, "SELECT 1, DATABASE()")

    def refused() -> Any:
        refused = raised(lambda: driver.connect((told.USER[0], "wrong"), **driver.sha2()))
        return same(refused.args[0], 1045)

    def tls() -> Any:
        raised(lambda: driver.connect(**driver.tls(told.WRONG_CA)))
        with contextlib.closing(driver.connect(**driver.tls(told.CA))) as connection:
            run(connection, "DO 1")
            return ask(connection, "SELECT 1"), len(ask(connection, "SELECT REPEAT('x', 3000000)")[0][0])

    def types(make: Any) -> Any:
        seen: list[Any] = []
        with contextlib.closing(driver.connect()) as connection:
            columns = [row[0] for row in ask(connection, "SHOW COLUMNS FROM types")]
            cursor = make(connection)
            for column in columns:
                cursor.execute(f"SELECT {column} FROM types ORDER BY id")
                seen.append((column, cursor.fetchall(), [tuple(d) for d in cursor.description]))
            cursor.execute("SELECT * FROM types ORDER BY id")
            seen.append(cursor.fetchall())
            for column in ("c_date", "c_datetime", "c_timestamp", "c_time", "c_year"):
                try:
                    cursor.execute(f"SELECT {column} FROM zeros")
                    seen.append((column, cursor.fetchall()))
                except (driver.error, ValueError, IndexError) as error:  # not every driver has a value for zero
                    seen.append((column, str(error)))
                    connection.close()
                    connection = driver.connect()
                    cursor = make(connection)
        return seen

    def parameters() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            cursor = driver.prepared(connection)
            mark = "?" if driver.prepares else "%s"
            cursor.execute(f"SELECT {', '.join([mark] * 5)}, {mark} IS NULL, {mark}", (*LIMITS[:5], None, ""))
            row = cursor.fetchall()[0]
            cursor.execute(
                f"INSERT INTO people (name, number, amount, born, note, picture) VALUES ({', '.join([mark] * 6)})",
                ("limits", driver.largest, LIMITS[2], LIMITS[3], LIMITS[4], LIMITS[5]),
            )
            connection.commit()
            stored = ask(connection, "SELECT number, amount, born, note, picture FROM people WHERE name = 'limits'")
            same(stored, [(driver.largest, LIMITS[2], LIMITS[3], LIMITS[4], LIMITS[5])])
            return row, stored

    def unicode() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            seen = ask(connection, "SELECT %s, CHAR_LENGTH(%s)", told.TEXT, told.TEXT)
            same(seen, [(told.TEXT, len(told.TEXT))])
            return seen, ask(connection, "SELECT '🐬', '\\'' , 'ü' AS `größe`")

    def charset() -> Any:
        with contextlib.closing(driver.connect(charset="latin1")) as connection:
            seen = ask(
                connection,
                "SELECT @@character_set_client, @@character_set_results, HEX(%s), c_latin FROM types WHERE id = 2",
                "grün",
            )
            return same(seen[0][2:], ("6772FC6E", "grün")), seen

    def big() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            given = bytes(range(256)) * (told.BIG // 256)
            cursor = driver.prepared(connection)
            mark = "?" if driver.prepares else "%s"
            cursor.execute(f"INSERT INTO people (name, picture) VALUES ('big', {mark})", (given,))
            connection.commit()
            (row,) = ask(connection, "SELECT picture, SHA2(picture, 256) FROM people WHERE name = 'big'")
            assert row[0] == given, "other bytes"
            run(connection, "DELETE FROM people WHERE name = 'big'")
            connection.commit()
            return row

    def autocommit() -> Any:
        with contextlib.closing(driver.connect()) as one, contextlib.closing(driver.connect()) as other:
            driver.autocommit(other, True)
            driver.autocommit(one, False)
            run(one, "UPDATE counter SET value = 5 WHERE id = 2")
            seen = [eventually(lambda: ask(other, "SELECT value FROM counter WHERE id = 2"), [(0,)])]
            driver.autocommit(one, True)
            seen += eventually(lambda: ask(other, "SELECT value FROM counter WHERE id = 2"), [(5,)])
            run(one, "UPDATE counter SET value = 0 WHERE id = 2")
            seen += eventually(lambda: ask(other, "SELECT value FROM counter WHERE id = 2"), [(0,)])
            return seen

    def transactions() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            run(connection, "INSERT INTO people (name) VALUES ('undone')")
            connection.rollback()
            run(connection, "INSERT INTO people (name) VALUES ('one')")
            run(connection, "SAVEPOINT s")
            run(connection, "INSERT INTO people (name) VALUES ('two')")
            run(connection, "ROLLBACK TO SAVEPOINT s")
            connection.commit()
            run(connection, "START TRANSACTION READ ONLY")
            error = raised(run, connection, "DELETE FROM people")
            connection.rollback()
            seen = ask(connection, "SELECT name FROM people WHERE name IN ('undone', 'one', 'two')")
            run(connection, "DELETE FROM people WHERE name = 'one'")
            connection.commit()
            return same(seen, [("one",)]), facts(error)

    def lock_wait() -> Any:
        with contextlib.closing(driver.connect()) as one, contextlib.closing(driver.connect()) as other:
            ask(one, "SELECT value FROM counter WHERE id = 2 FOR UPDATE")
            run(other, "SET SESSION innodb_lock_wait_timeout = 1")
            other.commit()
            error = raised(ask, other, "SELECT value FROM counter WHERE id = 2 FOR UPDATE")
            one.rollback()
            seen = ask(other, "SELECT value FROM counter WHERE id = 2 FOR UPDATE")
            other.rollback()
            return same(error.args[0], 1205), facts(error), seen

    def multi_statements() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            seen = driver.multi(connection, "SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4")
            error = raised(driver.multi, connection, "SELECT 1; SELECT nosuch; SELECT 3")
            return seen, facts(error)

    def procedures() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            driver.autocommit(connection, True)
            seen = driver.multi(connection, "CALL several(3)")
            error = raised(driver.multi, connection, "CALL fails()")
            return seen, facts(error)

    def errors() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            seen = [facts(raised(ask, connection, sql)) for sql in ERRORS]
            if driver.prepares:
                seen += [facts(raised(driver.prepared(connection).execute, sql)) for sql in ERRORS]
            return seen

    def warnings() -> Any:
        with contextlib.closing(driver.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)")
            cursor.fetchall()
            count = driver.warnings(connection, cursor)
            return same(count, 2), ask(connection, "SHOW WARNINGS"), ask(connection, "SELECT @@warning_count")

    def insert_id() -> Any:
        with contextlib.closing(driver.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("INSERT INTO people (name) VALUES ('a')")
            first = cursor.lastrowid
            cursor.execute("INSERT INTO people (name) VALUES ('b'), ('c')")
            second = cursor.lastrowid
            same(ask(connection, "SELECT LAST_INSERT_ID()"), [(second,)])
            same(
                ask(connection, f"SELECT name FROM people WHERE id IN ({first}, {second}) ORDER BY id"),
                [("a",), ("b",)],
            )
            cursor.execute("UPDATE people SET id = LAST_INSERT_ID(id) WHERE name = 'a'")
            same(ask(connection, "SELECT LAST_INSERT_ID()"), [(first,)])
            connection.rollback()
            return second > first

    def affected_rows() -> Any:
        with contextlib.closing(driver.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            seen = []
            for sql in (
                "INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
                "UPDATE people SET number = 1 WHERE name IN ('p', 'q')",
                "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
                "INSERT INTO people (name) VALUES ('p') ON DUPLICATE KEY UPDATE number = 9",
                "REPLACE INTO people (name) VALUES ('p')",
                "DELETE FROM people WHERE name IN ('p', 'q')",
                "DELETE FROM people WHERE name = 'nobody'",
            ):
                cursor.execute(sql)
                seen.append((cursor.rowcount, ask(connection, "SELECT ROW_COUNT()")))
            connection.rollback()
            return same([count for count, _ in seen], [2, 0, 2, 2, 2, 2, 0]), seen

    def found_rows() -> Any:
        with contextlib.closing(driver.connect(**driver.found())) as connection:
            return same(changed(connection, "UPDATE counter SET value = value WHERE id < 3"), 2)

    def streaming() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            cursor = driver.streaming(connection)
            cursor.execute("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10 ORDER BY 1")
            first = cursor.fetchmany(10)
            rest = sum(1 for _ in cursor)
            cursor.close()
            cursor = driver.streaming(connection)
            cursor.execute("SELECT n FROM numbers ORDER BY n")
            half = cursor.fetchone()
            left = "closed"
            try:
                for _ in cursor:
                    pass
                cursor.close()
            except driver.error as error:
                left = str(error)
            return first[:2], rest, half, left, ask(connection, "SELECT 1")

    def local_infile() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            load = f"LOAD DATA LOCAL INFILE '{told.FILE}' INTO TABLE loaded CHARACTER SET utf8mb4"
            count = changed(connection, load)
            connection.commit()
            seen = ask(connection, "SELECT * FROM loaded ORDER BY id")
            run(connection, "DELETE FROM loaded")
            connection.commit()
            return same((count, seen), (3, [(1, "one"), (2, "grün 🐬"), (3, None)]))

    def kill(what: str) -> Any:
        connection, killer = driver.connect(), driver.connect()
        with contextlib.closing(killer):
            timer = threading.Timer(0.7, run, (killer, f"KILL {what} {driver.ident(connection)}"))
            timer.start()
            begun = time.monotonic()
            error: Any = None
            try:
                seen = ask(connection, "SELECT SLEEP(20) FROM counter WHERE id = 1")
            except Exception as caught:
                error, seen = caught, None
            timer.join()
            assert time.monotonic() - begun < 10, "not interrupted"
            if what == "QUERY":
                with contextlib.closing(connection):
                    return seen, error and facts(error)[:2], ask(connection, "SELECT 1")
            assert error is not None, f"no error but {seen}"
            raised(ask, connection, "SELECT 1")
            with contextlib.suppress(Exception):
                connection.close()
            with contextlib.closing(driver.connect()) as again:
                return ask(again, "SELECT 1")

    def read_timeout() -> Any:
        connection = driver.connect(read_timeout=1)
        begun = time.monotonic()
        error = raised(ask, connection, "SELECT SLEEP(20) FROM counter WHERE id = 1")
        assert time.monotonic() - begun < 10, "not given up"
        assert error.args[0] in (2013, 3024, -1), error
        with contextlib.suppress(Exception):
            connection.close()
        with contextlib.closing(driver.connect()) as again:
            return ask(again, "SELECT 1")

    def ping() -> Any:
        with contextlib.closing(driver.connect()) as connection:
            connection.ping()
            return ask(connection, "SELECT 1")

    told.version(driver.version())
    check("login_native", lambda: login(told.USER))
    check("login_sha2", lambda: login(told.SHA2, **driver.sha2()))
    check("login_refused", refused)
    check("tls", tls)
    compressed = driver.compressed()
    if compressed is not None:

        def compression() -> Any:
            with contextlib.closing(driver.connect(**compressed)) as connection:
                return ask(connection, "SELECT REPEAT('abc', 100000), %s", "x" * 100000), ask(connection, "SELECT 1")

        check("compression", compression)
    check("text_types", lambda: types(lambda connection: connection.cursor()))
    if driver.prepares:
        check("prepared_types", lambda: types(driver.prepared))
    check("parameters", parameters)
    check("unicode", unicode)
    check("charset", charset)
    check("autocommit", autocommit)
    check("transactions", transactions)
    check("lock_wait", lock_wait)
    check("multi_statements", multi_statements)
    check("procedures", procedures)
    check("errors", errors)
    check("warnings", warnings)
    check("insert_id", insert_id)
    check("affected_rows", affected_rows)
    check("found_rows", found_rows)
    check("streaming", streaming)
    check("local_infile", local_infile)
    check("kill_query", lambda: kill("QUERY"))
    check("kill_connection", lambda: kill("CONNECTION"))
    check("read_timeout", read_timeout)
    check("ping", ping)
    driver.others()
    check("big", big)
    none("an interface without objects", "models", "migrations")


def increments(driver: Driver, client: str) -> None:
    with contextlib.closing(driver.connect()) as connection:
        for number in range(told.INCREMENTS):
            run(connection, "UPDATE counter SET value = value + 1 WHERE id = 1")
            run(connection, "INSERT INTO entry (client, number) VALUES (%s, %s)", client, number)
            connection.commit()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        increments(DRIVERS[sys.argv[1]](), sys.argv[3])
    else:
        checks(DRIVERS[sys.argv[1]]())
