"""The workers of one proxy: what one of them knows of the others, and its share of what the settings allow to all.

Knows neither processes nor how the workers talk.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from config import Config, Console, Http
from proxy.board import Seat
from router.contention import Conflict, Contention

if TYPE_CHECKING:
    from proxy.console.tables import Row
    from proxy.counters import Metrics
    from proxy.kill import Killed
    from router.backoff import LoginBackoff


class Crew(Protocol):
    """The others, as one worker sees them."""

    @property
    def seat(self) -> Seat: ...

    async def kill(self, connection_id: int, *, query_only: bool, account: str, by: str) -> "Killed":
        """KILL of another worker's client by one of ours, who has this account."""

    def lost_sight(self, node: str) -> None:
        """Something is wrong with this node: the others had better look at once."""

    @property
    def contention(self) -> Contention:
        """What was learnt of conflicts before this worker came; its own from now on."""

    def lost_conflict(self, lost: Conflict, transactions: int, at: float) -> None:
        """One of our transactions has lost a conflict; see `Contention.heard`."""

    def login_judged(self, address: str, succeeded: bool) -> None:
        """A login from there failed, or ended failures; see `LoginBackoff.heard`."""

    def want(self, key: str) -> None:
        """Somebody here waits in the queue of this key: its lease is asked for. See `router.leases`."""

    def give(self, key: str) -> None:
        """The lease goes back."""


class Operated(Protocol):
    """What operators look at and act on: one process, or all workers as one."""

    @property
    def config(self) -> Config: ...
    @property
    def metrics(self) -> "Metrics": ...
    @property
    def backoff(self) -> "LoginBackoff": ...
    @property
    def clients(self) -> int: ...
    @property
    def nodes(self) -> list[str]: ...

    def greeted_version(self) -> str: ...
    def run(self, work: Coroutine[Any, Any, None], name: str) -> None: ...
    async def table(self, name: str) -> "list[Row]": ...
    async def drain_node(self, name: str, *, undo: bool) -> None: ...
    async def kill(self, connection_id: int, *, query_only: bool) -> "Killed": ...


def share(config: Config, number: int, workers: int) -> Config:
    """The settings of one of `workers`, counted from 0: limits of what each has for itself are divided, so that all
    together keep to them. How many clients there may be is common, see `proxy.board`. What there is once, HTTP and the
    console, is not a worker's.
    """
    backends, more = divmod(config.pool.max_backends, workers)
    limits = config.limits
    return replace(
        config,
        http=Http(),
        console=Console(),
        pool=replace(config.pool, max_backends=backends + (number < more)),
        endpoints=tuple(replace(each, queue_length=-(-each.queue_length // workers)) for each in config.endpoints),
        limits=replace(
            limits,
            max_pending_logins=-(-limits.max_pending_logins // workers),
            kept_answer_bytes=limits.kept_answer_bytes // workers,
        ),
        replay=replace(
            config.replay,
            total_journal_bytes=config.replay.total_journal_bytes // workers,
            budget_per_node=max(1.0, config.replay.budget_per_node / workers),
        ),
    )
