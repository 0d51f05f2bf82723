"""The beginnings and ends of transactions that no node needs to hear of: the client gets our own OK at once.

    BEGIN               a node hears of it with the first statement, if there is one
    SET TRANSACTION     likewise, for the transaction that comes next
    COMMIT, ROLLBACK    of what no node has heard of: never

It must not know of backends, but for the one that a session lingers at.
"""

from typing import TYPE_CHECKING

from proxy.request import Request
from router.plan import may_begin_late
from router.transaction import Stage
from router.variables import ACCESS

if TYPE_CHECKING:
    from proxy.relay import Relay


def answered(relay: "Relay", request: Request) -> bool:
    """True if the command was one of these and has been answered. Only for a session that holds no backend, or just
    lingers at one.
    """
    statement = request.statement
    if of_another_schema(relay, request):
        return False
    if request.long_data:
        return False  # none of these has a parameter: the server says so
    if statement.transaction is not None and may_begin_late(statement.transaction):
        begin(relay, request)
        return True
    if (
        statement.end is not None
        and not statement.end.chain
        and not statement.end.release
        and not relay.one_shot_waits  # there it ends that, too
    ):
        relay.transaction.clear()
        relay.answer_ok()
        return True
    if statement.one_shot and relay.transaction.stage is Stage.NONE:
        remember_one_shot(relay, request)
        relay.answer_ok()
        return True
    return False


def begin(relay: "Relay", request: Request) -> None:
    """Tell the client that its transaction has begun."""
    transaction = relay.transaction
    one_shot, read_only = transaction.one_shot, transaction.read_only
    waited = transaction.stage is Stage.NONE  # and was not for one that had begun before, and ends with this
    transaction.clear()
    if waited:
        transaction.one_shot, transaction.read_only = one_shot, read_only
    elif relay.lingering and relay.one_shot_waits:
        relay.part()  # there it still waits
    transaction.stage = Stage.BEGUN
    transaction.begin = request.statement.transaction
    transaction.begin_text = request.as_query(relay.profile)
    transaction.state = relay.state
    relay.answer_ok()


def remember_one_shot(relay: "Relay", request: Request) -> None:
    """A SET TRANSACTION for the next one."""
    relay.transaction.one_shot += (request.as_query(relay.profile),)
    for name, value in request.statement.one_shot:
        if name == ACCESS:
            relay.transaction.read_only = value == "READ ONLY"


def of_another_schema(relay: "Relay", request: Request) -> bool:
    """The server goes to the schema that it was prepared in and back, and tells those that track it."""
    prepared = request.prepared
    return prepared is not None and prepared.state is not relay.state and prepared.state.schema != relay.state.schema
