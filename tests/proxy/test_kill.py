"""KILL by the ids that clients know, which are ours, whatever the ids at the nodes are."""

import pytest

from config import Pool
from proxy.login import ConnectFailed
from proxy.wire.constants import COM_PROCESS_KILL
from tests.proxy.conftest import Build
from tests.proxy.scripted import Client, Stage, command, error, ok, rows

SLEEP = "SELECT SLEEP(60)"


def kill_of(client: Client) -> str:
    return f"KILL {client.session.login.connection_id}"


def test_kill_query_interrupts_what_runs_over_a_connection_of_its_own(stage: Stage) -> None:
    victim, killer = stage.client(), stage.client()
    victim.says(SLEEP)
    link = stage.one.hears(SLEEP)
    killer.says(f"KILL QUERY {victim.session.login.connection_id}")
    killer.hears(ok())
    side = stage.one.hears(f"KILL QUERY {link.thread_id}").says(ok())
    assert side is not link
    assert side.closed
    link.says(error(1317))
    victim.hears(error(1317))
    assert not victim.closed


def test_kill_query_of_a_client_that_runs_nothing_does_nothing(stage: Stage) -> None:
    victim, killer = stage.client(), stage.client()
    victim.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    killer.says(f"KILL QUERY {victim.session.login.connection_id}")
    killer.hears(ok())
    stage.quiet()
    victim.runs(stage.one, "COMMIT", ok())


@pytest.mark.parametrize("said", ["KILL {}", "KILL CONNECTION {}", "kill\n{}"])
def test_kill_ends_the_clients_connection_and_what_it_runs(stage: Stage, said: str) -> None:
    victim, killer = stage.client(), stage.client()
    victim.says(SLEEP)
    link = stage.one.hears(SLEEP)
    killer.says(said.format(victim.session.login.connection_id))
    killer.hears(ok())
    assert victim.closed
    assert link.closed
    assert not stage.one.pool.leased


def test_com_process_kill_is_the_same(stage: Stage) -> None:
    victim, killer = stage.client(), stage.client()
    killer.says(command(COM_PROCESS_KILL, victim.session.login.connection_id.to_bytes(4, "little")))
    killer.hears(ok())
    assert victim.closed


def test_who_kills_itself_is_told(stage: Stage) -> None:
    client = stage.client()
    client.says(kill_of(client))
    client.hears_error(1927, "70100")
    assert client.closed


def test_an_id_that_no_client_has(stage: Stage) -> None:
    """Though a node may have it: there it would be a stranger's."""
    client = stage.client()
    client.runs(stage.one, "SELECT 1", rows("1"))
    client.says("KILL 4711", "KILL QUERY 4711")
    assert client.received.count(b"Unknown thread id: 4711") == 2
    client.received.clear()


@pytest.mark.parametrize("said", ["KILL {}", "KILL QUERY {}"])
def test_nobody_kills_another_account(stage: Stage, said: str) -> None:
    victim, killer = stage.client(user="other"), stage.client()
    killer.says(said.format(victim.session.login.connection_id))
    killer.hears_error(1095, "HY000")
    assert not victim.closed


def test_a_kill_that_the_node_does_not_let_in_is_lost(stage: Stage) -> None:
    victim, killer = stage.client(), stage.client()
    victim.says(SLEEP)
    link = stage.one.hears(SLEEP)
    stage.one.refuses = ConnectFailed(1040, "Too many connections")
    killer.says(f"KILL QUERY {victim.session.login.connection_id}")
    killer.hears(ok())
    link.says(rows("0"))
    victim.hears(rows("0"))


def test_kill_in_a_transaction_leaves_it_open(stage: Stage) -> None:
    victim, killer = stage.client(), stage.client()
    link = killer.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    killer.says(kill_of(victim))
    killer.hears(ok(3))
    assert killer.runs(stage.one, "COMMIT", ok()) is link


def test_a_kill_query_that_comes_too_late_hits_nobody_else(build: Build) -> None:
    """The backend runs another session's statement by the time that the connection for the KILL is there."""
    stage = build(pool=Pool(max_backends=1))
    victim, killer, other = stage.client(), stage.client(), stage.client()
    victim.says(SLEEP)
    link = stage.one.hears(SLEEP)
    stage.one.slow = True
    killer.says(f"KILL QUERY {victim.session.login.connection_id}")
    killer.hears(ok())
    link.says(rows("1"))
    victim.hears(rows("1"))
    other.says(SLEEP)
    assert stage.one.hears(SLEEP) is link
    stage.one.lets_in()
    stage.quiet()
    link.says(rows("2"))
    other.hears(rows("2"))
