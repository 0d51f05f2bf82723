"""Commits that leave a marker: how a session's COMMIT, or a statement that would commit by itself, is run with one.

    COMMIT                  one statement, the procedure's: CALL. The OK is made here, since CALL's differs
    INSERT, UPDATE ...      START TRANSACTION | the statement; its reply is held back; CALL; then the reply is passed on
      with warnings         SHOW WARNINGS ahead of the CALL, which clears them; they are kept in memory
    answer lost             ask another node: committed, and the client gets its OK; or never, and it is run again

Only where the marker is on for the session: `relay.marks`. What can't be marked is committed as without one: DDL,
CALL, LOAD DATA, several statements in one text, XA. Its outcome may then remain unknown.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from proxy import failure, insert_id, kept, success
from proxy.backend import ROLLBACK, Backend, Lost
from proxy.counters import COMMITTED, ROLLED_BACK
from proxy.log import event
from proxy.request import Request
from proxy.wire.constants import (
    COM_QUERY,
    COM_STMT_EXECUTE,
    SERVER_STATUS_ANSI_QUOTES,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from proxy.wire.packets import ServerError, plain_ok, with_ok_status
from proxy.wire.replies import ReplyScanner
from router.answers import Answer as ProxyError
from router.facts import Asks, Begin, Kind, PinReason, Statement
from router.marker import Fate, Slot
from router.membership import Node
from router.outcomes import Phase, Verdict, judge_marked, unmarked
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

logger = logging.getLogger(__name__)

COMMIT: Final = b"COMMIT AND NO CHAIN NO RELEASE"
BEGIN: Final = b"BEGIN"
OPENING: Final = b"START TRANSACTION READ WRITE"
PLAIN_BEGIN: Final = Begin()
# In these sessions the procedure does not work, or its OK would not say what the client's own tracking asks for.
UNFIT: Final = frozenset((PinReason.XA, PinReason.LOCK_TABLES, PinReason.TRACKING))
# The flags of an OK to COMMIT; others are about the query that the procedure ran.
FLAGS: Final = (
    SERVER_STATUS_AUTOCOMMIT
    | SERVER_STATUS_IN_TRANS
    | SERVER_STATUS_IN_TRANS_READONLY
    | SERVER_STATUS_NO_BACKSLASH_ESCAPES
    | SERVER_STATUS_ANSI_QUOTES
)


@dataclass(slots=True)
class Told:
    """What a reply said, kept while its commit is under way. `raw`: its bytes, for the client."""

    status: int
    warnings: int = 0
    insert_id: int = 0
    affected_rows: int = 0
    raw: bytes = field(default=b"", repr=False)
    has_rows: bool = False


class Commit:
    """The commit under way of one session. `slot` None: it leaves no marker. `held`: the reply of a statement that
    stands alone, which the client gets once it is committed. `sent` False: its warnings are asked for first.
    """

    __slots__ = ("backend", "held", "number", "sent", "slot")

    def __init__(self, backend: Backend, slot: Slot | None, held: Told | None, *, sent: bool = True) -> None:
        self.backend = backend
        self.sent = sent
        self.slot = slot
        self.number = slot.number + 1 if slot is not None else 0
        self.held = held

    @property
    def node(self) -> Node:
        return self.backend.pool.node

    def refused(self, relay: "Relay", reply: ReplyScanner) -> bool:
        """It was answered with an error; False: it left no marker, so that the error means what it always means."""
        return _refused(relay, self, reply)

    def in_doubt(self, relay: "Relay", verdict: Verdict, error: ProxyError | bytes) -> None:
        """Its answer was lost, or says nothing. `error`: what the client gets if it was not committed and is not run
        again.
        """
        _in_doubt(relay, self, verdict, error)


# -- a statement that stands alone ------------------------------------------------------------------------------------


def stands_alone(relay: "Relay", request: Request) -> bool:
    """Would it commit by itself, and can that be done in a transaction of our own without the client noticing?"""
    statement = request.statement
    transaction = relay.transaction
    fits = (
        statement.kind is Kind.WRITE
        and transaction.stage is Stage.NONE
        and not transaction.one_shot
        and relay.state.autocommit
        and not relay.state.read_only
        and statement.pins is None
        and not statement.sees_guard
        and not statement.commits
        and not statement.returns_rows
        and not statement.asks & (Asks.WARNINGS | Asks.ROWS)
        and request.code in (COM_QUERY, COM_STMT_EXECUTE)
        and not relay.pins.any_of(UNFIT)
    )
    if fits and not relay.cluster.markers.usable(relay.profile.user):
        relay.metrics.commits_unmarked["no_slot"] += 1
        return False
    if not fits and _commits_unseen(relay, statement):
        relay.metrics.commits_unmarked["not_markable"] += 1
    return fits


def _commits_unseen(relay: "Relay", statement: Statement) -> bool:
    """Does it commit what it writes, or what was written before it, as a part of its own work?"""
    transaction = relay.transaction
    if not statement.may_write or statement.kind is Kind.KILL:
        return False
    if statement.commits:
        return transaction.stage is not Stage.OPEN or transaction.wrote
    return transaction.stage is Stage.NONE and relay.state.autocommit


def begin_alone(relay: "Relay") -> None:
    """Let the statement that comes now open a transaction that the client does not know of."""
    transaction = relay.transaction
    transaction.stage = Stage.BEGUN
    transaction.alone = True
    transaction.begin = PLAIN_BEGIN
    transaction.begin_text = relay.profile.query(BEGIN)
    transaction.state = relay.state


def ends_autocommit_off(relay: "Relay", statement: Statement) -> bool:
    """Is this the SET autocommit=1 that commits the open transaction? With a COMMIT ahead of it, that can be marked."""
    return (
        statement.carries == (("autocommit", "1"),)
        and not relay.state.autocommit
        and not relay.state.releases
        and relay.transaction.stage is Stage.OPEN
        and relay.transaction.wrote
    )


# -- the backend's slot -----------------------------------------------------------------------------------------------


def wants_slot(relay: "Relay", backend: Backend) -> bool:
    """Has the backend to be given one before anything runs on it?"""
    return (
        not (relay.transaction.stage is Stage.OPEN and not relay.replaying)
        and relay.pinned is None
        and not backend.one_shot
        and relay.cluster.markers.usable(relay.profile.user)
    )


async def take_slot(relay: "Relay", backend: Backend) -> ServerError | None:
    """Give the backend a slot, if that is possible. The error if it may be tried again; a lost connection raises
    `Lost`.
    """
    if not wants_slot(relay, backend):
        return None
    pool = backend.pool
    backend.slot = pool.take_slot()
    if backend.slot is not None:
        return None
    slot = Slot(secrets.randbits(63))
    # Whatever the session's defaults are: READ ONLY, or autocommit off.
    answer = await backend.run(backend.profile.query(OPENING), COM_QUERY)
    if answer.error is None:
        answer = await backend.run(backend.profile.query(slot.take()), COM_QUERY)
        backend.diagnostics = 0
    if answer.error is None:
        backend.slot = slot
        return None
    if (await backend.run(backend.profile.query(ROLLBACK), COM_QUERY)).error is not None:
        raise Lost("a transaction of our own could not be rolled back")
    why = unmarked(answer.error.code, answer.error.message)
    if why is None:
        return answer.error
    relay.cluster.markers.refused(relay.profile.user, pool.node.name, why, answer.error.message)
    return None


# -- it is sent -------------------------------------------------------------------------------------------------------


def send_marked(relay: "Relay", backend: Backend, request: Request) -> bool:
    """Send a COMMIT of the client's with a marker; False: it has to be sent as it is."""
    if not relay.transaction.wrote:
        return False  # there is nothing to be in doubt about
    slot = backend.slot
    if slot is None or relay.pins.any_of(UNFIT):
        relay.metrics.commits_unmarked["no_slot" if slot is None else "not_markable"] += 1
        return False
    end = request.statement.end
    assert end is not None
    _call(relay, backend, Commit(backend, slot, None), end.chain)
    return True


