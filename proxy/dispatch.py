"""The slow path of a session: find a node, get a backend, bring it to the session's state, run the journal again,
send the command.

`dispatch` is the one task that a session may have; the steady state of the relay has none. What fails on the way starts
again, elsewhere if the node was the cause, within the limits of the replay settings. The steps on the way are those of
proxy.obtain, proxy.equip and proxy.replay.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from proxy import ahead, causality, commit, failure, kept, places, sentinel
from proxy.backend import ROLLBACK, Backend, Lost
from proxy.launch import launch
from proxy.log import event
from proxy.obtain import GiveUp, obtain
from proxy.request import Request
from proxy.wire.constants import COM_PING
from router import answers
from router.answers import Answer as ProxyError
from router.facts import Asks, Kind, Statement
from router.outcomes import Phase, judge, lost, undone
from router.plan import ANYWHERE, Plan
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

from proxy.equip import (
    CannotWait,
    Failed,
    Refused,
    as_packet,
    ask,
    bring,
    can_wait,
    equip,
    open_transaction,
    prepare_ahead,
    within,
)
from proxy.replay import Different, let_others_take_up, take_up

logger = logging.getLogger(__name__)
PROBE: Final = Statement(kind=Kind.READ)


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
        failure.failed(relay, refused.verdict, as_packet(error), error.code, ran=False)
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
                await take_up(relay, backend, request)
                await let_others_take_up(relay, limit)
            wanted = ANYWHERE
            if request is not None:
                wanted = relay.plan(request)
                if (
                    relay.lease is backend
                    and not confirmed
                    and (first := ahead.state_for(relay, backend, request, wanted))
                ):
                    return backend, wanted, first
                if causality.has_to_see(relay, backend, request, wanted) and not can_wait(relay, backend, request):
                    raise CannotWait  # ahead of a PREPARE that may be refused, and asked about here
                await prepare_ahead(relay, backend, request)
                await bring(relay, backend, relay.state, wanted, request)
                wanted = await open_transaction(relay, backend, request, wanted)
                if sentinel.due(relay, request):
                    await sentinel.ahead(relay, backend)
                await equip(relay, backend, request)
            if relay.lease is not backend:
                raise Lost("the node was given up")
        except (Lost, CannotWait) as gone:
            verdict, error = lost(Phase.SETUP), None
            relay.drop()
            if relay.pinned is not None and backend is not None:
                node = backend.pool.node.name
                raise GiveUp(answers.session_lost(node, relay.pinned), "pinned") from gone
            if isinstance(gone, CannotWait) and (relay.replaying or relay.transaction.stage is not Stage.OPEN):
                continue  # nothing was there
        except Failed as failed:
            verdict, error = failed.verdict, failed.error
            if backend is not None:
                backend.lifted = True
            if verdict.close_backend:
                relay.drop()
            elif within(relay) and not verdict.ends_transaction:
                raise GiveUp(error, verdict.reason, goes_on=True) from None
            elif relay.pinned is None:
                relay.recycle()
            if relay.node is not None:
                # Or the same node would be tried again, and all attempts be used up in a moment.
                relay.cluster.sign(relay.node, verdict.node_sign, verdict.reason)
        except sentinel.Undone as gone:
            verdict, error = undone(conflict=gone.conflict), as_packet(sentinel.DEADLOCK)
            if relay.pinned is None:
                relay.recycle()
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
        await ask(backend, ROLLBACK, Phase.STATEMENT)
    except (Failed, Lost):
        relay.drop()


async def _take_slot(relay: "Relay", backend: Backend) -> None:
    """Where its commits will leave their markers. What passes is tried again; without a slot they are not marked."""
    error = await commit.take_slot(relay, backend)
    if error is not None:
        verdict = judge(error.code, error.message, Phase.SETUP)
        if verdict.retry:
            raise Failed(verdict, as_packet(error))
