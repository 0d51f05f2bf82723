"""What a member of a group says of itself, read. Values as MySQL 9.7 shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.group_replication import QUESTION, Thresholds, health, observe, reading
from router.membership import Standing

GROUP = "79c96e44-a163-4850-abca-ec2a39fa972d"
VIEW = "17951842039483011:3"
MINE, SECOND, THIRD = (f"0000000{number}-c4a5-11f0-9c3a-020011223344" for number in (1, 2, 3))
HEALTHY = {
    ("variable", "offline_mode"): "0",
    ("variable", "read_only"): "0",
    ("variable", "super_read_only"): "0",
    ("group", "name"): GROUP,
    ("member", MINE): "ONLINE",
    ("member", SECOND): "ONLINE",
    ("member", THIRD): "ONLINE",
    ("mine", "state"): "ONLINE",
    ("mine", "role"): "PRIMARY",
    ("mine", "view"): VIEW,
    ("mine", "to_certify"): "0",
    ("mine", "to_apply"): "0",
}
# A server whose group replication was never started: performance_schema has one row of the group, without a name.
ALONE = {key: value for key, value in HEALTHY.items() if key[0] == "variable"} | {
    ("group", "name"): "",
    ("member", ""): "OFFLINE",
}

Changes = dict[tuple[str, str], str]


def answer(changes: Changes) -> list[tuple[str | None, ...]]:
    return [(kind, name, value) for (kind, name), value in (HEALTHY | changes).items()]


def read(changes: Changes):
    return reading(answer(changes))


def test_a_healthy_member() -> None:
    found = health(read({}))
    assert found.ok
    assert found.reason == ""
    assert found.cluster_uuid == GROUP
    assert not found.read_only


@pytest.mark.parametrize(
    ("changes", "standing", "reason"),
    [
        (
            {("mine", "state"): "OFFLINE"},
            Standing.OUT,
            "group replication does not run: this server belongs to no group",
        ),
        ({("mine", "state"): "RECOVERING"}, Standing.JOINING, "catching up: RECOVERING"),
        ({("mine", "state"): "ERROR"}, Standing.OUT, "expelled or failed: ERROR"),
        (
            {("member", SECOND): "UNREACHABLE", ("member", THIRD): "UNREACHABLE"},
            Standing.OUT,
            "not in the majority: sees 1 of 3 members",
        ),
        ({("variable", "offline_mode"): "1"}, Standing.OUT, "offline_mode is on"),
        ({("mine", "role"): "SECONDARY"}, Standing.HELD, "secondary of a group in single-primary mode"),
        ({("variable", "super_read_only"): "1"}, Standing.HELD, "super_read_only is on"),
        ({("variable", "read_only"): "1"}, Standing.HELD, "read_only is on"),
        ({("mine", "to_certify"): "2001"}, Standing.RELIEVED, "2001 transactions wait for certification"),
        ({("mine", "to_apply"): "2001"}, Standing.RELIEVED, "2001 transactions behind"),
    ],
)
def test_what_keeps_it_from_work(changes: Changes, standing: Standing, reason: str) -> None:
    found = health(read(changes))
    assert (found.standing, found.reason) == (standing, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {("member", THIRD): "UNREACHABLE"},  # two of three go on
        {("member", THIRD): "RECOVERING"},
        {("mine", "to_certify"): "2000", ("mine", "to_apply"): "2000"},
        {("mine", "to_apply"): ""},
    ],
)
def test_what_does_not(changes: Changes) -> None:
    assert health(read(changes)).ok


def test_half_is_no_majority() -> None:
    fourth = {("member", "00000004"): "UNREACHABLE", ("member", THIRD): "UNREACHABLE"}
    assert health(read(fourth)).standing is Standing.OUT


def test_a_server_without_a_group() -> None:
    found = health(reading([(kind, name, value) for (kind, name), value in ALONE.items()]))
    assert found.standing is Standing.OUT
    assert (found.cluster_uuid, found.conf_id) == ("", -1)


@pytest.mark.parametrize(
    "changes",
    [
        {("mine", "state"): "RECOVERING"},
        {("mine", "state"): "ERROR"},
        {("member", SECOND): "UNREACHABLE", ("member", THIRD): "UNREACHABLE"},
    ],
)
def test_only_a_member_in_step_says_which_group_it_is_and_in_which_view(changes: Changes) -> None:
    found = health(read(changes))
    assert (found.cluster_uuid, found.conf_id) == ("", -1)


def test_views_grow() -> None:
    def view(text: str) -> int:
        return health(read({("mine", "view"): text})).conf_id

    assert view("17951842039483011:3") < view("17951842039483011:10") < view("17951842039483012:1")
    assert view("") == view("none") == view("17951842039483011") == -1


def test_thresholds_can_be_others() -> None:
    found = read({("mine", "to_apply"): "11"})
    assert health(found, Thresholds(to_apply=10)).standing is Standing.RELIEVED


def test_a_poll_leaves_nothing_for_the_next() -> None:
    found, kept = observe(answer({}), 0.0, None)
    assert found.ok
    assert kept is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(HEALTHY)), st.text() | st.sampled_from(["ONLINE", "ERROR", "ON", "1", "-1", "1:1"])
    )
)
def test_anything_is_read(changes: Changes) -> None:
    found = health(read(changes))
    assert found.ok == (found.reason == "")


def test_the_question_is_one_statement_of_three_columns() -> None:
    parts = QUESTION.split("UNION ALL")
    assert all(part.split("FROM")[0].count(",") == 2 for part in parts)
    assert ";" not in QUESTION
