"""`innodb_snapshot_isolation`: which servers have it, and how a session begins with it.

With it, a transaction that changes what was committed after its snapshot was taken fails with error 1020 and is rolled
back; without it, it overwrites what it never saw.
https://mariadb.com/kb/en/innodb-system-variables/#innodb_snapshot_isolation
"""

import re
from typing import Final

from router.session import State

ISOLATED: Final = State(variables=(("innodb_snapshot_isolation", "ON"),))
"""As if the client had set it."""

_FIRST: Final = {(10, 6): 18, (10, 11): 8, (11, 0): 6, (11, 1): 5, (11, 2): 4, (11, 3): 3, (11, 4): 2}
_VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)-MariaDB", re.IGNORECASE)


def has_it(version: str) -> bool:
    """Whether a server of this version, as it greets, knows the variable."""
    found = _VERSION.match(version)
    if found is None:
        return False
    release = (int(found[1]), int(found[2]))
    return release > (11, 4) or int(found[3]) >= _FIRST.get(release, 10**6)
