"""What the console can be asked for: one literal table of tables, each with its columns and where its rows come from.

Rows are plain values, read at once from what runs, and nothing of them is kept. No statement's text and no password
is among them. Must not know how they are asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from router.membership import NodeState
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.backend import Backend
    from proxy.service import Service
    from proxy.session import Session

Value = str | int | float | None
Row = tuple[Value, ...]
Sample = tuple[str, Mapping[str, str], float]
"""Name, labels and value of one line of the metrics."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    """As SQL names it: TEXT, BIGINT or DOUBLE."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    meaning: str
    columns: tuple[Column, ...]
    rows: "Callable[[Service], Iterable[Row]]"


def _text(name: str, meaning: str) -> Column:
    return Column(name, "TEXT", meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, "BIGINT", meaning)


def _seconds(name: str, meaning: str) -> Column:
    return Column(name, "DOUBLE", meaning)


def _nodes(service: "Service") -> Iterable[Row]:
    cluster = service.cluster
    now = cluster.now()
    for node in service.membership:
        pool = cluster.pools[node.name]
        yield (
            node.name,
            node.state.value,
            node.reason,
            round(now - node.since, 3),
            int(node.drained),
            service.monitor.versions.get(node.name),
            node.outstanding,
            pool.idle,
            len(pool.leased),
            pool.connecting,
            pool.waiting,
        )


def _sessions(service: "Service") -> Iterable[Row]:
    now = service.cluster.now()
    for session in service.sessions.values():
        login, relay = session.login, session.relay
        lease = relay.lease
        yield (
            login.connection_id,
            login.account.name,
            login.host,
            session.endpoint.name,
            relay.state.schema.decode("utf-8", "replace") or None,
            _doing(session),
            relay.pinned,
            lease.pool.node.name if lease is not None else None,
            lease.thread_id if lease is not None else None,
            round(session.idle_for(now), 3),
        )


def _doing(session: "Session") -> str:
    relay = session.relay
    if relay.request is not None or relay.task is not None:
        return "waiting" if relay.lease is None else "running"
    return "idle" if relay.transaction.stage is Stage.NONE else "in transaction"


def _backends(service: "Service") -> Iterable[Row]:
    now = service.cluster.now()
    holders = {session.relay.lease: session.login.connection_id for session in service.sessions.values()}
    for pool in service.cluster.pools.values():
        yield from (_backend(backend, "leased", holders.get(backend), now) for backend in pool.leased)
        yield from (_backend(backend, "idle", None, now) for backend in pool.idle_backends())


def _backend(backend: "Backend", state: str, session: int | None, now: float) -> Row:
    return (
        backend.thread_id,
        backend.pool.node.name,
        backend.profile.user,
        state,
        session,
        backend.state.schema.decode("utf-8", "replace") or None,
        len(backend.prepared),
        round(now - backend.created, 3),
    )


def _hot(service: "Service") -> Iterable[Row]:
    cluster = service.cluster
    for each in cluster.contention.hot(cluster.now()):
        owner = cluster.owner_of(each.owner_key)
        state = "queued" if each.queued else "owned"
        yield each.what, each.name, owner, state, round(each.seconds_left, 3)


def _metrics(samples: Iterable[Sample]) -> Iterable[Row]:
    for name, labels, value in samples:
        shown = ",".join(f"{label}={text}" for label, text in labels.items())
        yield name, shown, float(value)


def _conflicts(samples: Iterable[Sample]) -> Iterable[Row]:
    return _counted(samples, "multiwriter_conflicts_total", "table", "key", "node", "phase", "reason")


def _retries(samples: Iterable[Sample]) -> Iterable[Row]:
    return _counted(samples, "multiwriter_retries_total", "table", "key", "node", "phase", "reason", "result")


def _marked(samples: Iterable[Sample]) -> Iterable[Row]:
    known = list(samples)
    for what, name, label in (
        ("marked", "multiwriter_commit_markers_total", "node"),
        ("unmarked", "multiwriter_commits_unmarked_total", "reason"),
        ("looked up", "multiwriter_marker_lookups_total", "answer"),
        ("unknown", "multiwriter_unknown_outcomes_total", "node"),
    ):
        yield from ((what, *row) for row in _counted(known, name, label))


def _counted(samples: Iterable[Sample], name: str, *by: str) -> Iterable[Row]:
    """The labels of each sample of a counter, in this order, and its number."""
    return ((*(labels[label] for label in by), int(value)) for found, labels, value in samples if found == name)


FROM_SAMPLES: Final[Mapping[str, Callable[[Iterable[Sample]], Iterable[Row]]]] = {
    "metrics": _metrics,
    "conflicts": _conflicts,
    "retries": _retries,
    "marked": _marked,
}
"""Tables that tell what the metrics count, of all workers together."""


def _sampled(name: str) -> "Callable[[Service], Iterable[Row]]":
    return lambda service: FROM_SAMPLES[name](service.exposition.samples())


