"""How a node is asked to wait, ahead of a statement, for what the session committed elsewhere.

Galera: `wsrep_sync_wait` is a mask of the kinds of statement that wait: 1 reads and BEGIN, 2 UPDATE and DELETE, 4
INSERT and REPLACE, 8 SHOW (https://mariadb.com/kb/en/galera-cluster-system-variables/#wsrep_sync_wait). A wait that
fails ends the statement with 1205.
"""

from typing import Final

WAIT: Final = b"SET SESSION wsrep_sync_wait=15"
DO_NOT_WAIT: Final = b"SET SESSION wsrep_sync_wait=DEFAULT"
