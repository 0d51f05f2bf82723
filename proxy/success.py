"""What follows when a command has succeeded: session state, transaction, journal; and the lease is kept or given back.

The counterpart of `proxy.failure`. It knows the whole reply only where the client is to get another one.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from proxy import causality, failure, holding, insert_id, kept, late, learning
from proxy import commit as commits
from proxy.backend import Backend
from proxy.counters import COMMITTED, ROLLED_BACK
from proxy.request import Request
from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    COM_FIELD_LIST,
    COM_SET_OPTION,
    COM_STATISTICS,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_ANSI_QUOTES,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from proxy.wire.prepared import with_status
from proxy.wire.replies import ReplyScanner
from router.facts import Asks, Kind, PinReason, Result, Statement
from router.journal import Entry
from router.plan import access_left, begins_one, keeps_one_shot
from router.transaction import Stage
from router.variables import ACCESS

if TYPE_CHECKING:
    from proxy.relay import Relay

# Flags that stay until sql_mode is set again.
LASTING: Final = SERVER_STATUS_NO_BACKSLASH_ESCAPES | SERVER_STATUS_ANSI_QUOTES
DEFINITIONS_PATIENCE: Final = 1.0  # seconds
# Their replies end without an OK, and with no rows; behind these ROW_COUNT() is as behind rows.
EOF_ALONE: Final = frozenset((COM_SET_OPTION, COM_FIELD_LIST))


def succeeded(relay: "Relay", answer: "ReplyScanner | commits.Told") -> None:
    """The reply to the session's command is whole, and no error. `Told`: something had to be asked behind it, and the
    client has its reply.
    """
    reply = answer
    if relay.commit is not None or relay.transaction.alone:
        assert relay.collected is not None
        assert isinstance(answer, ReplyScanner)
        raw = b"".join(relay.collected)
        relay.collect()
        told = commits.succeeded(relay, answer, raw)
        if told is None:
            return
        reply = told
        if relay.then is None:
            relay.frontend.write(told.raw)
    request = relay.request
    backend = relay.lease
    assert request is not None
    assert backend is not None
    statement = request.statement
    bound = statement.pins is not None or relay.pinned is not None
    if request.changes_state:
        backend.state = relay.state = request.state_after(relay.state)
        bound = bound or not relay.state.portable
    if reply.insert_id:
        insert_id.replied(relay, request, backend, reply.insert_id)
    if answer.has_rows and not relay.profile.capabilities & CLIENT_DEPRECATE_EOF:
        bound = (request.prepared is not None and holding.reports_later(relay, request)) or bound
    elif bound and reply.status & SERVER_SESSION_STATE_CHANGED:
        holding.reported(relay)
    if bound:
        holding.succeeded(relay, request, reply.status, b"".join(relay.collected or ()))
        if statement.pins is PinReason.ROLE:
            backend.reusable = False  # MariaDB's reset leaves it
    defined: bytes | None = None
    if statement.result is not None and relay.collected is not None:
        whole = b"".join(relay.collected)
        if statement.result is Result.UNSEEN:
            assert isinstance(answer, ReplyScanner)
            learning.ask(relay, answer, whole)
            return
        defined = _tell_changed(relay, request, whole)
        if statement.drops_schema is not None and statement.drops_schema.encode("latin-1") == relay.state.schema:
            backend.state = relay.state = relay.state.with_schema(b"")
    if request.code == COM_STMT_PREPARE:
        assert isinstance(answer, ReplyScanner)
        _prepared(relay, request, answer, backend)
    elif request.code == COM_SET_OPTION and backend.profile is not relay.profile:
        backend.reusable = False  # it is not what it logged in as any more, and no reset takes that back
    if backend.causal:
        causality.answered(relay, request, backend)
    if relay.retry_reason:
        failure.retried(relay)  # before the transaction ends, which forgets how often it was tried
    now: float | None = None
    if request.code != COM_STMT_PREPARE and request.code != COM_STATISTICS:  # their replies carry no flags
        if not answer.has_rows:
            if statement.pins is not PinReason.DIAGNOSTICS:
                relay.row_count = -1 if request.code in EOF_ALONE else reply.affected_rows
            elif reply.warnings:  # GET DIAGNOSTICS that found none; otherwise it leaves what was
                relay.row_count = -1
        else:
            # Of several statements rows do not say what it is, nor of what a procedure ran.
            relay.row_count = -1 if statement.plain or not (statement.carries or statement.may_write) else None
        if (reply.status ^ relay.flags) & LASTING or request.changes_state:
            relay.flags = reply.status & LASTING
            relay.read_modes()
        if reply.status & SERVER_STATUS_IN_TRANS or (not relay.state.autocommit and _keeps_savepoint(relay, statement)):
            _inside(relay, request, reply, backend)
        else:
            now = _outside(relay, request, backend)
    # A statement without tables leaves the warnings of those before it.
    relay.warned = reply.warnings > 0 or (relay.warned and not statement.tables)
    if statement.kind is Kind.MULTI and backend.diagnostics & Asks.WARNINGS:
        relay.warned = True  # the count is that of the last of them, which may be a SHOW
    if relay.warned:
        backend.diagnostics |= Asks.WARNINGS
        kept.drop(relay)
    if relay.transaction.stage is not Stage.OPEN and relay.pinned is None:
        if relay.only_there or statement.calculates_found_rows or statement.asks & (Asks.WARNINGS | Asks.ROWS):
            relay.linger(backend)
        else:
            relay.give_back(now)
    if defined is not None:
        relay.task = asyncio.get_running_loop().create_task(_defined(relay, defined), name=f"definitions {relay.id}")
    elif not goes_on_behind_commit(relay):
        relay.finish(statement.end is not None and bool(statement.end.release))


def goes_on_behind_commit(relay: "Relay") -> bool:
    """A COMMIT of our own has made room for a command of the client's: do that now. False: there was none."""
    then, relay.then = relay.then, None
    if then is None:
        return False
    if then.statement.transaction is not None:
        late.begin(relay, then)
    else:
        relay.submit(then)
    return True


