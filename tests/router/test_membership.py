"""Who is a writer: every state by every input, and the rules on top."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.membership import PENALTY, VIEW_GRACE, Health, Membership, Node, NodeState, Standing
from router.outcomes import NodeSign

UUID = "5f7a1c3e-0000-11ef-a000-000000000001"
OTHER = "99999999-0000-11ef-a000-000000000002"
UP, DRAINING, SUSPECT, DOWN, JOINING = (
    NodeState.UP,
    NodeState.DRAINING,
    NodeState.SUSPECT,
    NodeState.DOWN,
    NodeState.JOINING,
)


def ready(conf_id: int = 5, uuid: str = UUID) -> Health:
    return Health(standing=Standing.READY, cluster_uuid=uuid, conf_id=conf_id, local_state=4)


def not_ready(standing: Standing, reason: str = "says so") -> Health:
    return Health(standing=standing, reason=reason)


def cluster(count: int = 3, *, up: bool = True, ramp: float = 2.0) -> Membership:
    members = Membership([Node(f"db{number}") for number in range(1, count + 1)], ramp=ramp)
    if up:
        # Twice: until all have been asked once, none is trusted to be of the right cluster.
        for _ in range(2):
            for node in members:
                members.observe(node.name, ready(), 0.0)
    return members


def names(members: Membership) -> list[str]:
    return [node.host for node in members.writers]


def bring(state: NodeState) -> tuple[Membership, Node]:
    """A cluster whose first node is in `state`, by the usual way."""
    members = cluster()
    node = members["db1:3306"]
    if state is DRAINING:
        members.sign(node.name, NodeSign.DRAINING, "shutting down", 1.0)
    elif state is SUSPECT:
        members.sign(node.name, NodeSign.SUSPECT, "reset", 1.0)
    elif state is DOWN:
        members.failed_poll(node.name, "refused", 1.0)
    elif state is JOINING:
        members.observe(node.name, not_ready(Standing.JOINING), 1.0)
    assert node.state is state
    return members, node


# input -> the state it leads to, from UP, DRAINING, SUSPECT, DOWN, JOINING
MATRIX = {
    "ready": (UP, UP, UP, UP, UP),
    "relieved": (DRAINING, DRAINING, DRAINING, DRAINING, DRAINING),
    "held": (DRAINING, DRAINING, DRAINING, DRAINING, DRAINING),
    "joining": (JOINING, JOINING, JOINING, JOINING, JOINING),
    "out": (DOWN, DOWN, DOWN, DOWN, DOWN),
    "refused": (DOWN, DOWN, DOWN, DOWN, DOWN),
    "timed out": (SUSPECT, SUSPECT, DOWN, DOWN, DOWN),
    "sign none": (UP, DRAINING, SUSPECT, DOWN, JOINING),
    "sign full": (UP, DRAINING, SUSPECT, DOWN, JOINING),
    "sign suspect": (SUSPECT, SUSPECT, SUSPECT, DOWN, JOINING),
    "sign draining": (DRAINING, DRAINING, DRAINING, DOWN, JOINING),
    "sign not writer": (DRAINING, DRAINING, DRAINING, DOWN, JOINING),
    "sign down": (DOWN, DOWN, DOWN, DOWN, DOWN),
    "drain": (DRAINING, DRAINING, DRAINING, DOWN, DRAINING),
    "undrain": (UP, DRAINING, SUSPECT, DOWN, JOINING),
}


@pytest.mark.parametrize("given_input", MATRIX)
@pytest.mark.parametrize("position", range(5))
def test_every_state_by_every_input(given_input: str, position: int) -> None:
    members, node = bring((UP, DRAINING, SUSPECT, DOWN, JOINING)[position])
    old = node.state
    verb, _, rest = given_input.partition(" ")
    match verb:
        case "ready":
            changes = members.observe(node.name, ready(), 2.0)
        case "relieved" | "held" | "joining" | "out":
            changes = members.observe(node.name, not_ready(Standing(verb)), 2.0)
        case "refused" | "timed":
            changes = members.failed_poll(node.name, given_input, 2.0, timed_out=verb == "timed")
        case "sign":
            changes = members.sign(node.name, NodeSign(rest), given_input, 2.0)
        case "drain":
            changes = members.drain(node.name, 2.0)
        case _:
            changes = members.undrain(node.name, 2.0)
    new = MATRIX[given_input][position]
    assert node.state is new
    if old is new:
        assert changes == []
        assert node.since <= 1.0
    else:
        assert [(c.node, c.old, c.new, c.at) for c in changes] == [(node, old, new, 2.0)]
        assert changes[0].reason == node.reason
        assert node.since == 2.0
        assert bool(node.reason) is (new is not UP)
    assert ("db1" in names(members)) is (new is UP)


def test_before_the_first_poll_nobody_is_a_writer() -> None:
    members = cluster(up=False)
    assert members.writers == ()
    assert {node.state for node in members} == {JOINING}


def test_writers_keep_the_order_of_the_configuration_and_change_only_with_the_epoch() -> None:
    members = cluster()
    before, epoch = members.writers, members.epoch
    assert names(members) == ["db1", "db2", "db3"]
    members.observe("db2:3306", ready(), 1.0)
    members.sign("db2:3306", NodeSign.FULL, "full", 1.0)
    assert members.writers is before
    assert members.epoch == epoch
    members.failed_poll("db2:3306", "refused", 2.0)
    assert names(members) == ["db1", "db3"]
    assert members.epoch == epoch + 1


def test_a_sign_acts_at_once_and_only_a_poll_that_began_later_takes_it_back() -> None:
    members = cluster()
    members.sign("db1:3306", NodeSign.SUSPECT, "connection reset", 10.0)
    assert names(members) == ["db2", "db3"]
    assert members.observe("db1:3306", ready(), 10.3, began=9.9) == []
    assert members.observe("db1:3306", ready(), 10.3, began=10.0) == []
    assert names(members) == ["db2", "db3"]
    members.observe("db1:3306", ready(), 10.4, began=10.1)
    assert names(members) == ["db1", "db2", "db3"]


def test_each_new_sign_has_to_be_outlived() -> None:
    members = cluster()
    members.sign("db1:3306", NodeSign.SUSPECT, "reset", 10.0)
    members.sign("db1:3306", NodeSign.SUSPECT, "reset", 11.0)
    members.observe("db1:3306", ready(), 11.5, began=10.5)
    assert members["db1:3306"].state is SUSPECT


def test_lost_connections_and_a_poll_without_answer_are_a_dead_node() -> None:
    members = cluster()
    members.sign("db1:3306", NodeSign.SUSPECT, "connection reset", 1.0)
    changes = members.failed_poll("db1:3306", "no answer within 0.8 s", 2.0, timed_out=True)
    assert [(c.old, c.new, c.reason) for c in changes] == [(SUSPECT, DOWN, "no answer within 0.8 s")]


def test_one_missed_deadline_is_suspicion_the_second_is_death() -> None:
    members = cluster()
    assert members.failed_poll("db1:3306", "slow", 1.0, timed_out=True)[0].new is SUSPECT
    assert members.failed_poll("db1:3306", "slow", 2.0, timed_out=True)[0].new is DOWN


def test_a_returned_node_ramps_up() -> None:
    members = cluster(ramp=2.0)
    node = members["db1:3306"]
    assert node.weight_now(0.0) == 1.0, "the first time up is no return"
    members.failed_poll(node.name, "refused", 1.0)
    members.observe(node.name, ready(), 10.0)
    assert [round(node.weight_now(10.0 + passed), 2) for passed in (0.0, 0.1, 1.0, 1.9, 2.0, 50.0)] == [
        0.1,
        0.1,
        0.5,
        0.95,
        1.0,
        1.0,
    ]


def test_a_suspicion_that_one_poll_dispelled_costs_no_ramp() -> None:
    members = cluster()
    members.sign("db1:3306", NodeSign.SUSPECT, "reset", 1.0)
    members.observe("db1:3306", ready(), 1.1)
    assert members["db1:3306"].weight_now(1.1) == 1.0


def test_a_full_node_is_spared_for_a_moment() -> None:
    members = cluster()
    members.sign("db1:3306", NodeSign.FULL, "max_connections", 5.0)
    assert members["db1:3306"].penalty_until == 5.0 + PENALTY
    assert names(members) == ["db1", "db2", "db3"]


class TestDrain:
    def test_the_monitor_never_undoes_it(self) -> None:
        members = cluster()
        node = members["db2:3306"]
        members.drain(node.name, 1.0, "maintenance")
        assert members.observe(node.name, ready(), 2.0) == []
        assert (node.state, node.reason) == (DRAINING, "maintenance")
        members.failed_poll(node.name, "refused", 3.0)
        assert node.state is DOWN
        members.observe(node.name, ready(), 4.0)
        assert (node.state, node.reason) == (DRAINING, "maintenance")
        members.sign(node.name, NodeSign.SUSPECT, "reset", 5.0)
        members.observe(node.name, ready(), 6.0)
        assert (node.state, node.reason) == (DRAINING, "maintenance")
        assert names(members) == ["db1", "db3"]

    def test_undrained_it_returns_by_a_poll_and_ramps(self) -> None:
        members = cluster()
        members.drain("db2:3306", 1.0)
        assert members.undrain("db2:3306", 2.0)[0].new is JOINING
        assert names(members) == ["db1", "db3"]
        members.observe("db2:3306", ready(), 3.0)
        assert names(members) == ["db1", "db2", "db3"]
        assert members["db2:3306"].weight_now(3.0) < 1.0

    def test_a_dead_node_can_be_drained_and_stays_down(self) -> None:
        members, node = bring(DOWN)
        assert members.drain(node.name, 2.0) == []
        members.observe(node.name, ready(), 3.0)
        assert node.state is DRAINING
        assert members.undrain(node.name, 4.0)[0].new is JOINING

    def test_a_drained_node_is_not_the_last_resort_either(self) -> None:
        members = cluster(1)
        members.drain("db1:3306", 1.0)
        members.observe("db1:3306", not_ready(Standing.RELIEVED), 2.0)
        assert members.writers == ()


class TestRelief:
    def test_a_relieved_node_gets_nothing_while_others_are_up(self) -> None:
        members = cluster()
        members.observe("db1:3306", not_ready(Standing.RELIEVED, "donor"), 1.0)
        assert names(members) == ["db2", "db3"]

    def test_it_is_used_when_nobody_else_is_left(self) -> None:
        members = cluster()
        members.observe("db1:3306", not_ready(Standing.RELIEVED, "donor"), 1.0)
        members.failed_poll("db2:3306", "refused", 2.0)
        members.failed_poll("db3:3306", "refused", 2.0)
        assert names(members) == ["db1"]
        members.observe("db2:3306", ready(), 3.0)
        assert names(members) == ["db2"]

    def test_a_held_node_is_not_even_then(self) -> None:
        members = cluster(1)
        members.observe("db1:3306", not_ready(Standing.HELD, "read_only is on"), 1.0)
        assert members.writers == ()

    def test_a_sign_against_the_last_resort_counts(self) -> None:
        members = cluster(1)
        members.observe("db1:3306", not_ready(Standing.RELIEVED, "donor"), 1.0)
        assert names(members) == ["db1"]
        members.sign("db1:3306", NodeSign.DRAINING, "shutting down", 2.0)
        assert members.writers == ()


class TestClusterIdentity:
    def test_a_stranger_who_answers_first_is_not_taken_for_the_cluster(self) -> None:
        members = cluster(up=False)
        members.observe("db1:3306", ready(uuid=OTHER), 0.1)
        assert members.writers == ()
        members.observe("db2:3306", ready(), 0.2)
        members.observe("db3:3306", ready(), 0.3)
        members.observe("db1:3306", ready(uuid=OTHER), 0.4)
        members.observe("db2:3306", ready(), 0.5)
        assert names(members) == ["db2", "db3"]
        assert members["db1:3306"].state is DOWN
        assert members["db1:3306"].reason == f"belongs to another cluster: {OTHER}, not {UUID}"

    def test_one_dead_node_does_not_hold_up_the_start(self) -> None:
        members = cluster(2, up=False)
        members.observe("db1:3306", ready(), 0.1)
        assert members.writers == ()
        members.failed_poll("db2:3306", "refused", 0.2)
        members.observe("db1:3306", ready(), 0.3)
        assert names(members) == ["db1"]

    def test_a_node_that_comes_back_with_another_cluster_is_refused(self) -> None:
        members = cluster()
        members.failed_poll("db3:3306", "refused", 1.0)
        members.observe("db3:3306", ready(uuid=OTHER), 9.0)
        assert members["db3:3306"].state is DOWN
        assert "another cluster" in members["db3:3306"].reason

    def test_a_cluster_made_anew_is_followed_by_majority(self) -> None:
        members = cluster()
        for name in ("db1:3306", "db2:3306", "db3:3306"):
            members.failed_poll(name, "refused", 1.0)
        members.observe("db1:3306", ready(uuid=OTHER), 5.0)
        assert members.writers == ()
        members.observe("db2:3306", ready(uuid=OTHER), 6.0)
        members.observe("db1:3306", ready(uuid=OTHER), 6.1)
        assert names(members) == ["db1", "db2"]

    def test_those_left_in_the_old_one_go_when_the_majority_has_changed(self) -> None:
        members = cluster()
        members.observe("db1:3306", ready(uuid=OTHER), 1.0)
        assert names(members) == ["db2", "db3"]
        members.observe("db2:3306", ready(uuid=OTHER), 1.1)
        assert names(members) == ["db2"]

    def test_an_engine_without_identity_is_taken_at_its_word(self) -> None:
        members = cluster(1, up=False)
        members.observe("db1:3306", Health(standing=Standing.READY), 0.1)
        assert names(members) == ["db1"]


class TestView:
    """A node that was frozen past its eviction answers as it was: Primary, Synced, and stale."""

    def test_a_node_that_comes_back_in_an_old_view_is_held(self) -> None:
        members = cluster()
        members.failed_poll("db3:3306", "no answer", 1.0)
        for name in ("db1:3306", "db2:3306"):
            members.observe(name, ready(conf_id=6), 2.0)
        members.observe("db3:3306", ready(conf_id=5), 15.0)
        assert members["db3:3306"].state is DRAINING
        assert "still in view 5" in members["db3:3306"].reason
        for name in ("db1:3306", "db2:3306", "db3:3306"):
            members.observe(name, ready(conf_id=7), 16.0)
        assert names(members) == ["db1", "db2", "db3"]

    def test_what_counts_is_when_the_others_went_on_not_when_they_were_polled_last(self) -> None:
        members = cluster()
        members.failed_poll("db3:3306", "no answer", 1.0)
        for now in (2.0, 14.9, 15.1):
            for name in ("db1:3306", "db2:3306"):
                members.observe(name, ready(conf_id=6), now)
        members.observe("db3:3306", ready(conf_id=5), 15.2, began=15.0)
        assert names(members) == ["db1", "db2"]

    def test_working_nodes_may_learn_of_a_new_view_one_after_the_other(self) -> None:
        members = cluster()
        members.observe("db1:3306", ready(conf_id=6), 10.0)
        members.observe("db2:3306", ready(conf_id=5), 10.0 + VIEW_GRACE / 2)
        assert names(members) == ["db1", "db2", "db3"]

    def test_but_not_for_ever(self) -> None:
        members = cluster()
        members.observe("db1:3306", ready(conf_id=6), 10.0)
        members.observe("db2:3306", ready(conf_id=5), 10.1 + VIEW_GRACE)
        assert names(members) == ["db1", "db3"]

    def test_a_cluster_that_began_counting_anew_is_no_old_view(self) -> None:
        members = cluster()
        for name in ("db1:3306", "db2:3306", "db3:3306"):
            members.failed_poll(name, "refused", 1.0)
        members.observe("db1:3306", ready(conf_id=1), 5.0)
        assert names(members) == ["db1"]


@pytest.mark.parametrize("state", NodeState)
def test_backends_are_kept_only_where_new_work_may_come(state: NodeState) -> None:
    _, node = bring(state)
    assert node.closed_to_backends is (state is not UP)


def test_backends_of_a_relieved_node_are_kept_unless_it_is_drained() -> None:
    members = cluster()
    members.observe("db1:3306", not_ready(Standing.RELIEVED, "donor"), 1.0)
    assert not members["db1:3306"].closed_to_backends
    members.drain("db1:3306", 2.0)
    assert members["db1:3306"].closed_to_backends


def test_a_name_is_one_node() -> None:
    with pytest.raises(ValueError, match="db1:3306 is named twice"):
        Membership([Node("db1"), Node("db1", 3306)])


def test_nodes_are_named_by_address() -> None:
    assert Node("db1", 3307).name == "db1:3307"
    assert Node("::1", 3307).name == "[::1]:3307"
    members, node = bring(DOWN)
    assert repr(node) == "<Node db1:3306 down (refused), 0 outstanding>"
    assert [n.host for n in members] == [n.host for n in members.nodes] == ["db1", "db2", "db3"]
    assert len(members) == 3


def test_load_decays() -> None:
    node = Node("db1")
    for _ in range(100):
        node.placed(0.0)
    assert node.load_now(0.0) == 100.0
    assert node.load_now(1.0) == pytest.approx(36.8, abs=0.1)
    assert node.load_now(10.0) < 0.01


INPUTS = st.tuples(
    st.sampled_from(["db1:3306", "db2:3306", "db3:3306"]),
    st.sampled_from(["ready", "other", "relieved", "held", "joining", "out", "refused", "slow", "drain", "undrain"])
    | st.sampled_from(list(NodeSign)),
    st.floats(0.0, 3.0),
)


@given(st.lists(INPUTS, max_size=60))
def test_whatever_happens(inputs: list[tuple[str, str | NodeSign, float]]) -> None:
    members, now = cluster(), 0.0
    for name, what, passed in inputs:
        now += passed
        before = {node.name: node.state for node in members}
        epoch, writers = members.epoch, members.writers
        if isinstance(what, NodeSign):
            changes = members.sign(name, what, "sign", now)
        elif what in ("refused", "slow"):
            changes = members.failed_poll(name, what, now, timed_out=what == "slow")
        elif what == "drain":
            changes = members.drain(name, now)
        elif what == "undrain":
            changes = members.undrain(name, now)
        elif what in ("ready", "other"):
            changes = members.observe(name, ready(uuid=UUID if what == "ready" else OTHER), now)
        else:
            changes = members.observe(name, not_ready(Standing(what)), now)
        for change in changes:  # transitions tell the whole story
            assert before[change.node.name] is change.old is not change.new
            before[change.node.name] = change.new
        assert before == {node.name: node.state for node in members}
        up = tuple(node for node in members if node.state is UP)
        assert members.writers == up or (
            not up and all(node.state is DRAINING and node.relieved for node in members.writers)
        )
        assert all(not node.drained for node in members.writers)
        assert (members.epoch == epoch) is (members.writers is writers)
        for node in members:
            assert bool(node.reason) is (node.state is not UP)
