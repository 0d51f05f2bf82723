"""Transactions that fight over rows, by real clients: what is committed, what they see of it, and what is lost.

A client is a process's thread with one connection, as an application's would be; an error that says "try again" is
tried again at once and counted. Each kind of work has its own check that nothing was lost or done twice. The same run
measures one node directly, HAProxy before all writers, and this proxy.
"""

import contextlib
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import MySQLdb

HOST: Final = "127.0.0.1"
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


Run = Callable[[Any, Chance], None]


def increment(cursor: Any, chance: Chance) -> None:
    """Blind: nothing is read that the client could compute with."""
    cursor.execute("BEGIN")
    cursor.execute(f"UPDATE counter SET v = v + 1 WHERE id = {chance.key()}")
    cursor.execute("INSERT INTO done (n) VALUES (1)")
    cursor.execute("COMMIT")


def lock_and_write(cursor: Any, chance: Chance) -> None:
    key = chance.key()
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT v FROM counter WHERE id = {key} FOR UPDATE")
    value = int(cursor.fetchall()[0][0])
    cursor.execute(f"UPDATE counter SET v = {value + 1} WHERE id = {key}")
    cursor.execute("INSERT INTO done (n) VALUES (1)")
    cursor.execute("COMMIT")


def read_and_write(cursor: Any, chance: Chance) -> None:
    """Without FOR UPDATE: only snapshot isolation keeps the update of another client from being lost."""
    key = chance.key()
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT v FROM counter WHERE id = {key}")
    value = int(cursor.fetchall()[0][0])
    cursor.execute(f"UPDATE counter SET v = {value + 1} WHERE id = {key}")
    cursor.execute("INSERT INTO done (n) VALUES (1)")
    cursor.execute("COMMIT")


def transfer(cursor: Any, chance: Chance) -> None:
    giver, taker = chance.pair()
    cursor.execute("BEGIN")
    cursor.execute(f"UPDATE counter SET v = v - 7 WHERE id = {giver}")
    cursor.execute(f"UPDATE counter SET v = v + 7 WHERE id = {taker}")
    cursor.execute("COMMIT")


@dataclass(frozen=True, slots=True)
class Work:
    """`counts`: each run adds one to the sum of all values, and one row to `done`; otherwise the sum stays."""

    name: str
    run: Run
    keys: int
    skew: float
    counts: bool = True
    isolated: bool = False


WORKS: Final = {
    work.name: work
    for work in (
        Work("increments", increment, 50, 0.9),
        Work("lock-and-write", lock_and_write, 50, 0.9),
        Work("transfers", transfer, 100, 0.9, counts=False),
        Work("read-and-write", read_and_write, 50, 0.9, isolated=True),
        Work("no-conflict", increment, 5000, 0.0),
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

    def figures(self) -> dict[str, float]:
        tried = self.committed + self.errors.total()
        return {
            "committed_per_s": self.rate,
            "errors_percent": 100 * self.errors.total() / tried if tried else 0.0,
            "lost": float(self.lost),
        }


def connect(port: int, schema: str, isolated: bool = False) -> Any:
    connection = MySQLdb.connect(
        host=HOST, port=port, user="app", password="app", db=schema, autocommit=True, connect_timeout=20
    )
    if isolated:
        connection.cursor().execute("SET innodb_snapshot_isolation = 1")
    return connection


def prepare(port: int, schema: str, work: Work) -> None:
    """Tables of this work, new."""
    with contextlib.closing(connect(port, schema)) as connection:
        cursor = connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS counter, done")
        cursor.execute("CREATE TABLE counter (id INT PRIMARY KEY, v BIGINT NOT NULL)")
        cursor.execute("CREATE TABLE done (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL)")
        for start in range(1, work.keys + 1, 1000):
            rows = ", ".join(f"({key}, {START})" for key in range(start, min(start + 1000, work.keys + 1)))
            cursor.execute(f"INSERT INTO counter VALUES {rows}")


def missing(port: int, schema: str, work: Work, committed: int) -> int:
    """How many of the acknowledged changes are not there."""
    with contextlib.closing(connect(port, schema)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION wsrep_sync_wait = 15")
        cursor.execute("SELECT SUM(v) FROM counter")
        added = int(cursor.fetchall()[0][0]) - START * work.keys
        cursor.execute("SELECT COUNT(*) FROM done")
        recorded = int(cursor.fetchall()[0][0])
    if not work.counts:
        return abs(added)
    return max(committed - added, committed - recorded, key=abs)


def _client(port: int, schema: str, work: Work, isolated: bool, number: int, until: float, to: Any) -> None:
    chance = Chance(work.keys, work.skew, number)
    outcome = Outcome()
    began = time.monotonic()
    connection = connect(port, schema, isolated)
    cursor = connection.cursor()
    while time.monotonic() < until:
        try:
            work.run(cursor, chance)
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
    ports: int | Sequence[int], schema: str, work: Work, *, seconds: float, clients: int, isolated: bool = False
) -> Outcome:
    """Clients at work for so long, each a process of its own. `isolated`: they ask for snapshot isolation."""
    given = [ports] if isinstance(ports, int) else list(ports)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    until = time.monotonic() + seconds
    processes = [
        context.Process(
            target=_client,
            args=(given[number % len(given)], schema, work, isolated, number, until, results),
            daemon=True,
        )
        for number in range(clients)
    ]
    with _running(processes):
        total = Outcome()
        for _ in processes:
            committed, took, errors, examples = results.get(timeout=seconds + 60)
            total.committed += committed
            total.seconds = max(total.seconds, took)
            total.errors += errors
            total.examples = (total.examples + examples)[:5]
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


def measure(
    ports: int, check: int, schema: str, work: Work, *, seconds: float, clients: int, isolated: bool
) -> Outcome:
    """New tables, a run, and the check, over a node itself at `check`."""
    prepare(check, schema, work)
    outcome = run(ports, schema, work, seconds=seconds, clients=clients, isolated=isolated)
    outcome.lost = missing(check, schema, work, outcome.committed)
    return outcome
