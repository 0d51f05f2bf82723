"""What a session has to see at the node that it runs on: when that is waited for, and when it is known to be there.

The levels, and how a node is asked to wait, are in `router.causality`.
"""

from typing import TYPE_CHECKING, Final

from proxy import places
from proxy.backend import Backend
from proxy.request import Request
from proxy.wire.constants import (
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_QUERY,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
)
from router.causality import Level
from router.facts import MIGHT_ASK, Asks, Kind, Statement
from router.plan import Opening, Plan
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

READS: Final = frozenset(
    (COM_QUERY, COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE, COM_STMT_PREPARE, COM_INIT_DB, COM_FIELD_LIST)
)
"""Commands that may find what was committed. The rows that COM_STMT_FETCH gets have been read before."""


def level(relay: "Relay") -> Level:
    """What the session's reads see."""
    return relay.level or relay.policy.level


def fences(relay: "Relay", statement: Statement) -> bytes:
    """What makes a backend wait on both sides of it; b"": nothing has to, or can, within a transaction."""
    if statement.kind is not Kind.DDL or not statement.commits or relay.transaction.stage is Stage.OPEN:
        return b""
    return relay.cluster.flavor.wait.fence


def _has_its_own(relay: "Relay", backend: Backend) -> bool:
    """All that the session has committed itself is known to be there."""
    return not relay.causal or backend.pool.node.name in relay.synced


def is_synced(relay: "Relay", backend: Backend) -> bool:
    """All that this session has to see is known to be there."""
    return _has_its_own(relay, backend) and level(relay) is not Level.STRONG


def must_wait(relay: "Relay", backend: Backend, request: Request | None, wanted: Plan) -> bool:
    """Ahead of what is sent next the node has to be asked to wait for what was committed elsewhere; or, where it has
    been asked, something has to be run that does wait.
    """
    return has_to_see(relay, backend, request, wanted) and not (
        backend.causal and not backend.fenced and waits_by_itself(relay, backend, request, wanted)
    )


def has_to_see(relay: "Relay", backend: Backend, request: Request | None, wanted: Plan) -> bool:
    """What is sent next has to find something that is not known to be there."""
    if _has_its_own(relay, backend) and (level(relay) is not Level.STRONG or relay.transaction.stage is Stage.OPEN):
        return False
    opens = wanted.opening is not Opening.NOTHING  # behind which it is too late, also for what reads nothing itself
    return request is None or ((opens or request.code in READS) and not _asks_of_the_last(request, backend))


def _asks_of_the_last(request: Request, backend: Backend) -> bool:
    """It is about the statement before it, which ran here; whatever ran between them would be what it is told of."""
    statement = request.statement
    if statement.tables or statement.pins in MIGHT_ASK:
        return False
    return statement.asks & backend.diagnostics & (Asks.WARNINGS | Asks.ROWS) != 0


def waits_by_itself(relay: "Relay", backend: Backend, request: Request | None, wanted: Plan) -> bool:
    """What is sent to the node next waits when it is asked to. No `request`: the transaction is run again."""
    if request is None:
        return relay.transaction.begin is not None
    return wanted.opening is not Opening.NOTHING or _waits(relay, backend, request)


def _waits(relay: "Relay", backend: Backend, request: Request) -> bool:
    wait = relay.cluster.flavor.wait
    if request.code == COM_STMT_PREPARE:
        if not wait.prepares:
            return False
    elif request.code == COM_STMT_EXECUTE:
        if not wait.prepares and (request.prepared is None or request.prepared.key not in backend.prepared):
            return False  # it has to be prepared first
    elif request.code != COM_QUERY:
        return False
    return wait.covers(request.statement, relay.state.schema.decode("latin-1").lower())


def answered(relay: "Relay", request: Request, backend: Backend) -> None:
    """A node that was asked to wait has answered the command."""
    if _waits(relay, backend, request):
        waited(relay, backend)


def waited(relay: "Relay", backend: Backend) -> None:
    """Something that waits has run there: what was committed before is there."""
    relay.synced.add(backend.pool.node.name)
    if relay.place is not None:
        places.synced(relay)


def wants_all(relay: "Relay") -> None:
    """Wherever the session goes next, it first waits for all that was committed until now; but one that is bound to a
    backend which cannot wait would be lost for that.
    """
    if relay.pinned is not None and relay.lease is not None and not relay.lease.waits:
        return
    relay.causal = True
    relay.synced = set()


def wrote(relay: "Relay", wrote: bool, backend: Backend) -> None:
    """A transaction has ended with a commit there, in which the session has written or not."""
    if wrote:
        relay.causal = level(relay) is not Level.EVENTUAL
        relay.synced = {backend.pool.node.name}
