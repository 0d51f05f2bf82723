"""Clients that change rows and take down each answer, and the check that holds every answer against the tables.

A client is a thread with one connection, as an application would have it: it begins, works, commits, and takes an error
for an error; nothing is repeated here. Each change is made together with a row that names its client and number, so
that afterwards it can be said of each one whether it is there, and how often. Knows SQL, not whether it goes through a
proxy.
"""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import MySQLdb
import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.support.group import Group

KEYS = 50
SKEW = 0.9
START = 1000  # what each account holds at the beginning

# How likely each key is: the k-th by Zipf's law.
_WEIGHTS = [1 / k**SKEW for k in range(1, KEYS + 1)]


class Ledger:
    """Counters and accounts under the same keys, and the record of every change to them. `name` prefixes its tables.

    Without `generated` ids, a record's key is its client and number. Where a node joins or leaves, two nodes can give
    the same generated id, since their steps change; who has been told its id cannot be spared that conflict.
    """

    def __init__(self, schema: str, name: str = "shared", *, generated: bool = True) -> None:
        self.schema = schema
        self._generated = generated
        self.counter = f"{schema}.{name}_counter"
        self.account = f"{schema}.{name}_account"
        self.done = f"{schema}.{name}_done"

    def create(self, connection: "pymysql.Connection[Any]", *others: "pymysql.Connection[Any]") -> None:
        """Make the tables, and return when `others`, which are to other nodes, have them, too."""
        with connection.cursor() as cursor:
            for table, value in ((self.counter, 0), (self.account, START)):
                cursor.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, value BIGINT NOT NULL)")
                cursor.execute(
                    f"INSERT INTO {table} VALUES {', '.join(f'({key}, {value})' for key in range(1, KEYS + 1))}"
                )
            # With no unique key but the generated one, a change that was made twice can show in the records. With the
            # other it shows as an error at a client, or in the counters and accounts.
            key = "id BIGINT AUTO_INCREMENT PRIMARY KEY," if self._generated else "PRIMARY KEY (client, number),"
            cursor.execute(
                f"CREATE TABLE {self.done} ({key} client INT NOT NULL, number INT NOT NULL, kind CHAR(1) NOT NULL,"
                " giver INT NOT NULL, taker INT NOT NULL, amount INT NOT NULL)"
            )
        for other in others:
            wait_until(lambda other=other: self._is_at(other), 20, lambda: f"{self.done} does not arrive")

    def _is_at(self, connection: "pymysql.Connection[Any]") -> bool:
        with connection.cursor() as cursor, contextlib.suppress(pymysql.err.ProgrammingError):
            cursor.execute(f"SELECT 1 FROM {self.done} LIMIT 0")
            return True
        return False

    def increment(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """One blind increment, in a transaction with its record."""
        (key,) = chance.choices(range(1, KEYS + 1), _WEIGHTS)
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE {self.counter} SET value = value + 1 WHERE id = {key}")
        cursor.execute(
            f"INSERT INTO {self.done} (client, number, kind, giver, taker, amount)"
            f" VALUES ({client}, {number}, 'i', 0, {key}, 1)"
        )
        cursor.execute("COMMIT")

    def transfer(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """Move an amount between two accounts that are read FOR UPDATE first."""
        giver = taker = 0
        while giver == taker:
            giver, taker = chance.choices(range(1, KEYS + 1), _WEIGHTS, k=2)
        amount = chance.randint(1, 20)
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT id, value FROM {self.account} WHERE id IN ({giver}, {taker}) ORDER BY id FOR UPDATE")
        values = {int(key): int(value) for key, value in cursor.fetchall()}
        cursor.execute(f"UPDATE {self.account} SET value = {values[giver] - amount} WHERE id = {giver}")
        cursor.execute(f"UPDATE {self.account} SET value = {values[taker] + amount} WHERE id = {taker}")
        cursor.execute(
            f"INSERT INTO {self.done} (client, number, kind, giver, taker, amount)"
            f" VALUES ({client}, {number}, 't', {giver}, {taker}, {amount})"
        )
        cursor.execute("COMMIT")

    def blind(self, cursor: Any, chance: random.Random, client: int, number: int) -> int:
        """One blind increment as a statement that commits by itself, without a record: gives its key."""
        (key,) = chance.choices(range(1, KEYS + 1), _WEIGHTS)
        cursor.execute(f"UPDATE {self.counter} SET value = value + 1 WHERE id = {key}")
        return key

    def record(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """A change that nobody else wants to make: its record alone."""
        cursor.execute("BEGIN")
        cursor.execute(
            f"INSERT INTO {self.done} (client, number, kind, giver, taker, amount)"
            f" VALUES ({client}, {number}, 'r', 0, 0, 0)"
        )
        cursor.execute("COMMIT")

    def alone(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """Its record alone, as a statement that commits by itself."""
        cursor.execute(
            f"INSERT INTO {self.done} (client, number, kind, giver, taker, amount)"
            f" VALUES ({client}, {number}, 'r', 0, 0, 0)"
        )

    def any(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """One of all that leave a record."""
        change = chance.choice((self.increment, self.transfer, self.record, self.alone))
        change(cursor, chance, client, number)

    def blindly(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """One of those that read nothing."""
        change = chance.choice((self.increment, self.record, self.alone))
        change(cursor, chance, client, number)

    def either(self, cursor: Any, chance: random.Random, client: int, number: int) -> None:
        """An increment or a transfer, half of each."""
        change = self.increment if (client + number) % 2 else self.transfer
        change(cursor, chance, client, number)

    def faults(self, connection: "pymysql.Connection[Any]", clients: "Sequence[Client]") -> list[str]:
        """Where the tables, read over `connection`, belie what the clients were told: a line each, none if all is
        well. It waits until the connection's node has every commit.
        """
        with connection.cursor() as cursor:
            cursor.execute(Cluster.causal if "MariaDB" in connection.server_version else Group.causal)
            cursor.execute(f"SELECT client, number, kind, giver, taker, amount FROM {self.done}")
            rows = list(cursor.fetchall())
            cursor.execute(f"SELECT id, value FROM {self.counter}")
            counters = {int(key): int(value) for key, value in cursor.fetchall()}
            cursor.execute(f"SELECT id, value FROM {self.account}")
            accounts = {int(key): int(value) for key, value in cursor.fetchall()}
        times = Counter((int(row[0]), int(row[1])) for row in rows)
        found: list[str] = []

        def must_be_empty(what: str, entries: Iterable[tuple[int, int]]) -> None:
            if listed := sorted(entries):
                found.append(f"{len(listed)} {what}, (client, number): {listed[:10]}")

        acknowledged = {(client.number, number) for client in clients for number in client.committed}
        unknown = {(client.number, number) for client in clients for number in client.unknown}
        must_be_empty("acknowledged changes are not there", acknowledged - times.keys())
        must_be_empty("changes that failed, or that nobody made, are there", times.keys() - acknowledged - unknown)
        must_be_empty("changes are there more than once", (key for key, count in times.items() if count > 1))
        expected_counters = {key: sum(client.blind[key] for client in clients) for key in counters}
        expected_accounts = dict.fromkeys(accounts, START)
        for _, _, kind, giver, taker, amount in rows:
            if kind == "i":
                expected_counters[taker] += amount
            elif kind == "t":
                expected_accounts[giver] -= amount
                expected_accounts[taker] += amount
        for what, values, expected in (
            ("counter", counters, expected_counters),
            ("account", accounts, expected_accounts),
        ):
            found += [
                f"{what} {key} is {values[key]}, its recorded changes make it {expected[key]}"
                for key in sorted(values)
                if values[key] != expected[key]
            ]
        if len(counters) != KEYS or sum(accounts.values()) != KEYS * START:
            found.append(f"{len(counters)} counters, accounts sum up to {sum(accounts.values())}")
        return found


Change = Callable[[Any, random.Random, int, int], int | None]
"""Makes one change with a cursor: (cursor, chance, client, number). What it gives back is the counter that it added to
without leaving a record."""


class Client(threading.Thread):
    """One client of `port`. It works from `start` until `stop` is set, and once more connects if it is thrown out.

    committed, unknown, failed: the numbers of its changes by answer; `blind` counts, by key, those acknowledged that
    leave no record. `unknown` is error 1180 with SQLSTATE 08007 only:
    a connection that goes away says nothing either, but is an error.
    """

    def __init__(self, port: int, number: int, change: Change, stop: threading.Event) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.number = number
        self.port = port
        self.committed: list[int] = []
        self.blind: Counter[int] = Counter()
        self.unknown: list[int] = []
        self.failed: list[int] = []
        self.errors: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.answered: list[float] = []  # when, by time.monotonic
        self.broken: BaseException | None = None
        self._change = change
        self._stop_asked = stop
        self._chance = random.Random(number)

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.broken = error

    def _work(self) -> None:
        connection: Any = None
        number = 0
        while not self._stop_asked.is_set():
            number += 1
            try:
                if connection is None:
                    connection = connect(self.port)
                    cursor = connection.cursor()
                blind = self._change(cursor, self._chance, self.number, number)
            except MySQLdb.Error as error:
                state = connection.sqlstate() if connection is not None else "-"
                usable = self._note(error, state, number)
                if connection is None or not usable or not _rolled_back(connection):
                    connection = None
                    self._stop_asked.wait(0.05)
            else:
                if blind is None:
                    self.committed.append(number)
                else:
                    self.blind[blind] += 1
            self.answered.append(time.monotonic())
        if connection is not None:
            connection.close()

    def _note(self, error: Exception, state: str, number: int) -> bool:
        """Take down an error; can the connection be used further?"""
        code = error.args[0] if error.args else 0
        if code == 1180 and state == "08007":
            self.unknown.append(number)
            return True
        self.failed.append(number)
        key = f"{code}/{state}"
        self.errors[key] += 1
        self.examples.setdefault(key, f"change {number}: {error.args[1:]}")
        return not 2000 <= code < 3000

    def pauses(self, since: float, until: float) -> list[tuple[float, float]]:
        """The times without an answer that began before `until`, longest first, counted from `since` on: (seconds,
        when it began after `since`). To have no answer any more is to wait until `until`.
        """
        found: list[tuple[float, float]] = []
        before = since
        for at in (*self.answered, max([until, *self.answered[-1:]])):
            if at > since and before < until:
                found.append((at - max(before, since), max(before, since) - since))
            before = at
        return sorted(found, reverse=True)

    def usual_pause(self, until: float) -> float:
        """Seconds, the longest time between two answers before `until`: what clients wait for each other."""
        times = [at for at in self.answered if at <= until]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)


def _rolled_back(connection: Any) -> bool:
    try:
        connection.rollback()
    except MySQLdb.Error:
        with contextlib.suppress(MySQLdb.Error):
            connection.close()
        return False
    return True


def connect(port: int, **options: Any) -> Any:
    """A MySQLdb connection as app, in autocommit. In C: dozens of such clients leave the processor to the servers."""
    settings = {"autocommit": True, "connect_timeout": 15, "charset": "utf8mb4"} | options
    return MySQLdb.connect(host="127.0.0.1", port=port, user="app", password="app", **settings)


class Work:
    """Clients at work for the length of a `with` block; afterwards their answers can be asked for.

    `changes`: a client for each, which makes this kind of change; its number is its position, from `first`.
    """

    def __init__(self, ports: int | Sequence[int], changes: Sequence[Change], first: int = 1) -> None:
        given = [ports] * len(changes) if isinstance(ports, int) else ports
        self._stop_asked = threading.Event()
        self.clients = [
            Client(port, first + i, change, self._stop_asked)
            for i, (port, change) in enumerate(zip(given, changes, strict=True))
        ]

    def __enter__(self) -> "Work":
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        """Let each finish what it does; a client that does not come back within a minute hangs."""
        self._stop_asked.set()
        deadline = time.monotonic() + 60
        for client in self.clients:
            client.join(max(0.0, deadline - time.monotonic()))
        hung = [client.name for client in self.clients if client.is_alive()]
        assert not hung, f"no answer within a minute: {hung}\n{self.seen()}"
        broken = [repr(client.broken) for client in self.clients if client.broken is not None]
        assert not broken, f"clients failed by themselves: {broken}"

    def go_on(self, seconds: float) -> None:
        """Return when they have worked for so long."""
        self._stop_asked.wait(seconds)

    @property
    def committed(self) -> int:
        return sum(len(client.committed) + client.blind.total() for client in self.clients)

    @property
    def unknown(self) -> int:
        return sum(len(client.unknown) for client in self.clients)

    @property
    def errors(self) -> Counter[str]:
        return sum((client.errors for client in self.clients), Counter())

    def pauses(self, since: float, until: float) -> list[tuple[float, float]]:
        """The longest of all its clients' pauses, as `Client.pauses` gives them."""
        found = (pause for client in self.clients for pause in client.pauses(since, until)[:3])
        return [(round(length, 3), round(began, 3)) for length, began in sorted(found, reverse=True)[:10]]

    def usual_pause(self, until: float) -> float:
        """The longest of all its clients', as `Client.usual_pause` gives them."""
        return max(client.usual_pause(until) for client in self.clients)

    def seen(self) -> str:
        """Counts, and the first error of each kind, for the messages of failing tests."""
        lines = [f"{self.committed} committed, {self.unknown} unknown, errors {dict(self.errors)}"]
        lines += [
            f"  client {client.number}: {key} {text}"
            for client in self.clients
            for key, text in client.examples.items()
        ]
        return "\n".join(lines[:25])
