"""Where a transaction has to go, and whom it waits for before it begins.

    its first statement -> table, row -> owned? -> queue of its keys -> the owner, once it has what was committed before

What is fought over is known by router.contention, who owns it by router.ownership, whose turn it is by proxy.turns;
here they are asked for one session. All of it spares conflicts and nothing else depends on it. Most transactions have
no place: any node will do.
"""

from typing import TYPE_CHECKING, Final

from proxy.rows import hint_of, rows_of
from proxy.turns import RIGHT_OF_WAY
from router.contention import MAX_TABLES, Conflict
from router.facts import Kind, Statement
from router.membership import Node
from router.outcomes import Verdict
from router.plan import is_read_only
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay
    from proxy.request import Request

WORKS: Final = frozenset((Kind.READ, Kind.LOCKING_READ, Kind.WRITE, Kind.LOAD))
CHANGES: Final = frozenset((Kind.WRITE, Kind.LOCKING_READ, Kind.LOAD))
DDL_KEY: Final = "ddl"  # no schema has a name without a dot and a key of its own


class Place:
    """`key`: what its owner is found by, None for any node. `by`: what kind of key that is, for people. `turns`: the
    keys at which it queues; `held` those at which it is its turn.
    """

    __slots__ = ("by", "counted", "devoted", "held", "key", "node", "opener", "rows", "table", "turns", "unsettled")

    def __init__(
        self,
        key: str | None,
        by: str,
        table: str = "",
        rows: tuple[str, ...] = (),
        turns: tuple[str, ...] = (),
        opener: Statement | None = None,
    ) -> None:
        self.key = key
        self.by = by
        self.table = table
        self.rows = rows
        self.turns = turns
        self.opener = opener  # a read of which it is not known yet whether it leads to writes
        self.held: list[str] = []
        self.counted: Node | None = None  # where it is among those open on the key
        self.node: Node | None = None  # its owner, when a backend there is all that it waits for
        self.devoted = True  # where all backends are in use it waits for one of its owner's
        self.unsettled = False  # its owner waits for what was committed before

    def __repr__(self) -> str:
        return f"<Place {self.by} {self.key} turns {self.turns} held {self.held}>"


def qualified(table: str, relay: "Relay") -> str:
    """With its schema."""
    return table if "." in table else f"{relay.state.schema.decode('latin-1').lower()}.{table}"


def find(relay: "Relay", request: "Request") -> Place | None:
    """The place of the transaction that this statement opens, or is."""
    statement = request.statement
    kind = statement.kind
    transaction = relay.transaction
    if transaction.stage is Stage.OPEN:
        return None
    if kind is Kind.DDL:
        return Place(DDL_KEY, "ddl") if statement.commits else None
    if kind not in WORKS:
        return None
    policy = relay.policy
    opens = transaction.stage is Stage.BEGUN or not relay.state.autocommit
    table = qualified(statement.tables[0], relay) if statement.tables else ""
    if policy.by_key:
        hint = hint_of(request)
        if hint is not None:
            return Place(f"hint:{hint}", "hint", table)
        return _by_affinity(relay, request, table, opens)
    if not table:
        return None
    locks = kind is Kind.LOCKING_READ and opens
    if policy.adapts:
        return _by_heat(relay, request, table, opens, locks)
    return Place(table, "table", table) if locks else None


def _by_affinity(relay: "Relay", request: "Request", table: str, opens: bool) -> Place | None:
    what = relay.policy.affinity
    if what == "user":
        return Place(f"user:{relay.profile.user}", "user", table)
    if what == "schema":
        schema = table.partition(".")[0] or relay.state.schema.decode("latin-1").lower()
        return Place(schema, "schema", table) if schema else None
    if not table or not (opens or request.statement.may_write):
        return None
    rows = rows_of(relay, request, table) if what == "key" else ()
    if not rows:
        return Place(table, "table", table)
    return Place(rows[0], "row", table, rows)


