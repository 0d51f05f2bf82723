"""Several workers are one proxy: to clients, to those who scrape it, to who operates it."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from proxy.board import seat_of
from proxy.demo.galera import Cluster
from proxy.demo.processes import free_ports, wait_until
from tests.bench.conflicts import CLIENTS, WORKS, run
from tests.integration.conftest import Connection, MakeProxy
from tests.support.duration import seconds
from tests.support.proxy import Proxy

WORKERS = 2
MAX_CLIENTS = 12
Connect = Callable[[], Connection]


@pytest.fixture(scope="module")
def workers(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp("workers")
    (console,) = free_ports(1)
    settings = {
        "process": {"workers": WORKERS},
        "limits": {"max_clients": MAX_CLIENTS},
        "endpoint": [{"socket": str(directory / "sock")}],
        "console": {"listen": f"127.0.0.1:{console}", "user": "operator", "password": "secret"},
    }
    proxy = Proxy(directory, [node.address for node in running_cluster], settings, flavor=running_cluster.flavor)
    proxy.start(wait=False)
    proxy.wait_ready(150)
    wait_until(lambda: len(pids(proxy)) == WORKERS, 60, lambda: proxy.log_text()[-3000:])
    yield proxy
    proxy.kill()


@pytest.fixture(scope="module")
def careful(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Another proxy with two workers. Transactions queue for the rows that they read, and then write; nodes are hardly
    ever polled; and who guesses passwords is slowed down so that one can wait for it.
    """
    settings = {
        "process": {"workers": WORKERS},
        "endpoint": [{"snapshot_isolation": True, "queue_wait": "20s"}],
        "monitor": {"interval": "60s"},
        "limits": {"login_backoff": "20ms", "login_backoff_max": "60s"},
    }
    proxy = Proxy(
        tmp_path_factory.mktemp("careful"),
        [node.address for node in running_cluster],
        settings,
        flavor=running_cluster.flavor,
    )
    proxy.start(wait=False)
    proxy.wait_ready(150)
    wait_until(lambda: len(pids(proxy)) == WORKERS, 60, lambda: proxy.log_text()[-3000:])
    yield proxy
    proxy.kill()


@pytest.fixture
def connect(workers: Proxy, cluster: Cluster) -> Iterator[Connect]:
    """Connections that are closed after the test, once nobody of an earlier one is left."""
    wait_until(lambda: workers.metrics().total("multiwriter_clients") == 0, 20, lambda: "somebody is left")
    with contextlib.ExitStack() as opened:

        def one(**options: object) -> Connection:
            connection = workers.connect(**options)  # type: ignore[arg-type]
            opened.callback(lambda: connection.open and connection.close())
            return connection

        yield one


def pids(proxy: Proxy) -> dict[int, int]:
    """The process of each worker that has started, the latest one."""
    found = re.findall(r"worker\.started worker=(\d+) pid=(\d+)", proxy.log_text())
    return {int(worker): int(pid) for worker, pid in found}


def spares(proxy: Proxy) -> int:
    """How many workers have been ready to take a seat."""
    return proxy.log_text().count("worker.spare ")


def worker_of(connection: Connection) -> int:
    return seat_of(connection.thread_id(), WORKERS)


def on_both(connect: Connect) -> tuple[Connection, Connection]:
    """A client of each worker. The kernel spreads connections by their ports."""
    found: dict[int, Connection] = {}
    for _ in range(MAX_CLIENTS):
        connection = connect()
        found.setdefault(worker_of(connection), connection)
        if len(found) == WORKERS:
            return found[0], found[1]
    raise AssertionError(f"all clients came to worker {list(found)}")


