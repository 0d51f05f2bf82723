"""What the cluster's information schema says of its tables: kind, engine, keys, triggers.

Names are spelled as `router.facts.Statement.tables` spells them: the bytes of their UTF-8 form read as latin-1, in
lower case. Where two names differ in case only, what is known of either is taken for both. It must not know how it
was read, nor who asks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from router.bodies import read_body, read_view, resolved
from router.effects import Effects
from router.hidden import HARMLESS, NONTRANSACTIONAL, Hidden

Row = Sequence[str | None]

OF_SERVER: Final = frozenset({"mysql", "sys", "information_schema", "performance_schema"})

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
    generated: the AUTO_INCREMENT column; "": there is none, or it is not known which.
    """

    kind: str = BASE
    engine: str = "innodb"
    keys: tuple[tuple[str, ...], ...] = ()
    triggers: frozenset[str] = frozenset()
    generated: str = ""

    @property
    def transactional(self) -> bool:
        return self.kind != BASE or self.engine in TRANSACTIONAL


@dataclass(frozen=True, slots=True)
class Catalog:
    """All tables that the account which read them may see. `version` grows with each difference."""

    tables: Mapping[Name, Table] = field(default_factory=dict)
    version: int = 0
    # By "schema.name" and, since a text does not tell the session's schema, by name alone for all that are called so.
    views: Mapping[str, Hidden] = field(default_factory=dict)
    writes: Mapping[str, Hidden] = field(default_factory=dict)  # by triggers, and into tables that are not rolled back
    functions: Mapping[str, Hidden] = field(default_factory=dict)  # those that are known, harmless ones too

    def find(self, table: str, schema: str) -> Table | None:
        """A table as a statement names it ("table" or "schema.table") in a session whose schema is `schema`."""
        first, dot, second = table.partition(".")
        return self.tables.get(Name(first, second) if dot else Name(schema, first))

    def __repr__(self) -> str:
        return f"<Catalog {self.version}: {len(self.tables)} tables>"


NOTHING_KNOWN: Final = Catalog()


def spelled(name: str | None) -> str:
    """A name of the information schema as statements spell it."""
    return (name or "").encode("utf-8", "surrogateescape").decode("latin-1").lower()


def build(
    tables: Iterable[Row],
    keys: Iterable[Row],
    triggers: Sequence[Row],
    views: Iterable[Row] = (),
    functions: Iterable[Row] = (),
    parameters: Iterable[Row] = (),
    *,
    generated: Iterable[Row] = (),
    version: int = 0,
    engine: str | None = None,
) -> Catalog:
    """A catalog from rows of the information schema.

    tables: (schema, table, TABLE_TYPE, ENGINE). keys: (schema, table, index, column, SUB_PART) of unique indexes, in
    the order of their columns. triggers: (schema, table, event, body, SQL_MODE). views: (schema, name, definition).
    functions: (schema, name, body, SQL_MODE). parameters: (schema, routine, name). generated: (schema, table, column)
    of those that are AUTO_INCREMENT.
    """
    columns: dict[Name, dict[str, list[str] | None]] = {}
    for schema, table, index, column, part in keys:
        indexes = columns.setdefault(Name(spelled(schema), spelled(table)), {})
        if part is not None or column is None:
            indexes[index or ""] = None
        elif (found := indexes.setdefault(index or "", [])) is not None:
            found.append(spelled(column))
    events: dict[Name, set[str]] = {}
    for schema, table, event, *_ in triggers:
        events.setdefault(Name(spelled(schema), spelled(table)), set()).add(spelled(event))
    counting = {Name(spelled(schema), spelled(table)): spelled(column) for schema, table, column in generated}
    known: dict[Name, Table] = {}
    for schema, table, kind, storage in tables:
        name = Name(spelled(schema), spelled(table))
        read = Table(
            _kind(kind),
            spelled(storage),
            _in_order(columns.get(name, {})),
            frozenset(events.get(name, ())),
            counting.get(name, ""),
        )
        other = known.get(name)
        known[name] = read if other is None else _either(read, other)
    effects = Effects(engine)
    on_use: dict[str, Hidden] = {}
    for schema, name_, definition in views:
        _put(on_use, schema, name_, read_view(_text(definition), effects))
    on_write: dict[str, Hidden] = {}
    for at, table_found in known.items():
        if not table_found.transactional:
            _put(on_write, at.schema, at.name, NONTRANSACTIONAL)
    for schema, table_, _, body, mode in triggers:
        _put(on_write, schema, table_, read_body(_text(body), mode or "", (), effects))
    named: dict[tuple[str, str], list[str]] = {}
    for schema, routine, parameter in parameters:
        named.setdefault((spelled(schema), spelled(routine)), []).append(spelled(parameter))
    stored: dict[str, Hidden] = {}
    for schema, name_, body, mode in functions:
        own = named.get((spelled(schema), spelled(name_)), [])
        _put(stored, schema, name_, read_body(_text(body), mode or "", own, effects))
    both = {name_: on_use.get(name_, HARMLESS).joined(on_write.get(name_, HARMLESS)) for name_ in (*on_use, *on_write)}
    return Catalog(
        known,
        version,
        {each: whole for each, hidden in on_use.items() if (whole := resolved(hidden, both))},
        {each: whole for each, hidden in on_write.items() if (whole := resolved(hidden, both))},
        {name_: resolved(hidden, both) for name_, hidden in stored.items()},
    )


def _text(body: str | None) -> str:
    return (body or "").encode("utf-8", "surrogateescape").decode("latin-1")


def _put(into: dict[str, Hidden], schema: str | None, name: str | None, hidden: Hidden) -> None:
    """By both names; what is called so in a schema of the server's own is not meant by the name alone."""
    in_schema, alone = spelled(schema), spelled(name)
    names = [f"{in_schema}.{alone}"] if in_schema in OF_SERVER else [f"{in_schema}.{alone}", alone]
    for each in names:
        into[each] = into[each].joined(hidden) if each in into else hidden


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
    )  # which column generates ids is not known
