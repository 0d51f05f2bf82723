"""What must hold with twelve clients on three writers: no answer is wrong, no error is one that could be spared."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import MySQLdb
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.conftest import FLAVOR
from tests.integration.conftest import Direct, MakeProxy
from tests.support import sysbench
from tests.support.duration import seconds
from tests.support.proxy import Proxy
from tests.support.workload import Change, Ledger, Work, connect

CLIENTS = 12
REJOIN = 60  # seconds for a node to be in step with the others again
# Seconds by which the proxy may add to what clients of the survivors wait anyway. In a MySQL group each commit takes a
# quarter of a second until a silent member is expelled, and whoever wants a row waits for several; one that shuts down
# lets commits hang until it has left.
PAUSE = 0.2 if FLAVOR == "galera" else 5.0
# Part of sysbench's transactions that may end in one, or one for each client: until it is known what is fought over.
DEADLOCKS = 0.01
# sysbench begins anew after 1213, 1020 and 1205 by itself; a MySQL group's conflicts are also called these.
ANEW = () if FLAVOR == "galera" else ("--mysql-ignore-errors=1213,1020,1205,3101,1180",)
THIRD = pytest.approx(1 / 3, rel=0.25)  # a node that is slower for a while has less
TRANSACTIONS = "multiwriter_transactions_total"


@pytest.fixture
def ledger(direct: Direct, schema: str) -> Ledger:
    ledger = Ledger(schema)
    ledger.create(direct(1), direct(2), direct(3))
    return ledger


@pytest.fixture(scope="module")
def sysbench_schema(running_cluster: Cluster) -> Iterator[str]:
    """Has sysbench's tables, on every node."""
    running_cluster.heal()
    name = "sysbench"
    running_cluster[1].query(f"CREATE DATABASE {name}")
    sysbench.prepare(running_cluster[1].port, name)
    tables = f"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{name}'"
    wait_until(
        lambda: all(node.query(tables) == [(sysbench.TABLES,)] for node in running_cluster), 20, lambda: "no tables"
    )
    yield name
    running_cluster.heal()
    running_cluster[1].query(f"DROP DATABASE {name}")


def log_of(proxy: Proxy) -> str:
    """What the proxy says of itself: what it could not hide, by reason, and the end of its log."""
    metrics = proxy.metrics()
    counts = {
        name: {tuple(labels.values()): value for _, labels, value in metrics.matching(f"multiwriter_{name}_total")}
        for name in ("unreplayable_transactions", "retries", "conflicts", "errors", "unknown_outcomes")
    }
    lines = [f"{name}: {values}" for name, values in counts.items()]
    return "\n".join((*lines, "the proxy's log ends:", proxy.log_text()[-3000:]))


def check(work: Work, ledger: Ledger, direct: Direct, proxy: Proxy, nodes: Sequence[int] = (1, 2, 3)) -> None:
    """Clients saw nothing but success and "outcome unknown", and the nodes hold exactly what they were told."""
    seen = f"{work.seen()}\n{log_of(proxy)}"
    assert not work.errors, seen
    assert work.committed > 10 * CLIENTS, f"hardly anything was done: {seen}"
    for node in nodes:
        faults = ledger.faults(direct(node), work.clients)
        assert not faults, "\n".join((f"node{node}:", *faults, seen))


def shares(proxy: Proxy, before: dict[str, float]) -> dict[str, float]:
    """Each node's part of the transactions since `before`, which is the same count by node."""
    now = proxy.metrics().by("node", TRANSACTIONS)
    done = {node: count - before.get(node, 0.0) for node, count in now.items()}
    return {node: count / sum(done.values()) for node, count in done.items()}


# -- every node is well -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["in a transaction", "alone"])
def test_increments(kind: str, ledger: Ledger, direct: Direct, proxy: Proxy) -> None:
    conflicts = proxy.metrics().total("multiwriter_conflicts_total")
    change = ledger.increment if kind == "in a transaction" else ledger.blind
    with Work(proxy.port, [change] * CLIENTS) as work:
        work.go_on(seconds(10))
    check(work, ledger, direct, proxy)
    assert work.unknown == 0, work.seen()
    # On one node there would be nothing to hide.
    assert proxy.metrics().total("multiwriter_conflicts_total") > conflicts


