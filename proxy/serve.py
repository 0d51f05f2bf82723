"""The process: the event loop, signals, exit codes."""

import asyncio
import logging
import signal
from collections.abc import Callable

import uvloop

from config import Config
from proxy import files, log, processors, settle, takeover
from proxy.addresses import NONE, Addresses
from proxy.reload import reload
from proxy.service import Service
from proxy.takeover import Offer, Predecessor

logger = logging.getLogger(__name__)


def run(config: Config, read: Callable[[], Config] | None = None, *, take_over: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, then drain; returns the exit code. Raises OSError for an address that can't be
    had. `read` gives the settings anew, at SIGHUP; None: they are not from a file. `take_over`: from the run that
    there is, if there is one.
    """
    log.setup(config.log.level, config.log.format)
    predecessor = takeover.ask(str(config.process.takeover)) if take_over else None
    workers = config.process.workers or processors.available()
    # They would be too many for the backends that there may be; a number that is too large is refused by the settings.
    workers = min(workers, config.pool.max_backends)
    if workers > 1:
        from proxy.supervisor import Supervisor

        return uvloop.run(Supervisor(config, workers, read, predecessor).supervise())
    return uvloop.run(_serve(config, read, predecessor))


async def _serve(config: Config, read: Callable[[], Config] | None, predecessor: Predecessor | None) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    addresses = Addresses(1, predecessor.sockets if predecessor is not None else NONE)
    config = addresses.bind(config)
    service = Service(config, sockets=addresses.others | addresses.sockets)
    service.admission.max_clients = files.prepare(config)
    handed_on = False

    def taken() -> None:
        nonlocal handed_on
        handed_on = True
        stop.set()

    offer = Offer(str(config.process.takeover), service.listening, taken)
    # Without a file there is nothing new to read; but the signal, whose default is to end, must not end clients.
    loop.add_signal_handler(signal.SIGHUP, lambda: reload(read, service.reload) if read is not None else None)
    try:
        await service.start()
        processors.schedule(config.process.scheduling)
        settle.started()
        service.run(settle.complete(settle.SOON), "imports")
        if predecessor is not None:
            await predecessor.relieve()
            await service.answer_http()
        if config.process.takeover is not None:
            offer.listen()
        await stop.wait()
    finally:
        await offer.close()
        addresses.leave(handed_on=handed_on)
        if handed_on:
            await service.hand_on()
        await service.drain()
        addresses.close()
    return 0
