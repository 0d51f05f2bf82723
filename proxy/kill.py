"""KILL by the connection ids that our clients know.

The id in a KILL is one of ours: sent on as it is, it would end a stranger's connection at the node. KILL QUERY
interrupts what the client's backend runs, over a connection of its own; KILL ends the client's connection, and its
backend with it.
"""

import logging
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.backend import Backend, Lost
from proxy.log import event
from proxy.login import ConnectFailed
from proxy.request import Request
from proxy.wire.constants import COM_QUERY
from router import answers
from router.facts import Statement

if TYPE_CHECKING:
    from proxy.crew import Crew
    from proxy.service import Service
    from proxy.session import Session

logger = logging.getLogger(__name__)


def query(session: "Session", statement: Statement, raw: bytes) -> None:
    """KILL [CONNECTION | QUERY] id."""
    if statement.kill is None:
        # An expression, or HARD, SOFT, USER: the server says what it thinks of it, for ids of its own.
        session.relay.submit(Request(COM_QUERY, raw, statement))
        return
    query_only, connection_id = statement.kill
    _kill(session, connection_id, query_only=query_only)


def command(session: "Session", raw: bytes) -> None:
    """COM_PROCESS_KILL: the id in four bytes
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_process_kill.html).
    """
    _kill(session, int.from_bytes(raw[5:9], "little"), query_only=False)


class Killed(StrEnum):
    """What became of a KILL that came from elsewhere."""

    DONE = "done"
    UNKNOWN = "unknown"
    DENIED = "denied"


def from_elsewhere(service: "Service", connection_id: int, *, query_only: bool, account: str | None, by: str) -> Killed:
    """KILL of one of our sessions, by somebody with this account; None: by an operator, who may kill anybody's."""
    victim = service.sessions.get(connection_id)
    if victim is None:
        return Killed.UNKNOWN
    if account is not None and victim.login.account.name != account:
        return Killed.DENIED
    _end(victim, query_only=query_only, by=by)
    return Killed.DONE


def _kill(session: "Session", connection_id: int, *, query_only: bool) -> None:
    relay = session.relay
    victim = session.service.sessions.get(connection_id)
    crew = session.service.crew
    if victim is None and crew is not None:
        session.service.run(_elsewhere(session, crew, connection_id, query_only=query_only), f"kill {connection_id}")
    elif victim is None:
        relay.answer_error(answers.kill_unknown(connection_id))
    elif victim.login.account.name != session.login.account.name:
        relay.answer_error(answers.kill_denied(connection_id))
    elif victim is session and not query_only:
        relay.answer_error(answers.killed())
    else:
        relay.answer_ok()
        _end(victim, query_only=query_only, by=str(relay.id))


async def _elsewhere(session: "Session", crew: "Crew", connection_id: int, *, query_only: bool) -> None:
    """The id may be that of another worker's client."""
    relay = session.relay
    killed = await crew.kill(connection_id, query_only=query_only, account=session.login.account.name, by=str(relay.id))
    if relay.closed:
        return  # it did not wait for the answer
    match killed:
        case Killed.DONE:
            relay.answer_ok()
        case Killed.UNKNOWN:
            relay.answer_error(answers.kill_unknown(connection_id))
        case Killed.DENIED:
            relay.answer_error(answers.kill_denied(connection_id))


def _end(victim: "Session", *, query_only: bool, by: str) -> None:
    connection_id = victim.login.connection_id
    if not query_only:
        event(logger, "client.killed", client=connection_id, by=by)
        victim.relay.frontend.abort()
        return
    backend = victim.relay.lease
    if backend is not None and backend.busy:
        victim.service.run(_interrupt(victim, backend), f"kill query of {connection_id}")


async def _interrupt(victim: "Session", backend: Backend) -> None:
    """Ask the node to stop what the victim runs now. A failure leaves it running, as a lost KILL does."""
    request = victim.relay.request
    try:
        await backend.pool.connector.interrupt(
            backend, lambda: victim.relay.request is request and victim.relay.lease is backend
        )
    except (ConnectFailed, Lost, TimeoutError) as failure:
        event(logger, "kill.failed", level=logging.WARNING, node=backend.pool.node.name, error=str(failure))