def test_transfers(ledger: Ledger, direct: Direct, proxy: Proxy) -> None:
    with Work(proxy.port, [ledger.transfer] * CLIENTS) as work:
        work.go_on(seconds(10))
    check(work, ledger, direct, proxy)
    assert work.unknown == 0, work.seen()


@pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
@pytest.mark.parametrize("kind", ["oltp_read_write", "oltp_write_only"])
def test_sysbench(kind: str, prepared: bool, sysbench_schema: str, proxy: Proxy) -> None:
    unknown = proxy.metrics().total("multiwriter_unknown_outcomes_total")
    report = sysbench.run(
        proxy.port, sysbench_schema, kind, seconds(30), threads=CLIENTS, prepared=prepared, options=ANEW
    )
    assert not report.fatal, f"{report.text}\n{log_of(proxy)}"
    assert proxy.metrics().total("multiwriter_unknown_outcomes_total") == unknown, log_of(proxy)
    assert report.reconnects == 0, report.text
    # A deadlock is told as such where a replay would not read again what the client has read.
    most = max(CLIENTS, DEADLOCKS * report.transactions)
    assert report.ignored <= most, f"{report.text}\n{log_of(proxy)}"


@pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
def test_thirds(prepared: bool, sysbench_schema: str, make_proxy: MakeProxy) -> None:
    proxy = make_proxy({"endpoint": [{"placement": "spread"}]})
    before = proxy.metrics().by("node", TRANSACTIONS)
    report = sysbench.run(
        proxy.port, sysbench_schema, "oltp_read_write", seconds(10), threads=8, prepared=prepared, options=ANEW
    )
    assert not report.fatal, report.text
    found = shares(proxy, before)
    assert len(found) == 3
    assert all(share == THIRD for share in found.values()), found


# -- a node is lost, and comes back -----------------------------------------------------------------------------------


@dataclass
class Survivors:
    """Direct clients of node1 and node3, who do the same as the proxy's: what they wait is the cluster's doing."""

    schema: str
    cluster: Cluster
    direct: Direct

    def work(self, kind: str = "either") -> Work:
        changes: list[Change] = []
        for number in range(4):
            ledger = Ledger(self.schema, f"direct{number}", generated=False)
            ledger.create(self.direct(1), self.direct(3))
            changes.append(getattr(ledger, kind))
        ports = [self.cluster[1].port, self.cluster[3].port] * 2
        return Work(ports, changes, first=101)


@pytest.fixture
def stable(direct: Direct, schema: str) -> Ledger:
    """A ledger for when nodes come and go."""
    ledger = Ledger(schema, generated=False)
    ledger.create(direct(1), direct(2), direct(3))
    return ledger


@pytest.fixture
def survivors(schema: str, cluster: Cluster, direct: Direct) -> Survivors:
    return Survivors(schema, cluster, direct)


def check_pauses(work: Work, theirs: Work, since: float, until: float, proxy: Proxy) -> None:
    assert not theirs.errors, theirs.seen()
    # Their clients have rows of their own; ours also wait for each other's: once the loss is over all at once, and thus
    # for more of them than before.
    most = PAUSE + theirs.pauses(since, until)[0][0] + 3 * work.usual_pause(since)
    # What begins later than that is not for the loss.
    found = [(length, began) for length, began in work.pauses(since, until) if began < most]
    assert not found or found[0][0] <= most, (
        f"longest pauses (seconds, from when on) {work.pauses(since, until)}, of direct clients"
        f" {theirs.pauses(since, until)}, before {work.usual_pause(since):.3f} s\n{log_of(proxy)}"
    )


def check_unknown(works: Sequence[Work], proxy: Proxy, before: float, lost: str) -> None:
    """Only commits in flight on the lost node may be unknown, and those are counted."""
    counted = proxy.metrics().total("multiwriter_unknown_outcomes_total", node=lost) - before
    clients = sum(len(work.clients) for work in works)
    assert sum(work.unknown for work in works) == counted <= clients, "\n".join(work.seen() for work in works)