def value(connection: Connection, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_who_serves_clients_interrupts_nobody_unless_told_otherwise(
    workers: Proxy, proxy: Proxy, make_proxy: MakeProxy
) -> None:
    normal = make_proxy({"process": {"scheduling": "normal"}})
    for pid in (proxy.pid, *pids(workers).values()):
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    for pid in (normal.pid, workers.pid):
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER


def test_one_scrape_counts_the_clients_and_commands_of_all_workers(workers: Proxy, connect: Connect) -> None:
    before = workers.metrics().total("multiwriter_commands_total", command="COM_QUERY")
    both = on_both(connect)
    for connection in both:
        for number in range(10):
            assert value(connection, f"SELECT {number}") == number
    after = workers.metrics()
    assert after.total("multiwriter_commands_total", command="COM_QUERY") - before >= 20
    assert after.total("multiwriter_clients") >= 2
    assert set(after.node_states().values()) == {"up"}
    assert after.total("multiwriter_build_info") == 1
    assert after.total("process_resident_memory_bytes") > 60e6
    assert workers.get("/readyz") == (200, "ready\n")


def test_kill_reaches_a_client_of_another_worker(workers: Proxy, connect: Connect) -> None:
    one, other = on_both(connect)
    one.kill(other.thread_id())
    with pytest.raises(pymysql.err.OperationalError):
        other.ping(reconnect=False)
    with pytest.raises(pymysql.err.OperationalError) as unknown:
        one.kill(other.thread_id() + 1000 * WORKERS)
    assert unknown.value.args[0] == 1094
    assert value(one, "SELECT 1") == 1


def test_kill_query_interrupts_what_another_workers_client_runs(workers: Proxy, connect: Connect) -> None:
    one, other = on_both(connect)
    errors: list[int] = []

    def sleep() -> None:
        try:
            # MySQL's server takes it for no error if nothing but the SLEEP is interrupted.
            value(other, "SELECT COUNT(*) FROM information_schema.schemata WHERE SLEEP(60)")
        except pymysql.err.OperationalError as error:
            errors.append(error.args[0])

    sleeper = threading.Thread(target=sleep)
    sleeper.start()

    def interrupted() -> bool:
        with one.cursor() as cursor:
            cursor.execute(f"KILL QUERY {other.thread_id()}")
        sleeper.join(0.1)
        return not sleeper.is_alive()

    wait_until(interrupted, 20, lambda: "it sleeps")
    assert errors == [1317]
    assert value(other, "SELECT 2") == 2


def test_guessing_passwords_is_no_faster_with_more_workers(careful: Proxy) -> None:
    """Each failure doubles the wait of the next attempt from there, whichever worker it comes to."""
    began = time.monotonic()
    for _ in range(7):
        with pytest.raises(pymysql.err.OperationalError) as denied:
            careful.connect(password="guess")
        assert denied.value.args[0] == 1045
    # Six waits from 20 ms to 640 ms. Each worker for itself would have had two times some three.
    assert time.monotonic() - began > 1.2
    careful.connect().close()
    began = time.monotonic()
    for _ in range(4):
        careful.connect().close()
    assert time.monotonic() - began < 10, "a success forgives all, in every worker"


def test_control_c_in_the_mysql_client_reaches_whichever_worker(workers: Proxy, connect: Connect) -> None:
    """It kills over a connection of its own: of several, some come to another worker than the one that they mean."""
    command = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{workers.port}", "-uapp", "-papp", "-Ne"]
    with contextlib.ExitStack() as running:
        clients = [
            running.enter_context(
                subprocess.Popen(
                    [*command, "SELECT SLEEP(60) + 7"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
            for _ in range(4)
        ]
        try:
            wait_until(
                lambda: workers.metrics().total("multiwriter_backends", state="leased") >= len(clients),
                20,
                lambda: "they do not sleep",
            )
            for client in clients:
                client.send_signal(signal.SIGINT)
            for client in clients:
                text, _ = client.communicate(timeout=20)
                assert "Query execution was interrupted" in text or "8" in text, text
        finally:
            for client in clients:
                client.kill()


def test_places_for_clients_are_common_to_all_workers(workers: Proxy, connect: Connect) -> None:
    clients = [connect() for _ in range(MAX_CLIENTS)]
    assert len({client.thread_id() for client in clients}) == MAX_CLIENTS
    with pytest.raises(pymysql.err.OperationalError) as full:
        connect()
    assert full.value.args[0] == 1040
    clients.pop().close()
    wait_until(lambda: workers.metrics().total("multiwriter_clients") < MAX_CLIENTS, 20, lambda: "it did not go")
    assert value(connect(), "SELECT 1") == 1


def test_all_workers_accept_on_a_unix_socket(workers: Proxy, connect: Connect) -> None:
    path = str(workers.directory / "sock")
    assert value(connect(unix_socket=path), "SELECT 1") == 1  # type: ignore[call-arg]


@contextlib.contextmanager
def console(proxy: Proxy) -> Iterator[Connection]:
    port = int(re.findall(r"console\.listening ports=(\d+)", proxy.log_text())[-1])
    with contextlib.closing(
        pymysql.connect(host="127.0.0.1", port=port, user="operator", password="secret", autocommit=True)
    ) as connection:
        yield connection


def test_the_console_shows_and_kills_the_sessions_of_all_workers(workers: Proxy, connect: Connect) -> None:
    both = on_both(connect)
    with console(workers) as operator:
        with operator.cursor() as cursor:
            cursor.execute("SELECT id FROM sessions")
            assert {both[0].thread_id(), both[1].thread_id()} <= {row[0] for row in cursor.fetchall()}
            cursor.execute("SELECT name, state FROM nodes")
            assert len(cursor.fetchall()) == 3
        for connection in both:
            operator.kill(connection.thread_id())
            with pytest.raises(pymysql.err.OperationalError):
                connection.ping(reconnect=False)


def test_a_killed_worker_costs_its_own_clients_only_and_is_replaced(workers: Proxy, connect: Connect) -> None:
    one, other = on_both(connect)
    with console(workers) as operator, operator.cursor() as cursor:
        cursor.execute("SELECT name FROM nodes")
        node = cursor.fetchall()[0][0]
        cursor.execute(f"DRAIN NODE '{node}'")
        counted = workers.metrics().total("multiwriter_commands_total")
        last_id, old = other.thread_id(), pids(workers)[1]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: pids(workers)[1] != old, 60, lambda: workers.log_text()[-3000:])
        assert value(one, "SELECT 1") == 1
        with pytest.raises(pymysql.err.OperationalError):
            other.ping(reconnect=False)
        # What the old one counted is not forgotten, nor which ids it gave, nor what the operator has said.
        _, new = on_both(connect)
        assert new.thread_id() > last_id
        assert workers.metrics().total("multiwriter_commands_total") >= counted
        for number in range(30):
            assert value(new, f"SELECT {number}") == number
        cursor.execute(f"SELECT state, idle, leased FROM nodes WHERE name = '{node}'")
        assert cursor.fetchall()[0] == ("draining", 0, 0)
        cursor.execute(f"UNDRAIN NODE '{node}'")
        wait_until(
            lambda: set(workers.metrics().node_states().values()) == {"up"}, 20, lambda: str(workers.metrics().samples)
        )


def test_a_worker_that_was_killed_is_back_within_a_second(workers: Proxy, connect: Connect) -> None:
    """It serves logins again: the spare worker is told the seat, asks the nodes how they are, and listens."""
    pauses = []
    for _ in range(3):
        wait_until(lambda: spares(workers) > workers.log_text().count("worker.ended"), 60, lambda: "no spare worker")
        old = pids(workers)[0]
        killed = time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda old=old: pids(workers)[0] != old, 60, lambda: workers.log_text()[-3000:])  # type: ignore[misc]
        pauses.append(time.monotonic() - killed)
    on_both(connect)
    assert min(pauses) < 1.0, pauses


def test_what_one_worker_sees_of_a_node_makes_the_others_look(careful: Proxy, cluster: Cluster) -> None:
    def polls(node: str) -> float:
        return careful.metrics().total("multiwriter_monitor_polls_total", node=node)

    with contextlib.ExitStack() as opened:
        both = on_both(lambda: opened.enter_context(contextlib.closing(careful.connect())))
        with both[0].cursor() as cursor:
            cursor.execute("SELECT @@port")
        before = {each.address: polls(each.address) for each in cluster}
        for each in cluster:
            for (number,) in each.query("SELECT id FROM information_schema.processlist WHERE user = 'app'"):
                with contextlib.suppress(pymysql.err.OperationalError):  # it has gone by itself
                    each.query(f"KILL {number}")
        wait_until(
            lambda: any(polls(name) >= count + WORKERS for name, count in before.items()),
            20,
            lambda: "only one of them has looked",
        )


def test_sighup_takes_new_settings_for_all_workers_or_none(workers: Proxy, connect: Connect) -> None:
    both = on_both(connect)
    assert workers.process is not None
    good = workers.settings.read_text()
    for text, said in ((good + '\n[log]\nlevel = "loud"\n', "reload.refused"), (good, "reloaded")):
        before = workers.log_text().count(said)
        workers.settings.write_text(text)
        workers.process.signal(signal.SIGHUP)
        wait_until(lambda before=before, said=said: workers.log_text().count(said) > before, 20, workers.log_text)  # type: ignore[misc]
    assert [value(each, "SELECT 1") for each in both] == [1, 1]
    assert "internal.error" not in workers.log_text()


class Reader(threading.Thread):
    """Begins a transaction with a read of the row; it has its turn when that is answered."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.value: object = None
        self.start()

    def run(self) -> None:
        self.connection.begin()
        self.value = value(self.connection, "SELECT n FROM stock WHERE id = 7")

    @property
    def waits(self) -> bool:
        self.join(0.3)
        return self.is_alive()


def test_a_queue_spans_the_workers_and_outlives_one_of_them(careful: Proxy, schema: str) -> None:
    with contextlib.ExitStack() as opened:

        def connect() -> Connection:
            return opened.enter_context(contextlib.closing(careful.connect(database=schema)))

        one, other = on_both(connect)
        with one.cursor() as cursor:
            cursor.execute("CREATE TABLE stock (id INT PRIMARY KEY, n INT NOT NULL)")
            cursor.execute("INSERT INTO stock VALUES (7, 100)")

        def queued() -> Reader | None:
            """The second of two readers, which waits for the first, once both workers know the table's keys."""
            first, second = Reader(one), Reader(other)
            if second.waits:
                return second
            second.connection.rollback()
            first.join()
            first.connection.rollback()
            return None

        def ends(reader: Reader) -> None:
            reader.join(10)
            assert not reader.is_alive(), "its turn has not come"

        found: list[Reader] = []

        def wait() -> bool:
            found.extend(filter(None, [queued()]))
            return bool(found)

        wait_until(wait, 30, lambda: "nobody waits for the other worker's client")
        (second,) = found
        with one.cursor() as cursor:
            cursor.execute("UPDATE stock SET n = n - 1 WHERE id = 7")
        one.commit()
        ends(second)
        assert second.value == 99
        with other.cursor() as cursor:
            cursor.execute("UPDATE stock SET n = n - 1 WHERE id = 7")
        third = Reader(one)
        assert third.waits
        os.kill(pids(careful)[worker_of(other)], signal.SIGKILL)
        ends(third)
        assert third.value == 99, "what the killed one's client had not committed is undone"
        one.commit()


@pytest.mark.parametrize("name", ["read-and-write", "increments"])
def test_clients_of_both_workers_see_no_conflict(name: str, careful: Proxy, cluster: Cluster, schema: str) -> None:
    outcome = run(careful.port, schema, WORKS[name], cluster, seconds=seconds(2), clients=CLIENTS, isolated=False)
    assert not outcome.errors, outcome
    assert outcome.lost == 0, outcome
    assert outcome.committed > CLIENTS, outcome


def test_sigterm_lets_the_transactions_of_all_workers_finish(make_proxy: MakeProxy, schema: str) -> None:
    proxy = make_proxy({"process": {"workers": WORKERS}}, wait=False)
    proxy.wait_ready(150)
    wait_until(lambda: len(pids(proxy)) == WORKERS, 60, lambda: proxy.log_text()[-3000:])
    with contextlib.ExitStack() as opened:

        def connect() -> Connection:
            return opened.enter_context(contextlib.closing(proxy.connect(database=schema)))

        both = on_both(connect)
        with both[0].cursor() as cursor:
            cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        for number, connection in enumerate(both):
            connection.begin()
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO t VALUES ({number})")
        assert proxy.process is not None
        for pid in (*pids(proxy).values(), proxy.pid):  # as a service manager does it
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: proxy.get("/readyz") == (503, "draining\n"), 20, lambda: proxy.log_text()[-3000:])
        for connection in both:
            connection.commit()
    assert proxy.process.wait(60) == 0, proxy.log_text()[-3000:]
    assert proxy.log_text().count(" stopped\n") == WORKERS


def test_an_address_that_is_taken_ends_it_with_a_message(workers: Proxy, cluster: Cluster, tmp_path: Path) -> None:
    settings = {"process": {"workers": WORKERS}}
    late = Proxy(tmp_path, [node.address for node in cluster], settings, flavor=cluster.flavor)
    late.settings.write_text(late.settings.read_text().replace(f":{late.port}", f":{workers.port}"))
    late.start(wait=False)
    assert late.process is not None
    assert late.process.wait(60) == 1
    assert "ddress already in use" in late.log_text()