def merged(name: str, workers: Sequence[Sequence[Row]], samples: Iterable[Sample]) -> Iterable[Row]:
    """The rows of one table from those of several workers; `samples` are all of theirs."""
    if name in FROM_SAMPLES:
        return FROM_SAMPLES[name](samples)
    rows = [row for each in workers for row in each]
    return _nodes_together(rows) if name == "nodes" else rows


def _nodes_together(rows: Iterable[Row]) -> Iterable[Row]:
    """A node is as the first worker in the worst state sees it; what is counted is added up."""
    order = [state.value for state in NodeState]
    found: dict[Value, Row] = {}
    for row in rows:
        known = found.setdefault(row[0], row)
        if known is row:
            continue
        worse = row if order.index(str(row[1])) > order.index(str(known[1])) else known
        counts = (int(one or 0) + int(other or 0) for one, other in zip(known[6:], row[6:], strict=True))
        found[row[0]] = (*worse[:6], *counts)
    return found.values()


TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        Table(
            "nodes",
            "The nodes of the cluster as the proxy sees them.",
            (
                _text("name", "Its name, by default its address."),
                _text("state", "`up`, `draining`, `suspect`, `down` or `joining`."),
                _text("reason", "Why it is in that state."),
                _seconds("seconds", "For how long."),
                _count("drained", "1: the operator has taken it out."),
                _text("version", "What it greets with."),
                _count("outstanding", "Commands that it has not answered yet."),
                _count("idle", "Backends that nobody uses."),
                _count("leased", "Backends that sessions hold."),
                _count("connecting", "Backends that are logging in."),
                _count("waiting", "Sessions that wait for one."),
            ),
            _nodes,
        ),
        Table(
            "sessions",
            "The clients that are logged in.",
            (
                _count("id", "Connection id, as CONNECTION_ID() and KILL know it."),
                _text("user", "The account that it logged in to."),
                _text("host", "Where it comes from."),
                _text("endpoint", "Where it came in."),
                _text("db", "Its current schema."),
                _text("state", "`idle`, `in transaction`, `running` or `waiting` (for a backend)."),
                _text("pinned", "Why it stays on its backend; NULL: it does not."),
                _text("node", "The node that it holds a backend of."),
                _count("backend", "The id that this node gave the backend."),
                _seconds("idle_seconds", "Since its last command ended."),
            ),
            _sessions,
        ),
        Table(
            "backends",
            "The connections to the nodes.",
            (
                _count("id", "Its connection id at the node."),
                _text("node", "The node."),
                _text("user", "The account that it is logged in to."),
                _text("state", "`idle` or `leased`."),
                _count("session", "The session that holds it."),
                _text("db", "Its current schema."),
                _count("prepared", "Statements prepared on it."),
                _seconds("age_seconds", "Since it logged in."),
            ),
            _backends,
        ),
        Table(
            "hot",
            "What is fought over: keys, tables, and tables that are changed together, with the nodes that own them.",
            (
                _text("what", "`key`, `table` or `tables`."),
                _text("name", "The key as `schema.table:value`, or the names of the tables."),
                _text("owner", "The node where their transactions meet."),
                _text("state", "`owned`, or `queued`: its transactions begin one after the other."),
                _seconds("seconds_left", "Until it is tried without."),
            ),
            _hot,
        ),
        Table(
            "conflicts",
            "Transactions that a node rolled back since another one won.",
            (
                _text("on_table", "A table that it had changed, or begun with."),
                _text("chosen_by", "What its node was chosen by: `row`, `table`, `schema`, `user`, `hint` or `none`."),
                _text("node", "The node."),
                _text("phase", "Where it showed: `statement`, `autocommit` or `commit`."),
                _text("reason", "As in `multiwriter_conflicts_total`."),
                _count("times", "How often."),
            ),
            _sampled("conflicts"),
        ),
        Table(
            "retries",
            "Repeated statements and replayed transactions.",
            (
                _text("on_table", "The table of the conflict; empty where a node was lost."),
                _text("chosen_by", "What its node was chosen by."),
                _text("node", "The node that it ended on."),
                _text("phase", "Where it ended."),
                _text("reason", "What made it necessary: `conflict`, `lost` and others."),
                _text("result", "`ok`, or `gave_up`."),
                _count("times", "How often."),
            ),
            _sampled("retries"),
        ),
        Table(
            "marked",
            "What became of commits under `commit_marker`, and of those without.",
            (
                _text(
                    "what",
                    "`marked`, `unmarked` where something stood against it, `looked up` after its answer was lost, "
                    "or `unknown`: the client was told so.",
                ),
                _text("detail", "The node; of `unmarked` the reason, of `looked up` the answer."),
                _count("times", "How often."),
            ),
            _sampled("marked"),
        ),
        Table(
            "metrics",
            "Every sample of `/metrics`.",
            (
                _text("name", "The sample's name."),
                _text("labels", "Its labels, as `name=value,...`."),
                Column("value", "DOUBLE", "Its value."),
            ),
            _sampled("metrics"),
        ),
    )
}
