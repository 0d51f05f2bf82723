"""The catalog: from rows of the information schema to what is known of a table."""

import pytest

from router.catalog import BASE, SEQUENCE, VIEW, Catalog, Name, Table, build, spelled
from router.facts import PinReason, Result, Unreplayable
from router.statements import Classifier


def test_keys_are_those_that_tell_rows_apart_the_primary_one_first() -> None:
    found = build(
        [("shop", "t", "BASE TABLE", "InnoDB")],
        [
            ("shop", "t", "a", "x", None),
            ("shop", "t", "a", "y", None),
            ("shop", "t", "PRIMARY", "Id", None),
            ("shop", "t", "b", "name", "10"),  # only the first characters are unique
            ("shop", "t", "c", None, None),  # of an expression
        ],
        [("shop", "t", event, "SET NEW.x = 1", "") for event in ("INSERT", "UPDATE", "INSERT")],
    )
    assert found.find("t", "shop") == Table(BASE, "innodb", (("id",), ("x", "y")), frozenset({"insert", "update"}))


def test_kinds() -> None:
    found = build(
        [
            ("shop", "t", "BASE TABLE", "Aria"),
            ("shop", "v", "VIEW", None),
            ("shop", "w", "SYSTEM VIEW", "MEMORY"),
            ("shop", "s", "SEQUENCE", "InnoDB"),
        ],
        [],
        [],
    )
    kinds = [(table.kind, table.transactional) for table in found.tables.values()]
    assert kinds == [(BASE, False), (VIEW, True), (VIEW, True), (SEQUENCE, True)]


def test_a_table_is_found_as_statements_name_it() -> None:
    found = build([("Shop", "Größe", "BASE TABLE", "InnoDB")], [], [])
    named = "Größe".encode().decode("latin-1").lower()
    assert spelled("Größe") == named
    assert found.find(named, "shop") is found.find(f"shop.{named}", "other") is found.tables[Name("shop", named)]
    assert found.find(named, "other") is None
    assert Catalog().find("t", "") is None


def test_of_names_that_differ_in_case_the_worse_is_expected() -> None:
    found = build(
        [("shop", "t", "BASE TABLE", "InnoDB"), ("shop", "T", "BASE TABLE", "MyISAM")],
        [("shop", "t", "PRIMARY", "id", None), ("shop", "T", "other", "id", None)],
        [("shop", "T", "DELETE", "DELETE FROM u", "")],
    )
    table = found.find("t", "shop")
    assert table is not None
    assert (table.engine, table.triggers) == ("myisam", {"delete"})
    both = build([("shop", "t", "BASE TABLE", "InnoDB"), ("shop", "T", "VIEW", None)], [], []).find("t", "shop")
    assert both is not None
    assert (both.kind, both.keys) == (VIEW, ())


def test_the_column_that_generates_ids() -> None:
    tables = [("shop", name, "BASE TABLE", "InnoDB") for name in ("t", "u", "U")]
    found = build(tables, [], [], generated=[("shop", "t", "Nr"), ("shop", "u", "id"), ("shop", "gone", "id")])
    assert {name.name: table.generated for name, table in found.tables.items()} == {"t": "nr", "u": ""}


# -- what it tells of statements --------------------------------------------------------------------------------------

TABLES = [("shop", name, "BASE TABLE", "InnoDB") for name in ("plain", "logged", "counted", "locked", "cascade")] + [
    ("shop", "old", "BASE TABLE", "MyISAM"),
    ("mysql", "plain", "BASE TABLE", "Aria"),
]
TRIGGERS = [
    ("shop", "logged", "INSERT", "BEGIN INSERT INTO plain VALUES (NEW.id); SET NEW.a = 1; END", ""),
    ("shop", "counted", "UPDATE", "SET @count = @count + 1", ""),
    ("shop", "locked", "DELETE", "SET @x = GET_LOCK('a', 1)", ""),
    ("shop", "cascade", "INSERT", "BEGIN IF NEW.id > 1 THEN UPDATE counted SET a = 1; END IF; END", ""),
]
VIEWS = [
    ("shop", "simple", "select `plain`.`id` AS `id`, case when 1 then 2 else 3 end AS `c` from `shop`.`plain`"),
    ("shop", "setting", "select `shop`.`leaves`(1) AS `a`"),
    ("shop", "over", "select `setting`.`a` AS `a` from `shop`.`setting`"),
    ("shop", "dice", "select rand() AS `a` from `shop`.`plain`"),
    ("shop", "neat", "select json_detailed(`plain`.`a`) AS `a` from `shop`.`plain`"),  # MariaDB's own
    ("shop", "hidden", ""),
]
FUNCTIONS = [
    ("shop", "twice", "RETURN 2 * x", ""),
    ("shop", "sum_of", "BEGIN DECLARE n, m INT; DECLARE CONTINUE HANDLER FOR NOT FOUND SET n = 0; "
     "SELECT COUNT(*) INTO n FROM plain; l: WHILE n < 5 DO SET n = n + 1; IF n > 3 THEN LEAVE l; END IF; END WHILE; "
     "SET m = CASE WHEN n THEN 1 ELSE 2 END, x = 3; RETURN n; END", ""),
    ("shop", "leaves", "BEGIN SET @a = 1; RETURN 1; END", ""),
    ("shop", "sets", "BEGIN SET sql_mode = ''; RETURN 1; END", ""),
    ("shop", "handles", "BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET time_zone = 'UTC'; RETURN 1; END", ""),
    ("shop", "calls", "BEGIN CALL p(); RETURN 1; END", ""),
    ("shop", "writes", "BEGIN INSERT INTO plain VALUES (1); RETURN 1; END", ""),
    ("shop", "unseen", None, ""),
]  # fmt: skip
PARAMETERS = [("shop", "twice", "x"), ("shop", "sum_of", "x")]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    made = Classifier(engine="mariadb")
    made.renew(build(TABLES, [], TRIGGERS, VIEWS, FUNCTIONS, PARAMETERS, engine="mariadb"))
    return made