def _by_heat(relay: "Relay", request: "Request", table: str, opens: bool, locks: bool) -> Place | None:
    statement = request.statement
    cluster = relay.cluster
    contention = cluster.contention
    now = cluster.now()
    reads = statement.kind is Kind.READ
    if reads and not statement.may_write:
        transaction = relay.transaction
        if not opens or (transaction.begin is not None and is_read_only(transaction.begin, relay.state, transaction)):
            return None
        if not cluster.openers.leads_to_writes(statement):
            return None
    key = contention.meeting(table, now) if contention.watchful else None
    if key is None and locks:
        key = table
    by = "table" if key is None or "." in key else "schema"
    careful = relay.policy.careful
    rows: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    if careful or contention.has_keys(table):
        rows = rows_of(relay, request, table)
        turns = contention.queued(table, rows, now)
        if key is None and contention.is_hot(table, rows, now):
            key, by = table, "row"
        if careful and rows and (opens or table in cluster.careful_tables):
            if reads:
                if len(cluster.careful_tables) >= MAX_TABLES:
                    cluster.careful_tables.clear()
                cluster.careful_tables.add(table)
            turns = rows
            if key is None:
                key, by = table, "row"
    if key is None and not turns and not cluster.turns.ways:
        return None
    return Place(key, by, table, rows, turns, statement if reads else None)


# -- taking it --------------------------------------------------------------------------------------------------------


def at_once(relay: "Relay", place: Place) -> Node | None:
    """Its node, when there is nothing to wait for but a backend."""
    cluster = relay.cluster
    if cluster.turns.ways and place.table and cluster.turns.blocked(RIGHT_OF_WAY + place.table, relay):
        return None
    if place.key is None or not cluster.is_quiet(place.key):
        return None
    if place.turns and not place.held:
        if not cluster.turns.take(place.turns, relay):
            return None
        place.held.extend(place.turns)
    place.node = owner(relay, place)
    return place.node


def is_still_at(relay: "Relay", place: Place, node: Node) -> bool:
    """Nothing has moved it from there since it has waited for a backend."""
    cluster = relay.cluster
    assert place.key is not None
    return cluster.is_quiet(place.key) and cluster.owner(place.key, cluster.now())[0] is node


def owner(relay: "Relay", place: Place) -> Node | None:
    """The node that it goes to; None: there is no writer."""
    cluster = relay.cluster
    now = cluster.now()
    assert place.key is not None
    writers = cluster.membership.writers
    if place.table and place.by != "row":
        cluster.owners.use(place.table, place.key, writers, now)
    node, place.unsettled = cluster.owner(place.key, now)
    if node is None:
        return None
    if place.by == "ddl":
        place.unsettled = False  # each node runs it after all that was ahead of it
    elif place.unsettled:
        relay.causal = True  # the owner may have to apply what the one before it committed
        relay.synced.discard(node.name)
    node.placed(now)
    return node


async def enter(relay: "Relay", request: "Request | None") -> Place | None:
    """The place of what is about to be run, once it is its turn."""
    place = relay.place
    if place is None and request is not None and not relay.replaying:
        place = relay.place = find(relay, request)
    if relay.attempts is not None and relay.attempts.has_right_of_way:
        place = await _right_of_way(relay, place, request)
    elif place is not None and not relay.replaying and not place.held:
        await _queue(relay, place)
    if relay.replaying:
        place = _where_others_meet(relay, place)
    return place


async def _queue(relay: "Relay", place: Place) -> None:
    turns, policy = relay.cluster.turns, relay.policy
    way = RIGHT_OF_WAY + place.table
    if turns.ways and turns.blocked(way, relay):
        turns.leave(await turns.wait((way,), relay, policy.queue_wait, policy.queue_length), relay)
    if place.turns:
        place.held.extend(await turns.wait(place.turns, relay, policy.queue_wait, policy.queue_length))


async def _right_of_way(relay: "Relay", place: Place | None, request: "Request | None") -> Place | None:
    """It has lost so often that others wait until it has had its way."""
    policy = relay.policy
    if not (policy.by_key or policy.adapts):
        return place
    tables = {table for _, table in _touched(relay, request)}
    if place is None:
        place = relay.place = Place(None, "none", min(tables, default=""))
    ways = {RIGHT_OF_WAY + table for table in tables} - set(place.held)
    if ways:
        place.held.extend(await relay.cluster.turns.wait(ways, relay, policy.queue_wait, policy.queue_length))
    return place


