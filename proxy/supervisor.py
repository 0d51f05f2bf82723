"""Several workers as one proxy: keeps them running, and is where HTTP, the console and signals find all of them.

    clients -> [address, SO_REUSEPORT] -> worker 0 | worker 1 | ...      each with its own pools, monitor and sessions
                                              \\________/ channels
    operator, Prometheus -> supervisor: one /metrics, one /readyz, one console; KILL and DRAIN passed on

A worker that ends is replaced at once, on the same seat. Only its own clients notice. Knows nothing of MySQL.
"""

import asyncio
import logging
import os
import pickle
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from config import Config
from proxy import files, http
from proxy.addresses import CONSOLE, HTTP, NONE, Addresses
from proxy.board import Board, seat_of
from proxy.commons import Commons
from proxy.console.server import Console
from proxy.console.tables import Row, merged
from proxy.control import Gone, Handlers
from proxy.counters import Metrics
from proxy.crew import share
from proxy.kill import Killed
from proxy.log import event
from proxy.metrics import CONTENT_TYPE, Exposition, Processes
from proxy.nursery import Nursery, Worker
from proxy.reload import adopted, reload, unchangeable
from proxy.sums import Sums, snapshot
from proxy.takeover import GRACE, Offer, Predecessor
from proxy.version import VERSION
from proxy.worker import Task
from router.backoff import LoginBackoff

logger = logging.getLogger(__name__)

ATTENTION: Final = 1.0  # seconds between two looks at each worker's numbers, and that it may take to tell them
SETTLED: Final = 5.0  # seconds; one that ends sooner is not replaced at once again and again
PAUSE, LONGEST_PAUSE = 0.2, 2.0  # seconds; the pause doubles. Clients may wait on the seat's addresses meanwhile
OVERTIME: Final = 10.0  # seconds beyond the drain's own deadline, then a worker is killed

_TEXT: Final = "text/plain; charset=utf-8"


