"""Worker processes: programs of their own, and one of them ahead of need.

The spare one has imported all that it will run and waits to be told its seat, so that what a lost worker costs is no
start of Python. Knows neither what workers are told nor what they do.
"""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from proxy.control import Channel, Handlers
from proxy.log import event
from proxy.sums import Snapshot

logger = logging.getLogger(__name__)

FAREWELL: Final = 2.0  # seconds for the spare one to end by itself

# The worker's modules are found as ours were, and not in whatever directory we were started from.
_BOOT: Final = (
    "import gc, json, sys; gc.disable(); sys.path[:] = json.loads(sys.argv[1]); "
    "from proxy.worker import main; sys.exit(main(int(sys.argv[2])))"
)


class Worker:
    """One process, from its start to its end."""

    def __init__(self) -> None:
        self.number = -1
        """Its seat, from the time that it has one."""
        self.told = False
        """It knows what it has to do, and can be told more."""
        self._seated: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process: asyncio.subprocess.Process
        self.channel: Channel
        self.hearing: asyncio.Task[None]
        self.started = False
        self.last: Snapshot = {}
        """The numbers that it told last."""

    def seat(self, number: int) -> None:
        """It has this one."""
        self.number = number
        self._seated.set_result(None)

    async def seated(self) -> None:
        """Returns when it has a seat. It asks when it has imported what it will run."""
        if not self._seated.done():
            event(logger, "worker.spare", pid=self.process.pid)
        await asyncio.shield(self._seated)

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None or self.channel.closed


class Nursery:
    """`handlers`: for the channel to such a worker. `descriptors`: what a worker has to inherit."""

    def __init__(self, handlers: Callable[[Worker], Handlers], descriptors: Callable[[], Iterable[int]]) -> None:
        self._handlers = handlers
        self._descriptors = descriptors
        self._spare: Worker | None = None
        self._making = asyncio.Lock()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        return [self._spare.process.pid] if self._spare is not None and not self._spare.ended else []

    async def take(self) -> Worker:
        """A worker for a seat: the spare one, or a new one."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and not spare.ended else await self._make()

    async def prepare(self) -> None:
        """Have a spare one."""
        async with self._making:
            if not self._closed and (self._spare is None or self._spare.ended):
                self._spare = await self._make()

    async def close(self) -> None:
        """End the spare one, and make no other."""
        self._closed = True
        async with self._making:
            spare, self._spare = self._spare, None
        if spare is None:
            return
        spare.channel.close()  # it has nothing to do without us
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await spare.process.wait()
        with suppress(ProcessLookupError):
            spare.process.kill()
        await spare.process.wait()
        await spare.hearing

    async def _make(self) -> Worker:
        worker = Worker()
        ours, theirs = socket.socketpair()
        worker.channel = Channel("worker", self._handlers(worker))
        with theirs:
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                _BOOT,
                json.dumps(sys.path),
                str(theirs.fileno()),
                pass_fds=[theirs.fileno(), *self._descriptors()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        await worker.channel.open(ours)
        worker.hearing = asyncio.get_running_loop().create_task(worker.channel.run(), name="worker heard")
        return worker
