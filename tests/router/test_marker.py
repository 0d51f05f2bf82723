"""The commit marker: what is sent, and what the answers mean."""

import re

import pytest

from router import marker
from router.marker import Fate, Slot, fate, tombstone
from router.outcomes import Outcome, judge_marked, unmarked


def test_a_slot_counts_its_commits() -> None:
    slot = Slot(77)
    assert slot.take() == b"CALL multiwriter.take_slot(77)"
    assert slot.commit(False) == b"CALL multiwriter.commit_marked(77, 1, 0)"
    assert slot.due
    slot.committed()
    assert slot.commit(True) == b"CALL multiwriter.commit_marked(77, 2, 1)"
    slot.refused()
    assert not slot.due
    assert slot.commit(None) == b"CALL multiwriter.commit_marked(77, 2, NULL)", "its number is still free"


def test_the_tombstone_takes_the_step_of_the_commit_and_no_other() -> None:
    write, look = tombstone(77, 5)
    assert "SET number = 5, abandoned = 1" in write
    assert write.endswith("WHERE slot = 77 AND number = 4")
    assert look.endswith("WHERE slot = 77")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([("5", "0")], Fate.COMMITTED),
        ([("5", "1")], Fate.NEVER),
        ([("4", "0")], None),  # neither has arrived there: the node has not even the commit before
        ([("3", "1")], None),
        ([], None),  # nor the slot
        ([("6", "0")], Fate.UNKNOWN),  # that was not us
    ],
)
def test_what_is_found_behind_the_tombstone(rows: list[tuple[str | None, ...]], found: Fate | None) -> None:
    assert fate(5, rows) is found


def test_setting_up_twice_changes_nothing() -> None:
    for statement in marker.STRUCTURE:
        assert re.search(r"IF NOT EXISTS|^GRANT", statement), statement


def test_grants_name_nothing_but_ours() -> None:
    for statement in (*marker.grants_to_client("'app'@'%'"), *marker.grants_to_service("'m'@'%'")):
        assert re.fullmatch(r"GRANT [A-Z, ]+ ON (PROCEDURE )?multiwriter\.\S+ TO '\w+'@'%'", statement)


@pytest.mark.parametrize(
    ("code", "message", "why"),
    [
        (1305, "PROCEDURE multiwriter.commit_marked does not exist", "missing"),
        (1370, "execute command denied to user 'app'@'%' for routine 'multiwriter.commit_marked'", "denied"),
        (1644, marker.NOT_OURS, "slot_lost"),
        (1644, marker.NOT_MARKED, "not_markable"),
        (1792, "Cannot execute statement in a READ ONLY transaction", "not_markable"),
        (1644, "a trigger of somebody else", None),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", None),
        (1317, "Query execution was interrupted", None),
    ],
)
def test_errors_that_leave_the_transaction_as_it_was(code: int, message: str, why: str | None) -> None:
    assert unmarked(code, message) == why


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        (1213, "Deadlock found", Outcome.ROLLED_BACK),
        (3101, "Plugin instructed the server to rollback", Outcome.ROLLED_BACK),
        (1047, "WSREP has not yet prepared node", Outcome.NOT_EXECUTED),
        (1180, "Got error 6 (provider status: Not connected to Primary Component)", Outcome.UNKNOWN),
        # KILL QUERY gives it before the commit and behind it; a plain COMMIT's is definite.
        (1317, "Query execution was interrupted", Outcome.UNKNOWN),
        (1205, "Lock wait timeout exceeded", Outcome.UNKNOWN),
        (1105, "nobody knows", Outcome.UNKNOWN),
    ],
)
def test_of_other_errors_only_the_sure_ones_are_believed(code: int, message: str, outcome: Outcome) -> None:
    verdict = judge_marked(code, message)
    assert verdict.outcome is outcome
    if outcome is Outcome.UNKNOWN:
        assert verdict.close_backend
        assert verdict.ends_transaction