def _call(relay: "Relay", backend: Backend, commit: Commit, chain: bool | None) -> None:
    assert commit.slot is not None
    relay.commit = commit
    relay.collect()
    backend.diagnostics = 0  # what is left there is the procedure's
    backend.send(relay, backend.profile.query(commit.slot.commit(chain)), COM_QUERY)


def _statement_done(relay: "Relay", reply: ReplyScanner, raw: bytes) -> None:
    """The statement that stands alone has run: commit it."""
    backend = relay.lease
    assert backend is not None
    held = Told(
        reply.status & ~(SERVER_STATUS_IN_TRANS | SERVER_STATUS_IN_TRANS_READONLY),
        reply.warnings,
        reply.insert_id,
        reply.affected_rows,
        raw,
    )
    relay.transaction.wrote = True
    kept.drop(relay)  # of a run before, that was undone
    if held.warnings:
        relay.commit = Commit(backend, None, held, sent=False)
        backend.send(relay, backend.profile.query(kept.LISTING), COM_QUERY)
    else:
        _commit_alone(relay, backend, held)


def _listed(relay: "Relay", backend: Backend, held: Told, listing: bytes) -> None:
    """What SHOW WARNINGS gave: it is kept until the client asks, or left to the backend if there is no room for it."""
    if kept.keep(relay, listing):
        _commit_alone(relay, backend, replace(held, warnings=0))
        return
    relay.metrics.commits_unmarked["warnings"] += 1
    _commit_plainly(relay, backend, held)


