"""Spread, watched over thousands of simulated transactions: shares, moves, slow and returning nodes."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.membership import Health, Membership, Node, Standing
from router.outcomes import NodeSign
from router.placement import Spread

READY = Health(standing=Standing.READY)


def always(chance: float) -> Callable[[], float]:
    return lambda: chance


@dataclass
class Run:
    """What came of a simulation: per second and node the placements, and how many were moves."""

    seconds: list[list[int]] = field(default_factory=list)
    moves: int = 0
    outstanding_max: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(sum(second) for second in self.seconds)

    def shares(self, first: int = 0, last: int | None = None) -> list[float]:
        """Each node's share of the placements in these seconds."""
        picked = self.seconds[first:last]
        total = sum(sum(second) for second in picked)
        return [sum(second[node] for second in picked) / total for node in range(len(picked[0]))]


@cache
def simulate(
    *,
    sessions: int = 8,
    takes: tuple[float, ...] = (0.003, 0.003, 0.003),
    weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    thinks: float = 0.0002,
    seconds: int = 10,
    down: tuple[float, float] | None = None,
    seed: int = 1,
) -> Run:
    """`sessions` clients in a closed loop; the first node is away between the two times of `down`.

    A transaction takes `takes` seconds at its node on average, exponentially distributed, more while others run there.
    """
    random, spread = Random(seed), Spread()
    members = Membership([Node(f"db{number}", weight=weight) for number, weight in enumerate(weights)], ramp=2.0)
    nodes = list(members)
    for node in nodes:
        members.observe(node.name, READY, 0.0)
    run = Run([[0] * len(nodes) for _ in range(seconds)], 0, [0] * len(nodes))
    where: list[Node | None] = [None] * sessions
    running = [False] * sessions
    events = [(random.random() * 0.01, session) for session in range(sessions)]
    if down is not None:
        events += [(down[0], -1), (down[1], -2)]
    heapq.heapify(events)
    while events[0][0] < seconds:
        now, session = heapq.heappop(events)
        if session == -1:
            members.failed_poll(nodes[0].name, "killed", now)
        elif session == -2:
            members.observe(nodes[0].name, READY, now)
        elif running[session]:
            node = where[session]
            assert node is not None
            node.outstanding -= 1
            running[session] = False
            heapq.heappush(events, (now + random.expovariate(1 / thinks), session))
        else:
            before = where[session]
            node = where[session] = spread.choose(members.writers, before, now, random.random)
            assert node is not None
            place = nodes.index(node)
            run.seconds[int(now)][place] += 1
            run.moves += before is not None and before is not node
            node.outstanding += 1
            run.outstanding_max[place] = max(run.outstanding_max[place], node.outstanding)
            running[session] = True
            mean = takes[place] * (1 + 0.15 * (node.outstanding - 1))
            heapq.heappush(events, (now + random.expovariate(1 / mean), session))
    return run


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("sessions", [1, 2, 3, 8, 12, 100])
def test_each_of_three_nodes_gets_a_third(sessions: int, seed: int) -> None:
    run = simulate(sessions=sessions, seed=seed, seconds=5)
    for share in run.shares():
        assert share == pytest.approx(1 / 3, rel=0.10)


@pytest.mark.parametrize("sessions", [1, 2, 3, 8, 12, 100])
def test_sessions_mostly_stay(sessions: int) -> None:
    run = simulate(sessions=sessions, seconds=5)
    # A few have to take turns for each node to get its third. Of many, as many stay everywhere.
    assert 0 < run.moves < (0.15 if sessions < 8 else 0.01) * run.total


def test_few_transactions_a_second_are_spread_as_well() -> None:
    run = simulate(sessions=20, thinks=0.5, seconds=30)
    assert run.total < 1500
    for share in run.shares():
        assert share == pytest.approx(1 / 3, rel=0.15)
    assert run.moves < 0.2 * run.total


@pytest.mark.parametrize("sessions", [8, 12])
def test_no_second_is_far_from_even(sessions: int) -> None:
    run = simulate(sessions=sessions)
    for second in range(1, 10):
        assert max(run.shares(second, second + 1)) < 0.40


@pytest.mark.parametrize("sessions", [8, 12, 100])
def test_work_does_not_pile_up_on_one_node(sessions: int) -> None:
    assert max(simulate(sessions=sessions).outstanding_max) <= sessions / 3 + 6


def test_a_somewhat_slower_node_still_gets_nearly_its_third() -> None:
    assert simulate(takes=(0.004, 0.003, 0.003)).shares()[0] == pytest.approx(1 / 3, rel=0.15)


def test_a_slow_node_gets_less_the_slower_it_is() -> None:
    double = simulate(takes=(0.006, 0.003, 0.003)).shares()[0]
    tenfold = simulate(takes=(0.030, 0.003, 0.003)).shares()[0]
    assert double < 0.29
    assert tenfold < 0.10


@pytest.mark.parametrize("sessions", [8, 12])
@pytest.mark.parametrize(
    ("weights", "shares"),
    [((1.0, 0.5, 0.5), (0.5, 0.25, 0.25)), ((1.0, 1.0, 0.5), (0.4, 0.4, 0.2))],
)
def test_weights_are_respected(sessions: int, weights: tuple[float, ...], shares: tuple[float, ...]) -> None:
    assert simulate(sessions=sessions, weights=weights).shares() == pytest.approx(shares, rel=0.20)


def test_weight_zero_gets_nothing() -> None:
    assert simulate(weights=(0.0, 1.0, 1.0)).shares() == pytest.approx([0.0, 0.5, 0.5], rel=0.10)