def record(relay: "Relay", request: Request, insert_id: int, affected_rows: int, error: int) -> None:
    """The open transaction has got as far as this, and can be brought here again."""
    digest = relay.digest
    if digest is not None and request.journaled:
        relay.journal.append(Entry(request, request.size, digest.digest(), insert_id, affected_rows, error))


# -- what the client is told instead ----------------------------------------------------------------------------------


def _tell_changed(relay: "Relay", request: Request, whole: bytes) -> bytes | None:
    """Pass on a reply that means something to us. Returned is one that has to wait until definitions were read anew."""
    result = request.statement.result
    if result is Result.RELEASES and relay.cluster.flavor.engine == "mariadb":
        return None  # there the connection ends without an answer
    if result is Result.DEFINED and relay.cluster.definitions_changed is not None:
        return whole
    if result is Result.CONNECTION_ID:
        whole = holding.with_value(whole, relay.id, binary=request.code == COM_STMT_EXECUTE)
    elif result is Result.REMEMBERED:
        whole = kept.put_in(relay, request, whole)
    relay.frontend.write(whole)
    return None


async def _defined(relay: "Relay", reply: bytes) -> None:
    """What this client says next is understood with what it has just defined."""
    assert relay.cluster.definitions_changed is not None
    await relay.cluster.definitions_changed(DEFINITIONS_PATIENCE)
    relay.task = None
    relay.frontend.write(reply)
    if relay.pinned is not None and relay.lease is None:
        failure.lose_session(relay, relay.node.name if relay.node is not None else "")
    else:
        relay.finish()


def _prepared(relay: "Relay", request: Request, reply: ReplyScanner, backend: Backend) -> None:
    assert relay.collected is not None
    state = relay.state.without_user_variables()
    given = relay.prepared.add(request, b"".join(relay.collected), reply, backend, state, relay.cluster.generation)
    if relay.transaction.stage is Stage.BEGUN:
        given = with_status(given, relay.status)  # the backend does not know of the transaction yet
    relay.frontend.write(given)


