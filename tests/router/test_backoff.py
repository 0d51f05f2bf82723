"""Failed logins slow their address down, and nothing else."""

import pytest

from router.backoff import LoginBackoff

PATIENCE = 100.0


def waits(backoff: LoginBackoff, *addresses: str, now: float = 0.0) -> list[float | None]:
    return [backoff.wait(address, now, PATIENCE) for address in addresses]


def test_who_has_not_failed_never_waits() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    backoff.failed("a", 0.0)
    assert waits(backoff, "b", "b", "b") == [0.0, 0.0, 0.0]
    assert len(backoff) == 1


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    now = 0.0
    seen = []
    for _ in range(6):
        backoff.failed("a", now)
        wait = backoff.wait("a", now, PATIENCE)
        assert wait is not None
        seen.append(wait)
        now += wait
    assert seen == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_many_connections_guess_no_faster_than_one() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    backoff.failed("a", 0.0)
    assert waits(backoff, "a", "a", "a") == [1.0, 2.0, 3.0]


def test_a_place_in_line_that_is_too_far_off_is_none() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    backoff.failed("a", 0.0)
    assert [backoff.wait("a", 0.0, 2.0) for _ in range(4)] == [1.0, 2.0, None, None]
    assert backoff.wait("a", 2.0, 2.0) == 1.0  # those that were turned away took no place


def test_a_wait_that_has_passed_is_none() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    backoff.failed("a", 0.0)
    assert waits(backoff, "a", now=5.0) == [0.0]


def test_a_success_forgives_all() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    for _ in range(5):
        backoff.failed("a", 0.0)
    backoff.succeeded("a")
    assert waits(backoff, "a") == [0.0]
    assert len(backoff) == 0
    backoff.failed("a", 0.0)
    assert waits(backoff, "a") == [1.0]


def test_so_does_a_long_time() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    for _ in range(5):
        backoff.failed("a", 0.0)
    backoff.failed("a", 1000.0)
    assert waits(backoff, "a", now=1000.0) == [1.0]


def test_memory_is_bounded_and_the_oldest_failure_is_forgotten() -> None:
    backoff = LoginBackoff(1.0, 8.0, addresses=2)
    for address in ("a", "b", "a", "c"):
        backoff.failed(address, 0.0)
    assert len(backoff) == 2
    assert waits(backoff, "a", "b", "c") == [2.0, 0.0, 1.0]


def test_one_host_has_a_whole_network_of_ipv6_addresses() -> None:
    backoff = LoginBackoff(1.0, 8.0)
    backoff.failed("2001:db8::1", 0.0)
    assert waits(backoff, "2001:db8::2", "2001:db8:0:1::1", "not:an:address") == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("failures", [1, 5000])
def test_zero_is_never_slow(failures: int) -> None:
    backoff = LoginBackoff(0.0, 8.0)
    for _ in range(failures):
        backoff.failed("a", 0.0)
    assert waits(backoff, "a") == [0.0]
    assert len(backoff) == 0


def test_an_address_is_clear_until_it_fails_and_once_it_succeeds() -> None:
    backoff = LoginBackoff(1.0, 10.0)
    assert backoff.is_clear("10.0.0.1")
    backoff.failed("10.0.0.1", 0.0)
    backoff.failed("2001:db8::1", 0.0)
    assert not backoff.is_clear("10.0.0.1")
    assert not backoff.is_clear("2001:db8::2")  # its neighbour
    assert backoff.is_clear("10.0.0.2")
    backoff.succeeded("10.0.0.1")
    assert backoff.is_clear("10.0.0.1")


def test_workers_of_one_proxy_slow_the_same_addresses_down() -> None:
    one, other = LoginBackoff(1.0, 8.0), LoginBackoff(1.0, 8.0)
    told: list[tuple[str, bool]] = []

    def tell(address: str, succeeded: bool) -> None:
        told.append((address, succeeded))
        other.heard(address, succeeded, 0.0)

    one.tell = tell
    one.succeeded("a")
    assert told == [], "that is the usual case"
    one.failed("a", 0.0)
    one.failed("a", 0.0)
    assert waits(other, "a") == waits(one, "a") == [2.0]
    one.succeeded("a")
    assert waits(other, "a") == waits(one, "a") == [0.0]
    assert told == [("a", False), ("a", False), ("a", True)]
