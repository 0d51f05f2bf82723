"""What the settings say of placement, causality and replays for the clients of one endpoint, or one of its users.

One object for each, which sessions hold: a reload of the settings gives it new values, and open sessions have them with
their next transaction. It decides nothing.
"""

from dataclasses import replace
from typing import Final

from config import Config, Endpoint, User
from router.causality import Level
from router.retry import Budget, RetryLimits

SPREAD: Final = "spread"
AFFINITY: Final = "affinity"
ADAPTIVE: Final = "adaptive"


class Policy:
    """`by_key`: each transaction's node follows from its key. `adapts`: that of those that are fought over does.
    `careful`: conflicts must not happen at all, since the client has computed with what it read: transactions queue
    from the beginning. `places`: there is something to find out about each transaction.
    """

    __slots__ = (
        "adapts",
        "affinity",
        "budgets",
        "by_key",
        "careful",
        "journal_bytes",
        "level",
        "limits",
        "places",
        "queue_length",
        "queue_wait",
        "replays",
        "snapshot_isolation",
        "strong",
    )

    def __init__(self, config: Config, endpoint: Endpoint, user: User | None = None) -> None:
        self.budgets: dict[str, Budget] | None = None
        self.apply(config, endpoint, user)

    def apply(self, config: Config, endpoint: Endpoint, user: User | None) -> None:
        """Take the values of these settings; what a user says counts before what the endpoint does."""
        placement = endpoint.placement
        causality = endpoint.causality
        self.snapshot_isolation = endpoint.snapshot_isolation
        if user is not None:
            placement = user.placement or placement
            causality = user.causality or causality
            if user.snapshot_isolation is not None:
                self.snapshot_isolation = user.snapshot_isolation
        self.by_key = placement == AFFINITY
        self.adapts = placement == ADAPTIVE
        self.careful = self.adapts and self.snapshot_isolation
        self.places = self.by_key or self.careful
        self.affinity = endpoint.affinity
        self.level = Level(causality)
        self.strong = self.level is Level.STRONG
        self.queue_length = endpoint.queue_length
        self.queue_wait = endpoint.queue_wait
        own = endpoint.replay
        common = config.replay
        said = {
            name: value
            for name in ("enabled", "max_attempts", "max_time", "journal_bytes", "backoff_base", "backoff_max")
            if (value := getattr(own, name)) is not None
        }
        merged = replace(common, **said)
        self.replays = merged.enabled
        self.limits = RetryLimits(
            max_attempts=merged.max_attempts,
            max_time=merged.max_time,
            backoff_base=merged.backoff_base,
            backoff_max=merged.backoff_max,
        )
        self.journal_bytes = merged.journal_bytes
        rate = own.budget_per_node
        self.budgets = None if rate is None else {str(node): Budget(rate) for node in config.cluster.nodes}
