"""Which rows a statement is about: texts, and the values that its columns are compared with."""

import pytest

from router.conditions import MOST_ROWS, Condition, Value, conditions, rows
from router.statements import Classifier
from router.tokens import tokenize

PRIMARY = (("id",),)
ALL = (("id",), ("email",), ("shop", "number"))


def found(sql: str) -> dict[str, tuple[Value, ...]]:
    return {condition.column: condition.values for condition in conditions(tokenize(sql))}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT v FROM t WHERE id = 7", {"id": ("7",)}),
        ("SELECT v FROM t WHERE id=7 FOR UPDATE", {"id": ("7",)}),
        ("SELECT v FROM t WHERE 7 = `ID` LIMIT 1", {"id": ("7",)}),
        ("SELECT v FROM s.t AS x WHERE x.id = '7' ORDER BY v", {"id": ("7",)}),
        ("UPDATE t SET v = v + 1 WHERE id = -7", {"id": ("-7",)}),
        ("DELETE FROM t WHERE s.t.name = N'Ada'", {"name": ("ada",)}),
        ("UPDATE t SET a = 1 WHERE id = ? AND v > ? AND kind = ?", {"id": (0,), "kind": (2,)}),
        ("UPDATE t SET a = ? WHERE id = ?", {"id": (1,)}),
        ("SELECT 1 FROM t WHERE ((id = 1) AND (kind = 'a'))", {"id": ("1",), "kind": ("a",)}),
        ("SELECT 1 FROM t WHERE (id IN (3, 1, 3, ?))", {"id": ("3", "1", 0)}),
        ("REPLACE INTO t (id, v) VALUES (7, NOW())", {"id": ("7",)}),
        ("REPLACE INTO shop.t (t.id, `v`) VALUES (7, 8)", {"id": ("7",), "v": ("8",)}),
        ("INSERT INTO t (id, v) VALUES (?, f(1, 2)) ON DUPLICATE KEY UPDATE v = v + 1", {"id": (0,)}),
    ],
)
def test_columns_compared_with_values(sql: str, expected: dict[str, tuple[Value, ...]]) -> None:
    assert found(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT v FROM t",
        "SELECT v FROM t WHERE id = 7 OR id = 8",
        "SELECT v FROM t WHERE (id = 7) || (id = 8)",
        "SELECT v FROM t WHERE id > 7",
        "SELECT v FROM t WHERE id BETWEEN 7 AND 8",
        "SELECT v FROM t WHERE NOT id = 7",
        "SELECT v FROM t WHERE id = 7 + 1",
        "SELECT v FROM t WHERE id = other",
        "SELECT v FROM t WHERE id = f(7)",
        "SELECT v FROM t WHERE f(id) = 7",
        "SELECT v FROM t WHERE id IN (SELECT 7)",
        "SELECT v FROM t WHERE id NOT IN (7)",
        "SELECT v FROM t WHERE id IN (1, 2 + 1)",
        "SELECT v FROM t WHERE id",
        "SELECT v FROM t WHERE 7",
        "SELECT v FROM t GROUP BY v HAVING v = 7",
        f"SELECT v FROM t WHERE id IN ({', '.join(map(str, range(MOST_ROWS + 1)))})",
        "INSERT INTO t (id) VALUES (7)",
        "INSERT INTO t VALUES (7) ON DUPLICATE KEY UPDATE v = 1",
        "REPLACE INTO t (id) VALUES (7), (8)",
        "REPLACE INTO t (id) SELECT 7",
    ],
)
def test_what_is_no_comparison_of_a_column_with_a_value(sql: str) -> None:
    assert not found(sql)


def test_rows_are_known_by_the_first_unique_key_that_is_compared_in_full() -> None:
    one = Condition("id", ("7",))
    assert rows([one, Condition("v", ("1",))], ALL) == (("7",),)
    assert rows([Condition("email", ("a@b",))], ALL) == (("key1", "a@b"),)
    assert rows([Condition("shop", ("1",))], ALL) == ()
    assert rows([Condition("number", ("5", "6")), Condition("shop", ("1",))], ALL) == (
        ("key2", "1", "5"),
        ("key2", "1", "6"),
    )
    assert rows([one], ()) == ()


def test_a_statement_about_many_rows_is_about_its_table() -> None:
    many = [Condition("shop", ("1", "2", "3")), Condition("number", ("1", "2", "3"))]
    assert rows(many, ALL) == ()


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        (b"SELECT v FROM t WHERE id = 7", ("id",)),
        (b"UPDATE t SET v = ? WHERE id = ?", ("id",)),
        (b"SELECT v FROM t WHERE id = (SELECT 1 FROM u)", ()),
        (b"SELECT v FROM t JOIN u USING (id) WHERE id = 7", ()),
    ],
)
def test_a_form_has_the_columns_of_its_only_table(sql: bytes, columns: tuple[str, ...]) -> None:
    assert Classifier().classify(sql).compares == columns
