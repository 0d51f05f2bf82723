"""Who is meant by a network in the settings."""

import pytest

import config
from config import ConfigError, Network, SettingError

BASE = """
[cluster]
nodes = ["10.0.0.1"]
user = "m"
password = "m"
[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"
"""


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "::1", "localhost"]),
        ("10.0.0.1", ["10.0.0.1"], ["10.0.0.2"]),
        ("2001:DB8::/32", ["2001:db8::1", "2001:db8::1%eth0"], ["2001:db9::1", "10.0.0.1"]),
        (" ::1 ", ["::1"], ["127.0.0.1", "localhost"]),
        ("localhost", ["localhost"], ["127.0.0.1", "::1"]),
        ("*", ["localhost", "127.0.0.1", "::1"], []),
    ],
)
def test_who_is_meant(written: str, inside: list[str], outside: list[str]) -> None:
    network = Network.parse(written)
    assert [host for host in inside + outside if network.holds(host)] == inside
    assert Network.parse(str(network)) == network


@pytest.mark.parametrize("written", ["", "10.0.0.1/8", "10.0.0", "db1.example", "10.0.0.0/33", 10, None, ["::1"]])
def test_what_is_no_network(written: object) -> None:
    with pytest.raises(SettingError):
        Network.parse(written)


def test_an_endpoint_lists_them() -> None:
    made = config.loads(BASE + 'proxy_protocol_networks = ["10.0.0.0/8", "localhost"]\n')
    assert made.endpoints[0].proxy_protocol_networks == (Network.parse("10.0.0.0/8"), Network.parse("localhost"))
    assert config.loads(BASE).endpoints[0].proxy_protocol_networks == ()


def test_each_wrong_one_is_shown() -> None:
    with pytest.raises(ConfigError) as error:
        config.loads(BASE + 'proxy_protocol_networks = ["10.0.0.1/8", "::1", "x"]\n')
    assert [problem.message for problem in error.value.problems] == [
        '"10.0.0.1/8" is no network: 10.0.0.1/8 has host bits set',
        "\"x\" is no network: 'x' does not appear to be an IPv4 or IPv6 network",
    ]
    with pytest.raises(ConfigError, match="an array is expected"):
        config.loads(BASE + 'proxy_protocol_networks = "10.0.0.0/8"\n')
