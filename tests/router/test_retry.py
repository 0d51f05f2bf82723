"""How often and how soon something is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.retry import Attempts, Budget, RetryLimits

LIMITS = RetryLimits(max_attempts=5, max_time=10.0, backoff_base=0.002, backoff_max=0.01)


def test_the_wait_doubles_up_to_its_limit() -> None:
    attempts = Attempts(LIMITS)
    assert [attempts.next(0.0, 0.0) for _ in range(5)] == pytest.approx([0.001, 0.002, 0.004, 0.005, 0.005])


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 4))
def test_chance_spreads_the_upper_half_of_the_wait(chance: float, before: int) -> None:
    attempts = Attempts(LIMITS)
    for _ in range(before):
        attempts.next(0.0, 0.0)
    delay = attempts.next(0.0, chance)
    full = min(0.01, 0.002 * 2**before)
    assert delay is not None
    assert full / 2 <= delay <= full
    assert delay == pytest.approx(full * (1 + chance) / 2)


def test_attempts_are_limited() -> None:
    attempts = Attempts(LIMITS)
    assert all(attempts.next(0.0, 0.5) is not None for _ in range(5))
    assert attempts.next(0.0, 0.5) is None
    assert attempts.exhausted == "attempts"
    assert attempts.count == 5


def test_time_is_limited_and_counts_from_the_first_failure() -> None:
    attempts = Attempts(LIMITS)
    assert attempts.next(1000.0, 0.0) is not None
    assert attempts.next(1009.9, 0.0) is not None
    assert attempts.next(1009.999, 0.0) is None  # the wait itself would go past it
    assert attempts.exhausted == "time"
    assert attempts.next(1000.0, 0.0) is None  # a no stays a no


def test_a_lost_node_is_left_without_a_wait_but_not_without_a_limit() -> None:
    attempts = Attempts(LIMITS)
    assert [attempts.next(0.0, 0.9, at_once=True) for _ in range(6)] == [0.0] * 5 + [None]


def test_leaving_a_node_does_not_lengthen_the_next_conflicts_wait() -> None:
    attempts = Attempts(LIMITS)
    attempts.next(0.0, 0.0, at_once=True)
    assert attempts.next(0.0, 0.0) == pytest.approx(0.001)


def test_no_retries_at_all() -> None:
    assert Attempts(RetryLimits(max_attempts=0)).next(0.0, 0.0) is None


def test_a_thousand_attempts_do_not_overflow() -> None:
    attempts = Attempts(RetryLimits(max_attempts=5000, max_time=1e9))
    delays = [attempts.next(0.0, 0.0) for _ in range(5000)]
    assert delays[-1] == pytest.approx(0.05)


def test_what_others_are_waited_for_does_not_count() -> None:
    attempts = Attempts(LIMITS)
    assert attempts.next(0.0, 0.0) is not None
    attempts.spare(100.0)
    assert attempts.next(100.0, 0.0) is not None
    assert attempts.next(100.0 + LIMITS.max_time, 0.0) is None


def test_the_more_often_it_has_lost_the_more_is_done_for_it() -> None:
    attempts = Attempts(RetryLimits())
    done = []
    for _ in range(4):
        done.append((attempts.meets, attempts.waits_for_all, attempts.has_right_of_way))
        attempts.next(0.0, 0.0)
    assert done == [(False, False, False), (False, False, False), (True, False, False), (True, True, True)]


def test_a_budget_starts_full_and_refills_by_its_rate() -> None:
    budget = Budget(rate=10.0)
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.take(0.05)
    assert budget.take(0.1001)
    assert not budget.take(0.1001)


def test_a_budget_holds_no_more_than_its_burst() -> None:
    budget = Budget(rate=10.0, burst=3.0)
    assert sum(budget.take(1000.0) for _ in range(10)) == 3
    assert sum(budget.take(2000.0) for _ in range(10)) == 3


@given(st.lists(st.floats(0.0, 0.2), max_size=300))
def test_over_any_time_no_more_than_burst_and_rate_is_spent(steps: list[float]) -> None:
    budget, now, spent = Budget(rate=20.0, burst=5.0), 0.0, 0
    for step in steps:
        now += step
        spent += budget.take(now)
    assert spent <= 5.0 + 20.0 * now + 1e-6


def test_a_clock_that_stands_still_gives_nothing() -> None:
    budget = Budget(rate=1000.0, burst=1.0)
    assert budget.take(5.0)
    assert not budget.take(5.0)
    assert not budget.take(4.0)
