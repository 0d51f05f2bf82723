"""Whatever is refused of what the proxy sends ahead of a statement: the statement does not commit by itself.

Clients open transactions and mostly roll them back, while every reason that a prefix can be refused for is provoked:
KILL QUERY at any moment, causal waits that time out at once, aborts by writers on other nodes. A row that its client
was not told to be committed, and that is there, was committed on its own.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

import MySQLdb
import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.node import Node
from tests.integration.conftest import Direct, MakeProxy
from tests.support.duration import seconds
from tests.support.proxy import Proxy
from tests.support.workload import connect

CLIENTS = 6
KEYS = 4  # few, so that writers elsewhere hit them
UNKNOWN = 1180
PATIENCE = "SET GLOBAL wsrep_provider_options = 'repl.causal_read_timeout={}'"
OPEN = 5  # of the rows of a client, the share that is committed is one in so many


class Opener(threading.Thread):
    """Opens transactions with one row each; knows which of them may be there."""

    def __init__(self, number: int, port: int, table: str, stop: threading.Event) -> None:
        super().__init__(name=f"opener {number}", daemon=True)
        self.number = number
        self.allowed: set[int] = set()  # committed, or nobody knows
        self.denied: set[int] = set()
        self.errors: dict[int, int] = {}
        self.stories: dict[int, str] = {}
        self.broken: BaseException | None = None
        self._port = port
        self._table = table
        self._stop_asked = stop
        self._chance = random.Random(number)

    def run(self) -> None:
        try:
            row = 0
            while not self._stop_asked.is_set():
                with contextlib.closing(connect(self._port)) as connection, contextlib.suppress(MySQLdb.Error):
                    while not self._stop_asked.is_set():
                        row += 1
                        self._one(connection, row)
        except BaseException as error:
            self.broken = error

    def _one(self, connection: "MySQLdb.connections.Connection", row: int) -> None:
        cursor = connection.cursor()
        insert = f"INSERT INTO {self._table} VALUES ({self.number}, {row})"
        update = f"UPDATE {self._table}_hot SET value = value + 1 WHERE id = {self._chance.randint(1, KEYS)}"
        alone, commits = self._chance.random() < 0.2, self._chance.randrange(OPEN) == 0
        told = self.denied
        code = 0
        try:
            if alone:
                cursor.execute(insert)
                told = self.allowed
            else:
                cursor.execute("BEGIN")
                for statement in self._chance.sample([insert, update], 2):
                    cursor.execute(statement)
                if commits:
                    cursor.execute("COMMIT")
                    told = self.allowed
                else:
                    connection.rollback()
        except MySQLdb.Error as error:
            code = error.args[0]
            self.errors[code] = self.errors.get(code, 0) + 1
            if code == UNKNOWN or code in (2006, 2013):
                told = self.allowed
            connection.rollback()
        finally:
            told.add(row)
            self.stories[row] = f"{'alone' if alone else 'commits' if commits else 'rolls back'}: {code or 'ok'}"


class Trouble(threading.Thread):
    """Something that is done to a node again and again."""

    def __init__(self, node: Node, what: Callable[["pymysql.Connection", random.Random], None], stop: threading.Event):  # type: ignore[type-arg]
        super().__init__(name=f"trouble at {node.name}", daemon=True)
        self.times = 0
        self._node = node
        self._what = what
        self._stop_asked = stop

    def run(self) -> None:
        chance = random.Random(self._node.number)
        with contextlib.closing(self._node.connect()) as connection:
            while not self._stop_asked.wait(chance.uniform(0, 0.01)):
                with contextlib.suppress(pymysql.MySQLError):
                    self._what(connection, chance)
                    self.times += 1


def kill_a_query(connection: "pymysql.Connection", chance: random.Random) -> None:  # type: ignore[type-arg]
    with connection.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        found = [thread for thread, user, *_ in cursor.fetchall() if user == "app"]
        for thread in chance.sample(found, min(3, len(found))):
            cursor.execute(f"KILL QUERY {thread}")


@pytest.fixture
def impatient_nodes(cluster: Cluster) -> Iterator[None]:
    """Causal waits end in 1205 unless there is next to nothing to wait for; those of a MySQL group have no limit."""

    def patience(value: str) -> None:
        for node in cluster if cluster.flavor == Cluster.flavor else ():
            node.query(PATIENCE.format(value))

    patience("PT0.001S")
    yield
    patience("PT30S")


@pytest.mark.usefixtures("impatient_nodes")
@pytest.mark.parametrize("marker", [False, True], ids=["plain", "marked"])
def test_nothing_commits_by_itself(
    marker: bool, cluster: Cluster, schema: str, direct: Direct, make_proxy: MakeProxy
) -> None:
    table = f"{schema}.t"
    with direct(1).cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} (client INT, number INT, PRIMARY KEY (client, number))")
        cursor.execute(f"CREATE TABLE {table}_hot (id INT PRIMARY KEY, value INT NOT NULL)")
        cursor.execute(f"INSERT INTO {table}_hot VALUES {', '.join(f'({key}, 0)' for key in range(1, KEYS + 1))}")

    def abort_somebody(connection: "pymysql.Connection", chance: random.Random) -> None:  # type: ignore[type-arg]
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table}_hot SET value = value + 1 WHERE id = {chance.randint(1, KEYS)}")

    proxy: Proxy = make_proxy({"endpoint": [{"commit_marker": marker}]})
    stop = threading.Event()
    openers = [Opener(number, proxy.port, table, stop) for number in range(CLIENTS)]
    troubles = [Trouble(node, what, stop) for node in cluster for what in (kill_a_query, abort_somebody)]
    for thread in (*openers, *troubles):
        thread.start()
    time.sleep(seconds(5))
    stop.set()
    for thread in (*openers, *troubles):
        thread.join(60)
        assert not thread.is_alive(), f"{thread.name} hangs\n{proxy.log_text()[-2000:]}"
    assert not [opener.broken for opener in openers if opener.broken]
    seen = [(opener.errors, len(opener.allowed), len(opener.denied)) for opener in openers]
    assert all(trouble.times > 10 for trouble in troubles)
    assert sum(len(opener.denied) for opener in openers) > 100, f"hardly anything was done: {seen}"
    if cluster.flavor == Cluster.flavor:
        cluster[1].query(PATIENCE.format("PT30S"))
    with direct(1).cursor() as cursor:
        cursor.execute(cluster.causal)
        cursor.execute(f"SELECT client, number FROM {table}")
        there = set(cursor.fetchall())
    wrong = [
        (opener.number, row, opener.stories[row])
        for opener in openers
        for row in opener.denied
        if (opener.number, row) in there
    ]
    assert not wrong, (
        f"committed on their own: {wrong}; {seen}; {proxy.metrics().by('reason', 'multiwriter_retries_total')}"
    )
