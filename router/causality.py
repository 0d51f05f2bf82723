"""What a read sees of what was committed elsewhere, and how a node is asked to wait for it, ahead of a statement.

    eventual   what has arrived at the node
    session    at least all that the session itself has committed
    strong     at least all that anybody had committed when it began

Galera: `wsrep_sync_wait` is a mask of the kinds of statement that wait: 1 reads and BEGIN, 2 UPDATE and DELETE, 4
INSERT and REPLACE, 8 SHOW (https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait). A wait that
fails ends the statement with 1205.

Group Replication: with `group_replication_consistency` BEFORE, a transaction begins when the member has applied all
that the group had certified (https://dev.mysql.com/doc/refman/9.7/en/group-replication-consistency-guarantees.html).
"""

import enum
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Wait:
    """`on` makes a connection wait ahead of each statement, and needs no privilege; `off` ends that."""

    on: bytes
    off: bytes


SYNC_WAIT: Final = Wait(b"SET SESSION wsrep_sync_wait=15", b"SET SESSION wsrep_sync_wait=DEFAULT")
CONSISTENCY: Final = Wait(
    b"SET SESSION group_replication_consistency='BEFORE'", b"SET SESSION group_replication_consistency=DEFAULT"
)


class Level(enum.Enum):
    """The values are those of the settings, and of what clients set."""

    EVENTUAL = "eventual"
    SESSION = "session"
    STRONG = "strong"
