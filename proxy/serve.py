"""The process: the event loop, signals, exit codes."""

import asyncio
import gc
import logging
import signal

import uvloop

from config import Config
from proxy import log
from proxy.service import Service

logger = logging.getLogger(__name__)


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, then drain; returns the exit code. Raises OSError for an address that can't be
    had.
    """
    log.setup(config.log.level, config.log.format)
    return uvloop.run(_serve(config))


async def _serve(config: Config) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = Service(config)
    try:
        await service.start()
        # What was imported and set up lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await stop.wait()
    finally:
        await service.drain()
    return 0
