"""Can a command be sent on a lease as the lease is? Otherwise proxy.equip has to do something to it first.

Asked for every command, so that it looks at plain attributes only. It knows sessions, backends and commands; not what
is done about what is missing.
"""

from typing import TYPE_CHECKING

from proxy import causality, commit, sentinel
from proxy.backend import Backend
from proxy.kept import known_there
from proxy.request import Prepared, Request
from proxy.wire.constants import COM_STMT_PREPARE
from router.facts import MIGHT_ASK, Asks, Kind, Modes, PinReason, Statement
from router.plan import Opening, Plan, keeps_one_shot
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay


def is_ready(relay: "Relay", backend: Backend, request: Request, wanted: Plan) -> bool:
    """Can the command be sent on this lease as it is?"""
    return (
        backend.state is relay.state
        and wanted.opening is not Opening.CONFIRMED
        and fits(relay, backend, request, wanted)
    )


def fits(relay: "Relay", backend: Backend, request: Request, wanted: Plan) -> bool:
    """Is the lease as the command needs it in all but the session's state?"""
    statement = request.statement
    if wanted.guarded is not None and backend.guarded is not wanted.guarded:
        return False
    if relay.marks and backend.slot is None and commit.wants_slot(relay, backend):
        return False
    if (backend.causal or backend.lifted) and wanted.opening is Opening.PIPELINED:
        return False  # a START TRANSACTION that waits lifts the guard first: see proxy.equip
    if request.prepared is not None and lacks(backend, request.prepared):
        return False
    if statement.asks:
        if statement.asks & Asks.LAST_INSERT_ID and not knows_insert_id(relay, backend):
            return False
        if would_see_others(relay, statement, backend):
            return False
    if statement.may_write and has_anothers_id(relay, backend):
        return False
    if statement.pins is PinReason.TRACKING and not knows_insert_id(relay, backend):
        return False  # behind it, to ask for the id would be told of
    if relay.transaction.one_shot and not begun_or_keeps(relay, request):
        return False
    if (statement.kind is Kind.SAVEPOINT or relay.savepoints) and sentinel.due(relay, request):
        return False
    if statement.meets and causality.fences(relay, statement):
        return False
    if not (relay.causal or relay.policy.strong or relay.level):
        return True
    return not causality.must_wait(relay, backend, request, wanted)


def lacks(backend: Backend, prepared: Prepared) -> bool:
    """The statement is not prepared there."""
    return prepared.key not in backend.prepared


def has_anothers_id(relay: "Relay", backend: Backend) -> bool:
    """The LAST_INSERT_ID() there is one that another session may still ask for."""
    keeper = backend.insert_id_of
    return keeper is not None and keeper is not relay.insert_ids and not keeper.settled


def knows_insert_id(relay: "Relay", backend: Backend) -> bool:
    """LAST_INSERT_ID() there is what it is for the session."""
    ids = relay.insert_ids
    return ids.is_at(backend) or (ids.settled and backend.last_insert_id == ids.known)


def would_see_others(relay: "Relay", statement: Statement, backend: Backend) -> bool:
    """It asks for warnings, or for ROW_COUNT(), and those on the backend are not the session's own."""
    if statement.pins in MIGHT_ASK and not relay.modes & Modes.FOREIGN:
        return False  # it hardly does; but a text that is not read may well be SHOW WARNINGS
    return statement.asks & (Asks.WARNINGS | Asks.ROWS) & ~known_there(relay, backend) != 0


def begun_or_keeps(relay: "Relay", request: Request) -> bool:
    """The SET TRANSACTION for the next transaction has been sent, or is not for this command."""
    return (
        relay.transaction.stage is Stage.OPEN
        or request.code == COM_STMT_PREPARE
        or (relay.transaction.stage is Stage.NONE and keeps_one_shot(request.statement))
    )
