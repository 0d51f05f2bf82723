"""First come, first served; and every turn is given on."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from router.lines import Lines


def test_the_first_has_the_turn_and_the_others_get_it_in_their_order() -> None:
    lines: Lines[str] = Lines()
    assert lines.take("k", "a")
    assert lines.take("k", "a"), "it is theirs already"
    assert not lines.take("k", "b")
    assert lines.wait("k", "b", 10)
    assert lines.wait("k", "c", 10)
    assert lines.take("other", "b"), "keys have nothing to do with each other"
    assert lines.leave("k", "b") is None, "it is not theirs"
    assert lines.leave("k", "a") == "b"
    assert lines.leave("k", "b") == "c"
    assert lines.leave("k", "c") is None
    assert lines.take("k", "d")


def test_a_line_is_bounded() -> None:
    lines: Lines[int] = Lines()
    lines.take("k", 0)
    assert [lines.wait("k", number, 2) for number in (1, 2, 3)] == [True, True, False]
    assert not Lines[int]().wait("k", 1, 0)


def test_who_withdraws_is_passed_over() -> None:
    lines: Lines[str] = Lines()
    lines.take("k", "a")
    for who in "bcd":
        lines.wait("k", who, 10)
    lines.withdraw("k", "c")
    lines.withdraw("k", "nobody")
    assert lines.leave("k", "a") == "b"
    assert lines.leave("k", "b") == "d"
    assert lines.waiting == 0
    lines.wait("k", "e", 10)
    lines.withdraw("k", "e")
    assert lines.leave("k", "d") is None


@given(st.lists(st.tuples(st.sampled_from(["take", "leave", "withdraw"]), st.integers(0, 5))))
def test_it_is_as_a_list_would_be(steps: list[tuple[str, int]]) -> None:
    lines: Lines[int] = Lines()
    model: deque[int] = deque()
    for step, who in steps:
        if step == "take" and who not in model:
            if lines.take("k", who) or lines.wait("k", who, 10):
                model.append(who)
        elif step == "leave" and model and model[0] == who:
            model.popleft()
            assert lines.leave("k", who) == (model[0] if model else None)
        elif step == "withdraw" and who in list(model)[1:]:
            model.remove(who)
            lines.withdraw("k", who)
        assert lines.head("k") == (model[0] if model else None)
        assert lines.waiting == max(0, len(model) - 1)
        assert len(lines) == bool(model)
