"""A backend that a session lingers at is needed by another: what may be asked is asked first, and kept."""

import pytest

from config import Limits, Pool
from proxy.wire.constants import CLIENT_MULTI_STATEMENTS, COM_RESET_CONNECTION, SERVER_MORE_RESULTS_EXISTS
from proxy.wire.packets import lenenc_str
from tests.proxy.conftest import Build
from tests.proxy.scripted import AUTO, CAPABILITIES, TRANS, Client, Link, Stage, command, error, ok, rows
from tests.wire.speaking import Server

READ = "SELECT c FROM t"
NUMBERS = "SELECT FOUND_ROWS(), @@warning_count, @@error_count LIMIT 1"
LISTING = "SHOW WARNINGS"


def warnings(*entries: tuple[str, int, str], status: int = AUTO) -> bytes:
    """The reply to SHOW WARNINGS."""
    server = Server(CAPABILITIES).columns(3, status)
    for level, code, message in entries:
        server.packet(b"".join(lenenc_str(text.encode()) for text in (level, str(code), message)))
    return server.end(status).sent


NOTE, FAULT = ("Note", 1051, "Unknown table"), ("Error", 1146, "Table doesn't exist")


@pytest.fixture
def stage(build: Build) -> Stage:
    """Room for one backend."""
    return build(pool=Pool(max_backends=1))


def needed(stage: Stage, client: Client, other: Client, reply: bytes = ok(warnings=1)) -> Link:
    """The client has warnings, and another wants the backend that has them. It has been asked for nothing yet."""
    link = client.runs(stage.one, READ, reply)
    other.says(READ)
    other.hears_nothing()
    return link


def numbers(*values: int) -> bytes:
    server = Server(CAPABILITIES).columns(len(values), AUTO)
    return server.packet(b"".join(lenenc_str(b"%d" % value) for value in values)).end(AUTO).sent


def asked(stage: Stage, link: Link, other: Client, *entries: tuple[str, int, str], found: int = 7) -> None:
    """It tells what it is asked for, and is the other's."""
    errors = sum(level == "Error" for level, _, _ in entries)
    stage.one.hears(NUMBERS)
    link.says(numbers(found, len(entries), errors))
    stage.one.hears(LISTING)
    link.says(warnings(*entries))
    stage.one.hears(READ)
    link.says(rows("1"))
    other.hears(rows("1"))


