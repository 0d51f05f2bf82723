"""The first second of a process that serves: as little as can be before the first client, the rest behind it.

Imports make hundreds of thousands of objects that live as long as the process. The garbage collector looks at them
neither while they are made nor later.
"""

import asyncio
import gc
from typing import Final

from router import parse

SOON: Final = 0.5
"""Seconds after the start until what was left out of it is imported, should nobody have asked for it before."""

GARBAGE: Final = 10_000
"""Objects made and not freed before the collector looks for cycles. Commands make none; clients that leave do."""


def started() -> None:
    """Clients can come: what there is now will stay."""
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()


async def complete(after: float = 0.0) -> None:
    """Import, in a thread, what the first statement that is out of the ordinary would otherwise wait for."""
    await asyncio.sleep(after)
    await asyncio.get_running_loop().run_in_executor(None, parse.dialect)
    gc.freeze()
