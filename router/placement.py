"""Which writer a transaction runs on, when any will do.

A session stays on its node while that is fair, since a warm backend and reading its own writes without a wait are
worth more than perfect balance; it goes when its node has clearly had more than its share or is clearly busier. It
must not know why a node is a writer, nor what the transaction does.
"""

from collections.abc import Callable, Sequence
from typing import Final

from router.membership import Node

TOLERANCE: Final = 0.05
"""By how much a node's share may exceed the smallest before sessions leave it."""

SLACK: Final = 2.0
"""Placements by which shares may always differ: at a few per second, who had the last one says nothing."""

BUSIER: Final = 2.0
"""Outstanding transactions by which a node may exceed the idlest before sessions leave it."""

TIMES_BUSIER: Final = 1.5
"""And how many times as many it may have besides: of many, some more come and go by chance."""


class Spread:
    """Placement by least work, with hysteresis. Holds nothing but its limits: what it weighs is in the nodes."""

    __slots__ = ("_busier", "_slack", "_times_busier", "_tolerance")

    def __init__(
        self,
        *,
        tolerance: float = TOLERANCE,
        slack: float = SLACK,
        busier: float = BUSIER,
        times_busier: float = TIMES_BUSIER,
    ) -> None:
        self._tolerance = 1.0 + tolerance
        self._slack = slack
        self._busier = busier
        self._times_busier = times_busier

    def choose(
        self, writers: Sequence[Node], current: Node | None, now: float, chance: Callable[[], float]
    ) -> Node | None:
        """The node for the next transaction, counted as placed there; None when no writer may have it.

        `current`: where the session was, not counting it among its outstanding. `chance`
        gives a number in [0, 1) where one is needed.
        """
        best: Node | None = None  # the smallest share
        best_share = 0.0
        idle = 0.0  # the smallest number of outstanding by weight
        mine = -1.0
        mine_busy = 0.0
        best_busy = 0.0
        for node in writers:
            weight = node.weight_now(now)
            if weight <= 0.0 or node.penalty_until > now:
                continue
            share = node.load_now(now) / weight
            busy = node.outstanding / weight
            if best is None or share < best_share:
                best_share, best_busy = share, busy
                if best is None or busy < idle:
                    idle = busy
                best = node
            elif busy < idle:
                idle = busy
            if node is current:
                mine, mine_busy = share, busy
        if best is None:
            return self._last_resort(writers, now, chance())
        if current is not None and mine >= 0.0 and mine_busy < idle * self._times_busier + self._busier:
            # Never flock to where it is busier already: that is what keeps sessions which all see the same small share
            # from leaving together.
            if mine <= best_share * self._tolerance + self._slack or best_busy > mine_busy:
                best = current
            best.placed(now)
            return best
        chosen = self._two_choices(writers, now, chance())
        chosen.placed(now)
        return chosen

    def _two_choices(self, writers: Sequence[Node], now: float, chance: float) -> Node:
        eligible = [node for node in writers if node.penalty_until <= now and node.weight_now(now) > 0.0]
        return _better_of_two(eligible, now, chance)

    def _last_resort(self, writers: Sequence[Node], now: float, chance: float) -> Node | None:
        # All that have a weight are penalised: the least busy of them.
        eligible = [node for node in writers if node.weight_now(now) > 0.0]
        if not eligible:
            return None
        chosen = _better_of_two(eligible, now, chance)
        chosen.placed(now)
        return chosen


def _better_of_two(nodes: list[Node], now: float, chance: float) -> Node:
    count = len(nodes)
    if count == 1:
        return nodes[0]
    # One number gives both choices: the first of `count`, the second of the others.
    pair = int(chance * count * (count - 1))
    first, second = divmod(pair, count - 1)
    if second >= first:
        second += 1
    one, two = nodes[first], nodes[second]
    one_weight, two_weight = one.weight_now(now), two.weight_now(now)
    one_key = (one.outstanding / one_weight, one.load_now(now) / one_weight)
    two_key = (two.outstanding / two_weight, two.load_now(now) / two_weight)
    return two if two_key < one_key else one
