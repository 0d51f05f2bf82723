"""A worker: one of several processes that serve the same endpoints, told what to do by the supervisor.

It is started as a program of its own and is given everything over one socket. When the supervisor is gone it drains.
"""

import asyncio
import logging
import pickle
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import uvloop

from config import Config
from proxy import log, settle
from proxy.board import Board, Seat
from proxy.control import Channel, Gone
from proxy.kill import Killed, from_elsewhere
from proxy.log import event
from proxy.service import Service
from proxy.sums import Snapshot, snapshot

logger = logging.getLogger(__name__)

FAILED = 1


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker has to know. Descriptors are those that it has inherited."""

    number: int
    """Counted from 0."""
    workers: int
    config: Config
    """Its share."""
    board: int
    sockets: Mapping[str, int]
    """Unix sockets by endpoint."""
    max_clients: int
    """Of all workers together, as far as there are descriptors for them."""
    drained: Sequence[str] = ()
    """Nodes that the operator has taken out."""


def main(descriptor: int) -> int:
    """Work until told to stop, then drain; the exit code. `descriptor` is the socket to the supervisor."""
    # Ctrl-C reaches everybody at the terminal: the supervisor says what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return uvloop.run(Worker().run(socket.socket(fileno=descriptor)))


class Worker:
    """Its service, and the channel to the supervisor. It is the crew that its service knows."""

    def __init__(self) -> None:
        self.seat: Seat
        self.sockets: dict[str, socket.socket] = {}
        self._service: Service
        self._stop = asyncio.Event()
        self._channel = Channel(
            "supervisor",
            {
                "check": self._check,
                "drain": self._drain,
                "kill": self._kill,
                "metrics": self._metrics,
                "ready": self._ready,
                "reload": self._reload,
                "stop": self._stop.set,
                "table": self._table,
            },
        )

    async def run(self, sock: socket.socket) -> int:
        await self._channel.open(sock)
        listening = asyncio.get_running_loop().create_task(self._listen(), name="supervisor")
        try:
            task: Task = pickle.loads(bytes.fromhex(await self._channel.ask("task")))  # noqa: S301  # from our own parent
            return await self._serve(task)
        except Gone:
            return FAILED
        finally:
            self._channel.close()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        await self._channel.run()
        self._stop.set()

    async def _serve(self, task: Task) -> int:
        config = task.config
        log.setup(config.log.level, config.log.format)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        self.seat = Board(task.workers, task.board).seat(task.number)
        self.sockets = {name: socket.socket(fileno=number) for name, number in task.sockets.items()}
        service = self._service = Service(config, self)
        service.admission.max_clients = task.max_clients
        try:
            for name in task.drained:
                await service.drain_node(name, undo=False)
            await service.start()
            settle.started()
            service.run(settle.complete(), "imports")
            self._channel.tell("started", service.greeted_version())
            await self._stop.wait()
        except OSError as error:
            event(logger, "worker.failed", level=logging.ERROR, error=str(error))
            return FAILED
        finally:
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

    # -- for the supervisor -------------------------------------------------------------------------------------------

    def _check(self, node: str) -> None:
        self._service.monitor.check_now(node)

    async def _drain(self, node: str, undo: bool) -> None:
        await self._service.drain_node(node, undo=undo)

    def _kill(self, connection_id: int, query_only: bool, account: str | None, by: str) -> str:
        return from_elsewhere(self._service, connection_id, query_only=query_only, account=account, by=by)

    def _metrics(self) -> Snapshot:
        return snapshot(self._service.metrics)

    def _ready(self) -> str:
        return self._service.not_ready()

    def _reload(self, config: str) -> None:
        self._service.reload(pickle.loads(bytes.fromhex(config)))  # noqa: S301

    async def _table(self, name: str) -> list[Any]:
        return await self._service.table(name)
