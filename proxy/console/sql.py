"""SQL over a few tables in memory: what the console's statements mean.

mysql-mimic's session answers what clients say besides queries (SHOW, DESCRIBE, SET, USE, @@variables), and sqlglot's
executor the queries. Results are encoded here, since both know their types. Knows neither connections nor what the
tables hold.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.executor import execute

from proxy import mimic

Rows = Sequence[tuple[str | int | float | None, ...]]
Columns = Sequence[tuple[str, str]]

_TOO_LONG: Final = 300  # characters of a foreign library's complaint that are passed on


class SqlError(Exception):
    """The statement can't be run; the text says why."""

    def __init__(self, code: int, sqlstate: str, text: str) -> None:
        super().__init__(text[:_TOO_LONG])
        self.code, self.sqlstate = code, sqlstate


class Sql:
    """One operator's SQL session over the tables of one schema.

    `columns` has each table's columns, (name, SQL type); `read` gives a table's rows when a statement names it.
    """

    def __init__(
        self, schema: str, columns: Mapping[str, Columns], read: Callable[[str], Rows], *, version: str
    ) -> None:
        self._session: Any = _Session(schema, columns, read)
        self._session.variables.set("version", version, force=True)
        self._session.variables.set("version_comment", "multiwriter console", force=True)

    async def run(self, sql: str) -> tuple[list[bytes], list[bytes]]:
        """The payloads of a text result set: column definitions and rows. No columns: just OK. Raises SqlError."""
        try:
            result = await mimic.result_set(await self._session.handle_query(sql, {}))
        except mimic.MysqlError as error:
            raise SqlError(int(error.code), mimic.sqlstate(error), error.msg) from error
        except SqlglotError as error:
            raise SqlError(1064, "42000", f"The console cannot run this: {_first_line(error)}") from error
        return mimic.encoded(result)


class _Session(mimic.Session):  # type: ignore[misc]  # the library is not typed
    def __init__(self, schema: str, columns: Mapping[str, Columns], read: Callable[[str], Rows]) -> None:
        super().__init__()
        self.database = schema
        self._schema = schema
        self._columns = columns
        self._read = read

    async def schema(self) -> dict[str, dict[str, dict[str, str]]]:
        return {self._schema: {table: dict(columns) for table, columns in self._columns.items()}}

    async def query(self, expression: exp.Expression, sql: str, attrs: dict[str, str]) -> tuple[list[Any], list[str]]:
        if not isinstance(expression, exp.Query):
            raise SqlError(1235, "42000", "The console runs SELECT, SHOW, DESCRIBE, DRAIN, UNDRAIN and KILL")
        tables: dict[str, list[dict[str, Any]]] = {}
        local = {cte.alias_or_name for cte in expression.find_all(exp.CTE)}
        for table in expression.find_all(exp.Table):
            if table.name in local:
                continue
            if table.name not in self._columns or table.db not in ("", self._schema):
                raise SqlError(1146, "42S02", f"Table '{table.db or self._schema}.{table.name}' doesn't exist")
            table.set("db", None)
            names = [name for name, _ in self._columns[table.name]]
            tables[table.name] = [dict(zip(names, row, strict=True)) for row in self._read(table.name)]
        known = {table: dict(self._columns[table]) for table in tables}
        # The executor is plain Python: over thousands of rows it must not keep the clients' loop waiting.
        result = await asyncio.to_thread(execute, expression, schema=known, tables=tables)
        return list(result.rows), list(result.columns)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
