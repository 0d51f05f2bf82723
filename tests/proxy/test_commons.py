"""Workers that are one proxy: what one has learnt all know, and a queue is one for all of them."""

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.commons import Commons, packed, unpacked
from proxy.counters import Metrics
from proxy.turns import RIGHT_OF_WAY, Turns
from router.contention import FEW, KEY_HOT, Conflict, Contention

T = "shop.stock"
ROW = (f"{T}:7",)
KEY = ROW[0]
NOW = 1000.0


class Crew:
    """Two workers' turns, and the commons between them; words take a turn of the loop, as over a socket."""

    def __init__(self) -> None:
        self.turns = {number: Turns(Metrics([], "")) for number in range(2)}
        self.heard: list[tuple[int, str, Any]] = []
        self.commons = Commons(self._say, lambda: list(self.turns))
        for number, turns in self.turns.items():
            turns.share(self._to_commons("want", number), self._to_commons("give", number))

    def _to_commons(self, word: str, number: int) -> Callable[[str], None]:
        def said(key: str) -> None:
            if number in self.turns:
                asyncio.get_running_loop().call_soon(getattr(self.commons, word), number, key)

        return said

    def _say(self, number: int, word: str, *arguments: Any) -> None:
        self.heard.append((number, word, arguments))
        if number in self.turns and word in ("granted", "wanted", "ahead"):
            asyncio.get_running_loop().call_soon(getattr(self.turns[number], word), *arguments)

    def dies(self, number: int) -> None:
        del self.turns[number]
        self.commons.gone(number)


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    for turns in crew.turns.values():
        assert not turns.waiting


async def passes() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def begins(
    turns: Turns, who: object, key: str = KEY, patience: float = 10.0, most: int = 10
) -> "asyncio.Task[list[str]]":
    return asyncio.get_running_loop().create_task(turns.wait((key,), who, patience, most), name=str(who))


async def test_a_queue_is_one_for_all_workers(crew: Crew) -> None:
    one, other = crew.turns[0], crew.turns[1]
    assert await begins(one, "a") == [KEY]
    later = begins(other, "x")
    await passes()
    assert not later.done()
    one.leave([KEY], "a")
    assert await later == [KEY]
    again = begins(one, "b")
    await passes()
    assert not again.done()
    other.leave([KEY], "x")
    assert await again == [KEY]
    one.leave([KEY], "b")


async def test_a_dead_workers_place_is_free_at_once(crew: Crew) -> None:
    assert await begins(crew.turns[0], "a") == [KEY]
    later = begins(crew.turns[1], "x")
    await passes()
    crew.dies(0)
    assert await later == [KEY]
    crew.turns[1].leave([KEY], "x")


async def test_nobody_waits_for_longer_than_the_settings_say(crew: Crew) -> None:
    one, other = crew.turns[0], crew.turns[1]
    assert await begins(one, "a") == [KEY]
    assert await begins(other, "x", patience=0.01) == []
    assert other._metrics.queue_seconds["deadline"].count == 1
    one.leave([KEY], "a")
    await passes()
    assert await begins(one, "b") == [KEY]
    one.leave([KEY], "b")


async def test_a_supervisor_that_is_silent_keeps_nobody_waiting() -> None:
    turns = Turns(Metrics([], ""))
    turns.share(lambda key: None, lambda key: None)
    assert not turns.take((KEY,), "a")
    assert await begins(turns, "a", patience=0.01) == []
    assert not turns.waiting


async def test_who_finds_the_queue_full_goes_ahead(crew: Crew) -> None:
    one, other = crew.turns[0], crew.turns[1]
    assert await begins(one, "a") == [KEY]
    assert await begins(other, "x", most=0) == []
    one.leave([KEY], "a")


async def test_several_keys_are_had_together_or_not_at_all(crew: Crew) -> None:
    one = crew.turns[0]
    assert await begins(one, "a") == [KEY]
    one.leave([KEY], "a")
    assert not one.take((KEY, "elsewhere"), "b"), "nobody has leased the second one"
    assert one.take((KEY,), "c"), "the first is free again"
    one.leave([KEY], "c")


async def test_a_right_of_way_holds_in_all_workers(crew: Crew) -> None:
    one, other = crew.turns[0], crew.turns[1]
    way = RIGHT_OF_WAY + T
    assert (one.ways, other.ways) == (0, 0)
    assert await begins(one, "patient", way) == [way]
    await passes()
    assert (one.ways, other.ways) == (1, 1)
    assert crew.commons.ways == [way]
    assert other.blocked(way, "x")
    assert not one.blocked(way, "patient")
    later = begins(other, "x", way)
    await passes()
    assert not later.done()
    one.leave([way], "patient")
    assert await later == [way]
    other.leave([way], "x")
    await passes()
    assert (one.ways, other.ways) == (0, 0)
    assert not crew.commons.ways
    assert not one.blocked(way, "b")


async def test_a_dead_workers_right_of_way_is_no_more(crew: Crew) -> None:
    way = RIGHT_OF_WAY + T
    assert await begins(crew.turns[0], "patient", way) == [way]
    await passes()
    crew.dies(0)
    await passes()
    assert not crew.turns[1].ways


def test_what_one_has_learnt_all_know() -> None:
    workers = {number: Contention() for number in range(3)}

    def say(number: int, word: str, told: Any) -> None:
        assert word == "conflicts"
        for each in json.loads(json.dumps(told)):
            workers[number].heard(*unpacked(each))

    commons = Commons(say, lambda: workers)
    for number, contention in workers.items():
        contention.tell = lambda lost, ended, at, number=number: commons.conflicts(  # type: ignore[misc]
            number, [packed(lost, ended, at)]
        )
    for step in range(int(FEW)):
        workers[step % 2].conflict(Conflict(T, ROW, met=True), 10, NOW + step / 1000)
    for contention in (*workers.values(), pickle.loads(bytes.fromhex(commons.learnt()))):
        assert contention.watchful
        assert contention.is_hot(T, ROW, NOW + 1)
        assert contention.queued(T, ROW, NOW + 1) == ROW
        assert [each.name for each in contention.hot(NOW + 1)] == [KEY]
    cool = NOW + 3600.0
    assert not any(contention.is_hot(T, ROW, cool) for contention in workers.values())


def test_conflicts_of_several_workers_add_up_in_whatever_order_they_are_heard() -> None:
    told = [(Conflict(T, ROW), 0, NOW + number / 1000) for number in range(int(KEY_HOT) + 1)]
    one, other = Contention(), Contention()
    for each in told:
        one.heard(*each)
    for each in reversed(told):
        other.heard(*each)
    assert one.is_hot(T, ROW, NOW + 1)
    assert other.is_hot(T, ROW, NOW + 1)
