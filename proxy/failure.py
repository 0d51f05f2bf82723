"""What becomes of a command that failed: it is answered, run again, or its outcome is said to be unknown.

router.outcomes judges; here the verdict is carried out on the session: its lease, its transaction, its client.
Nothing here looks at an error number.
"""

from typing import TYPE_CHECKING, Final

from proxy import causality, holding, kept, places, success
from proxy.backend import Backend
from proxy.counters import ROLLED_BACK
from proxy.request import Request
from proxy.wire.constants import COM_STMT_FETCH, COM_STMT_PREPARE
from proxy.wire.packets import ServerError
from proxy.wire.replies import ReplyScanner
from router import answers
from router.answers import Answer as ProxyError
from router.facts import Asks, Kind
from router.membership import Node
from router.outcomes import Outcome, Phase, Verdict, before_tables, judge, lost, undefined, unparsed, unread
from router.plan import begins_one, keeps_one_shot
from router.retry import Attempts
from router.session import restore
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

# An error of these leaves no doubt whether a transaction is open.
SINGLE: Final = frozenset(
    (
        Kind.READ,
        Kind.LOCKING_READ,
        Kind.WRITE,
        Kind.SET,
        Kind.SHOW,
        Kind.USE,
        Kind.DDL,
        Kind.DO,
        Kind.SAVEPOINT,
    )
)
# Also while autocommit is off these begin nothing, if they read no table; the last is PREPARE and DEALLOCATE as SQL.
BEGIN_NONE: Final = frozenset((Kind.SET, Kind.USE, Kind.SHOW, Kind.SQL_PREPARE))
# A text that is refused unread did nothing at all. Others may have run a routine, or an earlier statement, that left
# something.
WHOLE: Final = frozenset((Kind.OTHER, Kind.SET, Kind.DDL, Kind.LOCK_TABLES, Kind.HANDLER, Kind.XA))
# Nothing is left of one that fails; of other statements some tables may have been dropped, a first statement committed.
UNDONE: Final = frozenset((Kind.READ, Kind.LOCKING_READ, Kind.WRITE))


class Refusal:
    """The error of our own START TRANSACTION, or of what was to set the state ahead of it, kept until the reply behind
    it has come.
    """

    __slots__ = ("code", "message", "of_state", "raw")

    def __init__(self, reply: ReplyScanner, *, of_state: bool) -> None:
        assert reply.error is not None
        self.of_state = of_state
        self.code = reply.error.code
        self.message = reply.error.message
        self.raw = reply.error_raw


def refused(relay: "Relay", reply: ReplyScanner) -> None:
    """The server answered with an error."""
    error = reply.error
    assert error is not None
    if relay.commit is not None and relay.commit.refused(relay, reply):
        return
    verdict = judge(error.code, error.message, relay.phase, reads_only=reads_only(relay))
    assert relay.request is not None
    assert relay.lease is not None
    failed(relay, verdict, relay.request.in_our_words(error, reply.error_raw, relay.lease), error.code)


def opening_refused(relay: "Relay", refusal: Refusal) -> None:
    """Our START TRANSACTION was refused, and so the statement behind it did nothing: the backend was guarded."""
    relay.transaction.stage = Stage.BEGUN
    relay.journal.clear()  # of what was to run
    verdict = judge(refusal.code, refusal.message, Phase.SETUP)
    assert relay.lease is not None
    if verdict.retry:
        failed(relay, verdict, refusal.raw, refusal.code, ran=False)
    else:
        relay.drop()
        if relay.transaction.alone:
            relay.end_transaction()
        relay.tell(refusal.raw)
        relay.finish()


def backend_lost(relay: "Relay", reason: str) -> None:
    """The lease's connection broke, or its node was given up."""
    backend = relay.lease
    if backend is None:
        return
    node = backend.pool.node
    request = relay.request
    if backend.state.releases and (request is None or request.statement.commits):
        # By what a routine, or one of several statements, has committed; a client of the node's own hears no more.
        relay.drop()
        relay.frontend.close()
    elif relay.task is not None:
        relay.drop()  # dispatch looks before it goes on
    elif request is None:
        lost_while_idle(relay, backend)
    else:
        relay.leading = relay.setting = 0
        if relay.refusal is not None:
            relay.refusal = None
        verdict = lost(relay.phase, reads_only=reads_only(relay), sent=not backend.unsent)
        failed(relay, verdict, answers.lost_in_transaction(node.name, reason), 0)


