"""Where transactions go and whom they wait for: conversations with three nodes."""

import asyncio
import struct
from collections.abc import Iterator
from functools import partial

import pytest

from config import Endpoint, Pool
from proxy import causality
from proxy.cluster import DRAIN_PATIENCE
from proxy.console.tables import TABLES
from proxy.wire.constants import COM_RESET_CONNECTION, COM_STMT_EXECUTE, COM_STMT_PREPARE
from router.catalog import Catalog, Name, Table
from router.contention import FEW, HOLD, STUBBORN, Conflict
from router.ownership import SETTLE, rendezvous
from tests.proxy.scripted import (
    AUTO,
    GUARD,
    OPENING,
    TRANS,
    WAIT,
    Client,
    Link,
    Node,
    Stage,
    command,
    error,
    ok,
    prepared,
    rows,
    told,
)

ALL = ("one", "two", "three")
T = "shop.stock"


def stage_with(pool: Pool = Pool(), **settings: object) -> Stage:  # noqa: B008  # immutable
    stage = Stage(up=ALL, endpoint=settings, pool=pool)
    stage.service.cluster.know(Catalog({Name("shop", "stock"): Table(keys=(("id",),))}))
    stage.service.cluster.owner("", stage.clock.time())
    stage.passes(2 * SETTLE)  # who owned what before does not matter any more
    return stage


@pytest.fixture
def adaptive() -> Iterator[Stage]:
    stage = stage_with(placement="adaptive")
    yield stage
    stage.end()


def owner(stage: Stage, key: str) -> Node:
    """The node that owns a key."""
    member = rendezvous(key, stage.service.membership.writers)
    return next(node for node in stage.nodes if node.member is member)


def client_in_shop(stage: Stage) -> Client:
    """One whose schema is shop, on whichever node that was."""
    client = stage.client()
    client.says("USE shop")
    stage.somewhere("USE shop").says(ok())
    client.hears(ok())
    return client


def answers_all(stage: Stage) -> list[tuple[str, str]]:
    """Let every node answer everything with OK; what each hears is kept as (node, command)."""
    heard: list[tuple[str, str]] = []
    for node in stage.nodes:

        def script(sql: str, inside: list[bool], name: str = node.name) -> bytes:
            heard.append((name, sql))
            inside[0] = (inside[0] or sql.startswith("START")) and sql not in ("COMMIT", "ROLLBACK")
            status = TRANS if inside[0] else AUTO
            return rows("1", status=status) if sql.startswith("SELECT") else ok(status)

        # Each node knows for itself whether a transaction is open: tests open one at a time.
        node.answers(partial(script, inside=[False]))
    return heard


def work_of(heard: list[tuple[str, str]]) -> list[str]:
    """The nodes that heard statements of clients, in order."""
    return [name for name, sql in heard if sql.startswith(("UPDATE", "SELECT", "CREATE"))]


def transaction(client: Client, *statements: str) -> None:
    for sql in ("BEGIN", *statements, "COMMIT"):
        client.says(sql)
    client.received.clear()


def heat(stage: Stage, conflict: Conflict, times: float = FEW) -> None:
    cluster = stage.service.cluster
    for _ in range(int(times)):
        cluster.contention.conflict(conflict, 0, cluster.now())


def test_a_hot_table_has_an_owner_where_all_that_begins_with_it_goes(adaptive: Stage) -> None:
    clients = [client_in_shop(adaptive) for _ in range(4)]
    heard = answers_all(adaptive)
    heat(adaptive, Conflict(T))
    for client in clients:
        transaction(client, "UPDATE stock SET n=n-1 WHERE id=7")
        client.says("UPDATE shop.stock SET n=0 WHERE id=8")
        client.received.clear()
    assert work_of(heard) == [owner(adaptive, T).name] * 8
    home = owner(adaptive, T).name
    assert adaptive.service.cluster.hot() == {("table", T, home, "owned"): 1}
    assert list(TABLES["hot"].rows(adaptive.service)) == [("table", T, home, "owned", HOLD)]


def test_a_hot_key_moves_and_others_do_not(adaptive: Stage) -> None:
    client = client_in_shop(adaptive)
    away = next(node for node in adaptive.nodes if node is not owner(adaptive, T))
    heard = answers_all(adaptive)
    heat(adaptive, Conflict(T, (f"{T}:7",)), 3)
    for key, expected in ((7, owner(adaptive, T)), (8, away), ("'7'", owner(adaptive, T))):
        client.session.relay.node = away.member
        transaction(client, f"UPDATE stock SET n=n-1 WHERE id={key}")
        assert work_of(heard)[-1] == expected.name


