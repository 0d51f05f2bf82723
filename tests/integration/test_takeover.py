"""A second `multiwriter serve --takeover` relieves the first: no client is refused, and what is open is finished."""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.instance import _command
from proxy.demo.processes import Process, wait_until
from tests.support.proxy import Proxy


class Successive(Proxy):
    """Runs one after the other with the same settings, all of them in one log."""

    def __init__(self, directory: Path, cluster: Cluster, workers: int) -> None:
        settings = {
            "process": {"workers": workers, "takeover": str(directory / "takeover")},
            "endpoint": [{"socket": str(directory / "sock")}],
        }
        super().__init__(directory, [node.address for node in cluster], settings, flavor=cluster.flavor)
        self.runs: list[Process] = []

    def next(self) -> None:
        with self.log.open("ab") as log:
            command = [*_command(), "serve", "--takeover", "--config", self.settings]
            self.process = Process(command, output=log, on_parent_death=signal.SIGTERM)
        self.runs.append(self.process)

    def serving(self) -> bool:
        """The run that was started last serves, and offers to be taken over."""
        ready = self.get("/readyz") == (200, "ready\n")
        return ready and self.log_text().count("takeover.done") == len(self.runs) - 1 and self.offers()

    def offers(self) -> bool:
        return os.path.exists(self.directory / "takeover")


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def runs(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Successive]:
    proxy = Successive(tmp_path, cluster, request.param)
    proxy.next()
    wait_until(proxy.serving, 100, lambda: proxy.log_text()[-3000:])
    yield proxy
    for run in proxy.runs:
        run.kill()


class Visitor(threading.Thread):
    """Connects, asks, and goes, again and again."""

    def __init__(self, proxy: Proxy, **options: object) -> None:
        super().__init__()
        self.proxy = proxy
        self.options = options
        self.served = 0
        self.errors: list[str] = []
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        for number in itertools.count():
            if self.ended.is_set():
                return
            try:
                with self.proxy.connect(**self.options) as connection, connection.cursor() as cursor:
                    cursor.execute(f"SELECT {number}")
                    assert cursor.fetchall() == ((number,),)
            except (pymysql.MySQLError, OSError) as error:
                self.errors.append(repr(error))
            else:
                self.served += 1

    def end(self) -> None:
        self.ended.set()
        self.join(30)


def test_no_client_is_refused_while_the_next_run_takes_over(runs: Successive, schema: str) -> None:
    first = runs.runs[0]
    with contextlib.closing(runs.connect(database=schema)) as working, working.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        working.begin()
        cursor.execute("INSERT INTO t VALUES (1)")
        visitors = [Visitor(runs), Visitor(runs), Visitor(runs, unix_socket=str(runs.directory / "sock"))]
        try:
            runs.next()
            wait_until(runs.serving, 100, lambda: runs.log_text()[-3000:])
            before = [each.served for each in visitors]
            wait_until(
                lambda: all(each.served > then + 5 for each, then in zip(visitors, before, strict=True)),
                60,
                lambda: "nobody is served any more",
            )
        finally:
            for each in visitors:
                each.end()
        assert [each.errors for each in visitors] == [[], [], []]
        assert first.running, "it waits for the transaction that is open"
        cursor.execute("INSERT INTO t VALUES (2)")
        working.commit()
    assert first.wait(60) == 0, runs.log_text()[-3000:]
    assert (runs.directory / "sock").is_socket(), "it is the new one's now"
    assert runs.offers()
    with contextlib.closing(runs.connect(database=schema)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM t ORDER BY id")
        assert cursor.fetchall() == ((1,), (2,))
    assert "internal.error" not in runs.log_text()


class Hesitant(pymysql.Connection):  # type: ignore[type-arg]  # it is generic to mypy alone
    """Is greeted, and does not answer before it is told to."""

    def __init__(self, proxy: Proxy, go_on: threading.Event) -> None:
        self.greeted = threading.Event()
        self._go_on = go_on
        super().__init__(host="127.0.0.1", port=proxy.port, user="app", password="app", defer_connect=True)

    def _request_authentication(self) -> None:
        self.greeted.set()
        assert self._go_on.wait(60)
        super()._request_authentication()


def test_who_is_logging_in_while_the_next_run_takes_over_gets_in(runs: Successive) -> None:
    """Nobody else is there: the old run has nothing else to wait for."""
    go_on = threading.Event()
    clients = [Hesitant(runs, go_on) for _ in range(4)]
    with ThreadPoolExecutor(len(clients)) as threads:
        logins = [threads.submit(client.connect) for client in clients]
        try:
            for client in clients:
                assert client.greeted.wait(60)
            runs.next()
            wait_until(lambda: "takeover.done" in runs.log_text(), 100, lambda: runs.log_text()[-3000:])
        finally:
            go_on.set()
        for login in logins:
            login.result(60)
    for client in clients:
        client.close()


def test_a_run_that_cannot_start_leaves_the_old_one_as_it_is(runs: Successive) -> None:
    good = runs.settings.read_text()
    runs.settings.write_text(good + '\n[console]\nlisten = "192.0.2.1:6032"\npassword = "x"\n')
    first = runs.process
    assert first is not None
    runs.next()
    assert runs.runs.pop().wait(100) == 1, runs.log_text()[-3000:]
    runs.process = first
    wait_until(lambda: "takeover.failed" in runs.log_text(), 20, lambda: runs.log_text()[-3000:])
    visitor = Visitor(runs)
    wait_until(lambda: visitor.served > 5, 60, lambda: str(visitor.errors))
    visitor.end()
    assert not visitor.errors
    assert runs.get("/readyz") == (200, "ready\n")
