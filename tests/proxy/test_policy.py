"""What an endpoint and its users say, and what of it a reload changes."""

import logging
from dataclasses import replace
from typing import Any

import pytest

import config
from config import Config, ConfigError, Endpoint, EndpointReplay, User
from proxy.policy import Policy
from proxy.reload import reload, taken, unchangeable
from router.causality import Level

BASE = """\
[cluster]
nodes = ["10.0.0.1", "10.0.0.2"]
user = "m"
password = "m"
[[user]]
name = "app"
password = "app"
[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"
"""


def settings(more: str = "") -> Config:
    return config.loads(BASE + more, name="m", environ={})


def policy(endpoint: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Policy:
    made = settings()
    return Policy(made, replace(made.endpoints[0], **endpoint or {}), replace(made.users[0], **user) if user else None)


def test_the_defaults() -> None:
    found = policy()
    assert (found.adapts, found.by_key, found.careful, found.places) == (True, False, False, False)
    assert found.level is Level.SESSION
    assert found.budgets is None


@pytest.mark.parametrize(
    ("endpoint", "user", "expected"),
    [
        ({"placement": "spread"}, {}, (False, False, Level.SESSION, False)),
        ({"placement": "affinity"}, {}, (False, True, Level.SESSION, False)),
        ({"placement": "spread"}, {"placement": "adaptive"}, (True, False, Level.SESSION, False)),
        ({"causality": "strong"}, {"causality": "eventual"}, (True, False, Level.EVENTUAL, False)),
        ({"snapshot_isolation": True}, {}, (True, False, Level.SESSION, True)),
        ({"snapshot_isolation": True}, {"snapshot_isolation": False}, (True, False, Level.SESSION, False)),
    ],
)
def test_what_a_user_says_counts_before_what_the_endpoint_does(
    endpoint: dict[str, Any], user: dict[str, Any], expected: tuple[bool, bool, Level, bool]
) -> None:
    found = policy(endpoint, user)
    assert (found.adapts, found.by_key, found.level, found.snapshot_isolation) == expected


def test_limits_of_replays_that_an_endpoint_leaves_out_are_the_common_ones() -> None:
    found = policy({"replay": EndpointReplay(max_attempts=2, journal_bytes=4096, budget_per_node=7.0)})
    common = settings().replay
    assert found.limits.max_attempts == 2
    assert found.limits.max_time == common.max_time
    assert found.journal_bytes == 4096
    assert found.replays is common.enabled
    assert found.budgets is not None
    assert set(found.budgets) == {"10.0.0.1:3306", "10.0.0.2:3306"}
    assert [found.budgets["10.0.0.1:3306"].take(0.0) for _ in range(8)] == [True] * 7 + [False]


def test_limits_that_contradict_each_other_are_a_problem() -> None:
    for more in ('backoff_base = "1s"', 'backoff_max = "1us"', 'journal_bytes = "1GiB"'):
        with pytest.raises(ConfigError, match="replay"):
            settings(f"[endpoint.replay]\n{more}\n")


# -- reload -----------------------------------------------------------------------------------------------------------


def test_what_may_change_is_taken_and_what_may_not_is_named() -> None:
    old = settings()
    new = settings(
        'placement = "spread"\nsocket = "/run/x.sock"\n[endpoint.replay]\nmax_attempts = 3\n'
        '[replay]\nmax_time = "5s"\n[limits]\nmax_clients = 5\n'
    )
    assert unchangeable(old, new) == ["endpoint.write", "limits"]
    kept = taken(old.endpoints[0], new.endpoints[0])
    assert (kept.placement, kept.replay.max_attempts, kept.socket) == ("spread", 3, None)
    assert unchangeable(old, settings('placement = "spread"\n[replay]\nmax_attempts = 3\n')) == []
    assert unchangeable(old, settings('[replay]\ntotal_journal_bytes = "1GiB"\n')) == ["replay.total_journal_bytes"]


def test_an_endpoint_or_user_that_is_new_or_gone_needs_a_restart() -> None:
    old = settings()
    more = settings('[[endpoint]]\nname = "other"\nlisten = "127.0.0.1:3307"\n[[user]]\nname = "x"\npassword = "x"\n')
    assert unchangeable(old, more) == ["endpoint.other", "user.x"]
    assert unchangeable(more, old) == ["endpoint.other", "user.x"]


def test_with_a_problem_everything_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def never(_: Config) -> list[str]:
        raise AssertionError("wrong settings were taken")

    with caplog.at_level(logging.INFO):
        assert not reload(lambda: settings('placement = "sprad"\n'), never)
        assert not reload(lambda: config.load("/nowhere/m.toml"), never)
    said = [(record.msg, getattr(record, "fields", {})) for record in caplog.records]
    assert [name for name, _ in said] == ["reload.problem", "reload.refused"] * 2
    assert "sprad" in said[0][1]["problem"]


def test_a_good_file_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    given: list[Config] = []

    def take(found: Config) -> list[str]:
        given.append(found)
        return ["limits"]

    with caplog.at_level(logging.INFO):
        assert reload(settings, take)
    assert given == [settings()]
    (record,) = caplog.records
    assert (record.msg, record.levelno) == ("reloaded", logging.WARNING)
    assert getattr(record, "fields", {}) == {"needs_restart": "limits"}


def test_each_setting_that_may_change_is_one() -> None:
    from proxy.reload import CHANGEABLE

    named = {name for cls in (Endpoint, User) for name in cls.__slots__}
    assert named >= CHANGEABLE
