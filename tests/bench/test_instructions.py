"""The instruction count: its conversations are those that are meant, and its verdict is the one that is meant.

The counting itself takes callgrind and is part of `make check`.
"""

from collections.abc import Iterator

import pytest

from tests.bench.conversations import CONVERSATIONS, Conversation
from tests.bench.instructions import verdict
from tests.bench.profile import table
from tests.proxy.scripted import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(endpoint={"placement": "adaptive"})
    yield stage
    stage.leave()
    stage.close()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_turn_of_a_conversation_is_answered(name: str, stage: Stage) -> None:
    turns = CONVERSATIONS[name].turns
    conversation = Conversation(stage, CONVERSATIONS[name])
    already = conversation.replies
    stage.clock.does(lambda: conversation.run(3))
    assert conversation.replies - already == 3 * len(turns)
    commands = stage.service.metrics.commands()
    assert commands["COM_STMT_EXECUTE" if "prepared" in name else "COM_QUERY"] >= 6 * len(turns)
    assert stage.service.cluster.contention.watchful is ("hot" in name)


def test_a_rise_is_a_fault_and_a_fall_is_none() -> None:
    recorded = {"one": 10.0, "two": 10.0, "three": 10.0}
    assert verdict(recorded, {"one": 10.29, "two": 3.0, "three": 10.0}) == []
    (fault,) = verdict(recorded, {"one": 10.31, "two": 10.0, "three": 10.0})
    assert fault.startswith("one: 10.310, +3.1%")


def test_a_conversation_that_is_new_or_gone_has_to_be_recorded() -> None:
    assert len(verdict({"one": 1.0, "old": 1.0}, {"one": 1.0, "new": 1.0})) == 2


def test_a_profile_counts_what_a_function_does_itself_and_what_it_calls() -> None:
    lines = list(
        table("main (a.py:1);relay (b.py:2);write (c.py:3) 6\nmain (a.py:1);relay (b.py:7) 2\nmain (a.py:1) 2")
    )
    assert lines[1:] == [
        "60.0% 60.0%  write (c.py)",
        "20.0% 80.0%  relay (b.py)",
        "20.0% 100.0%  main (a.py)",
    ]
