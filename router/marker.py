"""The commit marker: how a commit leaves a trace that tells, after its answer was lost, whether it happened.

A transaction writes one row of ours and commits in one statement, a procedure that does both or neither. Each backend
has a *slot*, a row of its own, whose number each commit counts up by compare-and-set: commit `n` succeeds only where
the slot is at `n - 1`. After a loss somebody tries to write the *tombstone*, the same step in the slot without the
commit. At most one of the two can be certified, so whichever is there is final: a late commit finds its number taken.
To read the slot would not do, since the commit might still be on its way.

Nothing has to be purged for that to hold, and a slot that was purged lets no late commit in either: compare-and-set
finds no row. So the table has a row for each backend of the last day; each new slot takes a forgotten one's place.

Only statements and what their answers mean; it must not know who sends them.
"""

import enum
from collections.abc import Sequence
from typing import Final

SCHEMA: Final = "multiwriter"
TABLE: Final = "multiwriter.commit_marker"
COMMIT_PROCEDURE: Final = "multiwriter.commit_marked"
SLOT_PROCEDURE: Final = "multiwriter.take_slot"
OWNER: Final = "'multiwriter_marker'@'localhost'"
"""The account whose rights the procedures have. Nobody can log in as it."""

FORGOTTEN: Final = 86_400  # seconds without use after which a slot's row may go

# What the procedures say when they refuse; router.outcomes knows them by these.
NOT_MARKED: Final = "multiwriter: not to be marked"
NOT_OURS: Final = "multiwriter: the slot is not at that number"

# SYSDATE() is the time whatever the client has set `timestamp` to. A commit that is not written to the binary log is
# not replicated, and a marker beside it would not be either; a completion type that the client did not name in its
# COMMIT is found out here.
_COMMIT: Final = f"""\
CREATE DEFINER = {OWNER} PROCEDURE IF NOT EXISTS {COMMIT_PROCEDURE}
    (IN in_slot BIGINT UNSIGNED, IN in_number BIGINT UNSIGNED, IN in_chain TINYINT)
    MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    IF @@SESSION.sql_log_bin = 0 OR (in_chain IS NULL AND @@SESSION.completion_type <> 'NO_CHAIN') THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{NOT_MARKED}';
    END IF;
    UPDATE {TABLE} SET number = in_number, abandoned = 0, used = UNIX_TIMESTAMP(SYSDATE())
        WHERE slot = in_slot AND number = in_number - 1;
    IF ROW_COUNT() <> 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{NOT_OURS}';
    END IF;
    IF in_chain = 1 THEN
        COMMIT AND CHAIN NO RELEASE;
    ELSE
        COMMIT AND NO CHAIN NO RELEASE;
    END IF;
END"""  # noqa: S608

# The forgotten row is looked for from a number taken by chance, so that two who begin at once take different ones. A
# SELECT of its own locks nothing: in a SET it locks all rows behind that number, and waits for commits under way there.
_TAKE: Final = f"""\
CREATE DEFINER = {OWNER} PROCEDURE IF NOT EXISTS {SLOT_PROCEDURE} (IN in_slot BIGINT UNSIGNED)
    MODIFIES SQL DATA SQL SECURITY DEFINER
BEGIN
    DECLARE now_is BIGINT UNSIGNED DEFAULT UNIX_TIMESTAMP(SYSDATE());
    DECLARE forgotten BIGINT UNSIGNED DEFAULT NULL;
    SELECT MIN(slot) INTO forgotten FROM {TABLE} WHERE slot > in_slot AND used < now_is - {FORGOTTEN};
    IF forgotten IS NOT NULL THEN
        DELETE FROM {TABLE} WHERE slot = forgotten AND used < now_is - {FORGOTTEN};
    END IF;
    INSERT INTO {TABLE} (slot, number, abandoned, used) VALUES (in_slot, 0, 0, now_is);
    COMMIT AND NO CHAIN NO RELEASE;
END"""  # noqa: S608

