"""Carried variables: in which order they are kept, and how they are set again."""

import pytest

from router.facts import Modes
from router.variables import ACCESS, ISOLATION, NAMES, carry, learned, modes_of, question, statements


def kept(*carries: tuple[str, str]) -> list[tuple[str, str]]:
    state: dict[str, str] = {}
    carry(state, carries)
    return list(state.items())


def test_the_last_value_counts_and_stands_last() -> None:
    assert kept(("a", "1"), ("b", "2"), ("a", "3")) == [("b", "2"), ("a", "3")]


def test_set_names_overwrites_the_variables_it_stands_for() -> None:
    assert kept(("character_set_results", "NULL"), ("sql_mode", "''"), (NAMES, "'utf8'")) == [
        ("sql_mode", "''"),
        (NAMES, "'utf8'"),
    ]
    assert kept((NAMES, "'utf8'"), ("character_set_results", "NULL"))[-1] == ("character_set_results", "NULL")


def test_a_collation_and_its_character_set_overwrite_each_other() -> None:
    assert kept(("character_set_connection", "'utf8'"), ("collation_connection", "'latin1_bin'")) == [
        ("collation_connection", "'latin1_bin'")
    ]
    assert kept(("collation_connection", "'latin1_bin'"), ("character_set_connection", "'utf8'")) == [
        ("character_set_connection", "'utf8'")
    ]


def test_one_set_restores_all_but_the_characteristics_of_transactions() -> None:
    state = [
        (NAMES, "'utf8' COLLATE 'utf8_bin'"),
        (ISOLATION, "READ COMMITTED"),
        ("sql_mode", "''"),
        (ACCESS, "READ ONLY"),
    ]
    assert statements(state) == [
        "SET NAMES 'utf8' COLLATE 'utf8_bin',sql_mode=''",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION TRANSACTION READ ONLY",
    ]
    assert statements([]) == []


@pytest.mark.parametrize(
    ("sql_mode", "modes"),
    [
        ("''", 0),
        ("0", 0),
        ("STRICT_TRANS_TABLES,NO_ZERO_DATE", 0),
        ("'ansi'", Modes.ANSI_QUOTES),
        ("'STRICT_ALL_TABLES, ANSI_QUOTES'", Modes.ANSI_QUOTES),
        ("NO_BACKSLASH_ESCAPES,ANSI_QUOTES", Modes.NO_BACKSLASH_ESCAPES | Modes.ANSI_QUOTES),
        ("ORACLE", Modes.FOREIGN),
        ("'PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ORACLE'", Modes.FOREIGN),
        ("4", Modes.FOREIGN),
    ],
)
def test_modes_of_an_sql_mode(sql_mode: str, modes: int) -> None:
    assert modes_of(sql_mode) == modes


@pytest.mark.parametrize(
    ("name", "told", "pair"),
    [
        ("sql_mode", "ANSI_QUOTES,STRICT_ALL_TABLES", ("sql_mode", "'ANSI_QUOTES,STRICT_ALL_TABLES'")),
        ("sql_mode", "", ("sql_mode", "''")),
        ("max_statement_time", "5.500000", ("max_statement_time", "5.500000")),
        ("sql_select_limit", "18446744073709551615", ("sql_select_limit", "18446744073709551615")),
        ("character_set_results", None, ("character_set_results", "NULL")),
        ("foreign_key_checks", "ON", ("foreign_key_checks", "'ON'")),
        ("autocommit", "OFF", ("autocommit", "0")),
        ("autocommit", "1", ("autocommit", "1")),
        ("tx_isolation", "READ-COMMITTED", (ISOLATION, "READ COMMITTED")),
        ("transaction_read_only", "ON", (ACCESS, "READ ONLY")),
        ("tx_read_only", "0", (ACCESS, "READ WRITE")),
        ("sql_auto_is_null", "OFF", ("sql_auto_is_null", "'OFF'")),
        ("sql_auto_is_null", "ON", None),
        ("session_track_system_variables", "*", None),
        ("lc_messages", "it's", None),
        ("lc_messages", "a\\", None),
        ("lc_messages", "a\nb", None),
        ("lc_messages", "gr\u00fcn", None),
    ],
)
def test_what_the_server_told_is_carried_as_a_literal(
    name: str, told: str | None, pair: tuple[str, str] | None
) -> None:
    assert learned([(name, None)], [told]) == ((pair,) if pair is not None else (), pair is not None)


def test_literals_stay_where_they_stand_among_what_is_asked_for() -> None:
    learns = [("sql_mode", None), ("time_zone", "'UTC'"), ("sort_buffer_size", None)]
    assert question(learns) == (
        "SELECT CAST(@@session.sql_mode AS BINARY),CAST(@@session.sort_buffer_size AS BINARY) LIMIT 1"
    )
    assert learned(learns, ["ANSI", "4"]) == (
        (("sql_mode", "'ANSI'"), ("time_zone", "'UTC'"), ("sort_buffer_size", "4")),
        True,
    )
    assert learned(learns, []) == ((("time_zone", "'UTC'"),), False)
