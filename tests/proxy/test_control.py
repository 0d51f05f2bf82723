"""The channel between the supervisor and a worker: questions both ways, and what becomes of them when one side goes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.control import Channel, Gone

Pair = tuple[Channel, Channel]


async def slow() -> None:
    await asyncio.sleep(3600)


def broken() -> None:
    raise RuntimeError("no idea")


@asynccontextmanager
async def pair(heard: Callable[[Any], None] = lambda what: None) -> AsyncIterator[Pair]:
    """Two ends that hear each other; the second one answers."""
    left, right = socket.socketpair()

    async def double(number: int) -> int:
        return 2 * number

    one = Channel("one", {"news": heard})
    other = Channel("other", {"double": double, "sum": lambda *numbers: sum(numbers), "slow": slow, "broken": broken})
    await one.open(left)
    await other.open(right)
    tasks = [asyncio.create_task(each.run(), name=each.name) for each in (one, other)]
    try:
        yield one, other
    finally:
        one.close()
        other.close()
        await asyncio.gather(*tasks)


async def test_answers_come_to_those_who_asked() -> None:
    async with pair() as (one, _):
        answers = await asyncio.gather(*(one.ask("double", number) for number in range(50)), one.ask("sum", 1, 2, 3))
        assert answers == [*(2 * number for number in range(50)), 6]


async def test_news_have_no_answer() -> None:
    news: list[Any] = []
    async with pair(news.append) as (one, other):
        other.tell("news", {"node": "a"})
        while not news:
            await asyncio.sleep(0)
        assert news == [{"node": "a"}]
        assert await one.ask("sum") == 0


async def test_who_does_not_answer_in_time_or_cannot_is_as_good_as_gone() -> None:
    async with pair() as (one, _):
        with pytest.raises(Gone, match="does not answer"):
            await one.ask("slow", patience=0.01)
        with pytest.raises(Gone, match="no idea"):
            await one.ask("broken")
        assert await one.ask("sum", 1) == 1


async def test_questions_end_with_the_other_side() -> None:
    async with pair() as (one, other):
        question = asyncio.create_task(one.ask("slow"), name="question")
        await asyncio.sleep(0)
        other.close()
        with pytest.raises(Gone):
            await question
        with pytest.raises(Gone):
            await one.ask("sum")
        one.tell("anything")