def test_the_key_of_a_prepared_statement_is_in_its_parameters(adaptive: Stage) -> None:
    client = client_in_shop(adaptive)
    client.says(command(COM_STMT_PREPARE, b"UPDATE stock SET n=? WHERE id=?"))
    link = adaptive.somewhere("COM_STMT_PREPARE UPDATE stock SET n=? WHERE id=?")
    link.says(prepared(1, params=2))
    client.received.clear()
    heat(adaptive, Conflict(T, (f"{T}:7",)), 3)
    home = owner(adaptive, T)
    client.session.relay.node = next(node for node in adaptive.nodes if node is not home).member
    types = bytes((3, 0, 3, 0))
    head = (1).to_bytes(4, "little") + b"\x00" + b"\x01\x00\x00\x00" + b"\x00" + b"\x01"
    client.says(command(COM_STMT_EXECUTE, head + types + struct.pack("<2i", 5, 7)))
    for node in adaptive.nodes:
        if node is not home:
            assert not node.heard
    while home.heard:
        link, (raw, *_) = home.heard.popleft()
        link.says(prepared(1, params=2) if raw[4] == COM_STMT_PREPARE else ok())
    client.received.clear()


def test_the_first_to_meet_waits_for_what_was_committed_before(adaptive: Stage) -> None:
    """As when a conflict has just made the table hot; once one has waited, the others need not."""
    one, other = client_in_shop(adaptive), client_in_shop(adaptive)
    heat(adaptive, Conflict(T))
    cluster = adaptive.service.cluster
    cluster.owners.unsettle(T, cluster.membership.writers, cluster.now())
    heard = answers_all(adaptive)
    transaction(one, "UPDATE stock SET n=n-1 WHERE id=7")
    assert (owner(adaptive, T).name, WAIT) in heard
    heard.clear()
    transaction(other, "UPDATE stock SET n=n-1 WHERE id=7")
    assert WAIT not in [sql for _, sql in heard]


def test_conflicts_teach_it(adaptive: Stage) -> None:
    client = client_in_shop(adaptive)
    fails = int(FEW) + 1
    for node in adaptive.nodes:

        def script(sql: str) -> bytes:
            nonlocal fails
            if sql.startswith("UPDATE") and fails:
                fails -= 1
                return error(1213)
            return ok()

        node.answers(script)
    client.says("UPDATE stock SET n=n-1")
    adaptive.passes(1)
    client.hears(ok())
    assert adaptive.service.cluster.contention.meeting(T, adaptive.clock.time()) == T
    counted = adaptive.service.metrics.conflicts
    assert {(phase, reason, table) for _, phase, reason, table, _ in counted} == {("autocommit", "conflict", T)}


def leave(stage: Stage, *clients: Client) -> None:
    """What they wanted of the nodes is of no interest any more."""
    for client in clients:
        client.vanishes()
    for node in stage.nodes:
        node.heard.clear()


def queue(stage: Stage) -> None:
    """Key 7 gets a queue at the table's owner."""
    heat(stage, Conflict(T, (f"{T}:7",), (T,), met=True), max(STUBBORN, 3))


def opens(stage: Stage, client: Client) -> Link:
    """It is its turn: its transaction is open."""
    home = owner(stage, T)
    assert home.heard, f"{stage!r}"
    link, raws = home.heard.popleft()
    while len(raws) == 1:  # it is brought to the session's state
        assert told(raws[0]) in (GUARD, "COM_INIT_DB shop", "COM_RESET_CONNECTION")
        link.says(ok())
        link, raws = home.heard.popleft()
    assert len(raws) == 2
    link.says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    return link


def waits(stage: Stage) -> Client:
    """A client that begins with key 7."""
    client = client_in_shop(stage)
    client.says("BEGIN")
    client.hears(ok(TRANS))
    client.says("UPDATE stock SET n=n-1 WHERE id=7")
    return client


def test_a_key_with_a_queue_is_had_by_one_after_the_other(adaptive: Stage) -> None:
    queue(adaptive)
    first = waits(adaptive)
    opens(adaptive, first)
    second, third = waits(adaptive), waits(adaptive)
    adaptive.quiet()
    assert adaptive.service.cluster.turns.waiting == 2
    first.runs(owner(adaptive, T), "COMMIT", ok())
    opens(adaptive, second)
    third.hears_nothing()
    second.runs(owner(adaptive, T), "ROLLBACK", ok())
    opens(adaptive, third)
    third.runs(owner(adaptive, T), "COMMIT", ok())
    assert adaptive.service.metrics.queue_seconds["turn"].count == 2


