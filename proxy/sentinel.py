"""Shows, ahead of COMMIT, that a transaction which set savepoints is whole, where the server itself does not notice.

A member of a MySQL group that rolled an idle transaction back for another's commit answers SAVEPOINT with OK. The
engine begins anew with it, while the log of the transaction still has all that was undone; COMMIT then answers OK, too,
and gives that log to the group: the members differ from then on, each of them ONLINE (seen on MySQL 9.7).

So a transaction of a session that uses savepoints gets one of our own, the sentinel, before it has written anything. It
is gone with what was undone, and RELEASE SAVEPOINT of it, ahead of COMMIT, succeeds only if nothing was. A session's
first SAVEPOINT may come when it is too late for that: then the transaction is run again, with a sentinel.
"""

from typing import TYPE_CHECKING, Final

from proxy.backend import ROLLBACK, Backend
from proxy.request import Request
from proxy.wire.constants import COM_QUERY
from proxy.wire.packets import ServerError
from router.facts import Kind
from router.transaction import Stage

if TYPE_CHECKING:
    from proxy.relay import Relay

NAME: Final = b"`multiwriter sentinel`"
# A savepoint is of those engines alone that the transaction has used. This uses InnoDB, and takes no snapshot.
USE: Final = b"DO (SELECT 1 FROM information_schema.character_sets LIMIT 0)"
SET: Final = b"SAVEPOINT " + NAME
RELEASE: Final = b"RELEASE SAVEPOINT " + NAME

DEADLOCK: Final = ServerError(1213, "40001", "Deadlock found when trying to get lock; try restarting transaction")


class Undone(Exception):
    """The open transaction was rolled back, by the server or to begin it again; clients are told of a deadlock.

    `conflict`: another transaction was the cause.
    """

    def __init__(self, *, conflict: bool) -> None:
        super().__init__("conflict" if conflict else "savepoint")
        self.conflict = conflict


def due(relay: "Relay", request: Request) -> bool:
    """Has `ahead` anything to do before this command is sent?"""
    if not relay.cluster.flavor.savepoints_hide_aborts:
        return False
    statement = request.statement
    transaction = relay.transaction
    if transaction.alone or (transaction.stage is Stage.NONE and relay.state.autocommit):
        return False
    if statement.kind is Kind.SAVEPOINT:
        relay.savepoints = True
    elif not relay.savepoints:
        return False
    if transaction.sentinel:
        return transaction.wrote and statement.commits and statement.kind is not Kind.ROLLBACK
    return (statement.may_write or statement.kind is Kind.SAVEPOINT) and not statement.commits


async def ahead(relay: "Relay", backend: Backend) -> None:
    """The transaction is open on `backend`: set the sentinel, or ask for it. Raises `Undone` and `Lost`."""
    transaction = relay.transaction
    if transaction.sentinel:
        transaction.sentinel = False
        if (await backend.run(backend.profile.query(RELEASE), COM_QUERY)).error is not None:
            await backend.run(backend.profile.query(ROLLBACK), COM_QUERY)
            raise Undone(conflict=True)
    elif transaction.wrote:
        await backend.run(backend.profile.query(ROLLBACK), COM_QUERY)
        raise Undone(conflict=False)
    else:
        await plant(relay, backend)


async def plant(relay: "Relay", backend: Backend) -> None:
    """Set the sentinel of a transaction that has not written. Raises `Undone` and `Lost`."""
    for step in (USE, SET):
        if (await backend.run(backend.profile.query(step), COM_QUERY)).error is not None:
            await backend.run(backend.profile.query(ROLLBACK), COM_QUERY)
            raise Undone(conflict=True)
    relay.transaction.sentinel = True
