"""A Galera node's status, read. Values as MariaDB 10.11 with Galera 26.4 shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.galera import (
    MAINTENANCE,
    NO_UUID,
    PERCONA_QUESTION,
    QUESTION,
    STATUS,
    UNDEFINED_CONF_ID,
    VARIABLES,
    Reading,
    Thresholds,
    health,
    observe,
)
from router.membership import Standing

UUID = "5f7a1c3e-0000-11ef-a000-000000000001"

HEALTHY = {
    "wsrep_cluster_conf_id": "3",
    "wsrep_cluster_state_uuid": UUID,
    "wsrep_cluster_status": "Primary",
    "wsrep_connected": "ON",
    "wsrep_flow_control_paused_ns": "1000000",
    "wsrep_local_recv_queue": "0",
    "wsrep_local_state": "4",
    "wsrep_local_state_comment": "Synced",
    "wsrep_ready": "ON",
    "read_only": "OFF",
    "wsrep_desync": "OFF",
    "wsrep_on": "ON",
    "wsrep_reject_queries": "NONE",
    "wsrep_sst_method": "rsync",
}
DONOR = {"wsrep_local_state": "2", "wsrep_local_state_comment": "Donor/Desynced"}


def read(changes: dict[str, str], at: float = 0.0) -> Reading:
    return told(HEALTHY | changes, at)


def told(values: dict[str, str], at: float = 0.0) -> Reading:
    return Reading({n: values[n] for n in STATUS if n in values}, {n: values[n] for n in VARIABLES if n in values}, at)


def test_a_healthy_node() -> None:
    found = health(read({}))
    assert found.ok
    assert found.reason == ""
    assert (found.cluster_uuid, found.conf_id, found.local_state) == (UUID, 3, 4)


@pytest.mark.parametrize(
    ("changes", "standing", "reason"),
    [
        ({"wsrep_on": "OFF"}, Standing.OUT, "wsrep is off: this server belongs to no Galera cluster"),
        (
            {"wsrep_cluster_status": "non-Primary"},
            Standing.OUT,
            "not in the primary component: cluster status non-Primary",
        ),
        (
            {"wsrep_cluster_status": "Disconnected", "wsrep_connected": "OFF"},
            Standing.OUT,
            "not in the primary component: cluster status Disconnected",
        ),
        ({"wsrep_connected": "OFF"}, Standing.OUT, "not connected to the cluster"),
        ({"wsrep_reject_queries": "ALL"}, Standing.OUT, "wsrep_reject_queries is ALL"),
        ({"wsrep_reject_queries": "ALL_KILL"}, Standing.OUT, "wsrep_reject_queries is ALL_KILL"),
        (
            {"wsrep_local_state": "1", "wsrep_local_state_comment": "Joining: receiving State Transfer"},
            Standing.JOINING,
            "catching up: Joining: receiving State Transfer",
        ),
        ({"wsrep_local_state": "3", "wsrep_local_state_comment": "Joined"}, Standing.JOINING, "catching up: Joined"),
        (
            {"wsrep_local_state": "0", "wsrep_local_state_comment": "Initialized"},
            Standing.OUT,
            "not in step: Initialized",
        ),
        ({"wsrep_local_state": "", "wsrep_local_state_comment": ""}, Standing.OUT, "not in step: -1"),
        ({"wsrep_ready": "OFF"}, Standing.OUT, "not ready: Synced"),
        ({"read_only": "ON"}, Standing.HELD, "read_only is on"),
        ({"read_only": "1"}, Standing.HELD, "read_only is on"),
        (DONOR, Standing.HELD, "donor of a state transfer that blocks it (rsync)"),
        (
            DONOR | {"wsrep_sst_method": "mysqldump"},
            Standing.HELD,
            "donor of a state transfer that blocks it (mysqldump)",
        ),
        (DONOR | {"wsrep_sst_method": "mariabackup"}, Standing.RELIEVED, "donor of a state transfer (mariabackup)"),
        (DONOR | {"wsrep_sst_method": "mariabackup", "wsrep_ready": "OFF"}, Standing.OUT, "not ready: Donor/Desynced"),
        (DONOR | {"wsrep_sst_method": "mariabackup", "read_only": "ON"}, Standing.HELD, "read_only is on"),
        (DONOR | {"wsrep_desync": "ON"}, Standing.RELIEVED, "desynced by the operator"),
        ({"wsrep_desync": "ON"}, Standing.RELIEVED, "desynced by the operator"),
        ({"wsrep_local_recv_queue": "501"}, Standing.RELIEVED, "501 write-sets behind"),
        ({"wsrep_local_recv_queue": "500"}, Standing.READY, ""),
    ],
)
def test_rules(changes: dict[str, str], standing: Standing, reason: str) -> None:
    found = health(read(changes))
    assert (found.standing, found.reason) == (standing, reason)


def test_the_worst_is_told_first() -> None:
    assert "primary" in health(read({"wsrep_cluster_status": "non-Primary", "read_only": "ON"})).reason


def test_a_plain_server_is_no_member_even_if_it_answers() -> None:
    found = health(told({"read_only": "OFF", "wsrep_on": "OFF"}))
    assert (found.standing, found.cluster_uuid, found.conf_id) == (Standing.OUT, "", -1)
    assert health(told({})).standing is Standing.OUT


@pytest.mark.parametrize(("mode", "standing"), [
    ("DISABLED", Standing.READY), ("MAINTENANCE", Standing.HELD), ("SHUTDOWN", Standing.HELD),
])  # fmt: skip
def test_a_node_of_perconas_can_be_in_maintenance(mode: str, standing: Standing) -> None:
    lines = "\n".join(f"{name}={value}" for name, value in (HEALTHY | {MAINTENANCE: mode}).items())
    found, _ = observe([(lines,)], 0.0, None)
    assert found.standing is standing
    assert (mode in found.reason) is (standing is not Standing.READY)


def test_the_answer_is_one_value_of_a_line_for_each_name() -> None:
    found, seen = observe([("\n".join(f"{name}={value}" for name, value in HEALTHY.items()),)], 0.0, None)
    assert found.ok
    assert seen == read({})
    assert observe([(None,)], 0.0, None)[0].standing is Standing.OUT


@pytest.mark.parametrize("uuid", [NO_UUID, ""])
def test_no_identity_is_none(uuid: str) -> None:
    assert health(read({"wsrep_cluster_state_uuid": uuid})).cluster_uuid == ""


def test_outside_the_primary_component_identity_and_view_mean_nothing() -> None:
    found = health(read({"wsrep_cluster_status": "non-Primary", "wsrep_cluster_conf_id": str(UNDEFINED_CONF_ID)}))
    assert (found.cluster_uuid, found.conf_id) == ("", -1)


def test_flow_control_counts_since_the_last_poll() -> None:
    before = read({"wsrep_flow_control_paused_ns": "5000000000"}, at=10.0)
    busy = read({"wsrep_flow_control_paused_ns": "5100000000"}, at=10.2)
    found = health(busy, before)
    assert found.flow_control_paused == pytest.approx(0.5)
    assert found.ok
    assert health(busy).flow_control_paused == 0.0, "the first poll has nothing to compare with"
    stuck = health(read({"wsrep_flow_control_paused_ns": "5190000000"}, at=10.2), before)
    assert (stuck.standing, stuck.reason) == (Standing.RELIEVED, "paused by flow control 95 % of the time")


def test_flush_status_is_no_negative_pause() -> None:
    before = read({"wsrep_flow_control_paused_ns": "5000000000"}, at=10.0)
    assert health(read({"wsrep_flow_control_paused_ns": "0"}, at=10.2), before).flow_control_paused == 0.0


def test_thresholds_are_the_operators() -> None:
    found = health(read({"wsrep_local_recv_queue": "20"}), thresholds=Thresholds(recv_queue=10))
    assert found.standing is Standing.RELIEVED


def test_the_question_asks_for_what_the_rules_read() -> None:
    for name in STATUS:
        assert f"'{name}'" in QUESTION
    for name in VARIABLES:
        assert f"@@global.{name}" in QUESTION
    for name in (*STATUS, *VARIABLES, MAINTENANCE):
        assert f"'{name}'" in PERCONA_QUESTION
    assert set(STATUS) | set(VARIABLES) == set(HEALTHY)


@given(st.dictionaries(st.sampled_from(sorted(HEALTHY)), st.text(max_size=8) | st.sampled_from(["1e999", "nan", "-1"])))
def test_any_value_gives_a_reading(changes: dict[str, str]) -> None:
    found = health(read(changes), read({}, at=-1.0))
    assert found.ok is (found.reason == "")
    assert 0.0 <= found.flow_control_paused <= 1.0
