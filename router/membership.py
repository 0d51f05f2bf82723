"""Which nodes take work, and why the others do not.

One small state machine per node, fed by polls (the monitor) and by passive signs (the traffic), and the tuple of
writers that follows from it. It must not know how a node is asked, nor who acts on a change: every input returns the
transitions it caused. Time is passed in, in seconds of any one clock that never goes back.

What each state means to the relay:

    up        takes new work
    draining  takes no new work, what runs there may finish: the operator's wish, shutting down, read-only, relieved
    suspect   takes no new work until a poll that began after the last sign has said how it is
    joining   not yet in step: never polled, or the engine says that it is catching up
    down      takes no work, what runs there is lost
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import exp
from typing import Final

from router.outcomes import NodeSign


class NodeState(Enum):
    UP = "up"
    DRAINING = "draining"
    SUSPECT = "suspect"
    DOWN = "down"
    JOINING = "joining"


class Standing(Enum):
    """What a poll says of a node, whatever the engine."""

    READY = "ready"
    RELIEVED = "relieved"  # works, but should be spared: used only when no node is ready
    HELD = "held"  # works, but must not get new writes
    JOINING = "joining"  # catching up
    OUT = "out"  # cannot work


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One poll's reading. `reason` is for people and "" when ready."""

    standing: Standing
    reason: str = ""
    cluster_uuid: str = ""  # "" where the engine has none to tell
    conf_id: int = -1  # grows with each change of the cluster's view; -1 unknown
    local_state: int = -1
    recv_queue: int = 0  # write-sets
    flow_control_paused: float = 0.0  # share of the time since the last poll
    read_only: bool = False

    @property
    def ok(self) -> bool:
        return self.standing is Standing.READY


LOAD_TAU: Final = 1.0
"""Seconds after which a placement weighs 1/e of a new one."""

RAMP_FLOOR: Final = 0.1
PENALTY: Final = 1.0
"""Seconds for which a node that is full is the last choice."""

VIEW_GRACE: Final = 2.0
"""Seconds within which a working node must have followed the others to a newer view."""


class Node:
    """One database server. Owned by its Membership; `outstanding` by whoever holds leases on it."""

    __slots__ = (
        "drain_reason",
        "drained",
        "failures",
        "health",
        "host",
        "load",
        "load_at",
        "name",
        "outstanding",
        "penalty_until",
        "port",
        "ramp",
        "ramp_from",
        "reason",
        "relieved",
        "seen_up",
        "signed_at",
        "since",
        "state",
        "view_at",
        "weight",
    )

    def __init__(self, host: str, port: int = 3306, *, weight: float = 1.0, name: str = "") -> None:
        self.host = host
        self.port = port
        self.name = name or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self.weight = weight
        self.state = NodeState.JOINING
        self.reason = "not polled yet"
        self.since = 0.0
        self.outstanding = 0  # transactions and autocommit statements that run there now
        self.load = 0.0  # decayed number of placements, as of load_at
        self.load_at = 0.0
        self.drained = False  # the operator's wish; the monitor never touches it
        self.drain_reason = ""
        self.relieved = False
        self.health: Health | None = None
        self.view_at = 0.0  # when it was first seen in the view that it is in
        self.failures = 0  # failed polls in a row
        self.signed_at = float("-inf")
        self.penalty_until = float("-inf")
        self.ramp_from = float("-inf")
        self.ramp = 0.0
        self.seen_up = False

    def placed(self, now: float) -> None:
        """Count one placement."""
        self.load = self.load_now(now) + 1.0

    def load_now(self, now: float) -> float:
        """Decayed placements. Decay is applied at most every 10 ms, so that hot paths pay no exp() each time."""
        passed = now - self.load_at
        if passed > 0.01:
            self.load *= exp(-passed / LOAD_TAU)
            self.load_at = now
        return self.load

    def weight_now(self, now: float) -> float:
        """The weight; smaller while a returned node ramps up."""
        passed = now - self.ramp_from
        if passed >= self.ramp:
            return self.weight
        return self.weight * max(RAMP_FLOOR, passed / self.ramp)

    @property
    def closed_to_backends(self) -> bool:
        """No backend of it is worth keeping: nothing new will run there until it is back."""
        if self.state is NodeState.DRAINING:
            return self.drained or not self.relieved
        return self.state is not NodeState.UP

    def __repr__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"<Node {self.name} {self.state.value}{why}, {self.outstanding} outstanding>"


