"""Makes a backend what the next command needs, a step at a time: the session's state, the guard, the wait for what was
committed elsewhere, the transaction begun, the statement prepared, LAST_INSERT_ID() and the warnings the session's own.

Whether anything is missing is asked in proxy.ready. What fails here has run nothing of the client's that could stay.
"""

from typing import TYPE_CHECKING, Final

from proxy import ahead, causality, kept, sentinel
from proxy.backend import Answer, Backend, Lost, entering
from proxy.holding import text_value
from proxy.prepared import keep
from proxy.ready import begun_or_keeps, has_anothers_id, knows_insert_id, lacks, would_see_others
from proxy.request import Prepared, Request
from proxy.wire.constants import COM_INIT_DB, COM_QUERY, COM_STMT_PREPARE
from proxy.wire.packets import ServerError, error_packet, single_value
from router.answers import Answer as ProxyError
from router.facts import Asks, PinReason
from router.outcomes import Phase, Verdict, judge
from router.plan import ANYWHERE, Opening, Plan, opening_text
from router.session import State, reachable, restore
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

CLEARS_WARNINGS: Final = b"DO (SELECT 1 FROM (SELECT 1) t)"  # a statement without tables would leave them
CHANGES_NO_ROW: Final = b"DO 0"  # nor the warnings, nor FOUND_ROWS()
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


async def bring(relay: "Relay", backend: Backend, state: State, wanted: Plan, request: Request | None) -> None:
    """Session variables and schema, the guard, and the wait for the session's own writes. `request` comes next; None:
    its transaction is run again.
    """
    if backend.state is not state:
        await restore_state(relay, backend, state)
    if wanted.guarded is not None and backend.guarded is not wanted.guarded:
        await ask(backend, GUARD if wanted.guarded else UNGUARD, _phase(relay))
        backend.guarded = wanted.guarded
        backend.lifted = False
    elif backend.lifted and backend.guarded and wanted.opening is Opening.PIPELINED:
        await ask(backend, GUARD)
        backend.lifted = False
    if backend.causal and wanted.opening is not Opening.NOTHING and causality.is_synced(relay, backend):
        await ask(backend, relay.cluster.flavor.wait.off)
        backend.causal = backend.fenced = False
    if request is not None and (fence := causality.fences(relay, request.statement)):
        await ask(backend, fence, _phase(relay))
        backend.causal = backend.fenced = True
    elif causality.must_wait(relay, backend, request, wanted):
        if not backend.causal or backend.fenced:
            if not backend.waits:
                raise CannotWait
            await ask(backend, relay.cluster.flavor.wait.on)
            backend.causal = True
            backend.fenced = False
        if not causality.waits_by_itself(relay, backend, request, wanted):
            await ask(backend, relay.cluster.flavor.wait.just)
            causality.waited(relay, backend)


async def restore_state(relay: "Relay", backend: Backend, state: State) -> None:
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


async def open_transaction(relay: "Relay", backend: Backend, request: Request, wanted: Plan) -> Plan:
    """Begin the transaction first where it can't be done in the statement's own write. What is left of the plan."""
    transaction = relay.transaction
    begin = transaction.begin
    if wanted.opening is Opening.CONFIRMED or not begun_or_keeps(relay, request):
        await set_transaction(backend, transaction.one_shot)
    if wanted.opening is Opening.CONFIRMED:
        await step(backend, transaction.begin_text, COM_QUERY)
    elif wanted.opening is Opening.PIPELINED and (
        # START TRANSACTION READ WRITE lifts the guard before it waits: when its wait fails, the statement behind it
        # would be let through, and commit by itself.
        backend.causal
        # A guarded backend does not even prepare a write outside a transaction.
        or (request.prepared is not None and lacks(backend, request.prepared))
        or sentinel.due(relay, request)
    ):
        assert begin is not None
        await ask(backend, opening_text(begin, relay.state))
    else:
        return wanted
    transaction.stage = Stage.OPEN
    if backend.causal:
        causality.waited(relay, backend)
    return ANYWHERE


async def set_transaction(backend: Backend, one_shot: tuple[bytes, ...]) -> None:
    for command in one_shot:
        backend.one_shot = True
        await step(backend, command, COM_QUERY)


def can_wait(relay: "Relay", backend: Backend, request: Request) -> bool:
    """It can be made to wait for what was committed elsewhere, also behind what `prepare_ahead` does first."""
    if not backend.waits or not relay.cluster.flavor.reset_ends_waiting:
        return backend.waits
    prepared = _goes_ahead(relay, backend, request)
    return prepared is None or not restore(backend.state, prepared.state).reset


