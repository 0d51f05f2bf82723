"""The journal: what it keeps, when it gives up, and that its accounting never leaks."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.journal import OVERHEAD, SESSION_FULL, SPACE_FULL, Entry, Journal, JournalSpace


def entry(size: int = 10) -> Entry[str]:
    return Entry(request="INSERT", size=size, digest=b"d" * 16)


def test_commands_are_kept_in_order_as_they_are() -> None:
    journal = Journal[str](JournalSpace(100_000), 10_000)
    first = Entry("SELECT", 12, b"a" * 16)
    second = Entry("INSERT", 30, b"b" * 16, insert_id=4711, affected_rows=1)
    assert journal.append(first)
    assert journal.append(second)
    assert journal.entries == (first, second)
    assert list(journal) == [first, second]
    assert len(journal) == 2
    assert journal.unreplayable == ""


def test_a_session_over_its_limit_becomes_unreplayable_and_holds_nothing() -> None:
    space = JournalSpace(100_000)
    journal = Journal[str](space, 3 * (OVERHEAD + 10))
    assert [journal.append(entry()) for _ in range(5)] == [True, True, True, False, False]
    assert journal.unreplayable == SESSION_FULL
    assert (len(journal), journal.size, space.used) == (0, 0, 0)


def test_all_sessions_share_one_limit() -> None:
    space = JournalSpace(3 * (OVERHEAD + 10))
    one, two = Journal[str](space, 100_000), Journal(space, 100_000)
    assert one.append(entry())
    assert one.append(entry())
    assert two.append(entry())
    assert not two.append(entry())
    assert two.unreplayable == SPACE_FULL
    assert one.append(entry()), "what the other gave back is free again"
    assert space.used == one.size


def test_exactly_full_is_not_over() -> None:
    space = JournalSpace(OVERHEAD + 10)
    assert Journal(space, OVERHEAD + 10).append(entry(10))
    assert space.used == space.limit


def test_the_next_transaction_starts_anew() -> None:
    journal = Journal[str](JournalSpace(100_000), 10_000)
    journal.forbid("GET_LOCK")
    journal.forbid("CALL")
    assert journal.unreplayable == "GET_LOCK", "the first reason is the one that is told"
    assert not journal.append(entry())
    journal.clear()
    assert journal.unreplayable == ""
    assert journal.append(entry())


def test_an_ended_session_takes_nothing_more() -> None:
    space = JournalSpace(100_000)
    journal = Journal[str](space, 10_000)
    journal.append(entry())
    journal.release()
    journal.release()
    assert space.used == 0
    assert not journal.append(entry())
    journal.clear()
    assert not journal.append(entry())
    assert space.used == 0


def test_giving_back_more_than_was_taken_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        JournalSpace(10).give(1)


class Accounting(RuleBasedStateMachine):
    """Sessions come, work and go in any order: what is used is what the living hold, and never over the limit."""

    @initialize(limit=st.integers(0, 8 * OVERHEAD))
    def start(self, limit: int) -> None:
        self.space = JournalSpace(limit)
        self.journals = [Journal[str](self.space, 4 * OVERHEAD) for _ in range(3)]
        self.model: list[list[Entry[str]] | None] = [[], [], []]  # None: unreplayable

    @rule(which=st.integers(0, 2), size=st.integers(0, 3 * OVERHEAD))
    def append(self, which: int, size: int) -> None:
        added = entry(size)
        kept = self.journals[which].append(added)
        model = self.model[which]
        if kept:
            assert model is not None
            model.append(added)
        else:
            self.model[which] = None

    @rule(which=st.integers(0, 2))
    def clear(self, which: int) -> None:
        self.journals[which].clear()
        self.model[which] = []

    @rule(which=st.integers(0, 2))
    def forbid(self, which: int) -> None:
        self.journals[which].forbid("somehow")
        self.model[which] = None

    @rule(which=st.integers(0, 2))
    def end_and_begin(self, which: int) -> None:
        self.journals[which].release()
        self.journals[which] = Journal[str](self.space, 4 * OVERHEAD)
        self.model[which] = []

    @invariant()
    def nothing_leaks(self) -> None:
        expected = [sum(e.size + OVERHEAD for e in held or []) for held in self.model]
        assert [journal.size for journal in self.journals] == expected
        assert self.space.used == sum(expected) <= self.space.limit
        for journal, held in zip(self.journals, self.model, strict=True):
            assert list(journal) == (held or [])
            assert bool(journal.unreplayable) is (held is None)


TestAccounting = Accounting.TestCase