@dataclass(frozen=True, slots=True)
class Transition:
    node: Node
    old: NodeState
    new: NodeState
    reason: str
    at: float


# A passive sign: the state it leads to, by the state it finds. Absent: nothing changes.
_BY_SIGN: dict[NodeSign, dict[NodeState, NodeState]] = {
    NodeSign.SUSPECT: {NodeState.UP: NodeState.SUSPECT, NodeState.DRAINING: NodeState.SUSPECT},
    NodeSign.DRAINING: dict.fromkeys((NodeState.UP, NodeState.SUSPECT, NodeState.DRAINING), NodeState.DRAINING),
    NodeSign.NOT_WRITER: dict.fromkeys((NodeState.UP, NodeState.SUSPECT, NodeState.DRAINING), NodeState.DRAINING),
    NodeSign.DOWN: dict.fromkeys(NodeState, NodeState.DOWN),
}

# A poll that was answered: the state by what the node says.
_BY_STANDING: dict[Standing, NodeState] = {
    Standing.READY: NodeState.UP,
    Standing.RELIEVED: NodeState.DRAINING,
    Standing.HELD: NodeState.DRAINING,
    Standing.JOINING: NodeState.JOINING,
    Standing.OUT: NodeState.DOWN,
}


class Membership:
    """The nodes, in the order of the configuration, and the writers among them.

    `ramp`: seconds over which a node that returns after having been down grows to its weight.
    """

    def __init__(self, nodes: Iterable[Node], *, ramp: float = 2.0) -> None:
        self._nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self._nodes:
                raise ValueError(f"node {node.name} is named twice")
            self._nodes[node.name] = node
        self._ramp = ramp
        self.cluster_uuid = ""
        self.epoch = 0
        self.writers: tuple[Node, ...] = ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of them, in the order of the configuration."""
        return tuple(self._nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def observe(self, name: str, health: Health, now: float, *, began: float | None = None) -> list[Transition]:
        """A poll was answered; it began at `began` (default: now)."""
        node = self._nodes[name]
        if began is None:
            began = now
        elif began <= node.signed_at:
            return []  # it says how the node was before the sign
        node.failures = 0
        if node.health is None or node.health.conf_id != health.conf_id:
            node.view_at = now
        node.health = health
        self._elect_cluster()
        standing, reason = self._standing(node, health, began)
        node.relieved = standing is Standing.RELIEVED
        state = _BY_STANDING[standing]
        if node.drained and state is NodeState.UP:
            state, reason = NodeState.DRAINING, node.drain_reason
        changes = self._move(node, state, reason, now)
        if state is NodeState.UP:
            changes += self._give_up_left_behind(health.conf_id, now)
        if node.health.cluster_uuid:
            changes += self._refuse_strangers(now)
        return changes

    def failed_poll(self, name: str, reason: str, now: float, *, timed_out: bool = False) -> list[Transition]:
        """A poll was refused, cut or, with `timed_out`, not answered by its deadline.

        One missed deadline makes a working node suspect only: a busy machine misses one now and then, and taking the
        node for dead would turn the commits that run there into unknown outcomes.
        """
        node = self._nodes[name]
        node.failures += 1
        self._elect_cluster()
        if timed_out and node.state in (NodeState.UP, NodeState.DRAINING):
            node.signed_at = max(node.signed_at, now)
            return self._move(node, NodeState.SUSPECT, reason, now)
        return self._move(node, NodeState.DOWN, reason, now)

    def sign(self, name: str, sign: NodeSign, reason: str, now: float) -> list[Transition]:
        """The traffic showed something. Acts at once; only a poll that begins later can bring the node back."""
        node = self._nodes[name]
        if sign is NodeSign.NONE:
            return []
        if sign is NodeSign.FULL:
            node.penalty_until = now + PENALTY
            return []
        node.signed_at = max(node.signed_at, now)
        state = _BY_SIGN[sign].get(node.state)
        if state is None:
            return []
        node.relieved = False
        return self._move(node, state, reason, now)

    def drain(self, name: str, now: float, reason: str = "") -> list[Transition]:
        """The operator takes the node out; only undrain() brings it back."""
        node = self._nodes[name]
        node.drained = True
        node.drain_reason = reason or "drained by the operator"
        if node.state is NodeState.DOWN:
            return []
        return self._move(node, NodeState.DRAINING, node.drain_reason, now)

    def undrain(self, name: str, now: float) -> list[Transition]:
        """The operator gives the node back; the next healthy poll makes it a writer."""
        node = self._nodes[name]
        if not node.drained:
            return []
        node.drained = False
        if node.state is not NodeState.DRAINING:
            return []
        return self._move(node, NodeState.JOINING, "undrained, waiting for a poll", now)

    def _standing(self, node: Node, health: Health, began: float) -> tuple[Standing, str]:
        if health.standing not in (Standing.READY, Standing.RELIEVED) or not health.cluster_uuid:
            return health.standing, health.reason
        if not self.cluster_uuid:
            return Standing.JOINING, "waiting until the other nodes have told their cluster"
        if health.cluster_uuid != self.cluster_uuid:
            return Standing.OUT, f"belongs to another cluster: {health.cluster_uuid}, not {self.cluster_uuid}"
        if self._behind(node, health, began):
            return Standing.HELD, f"still in view {health.conf_id} of the cluster, the others have moved on"
        return health.standing, health.reason

    def _behind(self, node: Node, health: Health, began: float) -> bool:
        # A node that was frozen past its eviction first answers as it was: Primary, Synced, and stale. Its view
        # tells, and so does its having none while the rest still looks well: it has just begun to notice.
        grace = VIEW_GRACE if node.state is NodeState.UP else 0.0
        for other in self._nodes.values():
            if other is node or other.state is not NodeState.UP or other.health is None:
                continue
            if other.health.conf_id > health.conf_id and other.view_at + grace < began:
                return True
        return False

    def _give_up_left_behind(self, conf_id: int, now: float) -> list[Transition]:
        """A node that misses deadlines, and that the others have gone on without, is not waited for any longer."""
        changes: list[Transition] = []
        for node in self._nodes.values():
            if node.state is not NodeState.SUSPECT or not node.failures or node.health is None:
                continue
            if 0 <= node.health.conf_id < conf_id:
                reason = f"{node.reason}, and the others went on without it"
                changes += self._move(node, NodeState.DOWN, reason, now)
        return changes

    def _elect_cluster(self) -> None:
        # The cluster is what more than half of the nodes call it. Before there was one: what most say, once each node
        # has answered or failed, so that a stranger who answers first is not taken for the cluster.
        votes: dict[str, int] = {}
        silent = 0
        for node in self._nodes.values():
            if node.health is not None and node.health.cluster_uuid:
                votes[node.health.cluster_uuid] = votes.get(node.health.cluster_uuid, 0) + 1
            elif node.health is None and not node.failures:
                silent += 1
        if not votes:
            return
        best = max(votes, key=lambda uuid: votes[uuid])
        if votes[best] * 2 > len(self._nodes) or (not self.cluster_uuid and not silent):
            self.cluster_uuid = best

    def _refuse_strangers(self, now: float) -> list[Transition]:
        changes: list[Transition] = []
        for node in self._nodes.values():
            if node.state is NodeState.UP and node.health is not None:
                uuid = node.health.cluster_uuid
                if uuid and uuid != self.cluster_uuid:
                    reason = f"belongs to another cluster: {uuid}, not {self.cluster_uuid}"
                    changes += self._move(node, NodeState.DOWN, reason, now)
        return changes

    def _move(self, node: Node, state: NodeState, reason: str, now: float) -> list[Transition]:
        node.reason = reason
        old = node.state
        if old is state:
            self._choose_writers()
            return []
        if state is NodeState.UP:
            # Suspicion that one poll dispelled is no absence; the first time up is no return.
            if node.seen_up and old is not NodeState.SUSPECT:
                node.ramp_from, node.ramp = now, self._ramp
                node.load, node.load_at = 0.0, now
            node.seen_up = True
        node.state = state
        node.since = now
        self._choose_writers()
        return [Transition(node, old, state, reason, now)]

    def _choose_writers(self) -> None:
        writers = tuple(node for node in self._nodes.values() if node.state is NodeState.UP)
        if not writers:
            writers = tuple(
                node
                for node in self._nodes.values()
                if node.state is NodeState.DRAINING and node.relieved and not node.drained
            )
        if writers != self.writers:
            self.writers = writers
            self.epoch += 1
