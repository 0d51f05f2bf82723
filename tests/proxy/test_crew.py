"""One worker's share of what the settings allow to all."""

import pytest

from config import Config, loads
from proxy.crew import share

SETTINGS = """
[cluster]
nodes = ["a"]
user = "m"
password = "m"
[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"
[http]
listen = "127.0.0.1:9306"
[console]
listen = "127.0.0.1:6032"
password = "x"
[pool]
max_backends = 11
[process]
workers = 4
"""


@pytest.fixture
def config() -> Config:
    return loads(SETTINGS)


def test_all_workers_together_keep_to_the_limits(config: Config) -> None:
    shares = [share(config, number, 4) for number in range(4)]
    assert [each.pool.max_backends for each in shares] == [3, 3, 3, 2]
    assert sum(each.replay.total_journal_bytes for each in shares) <= config.replay.total_journal_bytes
    assert sum(each.replay.budget_per_node for each in shares) == config.replay.budget_per_node
    assert sum(each.limits.max_pending_logins for each in shares) >= config.limits.max_pending_logins
    assert {each.limits.max_clients for each in shares} == {config.limits.max_clients}


def test_what_there_is_once_is_the_supervisors(config: Config) -> None:
    assert share(config, 0, 4).http.listen is None
    assert share(config, 0, 4).console.password is None
