"""Which reads lead to writes: all do, until they have not for some time."""

import pytest

from router.openers import ENOUGH, Openers


def test_a_form_counts_as_harmless_after_enough_transactions_in_a_row_without_a_write() -> None:
    openers = Openers()
    for _ in range(ENOUGH):
        assert openers.leads_to_writes("form")
        openers.ended("form", wrote=False)
    assert not openers.leads_to_writes("form")
    assert openers.leads_to_writes("another")


def test_one_write_makes_it_begin_anew() -> None:
    openers = Openers()
    for _ in range(ENOUGH):
        openers.ended("form", wrote=False)
    openers.ended("form", wrote=True)
    assert openers.leads_to_writes("form")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.openers.MAX_FORMS", 10)
    openers = Openers()
    for number in range(100):
        openers.ended(number, wrote=False)
    assert len(openers._harmless) <= 10
