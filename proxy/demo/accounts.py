"""The work that the demo's load does, and what must be true of it afterwards.

Transfers between two accounts that were read for update, blind increments of counters that everybody wants, and reads.
The two kinds of change have tables of their own: what a client has read cannot be hidden from it when another node's
blind write changes it underneath. Every change writes a row under a number of its own in the same transaction, so that
afterwards each answer that a client got can be held against the tables. Speaks SQL through a cursor; knows no threads
and no proxy.
"""

import random
from array import array
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any, Protocol

ACCOUNTS = 100
BALANCE = 1000

_TABLES = (
    "CREATE TABLE IF NOT EXISTS account (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counter (id INT PRIMARY KEY, value BIGINT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS movement (
         run BIGINT NOT NULL, client INT NOT NULL, number INT NOT NULL, amount INT NOT NULL,
         PRIMARY KEY (run, client, number))""",
)


class Cursor(Protocol):
    """The part of Python's database interface that is used here."""

    def execute(self, query: str, args: Any = ...) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> Any: ...


def _numbers() -> "array[int]":
    return array("L")


@dataclass(slots=True)
class Promises:
    """What one client was told: the numbers of its changes, by answer."""

    committed: "array[int]" = field(default_factory=_numbers)
    refused: "array[int]" = field(default_factory=_numbers)
    unknown: "array[int]" = field(default_factory=_numbers)


def prepare(cursor: Cursor) -> None:
    """Make the tables and accounts that are missing. The connection must be in autocommit."""
    for statement in _TABLES:
        cursor.execute(statement)
    rows = ", ".join(f"({number}, {BALANCE})" for number in range(1, ACCOUNTS + 1))
    cursor.execute(f"INSERT IGNORE INTO account (id, balance) VALUES {rows}")  # noqa: S608 numbers of our own
    rows = ", ".join(f"({number}, 0)" for number in range(1, ACCOUNTS + 1))
    cursor.execute(f"INSERT IGNORE INTO counter (id, value) VALUES {rows}")  # noqa: S608 numbers of our own


def imbalance(cursor: Cursor) -> int:
    """By how much the sums are off, 0 always: balances only move, counters hold what the recorded increments make."""
    cursor.execute(
        "SELECT (SELECT SUM(balance) FROM account) - %s"
        " + (SELECT SUM(value) FROM counter) - (SELECT COALESCE(SUM(amount), 0) FROM movement)",
        (ACCOUNTS * BALANCE,),
    )
    return int(cursor.fetchone()[0])


def transfer(cursor: Cursor, chance: random.Random, run: int, client: int, number: int) -> None:
    """Move money between two accounts that are read with FOR UPDATE first. Does not commit."""
    giver, taker = sorted(chance.sample(range(1, ACCOUNTS + 1), 2))
    cursor.execute("SELECT id, balance FROM account WHERE id IN (%s, %s) ORDER BY id FOR UPDATE", (giver, taker))
    balances = dict(cursor.fetchall())
    amount = chance.randint(1, 20)
    cursor.execute("UPDATE account SET balance = %s WHERE id = %s", (balances[giver] - amount, giver))
    cursor.execute("UPDATE account SET balance = %s WHERE id = %s", (balances[taker] + amount, taker))
    cursor.execute("INSERT INTO movement VALUES (%s, %s, %s, 0)", (run, client, number))


def increment(cursor: Cursor, chance: random.Random, run: int, client: int, number: int) -> None:
    """Add to one of the counters, to the first ones more often, without reading it. Does not commit."""
    favourite = min(chance.randint(1, ACCOUNTS) for _ in range(3))
    amount = chance.randint(1, 5)
    cursor.execute("UPDATE counter SET value = value + %s WHERE id = %s", (amount, favourite))
    cursor.execute("INSERT INTO movement VALUES (%s, %s, %s, %s)", (run, client, number, amount))


def look(cursor: Cursor, chance: random.Random) -> None:
    """Read an account."""
    cursor.execute("SELECT balance FROM account WHERE id = %s", (chance.randint(1, ACCOUNTS),))
    cursor.fetchall()


def present(cursor: Cursor, run: int, client: int) -> set[int]:
    """The numbers of the client's changes that are in the tables."""
    cursor.execute("SELECT number FROM movement WHERE run = %s AND client = %s", (run, client))
    return {int(number) for (number,) in cursor.fetchall()}


def broken(promises: Promises, present: Set[int]) -> list[str]:
    """Where the tables belie what a client was told: a line each, none if all is well."""
    found = {
        "acknowledged transactions are not there": set(promises.committed) - present,
        "refused transactions are there": present & set(promises.refused),
        "transactions are there that it did not make": present
        - {*promises.committed, *promises.refused, *promises.unknown},
    }
    return [f"{len(numbers)} {text}" for text, numbers in found.items() if numbers]
