"""The proxy with another placement: a session that may move does, at each statement, to a node drawn by lot.

Run as `python -m tests.support.moving SEED serve --config FILE`, as MovingProxy does. Beside the placement only one
thing differs from the command that users run: where a session comes back to a node it does not look for the backend it
had there.
"""

import random
import sys
from collections.abc import Sequence

from proxy import cli, pool
from proxy.backend import Backend
from proxy.demo.processes import Process
from router import placement
from router.membership import Node
from router.session import State
from tests.support.proxy import Proxy


class MovingProxy(Proxy):
    """A proxy with that placement."""

    def start(self, *, wait: bool = True) -> None:
        launcher = [sys.executable, "-m", "tests.support.moving", "1"]
        with self.log.open("ab") as log:
            self.process = Process([*launcher, "serve", "--config", self.settings], output=log)
        if wait:
            self.wait_ready()


def move(seed: int) -> None:
    """Make every later placement a move."""
    lot = random.Random(seed)

    def choose(
        self: placement.Spread, writers: Sequence[Node], current: Node | None, now: float, chance: float
    ) -> Node | None:
        others = [node for node in writers if node is not current] or list(writers)
        if not others:
            return None
        node = lot.choice(others)
        node.placed(now)
        return node

    take = pool.NodePool.take

    def take_any(
        self: pool.NodePool, profile: pool.Profile, state: State, guarded: bool | None, own: Backend | None
    ) -> Backend | None:
        last = own.last_user if own is not None else None
        stays = last is not None and last.node is self.node  # type: ignore[attr-defined]  # it is a relay
        return take(self, profile, state, guarded, own if stays else None)

    placement.Spread.choose = choose  # type: ignore[method-assign]
    pool.NodePool.take = take_any  # type: ignore[method-assign]


if __name__ == "__main__":
    move(int(sys.argv[1]))
    sys.exit(cli.main(sys.argv[2:]))
