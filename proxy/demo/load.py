"""`multiwriter demo load`: clients that work through the proxy, a line of figures a second, and a verdict at the end.

Each client is a thread with a connection, as an application would have it: it begins, works, commits, and takes an
error for an error. Nothing is retried here: what the proxy does not hide, shows.
"""

import collections
import contextlib
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import pymysql

from proxy.demo import accounts
from proxy.demo.accounts import Promises
from proxy.demo.instance import Metrics, scrape
from proxy.demo.place import Ports
from proxy.demo.processes import StartError

UNKNOWN_OUTCOME = 1180
"""The error that says that a commit's outcome is unknown (with SQLSTATE 08007, which PyMySQL does not show)."""


class Pace:
    """When commits came, from all clients together: how many, and the longest time without one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: float | None = None
        self._longest = 0.0
        self.commits = 0

    def commit(self, now: float) -> None:
        with self._lock:
            if self._last is not None:
                self._longest = max(self._longest, now - self._last)
            self._last = now
            self.commits += 1

    def take_longest(self, now: float) -> float:
        """The longest pause in seconds that ended since the last call or still lasts; none before the first commit."""
        with self._lock:
            longest = self._longest if self._last is None else max(self._longest, now - self._last)
            self._longest = 0.0
            return longest


class Client(threading.Thread):
    """One client: works until told to stop, reconnects when its connection is gone."""

    def __init__(self, port: int, run: int, number: int, pace: Pace, stop: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.promises = Promises()
        self.errors: collections.Counter[str] = collections.Counter()
        self._port = port
        self._run = run
        self._pace = pace
        self._stop_asked = stop
        self._chance = random.Random(run * 1000 + number)

    def run(self) -> None:
        connection: pymysql.Connection[Any] | None = None
        count = 0
        while not self._stop_asked.is_set():
            count += 1
            try:
                connection = connection or connect(self._port)
                self._work(connection, count)
            except (pymysql.MySQLError, OSError) as error:
                self.note(error, count)
                if connection is None or not _rolled_back(connection):
                    connection = None
                    self._stop_asked.wait(0.1)
        if connection is not None:
            connection.close()

    def _work(self, connection: "pymysql.Connection[Any]", count: int) -> None:
        with connection.cursor() as cursor:
            kind = self._chance.random()
            if kind < 0.3:
                accounts.look(cursor, self._chance)
                return
            connection.begin()
            change = accounts.transfer if kind < 0.6 else accounts.increment
            change(cursor, self._chance, self._run, self.number, count)
            connection.commit()
        self._pace.commit(time.monotonic())
        self.promises.committed.append(count)

    def note(self, error: Exception, count: int) -> None:
        """Take down what the client was promised about its change number `count` by this error."""
        code = error.args[0] if error.args else None
        # A connection that went away with the commit under way promises nothing; a server's error promises a rollback.
        lost = (
            not isinstance(error, pymysql.MySQLError) or not isinstance(code, int) or 2000 <= code < 3000 or code == 0
        )
        if code == UNKNOWN_OUTCOME or lost:
            self.promises.unknown.append(count)
        else:
            self.promises.refused.append(count)
        if code != UNKNOWN_OUTCOME:
            self.errors[f"{type(error).__name__} {', '.join(map(str, error.args))}"] += 1


def connect(port: int) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        host="127.0.0.1",
        port=port,
        user="app",
        password="app",  # noqa: S106 the demo's account, on loopback
        database="demo",
        autocommit=True,
        connect_timeout=15,
    )


def _rolled_back(connection: "pymysql.Connection[Any]") -> bool:
    """Whether the connection is good for more; it is closed if not."""
    try:
        connection.rollback()
    except (pymysql.MySQLError, OSError):
        if connection.open:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                connection.close()
        return False
    return True


@dataclass(frozen=True, slots=True)
class Counts:
    """What the proxy has counted since it started."""

    transactions: dict[str, float]
    """By node."""
    conflicts: float
    retries: float
    states: dict[str, str]

    @classmethod
    def of(cls, metrics: Metrics) -> "Counts":
        return cls(
            metrics.by("node", "multiwriter_transactions_total"),
            metrics.total("multiwriter_conflicts_total"),
            metrics.total("multiwriter_retries_total"),
            metrics.node_states(),
        )

    def shares(self, before: "Counts") -> dict[str, float]:
        """Each node's part of the transactions since then, from 0 to 1; all 0 when there was none."""
        done = {
            node: max(0.0, self.transactions.get(node, 0.0) - before.transactions.get(node, 0.0))
            for node in sorted(self.states.keys() | self.transactions.keys())
        }
        total = sum(done.values())
        return {node: count / total if total else 0.0 for node, count in done.items()}


