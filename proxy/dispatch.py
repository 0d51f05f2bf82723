"""The slow path of a session: find a node, get a backend, bring it to the session's state, run the journal again,
send the command.

`dispatch` is the one task that a session may have; the steady state of the relay has none. What fails on the way has
not run anything of the client's that could stay, so that it starts again, elsewhere if the node was the cause, within
the limits of the replay settings.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from proxy import ahead, causality, commit, failure, kept, places, sentinel
from proxy.backend import ROLLBACK, Answer, Backend, Lost, entering
from proxy.holding import text_value
from proxy.launch import launch
from proxy.log import event
from proxy.obtain import GiveUp, obtain
from proxy.prepared import keep
from proxy.ready import begun_or_keeps, has_anothers_id, knows_insert_id, lacks, would_see_others
from proxy.request import Prepared, Request
from proxy.wire.constants import COM_INIT_DB, COM_PING, COM_QUERY, COM_STMT_PREPARE
from proxy.wire.digest import ReplyDigest
from proxy.wire.packets import ServerError, error_packet, single_value
from router import answers
from router.answers import Answer as ProxyError
from router.facts import Asks, Kind, PinReason, Statement
from router.journal import Entry
from router.outcomes import Phase, Verdict, judge, lost, undone
from router.plan import ANYWHERE, Opening, Plan, opening_text, plan
from router.session import State, reachable, restore
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

logger = logging.getLogger(__name__)

CLEARS_WARNINGS: Final = b"DO (SELECT 1 FROM (SELECT 1) t)"  # a statement without tables would leave them
CHANGES_NO_ROW: Final = b"DO 0"  # nor the warnings, nor FOUND_ROWS()
PROBE: Final = Statement(kind=Kind.READ)
GUARD: Final = b"SET SESSION TRANSACTION READ ONLY"
UNGUARD: Final = b"SET SESSION TRANSACTION READ WRITE"


class Failed(Exception):
    """A step failed; `verdict` says what that means."""

    def __init__(self, verdict: Verdict, error: ProxyError | bytes) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.error = error


class Refused(Exception):
    """The node does not prepare what the client executes: its error is the execution's, of which nothing has run."""

    def __init__(self, verdict: Verdict, error: ServerError) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.error = error


class CannotWait(Exception):
    """This backend was reset once: it would read without waiting for what the session wrote elsewhere."""


class Different(Exception):
    """A replayed statement answered something else than the client has seen: what, in words for a log."""


async def dispatch(relay: "Relay", request: Request | None, *, confirmed: bool = False) -> None:
    """Bring the session onto a backend and send `request`; None: only take up its transaction again.

    Ends with the command sent, or with its answer. `confirmed`: the state is not sent ahead of it in the same write.
    """
    try:
        async with asyncio.timeout(relay.policy.limits.max_time if relay.replaying else None) as limit:
            backend, wanted, first = await _lease(relay, request, limit, confirmed=confirmed)
    except GiveUp as given_up:
        relay.task = None
        if given_up.goes_on and relay.sent is None:
            if relay.transaction.alone:
                failure.abandon(relay)
            relay.warned = True
            relay.row_count = -1
            kept.drop(relay)
            if relay.lease is not None:
                relay.lease.diagnostics |= Asks.WARNINGS
            relay.tell(given_up.error)
            relay.finish()
        else:
            failure.give_up(relay, given_up.error, given_up.reason)
        return
    except Refused as refused:
        relay.task = None
        error = refused.error
        failure.failed(relay, refused.verdict, _as_packet(error), error.code, ran=False)
        return
    except TimeoutError:
        relay.task = None
        failure.give_up(relay, relay.original, "limit_time")
        return
    except asyncio.CancelledError:
        raise
    except Exception as fault:
        event(logger, "internal.error", level=logging.ERROR, where="dispatch", error=repr(fault))
        relay.task = None
        failure.give_up(relay, answers.internal(type(fault).__name__), "internal")
        relay.frontend.close()
        return
    finally:
        relay.cluster.recovery.leave(relay)
    relay.task = None
    waiting = relay.request
    if request is not None:
        launch(relay, backend, request, wanted, first)
    else:
        failure.retried(relay)
        if waiting is not None:
            relay.submit(waiting)


async def adopt(relay: "Relay") -> ProxyError | bytes | None:
    """Show that the session's state can be had on a backend; the error if it can't."""
    try:
        async with asyncio.timeout(None) as limit:
            await _lease(relay, Request(COM_PING, b"", PROBE), limit, confirmed=True)
    except GiveUp as given_up:
        return given_up.error
    relay.give_back()
    return None


