"""Owners of keys: the same everywhere, sticky while somebody holds them, and bounded."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.membership import Node, NodeState
from router.ownership import SETTLE, Owners, rendezvous

DB = tuple(Node(f"db{number}") for number in range(1, 4))
KEYS = [f"shop.t{number}" for number in range(600)]
LATER = 1000.0


def test_owners_are_spread_evenly() -> None:
    found = [rendezvous(key, DB) for key in KEYS]
    assert all(150 < found.count(node) < 250 for node in DB)


def test_every_proxy_finds_the_same_owner_in_whatever_order() -> None:
    again = tuple(Node(f"db{number}") for number in (3, 1, 2))
    for key in KEYS:
        one, two = rendezvous(key, DB), rendezvous(key, again)
        assert one is not None
        assert two is not None
        assert one.name == two.name


def test_a_lost_node_moves_its_own_keys_only() -> None:
    for key in KEYS:
        before, after = rendezvous(key, DB), rendezvous(key, DB[:2])
        assert before is after or before is DB[2]


def test_weights_count_and_zero_owns_nothing() -> None:
    nodes = (Node("db1", weight=2.0), Node("db2"), Node("db3", weight=0.0))
    found = [rendezvous(key, nodes) for key in KEYS]
    assert 340 < found.count(nodes[0]) < 460
    assert found.count(nodes[2]) == 0
    assert rendezvous("k", nodes[2:]) is None


def test_no_writer_no_owner() -> None:
    assert Owners().owner("k", (), 0.0) == (None, False)
    owners = Owners()
    owners.owner("k", DB, 0.0)
    assert owners.owner("k", (), 1.0) == (None, False)
    assert owners.owner("k", DB, 2.0)[0] is rendezvous("k", DB)


def owned_by(node: Node) -> str:
    return next(key for key in KEYS if rendezvous(key, DB) is node)


def test_after_a_change_of_owner_others_first_wait_for_what_the_old_one_committed() -> None:
    owners, key = Owners(), owned_by(DB[2])
    assert owners.owner(key, DB, 0.0) == (DB[2], True), "who owned it before is not known"
    assert owners.owner(key, DB, SETTLE) == (DB[2], False)
    fewer = DB[:2]
    node, sync = owners.owner(key, fewer, LATER)
    assert node in fewer
    assert sync
    assert owners.owner(key, fewer, LATER + SETTLE - 0.1) == (node, True)
    assert owners.owner(key, fewer, LATER + SETTLE) == (node, False)


def test_a_key_that_did_not_move_needs_no_wait() -> None:
    owners, key = Owners(), owned_by(DB[0])
    owners.owner(key, DB, 0.0)
    assert owners.owner(key, DB[:2], LATER) == (DB[0], False)


def test_a_key_first_seen_after_a_change_of_writers_may_have_moved() -> None:
    owners = Owners()
    owners.owner(KEYS[0], DB, 0.0)
    assert owners.owner(KEYS[1], DB, LATER)[1] is False
    owners.owner(KEYS[0], DB[:2], LATER)
    assert owners.owner(KEYS[2], DB[:2], LATER + 1)[1] is True


def test_while_somebody_holds_a_key_its_owner_stays() -> None:
    owners, key = Owners(), owned_by(DB[2])
    substitute, _ = owners.owner(key, fewer := DB[:2], 0.0)
    owners.opened(key)
    owners.opened(key)
    back = DB[:]
    returned = (*fewer, DB[2])
    assert owners.owner(key, returned, LATER)[0] is substitute
    owners.closed(key, substitute)
    assert owners.owner(key, returned, LATER)[0] is substitute
    owners.closed(key, substitute)
    assert owners.owner(key, returned, LATER) == (DB[2], True), "now the returned one takes its own back"
    assert owners.owner(key, back, LATER + SETTLE) == (DB[2], False)


def test_but_not_on_a_node_that_is_lost() -> None:
    owners, key = Owners(), owned_by(DB[2])
    owners.owner(key, DB, 0.0)
    owners.opened(key)
    node, sync = owners.owner(key, DB[:2], LATER)
    assert node in DB[:2]
    assert sync


def test_closing_what_was_forgotten_is_harmless() -> None:
    owners = Owners()
    assert owners.opened("never seen") is None
    owners.closed("never seen", DB[0])
    node, _ = owners.owner("k", DB, 0.0)
    assert node is not None
    owners.closed("k", node)
    owners.opened("k")
    assert owners.owner("k", DB[:2], LATER)[0] in DB[:2]


def test_memory_is_bounded_by_forgetting_what_nobody_holds() -> None:
    owners = Owners(max_keys=100)
    for step, key in enumerate(KEYS):
        owners.owner(key, DB, LATER + step)
        assert len(owners) <= 100


def test_also_when_all_is_fresh() -> None:
    owners = Owners(max_keys=100)
    for key in KEYS:
        owners.owner(key, DB, 0.0)
        assert len(owners) <= 100


def test_what_is_held_is_never_forgotten() -> None:
    owners, key = Owners(max_keys=10), owned_by(DB[2])
    substitute, _ = owners.owner(key, DB[:2], 0.0)
    owners.opened(key)
    for other in KEYS:
        if other != key:
            owners.owner(other, DB[:2], LATER)
    assert owners.owner(key, DB, LATER)[0] is substitute


STEPS = st.lists(
    st.tuples(st.sampled_from(["owner", "open", "close"]), st.sampled_from(KEYS[:4]), st.integers(0, 7)), max_size=40
)


@given(STEPS)
def test_transactions_that_hold_a_key_at_the_same_time_meet_on_one_node(steps: list[tuple[str, str, int]]) -> None:
    owners, now = Owners(max_keys=2), 0.0
    holders = dict.fromkeys(KEYS[:4], 0)
    last: dict[str, Node] = {}
    for verb, key, mask in steps:
        now += 1.0
        writers = tuple(node for bit, node in enumerate(DB) if mask >> bit & 1)
        if verb == "close" and holders[key]:
            owners.closed(key, last[key])
            holders[key] -= 1
            continue
        node, _ = owners.owner(key, writers, now)
        if node is None:
            assert not writers
            continue
        assert node in writers
        if holders[key] and last[key] in writers:
            assert node is last[key]
        elif not holders[key]:
            assert node is rendezvous(key, writers)
        last[key] = node
        if verb == "open":
            owners.opened(key)
            holders[key] += 1


def test_when_the_key_changes_the_new_owner_waits_until_the_old_one_is_done() -> None:
    owners = Owners()
    owners.owner("warm", DB, 0.0)
    table, schema = next(
        (f"s{n}.t", f"s{n}") for n in range(100) if rendezvous(f"s{n}.t", DB) is not rendezvous(f"s{n}", DB)
    )
    owners.use(table, table, DB, LATER)
    owners.owner(table, DB, LATER)
    owners.opened(table)
    owners.use(table, schema, DB, LATER)
    assert owners.held_elsewhere(schema, DB)
    assert owners.owner(schema, DB, LATER)[1], "and applies what it committed"
    owners.settled(schema)
    assert owners.owner(schema, DB, LATER)[1], "not before it has ended"
    owners.closed(table, rendezvous(table, DB) or DB[0])
    assert not owners.held_elsewhere(schema, DB)
    owners.settled(schema)
    assert not owners.owner(schema, DB, LATER)[1]


def test_the_same_key_again_is_no_change() -> None:
    owners = Owners()
    owners.owner("warm", DB, 0.0)
    for _ in range(2):
        owners.use("shop.t", "shop.t", DB, LATER)
        assert owners.owner("shop.t", DB, LATER) == (rendezvous("shop.t", DB), False)


def test_what_was_committed_anywhere_until_now_has_to_arrive_first() -> None:
    owners = Owners()
    owners.owner("k", DB, 0.0)
    assert not owners.owner("k", DB, LATER)[1]
    owners.unsettle("k", DB, LATER)
    assert owners.owner("k", DB, LATER)[1]
    owners.settled("k")
    assert not owners.owner("k", DB, LATER)[1]


class Seen:
    """What workers see of each other, as `proxy.board` has it."""

    def __init__(self) -> None:
        self.workers: list[Counter[tuple[str, str]]] = []

    def one(self) -> "View":
        self.workers.append(Counter())
        return View(self, self.workers[-1])


class View:
    def __init__(self, seen: Seen, own: Counter[tuple[str, str]]) -> None:
        self._seen, self._own = seen, own

    def add(self, key: str, node: str, change: int) -> None:
        self._own[key, node] += change

    def open(self, key: str, node: str) -> bool:
        return any(each[key, node] for each in self._seen.workers if each is not self._own)


def two_workers() -> tuple[Owners, Owners]:
    seen = Seen()
    return Owners(others=seen.one()), Owners(others=seen.one())


def test_a_key_that_is_open_in_another_worker_stays_with_its_owner() -> None:
    (one, other), key = two_workers(), owned_by(DB[2])
    fewer, returned = DB[:2], (*DB,)
    substitute, _ = one.owner(key, fewer, 0.0)
    other.owner(key, fewer, 0.0)
    assert substitute is one.opened(key)
    assert other.owner(key, returned, LATER)[0] is substitute
    third = Owners(others=View(one._others._seen, Counter()))  # type: ignore[attr-defined]
    assert third.owner(key, returned, LATER)[0] is substitute, "also where it was never seen before"
    one.closed(key, substitute)
    assert other.owner(key, returned, LATER) == (DB[2], True)


@pytest.mark.parametrize("state", [NodeState.DRAINING, NodeState.JOINING])
def test_the_new_owner_waits_for_those_that_are_open_on_one_that_lets_them_finish(state: NodeState) -> None:
    nodes = [Node(f"n{number}", 3306) for number in range(3)]
    owners = Owners()
    key = next(key for key in KEYS if rendezvous(key, nodes) is nodes[0])
    owners.owner(key, nodes, 0.0)
    owners.opened(key)
    nodes[0].state = state
    rest = nodes[1:]
    assert owners.draining(key, rest) is nodes[0]
    assert owners.held_elsewhere(key, rest)
    owners.closed(key, nodes[0])
    assert not owners.held_elsewhere(key, rest)


def test_the_new_owner_waits_for_those_that_another_worker_has_on_a_draining_one() -> None:
    nodes = [Node(f"n{number}", 3306) for number in range(3)]
    (one, other) = two_workers()
    key = next(key for key in KEYS if rendezvous(key, nodes) is nodes[0])
    one.owner(key, nodes, 0.0)
    other.owner("another", nodes, 0.0)
    one.opened(key)
    nodes[0].state = NodeState.DRAINING
    rest = nodes[1:]
    assert other.held_elsewhere(key, rest), "also before it was asked for its owner"
    other.owner(key, nodes, 0.0)
    assert other.held_elsewhere(key, rest)
    assert other.owner(key, rest, LATER)[0] is not nodes[0]
    assert other.held_elsewhere(key, rest)
    nodes[0].state = NodeState.DOWN
    assert not other.held_elsewhere(key, rest), "what was there is lost"
    nodes[0].state = NodeState.DRAINING
    one.closed(key, nodes[0])
    assert not other.held_elsewhere(key, rest)


def test_a_key_that_takes_over_waits_for_those_that_another_worker_has_under_the_one_before() -> None:
    one, other = two_workers()
    table, schema = next(
        (f"s{n}.t", f"s{n}") for n in range(100) if rendezvous(f"s{n}.t", DB) is not rendezvous(f"s{n}", DB)
    )
    for owners in (one, other):
        owners.use(table, table, DB, LATER)
        owners.owner(table, DB, LATER)
    node = one.opened(table)
    assert node is not None
    other.use(table, schema, DB, LATER)
    assert other.held_elsewhere(schema, DB)
    one.closed(table, node)
    assert not other.held_elsewhere(schema, DB)
