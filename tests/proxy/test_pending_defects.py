"""What the proxy does not do yet as it should: each of these fails."""

from collections.abc import Callable

import pytest

from config import Pool
from tests.proxy.scripted import MANUAL, MANUAL_TRANS, Stage, command, error, ok, rows

Build = Callable[..., Stage]
INSERT = "INSERT INTO t (c) VALUES (1)"
UPDATE = "UPDATE t SET c = 2"
READ = "SELECT c FROM t"
RESET = command(0x1F)
ONE = Pool(max_backends=1)


def test_who_waits_gets_the_place_of_a_backend_that_refused_to_be_reset(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client()
    client.runs(stage.one, "SET @a = 1", ok())
    other.says(READ)
    client.vanishes()
    stage.one.hears(RESET).says(error(1205))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


def test_who_waits_with_another_account_gets_the_place_of_a_backend_that_was_reset(build: Build) -> None:
    stage = build(pool=ONE)
    client, other = stage.client(), stage.client(user="other")
    client.runs(stage.one, "SET @a = 1", ok())
    other.says(READ)
    client.vanishes()
    stage.one.hears(RESET).says(ok())
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))


@pytest.mark.parametrize("statement", ["SET autocommit=1", "START TRANSACTION WITH CONSISTENT SNAPSHOT"])
def test_what_commits_a_transaction_that_wrote_has_an_unknown_outcome(stage: Stage, statement: str) -> None:
    client = stage.client()
    client.runs(stage.one, "SET autocommit=0", ok(MANUAL))
    client.runs(stage.one, INSERT, ok(MANUAL_TRANS, rows=1))
    client.says(statement)
    stage.one.hears(statement).breaks()
    client.hears_error(1180, "08007")