def test_the_listing_is_told_from_memory(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = needed(stage, client, other)
    asked(stage, link, other, NOTE, FAULT)
    for said, told in {
        "SHOW WARNINGS": (NOTE, FAULT),
        "show errors": (FAULT,),
        "SHOW WARNINGS LIMIT 1": (NOTE,),
        "SHOW WARNINGS LIMIT 1, 1": (FAULT,),
        "SHOW ERRORS LIMIT 1, 1": (),
    }.items():
        client.says(said)
        client.hears(warnings(*told))
    client.says("BEGIN", "SHOW WARNINGS", "ROLLBACK")
    client.hears(ok(TRANS), warnings(NOTE, FAULT, status=TRANS), ok())


def test_numbers_are_put_into_what_any_backend_answers(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    asked(stage, needed(stage, client, other, ok(rows=3, warnings=1)), other, NOTE, FAULT)
    for said, told in {"SELECT ROW_COUNT()": "3", "SELECT @@warning_count": "2", "SHOW COUNT(*) ERRORS": "1"}.items():
        client.says(said)
        stage.one.hears(said).says(rows("0"))
        client.hears(rows(told))
        other.says(READ)
        stage.one.hears(NUMBERS).says(numbers(1, 0, 0))  # the question has been one more statement
        stage.one.hears(READ).says(rows("1"))
        other.hears(rows("1"))


def test_a_row_count_that_no_reply_has_said_is_asked_for_as_well(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client, other = stage.client(capabilities=CAPABILITIES | CLIENT_MULTI_STATEMENTS), stage.client()
    both = "SELECT 1; DELETE FROM t"
    link = client.runs(stage.one, both, rows("1", status=AUTO | SERVER_MORE_RESULTS_EXISTS) + ok(rows=4, seq=6))
    other.says(READ)
    stage.one.hears(NUMBERS.replace(" LIMIT", ", ROW_COUNT() LIMIT"))
    link.says(numbers(7, 0, 0, 4))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    client.says("SELECT ROW_COUNT()")
    stage.one.hears("SELECT ROW_COUNT()").says(rows("0"))
    client.hears(rows("4"))


def test_a_command_that_comes_meanwhile_waits(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = needed(stage, client, other)
    client.says("SHOW WARNINGS")
    client.hears_nothing()
    asked(stage, link, other, NOTE)
    client.hears(warnings(NOTE))


@pytest.mark.parametrize("next_", [READ, "SELECT * FROM u"])
def test_the_next_statement_that_reads_tables_ends_it(stage: Stage, next_: str) -> None:
    client, other = stage.client(), stage.client()
    asked(stage, needed(stage, client, other), other, NOTE)
    client.runs(stage.one, next_, rows("1"))
    assert not stage.service.cluster.kept_space.used
    client.runs(stage.one, "SHOW WARNINGS", warnings())


def test_what_reads_no_table_leaves_it_also_where_it_pins(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    asked(stage, needed(stage, client, other), other, NOTE)
    client.runs(stage.one, "SET session_track_schema = OFF", ok())
    client.says("SHOW WARNINGS", "SELECT @@warning_count")
    stage.one.hears("SELECT @@warning_count").says(rows("0"))
    client.hears(warnings(NOTE), rows("1"))


def test_so_does_a_reset(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    asked(stage, needed(stage, client, other), other, NOTE)
    client.says(command(COM_RESET_CONNECTION))
    client.hears(ok())
    assert not stage.service.cluster.kept_space.used


@pytest.mark.parametrize("leaves", [Client.vanishes, lambda client: client.says(command(COM_RESET_CONNECTION))])
def test_a_client_that_goes_while_it_is_asked_leaves_nothing(stage: Stage, leaves: object) -> None:
    client, other = stage.client(), stage.client()
    needed(stage, client, other)
    stage.one.hears(NUMBERS)
    leaves(client)  # type: ignore[operator]
    client.received.clear()
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    assert stage.one.pool.size == 1


def test_a_node_that_does_not_tell_costs_no_more_than_the_answer(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    needed(stage, client, other)
    stage.one.hears(NUMBERS)
    stage.passes(5)
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    assert stage.service.metrics.kept_answers == {"lost": 1}
    client.says("SHOW WARNINGS")
    stage.one.hears("DO (SELECT 1 FROM (SELECT 1) t)").says(ok())
    stage.one.hears("SHOW WARNINGS").says(warnings())
    client.hears(warnings())


def test_a_node_that_is_lost_meanwhile(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = needed(stage, client, other)
    stage.one.hears(NUMBERS)
    stage.two.comes_up()
    link.breaks()
    assert not client.closed
    stage.somewhere(READ).says(rows("1"))
    other.hears(rows("1"))


def test_there_is_a_limit(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1), limits=Limits(kept_answer_bytes=600))
    client, other = stage.client(), stage.client()
    asked(stage, needed(stage, client, other), other, ("Note", 1, "x" * 600))
    assert stage.service.metrics.kept_answers == {"no_room": 1}
    assert not stage.service.cluster.kept_space.used


def test_a_longer_listing_is_not_kept(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = needed(stage, client, other)
    stage.one.hears(NUMBERS).says(numbers(1, 500, 0))
    stage.one.hears(LISTING)
    link.says(warnings(*(("Note", 1, "x" * 200),) * 500))
    stage.one.hears(READ).says(rows("1"))
    other.hears(rows("1"))
    assert stage.service.metrics.kept_answers == {"lost": 1}


def test_a_drain_does_not_forget_a_client_that_is_asked_for(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    link = needed(stage, client, other)
    stage.clock.does(client.session.relay.close_when_idle)
    asked(stage, link, other, NOTE)
    assert client.closed


def test_row_count_is_known_wherever_the_session_is(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    for said, reply, count in (
        ("UPDATE t SET c = 1", ok(rows=3), "3"),
        (READ, rows("1", "2"), "-1"),
        ("SELECT c FROM nosuch", error(1146), "-1"),
    ):
        client.runs(stage.one, said, reply)
        stage.one.script = lambda told: numbers(1, 0, 0) if told == NUMBERS else rows("0")
        other.says(READ)
        other.hears(rows("0"))
        client.says("SELECT ROW_COUNT()")
        client.hears(rows(count))
        stage.one.script = None