@pytest.mark.parametrize("sessions", [3, 8, 12, 100])
@pytest.mark.parametrize("seed", [1, 2])
class TestReturn:
    """A node is away from second 5 to second 10."""

    def run(self, sessions: int, seed: int) -> Run:
        return simulate(sessions=sessions, seed=seed, seconds=20, down=(5.0, 10.0))

    def test_while_it_is_away_the_others_share(self, sessions: int, seed: int) -> None:
        assert self.run(sessions, seed).shares(6, 10) == pytest.approx([0.0, 0.5, 0.5], rel=0.10)

    def test_nobody_rushes_at_it(self, sessions: int, seed: int) -> None:
        run = self.run(sessions, seed)
        assert run.shares(10, 11)[0] < 0.34
        for second in range(10, 20):
            assert run.shares(second, second + 1)[0] < 0.45

    def test_it_has_its_third_within_five_seconds(self, sessions: int, seed: int) -> None:
        run = self.run(sessions, seed)
        for second in range(14, 20):
            assert run.shares(second, second + 1)[0] == pytest.approx(1 / 3, rel=0.15)


def writers(count: int = 3) -> tuple[Node, ...]:
    return tuple(Node(f"db{number}") for number in range(1, count + 1))


def test_without_a_writer_there_is_no_place() -> None:
    assert Spread().choose((), None, 0.0, always(0.5)) is None
    assert Spread().choose((), Node("db1"), 0.0, always(0.5)) is None


def test_when_all_weights_are_zero_there_is_no_place() -> None:
    assert Spread().choose((Node("db1", weight=0.0), Node("db2", weight=0.0)), None, 0.0, always(0.5)) is None


def test_a_session_stays_where_it_is_while_that_is_fair() -> None:
    nodes = writers()
    assert Spread().choose(nodes, nodes[1], 0.0, always(0.0)) is nodes[1]
    nodes[1].outstanding = 1
    assert Spread().choose(nodes, nodes[1], 0.0, always(0.0)) is nodes[1]


def test_it_leaves_a_node_that_is_no_writer_any_more() -> None:
    one, two, three = writers()
    assert Spread().choose((two, three), one, 0.0, always(0.0)) is two


def test_it_leaves_a_node_that_is_clearly_busier() -> None:
    one, two, three = writers()
    one.outstanding = 5
    assert Spread().choose((one, two, three), one, 0.0, always(0.0)) is two


def test_it_leaves_a_node_that_has_had_more_than_its_share() -> None:
    one, two, three = writers()
    one.load, two.load, three.load = 100.0, 90.0, 95.0
    assert Spread().choose((one, two, three), one, 0.0, always(0.0)) is two


def test_but_not_for_one_that_is_busier_still() -> None:
    one, two, three = writers()
    one.load, two.load, three.load = 100.0, 10.0, 100.0
    two.outstanding = 1
    assert Spread().choose((one, two, three), one, 0.0, always(0.0)) is one


def test_a_new_session_takes_the_less_busy_of_two() -> None:
    one, two, three = writers()
    one.outstanding, two.outstanding, three.outstanding = 9, 1, 5
    pairs = [Spread().choose((one, two, three), None, 0.0, always(chance / 6)) for chance in range(6)]
    assert pairs == [two, three, two, two, three, two]
    assert one not in pairs


def test_every_pair_is_as_likely() -> None:
    nodes = writers(4)
    for node in nodes:  # all alike: the first of the two is taken
        node.load_at = 1e9
    found = []
    for step in range(1200):
        chosen = Spread().choose(nodes, None, 0.0, always(step / 1200))
        assert chosen is not None
        found.append(chosen.name)
        chosen.load = 0.0
    assert [found.count(node.name) for node in nodes] == [300] * 4


def test_a_full_node_is_the_last_choice() -> None:
    members = Membership([Node("db1"), Node("db2")])
    for node in members:
        members.observe(node.name, READY, 0.0)
    one, two = members
    members.sign(one.name, NodeSign.FULL, "max_connections", 0.0)
    assert {Spread().choose(members.writers, one, 0.5, always(chance / 10)) for chance in range(10)} == {two}
    members.sign(two.name, NodeSign.FULL, "max_connections", 0.0)
    assert Spread().choose(members.writers, None, 0.5, always(0.0)) is not None, "but better than none"
    assert Spread().choose(members.writers, one, 5.0, always(0.0)) is one, "and it passes"


def test_every_placement_counts() -> None:
    nodes = writers()
    for step in range(9):
        Spread().choose(nodes, nodes[0] if step % 2 else None, 0.0, always(step / 9))
    assert sum(node.load_now(0.0) for node in nodes) == 9.0


NODES = st.lists(
    st.tuples(st.integers(0, 50), st.floats(0.0, 1000.0), st.sampled_from([0.0, 0.1, 1.0, 5.0]), st.booleans()),
    max_size=6,
)


@given(NODES, st.integers(0, 7), st.floats(0.0, 1.0, exclude_max=True))
def test_whatever_the_nodes_are_like(state: list[tuple[int, float, float, bool]], current: int, chance: float) -> None:
    nodes = []
    for number, (outstanding, load, weight, full) in enumerate(state):
        node = Node(f"db{number}", weight=weight)
        node.outstanding, node.load, node.penalty_until = outstanding, load, 1.0 if full else -1.0
        nodes.append(node)
    chosen = Spread().choose(nodes, nodes[current] if current < len(nodes) else None, 0.0, always(chance))
    able = [node for node in nodes if node.weight > 0]
    spared = [node for node in able if node.penalty_until <= 0.0]
    assert (chosen is None) is (not able)
    if chosen is not None:
        assert chosen in (spared or able)
