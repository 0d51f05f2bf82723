"""A worker: one of several processes that serve the same endpoints, told what to do by the supervisor.

It is started as a program of its own and is given everything over one socket. When the supervisor is gone it drains.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import uvloop

from config import Config
from proxy import log, processors, settle
from proxy.board import Board, Seat
from proxy.commons import Told, packed, unpacked
from proxy.control import Channel, Gone
from proxy.kill import Killed, from_elsewhere
from proxy.log import event
from proxy.service import Service
from proxy.sums import Snapshot, snapshot
from router.contention import Conflict, Contention

logger = logging.getLogger(__name__)

FAILED = 1
MOMENT = 0.001  # seconds


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker has to know. Descriptors are those that it has inherited."""

    number: int
    """Counted from 0."""
    workers: int
    config: Config
    """Its share."""
    board: int
    sockets: Mapping[str, Sequence[int]]
    """Its own, by endpoint."""
    others: Sequence[int]
    """Those of the other workers."""
    max_clients: int
    """Of all workers together, as far as there are descriptors for them."""
    drained: Sequence[str] = ()
    """Nodes that the operator has taken out."""
    contention: str = ""
    """What the others have learnt of conflicts, pickled."""
    ways: Sequence[str] = ()
    """Rights of way that somebody in another worker has."""


def main(descriptor: int) -> int:
    """Work until told to stop, then drain; the exit code. `descriptor` is the socket to the supervisor."""
    # Ctrl-C reaches everybody at the terminal, SIGTERM everybody in a control group: the supervisor says what follows
    # from it. Clients would wait in vain at the address of a worker that drains by itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return uvloop.run(Worker().run(socket.socket(fileno=descriptor)))


class Worker:
    """Its service, and the channel to the supervisor. It is the crew that its service knows."""

    def __init__(self) -> None:
        self.seat: Seat
        self.contention: Contention
        self._conflicts: list[Told] = []  # that the others have not been told of
        self._service: Service
        self._stop = asyncio.Event()
        self._handed_on = False
        self._channel = Channel(
            "supervisor",
            {
                "ahead": lambda key, there: self._service.cluster.turns.ahead(key, there),
                "check": self._check,
                "conflicts": self._hear,
                "drain": self._drain,
                "granted": lambda key: self._service.cluster.turns.granted(key),
                "kill": self._kill,
                "login_judged": self._hear_of_login,
                "metrics": self._metrics,
                "ready": self._ready,
                "reload": self._reload,
                "stop": self._end,
                "table": self._table,
                "wanted": lambda key: self._service.cluster.turns.wanted(key),
            },
        )

    async def run(self, sock: socket.socket) -> int:
        await self._channel.open(sock)
        listening = asyncio.get_running_loop().create_task(self._listen(), name="supervisor")
        try:
            return await self._serve(_unpickled(await self._seated()))
        except Gone:
            return FAILED
        finally:
            self._channel.close()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _seated(self) -> str:
        """What there is to do. A spare worker waits for that, and meanwhile imports what others import later.

        Whatever is said behind the answer is about work that has begun by then: nothing may come in between here.
        """
        importing = asyncio.get_running_loop().create_task(settle.complete(settle.SOON), name="imports")
        try:
            return str(await self._channel.ask("task", patience=None))
        finally:
            importing.cancel()

    async def _listen(self) -> None:
        await self._channel.run()
        self._stop.set()

    async def _serve(self, task: Task) -> int:
        config = task.config
        log.setup(config.log.level, config.log.format)
        self.contention = _unpickled(task.contention)
        self.seat = Board(task.workers, task.board).seat(task.number)
        for number in task.others:
            os.close(number)
        sockets = {name: [socket.socket(fileno=number) for number in own] for name, own in task.sockets.items()}
        service = self._service = Service(config, self, sockets)
        service.admission.max_clients = task.max_clients
        try:
            for name in task.drained:
                await service.drain_node(name, undo=False)
            for way in task.ways:
                service.cluster.turns.ahead(way, True)
            await service.start()
            processors.schedule(config.process.scheduling)
            settle.started()
            service.run(settle.complete(settle.SOON), "imports")
            self._channel.tell("started", service.greeted_version())
            await self._stop.wait()
        except OSError as error:
            event(logger, "worker.failed", level=logging.ERROR, error=str(error))
            return FAILED
        finally:
            if self._handed_on:
                await service.hand_on()
            await service.drain()
        return 0

    # -- for the service ----------------------------------------------------------------------------------------------

    async def kill(self, connection_id: int, *, query_only: bool, account: str, by: str) -> Killed:
        try:
            return Killed(await self._channel.ask("kill", connection_id, query_only, account, by))
        except Gone:
            return Killed.UNKNOWN

    def lost_sight(self, node: str) -> None:
        self._channel.tell("lost_sight", node)

    def lost_conflict(self, lost: Conflict, transactions: int, at: float) -> None:
        # In a storm there are many: those of one moment go together.
        if not self._conflicts:
            asyncio.get_running_loop().call_later(MOMENT, self._tell_conflicts)
        self._conflicts.append(packed(lost, transactions, at))

    def _tell_conflicts(self) -> None:
        told, self._conflicts = self._conflicts, []
        self._channel.tell("conflicts", told)

    def login_judged(self, address: str, succeeded: bool) -> None:
        self._channel.tell("login_judged", address, succeeded)

    def want(self, key: str) -> None:
        self._channel.tell("want", key)

    def give(self, key: str) -> None:
        self._channel.tell("give", key)

    # -- for the supervisor -------------------------------------------------------------------------------------------

    def _end(self, handed_on: bool) -> None:
        self._handed_on = handed_on
        self._stop.set()

    def _check(self, node: str) -> None:
        self._service.monitor.check_now(node)

    def _hear(self, conflicts: Sequence[Told]) -> None:
        for each in conflicts:
            self._service.cluster.heard(*unpacked(each))

    def _hear_of_login(self, address: str, succeeded: bool) -> None:
        self._service.backoff.heard(address, succeeded, asyncio.get_running_loop().time())

    async def _drain(self, node: str, undo: bool) -> None:
        await self._service.drain_node(node, undo=undo)

    def _kill(self, connection_id: int, query_only: bool, account: str | None, by: str) -> str:
        return from_elsewhere(self._service, connection_id, query_only=query_only, account=account, by=by)

    def _metrics(self) -> Snapshot:
        return snapshot(self._service.metrics)

    def _ready(self) -> str:
        return self._service.not_ready()

    def _reload(self, config: str) -> None:
        self._service.reload(_unpickled(config))

    async def _table(self, name: str) -> list[Any]:
        return await self._service.table(name)


def _unpickled(text: str) -> Any:
    """What our own parent has sent."""
    return pickle.loads(bytes.fromhex(text))  # noqa: S301
