"""A command goes to the backend: what its phase is, what its reply is kept for, and which bytes are sent.

The end of every way that a command takes, the steady state's and that through proxy.dispatch. Nothing here can fail or
wait: the backend is as the command needs it, or what makes it so goes ahead in the same write.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from proxy import commit
from proxy.backend import ROLLBACK, Backend, Sink
from proxy.causality import fences, is_synced
from proxy.continued import Continuation
from proxy.profile import as_known_query
from proxy.request import Request
from proxy.wire.constants import COM_QUERY, COM_STATISTICS, COM_STMT_PREPARE
from proxy.wire.digest import ReplyDigest
from proxy.wire.framing import HEADER
from router.facts import Asks, Kind, PinReason, Result
from router.membership import NodeState
from router.outcomes import Phase
from router.plan import Opening, Plan, opening_text
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

# What may be in a text that changes the schema unseen: a USE among several statements, or in a PREPARE.
HIDES_USE: Final = frozenset((PinReason.VARIABLE, PinReason.SQL_PREPARE, PinReason.UNCLASSIFIED))
# By a name of their own, since to look them up in a module that is not compiled takes as long as to use them.
AUTOCOMMIT: Final = Phase.AUTOCOMMIT
STATEMENT: Final = Phase.STATEMENT
COMMIT: Final = Phase.COMMIT
# In place of one with RELEASE: the backend goes on.
ENDS: Final = {Kind.COMMIT: commit.COMMIT, Kind.ROLLBACK: ROLLBACK}
# With no transaction open these commit nothing.
BOUNDARIES: Final = frozenset((Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SET, Kind.USE, Kind.UNLOCK_TABLES))


def launch(relay: "Relay", backend: Backend, request: Request, wanted: Plan, first: Sequence[bytes] = ()) -> None:
    """Send the command; the backend is as it must be once it has had the commands in `first`."""
    statement = request.statement
    transaction = relay.transaction
    if not transaction.started:
        transaction.started = relay.cluster.now()
    opening = wanted.opening is Opening.PIPELINED
    if opening:
        transaction.stage = Stage.OPEN
    in_transaction = transaction.stage is Stage.OPEN or not relay.state.autocommit
    if statement.commits and (transaction.stage is Stage.OPEN or statement.kind not in BOUNDARIES):
        relay.phase = COMMIT
    else:
        relay.phase = STATEMENT if in_transaction else AUTOCOMMIT
    relay.digest = None
    if in_transaction:
        if statement.unreplayable is not None and not transaction.alone:
            relay.journal.forbid(statement.unreplayable.value)
        elif not relay.journal.unreplayable:
            relay.digest = ReplyDigest()
    if backend.pool.node.state is not NodeState.UP:
        relay.cluster.used(backend.pool.node)
    prepares = request.code == COM_STMT_PREPARE
    leaves = prepares or request.code == COM_STATISTICS or statement.pins is PinReason.DIAGNOSTICS
    if (
        backend.causal
        and not (leaves or statement.asks or transaction.stage is Stage.OPEN)
        and is_synced(relay, backend)
        and not fences(relay, statement)
    ):
        backend.send_quietly(relay.profile.query(relay.cluster.flavor.wait.off), COM_QUERY)
        backend.causal = backend.fenced = False
    collects = prepares or relay.then is not None or transaction.alone or statement.result is not None
    relay.collected = [] if collects else None
    if statement.result is Result.CONNECTION_ID or statement.result is Result.REMEMBERED:
        relay.digest = None  # the node's is another in each run
    backend.last_user = relay  # a reset on the way here has forgotten it
    if not leaves:  # what can be asked for about the statement before
        relay.counted_here = False
        backend.diagnostics |= Asks.ROWS | Asks.WARNINGS if statement.tables else Asks.ROWS
    if statement.pins is not None and statement.pins in HIDES_USE:
        backend.hides_use = True
    if relay.marks and statement.kind is Kind.COMMIT and commit.send_marked(relay, backend, request):
        return
    raw = request.bind(backend)
    if statement.result is Result.RELEASES:
        raw = relay.profile.query(ENDS[statement.kind])
    sink: Sink = relay if relay.sent is None else Continuation(relay, relay.all_sent())
    if opening:
        assert transaction.begin is not None
        begin = as_known_query(opening_text(transaction.begin, relay.state), relay.attributes)
        codes = [COM_QUERY, request.code]
        raw = begin + raw
    elif first:
        codes = [request.code]
    else:
        backend.send(sink, raw, request.code, relay.digest, cursor=request.opens_cursor)
        return
    if first:
        raw = b"".join((*first, raw))
        codes = [command[HEADER] for command in first] + codes
        relay.setting = len(first)
        backend.state = relay.state
    relay.leading = len(codes) - 1
    backend.send_several(sink, raw, codes, relay.digest, cursor=request.opens_cursor)
