"""An open transaction is run again from its journal: every statement must answer what the client has seen."""

import asyncio
from typing import TYPE_CHECKING

from proxy import causality, insert_id, sentinel
from proxy.backend import ROLLBACK, Backend
from proxy.request import Request
from proxy.wire.constants import COM_QUERY
from proxy.wire.digest import ReplyDigest
from router.facts import Asks
from router.journal import Entry
from router.outcomes import Phase, judge
from router.plan import Opening, Plan, opening_text, plan

if TYPE_CHECKING:
    from proxy.relay import Relay

from proxy.equip import Failed, as_packet, ask, bring, equip, restore_state, set_transaction, step


class Different(Exception):
    """A replayed statement answered something else than the client has seen: what, in words for a log."""


async def take_up(relay: "Relay", backend: Backend, request: Request | None) -> None:
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
    await bring(relay, backend, state, Plan(guarded, Opening.NOTHING), None)
    relay.state = state
    while True:
        await set_transaction(backend, transaction.one_shot)
        if transaction.begin is not None:
            if backend.guarded:
                await ask(backend, opening_text(transaction.begin, state))
            else:
                await step(backend, transaction.begin_text, COM_QUERY)
            if backend.causal:
                causality.waited(relay, backend)
        if relay.savepoints:
            await sentinel.plant(relay, backend)
        generated = await _run_journal(relay, backend)
        if generated is None:
            break
        # It was the server that chose this id, so the same one is asked for from now on.
        generated.generated = True
        await ask(backend, ROLLBACK, Phase.STATEMENT)
        if backend.state is not state:
            await restore_state(relay, backend, state)
            relay.state = state
    relay.replaying = False


async def _run_journal(relay: "Relay", backend: Backend) -> Entry[Request] | None:
    """None when everything came out the same; the entry whose generated id did not."""
    for entry in relay.journal:
        request = entry.request
        await equip(relay, backend, request)
        if entry.generated:
            if request.statement.writes_unseen:
                raise Different("a trigger may use up the id that is asked for")
            if entry.several_ids and relay.replay_from is not backend.pool.node:
                raise Different("generated ids step differently on another node")
            await ask(backend, b"SET insert_id=%d" % entry.insert_id, Phase.STATEMENT)
        digest = ReplyDigest()
        answer = await backend.run(request.bind(backend), request.code, digest)
        if answer.error is not None and answer.error.code != entry.error:
            verdict = judge(answer.error.code, answer.error.message, Phase.STATEMENT)
            if verdict.retry:
                raise Failed(verdict, as_packet(answer.error))
            raise Different(f"error {answer.error.code}")
        if digest.digest() != entry.digest:
            if entry.insert_id and answer.insert_id != entry.insert_id and not entry.generated:
                return entry
            raise Different("another reply")
        if answer.insert_id:
            insert_id.replied(relay, request, backend, answer.insert_id)
        backend.diagnostics |= Asks.FOUND_ROWS | Asks.WARNINGS if request.statement.tables else Asks.FOUND_ROWS
        if answer.error is None and request.changes_state:
            relay.state = backend.state = request.state_after(relay.state)
    return None


async def let_others_take_up(relay: "Relay", limit: asyncio.Timeout) -> None:
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
