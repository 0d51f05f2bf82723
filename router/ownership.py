"""Which node owns a key, so that transactions which would fight over it meet on one node.

Two transactions that change a row on two nodes of a cluster are a conflict, and one of them is aborted; FOR UPDATE does
not block other nodes either. On one node it is a row lock wait. Owners are found by rendezvous hashing, the same in
every proxy: a lost node moves its own keys only, a returned one takes only its own back. It must not know what a key
stands for.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import Final, Protocol

from router.membership import Node, NodeState

SETTLE: Final = 5.0
"""Seconds after a change of owner within which a transaction first waits for what the old owner committed."""

MAX_KEYS: Final = 10_000

LETS_FINISH: Final = frozenset((NodeState.DRAINING, NodeState.JOINING))
"""Such a node takes no new transactions, and those that are open there go on: also on one that was in step and is
catching up, as the donor of a state is behind the transfer."""


class Others(Protocol):
    """What the workers of one proxy see of each other: how many transactions are open on a key, by node."""

    def add(self, key: str, node: str, change: int) -> None:
        """So many more of ours are."""

    def open(self, key: str, node: str) -> bool:
        """Some of another worker's are."""


class _Nobody:
    """There are no other workers."""

    def add(self, key: str, node: str, change: int) -> None:
        pass

    def open(self, key: str, node: str) -> bool:
        return False


class _Owned:
    __slots__ = ("after", "changed_at", "moved", "node", "open", "writers")

    def __init__(self, node: Node, writers: Sequence[Node], changed_at: float) -> None:
        self.node = node
        self.writers = writers
        self.changed_at = changed_at
        self.moved = False  # not yet settled since it had another owner
        self.open = 0
        self.after: set[str] = set()  # keys that it takes over from, as long as transactions may be open on them