STRUCTURE: Final = (
    f"CREATE DATABASE IF NOT EXISTS {SCHEMA}",
    f"""\
CREATE TABLE IF NOT EXISTS {TABLE} (
    slot BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    number BIGINT UNSIGNED NOT NULL,
    abandoned TINYINT NOT NULL,
    used BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB""",
    f"CREATE USER IF NOT EXISTS {OWNER} ACCOUNT LOCK",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO {OWNER}",
    f"GRANT EXECUTE ON {SCHEMA}.* TO {OWNER}",
    _COMMIT,
    _TAKE,
)
"""What has to be there, as statements that change nothing where it is."""

PROBE: Final = f"CALL {COMMIT_PROCEDURE}(0, 1, 0)"
"""Refused with NOT_OURS where everything is as it should be; commits nothing."""


def grants_to_service(account: str) -> tuple[str, ...]:
    """For the account that watches the nodes and asks for markers: `account` is quoted SQL, 'name'@'host'."""
    return (f"GRANT SELECT, UPDATE ON {TABLE} TO {account}", f"GRANT EXECUTE ON {SCHEMA}.* TO {account}")


def grants_to_client(account: str) -> tuple[str, ...]:
    """For an account whose commits are marked."""
    return (
        f"GRANT EXECUTE ON PROCEDURE {COMMIT_PROCEDURE} TO {account}",
        f"GRANT EXECUTE ON PROCEDURE {SLOT_PROCEDURE} TO {account}",
    )


class Slot:
    """One row: the last number that is known to be taken in it, and whether the answer to the next one is due."""

    __slots__ = ("due", "id", "number")

    def __init__(self, slot_id: int) -> None:
        """`slot_id` is random, of 63 bits: nobody else can guess it, and no two have the same."""
        self.id = slot_id
        self.number = 0
        self.due = False

    def __repr__(self) -> str:
        return f"<Slot {self.id:x} at {self.number}{', answer due' if self.due else ''}>"

    def take(self) -> bytes:
        """The statement that makes the row, as a transaction of its own."""
        return b"CALL %s(%d)" % (SLOT_PROCEDURE.encode(), self.id)

    def commit(self, chain: bool | None) -> bytes:
        """The statement that commits the open transaction with the next number. Then `committed` or `refused`."""
        self.due = True
        how = b"NULL" if chain is None else b"1" if chain else b"0"
        return b"CALL %s(%d, %d, %s)" % (COMMIT_PROCEDURE.encode(), self.id, self.number + 1, how)

    def committed(self) -> None:
        self.due = False
        self.number += 1

    def refused(self) -> None:
        """It was certainly not committed, and will not be."""
        self.due = False


class Fate(enum.Enum):
    """What is known of a commit whose answer was lost. The values are metric labels."""

    COMMITTED = "committed"
    NEVER = "rolled_back"  # and never will be committed
    UNKNOWN = "unknown"


def tombstone(slot: int, number: int) -> tuple[str, str]:
    """Two statements for one node, each a transaction of its own: try to write the tombstone, then see what is there.

    They may be repeated, on any node: what is there once stays.
    """
    return (
        f"UPDATE {TABLE} SET number = {number}, abandoned = 1, used = UNIX_TIMESTAMP(SYSDATE())"  # noqa: S608
        f" WHERE slot = {slot} AND number = {number - 1}",
        f"SELECT number, abandoned FROM {TABLE} WHERE slot = {slot}",  # noqa: S608
    )


def fate(number: int, rows: Sequence[tuple[str | None, ...]]) -> Fate | None:
    """What the row that `tombstone` found says of commit `number`; None: the node is behind, and has to be asked again
    or another.
    """
    if not rows:
        return None  # the slot's own row has not arrived there yet
    found, abandoned = int(rows[0][0] or 0), int(rows[0][1] or 0)
    if found < number:
        return None
    if found > number:
        return Fate.UNKNOWN  # somebody else counts in our slot: it says nothing of us any more
    return Fate.NEVER if abandoned else Fate.COMMITTED
