"""What the proxy does not do yet as it should: each of these fails."""

import pytest

from config import Pool
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, Stage, error, ok, rows

INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"
ONE = Pool(max_backends=1)


def test_a_kill_query_that_comes_too_late_hits_nobody_else(build: Build) -> None:
    """The backend runs another session's statement by the time that the connection for the KILL is there."""
    stage = build(pool=Pool(max_backends=1))
    victim, killer, other = stage.client(), stage.client(), stage.client()
    victim.says(READ)
    link = stage.one.hears(READ)
    stage.one.slow = True
    killer.says(f"KILL QUERY {victim.session.login.connection_id}")
    killer.hears(ok())
    link.says(rows("1"))
    victim.hears(rows("1"))
    other.says(READ)
    assert stage.one.hears(READ) is link
    stage.one.lets_in()
    stage.quiet()
    link.says(rows("2"))
    other.hears(rows("2"))


# -- a transaction that something else than a BEGIN has opened --------------------------------------------------------


@pytest.mark.parametrize("opener", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
def test_a_chained_transaction_is_not_gone_on_with_outside_of_one(stage: Stage, opener: str) -> None:
    """The server begins one whether or not one was open. There is no BEGIN to run again: what follows would commit by
    itself.
    """
    client = stage.client()
    client.runs(stage.one, opener, ok(TRANS)).breaks()
    stage.one.comes_up()
    client.says(INSERT)
    stage.quiet()
    client.hears_error(1213, "40001")


def test_nor_is_one_that_a_procedure_began(stage: Stage) -> None:
    """CALL had written, and its writes are gone: to run the rest alone and commit it would be another transaction."""
    client = stage.client()
    client.runs(stage.one, "CALL begins_and_writes()", ok(TRANS))
    client.runs(stage.one, INSERT, ok(TRANS, rows=1))
    client.runs(stage.one, "COMMIT", error(1213))
    client.vanishes()
    stage.one.heard.clear()


def test_a_client_that_leaves_in_the_moment_of_its_nodes_loss_is_waited_for_by_nobody(stage: Stage) -> None:
    """Its replay was announced, and the task cancelled before its first step: nothing takes the announcement back."""
    client = stage.client()
    link = client.begins(stage.one, INSERT)
    stage.clock.call_soon(link.wire.breaks, ConnectionResetError())
    stage.clock.call_soon(client.wire.breaks, ConnectionResetError())
    stage.clock.settle()
    assert not stage.service.cluster.recovery.active