def test_nobody_waits_for_longer_than_the_settings_say(adaptive: Stage) -> None:
    queue(adaptive)
    first = waits(adaptive)
    opens(adaptive, first)
    second = waits(adaptive)
    adaptive.passes(0.9)
    adaptive.quiet()
    adaptive.passes(0.2)
    opens(adaptive, second)
    for client in (first, second):
        client.runs(owner(adaptive, T), "COMMIT", ok())
    assert adaptive.service.metrics.queue_seconds["deadline"].count == 1


def test_a_full_queue_holds_nobody_up() -> None:
    stage = stage_with(placement="adaptive", queue_length=1)
    queue(stage)
    first = waits(stage)
    opens(stage, first)
    second = waits(stage)
    third = waits(stage)
    opens(stage, third)
    first.runs(owner(stage, T), "COMMIT", ok())
    opens(stage, second)
    for client in (second, third):
        client.runs(owner(stage, T), "COMMIT", ok())
    stage.end()


@pytest.fixture
def few() -> Iterator[Stage]:
    """Each node has one backend, and waits for it are short: 0.5 s for the owner's, 5 s in all."""
    stage = stage_with(Pool(max_backends=1, acquire_timeout=5.0), placement="adaptive")
    heat(stage, Conflict(T))
    yield stage
    stage.end()


def open_and_waiting(stage: Stage) -> tuple[Client, Client]:
    """The first one's transaction has the owner's only backend, the second one's first statement waits for it."""
    first = waits(stage)
    opens(stage, first)
    second = waits(stage)
    stage.quiet()
    assert owner(stage, T).pool.waiting == 1
    return first, second


def test_a_transaction_waits_for_its_owners_backend_though_others_are_free(few: Stage) -> None:
    """Elsewhere it might lose a conflict. It takes no task."""
    first, second = open_and_waiting(few)
    assert not asyncio.all_tasks(few.clock)
    first.runs(owner(few, T), "COMMIT", ok())
    opens(few, second)
    second.runs(owner(few, T), "COMMIT", ok())


def test_but_not_longer_than_is_reasonable(few: Stage) -> None:
    first, second = open_and_waiting(few)
    few.passes(0.4)
    few.quiet()
    few.passes(0.2)
    talking = [node for node in few.nodes if node.heard]
    assert len(talking) == 1
    assert talking[0] is not owner(few, T)
    leave(few, first, second)


def test_who_waits_for_the_backend_of_an_owner_that_dies_goes_to_the_next_one_at_once(few: Stage) -> None:
    first, second = open_and_waiting(few)
    home = owner(few, T)
    home.dies()
    few.passes(0.05)
    talking = [node for node in few.nodes if node.heard]
    assert talking
    assert home not in talking
    assert second.session.relay.parked is None
    leave(few, first, second)


def test_it_waits_as_long_where_its_turn_comes_late(few: Stage) -> None:
    """Then a task waits."""
    queue(few)
    first = waits(few)
    opens(few, first)
    second = waits(few)
    other = client_in_shop(few)
    other.says("BEGIN", "UPDATE stock SET n=n-1 WHERE id=8")
    other.hears(ok(TRANS))
    assert owner(few, T).pool.waiting == 1
    first.runs(owner(few, T), "COMMIT", ok())
    opens(few, other)
    few.passes(0.4)
    few.quiet()
    assert owner(few, T).pool.waiting == 1
    few.passes(0.2)
    assert len([node for node in few.nodes if node.heard]) == 1
    leave(few, other, second)


def test_who_waits_for_a_backend_goes_where_the_key_has_gone_meanwhile(few: Stage) -> None:
    """Its owner was drained, and is back: the key is its own again once nothing is open on it."""
    cluster = few.service.cluster
    home = owner(few, T)
    drained = home.member.name
    few.clock.does(lambda: cluster.apply(cluster.membership.drain(drained, cluster.now())))
    stand_in = owner(few, T)
    assert stand_in is not home
    cluster.owner(T, few.clock.time())
    few.passes(2 * SETTLE)
    first, second = open_and_waiting(few)
    few.clock.does(lambda: cluster.apply(cluster.membership.undrain(drained, cluster.now())))
    home.comes_up()
    assert owner(few, T) is home
    first.runs(stand_in, "COMMIT", ok())
    few.passes(0.1)
    assert [node for node in few.nodes if node.heard] == [home]
    assert second.session.relay.place is not None
    leave(few, first, second)