async def prepare_ahead(relay: "Relay", backend: Backend, request: Request) -> None:
    """Prepare the command's statement in the state that the session was in then: schema and SQL mode are part of what
    it means. The way there may lead over a reset, so that this comes first of all.
    """
    prepared = _goes_ahead(relay, backend, request)
    if prepared is None:
        return
    await restore_state(relay, backend, prepared.state)
    if backend.guarded:
        await ask(backend, UNGUARD)  # a guarded one does not even prepare a write
        backend.guarded = False
    refused = await _prepare(relay, backend, prepared)
    if refused is not None:
        await restore_state(relay, backend, relay.state)
        raise refused


def _goes_ahead(relay: "Relay", backend: Backend, request: Request) -> Prepared | None:
    """What is to be prepared there in another state than the backend's."""
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
        return None
    return prepared


async def _prepare(relay: "Relay", backend: Backend, prepared: Prepared) -> Refused | None:
    """Prepare it there. What comes back is to be raised once the backend is in the session's state: it lingers there
    for what may be asked about the error.
    """
    answer = await backend.run(prepared.raw, COM_STMT_PREPARE)
    error = answer.error
    if error is None:
        keep(backend, prepared, answer.statement_id)
        return None
    phase = Phase.STATEMENT if within(relay) else Phase.AUTOCOMMIT
    verdict = judge(error.code, error.message, phase, reads_only=True)
    if relay.replaying or relay.sent is not None or verdict.retry or verdict.ends_transaction or verdict.close_backend:
        raise Failed(judge(error.code, error.message, _phase(relay)), as_packet(error))
    return Refused(verdict, error)


async def equip(relay: "Relay", backend: Backend, request: Request) -> None:
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
            await restore_state(relay, backend, own.with_schema(prepared.state.schema))
        refused = await _prepare(relay, backend, prepared)
        if hidden:
            await _enter(backend, hidden)
        elif reachable(backend.state, own):
            await restore_state(relay, backend, own)
        if refused is not None:
            raise refused
    tracks = statement.pins is PinReason.TRACKING
    if statement.may_write or tracks:
        await _save_insert_id(relay, backend)
    if (tracks or statement.asks & Asks.LAST_INSERT_ID) and not knows_insert_id(relay, backend):
        await _settle_insert_id(relay, backend)
    if would_see_others(relay, statement, backend) and not kept.told(relay, request, backend):
        if not backend.diagnostics & Asks.WARNINGS:
            await ask(backend, CLEARS_WARNINGS)
        elif relay.row_count == 0:
            await ask(backend, CHANGES_NO_ROW)  # it asks for that within an expression
        # GET DIAGNOSTICS leaves the numbers, which are known here.
        backend.diagnostics |= Asks.WARNINGS if statement.pins is PinReason.DIAGNOSTICS else Asks.WARNINGS | Asks.ROWS


async def _hidden_schema(relay: "Relay", backend: Backend) -> bytes:
    """The schema of a backend on which a USE may have been run unseen; b"": none."""
    answer = await ask(backend, b"SELECT DATABASE() LIMIT 1", _phase(relay))
    return text_value(answer.data) or b""


async def _enter(backend: Backend, schema: bytes) -> None:
    await step(backend, entering(schema), COM_INIT_DB)


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
        await ask(backend, b"SET last_insert_id=%d" % insert_ids.known, _phase(relay))
        backend.insert_id_of = None
        backend.last_insert_id = insert_ids.known


async def _last_insert_id(backend: Backend, phase: Phase) -> int:
    """The LIMIT stands against the session's own sql_select_limit, which may be 0."""
    return int(single_value((await ask(backend, b"SELECT LAST_INSERT_ID() LIMIT 1", phase)).data))


async def ask(backend: Backend, sql: bytes, phase: Phase = Phase.SETUP) -> Answer:
    """Run a statement of our own; raises `Failed` if it is refused."""
    return await step(backend, backend.profile.query(sql), COM_QUERY, phase)


async def step(backend: Backend, raw: bytes, command: int, phase: Phase = Phase.SETUP) -> Answer:
    return _check(await backend.run(raw, command), phase)


def _check(answer: Answer, phase: Phase) -> Answer:
    if answer.error is not None:
        raise Failed(judge(answer.error.code, answer.error.message, phase), as_packet(answer.error))
    return answer


def _phase(relay: "Relay") -> Phase:
    """Of a step that may come within the transaction: its error can be that the transaction is gone."""
    return Phase.STATEMENT if within(relay) else Phase.SETUP


def within(relay: "Relay") -> bool:
    """What has failed is a step of a transaction, or of a session, that lives on this backend only."""
    return (relay.transaction.stage is Stage.OPEN or relay.pinned is not None) and not relay.replaying


def as_packet(error: ServerError) -> bytes:
    return error_packet(1, error.code, error.sqlstate, error.message)