class Owners:
    """Keys (text) to owners. Memory is bounded by `max_keys` and the number of open transactions, whichever is more."""

    __slots__ = ("_keys", "_known", "_max_keys", "_others", "_settle", "_used", "_writers", "_writers_at")

    def __init__(self, *, settle: float = SETTLE, max_keys: int = MAX_KEYS, others: Others | None = None) -> None:
        self._others: Others = others or _Nobody()
        self._known: dict[Node, None] = {}  # all that have been writers
        self._settle = settle
        self._max_keys = max_keys
        self._keys: dict[str, _Owned] = {}
        self._used: dict[str, str] = {}  # what -> the key that its owner was last found by
        self._writers: Sequence[Node] = ()
        self._writers_at = float("-inf")

    def __len__(self) -> int:
        return len(self._keys)

    def owner(self, key: str, writers: Sequence[Node], now: float) -> tuple[Node | None, bool]:
        """The node that transactions on `key` go to, and whether they must first wait for the old owner's commits.

        While transactions are open on a key its owner stays, unless it is no writer any more. (None, False): no writer.
        """
        if writers is not self._writers:
            if tuple(writers) != tuple(self._writers):
                self._writers_at = now
                self._known.update(dict.fromkeys(writers))
            self._writers = writers
        owned = self._keys.get(key)
        if owned is None:
            node = self._in_use(key, writers) or rendezvous(key, writers)
            if node is None:
                return None, False
            if len(self._keys) >= self._max_keys:
                self._forget(now)
            # Who owned a key that is new here is not known, only that it was the same while the writers were.
            owned = self._keys[key] = _Owned(node, writers, self._writers_at)
        elif owned.writers is not writers and (owned.node not in writers or not self._is_open(key, owned)):
            node = rendezvous(key, writers)
            if node is None:
                return None, False
            if node is not owned.node:
                owned.node, owned.changed_at, owned.moved = node, now, True
            owned.writers = writers
        unsettled = now - owned.changed_at < self._settle
        owned.moved = owned.moved and unsettled
        return owned.node, unsettled

    def _is_open(self, key: str, owned: _Owned) -> bool:
        return owned.open > 0 or self._others.open(key, owned.node.name)

    def _in_use(self, key: str, writers: Sequence[Node]) -> Node | None:
        """The owner that another worker has for a key that is new here: as long as transactions are open there."""
        return next((node for node in writers if self._others.open(key, node.name)), None)

    def held_elsewhere(self, key: str, writers: Sequence[Node]) -> bool:
        """Transactions on `key` are still open on an owner that takes no new ones but lets these finish, or under the
        key that had its part before.
        """
        owned = self._keys.get(key)
        if owned is None:
            return any(
                node.state in LETS_FINISH and node not in writers and self._others.open(key, node.name)
                for node in self._known
            )
        if owned.after:
            owned.after = {name for name in owned.after if self._open_elsewhere(name, owned.node)}
            if owned.after:
                return True
        if owned.node not in writers:
            return self.draining(key, writers) is not None
        return owned.moved and self._others_elsewhere(key, owned.node)

    def draining(self, key: str, writers: Sequence[Node]) -> Node | None:
        """The owner of `key`, if it takes no new transactions but lets those finish that are open on it."""
        owned = self._keys.get(key)
        if owned is None or owned.node in writers or not self._is_open(key, owned):
            return None
        return owned.node if owned.node.state in LETS_FINISH else None

    def _open_elsewhere(self, key: str, node: Node) -> bool:
        owned = self._keys.get(key)
        if owned is not None and owned.open > 0 and owned.node is not node:
            return True
        return self._others_elsewhere(key, node)

    def _others_elsewhere(self, key: str, node: Node) -> bool:
        """Other workers have transactions open on `key`, on a node that lets them finish."""
        return any(
            other is not node and other.state is not NodeState.DOWN and self._others.open(key, other.name)
            for other in self._known
        )

    def use(self, what: str, key: str, writers: Sequence[Node], now: float) -> None:
        """The owner of `what` is found by `key` now. When it was found by another one before, the new owner first waits
        for those that are open there, and for what they commit.
        """
        before = self._used.get(what)
        if before == key:
            return
        if before is None and len(self._used) >= self._max_keys:
            self._used.clear()
        self._used[what] = key
        if before is not None:
            self.unsettle(key, writers, now)
            owned = self._keys.get(key)
            if owned is not None:
                owned.after.add(before)

    def unsettle(self, key: str, writers: Sequence[Node], now: float) -> None:
        """Until now transactions on `key` were committed anywhere: its owner has to apply that first."""
        self.owner(key, writers, now)
        owned = self._keys.get(key)
        if owned is not None:
            owned.changed_at = now

    def settled(self, key: str) -> None:
        """A transaction has seen that the owner has all that was committed elsewhere."""
        owned = self._keys.get(key)
        if owned is not None and not owned.after:
            owned.changed_at = float("-inf")
            owned.moved = False

    def opened(self, key: str) -> Node | None:
        """A transaction on `key` was placed with its owner, which is returned; None: nobody knows the key."""
        owned = self._keys.get(key)
        if owned is None:
            return None
        owned.open += 1
        self._others.add(key, owned.node.name, 1)
        return owned.node

    def closed(self, key: str, node: Node) -> None:
        """That transaction, placed with `node`, has ended, however."""
        self._others.add(key, node.name, -1)
        owned = self._keys.get(key)
        if owned is not None and owned.open:
            owned.open -= 1

    def _forget(self, now: float) -> None:
        settled = now - self._settle
        for keep_fresh in (True, False):
            idle = [
                key
                for key, owned in self._keys.items()
                if not owned.open and not owned.after and not (keep_fresh and owned.changed_at > settled)
            ]
            for key in idle:
                del self._keys[key]
            if len(self._keys) < self._max_keys:
                return


def rendezvous(key: str, writers: Sequence[Node]) -> Node | None:
    """The writer with the highest score for `key`; a node's chance to win is in proportion to its weight."""
    best: Node | None = None
    best_score = 0.0
    for node in writers:
        if node.weight <= 0.0:
            continue
        digest = blake2b(f"{node.name}\0{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
        score = -node.weight / log(uniform)
        if best is None or score > best_score:
            best, best_score = node, score
    return best
