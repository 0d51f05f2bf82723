"""Transactions that fight over rows, by real clients: what is committed, what they see of it, and what is lost.

A client is a process's thread with one connection, as an application's would be; an error that says "try again" is
tried again at once and counted. Each kind of work has its own check that nothing was lost or done twice. The same run
measures one node directly, HAProxy before all writers and before one of them, and this proxy; and each of it twice,
with nodes that flush what they commit at each commit, as is MariaDB's default, and with nodes that do so once a second.
"""

import contextlib
import itertools
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import MySQLdb

from proxy.demo.galera import Cluster
from tests.bench.endpoints import Endpoint, HAProxy, Multiwriter
from tests.bench.results import BARE, HAPROXY_ONE
from tests.bench.setting import SCHEMA, Setting
from tests.bench.sysbench import Failed
from tests.bench.usage import cpu_seconds

HOST: Final = "127.0.0.1"
CLIENTS: Final = 12
START: Final = 1000
AGAIN: Final = frozenset((1213, 1205, 1020))
"""Errors after which an application begins its transaction again."""


class Chance:
    """Keys by Zipf's law: the k-th is drawn 1/k^skew as often as the first."""

    def __init__(self, keys: int, skew: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._keys = range(1, keys + 1)
        total, bounds = 0.0, []
        for key in self._keys:
            total += 1 / key**skew
            bounds.append(total)
        self._bounds = bounds

    def key(self) -> int:
        return self._random.choices(self._keys, cum_weights=self._bounds)[0]

    def pair(self) -> tuple[int, int]:
        one = other = self.key()
        while other == one:
            other = self.key()
        return one, other


Run = Callable[[Any, Chance, str], None]
"""One transaction: (cursor, chance, table). Beside the table of values there is one with `_done` to its name."""


def increment(cursor: Any, chance: Chance, table: str) -> None:
    """Blind: nothing is read that the client could compute with."""
    cursor.execute("BEGIN")
    _changed(cursor.execute(f"UPDATE {table} SET v = v + 1 WHERE id = {chance.key()}"))
    cursor.execute(f"INSERT INTO {table}_done (n) VALUES (1)")
    cursor.execute("COMMIT")


def lock_and_write(cursor: Any, chance: Chance, table: str) -> None:
    _read_then_write(cursor, chance.key(), table, " FOR UPDATE")


def read_and_write(cursor: Any, chance: Chance, table: str) -> None:
    """Only snapshot isolation keeps the update of another client from being lost."""
    _read_then_write(cursor, chance.key(), table, "")


def _read_then_write(cursor: Any, key: int, table: str, locking: str) -> None:
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT v FROM {table} WHERE id = {key}{locking}")
    value = int(cursor.fetchall()[0][0])
    cursor.execute(f"UPDATE {table} SET v = {value + 1} WHERE id = {key}")
    cursor.execute(f"INSERT INTO {table}_done (n) VALUES (1)")
    cursor.execute("COMMIT")


def transfer(cursor: Any, chance: Chance, table: str) -> None:
    giver, taker = chance.pair()
    cursor.execute("BEGIN")
    _changed(cursor.execute(f"UPDATE {table} SET v = v - 7 WHERE id = {giver}"))
    _changed(cursor.execute(f"UPDATE {table} SET v = v + 7 WHERE id = {taker}"))
    cursor.execute("COMMIT")


def _changed(rows: int) -> None:
    """What the client was told of an UPDATE; were the row not there, the check would miss a change that never was."""
    if rows != 1:
        raise MySQLdb.DataError(0, f"an UPDATE of one row changed {rows}")


@dataclass(frozen=True, slots=True)
class Work:
    """`counts`: each run adds one to the sum of all values, and one row to `done`; otherwise the sum stays. `fights`:
    its clients get into each other's way.
    """

    name: str
    shows: str
    run: Run
    keys: int
    skew: float
    counts: bool = True
    isolated: bool = False
    fights: bool = True


WORKS: Final = {
    work.name: work
    for work in (
        Work("increments", "increments of 50 keys, zipf 0.9", increment, 50, 0.9),
        Work("lock-and-write", "read FOR UPDATE, then write, 50 keys, zipf 0.9", lock_and_write, 50, 0.9),
        Work("transfers", "transfers between two of 100 keys, zipf 0.9", transfer, 100, 0.9, counts=False),
        Work("read-and-write", "read, then write, snapshot isolation", read_and_write, 50, 0.9, isolated=True),
        Work("no-conflict", "increments of 5,000 keys, uniform", increment, 5000, 0.0, fights=False),
    )
}


@dataclass(slots=True)
class Outcome:
    """Of all clients: `seconds` as they measured them, `errors` by code."""

    committed: int = 0
    seconds: float = 0.0
    errors: Counter[int] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    lost: int = 0
    """Acknowledged changes that are not there, or, below zero, changes that nobody was told of."""

    @property
    def rate(self) -> float:
        return self.committed / self.seconds if self.seconds else 0.0


def connect(port: int, schema: str, isolated: bool = False) -> Any:
    connection = MySQLdb.connect(
        host=HOST, port=port, user="app", password="app", db=schema, autocommit=True, connect_timeout=20
    )
    if isolated:
        connection.cursor().execute("SET innodb_snapshot_isolation = 1")
    return connection


def prepare(cluster: Cluster, schema: str, work: Work) -> str:
    """A table of this work, on each node, under a name that nothing has been learnt of yet."""
    table = f"{work.name.replace('-', '_')}_{next(_numbers)}"
    with contextlib.closing(connect(cluster[1].port, schema)) as connection:
        cursor = connection.cursor()
        cursor.execute(f"DROP TABLE IF EXISTS {table}, {table}_done")  # of a run before
        cursor.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, v BIGINT NOT NULL)")
        cursor.execute(f"CREATE TABLE {table}_done (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL)")
        for start in range(1, work.keys + 1, 1000):
            rows = ", ".join(f"({key}, {START})" for key in range(start, min(start + 1000, work.keys + 1)))
            cursor.execute(f"INSERT INTO {table} VALUES {rows}")
    for node in cluster:
        with _caught_up(cluster, node.port, schema) as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
    return table


