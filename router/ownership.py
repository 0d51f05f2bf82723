"""Which node owns a key, so that transactions which would fight over it meet on one node.

Two transactions that change a row on two nodes of a cluster are a conflict, and one of them is aborted; FOR UPDATE does
not block other nodes either. On one node it is a row lock wait. Owners are found by rendezvous hashing, the same in
every proxy: a lost node moves its own keys only, a returned one takes only its own back. It must not know what a key
stands for.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import Final

from router.membership import Node, NodeState

SETTLE: Final = 5.0
"""Seconds after a change of owner within which a transaction first waits for what the old owner committed."""

MAX_KEYS: Final = 10_000


class _Owned:
    __slots__ = ("after", "changed_at", "node", "open", "writers")

    def __init__(self, node: Node, writers: Sequence[Node], changed_at: float) -> None:
        self.node = node
        self.writers = writers
        self.changed_at = changed_at
        self.open = 0
        self.after: set[str] = set()  # keys that it takes over from, as long as transactions may be open on them


class Owners:
    """Keys (text) to owners. Memory is bounded by `max_keys` and the number of open transactions, whichever is more."""

    __slots__ = ("_keys", "_max_keys", "_settle", "_used", "_writers", "_writers_at")

    def __init__(self, *, settle: float = SETTLE, max_keys: int = MAX_KEYS) -> None:
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
            self._writers = writers
        owned = self._keys.get(key)
        if owned is None:
            node = rendezvous(key, writers)
            if node is None:
                return None, False
            if len(self._keys) >= self._max_keys:
                self._forget(now)
            # Who owned a key that is new here is not known, only that it was the same while the writers were.
            owned = self._keys[key] = _Owned(node, writers, self._writers_at)
        elif owned.writers is not writers and (not owned.open or owned.node not in writers):
            node = rendezvous(key, writers)
            if node is None:
                return None, False
            if node is not owned.node:
                owned.node, owned.changed_at = node, now
            owned.writers = writers
        return owned.node, now - owned.changed_at < self._settle

    def held_elsewhere(self, key: str, writers: Sequence[Node]) -> bool:
        """Transactions on `key` are still open on an owner that takes no new ones but lets these finish, or under the
        key that had its part before.
        """
        owned = self._keys.get(key)
        if owned is None:
            return False
        if owned.after:
            owned.after = {name for name in owned.after if self._open_elsewhere(name, owned.node)}
            if owned.after:
                return True
        return self.draining(key, writers) is not None

    def draining(self, key: str, writers: Sequence[Node]) -> Node | None:
        """The owner of `key`, if it takes no new transactions but lets those finish that are open on it."""
        owned = self._keys.get(key)
        if owned is None or not owned.open or owned.node in writers:
            return None
        return owned.node if owned.node.state is NodeState.DRAINING else None

    def _open_elsewhere(self, key: str, node: Node) -> bool:
        owned = self._keys.get(key)
        return owned is not None and owned.open > 0 and owned.node is not node

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

    def opened(self, key: str) -> None:
        """A transaction on `key` was placed with its owner."""
        owned = self._keys.get(key)
        if owned is not None:
            owned.open += 1

    def closed(self, key: str) -> None:
        """That transaction has ended, however."""
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