def lost_while_idle(relay: "Relay", backend: Backend) -> None:
    node = backend.pool.node
    name = node.name
    relay.drop()
    if relay.pinned is not None:
        lose_session(relay, name)
    elif relay.transaction.stage is Stage.OPEN:
        obstacle = why_not(relay, lost(Phase.STATEMENT), node, ran=False)
        if obstacle is None:
            relay.replaying = True
            relay.replay_from = node
            relay.retry_reason = "lost"
            relay.original = answers.lost_in_transaction(name, "its replay failed")
            relay.cluster.recovery.enter(relay, name)
            relay.work(None)
        else:
            relay.metrics.unreplayable[obstacle] += 1
            relay.account("lost", backend)
            relay.end_transaction()
            relay.deferred = answers.lost_in_transaction(name, obstacle)


def reads_only(relay: "Relay") -> bool:
    """Nothing is known to have been written by the current command or, if it commits, by its transaction."""
    assert relay.request is not None
    if relay.phase is Phase.COMMIT and relay.transaction.wrote:
        return False
    return not relay.request.statement.may_write


def failed(relay: "Relay", verdict: Verdict, error: ProxyError | bytes, code: int, *, ran: bool = True) -> None:
    """Decide between answering, retrying and giving up. `ran`: the command may have begun to run."""
    request = relay.request
    backend = relay.lease
    assert request is not None
    assert backend is not None
    node = backend.pool.node
    transaction = relay.transaction
    statement = request.statement
    open_before = transaction.stage is Stage.OPEN
    commit, relay.commit = relay.commit, None
    note(relay, verdict, backend)
    if verdict.keeps_locks and relay.pinned is None and backend.lost is None:
        backend.roll_back()
    if verdict.ends_transaction and statement.kind is Kind.ROLLBACK:
        if verdict.conflict:
            places.lost(relay, verdict, relay.phase.value, visible=False)
        rolled_back_by_failing(relay, backend, verdict)
        return
    if verdict.unknown:
        if commit is not None and commit.slot is not None:
            commit.in_doubt(relay, verdict, error)
        else:
            unknown(relay, backend)
        return
    if commit is not None and commit.slot is not None:
        commit.slot.refused()
    if verdict.retry:
        obstacle = why_not(relay, verdict, node, ran=ran)
        if verdict.conflict:
            places.lost(relay, verdict, relay.phase.value, visible=obstacle is not None)
        if obstacle is None:
            retry(relay, verdict, error, backend)
            return
        if open_before:
            relay.metrics.unreplayable[obstacle] += 1
        if isinstance(error, ProxyError):
            error = answers.lost_in_transaction(node.name, obstacle)
        if relay.retry_reason:
            retried(relay, "gave_up")
    if verdict.ends_transaction:
        if open_before:
            relay.account("conflict" if verdict.conflict else "lost", backend)
        if verdict.close_backend:
            relay.drop()
        elif relay.pinned is None:
            relay.give_back()
        answer_and_end(relay, error)
        return
    left(relay, verdict, backend, code, ran=ran)
    relay.tell(error)
    relay.finish()


def left(relay: "Relay", verdict: Verdict, backend: Backend, code: int, *, ran: bool) -> None:
    """The statement has failed for good, and whatever it was in goes on: what is there of it, and of the transaction,
    and what the client may ask about the error.
    """
    request = relay.request
    assert request is not None
    transaction = relay.transaction
    statement = request.statement
    open_before = transaction.stage is Stage.OPEN
    asks_first = False
    if transaction.alone:
        started = transaction.started
        # MySQL's ROLLBACK clears what the client may ask about the error.
        asks_first = open_before and relay.pinned is None and relay.cluster.flavor.engine == "mysql"
        if asks_first:
            backend.keeps_locks = True  # rolled back when it is given back
            relay.end_transaction()
        else:
            abandon(relay)
        transaction.started = started
        open_before = False
    prepares = request.code == COM_STMT_PREPARE
    did_nothing = not ran or prepares or (unread(code) and statement.kind in WHOLE)
    if not did_nothing:
        holding.failed(relay, request)
    if statement.may_write and not did_nothing and statement.kind not in UNDONE:
        causality.wrote(relay, True, backend)
    refused = not statement.commits and (before_tables(code) or verdict.guard)
    begins_none = (
        did_nothing
        or request.code == COM_STMT_FETCH  # its rows have been read before
        or (refused and statement.plain and statement.pins is None)
        or (statement.kind in BEGIN_NONE and keeps_one_shot(statement))
        or (statement.kind is Kind.READ and undefined(code) and keeps_one_shot(statement))
    )
    surely = statement.kind in SINGLE or begins_none
    if open_before or not (surely and (relay.state.autocommit or begins_none)):
        # Whether a transaction is open, if none was before, is told by the next OK: until then one is assumed.
        if not open_before:
            transaction.stage = Stage.OPEN
            transaction.state = transaction.state or relay.state
        if verdict.confirm or not surely:
            relay.journal.forbid("uncertain")
            transaction.unsure = True
            if backend.one_shot:
                holding.waits(relay)
        success.record(relay, request, 0, 0, code)
    elif transaction.stage is Stage.NONE:
        relay.account("failed", backend)
        one_shot, read_only = transaction.one_shot, transaction.read_only
        relay.end_transaction()
        unbegun = did_nothing and (statement.kind is Kind.OTHER or unparsed(code))
        if refused or prepares or unbegun or keeps_one_shot(statement):
            # No transaction had begun for it: a SET TRANSACTION still waits for the next one.
            transaction.one_shot, transaction.read_only = one_shot, read_only
        elif backend.one_shot and begins_one(statement):
            holding.waits_no_more(relay)
        elif backend.one_shot:
            holding.waits(relay)
    if not relay.state.autocommit:
        backend.keeps_locks = True  # there only COMMIT and ROLLBACK let go of metadata locks, transaction or not
    relay.warned = True
    kept.refused(relay, request, backend, code)
    backend.diagnostics |= Asks.WARNINGS
    kept.drop(relay)
    if asks_first:
        kept.part(relay)
    elif transaction.stage is not Stage.OPEN and relay.pinned is None:
        relay.linger(backend)