@contextlib.contextmanager
def _caught_up(cluster: Cluster, port: int, schema: str) -> Iterator[Any]:
    """A cursor at a node that waits until all is there before it reads."""
    with contextlib.closing(connect(port, schema)) as connection:
        cursor = connection.cursor()
        cursor.execute(cluster.causal)
        yield cursor


_numbers = itertools.count(1)


def missing(cluster: Cluster, schema: str, work: Work, table: str, committed: int) -> int:
    """How many of the acknowledged changes are not there; below zero: how many are there that nobody was told of."""
    with _caught_up(cluster, cluster[1].port, schema) as cursor:
        cursor.execute(f"SELECT SUM(v) FROM {table}")
        added = int(cursor.fetchall()[0][0]) - START * work.keys
        cursor.execute(f"SELECT COUNT(*) FROM {table}_done")
        recorded = int(cursor.fetchall()[0][0])
    if not work.counts:
        return abs(added)
    return max(committed - added, committed - recorded, key=abs)


def _client(
    port: int, schema: str, work: Work, table: str, isolated: bool, number: int, seconds: float, to: Any
) -> None:
    chance = Chance(work.keys, work.skew, number)
    outcome = Outcome()
    connection = connect(port, schema, isolated)
    cursor = connection.cursor()
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        try:
            work.run(cursor, chance, table)
            outcome.committed += 1
        except MySQLdb.Error as error:
            code = error.args[0]
            outcome.errors[code] += 1
            if len(outcome.examples) < 3:
                outcome.examples.append(str(error))
            if code in AGAIN:
                with contextlib.suppress(MySQLdb.Error):
                    cursor.execute("ROLLBACK")
            else:
                connection = connect(port, schema, isolated)
                cursor = connection.cursor()
    outcome.seconds = time.monotonic() - began
    to.put((outcome.committed, outcome.seconds, outcome.errors, outcome.examples))


