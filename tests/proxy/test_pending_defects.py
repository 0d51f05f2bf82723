"""What the proxy does not do yet as it should: each of these fails."""

import asyncio

import pytest

from config import Pool
from proxy.backend import Backend
from tests.proxy.conftest import Build
from tests.proxy.scripted import Stage, ok, rows
from tests.proxy.test_pool import APP, PLAIN, desk

INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"
ONE = Pool(max_backends=1)


def test_a_client_is_silent_from_the_end_of_its_last_command_on(stage: Stage) -> None:
    client = stage.client()
    client.says(READ)
    stage.passes(5)
    stage.one.hears(READ).says(rows("1"))
    client.hears(rows("1"))
    stage.passes(1)
    assert client.session.idle_for(stage.clock.time()) == pytest.approx(1)


# -- what happens in the same turn of the loop ------------------------------------------------------------------------


def test_a_place_that_was_given_to_who_waits_is_not_given_again(build: Build) -> None:
    """A lost backend is reported by itself and by its session: one place, not two."""
    stage = build(pool=ONE)
    clients = [stage.client() for _ in range(3)]
    clients[0].begins(stage.one, INSERT)
    for client in clients[1:]:
        client.says(READ)
    assert stage.one.pool.waiting == 2
    lost = stage.one.links[0]
    stage.clock.call_soon(lost.wire.breaks, ConnectionResetError())
    stage.clock.call_soon(clients[0].wire.breaks, ConnectionResetError())
    stage.clock.settle()
    assert sum(not link.closed for link in stage.one.links) <= 1
    stage.one.heard.clear()


def test_a_place_that_was_given_to_who_waits_is_taken(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    first = at.asks()
    later: list[asyncio.Task[Backend]] = []

    loop = at.stage.clock
    loop.call_soon(at.pool.discard, one)
    later.append(loop.create_task(at.pool.acquire(APP, PLAIN, False, None)))
    loop.settle()
    assert at.pool.size == 1
    at.gives(first.result())
    at.gives(later[0].result())


def test_a_place_goes_on_when_who_got_it_has_stopped_waiting(build: Build) -> None:
    at = desk(build, max_backends=1)
    one = at.gets()
    first, second = at.asks(), at.asks()

    def closes_and_cancels() -> None:
        at.pool.discard(one)
        first.cancel()

    at.stage.clock.does(closes_and_cancels)
    at.gives(second.result())


def test_a_backend_handed_over_when_the_wait_ends_is_not_lost(build: Build) -> None:
    at = desk(build, max_backends=1, acquire_timeout=3.0)
    one = at.gets()
    waiting = at.asks()
    at.stage.clock.call_later(3.0 - 1e-10, at.pool.release, one)  # just before, in the same turn
    at.stage.passes(3.1)
    if waiting.exception() is None:
        at.gives(waiting.result())
    assert not at.pool.leased


def test_a_kill_query_that_comes_too_late_hits_nobody_else(stage: Stage) -> None:
    """The backend runs another session's statement by the time that the connection for the KILL is there."""
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
