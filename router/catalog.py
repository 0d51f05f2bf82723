"""What the cluster's information schema says of its tables: kind, engine, keys, triggers.

Names are spelled as `router.facts.Statement.tables` spells them: the bytes of their UTF-8 form read as latin-1, in
lower case. Where two names differ in case only, what is known of either is taken for both. It must not know how it
was read, nor who asks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

Row = Sequence[str | None]

BASE: Final = "base"
VIEW: Final = "view"
SEQUENCE: Final = "sequence"

# Whose writes a ROLLBACK undoes.
TRANSACTIONAL: Final = frozenset({"innodb", "rocksdb", "tokudb", "ndbcluster", "ndb"})


class Name(NamedTuple):
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table, view or sequence.

    keys: the columns of the primary key, then those of each unique index, in the order of the index; none of which
        only a part of a column is unique. triggers: the kinds of row changes that have one, "insert" and so on.
    """

    kind: str = BASE
    engine: str = "innodb"
    keys: tuple[tuple[str, ...], ...] = ()
    triggers: frozenset[str] = frozenset()

    @property
    def transactional(self) -> bool:
        return self.kind != BASE or self.engine in TRANSACTIONAL


@dataclass(frozen=True, slots=True)
class Catalog:
    """All tables that the account which read them may see. `version` grows with each difference."""

    tables: Mapping[Name, Table] = field(default_factory=dict)
    version: int = 0

    def find(self, table: str, schema: str) -> Table | None:
        """A table as a statement names it ("table" or "schema.table") in a session whose schema is `schema`."""
        first, dot, second = table.partition(".")
        return self.tables.get(Name(first, second) if dot else Name(schema, first))

    def __repr__(self) -> str:
        return f"<Catalog {self.version}: {len(self.tables)} tables>"


def spelled(name: str | None) -> str:
    """A name of the information schema as statements spell it."""
    return (name or "").encode("utf-8", "surrogateescape").decode("latin-1").lower()


def build(tables: Iterable[Row], keys: Iterable[Row], triggers: Iterable[Row], version: int = 0) -> Catalog:
    """A catalog from rows of the information schema.

    tables: (schema, table, TABLE_TYPE, ENGINE). keys: (schema, table, index, column, SUB_PART) of unique indexes, in
    the order of their columns. triggers: (schema, table, event).
    """
    columns: dict[Name, dict[str, list[str] | None]] = {}
    for schema, table, index, column, part in keys:
        indexes = columns.setdefault(Name(spelled(schema), spelled(table)), {})
        if part is not None or column is None:
            indexes[index or ""] = None
        elif (found := indexes.setdefault(index or "", [])) is not None:
            found.append(spelled(column))
    events: dict[Name, set[str]] = {}
    for schema, table, event in triggers:
        events.setdefault(Name(spelled(schema), spelled(table)), set()).add(spelled(event))
    known: dict[Name, Table] = {}
    for schema, table, kind, engine in tables:
        name = Name(spelled(schema), spelled(table))
        found_keys = _in_order(columns.get(name, {}))
        read = Table(_kind(kind), spelled(engine), found_keys, frozenset(events.get(name, ())))
        other = known.get(name)
        known[name] = read if other is None else _either(read, other)
    return Catalog(known, version)


def _kind(table_type: str | None) -> str:
    text = (table_type or "").upper()
    return VIEW if text.endswith("VIEW") else SEQUENCE if text == "SEQUENCE" else BASE


def _in_order(indexes: Mapping[str, Sequence[str] | None]) -> tuple[tuple[str, ...], ...]:
    names = sorted(indexes, key=lambda name: (name != "PRIMARY", name))
    return tuple(tuple(columns) for name in names if (columns := indexes[name]))


def _either(one: Table, other: Table) -> Table:
    """What is to be expected of two tables of which one is meant."""
    return Table(
        kind=one.kind if one.kind == other.kind else VIEW,
        engine=one.engine if not one.transactional else other.engine,
        keys=tuple(key for key in one.keys if key in other.keys),
        triggers=one.triggers | other.triggers,
    )
