"""How often, how soon and how long a failed statement or transaction may be tried again.

Two limits that do not know of each other: each transaction's own attempts and time, and each node's budget, so that a
storm of conflicts or a sick node cannot feed itself. Time and chance are passed in; why something failed is not known
here.
"""

from dataclasses import dataclass
from typing import Final

MAX_DOUBLINGS: Final = 30

# What a transaction that lost to others does differently, and from which of its retries on.
MEETS: Final = 2
WAITS_FOR_ALL: Final = 3
RIGHT_OF_WAY: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """Times in seconds."""

    max_attempts: int = 30  # retries of one transaction, its first run not counted
    max_time: float = 10.0  # from its first failure to the start of its last retry
    backoff_base: float = 0.002
    backoff_max: float = 0.1


class Attempts:
    """The retries of one transaction, or of one autocommit statement."""

    __slots__ = ("_backoffs", "_limits", "_started", "count", "exhausted")

    def __init__(self, limits: RetryLimits) -> None:
        self._limits = limits
        self._started = 0.0
        self._backoffs = 0
        self.count = 0
        self.exhausted = ""  # "attempts" or "time" once next() has said no

    def next(self, now: float, chance: float, *, at_once: bool = False) -> float | None:
        """Seconds to wait before the next try, or None when there must be none.

        The wait doubles with each conflict and is spread over its upper half by `chance` in [0, 1), so that two
        transactions which met once do not meet again. `at_once`: the cause was the node and another one is there;
        waiting would help nobody. Time counts from the first call.
        """
        if self.exhausted:
            return None
        if self.count == 0:
            self._started = now
        if self.count >= self._limits.max_attempts:
            self.exhausted = "attempts"
            return None
        delay = 0.0
        if not at_once:
            ceiling = self._limits.backoff_base * float(2 ** min(self._backoffs, MAX_DOUBLINGS))
            delay = min(self._limits.backoff_max, ceiling) * (0.5 + 0.5 * chance)
        if now + delay - self._started > self._limits.max_time:
            self.exhausted = "time"
            return None
        if not at_once:
            self._backoffs += 1
        self.count += 1
        return delay

    @property
    def meets(self) -> bool:
        """It goes to one node with all who fight over its table. There they wait for each other's row locks; on two
        nodes one of them is aborted.
        """
        return self.count >= MEETS

    @property
    def waits_for_all(self) -> bool:
        """It first waits for what it lost to: a node that has yet to apply that would refuse each one."""
        return self.count >= WAITS_FOR_ALL

    @property
    def has_right_of_way(self) -> bool:
        """At its tables; the others wait for it."""
        return self.count >= RIGHT_OF_WAY

    def spare(self, seconds: float) -> None:
        """So long it has waited for others, which does not count."""
        self._started += seconds


class Budget:
    """A node's retries per second: a token bucket that holds `burst` (default: one second's worth) and starts full."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = rate if burst is None else burst
        self._tokens = self._burst
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Spend one retry; False when there is none left."""
        if now > self._at:
            if self._tokens < self._burst:
                self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
