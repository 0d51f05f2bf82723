"""What differs from one kind of cluster to the other: one entry per kind, so that nobody else asks which one it is.

Data and pure functions. It must not know how a node is asked or a statement is sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from router import causality, galera, group_replication, outcomes
from router.causality import Wait
from router.membership import Health

Rows = Sequence[tuple[str | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One kind of cluster.

    name: as in the settings, and in router.outcomes. engine: whose grammar and built-in functions.
    version, collation: greeted with until a node has told its own.
    prepare: what the monitor says first on a connection. question: what it asks in each poll.
    observe: from the answer's rows, when it came (seconds) and what the last call left, the health of the node and what
        the next call is to be given.
    wait: how a node is asked to wait for what was committed elsewhere.
    reset_ends_waiting: after COM_RESET_CONNECTION a connection can't be made to wait any more.
    prepares_types: a prepared statement's parameters have the types that fitted its tables at that time, whatever these
        are now.
    reset_changes_charset: COM_RESET_CONNECTION leaves the server's character set, not that of the login.
    view_delivers: what a lost node had sent is delivered to the others with the view that it is not in.
    recovery_patience: seconds that others wait for the transactions of a lost node to have their locks back.
    savepoints_hide_aborts: after a SAVEPOINT, COMMIT succeeds though the transaction was undone while it idled.
    unknown_statement: how error 1243 names what was to be done with a statement; "": each command has its own name.
    """

    name: str
    engine: str
    version: str
    collation: int
    prepare: str
    question: str
    observe: Callable[[Rows, float, Any], tuple[Health, Any]]
    wait: Wait
    reset_ends_waiting: bool
    prepares_types: bool
    reset_changes_charset: bool
    view_delivers: bool
    recovery_patience: float
    savepoints_hide_aborts: bool
    unknown_statement: str


GALERA: Final = Flavor(
    name=outcomes.GALERA,
    engine="mariadb",
    version="5.5.5-10.11.0-MariaDB",
    collation=45,  # utf8mb4_general_ci, as distributions have it
    prepare=galera.PREPARE,
    question=galera.QUESTION,
    observe=galera.observe,
    wait=causality.SYNC_WAIT,
    reset_ends_waiting=True,  # seen on MariaDB 10.11
    prepares_types=False,
    reset_changes_charset=False,
    view_delivers=True,
    recovery_patience=2.0,
    savepoints_hide_aborts=False,
    unknown_statement="",
)

GROUP_REPLICATION: Final = Flavor(
    name=outcomes.GROUP,
    engine="mysql",
    version="8.4.0",
    collation=255,  # utf8mb4_0900_ai_ci
    prepare=group_replication.PREPARE,
    question=group_replication.QUESTION,
    observe=group_replication.observe,
    wait=causality.CONSISTENCY,
    reset_ends_waiting=False,
    prepares_types=True,
    reset_changes_charset=True,
    # Messages have one order for all members: who waits for its own has got every one that came before.
    view_delivers=False,
    # Until a silent member is expelled whatever waits for the group takes a quarter of a second, and often several.
    recovery_patience=8.0,
    savepoints_hide_aborts=True,
    unknown_statement="mysql_stmt_precheck",
)

# The same replication in MySQL's server.
PERCONA: Final = replace(
    GALERA,
    name=outcomes.PERCONA,
    engine=GROUP_REPLICATION.engine,
    version=GROUP_REPLICATION.version,
    collation=GROUP_REPLICATION.collation,
    question=galera.PERCONA_QUESTION,
    prepares_types=GROUP_REPLICATION.prepares_types,
    reset_changes_charset=GROUP_REPLICATION.reset_changes_charset,
    unknown_statement=GROUP_REPLICATION.unknown_statement,
)

FLAVORS: Final[Mapping[str, Flavor]] = MappingProxyType(
    {flavor.name: flavor for flavor in (GALERA, PERCONA, GROUP_REPLICATION)}
)