def test_a_client_that_goes_away_leaves_the_queue_and_its_turn(adaptive: Stage) -> None:
    queue(adaptive)
    first = waits(adaptive)
    link = opens(adaptive, first)
    second, third = waits(adaptive), waits(adaptive)
    second.vanishes()
    first.vanishes()
    opens(adaptive, third)
    third.runs(owner(adaptive, T), "COMMIT", ok())
    while owner(adaptive, T).heard:
        link, _ = owner(adaptive, T).heard.popleft()
        link.says(ok())


def test_ddl_goes_to_one_node() -> None:
    stage = stage_with()
    clients = [client_in_shop(stage) for _ in range(4)]
    heard = answers_all(stage)
    for client in clients:
        client.says("CREATE TABLE x (a INT)")
        client.received.clear()
    assert len(set(work_of(heard))) == 1
    stage.end()


@pytest.mark.parametrize(
    ("affinity", "sql", "key"),
    [
        ("key", "UPDATE stock SET n=1 WHERE id=7", f"{T}:7"),
        ("key", "UPDATE stock SET n=1 WHERE n=7", T),
        ("table", "UPDATE stock SET n=1 WHERE id=7", T),
        ("schema", "SELECT n FROM stock", "shop"),
        ("user", "SELECT n FROM stock", "user:app"),
        ("key", "/* multiwriter: key=tenant5 */ UPDATE stock SET n=1", "hint:tenant5"),
    ],
)
def test_with_affinity_the_key_decides(affinity: str, sql: str, key: str) -> None:
    stage = stage_with(placement="affinity", affinity=affinity)
    clients = [client_in_shop(stage) for _ in range(4)]
    heard = answers_all(stage)
    for client in clients:
        client.says(sql)
        client.received.clear()
    assert {name for name, said in heard if said == sql} == {owner(stage, key).name}
    stage.end()


def test_strong_reads_wait_for_all_that_was_committed() -> None:
    stage = stage_with(causality="strong")
    client = stage.client()
    heard = answers_all(stage)
    client.says("SELECT n FROM shop.stock")
    assert [sql for _, sql in heard] == [WAIT, "SELECT n FROM shop.stock"]
    client.received.clear()
    client.says("SELECT n FROM shop.stock")
    assert [sql for _, sql in heard][2:] == ["SELECT n FROM shop.stock"], "it is on already"
    client.received.clear()
    stage.end()


@pytest.mark.parametrize("level", ["eventual", "session"])
def test_a_session_that_moves_waits_for_its_own_writes_unless_it_does_not_want_to(level: str) -> None:
    stage = stage_with()
    client = client_in_shop(stage)
    heard = answers_all(stage)
    client.says(f"SET SESSION multiwriter_causality = '{level}'")
    client.hears(ok())
    client.says("UPDATE stock SET n=1")
    client.received.clear()
    at = next(node for node in stage.nodes if node.name == work_of(heard)[0])
    client.session.relay.node = next(node for node in stage.nodes if node is not at).member
    client.says("SELECT 1 FROM stock")
    client.received.clear()
    assert (WAIT in [sql for _, sql in heard]) is (level == "session")
    stage.end()


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SET SESSION multiwriter_causality = 'sometimes'", 1231),
        ("SET multiwriter_causality = 1 + 1", 1231),
        ("SET multiwriter_placement = 'spread'", 1193),
        ("SET multiwriter_causality = 'strong', autocommit = 0", 1235),
    ],
)
def test_what_cannot_be_set_is_refused(adaptive: Stage, sql: str, code: int) -> None:
    client = adaptive.client()
    client.says(sql)
    client.hears_error(code)


def test_a_reset_takes_the_level_back(adaptive: Stage) -> None:
    client = adaptive.client()
    relay = client.session.relay
    for sql in ("SET @@session.multiwriter_causality := strong", "SET LOCAL multiwriter_causality = DEFAULT"):
        client.says(sql)
        client.hears(ok())
        assert (relay.level is None) is sql.endswith("DEFAULT")
    client.says("SET multiwriter_causality = 'eventual'")
    client.hears(ok())
    client.says(command(COM_RESET_CONNECTION))
    client.hears(ok())
    assert relay.level is None