class Supervisor:
    """To be made once; `supervise` is its life."""

    def __init__(
        self,
        config: Config,
        workers: int,
        read: Callable[[], Config] | None = None,
        predecessor: Predecessor | None = None,
    ) -> None:
        """`read` gives the settings anew, at SIGHUP; None: they are not from a file. `predecessor`: the run that it
        relieves.
        """
        self.workers = workers
        self._read = read
        self._given = config
        self._max_clients = config.limits.max_clients
        self.metrics = Metrics([], VERSION)
        self.backoff = LoginBackoff(config.limits.login_backoff, config.limits.login_backoff_max)
        self.config = config
        self._board = Board(workers)
        self._there: dict[int, Worker] = {}
        self._commons = Commons(self._say, lambda: self._there)
        self._nursery: Nursery
        self._addresses = Addresses(workers, predecessor.sockets if predecessor is not None else NONE)
        self._predecessor = predecessor
        self._handed_on = False
        self._drained: set[str] = set()
        self._version = ""
        self._exit = 0
        self._ever_started = asyncio.Event()
        self._all_started = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sums = Sums(self.metrics)
        self._processes = Processes(self._pids)
        self._exposition = Exposition(self._sums, self._processes)
        self._http: http.Server | None = None

    # -- its life -----------------------------------------------------------------------------------------------------

    async def supervise(self) -> int:
        """Serve until SIGTERM or SIGINT, then drain; the exit code. Raises OSError for an address that can't be had."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._max_clients = files.prepare(share(self.config, 0, self.workers))
        console = Console(self, self.config.console) if self.config.console.password is not None else None
        offer = Offer(str(self.config.process.takeover), lambda: self._listening(console), self._taken_over)
        try:
            self.config = self._addresses.bind(self.config)
            if not self._addresses.others[HTTP]:
                await self._answer_http()
            self._nursery = Nursery(self._handlers, self._inherited)
            keepers = [loop.create_task(self._keep(number), name=f"worker {number}") for number in range(self.workers)]
            self.run(self._attend(), "attention")
            await self._first_of(self._ever_started, self._stop)
            if console is not None and not self._stop.is_set():
                await console.listen(self._addresses.others[CONSOLE])
            await self._first_of(self._all_started, self._stop)
            if not self._stop.is_set():
                if self._predecessor is not None:
                    await self._predecessor.relieve()
                    await self._answer_http()
                if self.config.process.takeover is not None:
                    offer.listen()
            await self._stop.wait()
            if self._handed_on:
                await self._leave_addresses(console)
            await self._drain(keepers)
        finally:
            self._stop.set()
            await offer.close()
            if console is not None:
                await console.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._http is not None:
                await self._http.close()
            self._addresses.leave(handed_on=self._handed_on)
            self._addresses.close()
        event(logger, "supervisor.stopped")
        return self._exit

    async def _answer_http(self) -> None:
        if self.config.http.listen is not None and self._http is None:
            self._http = await http.start(
                self.config.http.listen,
                {"/metrics": self._scrape, "/healthz": self._healthz, "/readyz": self._readyz},
                inherited=self._addresses.others[HTTP],
            )

    def _listening(self, console: Console | None) -> dict[str, list[socket.socket]]:
        """What a next run can take over."""
        found = dict(self._addresses.sockets)
        if self._http is not None:
            found[HTTP] = list(self._http.sockets)
        if console is not None:
            found[CONSOLE] = console.listener.sockets
        return found

    def _taken_over(self) -> None:
        self._handed_on = True
        self._stop.set()

    async def _leave_addresses(self, console: Console | None) -> None:
        if console is not None:
            console.listener.hand_on()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _first_of(self, *events: asyncio.Event) -> None:
        waits = [asyncio.get_running_loop().create_task(each.wait(), name="wait") for each in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _drain(self, keepers: Sequence["asyncio.Task[None]"]) -> None:
        event(logger, "supervisor.draining", workers=len(self._there), handed_on=self._handed_on)
        # As long as anybody has them open, clients would wait there in vain.
        self._addresses.leave(handed_on=self._handed_on)
        self._addresses.close()
        for worker in self._there.values():
            worker.channel.tell("stop", self._handed_on)
        await self._nursery.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.limits.drain_timeout + GRACE + OVERTIME):
                await asyncio.gather(*keepers)
        for worker in list(self._there.values()):
            event(logger, "worker.killed", level=logging.WARNING, worker=worker.number, pid=worker.process.pid)
            with suppress(ProcessLookupError):
                worker.process.kill()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        """One worker after the other on this seat."""
        loop = asyncio.get_running_loop()
        pause = 0.0
        while not self._stop.is_set():
            began = loop.time()
            code = await self._live(number)
            if self._stop.is_set():
                return
            if not self._ever_started.is_set():
                # It could not even begin, nor could another one: there is no use in trying again.
                self._exit = 1
                self._stop.set()
                return
            event(logger, "worker.ended", level=logging.ERROR, worker=number, status=code)
            pause = 0.0 if loop.time() - began > SETTLED else min(max(PAUSE, 2 * pause), LONGEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()

    async def _live(self, number: int) -> int:
        """From the time that a worker gets this seat to its end; its exit status."""
        worker = await self._nursery.take()
        self._there[number] = worker
        worker.seat(number)
        if self._stop.is_set():
            worker.channel.tell("stop", self._handed_on)
        # Its connections are closed when it is dead, this one too, which is heard of first.
        await worker.hearing
        self._commons.gone(number)
        self._board.seat(number).vacate()
        code = await worker.process.wait()
        del self._there[number]
        if worker.last:
            self._sums.bury(worker.last)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._processes.ended(usage.ru_utime + usage.ru_stime)
        return code

    def _handlers(self, worker: Worker) -> Handlers:
        """What a worker may ask or say, from the time that it has a seat."""
        return {
            "task": lambda: self._give_task(worker),
            "started": lambda version: self._started(worker.number, version),
            "kill": self._pass_kill,
            "lost_sight": lambda node: self._pass_lost_sight(worker.number, node),
            "login_judged": lambda address, succeeded: self._pass_login(worker.number, address, succeeded),
            "conflicts": lambda told: self._commons.conflicts(worker.number, told),
            "want": lambda key: self._commons.want(worker.number, key),
            "give": lambda key: self._commons.give(worker.number, key),
        }

    async def _give_task(self, worker: Worker) -> str:
        await worker.seated()
        worker.told = True  # of what it hears from now on nothing is in its task, and nothing is missing
        return self._task(worker.number)

    def _task(self, number: int) -> str:
        assert self._board.file is not None, "there are several workers"
        mine = self._addresses.of(number)
        task = Task(
            number,
            self.workers,
            share(self.config, number, self.workers),
            self._board.file,
            {name: [sock.fileno() for sock in sockets] for name, sockets in mine.items()},
            sorted(
                {sock.fileno() for sock in self._addresses.all}
                - {sock.fileno() for each in mine.values() for sock in each}
            ),
            self._max_clients,
            sorted(self._drained),
            self._commons.learnt(),
            self._commons.ways,
        )
        return pickle.dumps(task).hex()

    def _inherited(self) -> list[int]:
        assert self._board.file is not None, "there are several workers"
        return [self._board.file, *(sock.fileno() for sock in self._addresses.all)]

    def _say(self, number: int, word: str, *arguments: Any) -> None:
        if (worker := self._there.get(number)) and worker.told:
            worker.channel.tell(word, *arguments)

    def _started(self, number: int, version: str) -> None:
        self._version = version
        if worker := self._there.get(number):
            worker.started = True
            self._tell_settings(worker)  # they may have changed while it started
            event(logger, "worker.started", worker=number, pid=worker.process.pid)
        self._ever_started.set()
        if len(self._there) == self.workers and all(each.started for each in self._there.values()):
            self._all_started.set()

    # -- between workers ----------------------------------------------------------------------------------------------

    async def _pass_kill(self, connection_id: int, query_only: bool, account: str | None, by: str) -> str:
        worker = self._there.get(seat_of(connection_id, self.workers))
        if worker is None:
            return Killed.UNKNOWN
        try:
            return Killed(await worker.channel.ask("kill", connection_id, query_only, account, by))
        except Gone:
            return Killed.UNKNOWN

    def _pass_login(self, number: int, address: str, succeeded: bool) -> None:
        for other in self._there:
            if other != number:
                self._say(other, "login_judged", address, succeeded)

    def _pass_lost_sight(self, number: int, node: str) -> None:
        for worker in self._there.values():
            if worker.number != number and worker.started:
                worker.channel.tell("check", node)

    def _reload(self) -> None:
        if self._read is not None:
            reload(self._read, self._take)

    def _take(self, config: Config) -> list[str]:
        """For all workers, those to come included."""
        needs_restart = unchangeable(self._given, config)
        self._given, self.config = adopted(self._given, config), adopted(self.config, config)
        for worker in self._there.values():
            if worker.started:
                self._tell_settings(worker)
        return needs_restart

    def _tell_settings(self, worker: Worker) -> None:
        worker.channel.tell("reload", pickle.dumps(share(self.config, worker.number, self.workers)).hex())

    # -- what operators see and do ------------------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        return sum(self._sums.clients_now.values())

    @property
    def nodes(self) -> list[str]:
        return [str(node) for node in self.config.cluster.nodes]

    def greeted_version(self) -> str:
        return self._version

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def table(self, name: str) -> list[Row]:
        await self._look()
        if name == "metrics":
            return list(merged(name, [], self._exposition.samples()))
        answers = await self._ask_all("table", name)
        return list(merged(name, [[tuple(row) for row in rows] for rows in answers], ()))

    async def drain_node(self, name: str, *, undo: bool) -> None:
        """In all workers, those to come included."""
        (self._drained.discard if undo else self._drained.add)(name)
        await self._ask_all("drain", name, undo)

    async def kill(self, connection_id: int, *, query_only: bool) -> Killed:
        return Killed(await self._pass_kill(connection_id, query_only, None, "console"))

    async def _ask_all(self, word: str, *arguments: Any) -> list[Any]:
        """The answers of those that answer."""
        asked = [
            each.channel.ask(word, *arguments, patience=ATTENTION) for each in self._there.values() if each.started
        ]
        return [answer for answer in await asyncio.gather(*asked, return_exceptions=True) if not _failed(answer)]

    async def _attend(self) -> None:
        """What a worker counted until shortly before its end is known after it."""
        while True:
            await self._look()
            if len(self._there) == self.workers and all(worker.started for worker in self._there.values()):
                await self._nursery.prepare()  # once nobody waits for what that takes
            await asyncio.sleep(ATTENTION)

    async def _look(self) -> None:
        async def one(worker: Worker) -> None:
            with suppress(Gone):
                worker.last = await worker.channel.ask("metrics", patience=ATTENTION)

        await asyncio.gather(*(one(worker) for worker in list(self._there.values()) if worker.started))
        self._sums.take([snapshot(self.metrics), *(worker.last for worker in self._there.values() if worker.last)])

    def _pids(self) -> list[int]:
        return [os.getpid(), *(worker.process.pid for worker in self._there.values()), *self._nursery.pids]

    async def _scrape(self) -> http.Answer:
        await self._look()
        return 200, CONTENT_TYPE, self._exposition.render()

    def _healthz(self) -> http.Answer:
        return 200, _TEXT, b"ok\n"

    async def _readyz(self) -> http.Answer:
        """Ready when a worker is."""
        if self._stop.is_set():
            return 503, _TEXT, b"draining\n"
        whys = await self._ask_all("ready")
        why = "starting" if not whys else "" if "" in whys else whys[0]
        return (503 if why else 200), _TEXT, (why or "ready").encode() + b"\n"


def _failed(answer: Any) -> bool:
    if isinstance(answer, BaseException) and not isinstance(answer, Gone):
        raise answer
    return isinstance(answer, Gone)
