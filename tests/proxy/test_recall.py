"""What a session may ask about its last statement, after another one was given the backend that would answer."""

import pytest

from proxy.holding import with_value
from proxy.recall import COUNTS
from tests.proxy.conftest import Build
from tests.proxy.scripted import Client, Link, Stage, error, ok, rows
from tests.proxy.test_holding import ONE, READ, RESET
from tests.proxy.test_learning import row
from tests.wire.speaking import Server

ASKED = COUNTS.decode()
WRITE = "UPDATE t SET c = 1"
CALCULATES = "SELECT SQL_CALC_FOUND_ROWS c FROM t LIMIT 1"
DISTRACTS = "DO (SELECT 1 FROM (SELECT 1) t)"


def shared(build: Build) -> tuple[Stage, Client, Client]:
    """Two clients, and one backend for both."""
    stage = build(pool=ONE)
    return stage, stage.client(), stage.client()


def taken(stage: Stage, other: Client, counts: tuple[int, int], warnings: bytes) -> Link:
    """The other client is given the backend, which has answered what it was asked."""
    other.says(READ)
    stage.one.hears(ASKED).says(row(*map(str, counts)))
    stage.one.hears("SHOW WARNINGS").says(warnings)
    link = stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    return link


def test_warnings(build: Build) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, WRITE, ok(warnings=2))
    taken(stage, other, (1, 2), rows("w1", "w2"))
    for _ in range(2):
        client.says("SHOW WARNINGS")
        stage.one.hears("SHOW WARNINGS").says(rows())
        client.hears(rows("w1", "w2"))
    client.says("SELECT @@warning_count")
    stage.one.hears("SELECT @@warning_count").says(rows("0"))
    client.hears(rows("2"))
    client.says("SHOW COUNT(*) WARNINGS")
    stage.one.hears("SHOW COUNT(*) WARNINGS").says(rows("0"))
    client.hears(rows("2"))


def test_also_behind_statements_that_leave_them(build: Build) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, WRITE, error(1146))
    taken(stage, other, (0, 1), rows("w1"))
    client.runs(stage.one, "SET sql_notes = 1", ok())
    client.says("BEGIN", "COMMIT", "SHOW WARNINGS")
    stage.one.hears("SHOW WARNINGS").says(rows())
    assert client.received.endswith(rows("w1"))
    client.received.clear()


@pytest.mark.parametrize("next_one", [READ, "SELECT 1", "DO 1"])
def test_until_the_next_one_that_does_not(build: Build, next_one: str) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, WRITE, ok(warnings=2))
    taken(stage, other, (1, 2), rows("w1", "w2"))
    client.runs(stage.one, next_one, rows("1"))
    client.says("SHOW WARNINGS")
    if stage.one.heard[0][1][0][5:] == DISTRACTS.encode():
        stage.one.hears(DISTRACTS).says(ok())
    stage.one.hears("SHOW WARNINGS").says(rows())
    client.hears(rows())


def test_found_rows(build: Build) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, CALCULATES, rows("1"))
    taken(stage, other, (77, 0), rows())
    client.says("SELECT FOUND_ROWS() AS n")
    stage.one.hears("SELECT FOUND_ROWS() AS n").says(rows("1"))
    client.hears(rows("77"))


@pytest.mark.parametrize(
    ("said", "reply", "count"),
    [
        (WRITE, ok(rows=3), "3"),
        (WRITE, ok(), "0"),
        (READ, rows("1", "2"), "-1"),
        ("SET sql_notes = 1", ok(), "0"),
    ],
)
def test_row_count(build: Build, said: str, reply: bytes, count: str) -> None:
    """Of this nobody has to be asked."""
    stage, client, other = shared(build)
    client.runs(stage.one, said, reply)
    other.says(READ)
    if "sql_notes" in said:
        stage.one.hears(RESET).says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    client.says("SELECT ROW_COUNT()")
    if "sql_notes" in said:
        stage.one.hears("SET sql_notes=1").says(ok())
    stage.one.hears("SELECT ROW_COUNT()").says(rows("-1"))
    client.hears(rows(count))


def test_of_a_prepared_statement() -> None:
    reply = Server(0x200).columns(1).packet(b"\x00\x00" + (1).to_bytes(8, "little")).end().sent
    wanted = Server(0x200).columns(1).packet(b"\x00\x00" + b"\xff" * 8).end().sent
    assert with_value(reply, -1, binary=True) == wanted


def test_a_command_comes_before_it_has_answered(build: Build) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, WRITE, ok(warnings=1))
    other.says(READ)
    link = stage.one.hears(ASKED)
    client.says("SHOW WARNINGS")
    link.says(row("0", "1"))
    stage.one.hears("SHOW WARNINGS").says(rows("w1"))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    stage.one.hears("SHOW WARNINGS").says(rows())
    client.hears(rows("w1"))


def test_a_backend_lost_with_the_answer(build: Build) -> None:
    stage = build(pool=ONE, up=("one",))
    client, other = stage.client(), stage.client()
    client.runs(stage.one, WRITE, ok(warnings=1))
    other.says(READ)
    stage.one.hears(ASKED).breaks()
    stage.one.comes_up()
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    client.says("SHOW WARNINGS")
    stage.one.hears(DISTRACTS).says(ok())
    stage.one.hears("SHOW WARNINGS").says(rows())
    client.hears(rows())


def test_a_client_that_has_gone_needs_no_answer(build: Build) -> None:
    stage, client, other = shared(build)
    client.runs(stage.one, WRITE, ok(warnings=1))
    other.says(READ)
    link = stage.one.hears(ASKED)
    client.vanishes()
    link.says(row("0", "1"))
    stage.one.hears("SHOW WARNINGS").says(rows("w1"))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