def note(relay: "Relay", verdict: Verdict, backend: Backend) -> None:
    """What the verdict says of the node."""
    node = backend.pool.node
    # The sign may fail every lease on the node. What becomes of this one's command is decided here, and only once.
    backend.holder = None
    relay.cluster.sign(node, verdict.node_sign, verdict.reason)
    backend.holder = relay


def cut_again(relay: "Relay", error: ServerError) -> None:
    """While a cut reply was to be continued, the second run failed before it had come as far as the first one. Its
    error would not fit behind what the client has; that of the first run does.
    """
    backend = relay.lease
    assert backend is not None
    backend.lifted = True
    verdict = judge(error.code, error.message, relay.phase, reads_only=reads_only(relay))
    note(relay, verdict, backend)
    again = verdict.retry and why_not(relay, verdict, backend.pool.node, ran=True) is None
    if verdict.conflict:
        places.lost(relay, verdict, relay.phase.value, visible=not again)
    if again:
        retry(relay, verdict, relay.original, backend)
    else:
        continued_differently(relay)


def continued_differently(relay: "Relay") -> None:
    """The second run does not answer what the client has a part of."""
    if relay.transaction.stage is Stage.OPEN:
        relay.metrics.unreplayable["different"] += 1
    retried(relay, "gave_up")
    relay.drop()
    answer_and_end(relay, relay.original)


def unknown(relay: "Relay", backend: Backend) -> None:
    """Nobody can say whether it was committed."""
    name = backend.pool.node.name
    relay.metrics.unknown_outcomes[name] += 1
    relay.account("unknown", backend)
    causality.wrote(relay, True, backend)  # what is there, if it was, is seen from now on
    relay.drop()
    answer_and_end(relay, answers.unknown_outcome(name))


def take_up_elsewhere(relay: "Relay", backend: Backend, *, freed: bool = False) -> None:
    """The transaction was lost with `backend`, and its commit certainly with it: run it again with the command under
    way, if it can be. `freed`: the node had undone it, so that others there may have got its locks.
    """
    node = backend.pool.node
    obstacle = why_not(relay, lost(Phase.STATEMENT), node, ran=True)
    if obstacle is None:
        relay.original = answers.lost_in_transaction(node.name, "its replay failed")
        relay.retry_reason = "lost"
        relay.replaying = True
        relay.replay_from = node
        relay.cluster.recovery.enter(relay, f"{node.name} {relay.id}" if freed else node.name)
        relay.work(relay.request)
        return
    relay.metrics.unreplayable[obstacle] += 1
    if relay.retry_reason:
        retried(relay, "gave_up")
    relay.account("lost", backend)
    answer_and_end(relay, answers.lost_in_transaction(node.name, obstacle))


def abandon(relay: "Relay") -> None:
    """The statement that stands alone was refused: of the transaction that it was given nothing remains."""
    if relay.transaction.stage is Stage.OPEN and relay.lease is not None:
        relay.lease.roll_back()
    relay.end_transaction()


def rolled_back_by_failing(relay: "Relay", backend: Backend, verdict: Verdict) -> None:
    """ROLLBACK found that there is nothing left to roll back: that is what was asked for."""
    relay.account(ROLLED_BACK, backend)
    if verdict.close_backend:
        relay.drop()
        if relay.pinned is not None:
            lose_session(relay, backend.pool.node.name)
            return
    elif relay.pinned is None:
        relay.give_back()
    relay.end_transaction()
    relay.answer_ok()