def _where_others_meet(relay: "Relay", place: Place | None) -> Place | None:
    """What it lost to may have an owner by now."""
    cluster = relay.cluster
    if not relay.policy.adapts or not cluster.contention.watchful:
        return place
    now = cluster.now()
    for _, table in _touched(relay, relay.request):
        key = cluster.contention.meeting(table, now)
        if key is not None:
            if place is None:
                place = relay.place = Place(key, "none", table)
            if place.counted is not None and place.key is not None and place.key != key:
                cluster.owners.closed(place.key, place.counted)
                place.counted = None
            place.key = key
            place.by = "table" if "." in key else "schema"
            return place
    return place


def taken(relay: "Relay") -> None:
    """It has a backend of its owner's."""
    place = relay.place
    if place is not None and place.key is not None and place.counted is None:
        place.counted = relay.cluster.owners.opened(place.key)


def synced(relay: "Relay") -> None:
    """A statement of it ran after the node had waited for all that was committed elsewhere."""
    place = relay.place
    if place is not None and place.unsettled and place.key is not None:
        place.unsettled = False
        relay.cluster.owners.settled(place.key)


def leave(relay: "Relay", *, wrote: bool) -> None:
    """It has ended, however."""
    place = relay.place
    if place is None:
        return
    relay.place = None
    cluster = relay.cluster
    if place.by == "ddl":
        cluster.redefined()
    if place.counted is not None and place.key is not None:
        cluster.owners.closed(place.key, place.counted)
    if place.held:
        cluster.turns.leave(place.held, relay)
    if place.opener is not None:
        cluster.openers.ended(place.opener, wrote=wrote)


def chosen_by(relay: "Relay") -> str:
    """What kind of key its node was chosen by, for people."""
    place = relay.place
    return place.by if place is not None and place.key is not None else "none"


# -- losing it --------------------------------------------------------------------------------------------------------


def lost(relay: "Relay", verdict: Verdict, phase: str, *, visible: bool) -> None:
    """The transaction, or the statement by itself, has lost a conflict. `visible`: the client gets the error."""
    cluster = relay.cluster
    touched = _touched(relay, relay.request)
    opener = touched[0][1] if touched else ""
    changed = tuple(dict.fromkeys(table for statement, table in touched if _changes(statement)))
    metrics = cluster.metrics
    node = relay.node.name if relay.node is not None else ""
    relay.contested = metrics.table_label(changed[0] if changed else opener)
    metrics.conflicts[node, phase, verdict.reason, relay.contested, chosen_by(relay)] += 1
    learn(relay, opener, changed, visible=visible)


def different(relay: "Relay") -> None:
    """What it had read has changed: the client gets the error that it could have been spared."""
    touched = _touched(relay, relay.request)
    changed = tuple(dict.fromkeys(table for statement, table in touched if _changes(statement)))
    learn(relay, touched[0][1] if touched else "", changed, visible=True)


def learn(relay: "Relay", opener: str, changed: tuple[str, ...], *, visible: bool) -> None:
    if not relay.policy.adapts:
        return
    cluster = relay.cluster
    place = relay.place
    rows = place.rows if place is not None else ()
    if not rows:
        request = relay.journal.first.request if len(relay.journal) else relay.request
        if request is not None and opener:
            rows = rows_of(relay, request, opener)
    if len(relay.journal):
        cluster.openers.ended(relay.journal.first.request.statement, wrote=True)
    now = cluster.now()
    met = place is not None and place.counted is not None
    began = cluster.contention.conflict(
        Conflict(opener, rows, changed, met=met, visible=visible), cluster.metrics.ended, now
    )
    if began is not None:
        cluster.owners.unsettle(began, cluster.membership.writers, now)


def _touched(relay: "Relay", request: "Request | None") -> list[tuple[Statement, str]]:
    """Each statement of the transaction, with the first of its tables."""
    statements = [entry.request.statement for entry in relay.journal]
    if request is not None:
        statements.append(request.statement)
    return [(statement, qualified(statement.tables[0], relay)) for statement in statements if statement.tables]


def _changes(statement: Statement) -> bool:
    """It may have lost for it: a new row of its own is in nobody's way."""
    return statement.kind in CHANGES and (not statement.inserts_one_row or bool(statement.compares))