def test_under_snapshot_isolation_reads_that_may_lead_to_writes_queue_from_the_beginning() -> None:
    stage = stage_with(placement="adaptive", snapshot_isolation=True)
    first, second = stage.client(), stage.client()
    heard = answers_all(stage)
    for client in (first, second):
        client.says("BEGIN")
        client.says("SELECT n FROM shop.stock WHERE id=7")
    assert ("SET innodb_snapshot_isolation=ON") in [sql for _, sql in heard]
    assert work_of(heard) == [owner(stage, T).name]
    second.says()
    first.says("COMMIT")
    assert work_of(heard) == [owner(stage, T).name] * 2
    second.says("COMMIT")
    for client in (first, second):
        client.received.clear()
    stage.end()


def test_the_guard_and_the_opening_are_as_anywhere(adaptive: Stage) -> None:
    client = client_in_shop(adaptive)
    heat(adaptive, Conflict(T))
    heard = answers_all(adaptive)
    transaction(client, "UPDATE stock SET n=1 WHERE id=1")
    assert [sql for _, sql in heard][-4:] == [GUARD, OPENING, "UPDATE stock SET n=1 WHERE id=1", "COMMIT"]


def test_settings_of_an_endpoint_hold_for_its_sessions_at_once() -> None:
    stage = stage_with()
    client = stage.client()
    policy = client.session.relay.policy
    assert not policy.adapts
    new = Endpoint(name="write", listen=stage.config.endpoints[0].listen, placement="adaptive", causality="strong")
    changed = stage.config.__class__(
        **{name: getattr(stage.config, name) for name in stage.config.__slots__} | {"endpoints": (new,)}
    )
    assert stage.service.reload(changed) == []
    assert policy.adapts
    assert causality.level(client.session.relay).value == "strong"
    stage.end()


@pytest.mark.parametrize("ends", [True, False])
def test_the_next_owner_waits_for_those_on_a_draining_one_but_not_for_ever(adaptive: Stage, ends: bool) -> None:
    heat(adaptive, Conflict(T))
    home = owner(adaptive, T)
    first = waits(adaptive)
    link = opens(adaptive, first)
    cluster = adaptive.service.cluster
    adaptive.clock.does(lambda: cluster.apply(cluster.membership.drain(home.member.name, cluster.now())))
    adaptive.passes(3)  # it is slow in what it still has to do
    second = waits(adaptive)
    adaptive.passes(DRAIN_PATIENCE - 3.5)
    adaptive.quiet()
    if ends:
        first.says("COMMIT")
        assert home.hears("COMMIT") is link
        link.says(ok())
        first.hears(ok())
        adaptive.passes(0.1)
    else:
        adaptive.passes(0.6)
    talking = [node for node in adaptive.nodes if node.heard]
    assert len(talking) == 1
    assert talking[0] is not home
    leave(adaptive, first, second)


def test_conflicts_and_replays_are_counted_with_what_their_node_was_chosen_by(adaptive: Stage) -> None:
    heat(adaptive, Conflict(T))
    home = owner(adaptive, T)
    client = waits(adaptive)
    opens(adaptive, client)
    client.says("COMMIT")
    home.hears("COMMIT").says(error(1213))
    adaptive.passes(0.2)
    home.hears(OPENING).says(ok(TRANS))
    home.hears("UPDATE stock SET n=n-1 WHERE id=7").says(ok(TRANS, rows=1))
    home.hears("COMMIT").says(ok())
    client.hears(ok())
    metrics = adaptive.service.metrics
    assert metrics.conflicts == {(home.name, "commit", "conflict", T, "table"): 1}
    assert metrics.retries == {(home.name, "commit", "conflict", T, "table", "ok"): 1}
    assert (metrics.replays.count, metrics.replays.sum) == (1, 1)


def test_who_has_lost_three_times_gets_the_right_of_way(adaptive: Stage) -> None:
    """A long transaction among short ones: those that begin with its table wait until it has ended."""
    heat(adaptive, Conflict(T))
    home = owner(adaptive, T)
    long = waits(adaptive)
    opens(adaptive, long)
    long.says("COMMIT")
    for attempt in range(1, 4):
        home.hears("COMMIT").says(error(1213))
        adaptive.passes(0.2)
        if attempt == 3:
            home.hears(WAIT).says(ok())
        home.hears(OPENING).says(ok(TRANS))
        home.hears("UPDATE stock SET n=n-1 WHERE id=7").says(ok(TRANS, rows=1))
    link = home.hears("COMMIT")
    short = waits(adaptive)
    adaptive.quiet()
    link.says(ok())
    long.hears(ok())
    opens(adaptive, short)
    short.runs(home, "COMMIT", ok())
    assert adaptive.service.cluster.turns.ways == 0