async def _lease(
    relay: "Relay", request: Request | None, limit: asyncio.Timeout, *, confirmed: bool
) -> tuple[Backend, Plan, Sequence[bytes]]:
    """A backend with the session's transaction on it as far as the journal goes, and what is left to do; and in its
    state, or the commands for that, which may go ahead of the request unless it is to be `confirmed`. `limit`: of the
    time for it, not counting what others are waited for.
    """
    while True:
        if relay.delay:
            delay, relay.delay = relay.delay, 0.0
            await asyncio.sleep(delay)
        backend = relay.lease
        try:
            if backend is None:
                backend = await obtain(relay, request)
            if relay.marks and backend.slot is None:
                await _take_slot(relay, backend)
            if relay.replaying:
                await _take_up(relay, backend, request)
                await _let_others_take_up(relay, limit)
            wanted = ANYWHERE
            if request is not None:
                wanted = relay.plan(request)
                if (
                    relay.lease is backend
                    and not confirmed
                    and (first := ahead.state_for(relay, backend, request, wanted))
                ):
                    return backend, wanted, first
                await _prepare_ahead(relay, backend, request)
                await _bring(relay, backend, relay.state, wanted, request)
                wanted = await _open(relay, backend, request, wanted)
                if sentinel.due(relay, request):
                    await sentinel.ahead(relay, backend)
                await _equip(relay, backend, request)
            if relay.lease is not backend:
                raise Lost("the node was given up")
        except Lost as gone:
            verdict, error = lost(Phase.SETUP), None
            relay.drop()
            if relay.pinned is not None and backend is not None:
                node = backend.pool.node.name
                raise GiveUp(answers.session_lost(node, relay.pinned), "pinned") from gone
        except Failed as failed:
            verdict, error = failed.verdict, failed.error
            if backend is not None:
                backend.lifted = True
            if verdict.close_backend:
                relay.drop()
            elif _within(relay) and not verdict.ends_transaction:
                raise GiveUp(error, verdict.reason, goes_on=True) from None
            elif relay.pinned is None:
                relay.recycle()
            if relay.node is not None:
                # Or the same node would be tried again, and all attempts be used up in a moment.
                relay.cluster.sign(relay.node, verdict.node_sign, verdict.reason)
        except sentinel.Undone as gone:
            verdict, error = undone(conflict=gone.conflict), _as_packet(sentinel.DEADLOCK)
            if relay.pinned is None:
                relay.recycle()
        except CannotWait:
            relay.drop()
            continue
        except Different as different:
            node = relay.node.name if relay.node is not None else ""
            event(logger, "replay.different", level=logging.DEBUG, client=relay.id, node=node, reason=str(different))
            places.different(relay)
            await _undo(relay)
            raise GiveUp(relay.original, "different") from None
        else:
            return backend, wanted, ()
        if relay.transaction.stage is Stage.OPEN and not relay.replaying:
            failure.lost_on_the_way(relay, verdict, error)
        if not failure.another_attempt(relay, verdict):
            if relay.replaying or error is None:
                name = relay.node.name if relay.node is not None else ""
                raise GiveUp(relay.original or answers.connect_failed(name, verdict.reason), verdict.reason)
            raise GiveUp(error, verdict.reason)


async def _undo(relay: "Relay") -> None:
    """Nothing of a replay may stay that came out different; what pins the session does."""
    backend = relay.lease
    if relay.pinned is None or backend is None:
        relay.recycle()
        return
    try:
        await _ask(backend, ROLLBACK, Phase.STATEMENT)
    except (Failed, Lost):
        relay.drop()


async def _take_slot(relay: "Relay", backend: Backend) -> None:
    """Where its commits will leave their markers. What passes is tried again; without a slot they are not marked."""
    error = await commit.take_slot(relay, backend)
    if error is not None:
        verdict = judge(error.code, error.message, Phase.SETUP)
        if verdict.retry:
            raise Failed(verdict, _as_packet(error))


# -- the backend's state ----------------------------------------------------------------------------------------------


async def _ask(backend: Backend, sql: bytes, phase: Phase = Phase.SETUP) -> Answer:
    """Run a statement of our own; raises `Failed` if it is refused."""
    return await _step(backend, backend.profile.query(sql), COM_QUERY, phase)


