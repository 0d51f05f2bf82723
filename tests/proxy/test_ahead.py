"""The session's state in one write with the read behind it, and what becomes of both when the state is refused."""

import pytest

from config import Pool
from proxy.wire.constants import COM_INIT_DB, COM_RESET_CONNECTION
from tests.proxy.conftest import Build
from tests.proxy.scripted import GUARD, OPENING, TRANS, Client, Link, Stage, command, error, ok, rows

ONE = Pool(max_backends=1)
RESET = command(COM_RESET_CONNECTION)
READ = "SELECT c FROM t"
SET = "SET sql_mode='ANSI'"
UNKNOWN_MODE = error(1231, "Variable 'sql_mode' can't be set to the value of 'ANSI'")


def with_state(stage: Stage, client: Client) -> None:
    """A session whose state no backend has."""
    client.runs(stage.one, SET, ok())
    client.runs(stage.one, "USE app", ok()).breaks()
    stage.one.comes_up()


def sent(stage: Stage) -> Link:
    return stage.one.hears(SET, command(COM_INIT_DB, b"app"), READ)


def begins_on_a_guarded_backend(stage: Stage) -> Client:
    """One whose state that backend, the only one, does not have."""
    client, other = stage.client(), stage.client()
    client.runs(stage.one, SET, ok())
    other.says("BEGIN", READ)
    other.hears(ok(TRANS))
    stage.one.hears(RESET).says(ok())
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, READ).says(ok(TRANS) + rows("1", status=TRANS))
    other.hears(rows("1", status=TRANS))
    other.runs(stage.one, "COMMIT", ok())
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    return client


def test_it_takes_no_turn_of_its_own(stage: Stage) -> None:
    client = stage.client()
    with_state(stage, client)
    client.says(READ)
    sent(stage).drips(ok() + ok() + rows("1"))
    client.hears(rows("1"))
    client.says(READ)
    stage.one.hears(READ).says(rows("2"))
    client.hears(rows("2"))


def test_a_transaction_that_begins_with_a_read_begins_between_them(build: Build) -> None:
    stage = build(pool=ONE)
    client = begins_on_a_guarded_backend(stage)
    stage.one.hears(SET, OPENING, READ).drips(ok() + ok(TRANS) + rows("1", status=TRANS))
    client.hears(rows("1", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize("second", [ok(), UNKNOWN_MODE], ids=["well the next time", "again"])
@pytest.mark.parametrize("answer", [rows("1"), error(1146)], ids=["rows", "error"])
def test_what_ran_behind_a_refused_state_is_seen_by_nobody(stage: Stage, second: bytes, answer: bytes) -> None:
    client = stage.client()
    with_state(stage, client)
    client.says(READ)
    sent(stage).drips(UNKNOWN_MODE + ok() + answer)
    assert not client.received
    stage.one.hears(RESET).says(ok())
    setting = stage.one.hears(SET, command(COM_INIT_DB, b"app"))  # and no read, until it is confirmed
    stage.quiet()
    setting.says(second + ok())
    if second == ok():
        stage.one.hears(READ).says(rows("2"))
        client.hears(rows("2"))
    else:
        client.hears(UNKNOWN_MODE)
        # No reset leads back from whichever schema that backend is in now.
        other = stage.client()
        other.says(READ)
        assert stage.one.hears(READ).says(rows("2")) is not setting
        other.hears(rows("2"))


def test_a_transaction_behind_a_refused_state_has_not_begun(build: Build) -> None:
    stage = build(pool=ONE)
    client = begins_on_a_guarded_backend(stage)
    stage.one.hears(SET, OPENING, READ).says(UNKNOWN_MODE + ok(TRANS) + rows("1", status=TRANS))
    stage.one.hears(RESET).says(ok())
    stage.one.hears(SET).says(ok())
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, READ).says(ok(TRANS) + rows("2", status=TRANS))
    client.hears(rows("2", status=TRANS))
    client.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize("heard", [b"", ok(), ok() + ok(), ok() + ok()[:5], UNKNOWN_MODE])
def test_a_backend_that_is_lost_on_the_way_is_replaced(stage: Stage, heard: bytes) -> None:
    client = stage.client()
    with_state(stage, client)
    client.says(READ)
    link = sent(stage)
    if heard:
        link.says(heard)
    link.breaks()
    stage.passes(1)
    stage.one.comes_up()
    sent(stage).says(ok() + ok() + rows("1"))
    client.hears(rows("1"))


@pytest.mark.parametrize(
    ("asked", "next_heard"),
    [
        ("SHOW WARNINGS", "DO (SELECT 1 FROM (SELECT 1) t)"),
        ("SELECT FOUND_ROWS()", "DO (SELECT 1 FROM (SELECT 1) t)"),
        ("SELECT c FROM t FOR UPDATE", "SELECT c FROM t FOR UPDATE"),
        ("UPDATE t SET c = 1", "UPDATE t SET c = 1"),
        ("SELECT unknown_function()", "SELECT unknown_function()"),
    ],
)
def test_what_asks_or_may_do_harm_waits(stage: Stage, asked: str, next_heard: str) -> None:
    client = stage.client()
    with_state(stage, client)
    client.says(asked)
    setting = stage.one.hears(SET, command(COM_INIT_DB, b"app"))
    stage.quiet()
    setting.says(ok() + ok())
    stage.one.hears(next_heard).says(ok())
    if next_heard != asked:
        stage.one.hears(asked).says(rows())
        client.hears(rows())
    else:
        client.hears(ok())
