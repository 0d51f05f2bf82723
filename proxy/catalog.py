"""The catalog as one node tells it: read with the proxy's own account, read again when a definition was changed.

A task looks at the node's counters of DDL statements, which count what other nodes replicated to it, too; only when
one has moved is the information schema read. What its rows mean is the business of router.catalog.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Final, Protocol

from proxy import login, queries
from proxy.link import PLAIN, Link
from proxy.log import event
from proxy.poller import Poller
from router import catalog
from router.catalog import Catalog
from router.membership import Node

logger = logging.getLogger(__name__)

PATIENCE: Final = 30.0  # seconds for one reading: there may be many tables
GLANCE: Final = 2.0  # seconds for one look at the counters
REST: Final = 10  # after a reading, this many times as long as it took, nothing is read
_MOST_BYTES: Final = 64 << 20  # read ahead, of one answer
TABLE_DENIED: Final = 1142
_ATTRIBUTES: Final = {"program_name": "multiwriter-catalog"}

_COUNTERS: Final = "SHOW GLOBAL STATUS WHERE Variable_name RLIKE '^Com_(create|alter|drop|rename)_'"
_OF_SCHEMAS: Final = ("Com_alter_db", "Com_drop_db")
_IRRELEVANT: Final = ("_temporary_table", "_user", "_role", "_server", "_event")
_OURS: Final = "TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')"
_TABLES: Final = f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {_OURS}"  # noqa: S608
_KEYS: Final = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS "  # noqa: S608
    f"WHERE NON_UNIQUE = 0 AND {_OURS} ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
)
_GENERATED: Final = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS "  # noqa: S608
    f"WHERE EXTRA LIKE '%auto_increment%' AND {_OURS}"
)
_TRIGGERS: Final = (
    "SELECT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_STATEMENT, SQL_MODE "
    "FROM information_schema.TRIGGERS"
)
_VIEWS: Final = "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS"
# A loadable function of the same name is meant before a stored one.
_FUNCTIONS: Final = (
    "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_DEFINITION, SQL_MODE FROM information_schema.ROUTINES "
    "WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_NAME NOT IN (SELECT name FROM mysql.func)"
)
_PARAMETERS: Final = (
    "SELECT SPECIFIC_SCHEMA, SPECIFIC_NAME, PARAMETER_NAME FROM information_schema.PARAMETERS "
    "WHERE ROUTINE_TYPE = 'FUNCTION' AND PARAMETER_NAME IS NOT NULL"
)

Row = tuple[str | None, ...]


class Connection(Protocol):
    """What is needed of a connection to a node: queries.QueryConnection has it."""

    async def query(self, sql: str, /) -> Sequence[Row]: ...
    def close(self) -> None: ...


class CatalogReader:
    """Keeps `now` as the cluster's definitions are. run() does so until it is cancelled.

    `wait`: SQL that makes a connection wait for what other nodes committed before, so that what a client was told is
    not missed.
    """

    def __init__(
        self,
        user: str,
        password: str,
        nodes: Callable[[], Iterable[Node]],
        *,
        refresh: float,
        max_tables: int,
        wait: str,
        engine: str | None = None,
        link: Link = PLAIN,
        open_connection: Callable[[Node], Awaitable[Connection]] | None = None,
    ) -> None:
        self.now = Catalog()
        self.problem = "it has not been read yet"
        self.changed: Callable[[Catalog], None] = lambda found: None
        self.moved: Callable[[], None] = lambda: None  # something may have been changed, the next reading will tell
        # How many changes were told so far; and the number of those that `now` has, once it has them.
        self.changes: Callable[[], int] = lambda: 0
        self.caught_up: Callable[[int], None] = lambda changes: None
        self.schemas_changed: Callable[[], None] = lambda: None  # one was altered or dropped
        self._user = user
        self._password = password
        self._max_tables = max_tables
        self._link = link
        self._wait = wait
        self._engine = engine
        self._open = open_connection or self._log_in
        self._seen: tuple[object, ...] = ()
        self._schemas: tuple[object, ...] = ()
        self._objection = ""  # to what was read last
        self._rest_until = 0.0
        self._failing = False
        self._poller: Poller[Connection] = Poller(
            nodes, self._connect, self._look, self._tell, refresh=refresh, patience=PATIENCE
        )

    def __repr__(self) -> str:
        return f"<CatalogReader {self.now!r}{' ' + self.problem if self.problem else ''}>"

    def look(self) -> None:
        """Look soon: a definition was changed."""
        self._poller.ask()

    async def looked(self, patience: float) -> None:
        """Returns when a look that began after this call has ended, well or not, or after `patience` seconds."""
        await self._poller.polled(patience)

    async def run(self) -> None:
        """Looks until cancelled; a failure is a log entry, and another try."""
        await self._poller.run()

    async def _connect(self, node: Node) -> Connection:
        async with asyncio.timeout(GLANCE):
            connection = await self._open(node)
            try:
                await connection.query(self._wait)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _look(self, connection: Connection, node: Node, asked: bool) -> str:
        changes = self.changes()
        async with asyncio.timeout(GLANCE):
            counters = await connection.query(_COUNTERS)
        schemas = (node, *(row for row in counters if row[0] in _OF_SCHEMAS))
        if schemas != self._schemas and self._schemas[:1] == (node,):
            self.schemas_changed()
        self._schemas = schemas
        seen = (node, *(row for row in counters if not str(row[0]).endswith(_IRRELEVANT)))
        if seen == self._seen:
            if not self._objection:
                self.caught_up(changes)
            return self._objection
        self.moved()
        changes = self.changes()
        if monotonic() < self._rest_until and not asked:
            return self._objection
        began = monotonic()
        found = await self._read(connection)
        took = monotonic() - began
        self._rest_until = monotonic() + REST * took
        self._seen = seen
        if found is None:
            return self._objection
        if replace(found, version=self.now.version) != self.now:
            self.now = replace(found, version=self.now.version + 1)
            self.changed(self.now)
        self.caught_up(changes)
        event(logger, "catalog.read", level=logging.DEBUG, node=node.name, tables=len(found.tables), seconds=took)
        return self._objection

    async def _read(self, connection: Connection) -> Catalog | None:
        """None, and an objection, when there is too much of it."""
        tables = await connection.query(f"{_TABLES} LIMIT {self._max_tables + 1}")
        if len(tables) > self._max_tables:
            self._objection = f"there are more than {self._max_tables} tables"
            return None
        self._objection = ""
        keys = await connection.query(_KEYS)
        generated = await connection.query(_GENERATED)
        triggers = await connection.query(_TRIGGERS)
        views = await connection.query(_VIEWS)
        functions: Sequence[Row] = ()
        parameters: Sequence[Row] = ()
        try:
            functions = await connection.query(_FUNCTIONS)
            parameters = await connection.query(_PARAMETERS)
        except login.ConnectFailed as failed:
            if failed.code != TABLE_DENIED:  # it may not see mysql.func: then no function is known
                raise
        return await asyncio.to_thread(
            catalog.build,
            tables,
            keys,
            triggers,
            views,
            functions,
            parameters,
            generated=generated,
            engine=self._engine,
        )

    def _tell(self, problem: str) -> None:
        self.problem = problem
        if problem and not self._failing:
            event(logger, "catalog.unreadable", level=logging.WARNING, reason=problem)
        elif not problem and self._failing:
            event(logger, "catalog.readable", tables=len(self.now.tables))
        self._failing = bool(problem)

    async def _log_in(self, node: Node) -> Connection:
        return await queries.open_queries(
            (node.host, node.port),
            user=self._user,
            password=self._password,
            attributes=_ATTRIBUTES,
            link=self._link,
            timeout=GLANCE,
            connect_timeout=GLANCE,
            max_buffered=_MOST_BYTES,
        )