async def _step(backend: Backend, raw: bytes, command: int, phase: Phase = Phase.SETUP) -> Answer:
    return _check(await backend.run(raw, command), phase)


def _check(answer: Answer, phase: Phase) -> Answer:
    if answer.error is not None:
        raise Failed(judge(answer.error.code, answer.error.message, phase), _as_packet(answer.error))
    return answer


def _phase(relay: "Relay") -> Phase:
    """Of a step that may come within the transaction: its error can be that the transaction is gone."""
    return Phase.STATEMENT if _within(relay) else Phase.SETUP


def _within(relay: "Relay") -> bool:
    """What has failed is a step of a transaction, or of a session, that lives on this backend only."""
    return (relay.transaction.stage is Stage.OPEN or relay.pinned is not None) and not relay.replaying


def _as_packet(error: ServerError) -> bytes:
    return error_packet(1, error.code, error.sqlstate, error.message)


async def _bring(relay: "Relay", backend: Backend, state: State, wanted: Plan, request: Request | None) -> None:
    """Session variables and schema, the guard, and the wait for the session's own writes. `request` comes next; None:
    its transaction is run again.
    """
    if backend.state is not state:
        await _restore(relay, backend, state)
    if wanted.guarded is not None and backend.guarded is not wanted.guarded:
        await _ask(backend, GUARD if wanted.guarded else UNGUARD, _phase(relay))
        backend.guarded = wanted.guarded
        backend.lifted = False
    elif backend.lifted and backend.guarded and wanted.opening is Opening.PIPELINED:
        await _ask(backend, GUARD)
        backend.lifted = False
    if backend.causal and wanted.opening is Opening.PIPELINED and causality.is_synced(relay, backend):
        await _ask(backend, relay.cluster.flavor.wait.off)
        backend.causal = False
    if causality.must_wait(relay, backend, request, wanted):
        if not backend.causal:
            if not backend.waits:
                raise CannotWait
            await _ask(backend, relay.cluster.flavor.wait.on)
            backend.causal = True
        if not causality.waits_by_itself(relay, backend, request, wanted):
            await _ask(backend, relay.cluster.flavor.wait.just)
            causality.waited(relay, backend)


async def _restore(relay: "Relay", backend: Backend, state: State) -> None:
    way = restore(backend.state, state)
    if way.reset:
        await _save_insert_id(relay, backend)
        _check(await backend.reset(), Phase.SETUP)
    commands = ahead.commands(way, backend.profile)
    if commands:
        if not relay.warned:
            backend.diagnostics &= ~Asks.WARNINGS  # some variables cannot be set without one
        answer = await backend.run_several(commands)
        backend.hides_use = backend.hides_use or answer.error is not None  # those behind it were run all the same
        _check(answer, Phase.SETUP)
    if ahead.sets_access(way):
        backend.guarded = False  # the client's own choice is in force
    backend.state = state


async def _save_insert_id(relay: "Relay", backend: Backend) -> None:
    """Another session may still ask for the LAST_INSERT_ID() that it left here: learn it before it is overwritten."""
    if has_anothers_id(relay, backend):
        keeper = backend.insert_id_of
        assert keeper is not None
        keeper.learn(backend, await _last_insert_id(backend, _phase(relay)))
        backend.insert_id_of = None


async def _settle_insert_id(relay: "Relay", backend: Backend) -> None:
    """Make LAST_INSERT_ID() on this backend what it is for the session."""
    insert_ids = relay.insert_ids
    while (asked := insert_ids.in_doubt()) is not None:
        if asked is backend:
            insert_ids.learn(asked, await _last_insert_id(asked, _phase(relay)))
        elif asked.pool.borrow(asked):
            try:
                insert_ids.learn(asked, await _last_insert_id(asked, Phase.SETUP))
            except (Failed, Lost):
                # It is not the backend that the session, and its transaction, is on.
                asked.insert_id_of = None
                asked.reusable = False
            finally:
                asked.pool.release(asked)
        else:
            asked.insert_id_of = None  # in another session's hands
    if backend.last_insert_id != insert_ids.known:
        await _ask(backend, b"SET last_insert_id=%d" % insert_ids.known, _phase(relay))
        backend.insert_id_of = None
        backend.last_insert_id = insert_ids.known


async def _last_insert_id(backend: Backend, phase: Phase) -> int:
    """The LIMIT stands against the session's own sql_select_limit, which may be 0."""
    return int(single_value((await _ask(backend, b"SELECT LAST_INSERT_ID() LIMIT 1", phase)).data))


