"""A command that waits because all backends are in use, and for nothing else."""

import asyncio

import pytest

from config import Pool
from tests.proxy.conftest import Build
from tests.proxy.scripted import GUARD, OPENING, TRANS, Client, Link, Stage, ok, rows

READ = "SELECT id FROM t"
INSERT = "INSERT INTO t VALUES (1)"


@pytest.fixture
def stage(build: Build) -> Stage:
    """One backend in all."""
    return build(pool=Pool(max_backends=1, acquire_timeout=2.0))


def busy(stage: Stage) -> tuple[Client, Client]:
    """Two clients; the first one's command is under way, the second one's waits."""
    first, second = stage.client(), stage.client()
    first.runs(stage.one, READ, rows("1"))
    first.says(INSERT)
    stage.one.hears(INSERT)
    second.says(READ)
    assert stage.one.pool.waiting == 1
    return first, second


def delivers(link: Link, data: bytes) -> None:
    """In this very turn of the loop."""
    link.wire._arrived.append(data)
    link.wire._deliver()


def test_it_takes_no_task(stage: Stage) -> None:
    first, second = busy(stage)
    assert not asyncio.all_tasks(stage.clock)
    link = stage.one.links[0].says(ok(rows=1))
    first.hears(ok(rows=1))
    assert stage.one.hears(READ) is link
    assert not asyncio.all_tasks(stage.clock)
    link.says(rows("1"))
    second.hears(rows("1"))
    assert stage.service.metrics.pool_waits.count == 1


def test_who_came_first_is_served_first(stage: Stage) -> None:
    first, second = busy(stage)
    third = stage.client()
    third.says("SELECT 3")
    stage.one.links[0].says(ok(rows=1))
    first.says("SELECT 4")  # it asks again, and is behind those
    for sql in (READ, "SELECT 3", "SELECT 4"):
        stage.one.hears(sql).says(rows("1"))
    first.hears(ok(rows=1), rows("1"))
    for client in (second, third):
        client.hears(rows("1"))


def test_what_the_backend_is_not_ready_for_is_done_first(stage: Stage) -> None:
    """Before a write its state is confirmed."""
    first, second = stage.client(), stage.client()
    second.says("SET sql_select_limit = 5")
    stage.one.hears("SET sql_select_limit = 5").says(ok())
    second.hears(ok())
    first.says(READ)
    stage.one.hears("COM_RESET_CONNECTION").says(ok())
    stage.one.hears(READ)
    second.says(INSERT)
    stage.one.links[0].says(rows("1"))
    first.hears(rows("1"))
    stage.one.hears("SET sql_select_limit=5").says(ok())
    stage.one.hears(INSERT).says(ok(rows=1))
    second.hears(ok(rows=1))


def test_a_transaction_that_has_begun_late_waits_with_its_first_statement(stage: Stage) -> None:
    first, second = busy(stage)
    third = stage.client()
    third.says("BEGIN", INSERT)
    third.hears(ok(TRANS))
    stage.one.links[0].says(ok(rows=1))
    stage.one.hears(READ).says(rows("1"))
    assert stage.one.pool.waiting == 0
    stage.one.hears(GUARD).says(ok())
    stage.one.hears(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    third.hears(ok(TRANS, rows=1))
    first.hears(ok(rows=1))
    second.hears(rows("1"))


def test_not_longer_than_the_settings_allow(stage: Stage) -> None:
    first, second = busy(stage)
    stage.passes(1.9)
    second.hears_nothing()
    stage.passes(0.2)
    assert "within 2 s" in second.hears_error(1040, "08004").message
    stage.one.links[0].says(ok(rows=1))
    first.hears(ok(rows=1))
    second.runs(stage.one, READ, rows("1"))


def test_who_leaves_is_passed_over(stage: Stage) -> None:
    first, second = busy(stage)
    second.vanishes()
    assert stage.one.pool.waiting == 0
    stage.one.links[0].says(ok(rows=1))
    first.hears(ok(rows=1))
    assert stage.one.pool.idle == 1


def test_who_leaves_in_the_moment_of_getting_it_gives_it_to_the_next(stage: Stage) -> None:
    first, second = busy(stage)
    third = stage.client()
    third.says(READ)
    link = stage.one.links[0]

    def answers_and_leaves() -> None:
        delivers(link, ok(rows=1))
        assert stage.one.pool.waiting == 1
        second.wire.protocol.connection_lost(None)

    stage.clock.does(answers_and_leaves)
    first.hears(ok(rows=1))
    stage.one.hears(READ).says(rows("1"))
    third.hears(rows("1"))
    assert stage.one.pool.idle == 1


def test_a_backend_that_is_lost_before_it_is_used(stage: Stage) -> None:
    """Given, and gone in the same turn: the command finds another one."""
    first, second = busy(stage)
    link = stage.one.links[0]

    def answers_and_breaks() -> None:
        delivers(link, ok(rows=1))
        assert stage.one.pool.waiting == 0
        stage.one.pool.fail_leased("given up")

    stage.clock.does(answers_and_breaks)
    first.hears(ok(rows=1))
    stage.one.comes_up()
    stage.one.hears(READ).says(rows("1"))
    second.hears(rows("1"))


def test_a_place_is_as_good_as_a_backend(stage: Stage) -> None:
    """The backend in use is closed: who waits connects."""
    first, second = busy(stage)
    stage.one.links[0].breaks()
    stage.one.comes_up()
    stage.one.hears(READ).says(rows("1"))
    second.hears(rows("1"))
    first.hears_error(1180)
    assert stage.one.pool.size == 1