def lose(
    end: Callable[[], None],
    cluster: Cluster,
    stable: Ledger,
    survivors: Survivors,
    direct: Direct,
    proxy: Proxy,
) -> None:
    """`end` takes node2 away in the middle of increments and transfers."""
    lost = cluster[2].address
    before = proxy.metrics().total("multiwriter_unknown_outcomes_total", node=lost)
    with survivors.work() as theirs, Work(proxy.port, [stable.either] * CLIENTS) as work:
        work.go_on(seconds(3))
        since = time.monotonic()
        end()
        work.go_on(seconds(5))
        until = time.monotonic()
    check(work, stable, direct, proxy, nodes=(1, 3))
    check_unknown([work], proxy, before, lost)
    check_pauses(work, theirs, since, until, proxy)
    assert proxy.metrics().node_states()[lost] == "down"


def test_killed_node(cluster: Cluster, stable: Ledger, survivors: Survivors, direct: Direct, proxy: Proxy) -> None:
    lose(cluster[2].kill, cluster, stable, survivors, direct, proxy)


def test_terminated_node(cluster: Cluster, stable: Ledger, survivors: Survivors, direct: Direct, proxy: Proxy) -> None:
    lose(cluster[2].term, cluster, stable, survivors, direct, proxy)


def test_stopped_node(cluster: Cluster, stable: Ledger, survivors: Survivors, direct: Direct, proxy: Proxy) -> None:
    stopped = cluster[2]
    name = stopped.address

    def traffic() -> float:
        return proxy.metrics().total(TRANSACTIONS, node=name)

    def in_step() -> bool:
        # Just after SIGCONT it takes itself for what it was: the others know better.
        return cluster[1].in_step(3) and stopped.in_step(3)

    # What is fought over may have its owner elsewhere for as long as it is hot; this goes to every node.
    apart = Ledger(stable.schema, "apart", generated=False)
    apart.create(direct(1), direct(2), direct(3))
    before = proxy.metrics().total("multiwriter_unknown_outcomes_total", node=name)
    with (
        survivors.work() as theirs,
        Work(proxy.port, [apart.record], first=CLIENTS + 1) as alone,
        Work(proxy.port, [stable.either] * CLIENTS) as work,
    ):
        work.go_on(seconds(3))
        since = time.monotonic()
        stopped.pause()
        wait_until(lambda: proxy.metrics().node_states()[name] == "down", 5, lambda: log_of(proxy))
        done = traffic()
        work.go_on(15 - (time.monotonic() - since))
        assert traffic() == done, log_of(proxy)
        stopped.resume()
        until = time.monotonic() + REJOIN
        while True:
            seen, state = traffic(), proxy.metrics().node_states()[name]
            if in_step():
                break
            if not stopped.running:
                stopped.start(wait=False)  # Galera gives up when the donor of its state leaves meanwhile
            assert time.monotonic() < until, f"{stopped!r} does not come back\n{log_of(proxy)}"
            assert state != "up", f"it is not in step\n{log_of(proxy)}"
            assert seen == done, f"{seen - done:.0f} transactions before it was in step\n{log_of(proxy)}"
        wait_until(lambda: traffic() > done, 5, lambda: log_of(proxy))
        work.go_on(seconds(2))
        until = time.monotonic()
    check(work, stable, direct, proxy)
    check(alone, apart, direct, proxy)
    check_unknown([work, alone], proxy, before, name)
    check_pauses(work, theirs, since, until, proxy)