async def _open(relay: "Relay", backend: Backend, request: Request, wanted: Plan) -> Plan:
    """Begin the transaction first where it can't be done in the statement's own write. What is left of the plan."""
    transaction = relay.transaction
    begin = transaction.begin
    if not begun_or_keeps(relay, request):
        await _set_transaction(backend, transaction.one_shot)
    if wanted.opening is Opening.CONFIRMED:
        await _step(backend, transaction.begin_text, COM_QUERY)
    elif wanted.opening is Opening.PIPELINED and (
        # START TRANSACTION READ WRITE lifts the guard before it waits: when its wait fails, the statement behind it
        # would be let through, and commit by itself.
        backend.causal
        # A guarded backend does not even prepare a write outside a transaction.
        or (request.prepared is not None and lacks(backend, request.prepared))
        or sentinel.due(relay, request)
    ):
        assert begin is not None
        await _ask(backend, opening_text(begin, relay.state))
    else:
        return wanted
    transaction.stage = Stage.OPEN
    if backend.causal:
        causality.waited(relay, backend)
    return ANYWHERE


async def _set_transaction(backend: Backend, one_shot: tuple[bytes, ...]) -> None:
    for command in one_shot:
        backend.one_shot = True
        await _step(backend, command, COM_QUERY)


async def _prepare_ahead(relay: "Relay", backend: Backend, request: Request) -> None:
    """Prepare the command's statement in the state that the session was in then: schema and SQL mode are part of what
    it means. The way there may lead over a reset, so that this comes first of all.
    """
    prepared = request.prepared
    if (
        prepared is None
        or prepared.state is backend.state.without_user_variables()
        or relay.pinned is not None
        or relay.warned
        or request.statement.asks & backend.diagnostics & Asks.FOUND_ROWS
        or relay.transaction.stage is Stage.OPEN
        or not lacks(backend, prepared)
        or not reachable(backend.state, prepared.state)
        or not reachable(prepared.state, relay.state)
        or restore(prepared.state, relay.state).reset  # which it would not survive
    ):
        return
    await _restore(relay, backend, prepared.state)
    if backend.guarded:
        await _ask(backend, UNGUARD)  # a guarded one does not even prepare a write
        backend.guarded = False
    refused = await _prepare(relay, backend, prepared)
    if refused is not None:
        await _restore(relay, backend, relay.state)
        raise refused


async def _prepare(relay: "Relay", backend: Backend, prepared: Prepared) -> Refused | None:
    """Prepare it there. What comes back is to be raised once the backend is in the session's state: it lingers there
    for what may be asked about the error.
    """
    answer = await backend.run(prepared.raw, COM_STMT_PREPARE)
    error = answer.error
    if error is None:
        keep(backend, prepared, answer.statement_id)
        return None
    phase = Phase.STATEMENT if _within(relay) else Phase.AUTOCOMMIT
    verdict = judge(error.code, error.message, phase, reads_only=True)
    if relay.replaying or relay.sent is not None or verdict.retry or verdict.ends_transaction or verdict.close_backend:
        raise Failed(judge(error.code, error.message, _phase(relay)), _as_packet(error))
    return Refused(verdict, error)


async def _equip(relay: "Relay", backend: Backend, request: Request) -> None:
    """What this command finds on the backend: its prepared statement, the session's LAST_INSERT_ID()."""
    statement = request.statement
    prepared = request.prepared
    if prepared is not None and lacks(backend, prepared):
        # Here a reset would cost the transaction, or what the session is pinned for: of the state only the schema is
        # made what it was.
        own = backend.state
        hidden = await _hidden_schema(relay, backend) if prepared.state.schema and backend.hides_use else b""
        if hidden:
            await _enter(backend, prepared.state.schema)
        elif prepared.state.schema:
            await _restore(relay, backend, own.with_schema(prepared.state.schema))
        refused = await _prepare(relay, backend, prepared)
        if hidden:
            await _enter(backend, hidden)
        elif reachable(backend.state, own):
            await _restore(relay, backend, own)
        if refused is not None:
            raise refused
    if statement.may_write or statement.pins is PinReason.TRACKING:  # behind which the question would be told of
        await _save_insert_id(relay, backend)
    if statement.asks & Asks.LAST_INSERT_ID and not knows_insert_id(relay, backend):
        await _settle_insert_id(relay, backend)
    if would_see_others(relay, statement, backend) and not kept.told(relay, request, backend):
        if not backend.diagnostics & Asks.WARNINGS:
            await _ask(backend, CLEARS_WARNINGS)
        elif relay.row_count == 0:
            await _ask(backend, CHANGES_NO_ROW)  # it asks for that within an expression
        backend.diagnostics |= Asks.WARNINGS | Asks.ROWS