def why_not(relay: "Relay", verdict: Verdict, node: Node, *, ran: bool) -> str | None:
    """Why the current command, or the transaction, can't be run again; None: it can, after `delay`. A command that has
    not been `ran` yet may be one that must not run twice.
    """
    request = relay.request
    policy = relay.policy
    if not policy.replays:
        return "disabled"
    if relay.pinned is not None and (verdict.close_backend or _leads_over_reset(relay)):
        return "pinned"
    if relay.journal.unreplayable:
        return relay.journal.unreplayable
    if (
        ran
        and request is not None
        and verdict.outcome is not Outcome.NOT_EXECUTED
        and request.statement.unreplayable is not None
        and not relay.transaction.alone  # what it made differs, but nobody has seen it
    ):
        return request.statement.unreplayable.value
    now = relay.cluster.now()
    if relay.attempts is None:
        relay.attempts = Attempts(policy.limits)
    delay = relay.attempts.next(now, relay.cluster.chance(), at_once=verdict.move)
    if delay is None:
        return f"limit_{relay.attempts.exhausted}"
    if not relay.cluster.may_retry(node, now, policy.budgets):
        return "limit_budget"
    if verdict.conflict and relay.attempts.waits_for_all:
        causality.wants_all(relay)
    relay.delay = delay
    return None


def _leads_over_reset(relay: "Relay") -> bool:
    """Only a reset leads back to what the session's state was at BEGIN."""
    begun = relay.transaction.state
    return begun is not None and restore(relay.state, begun).reset


def retry(relay: "Relay", verdict: Verdict, error: ProxyError | bytes, backend: Backend) -> None:
    relay.original = error
    relay.retry_reason = verdict.reason
    relay.replaying = relay.transaction.stage is Stage.OPEN
    relay.replay_from = backend.pool.node
    if verdict.close_backend:
        relay.drop()
        if relay.replaying:
            relay.cluster.recovery.enter(relay, relay.replay_from.name)
    elif relay.pinned is None:
        relay.give_back()
    relay.work(relay.request)


def lost_on_the_way(relay: "Relay", verdict: Verdict, error: ProxyError | bytes | None) -> None:
    """For dispatch: a step ahead of the client's command found the open transaction gone. It has to be run again first,
    or the command would run without what came before it.
    """
    node = relay.node
    assert node is not None
    if verdict.conflict:
        places.lost(relay, verdict, Phase.STATEMENT.value, visible=False)
    relay.original = answers.lost_in_transaction(node.name, verdict.reason) if error is None else error
    relay.retry_reason = verdict.reason
    relay.replaying = True
    relay.replay_from = node


def another_attempt(relay: "Relay", verdict: Verdict) -> bool:
    """For dispatch: it failed again, before the client's command was sent."""
    return verdict.retry and relay.node is not None and why_not(relay, verdict, relay.node, ran=False) is None


def give_up(relay: "Relay", error: ProxyError | bytes, reason: str) -> None:
    """For dispatch: the command can't be run, or the transaction not be taken up again."""
    transaction = relay.transaction
    if relay.replaying:
        relay.metrics.unreplayable[reason] += 1
    if relay.replaying or relay.sent is not None:
        error = relay.original  # whatever kept it from being replayed: it was rolled back, or the reply cut
    if relay.retry_reason:
        retried(relay, "gave_up")
    if relay.lease is not None and relay.pinned is None:
        relay.recycle()
    if relay.request is None:
        relay.end_transaction()
        relay.deferred = error
    elif relay.replaying or transaction.begin is None or transaction.stage is Stage.NONE or transaction.alone:
        answer_and_end(relay, error)
    else:
        transaction.stage = Stage.BEGUN  # its first statement failed before it began anywhere
        relay.tell(error)
        relay.finish()


def retried(relay: "Relay", result: str = "ok") -> None:
    """The repetition that `retry_reason` made necessary has ended."""
    node = relay.node.name if relay.node is not None else ""
    by = places.chosen_by(relay)
    relay.metrics.retries[node, relay.phase.value, relay.retry_reason, relay.contested, by, result] += 1
    if relay.attempts is not None:
        relay.metrics.replays.observe(relay.attempts.count)
    relay.retry_reason = relay.contested = ""


def lose_session(relay: "Relay", node: str) -> None:
    """What was pinned is gone: to go on would be another session."""
    answer = answers.session_lost(node, relay.pinned or "")
    relay.metrics.errors_made[answer.reason] += 1
    if relay.request is not None:
        relay.tell(answer)
    relay.frontend.close()


def answer_and_end(relay: "Relay", error: ProxyError | bytes) -> None:
    relay.end_transaction()
    if relay.pinned is not None and relay.lease is None:
        relay.tell(error)
        relay.frontend.close()
        return
    relay.tell(error)
    relay.finish()


def answer_deferred(relay: "Relay", request: Request) -> None:
    error, relay.deferred = relay.deferred, None
    assert error is not None
    if request.statement.kind is Kind.ROLLBACK:
        relay.answer_ok()
    else:
        relay.tell(error)
        relay.finish()
