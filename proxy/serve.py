"""The process: the event loop, signals, exit codes."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable

import uvloop

from config import Config
from proxy import files, log, settle
from proxy.reload import reload
from proxy.service import Service

logger = logging.getLogger(__name__)


def run(config: Config, read: Callable[[], Config] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then drain; returns the exit code. Raises OSError for an address that can't be
    had. `read` gives the settings anew, at SIGHUP; None: they are not from a file.
    """
    log.setup(config.log.level, config.log.format)
    workers = config.process.workers or len(os.sched_getaffinity(0))
    # They would be too many for the backends that there may be; a number that is too large is refused by the settings.
    workers = min(workers, config.pool.max_backends)
    if workers > 1:
        from proxy.supervisor import Supervisor

        return uvloop.run(Supervisor(config, workers, read).supervise())
    return uvloop.run(_serve(config, read))


async def _serve(config: Config, read: Callable[[], Config] | None) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = Service(config)
    service.admission.max_clients = files.prepare(config)
    # Without a file there is nothing new to read; but the signal, whose default is to end, must not end clients.
    loop.add_signal_handler(signal.SIGHUP, lambda: reload(read, service.reload) if read is not None else None)
    try:
        await service.start()
        settle.started()
        service.run(settle.complete(settle.SOON), "imports")
        await stop.wait()
    finally:
        await service.drain()
    return 0
