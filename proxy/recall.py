"""What a session may still ask about its last statement, when another one needs the backend that would answer.

The count of rows is in the reply, so that the session knows it anyway. Warnings and FOUND_ROWS() the backend alone has:
it is asked for them before it goes on, and what it says is kept until the client's next statement makes it void. It
goes on as soon as it has answered; the session is free from the beginning.

    INSERT ..                warned: the session keeps the backend, in case that it asks
    (somebody waits)         SHOW WARNINGS | SELECT FOUND_ROWS() by ourselves, and the backend is given back
    SHOW WARNINGS            runs anywhere, and the reply is the one from memory

Not kept: SHOW WARNINGS with a limit, SHOW ERRORS, GET DIAGNOSTICS.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from proxy.backend import Answer, Backend, Lost
from proxy.holding import text_values, with_value
from proxy.wire.constants import COM_QUERY
from router.facts import Asks, Kind, Result, Statement
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

WARNINGS: Final = b"SHOW WARNINGS"
# A statement without tables leaves warnings and FOUND_ROWS().
COUNTS: Final = b"SELECT FOUND_ROWS(),@@warning_count LIMIT 1"
# These leave them, too.
LEAVING: Final = frozenset((Kind.SET, Kind.SETTING, Kind.USE, Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK))


class Kept:
    """What a backend said of a session's last statement. `said` comes to pass when it has, or is lost."""

    __slots__ = ("found_rows", "said", "warning_count", "warnings")

    def __init__(self) -> None:
        self.said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.found_rows: int | None = None
        self.warning_count: int | None = None
        self.warnings = b""  # the whole reply to SHOW WARNINGS


def keep(relay: "Relay", backend: Backend) -> None:
    """The backend is no longer the session's; it is given back when it has answered."""
    kept = relay.kept = Kept()
    keeping = relay.cluster.keeping
    task = asyncio.get_running_loop().create_task(_ask(backend, kept), name=f"kept answers of {relay.id}")
    keeping.add(task)
    task.add_done_callback(keeping.discard)


async def _ask(backend: Backend, kept: Kept) -> None:
    try:
        counts = await backend.run(backend.profile.query(COUNTS), COM_QUERY)
        warnings = await backend.run(backend.profile.query(WARNINGS), COM_QUERY)
    except Lost:
        pass
    else:
        numbers = [int(value) for value in text_values(counts.data) if value is not None]
        if len(numbers) == 2:
            kept.found_rows, kept.warning_count = numbers
        if warnings.error is None and len(warnings.data) < Answer.KEPT:
            kept.warnings = warnings.data
        backend.pool.release(backend)
    finally:
        if not kept.said.done():
            kept.said.set_result(None)


def outlives(statement: Statement) -> bool:
    """Is what is kept still so after this statement?"""
    return bool(statement.asks & (Asks.WARNINGS | Asks.ROWS)) or statement.kind in LEAVING


async def answer(relay: "Relay", result: Result | None) -> int | bytes | None:
    """What a statement that asks for this alone is answered with: the number in its row, or the whole reply. None: not
    known.
    """
    if result is Result.ROW_COUNT:
        return relay.row_count
    kept = relay.kept
    if kept is None or result not in (Result.FOUND_ROWS, Result.WARNING_COUNT, Result.WARNINGS):
        return None
    await kept.said
    if result is Result.WARNING_COUNT:
        return kept.warning_count
    if result is Result.WARNINGS:  # its flags are those of a session without a transaction
        return kept.warnings if relay.transaction.stage is Stage.NONE and kept.warnings else None
    found, kept.found_rows = kept.found_rows, None  # it is that of this SELECT from then on
    return found


def put(known: int | bytes, reply: bytes, *, binary: bool) -> bytes:
    """The reply with what is known in place of what the node said."""
    return known if isinstance(known, bytes) else with_value(reply, known, binary=binary)
