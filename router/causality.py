"""What a read sees of what was committed elsewhere, and how a node is asked to wait for it, ahead of a statement.

    eventual   what has arrived at the node
    session    at least all that the session itself has committed
    strong     at least all that anybody had committed when it began

Galera: `wsrep_sync_wait` is a mask of the kinds of statement that wait: 1 reads and BEGIN, 2 UPDATE and DELETE, 4
INSERT and REPLACE, 8 SHOW (https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait). A wait that
fails ends the statement with 1205.

Group Replication: with `group_replication_consistency` BEFORE, a transaction begins when the member has applied all
that the group had certified (https://dev.mysql.com/doc/refman/9.7/en/group-replication-consistency-guarantees.html).
DDL has no place in the order in which members apply rows: a member that gets rows for a table which it has dropped
already fails, and leaves the group. With BEFORE_AND_AFTER it waits for the rows before it, and is answered once all
members have applied it, so that no rows follow that do not fit.
"""

import enum
from dataclasses import dataclass
from typing import Final

from router.facts import Kind, Statement


@dataclass(frozen=True, slots=True)
class Wait:
    """`on` makes a connection wait ahead of most statements, and needs no privilege; `off` ends that. `just` waits and
    does nothing else, to be run ahead of what would not wait: on MariaDB it leaves the warnings of the statement
    before, which it would not if it had tables, and MySQL lets a SELECT without FROM through.

    fence: makes a connection wait on both sides of DDL, until `off`; b"" where the cluster keeps that in order.
    kinds: of the statements that do wait. without_tables: also where they name none. prepares: PREPARE waits as well.
    unheld: schemas; a statement that names tables of these alone does not.
    """

    on: bytes
    off: bytes
    just: bytes
    fence: bytes
    kinds: frozenset[Kind]
    without_tables: bool
    prepares: bool
    unheld: frozenset[str]

    def covers(self, statement: Statement, schema: str) -> bool:
        """It waits by itself, in a session whose schema is this."""
        if statement.kind not in self.kinds:
            return False
        if self.without_tables:
            return True
        return any((table.rpartition(".")[0] or schema) not in self.unheld for table in statement.tables)


SYNC_WAIT: Final = Wait(
    on=b"SET SESSION wsrep_sync_wait=15",
    off=b"SET SESSION wsrep_sync_wait=DEFAULT",
    just=b"SELECT 1",
    fence=b"",
    kinds=frozenset((Kind.READ, Kind.LOCKING_READ, Kind.WRITE, Kind.SHOW)),
    without_tables=True,
    prepares=True,
    unheld=frozenset(),
)
CONSISTENCY: Final = Wait(
    on=b"SET SESSION group_replication_consistency='BEFORE'",
    off=b"SET SESSION group_replication_consistency=DEFAULT",
    just=b"SELECT 1 FROM (SELECT 1) AS one",
    fence=b"SET SESSION group_replication_consistency='BEFORE_AND_AFTER'",
    kinds=frozenset((Kind.READ, Kind.LOCKING_READ, Kind.WRITE)),
    without_tables=False,
    prepares=False,
    # Of the information schema it is the list of processes alone that is not waited for.
    unheld=frozenset(("performance_schema", "sys", "information_schema")),
)


class Level(enum.Enum):
    """The values are those of the settings, and of what clients set."""

    EVENTUAL = "eventual"
    SESSION = "session"
    STRONG = "strong"