@pytest.mark.parametrize(
    ("text", "pins", "unreplayable", "unseen"),
    [
        ("SELECT * FROM plain", None, None, False),
        ("INSERT INTO plain (id) VALUES (1)", None, None, False),
        ("INSERT INTO shop.logged (id) VALUES (1)", None, None, True),
        ("SELECT * FROM logged", None, None, False),
        ("UPDATE counted SET a = 1", PinReason.USER_VARIABLE, Unreplayable.USER_VARIABLE, False),
        ("INSERT INTO cascade VALUES (1)", PinReason.USER_VARIABLE, Unreplayable.USER_VARIABLE, True),
        ("DELETE FROM locked", PinReason.GET_LOCK, Unreplayable.GET_LOCK, False),
        ("INSERT INTO old VALUES (1)", None, Unreplayable.NONTRANSACTIONAL, False),
        ("SELECT * FROM old", None, None, False),
        ("INSERT INTO plain SELECT * FROM simple", None, None, False),
        ("SELECT * FROM simple", None, None, False),
        ("SELECT * FROM setting", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, False),
        ("SELECT * FROM over", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, False),
        ("SELECT * FROM neat", None, None, False),
        ("SELECT * FROM hidden", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, True),
        ("SELECT * FROM dice", None, None, False),
        ("INSERT INTO plain SELECT * FROM dice", None, Unreplayable.NONDETERMINISTIC, False),
        ("SELECT twice(2)", None, None, False),
        ("SELECT shop.sum_of(a) FROM plain", None, None, False),
        ("SELECT leaves(1)", PinReason.USER_VARIABLE, Unreplayable.USER_VARIABLE, False),
        ("SELECT sets(1)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, True),
        ("SELECT handles(1)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, True),
        ("SELECT calls(1)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, True),
        ("SELECT writes(1)", None, None, True),
        ("SELECT unseen(1)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, True),
        ("SELECT other.twice(2)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, False),
        ("SELECT nosuch(2)", PinReason.UNCLASSIFIED, Unreplayable.UNCLASSIFIED, False),
    ],
)
def test_what_runs_unseen(
    classifier: Classifier, text: str, pins: PinReason | None, unreplayable: Unreplayable | None, unseen: bool
) -> None:
    facts = classifier.classify(text.encode())
    assert (facts.pins, facts.unreplayable, facts.writes_unseen) == (pins, unreplayable, unseen)
    assert facts.may_write or not unseen


def test_a_statement_on_plain_tables_is_what_it_was(classifier: Classifier) -> None:
    for text in (b"SELECT * FROM plain", b"INSERT INTO plain (id) VALUES (1)", b"SELECT twice FROM simple"):
        assert classifier.classify(text) == Classifier(engine="mariadb").classify(text)


def test_facts_are_found_anew_with_other_definitions() -> None:
    made = Classifier(engine="mariadb")
    before = made.version
    assert made.classify(b"SELECT twice(1)").pins is PinReason.UNCLASSIFIED
    made.renew(build(TABLES, [], (), (), FUNCTIONS, PARAMETERS))
    assert made.version > before
    assert made.classify(b"SELECT twice(1)").pins is None


@pytest.mark.parametrize(
    "text", ["CREATE VIEW v AS SELECT 1", "DROP TRIGGER r", "ALTER TABLE t ENGINE=MyISAM", "DROP SCHEMA s"]
)
def test_what_changes_a_definition_is_told(classifier: Classifier, text: str) -> None:
    assert classifier.classify(text.encode()).result is Result.DEFINED
