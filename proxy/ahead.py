"""The session's state on its way to a backend that has another one: as commands, and for a read in one write with it.

A read that has run in the wrong state did no harm, and nobody has to see what it gave. So it is sent behind the
commands that set the state without waiting for what becomes of these. Were they refused after all, its reply is dropped
and the session brought to a backend step by step (`proxy.equip`), which ends in the same refusal, for the client.
What writes waits until its state is confirmed.
"""

from typing import TYPE_CHECKING, Final

from proxy.backend import Backend, entering
from proxy.profile import Profile
from proxy.ready import fits
from proxy.request import Request
from router.facts import Kind
from router.plan import Opening, Plan
from router.session import Restore, reachable, restore
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

ACCESS_MODE: Final = "SET SESSION TRANSACTION READ "  # ONLY or WRITE; levels of isolation have another word there


def commands(way: Restore, profile: Profile) -> list[bytes]:
    """What sets the state, without the reset."""
    found = [profile.query(sql.encode("latin-1")) for sql in way.statements]
    if way.schema is not None:
        found.append(entering(way.schema))
    return found


def sets_access(way: Restore) -> bool:
    """The backend is not guarded by us behind it: the client's own choice is in force."""
    return any(sql.startswith(ACCESS_MODE) for sql in way.statements)


def state_for(relay: "Relay", backend: Backend, request: Request, wanted: Plan) -> list[bytes]:
    """The commands to send ahead of this one; none: it has to wait for more than that."""
    statement = request.statement
    state = relay.state
    if (
        statement.kind is not Kind.READ
        or statement.may_write
        or statement.pins is not None
        or statement.asks
        or statement.result is not None
        or relay.pinned is not None
        or relay.sent is not None
        or relay.transaction.stage is Stage.OPEN
        or wanted.opening is Opening.CONFIRMED
        or backend.state is state
        or not reachable(backend.state, state)
        or not fits(relay, backend, request, wanted)
    ):
        return []
    way = restore(backend.state, state)
    return [] if way.reset or sets_access(way) else commands(way, relay.profile)


def refused(relay: "Relay") -> None:
    """One of them was: what ran behind it ran in no known state."""
    assert relay.lease is not None
    assert relay.request is not None
    if relay.transaction.stage is Stage.OPEN:  # by our own START TRANSACTION between them and the read
        relay.transaction.stage = Stage.BEGUN
        relay.journal.clear()
    relay.lease.hides_use = True
    relay.recycle()
    relay.work(relay.request, confirmed=True)
