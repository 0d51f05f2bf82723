"""What binds a session to its backend, by name, and what ends it."""

import pytest

from router.facts import PinReason, Result
from router.pins import SOME, Pins
from router.statements import Classifier

TABLE = PinReason.TEMPORARY_TABLE
USER = PinReason.USER_VARIABLE
LOCK = PinReason.GET_LOCK


def test_a_reason_ends_with_the_last_of_its_names() -> None:
    pins = Pins()
    pins.hold(TABLE, ["a", "b"])
    pins.hold(USER, ["@x"])
    assert pins.reason == "temporary_table"
    pins.free(TABLE, "a")
    pins.free(TABLE, "c")
    assert pins.reason == "temporary_table"
    pins.free(TABLE, "b")
    assert pins.reason == "user_variable"
    pins.free(USER, "@x")
    assert not pins
    assert pins.reason is None


def test_one_without_a_name_stays() -> None:
    pins = Pins()
    pins.hold(TABLE, ["a"])
    pins.hold(TABLE, [])
    pins.hold(TABLE, ["b"])
    for name in ("a", "b", "", "?"):
        pins.free(TABLE, name)
    assert pins
    pins.clear()
    assert not pins


def test_one_whose_name_was_changed_stays() -> None:
    pins = Pins()
    pins.free(TABLE, "?")
    assert not pins
    pins.hold(TABLE, ["a"])
    pins.free(TABLE, "?")
    pins.free(TABLE, "a")
    assert pins


def test_locks_are_counted() -> None:
    pins = Pins()
    pins.count(LOCK)
    pins.count(LOCK)
    pins.free_one(LOCK)
    assert pins
    pins.free_one(LOCK)
    assert not pins
    pins.free_one(LOCK)
    assert not pins


def test_locks_that_were_not_counted_end_all_together() -> None:
    pins = Pins()
    pins.hold(LOCK, [SOME])
    pins.count(LOCK)
    pins.free_one(LOCK)
    pins.free_one(LOCK)
    assert pins
    pins.free(LOCK, "")
    assert not pins


@pytest.mark.parametrize(
    ("text", "reason", "held"),
    [
        ("SELECT @a := 1, @B := 2", USER, ("@a", "@b")),
        ("SELECT 1, 2 INTO @x, @`y z`", USER, ("@x", "@y z")),
        ("SELECT @'a' := 1", USER, ()),
        ("SELECT @a := GET_LOCK('a', 1)", USER, ()),
        ("DO GET_LOCK('a', 1)", LOCK, (SOME,)),
        ("SET @a = NOW(), @b = 1, @c := (@d := 1)", USER, ("@a", "@c", "@d")),
        ("SET @a = GET_LOCK('a', 1)", LOCK, ()),
        ("SET @a = NOW(), profiling = 1", PinReason.VARIABLE, ()),
        ("LOAD DATA INFILE 'x' INTO TABLE t (a, @b) SET c = @b", USER, ("@b", "@b")),
        ("CREATE TEMPORARY TABLE a (c INT)", TABLE, ("a",)),
        ("CREATE OR REPLACE TEMPORARY TABLE IF NOT EXISTS s.`A` LIKE b", TABLE, ("s.A",)),
        ("CREATE TEMPORARY TABLE a AS SELECT @b := 1", TABLE, ()),
        ("LOCK TABLES t WRITE", PinReason.LOCK_TABLES, ("tables",)),
        ("FLUSH TABLES WITH READ LOCK", PinReason.LOCK_TABLES, ("tables",)),
        ("HANDLER t OPEN", PinReason.HANDLER, ("t",)),
        ("HANDLER s.t OPEN AS h", PinReason.HANDLER, ("h",)),
        ("XA START 'x'", PinReason.XA, ("xa",)),
        ("PREPARE s FROM 'SELECT a FROM t WHERE b = ?'", PinReason.SQL_PREPARE, ("s",)),
        ("PREPARE s FROM 'SET @a = 1'", PinReason.SQL_PREPARE, ()),
        ("PREPARE s FROM @text", PinReason.SQL_PREPARE, ()),
        ("CREATE TEMPORARY TABLE a (c INT); SELECT 1", TABLE, ()),
    ],
)
def test_what_a_statement_leaves(text: str, reason: PinReason, held: tuple[str, ...]) -> None:
    facts = Classifier().classify(text.encode())
    assert (facts.pins, facts.held) == (reason, held)


