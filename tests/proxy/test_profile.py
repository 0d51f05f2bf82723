"""Which sessions share backends: what the nodes are told of their clients' programs is a part of it."""

from proxy.profile import MOST_BYTES, OURS, introduced
from tests.proxy.scripted import Stage, rows

SAID = {"program_name": "shop", "_client_name": "pymysql", "_pid": "17", "_thread": "9", "team": "blue"}


def test_what_differs_from_process_to_process_is_left_out() -> None:
    assert introduced(SAID, "program") == (("program_name", "shop"), ("_client_name", "pymysql"))


def test_or_all_is_told_or_nothing() -> None:
    assert introduced(SAID, "all") == tuple(SAID.items())
    assert introduced(SAID, "proxy") == OURS


def test_who_says_nothing_is_the_proxys() -> None:
    assert introduced({}, "program") == introduced({"_pid": "17"}, "program") == introduced({}, "all") == OURS


def test_nobody_says_more_than_servers_take() -> None:
    assert introduced({"a": "x" * (MOST_BYTES - 1)}, "all") != OURS
    assert introduced({"a": "x" * MOST_BYTES}, "all") == OURS


def test_sessions_of_one_program_share_and_others_do_not(stage: Stage) -> None:
    shop, same = (stage.client(attributes={"program_name": "shop", "_pid": pid}) for pid in ("1", "2"))
    other = stage.client(attributes={"program_name": "billing"})
    assert shop.session.relay.profile is same.session.relay.profile
    assert other.session.relay.profile is not same.session.relay.profile
    other.runs(stage.one, "SELECT c FROM t", rows("1"))
    (backend,) = stage.one.pool.idle_backends()
    assert backend.profile.introduced == (("program_name", "billing"),)
