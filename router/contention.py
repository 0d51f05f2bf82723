"""What conflicts have taught: which keys and tables are fought over, so that their transactions meet on one node.

    a key        some conflicts on it: transactions that begin with it go to the owner of its table
    a table      conflicts on many of its keys, or on none that is known: all that begin with the table go to its owner
    tables       conflicts of transactions that begin with one table and change another: these tables of a schema have
                 one owner in common
    a queue      a key on which transactions are aborted although they meet: the next one begins when the last has ended

A conflict between two nodes is an abort, on one node it is a wait for a row lock. Nothing here is needed for an answer
to be right. What is learnt is forgotten after a time without news; what comes back soon after that is kept for twice as
long. It must not know nodes: who owns a key is the business of `router.ownership`. Time is passed in, in seconds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Final

WINDOW: Final = 2.0
"""Seconds after which a conflict weighs 1/e of a new one."""

KEY_HOT: Final = 3.0
"""Conflicts that make a key hot."""

FEW: Final = 4.0
"""Conflicts of a table below which chance is no news."""

SHARE: Final = 0.01
"""Conflicts for each transaction that ended, from which on they cost more than it does to meet."""

MANY_KEYS: Final = 8
"""Hot keys of a table from which on the table itself is hot."""

STUBBORN: Final = 2.0
"""Aborts of transactions that met, from which on the key has a queue."""

VISIBLE: Final = 5.0
"""What a conflict weighs that the client has seen as an error."""

HOLD: Final = 30.0
"""Seconds for which something stays hot at first."""

LONGEST_HOLD: Final = 3600.0
RELAPSE: Final = 4.0
"""Something that becomes hot again within so many times its hold was not cold: its hold doubles."""

MAX_TABLES: Final = 1000
MAX_KEYS: Final = 10_000


class Heat:
    """A number of conflicts that fades."""

    __slots__ = ("_at", "_value")

    def __init__(self) -> None:
        self._at = 0.0
        self._value = 0.0

    def add(self, amount: float, now: float) -> float:
        """The number with this much more, all of it new."""
        self._value = self.at(now) + amount
        self._at = now
        return self._value

    def at(self, now: float) -> float:
        return self._value * exp((self._at - now) / WINDOW) if self._value else 0.0


def recent(number: int, seconds: float) -> int:
    """What is left now of so many events that came evenly over that time, faded as conflicts are: a quiet hour ago is
    no measure of what goes on.
    """
    windows = seconds / WINDOW
    return round(number * (1 - exp(-windows)) / windows) if windows > 0 else number


@dataclass(slots=True)
class Spell:
    """How long something is hot, and was."""

    until: float = float("-inf")
    hold: float = HOLD

    def begin(self, now: float) -> None:
        if self.until > float("-inf") and now < self.until + RELAPSE * self.hold:
            self.hold = min(LONGEST_HOLD, 2 * self.hold)
        else:
            self.hold = HOLD
        self.until = now + self.hold

    def lasts(self, now: float) -> bool:
        return now < self.until


@dataclass(slots=True)
class Key:
    """One row, by the value of a unique key."""

    heat: Heat = field(default_factory=Heat)
    stubborn: Heat = field(default_factory=Heat)
    hot: Spell = field(default_factory=Spell)
    queue: Spell = field(default_factory=Spell)


@dataclass(slots=True)
class Table:
    heat: Heat = field(default_factory=Heat)
    hot: Spell = field(default_factory=Spell)
    keys: dict[str, Key] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """The tables of a schema that transactions change together."""

    heat: Heat = field(default_factory=Heat)
    hot: Spell = field(default_factory=Spell)
    seen: dict[str, Heat] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Hot:
    """One thing that is hot, for people. `what`: "key", "table" or "tables". `owner_key`: what its owner is found
    by.
    """

    what: str
    name: str
    owner_key: str
    queued: bool
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Conflict:
    """One transaction that was rolled back because another one won.

    opener: the table that it began with, "" for none. rows: the keys of its first statement. changed: the tables that
    it had changed, or locked rows of. met: it was where all that begin with this key go. visible: the client got the
    error. All tables are "schema.table".
    """

    opener: str
    rows: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    met: bool = False
    visible: bool = False


def _nobody(lost: Conflict, transactions: int, now: float) -> None:
    """There is nobody else to tell."""


class Contention:
    """`watchful`: there is anything hot. As long as there is not, nobody needs to ask further. `tell`: called with each
    conflict of our own, for others of the same proxy who have to know the same (see `heard`).
    """

    __slots__ = (
        "_ended",
        "_ended_at",
        "_groups",
        "_max_keys",
        "_max_tables",
        "_next_look",
        "_tables",
        "_transactions",
        "tell",
        "watchful",
    )

    def __init__(self, *, max_tables: int = MAX_TABLES, max_keys: int = MAX_KEYS) -> None:
        self._max_tables = max_tables
        self._max_keys = max_keys  # of each table
        self.watchful = False
        self.tell: Callable[[Conflict, int, float], None] = _nobody
        self._tables: dict[str, Table] = {}
        self._groups: dict[str, Group] = {}
        self._transactions = Heat()
        self._ended = 0
        self._ended_at = 0.0
        self._next_look = float("inf")

    def conflict(self, lost: Conflict, ended: int, now: float) -> str | None:
        """A transaction lost. `ended`: how many have ended so far, of all.

        What has an owner from now on because of it is found by the key returned.
        """
        transactions = recent(max(0, ended - self._ended), now - self._ended_at)
        self._ended, self._ended_at = ended, now
        self.tell(lost, transactions, now)
        return self.heard(lost, transactions, now)

    def heard(self, lost: Conflict, transactions: int, now: float) -> str | None:
        """The same of a transaction anywhere in the proxy. `transactions`: how many have ended there since the last, as
        `recent` as they are.

        Who hears of the same conflicts learns the same, in whatever order: all workers of a machine have one clock.
        """
        self._transactions.add(transactions, now)
        weight = VISIBLE if lost.visible else 1.0
        changed = lost.changed or ((lost.opener,) if lost.opener else ())
        if set(changed) <= {lost.opener}:
            return self._within(lost, weight, now)
        return self._across(lost.opener, changed, weight, now)

    def _within(self, lost: Conflict, weight: float, now: float) -> str | None:
        """It changed the table that it began with."""
        table = self._table(lost.opener, now)
        if table is None:
            return None
        known = began = False
        for name in lost.rows:
            key = self._key(table, name, now)
            if key is None:
                continue
            if key.hot.lasts(now):
                known = True
            elif key.heat.add(weight, now) >= KEY_HOT:
                self._begins(key.hot, now)
                began = True
            if lost.met and key.stubborn.add(weight, now) >= STUBBORN and not key.queue.lasts(now):
                self._begins(key.queue, now)
        if not (known or lost.met or table.hot.lasts(now)) and (
            table.heat.add(weight, now) >= self._threshold(now)
            or (began and sum(key.hot.lasts(now) for key in table.keys.values()) > MANY_KEYS)
        ):
            self._begins(table.hot, now)
            began = True
        return self.meeting(lost.opener, now) or lost.opener if began else None

    def _across(self, opener: str, changed: Sequence[str], weight: float, now: float) -> str | None:
        """It began with one table and changed others: to meet they all need the same owner."""
        schema = changed[0].partition(".")[0]
        if schema not in self._groups and len(self._groups) >= self._max_tables:
            return None
        group = self._groups.setdefault(schema, Group())
        for name in {opener, *changed}:
            if name.partition(".")[0] == schema and (name in group.seen or len(group.seen) < self._max_tables):
                group.seen.setdefault(name, Heat()).add(weight, now)
        heat = group.heat.add(weight, now)
        began = not group.hot.lasts(now)
        if began and heat < self._threshold(now):
            return None
        if began:
            self._begins(group.hot, now)
            group.members.clear()
        # Those that take part in it: one that was met by chance is none of them.
        least = max(FEW / 2, heat / 10)
        joining = {name for name, seen in group.seen.items() if seen.at(now) >= least} - group.members
        group.members |= joining
        return schema if began or joining else None

    def _threshold(self, now: float) -> float:
        return max(FEW, SHARE * self._transactions.at(now))

    def _table(self, name: str, now: float) -> Table | None:
        found = self._tables.get(name)
        if found is None:
            if len(self._tables) >= self._max_tables:
                self._forget(now)
                if len(self._tables) >= self._max_tables:
                    return None
            found = self._tables[name] = Table()
        return found

    def _key(self, table: Table, name: str, now: float) -> Key | None:
        found = table.keys.get(name)
        if found is None:
            if len(table.keys) >= self._max_keys:
                self._forget(now)
                if len(table.keys) >= self._max_keys:
                    return None
            found = table.keys[name] = Key()
        return found

    # -- what is known ------------------------------------------------------------------------------------------------

    def meeting(self, table: str, now: float) -> str | None:
        """What the owner of all that begins with `table` is found by; None: only some of its keys have one, or none."""
        if now >= self._next_look:
            self._forget(now)
        return self._meeting(table, now)

    def _meeting(self, table: str, now: float) -> str | None:
        schema = table.partition(".")[0]
        group = self._groups.get(schema)
        if group is not None and table in group.members and group.hot.lasts(now):
            return schema
        found = self._tables.get(table)
        return table if found is not None and found.hot.lasts(now) else None

    def has_keys(self, table: str) -> bool:
        """Some keys of the table may be hot."""
        found = self._tables.get(table)
        return found is not None and bool(found.keys)

    def is_hot(self, table: str, rows: Iterable[str], now: float) -> bool:
        """One of these keys is."""
        keys = self._keys(table)
        return any((key := keys.get(name)) is not None and key.hot.lasts(now) for name in rows)

    def queued(self, table: str, rows: Iterable[str], now: float) -> tuple[str, ...]:
        """Those of these keys whose transactions queue."""
        keys = self._keys(table)
        return tuple(name for name in rows if (key := keys.get(name)) is not None and key.queue.lasts(now))

    def _keys(self, table: str) -> dict[str, Key]:
        found = self._tables.get(table)
        return found.keys if found is not None else {}

    def hot(self, now: float) -> list[Hot]:
        """All that is hot, the latest to cool first."""
        found: list[Hot] = []
        for schema, group in self._groups.items():
            if group.hot.lasts(now):
                found.append(Hot("tables", ", ".join(sorted(group.members)), schema, False, group.hot.until - now))
        for name, table in self._tables.items():
            meeting = self._meeting(name, now) or name
            if table.hot.lasts(now):
                found.append(Hot("table", name, meeting, False, table.hot.until - now))
            for row, key in table.keys.items():
                until = max(key.hot.until, key.queue.until)
                if until > now:
                    found.append(Hot("key", row, meeting, key.queue.lasts(now), until - now))
        return sorted(found, key=lambda each: -each.seconds_left)

    # -- it cools -----------------------------------------------------------------------------------------------------

    def _begins(self, spell: Spell, now: float) -> None:
        spell.begin(now)
        self.watchful = True
        self._next_look = min(self._next_look, spell.until)

    def _look_again(self, now: float) -> None:
        untils = [
            until
            for until in (
                *(group.hot.until for group in self._groups.values()),
                *(table.hot.until for table in self._tables.values()),
                *(
                    max(key.hot.until, key.queue.until)
                    for table in self._tables.values()
                    for key in table.keys.values()
                ),
            )
            if until > now
        ]
        self.watchful = bool(untils)
        self._next_look = min(untils, default=float("inf"))

    def _forget(self, now: float) -> None:
        """Drop what is cold, and has been for so long that it would begin anew."""

        def matters(spell: Spell) -> bool:
            return now < spell.until + RELAPSE * spell.hold

        for table in self._tables.values():
            cold = [
                name
                for name, key in table.keys.items()
                if not matters(key.hot) and not matters(key.queue) and key.heat.at(now) < 0.5
            ]
            for name in cold:
                del table.keys[name]
        for name in [
            name
            for name, table in self._tables.items()
            if not table.keys and not matters(table.hot) and table.heat.at(now) < 0.5
        ]:
            del self._tables[name]
        for schema in [schema for schema, group in self._groups.items() if not matters(group.hot)]:
            if self._groups[schema].heat.at(now) < 0.5:
                del self._groups[schema]
        self._look_again(now)
