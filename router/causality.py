"""What a read sees of what was committed elsewhere, and how a node is asked to wait for it, ahead of a statement.

    eventual   what has arrived at the node
    session    at least all that the session itself has committed
    strong     at least all that anybody had committed when it began

Galera: `wsrep_sync_wait` is a mask of the kinds of statement that wait: 1 reads and BEGIN, 2 UPDATE and DELETE, 4
INSERT and REPLACE, 8 SHOW (https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait). A wait that
fails ends the statement with 1205.
"""

import enum
from typing import Final

WAIT: Final = b"SET SESSION wsrep_sync_wait=15"
DO_NOT_WAIT: Final = b"SET SESSION wsrep_sync_wait=DEFAULT"


class Level(enum.Enum):
    """The values are those of the settings, and of what clients set."""

    EVENTUAL = "eventual"
    SESSION = "session"
    STRONG = "strong"