def run(
    port: int, schema: str, work: Work, cluster: Cluster, *, seconds: float, clients: int, isolated: bool
) -> Outcome:
    """Clients at work for so long, each a process of its own, on a new table; then what they were told is checked over
    a node itself, once it has all of it. `isolated`: they ask for snapshot isolation themselves.
    """
    table = prepare(cluster, schema, work)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    results = context.Queue()
    processes = [
        context.Process(
            target=_client, args=(port, schema, work, table, isolated, number, seconds, results), daemon=True
        )
        for number in range(clients)
    ]
    total = Outcome()
    with _running(processes):
        for _ in processes:
            committed, took, errors, examples = results.get(timeout=seconds + 60)
            total.committed += committed
            total.seconds = max(total.seconds, took)
            total.errors += errors
            total.examples = (total.examples + examples)[:5]
    total.lost = missing(cluster, schema, work, table, total.committed)
    return total


@contextlib.contextmanager
def _running(processes: Sequence[Any]) -> Iterator[None]:
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()


# -- as a case of the benchmark ---------------------------------------------------------------------------------------

FLUSHES: Final = {"commit": 1, "second": 2}
"""When a node flushes what it has committed, as its `innodb_flush_log_at_trx_commit`."""


def conflicts(name: str) -> Callable[[Setting], None]:
    """The case that does this work, by each endpoint before the same three writers, and by one of them directly."""
    work = WORKS[name]

    def measure(setting: Setting) -> None:
        cluster = setting.writers
        cluster[1].query(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
        endpoints = [Endpoint("direct", cluster[1].port), *(setting.run(each) for each in _endpoints(setting, work))]
        measures = {each.name: partial(figures, each, work, setting) for each in endpoints}
        for flush, how in FLUSHES.items():
            with _flushing(cluster, how):
                setting.alternate(f"conflicts-{name}", measures, {"clients": CLIENTS, "flush": flush})
        for endpoint in endpoints:
            endpoint.stop()

    return measure


def _endpoints(setting: Setting, work: Work) -> Iterator[Endpoint]:
    nodes = [node.address for node in setting.writers]
    directory = setting.directory / f"conflicts-{work.name}"
    yield HAProxy(directory / "haproxy", nodes)
    for placement in ("adaptive", "spread"):
        placed = {"endpoint": [{"placement": placement, "snapshot_isolation": work.isolated}]}
        yield Multiwriter(directory / placement, nodes, placed, placement)
    if work.fights:
        yield HAProxy(directory / HAPROXY_ONE, nodes[:1], HAPROXY_ONE)
    else:
        bare = {"endpoint": [{"placement": "spread"}], "replay": {"enabled": False}}
        yield Multiwriter(directory / BARE, nodes, bare, BARE)


@contextlib.contextmanager
def _flushing(cluster: Cluster, how: int) -> Iterator[None]:
    """With the nodes' `innodb_flush_log_at_trx_commit` so, and as it was afterwards."""
    before = [node.query("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit")[0][0] for node in cluster]
    for node in cluster:
        node.query(f"SET GLOBAL innodb_flush_log_at_trx_commit = {how}")
    try:
        yield
    finally:
        for node, was in zip(cluster, before, strict=True):
            node.query(f"SET GLOBAL innodb_flush_log_at_trx_commit = {was}")


def figures(endpoint: Endpoint, work: Work, setting: Setting) -> dict[str, float]:
    """`cpu_us` and `database_us` are CPU time by committed transaction."""
    database = [node.pid for node in setting.writers]
    before = cpu_seconds(endpoint.pids), cpu_seconds(database)
    outcome = run(
        endpoint.port,
        SCHEMA,
        work,
        setting.writers,
        seconds=setting.options.seconds,
        clients=CLIENTS,
        isolated=work.isolated and not isinstance(endpoint, Multiwriter),
    )
    after = cpu_seconds(endpoint.pids), cpu_seconds(database)
    if outcome.lost:
        raise Failed(f"{endpoint.name}, {work.name}: {outcome.lost} changes were lost\n{outcome.examples}")
    if not outcome.committed:
        raise Failed(f"{endpoint.name}, {work.name}: nothing was committed\n{outcome.examples}")
    figures = {
        "committed_per_s": outcome.rate,
        "errors_per_s": outcome.errors.total() / outcome.seconds,
        "database_us": (after[1] - before[1]) / outcome.committed * 1e6,
    }
    if endpoint.pids:
        figures["cpu_us"] = (after[0] - before[0]) / outcome.committed * 1e6
    return figures