async def _hidden_schema(relay: "Relay", backend: Backend) -> bytes:
    """The schema of a backend on which a USE may have been run unseen; b"": none."""
    answer = await _ask(backend, b"SELECT DATABASE() LIMIT 1", _phase(relay))
    return text_value(answer.data) or b""


async def _enter(backend: Backend, schema: bytes) -> None:
    await _step(backend, entering(schema), COM_INIT_DB)


# -- the journal ------------------------------------------------------------------------------------------------------


async def _take_up(relay: "Relay", backend: Backend, request: Request | None) -> None:
    """Run the transaction again up to where it was."""
    transaction = relay.transaction
    state = transaction.state or relay.state
    was_on = relay.replay_from
    if was_on is not None and was_on is not backend.pool.node:
        relay.causal = True  # what it read there may not have arrived here
        relay.synced.discard(backend.pool.node.name)
    plans = [plan(entry.request.statement, state, transaction).guarded for entry in relay.journal]
    if request is not None:
        plans.append(plan(request.statement, state, transaction).guarded)
    guarded = False if False in plans or transaction.begin is None else None
    await _bring(relay, backend, state, Plan(guarded, Opening.NOTHING), None)
    relay.state = state
    while True:
        await _set_transaction(backend, transaction.one_shot)
        if transaction.begin is not None:
            if backend.guarded:
                await _ask(backend, opening_text(transaction.begin, state))
            else:
                await _step(backend, transaction.begin_text, COM_QUERY)
            if backend.causal:
                causality.waited(relay, backend)
        if relay.savepoints:
            await sentinel.plant(relay, backend)
        generated = await _run_journal(relay, backend)
        if generated is None:
            break
        # It was the server that chose this id, so the same one is asked for from now on.
        generated.generated = True
        await _ask(backend, ROLLBACK, Phase.STATEMENT)
        if backend.state is not state:
            await _restore(relay, backend, state)
            relay.state = state
    relay.replaying = False


async def _let_others_take_up(relay: "Relay", limit: asyncio.Timeout) -> None:
    """It has been run again: nobody gets in between until others have been, too."""
    cluster = relay.cluster
    began = cluster.now()
    deadline = limit.when()
    limit.reschedule(None)
    cluster.recovery.leave(relay)
    await cluster.recovery.settled(holds=True)
    if relay.place is not None and relay.place.key is not None:
        await cluster.regrouped()
    waited = cluster.now() - began
    if deadline is not None:
        limit.reschedule(deadline + waited)
    if relay.attempts is not None:
        relay.attempts.spare(waited)


async def _run_journal(relay: "Relay", backend: Backend) -> Entry[Request] | None:
    """None when everything came out the same; the entry whose generated id did not."""
    for entry in relay.journal:
        request = entry.request
        await _equip(relay, backend, request)
        if entry.generated:
            if request.statement.writes_unseen:
                raise Different("a trigger may use up the id that is asked for")
            if entry.affected_rows > 1 and relay.replay_from is not backend.pool.node:
                raise Different("generated ids step differently on another node")
            await _ask(backend, b"SET insert_id=%d" % entry.insert_id, Phase.STATEMENT)
        digest = ReplyDigest()
        answer = await backend.run(request.bind(backend), request.code, digest)
        if answer.error is not None and answer.error.code != entry.error:
            verdict = judge(answer.error.code, answer.error.message, Phase.STATEMENT)
            if verdict.retry:
                raise Failed(verdict, _as_packet(answer.error))
            raise Different(f"error {answer.error.code}")
        if digest.digest() != entry.digest:
            if entry.insert_id and answer.insert_id != entry.insert_id and not entry.generated:
                return entry
            raise Different("another reply")
        if answer.insert_id:
            relay.insert_ids.told(backend, answer.insert_id)
        backend.diagnostics |= Asks.FOUND_ROWS | Asks.WARNINGS if request.statement.tables else Asks.FOUND_ROWS
        if answer.error is None and request.changes_state:
            relay.state = backend.state = request.state_after(relay.state)
    return None
