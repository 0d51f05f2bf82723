"""The client's end: commands cut out of what arrives, one at a time, and whatever a client may do to a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Limits
from proxy.frontend import PIPELINED_BYTES
from proxy.wire.constants import COM_PING, COM_QUIT, COM_RESET_CONNECTION
from proxy.wire.framing import frame
from tests.proxy.conftest import Build
from tests.proxy.scripted import TRANS, Stage, command, ok, packets, query, rows

PING = command(COM_PING)


def test_a_command_may_come_byte_by_byte(stage: Stage) -> None:
    client = stage.client()
    client.drips("SELECT 1")
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"))


@given(st.lists(st.integers(1, 60), max_size=6))
def test_commands_may_be_cut_anywhere(cuts: list[int]) -> None:
    stage = Stage()
    client = stage.client()
    said = query("BEGIN") + PING + query("ROLLBACK") + PING
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(said)), len(said)]:
        if cut > at:
            client.says(said[at:cut])
            at = cut
    client.hears(ok(TRANS), ok(TRANS), ok(), ok())
    stage.end()


def test_commands_in_one_piece_are_run_one_after_the_other(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1", "SELECT 2", "SELECT 3")
    for number in "123":
        link = stage.one.hears(f"SELECT {number}")
        stage.quiet()  # the next one waits for this one's answer
        link.says(rows(number))
        client.hears(rows(number))


def test_each_of_them_is_answered_with_its_own_sequence_numbers(stage: Stage) -> None:
    client = stage.client()
    client.says(PING, PING)
    assert [packet[3] for packet in packets(bytes(client.received))] == [1, 1]
    client.hears(ok(), ok())


def test_thousands_at_once_need_no_stack(stage: Stage) -> None:
    client = stage.client()
    client.says(PING * 5000)
    client.hears(ok() * 5000)


def test_nor_do_thousands_that_a_node_answers(stage: Stage) -> None:
    stage.one.answers(lambda said: rows(said[-1]))
    client = stage.client()
    client.says(query("SELECT 7") * 2000)
    client.hears(rows("7") * 2000)


def test_commands_behind_one_that_is_answered_later_keep_their_turn(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1", PING, "BEGIN", "ROLLBACK", "SELECT 2")
    client.hears_nothing()
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"), ok(), ok(TRANS), ok())
    stage.one.hears("SELECT 2").says(rows("2"))
    client.hears(rows("2"))


def test_who_sends_too_far_ahead_is_not_read(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1")
    slow = stage.one.hears("SELECT 1")
    ahead = PING * (PIPELINED_BYTES // len(PING) + 1)
    client.says(ahead)
    client.says(PING * 10)
    assert client.wire.held_back == 10 * len(PING)
    slow.says(rows("1"))
    assert client.wire.held_back == 0
    client.hears(rows("1"), ok() * (len(ahead) // len(PING) + 10))


# -- what can't be understood -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        frame(b"\x03SELECT 1", 1),  # a sequence that does not start
        frame(b""),
        frame(b"\x03" + bytes(0xFFFFFF))[: 4 + 0xFFFFFF] + frame(b"", 5),
    ],
    ids=["sequence", "empty", "continued out of sequence"],
)
def test_bytes_that_are_no_command_end_the_connection_with_an_error(stage: Stage, said: bytes) -> None:
    client = stage.client()
    client.says(said)
    client.hears_error(1835, "HY000")
    assert client.closed


def test_a_command_over_the_limit_ends_the_connection_with_an_error(build: Build) -> None:
    stage = build(limits=Limits(max_command_bytes=1024))
    client = stage.client()
    client.says(frame(bytes(1025))[:100])  # its header is enough to know
    assert "1024 bytes" in client.hears_error(1153, "08S01").message
    assert client.closed


def test_it_is_told_behind_the_answers_that_are_due(stage: Stage) -> None:
    client = stage.client()
    client.says(PING, frame(b""), PING)
    answers = packets(bytes(client.received))
    client.received.clear()
    assert answers[0] == ok()
    assert len(answers) == 2
    assert client.closed


# -- the end of a connection ------------------------------------------------------------------------------------------


def test_quit_closes_and_has_no_answer(stage: Stage) -> None:
    client = stage.client()
    client.says(command(COM_QUIT), PING)
    client.hears_nothing()
    assert client.closed
    assert not stage.service.sessions


def test_a_client_that_sends_no_more_is_closed(stage: Stage) -> None:
    client = stage.client()
    client.half_closes()
    assert client.closed
    assert not stage.service.sessions


def test_who_half_closes_still_gets_what_it_has_asked_for(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1", "SELECT 2")
    link = stage.one.hears("SELECT 1")
    client.half_closes()
    link.says(rows("1"))
    assert not client.closed
    stage.one.hears("SELECT 2").says(rows("2"))
    client.hears(rows("1"), rows("2"))
    assert client.closed
    assert not stage.service.sessions
    assert not stage.one.pool.leased


def test_half_a_command_is_not_waited_for_then(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1", query("SELECT 2")[:-1])
    link = stage.one.hears("SELECT 1")
    client.half_closes()
    link.says(rows("1"))
    client.hears(rows("1"))
    assert client.closed


def test_a_transaction_ends_with_the_client_that_half_closed_in_it(stage: Stage) -> None:
    client = stage.client()
    client.begins(stage.one, "INSERT INTO t (c) VALUES (1)")
    client.half_closes()
    assert client.closed
    stage.one.hears(command(COM_RESET_CONNECTION)).says(ok())


def test_nor_is_the_rest_of_a_file(stage: Stage) -> None:
    client = stage.client()
    client.says("LOAD DATA LOCAL INFILE 'f' INTO TABLE t")
    link = stage.one.hears("LOAD DATA LOCAL INFILE 'f' INTO TABLE t").says(frame(b"\xfbf", 1))
    client.hears(frame(b"\xfbf", 1))
    client.half_closes()
    assert client.closed
    assert link.closed


def test_who_half_closes_and_does_not_read_is_closed_once_it_has(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1")
    link = stage.one.hears("SELECT 1")
    client.stops_reading()
    client.half_closes()
    reply = rows(*["x" * 1000] * 100)
    link.says(reply)
    assert not client.closed
    client.reads_on()
    client.hears(reply)
    assert client.closed


def test_a_reply_that_comes_after_the_client_has_gone_goes_nowhere(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1")
    link = stage.one.hears("SELECT 1")
    client.wire.arrives(PING)
    client.wire.breaks(None)
    link.says(rows("1"))
    assert not stage.one.pool.leased


def test_traffic_is_counted(stage: Stage) -> None:
    client = stage.client()
    metrics = stage.service.metrics
    client.says(PING)
    client.hears(ok())
    assert (metrics.client_in, metrics.client_out) == (len(PING), len(ok()))


def test_a_client_whose_command_runs_is_not_silent(stage: Stage) -> None:
    client = stage.client()
    session = client.session
    stage.passes(5)
    assert session.idle_for(stage.clock.time()) == pytest.approx(5)
    client.says("SELECT 1")
    stage.passes(5)
    assert session.idle_for(stage.clock.time()) == 0.0
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"))


def test_a_client_is_silent_from_the_end_of_its_last_command_on(stage: Stage) -> None:
    client = stage.client()
    client.says("SELECT 1")
    stage.passes(5)
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"))
    stage.passes(1)
    assert client.session.idle_for(stage.clock.time()) == pytest.approx(1)
