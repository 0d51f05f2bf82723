"""The catalog: from rows of the information schema to what is known of a table."""

from router.catalog import BASE, SEQUENCE, VIEW, Catalog, Name, Table, build, spelled


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
        [("shop", "t", "INSERT"), ("shop", "t", "UPDATE"), ("shop", "t", "INSERT")],
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
        [("shop", "T", "DELETE")],
    )
    table = found.find("t", "shop")
    assert table is not None
    assert (table.engine, table.triggers) == ("myisam", {"delete"})
    both = build([("shop", "t", "BASE TABLE", "InnoDB"), ("shop", "T", "VIEW", None)], [], []).find("t", "shop")
    assert both is not None
    assert (both.kind, both.keys) == (VIEW, ())