def test_returning_node(cluster: Cluster, stable: Ledger, survivors: Survivors, direct: Direct, proxy: Proxy) -> None:
    cluster[2].kill()
    wait_until(lambda: proxy.metrics().node_states()[cluster[2].address] == "down", 5, lambda: log_of(proxy))
    cluster[1].wait_synced(2)
    with survivors.work("record") as theirs, Work(proxy.port, [stable.record] * CLIENTS) as work:
        work.go_on(seconds(2))
        since = time.monotonic()
        cluster[2].start(wait=False)
        wait_until(lambda: cluster[2].in_step(3), 60, lambda: f"{cluster[2]!r} does not come back", every=0.02)
        found: dict[str, float] = {}

        def has_its_third() -> bool:
            """Without conflicts: who has lost twice tries again where all who want that table meet."""
            before = proxy.metrics().by("node", TRANSACTIONS)
            work.go_on(seconds(3))
            found.update(shares(proxy, before))
            return all(share == THIRD for share in found.values())

        wait_until(has_its_third, 40, lambda: f"{found}\n{log_of(proxy)}")
        until = time.monotonic()
    check(work, stable, direct, proxy)
    assert work.unknown == 0, work.seen()
    check_pauses(work, theirs, since, until, proxy)


# -- nobody is left ---------------------------------------------------------------------------------------------------


class Asking(threading.Thread):
    """A client that runs one write over its connection, and how it was answered."""

    def __init__(self, connection: "MySQLdb.connections.Connection", statement: str) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._statement = statement
        self.error: Exception | None = None
        self.took = 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self._connection.cursor().execute(self._statement)
        except MySQLdb.Error as error:
            self.error = error
        self.took = time.monotonic() - began

    def answer(self) -> Exception | None:
        self.join(60)
        assert not self.is_alive(), "never answered"
        return self.error


WAIT = 3.0


@pytest.fixture
def impatient(make_proxy: MakeProxy) -> Proxy:
    """A proxy whose clients wait for a writer for less than the usual 10 s."""
    return make_proxy({"limits": {"writer_wait": f"{WAIT:g}s"}})


def test_no_writer(cluster: Cluster, ledger: Ledger, direct: Direct, impatient: Proxy) -> None:
    """Two of three are killed: the third answers, but has no majority to write with."""
    insert = f"INSERT INTO {ledger.done} (client, number, kind, giver, taker, amount) VALUES (1, %d, 'r', 0, 0, 0)"
    with contextlib.closing(connect(impatient.port)) as one, contextlib.closing(connect(impatient.port)) as other:
        for number in (2, 3):
            cluster[number].kill()
        wait_until(lambda: impatient.get("/readyz")[0] == 503, 10, lambda: log_of(impatient))
        asking = Asking(one, insert % 1)
        error = asking.answer()
        assert error is not None
        assert error.args[0] == 3168, error
        assert asking.took == pytest.approx(WAIT, abs=1), error
        for node in cluster:
            assert node.address in error.args[1], error
        if cluster.flavor != "galera":  # a group can take longer than a client waits
            cluster[1].go_on_alone()
            wait_until(lambda: impatient.get("/readyz")[0] == 200, 30, lambda: log_of(impatient))
        waiting = Asking(other, insert % 2)
        if cluster.flavor == "galera":
            cluster[1].go_on_alone()
        assert waiting.answer() is None, log_of(impatient)
        assert Asking(one, insert % 3).answer() is None, log_of(impatient)
        with direct(1).cursor() as cursor:
            cursor.execute(f"SELECT number FROM {ledger.done} ORDER BY number")
            assert cursor.fetchall() == ((2,), (3,))


def test_no_node(cluster: Cluster, ledger: Ledger, impatient: Proxy) -> None:
    """All are gone at once, also for a client in the middle of a transaction: the same connections go on later."""
    with contextlib.closing(connect(impatient.port)) as one, contextlib.closing(connect(impatient.port)) as other:
        cursor = other.cursor()
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE {ledger.counter} SET value = value + 1 WHERE id = 1")
        for node in cluster:
            node.kill()
        asking = [Asking(one, f"SELECT COUNT(*) FROM {ledger.done}"), Asking(other, "COMMIT")]
        for each in asking:
            error = each.answer()
            assert error is not None
            assert error.args[0] in (3168, 1213), error
            assert each.took < WAIT + 3, error
        cluster.heal()
        wait_until(lambda: impatient.get("/readyz")[0] == 200, 20, lambda: log_of(impatient))
        for connection in (one, other):
            cursor = connection.cursor()
            cursor.execute(f"SELECT value FROM {ledger.counter} WHERE id = 1")
            assert cursor.fetchall() == ((0,),)
