"""What a session has to see at the node that it runs on: when that is waited for, and when it is known to be there.

The levels, and how a node is asked to wait, are in `router.causality`.
"""

from typing import TYPE_CHECKING

from proxy.backend import Backend
from proxy.request import Request
from proxy.wire.constants import COM_QUERY, COM_STMT_EXECUTE, COM_STMT_PREPARE
from router.causality import Level
from router.plan import Opening, Plan
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay


def level(relay: "Relay") -> Level:
    """What the session's reads see."""
    return relay.level or relay.policy.level


def is_synced(relay: "Relay", backend: Backend) -> bool:
    """All that this session has to see is known to be there."""
    if not relay.causal or backend.pool.node.name in relay.synced:
        return level(relay) is not Level.STRONG
    return False


def must_wait(relay: "Relay", backend: Backend) -> bool:
    """Ahead of the next statement the node has to be asked to wait for what was committed elsewhere."""
    if backend.causal:
        return False
    if relay.causal and backend.pool.node.name not in relay.synced:
        return True
    return level(relay) is Level.STRONG and relay.transaction.stage is not Stage.OPEN


def waits_by_itself(relay: "Relay", request: Request | None, wanted: Plan) -> bool:
    """What is sent to the node next waits when it is asked to. No `request`: the transaction is run again."""
    if request is None:
        return relay.transaction.begin is not None
    if wanted.opening is not Opening.NOTHING:
        return True
    wait = relay.cluster.flavor.wait
    if request.code == COM_STMT_PREPARE or request.code == COM_STMT_EXECUTE:  # it may have to be prepared first
        return wait.prepares and wait.covers(request.statement)
    return request.code == COM_QUERY and wait.covers(request.statement)


def wrote(relay: "Relay", wrote: bool, backend: Backend) -> None:
    """A transaction has ended with a commit there, in which the session has written or not."""
    if wrote:
        relay.causal = level(relay) is not Level.EVENTUAL
        relay.synced = {backend.pool.node.name}