def _commit_alone(relay: "Relay", backend: Backend, held: Told) -> None:
    if backend.slot is not None:
        relay.phase = Phase.COMMIT
        _call(relay, backend, Commit(backend, backend.slot, held), False)
    else:
        relay.metrics.commits_unmarked["no_slot"] += 1
        _commit_plainly(relay, backend, held)


def _commit_plainly(relay: "Relay", backend: Backend, held: Told) -> None:
    relay.phase = Phase.COMMIT
    relay.commit = Commit(backend, None, held)
    backend.send(relay, backend.profile.query(COMMIT), COM_QUERY)


# -- it is answered ---------------------------------------------------------------------------------------------------


def succeeded(relay: "Relay", reply: ReplyScanner, raw: bytes) -> Told | None:
    """The statement that stands alone, or the commit, succeeded; `raw` is its reply. What the client is to be told of
    both; None: the commit has only now been sent.
    """
    commit, relay.commit = relay.commit, None
    if commit is None:
        if reply.status & SERVER_STATUS_IN_TRANS:
            _statement_done(relay, reply, raw)
            return None
        return Told(reply.status, reply.warnings, reply.insert_id, reply.affected_rows, raw)
    if not commit.sent:
        assert commit.held is not None
        _listed(relay, commit.backend, commit.held, raw)
        return None
    if commit.slot is not None:
        commit.slot.committed()
        relay.metrics.markers_written[commit.node.name] += 1
        raw = plain_ok(reply.status & FLAGS, relay.profile.capabilities)
    if commit.held is not None:
        return replace(commit.held, raw=with_ok_status(commit.held.raw, commit.held.status))
    return Told(reply.status & FLAGS, raw=raw)


