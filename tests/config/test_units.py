"""How an operator writes durations, sizes and addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import (
    Address,
    SettingError,
    describe,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (10, 10.0),
        (0.2, 0.2),
        (0, 0.0),
        ("10", 10.0),
        ("10s", 10.0),
        ("200ms", 0.2),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("5min", 300.0),
        ("8h", 28_800.0),
        ("2d", 172_800.0),
        (" 3 S ", 3.0),
        (-1, -1.0),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    ["", "s", "5x", "1m30s", "-1s", "1e3s", "٣s", "9" * 400 + "s", True, [], None, float("nan"), float("inf"), 10**400],
)
def test_what_is_no_duration_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(SettingError) as refusal:
        parse_duration(written)
    assert '"200ms"' in refusal.value.hint


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1_048_576, 1_048_576),
        ("1048576", 1_048_576),
        ("1MiB", 1_048_576),
        ("1M", 1_048_576),
        ("64MB", 64_000_000),
        ("64KiB", 65_536),
        ("1.5KiB", 1536),
        ("1 gib", 2**30),
        ("2GB", 2 * 10**9),
        ("7B", 7),
        ("1000000000000001B", 10**15 + 1),
        ("0.1GB", 10**8),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "MB", "1TBB", "0.3B", "-1", 1.0, True, [], 2**60, "999999GiB" * 3])
def test_what_is_no_size_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(SettingError) as refusal:
        parse_size(written)
    assert '"64MB"' in refusal.value.hint


@given(st.integers(0, 2**50))
def test_a_formatted_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.one_of(st.integers(0, 999_999), st.integers(0, 999).map(lambda ms: ms / 1000)))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.2, "200ms"), (0.002, "2ms"), (1.5, "1.5s"), (2, "2s"), (90, "90s"), (300, "5m"), (28_800, "8h")],
)
def test_durations_are_shown_as_a_person_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:3307", Address("10.0.0.1", 3307)),
        ("10.0.0.1", Address("10.0.0.1", 3306)),
        ("DB1.Example", Address("db1.example", 3306)),
        ("db_1:1", Address("db_1", 1)),
        ("[::1]:3306", Address("::1", 3306)),
        ("[0:0:0:0:0:0:0:1]", Address("::1", 3306)),
        ("[fe80::1%eth0]:65535", Address("fe80::1%eth0", 65535)),
        ("galera.example.:3306", Address("galera.example.", 3306)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text, 3306) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no host"),
        (":3306", "no host"),
        ("::1", "several colons"),
        ("::1:3306", "several colons"),
        ("a:b:c", "several colons"),
        ("[::1", "several colons"),
        ("[]:3306", "no valid IPv6"),
        ("[10.0.0.1]:3306", "no valid IPv6"),
        ("10.0.0.256:3306", "no valid IPv4"),
        ("10.0.0:3306", "no valid IPv4"),
        ("3306", "no valid IPv4"),
        ("10.0.0.1:", "no valid port"),
        ("10.0.0.1:65536", "no valid port"),
        ("10.0.0.1:٣", "no valid port"),
        ("10.0.0.1:-1", "no valid port"),
        ("10.0.0.1:0", "port 0"),
        ("a b:3306", "no valid host"),
        ("-a:3306", "no valid host"),
        ("a..b:3306", "no valid host"),
        ("tcp//a:3306", "no valid host"),
        ("a" * 64, "no valid host"),
        (".".join(["a" * 60] * 5), "no valid host"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as refusal:
        Address.parse(text, 3306)
    assert ":3306" in refusal.value.hint


def test_without_a_default_the_port_must_be_written() -> None:
    with pytest.raises(SettingError, match="has no port"):
        Address.parse("127.0.0.1")
    with pytest.raises(SettingError, match="has no port"):
        Address.parse("[::1]")


def test_the_kernel_chooses_the_port_only_where_that_makes_sense() -> None:
    assert Address.parse("127.0.0.1:0", any_port=True).port == 0


@given(st.ip_addresses(), st.integers(1, 65535))
def test_a_shown_address_reads_back(host: object, port: int) -> None:
    address = Address(str(host), port)
    assert Address.parse(str(address)) == address


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text, 3306)
    except SettingError:
        return
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("[::1]:1", "[::]:1", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_overlap_of_two_listeners(one: str, other: str, expected: bool) -> None:
    first, second = Address.parse(one, any_port=True), Address.parse(other, any_port=True)
    assert first.overlaps(second) is expected
    assert second.overlaps(first) is expected


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "true or false"), ("x", "text"), (1, "a number"), (1.0, "a number"), ([], "an array"), ({}, "a table")],
)
def test_kinds_are_named_as_in_toml(value: object, words: str) -> None:
    assert describe(value) == words
