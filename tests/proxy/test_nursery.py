"""Worker processes before they have a seat."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from proxy.nursery import Nursery, Worker


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    nursery = Nursery(lambda worker: {"task": worker.seated}, lambda: ())
    yield nursery
    await nursery.close()
    assert not nursery.pids


async def ends(worker: Worker) -> int:
    async with asyncio.timeout(60):
        await worker.hearing
        return await worker.process.wait()


async def test_a_spare_worker_waits_until_it_is_taken(nursery: Nursery) -> None:
    await nursery.prepare()
    (pid,) = nursery.pids
    await nursery.prepare()
    assert nursery.pids == [pid], "one is enough"
    worker = await nursery.take()
    assert worker.process.pid == pid
    assert not nursery.pids
    assert not worker.ended
    worker.channel.close()  # without us it has nothing to do
    assert await ends(worker) == 1


async def test_a_spare_worker_that_has_died_is_not_taken(nursery: Nursery) -> None:
    await nursery.prepare()
    (pid,) = nursery.pids
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while nursery.pids:
            await asyncio.sleep(0.01)
    await nursery.prepare()
    assert nursery.pids != [pid]
    taken = await nursery.take()
    other = await nursery.take()
    assert len({pid, taken.process.pid, other.process.pid}) == 3, "there is one for every seat"
    for worker in (taken, other):
        worker.process.kill()
        await ends(worker)


async def test_after_the_end_no_more_are_made(nursery: Nursery) -> None:
    await nursery.close()
    await nursery.prepare()
    assert not nursery.pids