def _refused(relay: "Relay", commit: Commit, reply: ReplyScanner) -> bool:
    if commit.slot is None:
        return False
    error = reply.error
    assert error is not None
    request = relay.request
    backend = relay.lease
    assert request is not None
    assert backend is not None
    why = unmarked(error.code, error.message)
    if why is None:
        failure.failed(relay, judge_marked(error.code, error.message), bytes(reply.error_raw), error.code)
        return True
    # Nothing was done, and the transaction is open as it was. The row is where nobody knows: it is left alone.
    relay.metrics.commits_unmarked[why] += 1
    if why in ("missing", "denied"):
        relay.cluster.markers.refused(relay.profile.user, commit.node.name, why, error.message)
    commit.slot = backend.slot = None
    relay.collect()
    if commit.held is None:
        backend.send(relay, request.bind(backend), request.code)
    else:
        backend.send(relay, backend.profile.query(COMMIT), COM_QUERY)
    return True


# -- its answer was lost ----------------------------------------------------------------------------------------------


def _in_doubt(relay: "Relay", commit: Commit, verdict: Verdict, error: ProxyError | bytes) -> None:
    relay.drop()
    # Those who want its rows wait for it, as they did on the lost node: it may have to take its locks again.
    relay.cluster.recovery.enter(relay, commit.node.name, relay.cluster.config.limits.marker_wait)
    relay.task = asyncio.get_running_loop().create_task(
        _settle(relay, commit, verdict, error), name=f"doubt {relay.id}"
    )


async def _settle(relay: "Relay", commit: Commit, verdict: Verdict, error: ProxyError | bytes) -> None:
    slot = commit.slot
    assert slot is not None
    fate, node = Fate.UNKNOWN, None
    try:
        fate, node = await relay.cluster.markers.ask(slot.id, commit.number, commit.node)
    except Exception as fault:
        event(logger, "internal.error", level=logging.ERROR, where="marker", error=repr(fault))
    relay.task = None
    relay.cluster.recovery.leave(relay)  # and is there again, before anybody is woken, if it has to be run again
    if fate is Fate.UNKNOWN or node is None:
        failure.unknown(relay, commit.backend)
    else:
        slot.committed()
        relay.cluster.pools[node.name].put_slot(slot)
        if fate is Fate.COMMITTED:
            _committed(relay, commit, node)
        else:
            _never(relay, commit, verdict, error)


def _committed(relay: "Relay", commit: Commit, node: Node) -> None:
    """It was committed, and `node` has it: the client gets the answer that was lost."""
    request = relay.request
    assert request is not None
    held = commit.held
    transaction = relay.transaction
    end = request.statement.end
    chain = held is None and end is not None and bool(end.chain)
    one_shot, read_only = transaction.one_shot, transaction.read_only
    relay.account(COMMITTED, commit.backend)
    relay.metrics.markers_written[commit.node.name] += 1
    relay.causal = True
    relay.synced = {node.name}
    if held is not None and held.insert_id:
        insert_id.replied(relay, request, commit.backend, held.insert_id)
    if relay.retry_reason:
        failure.retried(relay)
    relay.end_transaction()
    if chain:
        transaction.one_shot, transaction.read_only = one_shot, read_only
        transaction.stage = Stage.BEGUN
        transaction.begin = PLAIN_BEGIN
        transaction.begin_text = relay.profile.query(BEGIN)
        transaction.state = relay.state
    if success.goes_on_behind_commit(relay):
        return
    if held is not None:
        relay.frontend.write(with_ok_status(held.raw, held.status))
    else:
        relay.frontend.write(plain_ok(relay.status, relay.profile.capabilities))
    relay.finish(relay.pinned is not None or (end is not None and bool(end.release)))


def _never(relay: "Relay", commit: Commit, verdict: Verdict, error: ProxyError | bytes) -> None:
    """It was not committed and never will be: run it again, unless somebody wished that it ends."""
    if isinstance(error, ProxyError) or verdict.reason in ("lost", "commit-failed", "shutdown"):
        failure.take_up_elsewhere(relay, commit.backend, freed=verdict.reason != "lost")
        return
    relay.account(ROLLED_BACK, commit.backend)
    failure.answer_and_end(relay, error)