def figures(
    second: int, commits: int, before: Counts, now: Counts, unknown: int, failed: int, pause: float, ports: Ports
) -> str:
    """One line: what happened between two scrapes; `unknown` and `failed` since the beginning, `pause` in seconds."""
    shares = "".join(f"  {share:5.0%}" for share in now.shares(before).values())
    away = ", ".join(f"{ports.node_name(node)} {state}" for node, state in sorted(now.states.items()) if state != "up")
    conflicts, retries = now.conflicts - before.conflicts, now.retries - before.retries
    text = f"{second:6d}  {commits:9d}{shares}  {conflicts:9.0f}  {retries:7.0f}  {unknown:7d}  {failed:6d}"
    return f"{text}  {pause * 1000:5.0f} ms{'  ' + away if away else ''}"


def heading(counts: Counts, ports: Ports) -> str:
    """The words above the figures."""
    nodes = "".join(f"  {ports.node_name(node):>5}" for node in counts.shares(counts))
    return f"second  commits/s{nodes}  conflicts  retries  unknown  errors     pause"


def run(ports: Ports, clients: int, seconds: float | None) -> int:
    """Work for so long, or until Ctrl-C; 0 if clients saw no error but "outcome unknown" and each promise was kept."""
    number = time.time_ns() // 1000
    try:
        with contextlib.closing(connect(ports.port)) as connection, connection.cursor() as cursor:
            accounts.prepare(cursor)
    except (pymysql.MySQLError, OSError) as error:
        raise StartError(f"cannot work at 127.0.0.1:{ports.port}: {error}") from error
    first = Counts.of(scrape(ports.http))
    pace, stop = Pace(), threading.Event()
    working = [Client(ports.port, number, i, pace, stop) for i in range(1, clients + 1)]
    duration = "until Ctrl-C" if seconds is None else f"for {seconds:g} s"
    work = "transfers between rows read for update, blind increments of hot rows, and reads"
    print(f"{clients} clients at 127.0.0.1:{ports.port} {duration}: {work}", flush=True)
    begun = time.monotonic()
    for client in working:
        client.start()
    longest = 0.0
    before, commits, second = first, 0, 0
    try:
        while seconds is None or time.monotonic() - begun < seconds:
            second += 1
            end = second if seconds is None else min(float(second), seconds)
            time.sleep(max(0.0, begun + end - time.monotonic()))
            now = _counts(ports, before)
            pause, done = pace.take_longest(time.monotonic()), pace.commits
            if second % 20 == 1:
                print(heading(now, ports))
            unknown = sum(len(client.promises.unknown) for client in working)
            failed = sum(client.errors.total() for client in working)
            print(figures(second, done - commits, before, now, unknown, failed, pause, ports), flush=True)
            longest, before, commits = max(longest, pause), now, done
    except KeyboardInterrupt:
        print()
    elapsed = time.monotonic() - begun
    stop.set()
    for client in working:
        client.join(60)
    now = _counts(ports, before)
    shares = ", ".join(f"{ports.node_name(node)} {share:.0%}" for node, share in now.shares(first).items())
    print(f"\n{pace.commits} commits in {elapsed:.1f} s, {pace.commits / elapsed:.0f} per second; by node: {shares}")
    print(
        f"conflicts {now.conflicts - first.conflicts:.0f}, retries {now.retries - first.retries:.0f},"
        f" longest pause of all clients {longest * 1000:.0f} ms"
    )
    return _verdict(ports, working, number)


def _counts(ports: Ports, otherwise: Counts) -> Counts:
    """The proxy's counts; `otherwise` when it does not answer, which a run of the load must survive."""
    try:
        return Counts.of(scrape(ports.http))
    except StartError:
        return otherwise


def _verdict(ports: Ports, clients: list[Client], run: int) -> int:
    """Say what clients saw and hold what they were told against the tables; the exit code."""
    errors: collections.Counter[str] = collections.Counter()
    broken: list[str] = []
    unknown = kept = 0
    with contextlib.closing(connect(ports.port)) as connection, connection.cursor() as cursor:
        # Whatever node this runs on, it must have what the clients wrote on others.
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        for client in clients:
            errors.update(client.errors)
            present = accounts.present(cursor, run, client.number)
            broken += [f"client {client.number}: {text}" for text in accounts.broken(client.promises, present)]
            unknown += len(client.promises.unknown)
            kept += len(present & set(client.promises.unknown))
            if client.is_alive():
                broken.append(f"client {client.number} hangs")
        imbalance = accounts.imbalance(cursor)
    if imbalance:
        broken.append(f"the sums are off by {imbalance:+d}")
    for text, count in errors.most_common(10):
        print(f"error at a client: {text} ({count} times)")
    if not errors:
        print(
            "no error at any client" + (f" but {unknown} outcomes unknown ({kept} were committed)" if unknown else "")
        )
    for text in broken:
        print(f"BROKEN: {text}")
    if not broken:
        print("every acknowledged transaction is there, no refused one is, and the sums agree")
    return 1 if errors or broken else 0
