"""What the proxy does not do yet as it should: each of these fails."""

import pytest

from config import Limits
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, UNGUARD, Stage, ok

INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"


def test_a_transaction_lost_for_want_of_a_writer_is_told_to_be_rolled_back(build: Build) -> None:
    """Any other code than that of a rollback leaves a client to believe that its transaction goes on."""
    stage = build(limits=Limits(writer_wait=1.0))
    client = stage.client()
    client.begins(stage.one, INSERT)
    stage.one.dies()
    client.says(READ)
    stage.passes(1.1)
    client.hears_error(1213, "40001")


@pytest.mark.parametrize("statement", ["SET autocommit=1", "CALL p()"])
def test_what_might_have_committed_and_did_not_leaves_a_transaction_that_wrote(stage: Stage, statement: str) -> None:
    """The transaction is still the one that wrote: with autocommit on already, SET autocommit=1 commits nothing."""
    client = stage.client()
    client.begins(stage.one, INSERT)
    client.says(statement)
    stage.one.hears(UNGUARD).says(ok(TRANS))
    stage.one.hears(statement).says(ok(TRANS))
    client.hears(ok(TRANS))
    client.says("COMMIT")
    stage.one.hears("COMMIT").breaks()
    client.hears_error(1180, "08007")