# -- where the transaction stands now ---------------------------------------------------------------------------------


def _keeps_savepoint(relay: "Relay", statement: Statement) -> bool:
    """With autocommit off a savepoint may be there before the transaction has used an engine: the server's status says
    that none has begun, but the savepoint lives until one ends.
    """
    transaction = relay.transaction
    if statement.kind is Kind.SAVEPOINT:
        transaction.savepoint = True
    return transaction.savepoint and statement.end is None and not statement.commits


def _inside(relay: "Relay", request: Request, reply: "ReplyScanner | commits.Told", backend: Backend) -> None:
    """After it, a transaction is open."""
    transaction = relay.transaction
    statement = request.statement
    if transaction.stage is not Stage.OPEN:
        transaction.stage = Stage.OPEN
        if statement.transaction is not None:
            transaction.begin = statement.transaction
            transaction.begin_text = request.as_query(relay.profile)
            transaction.state = relay.state
            return
        if relay.state.autocommit:
            relay.journal.forbid("chained")  # there is no BEGIN to repeat: AND CHAIN, or a procedure, began it
    elif statement.end is not None or statement.transaction is not None:
        # AND CHAIN, or a BEGIN within: one has ended for certain, and another is open.
        relay.account(COMMITTED if statement.kind is not Kind.ROLLBACK else ROLLED_BACK, backend)
        causality.wrote(relay, transaction.wrote and statement.kind is not Kind.ROLLBACK, backend)
        relay.journal.clear()
        relay.journal.forbid("chained")
        transaction.wrote = transaction.sentinel = False
        transaction.started = relay.cluster.now()
        if statement.transaction is not None:
            transaction.begin = statement.transaction
            transaction.one_shot, transaction.read_only = (), None
        return
    elif statement.commits:
        relay.journal.forbid("chained")  # it may have committed, or not, and begun another
    if transaction.state is None:
        transaction.state = relay.state
    transaction.wrote = transaction.wrote or statement.may_write
    record(relay, request, reply.insert_id, reply.affected_rows, 0)


def _outside(relay: "Relay", request: Request, backend: Backend) -> float | None:
    """After it, no transaction is open. Returns the time, if one has ended."""
    statement = request.statement
    transaction = relay.transaction
    if transaction.stage is Stage.BEGUN:
        return None  # PREPARE and the like between BEGIN and the first statement
    rolled_back = statement.kind is Kind.ROLLBACK
    now = relay.account(ROLLED_BACK if rolled_back else COMMITTED, backend)
    if not rolled_back:
        causality.wrote(relay, transaction.wrote or statement.may_write, backend)
    one_shot, read_only = transaction.one_shot, transaction.read_only
    # Whether what was set ahead has had its transaction.
    unsure = backend.one_shot and (transaction.unsure or statement.kind is Kind.MULTI)
    if transaction.stage is Stage.OPEN:
        if statement.kind is Kind.DDL:
            relay.cluster.redefined()
        backend.one_shot = unsure
        backend.lifted = False
        if statement.kind is Kind.SET and statement.commits:
            begin = transaction.begin
            left = access_left(begin) if begin is not None else b""
            backend.one_shot = bool(left or one_shot)
            if begin is not None and left and not transaction.unsure:
                one_shot += (relay.profile.query(left),)
                read_only = begin.read_only
    relay.end_transaction()
    if backend.one_shot or one_shot or statement.one_shot:
        if begins_one(statement):
            backend.one_shot = False
        elif unsure and backend.one_shot and statement.end is None:
            holding.waits(relay)
            return now
        elif keeps_one_shot(statement) and not any(name == ACCESS for name, _ in statement.carries):
            # Setting the session's default replaces what was set for the next transaction.
            transaction.one_shot, transaction.read_only = one_shot, read_only
            if statement.one_shot:
                # The node was told because a transaction might have been open.
                late.remember_one_shot(relay, request)
                backend.one_shot = True
            return now
    if relay.pinned is not None:
        holding.waits_no_more(relay)
    return now