@pytest.mark.parametrize(
    ("text", "frees"),
    [
        ("SET @a = 1, @b = NULL", ((USER, "@a"), (USER, "@b"))),
        ("SET @a = NOW()", ()),
        ("DROP TEMPORARY TABLE IF EXISTS a, s.b", ((TABLE, "a"), (TABLE, "s.b"))),
        ("DROP TABLE a", ((TABLE, "a"),)),
        ("ALTER TABLE a RENAME b", ((TABLE, "?"),)),
        ("RENAME TABLE a TO b", ((TABLE, "?"),)),
        ("DROP VIEW a", ()),
        ("UNLOCK TABLES", ((PinReason.LOCK_TABLES, ""),)),
        ("HANDLER h CLOSE", ((PinReason.HANDLER, "h"),)),
        ("HANDLER h READ FIRST", ()),
        ("XA COMMIT 'x'", ((PinReason.XA, ""),)),
        ("XA ROLLBACK 'x'", ((PinReason.XA, ""),)),
        ("XA END 'x'", ()),
        ("DEALLOCATE PREPARE s", ((PinReason.SQL_PREPARE, "s"),)),
        ("DROP PREPARE s", ((PinReason.SQL_PREPARE, "s"),)),
        ("SELECT RELEASE_ALL_LOCKS()", ((LOCK, ""),)),
        ("DO RELEASE_ALL_LOCKS()", ((LOCK, ""),)),
        ("SELECT IF(a, RELEASE_ALL_LOCKS(), 1) FROM t", ()),
        ("SELECT RELEASE_ALL_LOCKS() WHERE 0", ()),
        ("SELECT RELEASE_ALL_LOCKS(); SELECT 1", ()),
    ],
)
def test_what_a_statement_ends(text: str, frees: tuple[tuple[PinReason, str], ...]) -> None:
    assert Classifier().classify(text.encode()).frees == frees


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("SELECT GET_LOCK('a', 1)", Result.LOCKED),
        ("SELECT GET_LOCK(CONCAT('a', ?), 1) AS got", Result.LOCKED),
        ("SELECT GET_LOCK('a', 1) + 1", None),
        ("SELECT GET_LOCK('a', 1) + GET_LOCK('b', 1)", None),
        ("SELECT GET_LOCK('a', RELEASE_LOCK('b'))", None),
        ("SELECT GET_LOCK('a', 1), 1", None),
        ("SELECT GET_LOCK('a', 1) FROM t", None),
        ("DO GET_LOCK('a', 1)", None),
        ("SELECT RELEASE_LOCK('a') freed", Result.UNLOCKED),
        ("SELECT CONNECTION_ID()", Result.CONNECTION_ID),
        ("SELECT connection_id() AS `id`", Result.CONNECTION_ID),
        ("SELECT @@pseudo_thread_id", Result.CONNECTION_ID),
        ("SELECT CONNECTION_ID() + 1", None),
        ("SELECT CONNECTION_ID(), @@version", None),
        ("SELECT VERSION()", None),
        ("SET sql_mode = CONCAT(@@sql_mode, ',ANSI')", Result.UNSEEN),
        ("SET @a = @@sql_mode, sql_mode = @b", Result.UNSEEN),
        ("SET sql_mode = ''", None),
    ],
)
def test_whose_value_counts(text: str, result: Result | None) -> None:
    assert Classifier().classify(text.encode()).result is result
