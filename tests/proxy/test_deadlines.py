"""One timer for all: who is late is told so, who has left is not."""

import pytest

from proxy.deadlines import Deadlines
from tests.proxy.scripted import Clock


@pytest.fixture
def clock():  # type: ignore[no-untyped-def]
    clock = Clock()
    yield clock
    clock.close()


def test_each_expires_when_its_time_has_passed_and_no_sooner(clock: Clock) -> None:
    late: list[str] = []
    deadlines = Deadlines[str](10.0, late.append)

    async def add(*names: str) -> list[float]:
        return [deadlines.add(name) for name in names]

    began = clock.time()
    assert clock.finish(add("a", "b")) == [began + 10, began + 10]
    clock.passes(4)
    assert clock.finish(add("c", "d")) == [began + 14, began + 14]
    assert deadlines.leave("b")
    assert not deadlines.leave("b")
    clock.passes(5.9)
    assert late == []
    clock.passes(0.2)
    assert (late, deadlines.all()) == (["a"], ["c", "d"])
    clock.passes(4)
    assert (late, len(deadlines)) == (["a", "c", "d"], 0)
    clock.finish(add("e"))  # there is no timer left from before
    clock.passes(10.1)
    assert late == ["a", "c", "d", "e"]


def test_the_timer_of_those_who_have_left_serves_who_comes_later(clock: Clock) -> None:
    late: list[str] = []
    deadlines = Deadlines[str](10.0, late.append)

    async def add(name: str) -> None:
        deadlines.add(name)

    clock.finish(add("a"))
    deadlines.leave("a")
    clock.passes(5)
    clock.finish(add("b"))
    assert len(clock._scheduled) == 1  # type: ignore[attr-defined]
    clock.passes(5.1)
    assert late == []
    clock.passes(5)
    assert late == ["b"]


def test_nobody_expires_after_closing(clock: Clock) -> None:
    late: list[str] = []
    deadlines = Deadlines[str](10.0, late.append)

    async def add(name: str) -> None:
        deadlines.add(name)

    clock.finish(add("a"))
    deadlines.close()
    clock.passes(20)
    assert (late, len(deadlines)) == ([], 0)
