"""One connection to a node: which reply belongs to which command, whoever waits for it, and what a loss means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.backend import Answer, Backend, Lost, Sink
from proxy.wire.constants import COM_PING, COM_QUERY, COM_STMT_PREPARE
from proxy.wire.digest import ReplyDigest
from proxy.wire.framing import frame
from proxy.wire.replies import ReplyScanner
from router.session import UNKNOWN, State
from tests.proxy.scripted import CAPABILITIES, HIGH_WATER, Link, Stage, error, ok, prepared, query, rows
from tests.wire.speaking import Server


class Listener(Sink):
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def reply_data(self, data: bytes) -> None:
        if self.told and isinstance(self.told[-1], bytes):
            self.told[-1] += data
        else:
            self.told.append(data)

    def reply_done(self, reply: ReplyScanner) -> None:
        self.told.append(reply.error.code if reply.error else "done")

    def file_wanted(self) -> None:
        self.told.append("file wanted")

    def node_paused(self) -> None:
        self.told.append("paused")

    def node_resumed(self) -> None:
        self.told.append("resumed")

    def backend_lost(self, reason: str) -> None:
        self.told.append(f"lost: {reason}")


def leased(stage: Stage) -> tuple[Backend, Link]:
    """A backend of the first node, and the node's end of it."""
    client = stage.client()
    link = client.runs(stage.one, "SELECT 1", rows("1"))
    profile = client.session.relay.profile
    client.vanishes()
    backend = stage.one.pool.take(profile, State(), False, None)
    assert backend is not None
    return backend, link


def test_a_reply_goes_to_who_asked(stage: Stage) -> None:
    backend, link = leased(stage)
    sink = Listener()
    backend.send(sink, query("SELECT 1"), COM_QUERY)
    busy = [backend.busy]
    stage.one.hears("SELECT 1").says(rows("1"))
    assert sink.told == [rows("1"), "done"]
    assert [*busy, backend.busy] == [True, False]
    stage.one.pool.release(backend)
    assert not link.closed


def test_an_error_packet_is_reported_and_not_passed_on(stage: Stage) -> None:
    backend, _ = leased(stage)
    sink = Listener()
    backend.send(sink, query("SELECT 1"), COM_QUERY)
    stage.one.hears("SELECT 1").drips(error(1146))
    assert sink.told == [1146]
    stage.one.pool.release(backend)


@given(cuts=st.lists(st.integers(1, 200), max_size=8))
def test_two_replies_stay_two_however_they_are_cut(cuts: list[int]) -> None:
    stage = Stage()
    backend, link = leased(stage)
    sink = Listener()
    digest = ReplyDigest()
    backend.send_several(sink, query("BEGIN") + query("SELECT 1"), [COM_QUERY, COM_QUERY], digest)
    stage.one.hears("BEGIN", "SELECT 1")
    both = ok(3) + rows("1", "2", status=3)
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(both)), len(both)]:
        if cut > at:
            link.says(both[at:cut])
            at = cut
    assert sink.told == [ok(3), "done", rows("1", "2", status=3), "done"]
    alone = ReplyDigest()
    backend.send(sink, query("SELECT 1"), COM_QUERY, alone)
    stage.one.hears("SELECT 1").says(rows("1", "2"))
    assert digest.digest() == alone.digest()  # of the second reply only
    stage.one.pool.release(backend)
    stage.end()


def test_the_reply_to_a_quiet_command_concerns_nobody(stage: Stage) -> None:
    backend, link = leased(stage)
    backend.send_quietly(query("SET a=1"), COM_QUERY)
    stage.one.hears("SET a=1")
    assert not backend.busy
    sink = Listener()
    digest = ReplyDigest()
    backend.send(sink, query("SELECT 1"), COM_QUERY, digest)
    stage.one.hears("SELECT 1")
    link.says(ok() + rows("1"))
    assert sink.told == [rows("1"), "done"]
    assert digest.length
    assert backend.reusable
    stage.one.pool.release(backend)


def test_two_commands_may_follow_a_quiet_one(stage: Stage) -> None:
    backend, link = leased(stage)
    backend.send_quietly(query("SET a=1"), COM_QUERY)
    sink = Listener()
    backend.send_several(sink, query("BEGIN") + query("SELECT 1"), [COM_QUERY, COM_QUERY])
    stage.one.hears("SET a=1")
    stage.one.hears("BEGIN", "SELECT 1")
    link.drips(ok() + ok(3) + rows("1"))
    assert sink.told == [ok(3), "done", rows("1"), "done"]
    stage.one.pool.release(backend)


def test_a_quiet_command_that_was_refused_spoils_the_backend(stage: Stage) -> None:
    backend, link = leased(stage)
    backend.send_quietly(query("SET a=1"), COM_QUERY)
    stage.one.hears("SET a=1").says(error(1193))
    assert not backend.reusable
    stage.one.pool.release(backend)
    stage.clock.settle()
    assert link.closed


def test_an_answer_is_kept_apart_from_the_replies_after_it(stage: Stage) -> None:
    backend, link = leased(stage)

    async def ask() -> tuple[Answer, Answer]:
        first = await backend.run(query("INSERT"), COM_QUERY)
        return first, await backend.run(query("PREPARE"), COM_STMT_PREPARE)

    asking = stage.clock.create_task(ask())
    stage.clock.settle()
    stage.one.hears("INSERT").says(ok(insert_id=7))
    stage.one.hears("PREPARE").says(prepared(41, params=2))
    first, second = asking.result()
    assert (first.insert_id, first.error) == (7, None)
    assert (second.statement_id, second.num_params) == (41, 2)
    stage.one.pool.release(backend)
    assert not link.closed


def test_what_nobody_asked_for_is_the_end(stage: Stage) -> None:
    """A server speaks unasked only to say goodbye: 4031 for an idle connection, 1053, 1927."""
    backend, link = leased(stage)
    stage.one.pool.release(backend)
    link.says(error(1927, "Connection was killed"))
    assert backend.lost
    assert stage.one.pool.size == 0
    stage.one.comes_up()


def test_bytes_that_are_no_reply_are_the_end_and_told(stage: Stage) -> None:
    backend, link = leased(stage)
    sink = Listener()
    backend.send(sink, query("SELECT 1"), COM_QUERY)
    stage.one.hears("SELECT 1").says(b"\x02\x00\x00\x01\x00\x00")
    assert len(sink.told) == 1
    assert "malformed" in str(sink.told[0])
    assert link.closed


@pytest.mark.parametrize("under_way", [False, True])
def test_a_loss_is_told_to_who_holds_it_once(stage: Stage, under_way: bool) -> None:
    backend, link = leased(stage)
    sink = Listener()
    backend.holder = sink
    if under_way:
        backend.send(sink, query("SELECT 1"), COM_QUERY)
        stage.one.hears("SELECT 1")
    link.breaks()
    backend.fail("again")
    assert sink.told == ["lost: Connection reset by peer"]
    assert not backend.busy


def test_closing_is_no_loss(stage: Stage) -> None:
    backend, link = leased(stage)
    sink = Listener()
    backend.holder = sink
    stage.one.pool.discard(backend)
    stage.clock.settle()
    assert link.closed
    assert sink.told == []
    backend.pause()  # a client that pauses now pauses nothing
    backend.resume()


def test_asking_a_lost_one_is_an_error_at_once(stage: Stage) -> None:
    backend, link = leased(stage)
    link.breaks()
    with pytest.raises(Lost, match="reset by peer"):
        stage.clock.finish(backend.run(query("SELECT 1"), COM_QUERY))


def test_bytes_are_counted(stage: Stage) -> None:
    backend, _ = leased(stage)
    metrics = stage.service.metrics
    out, into = metrics.node_bytes_out, metrics.node_bytes_in
    backend.send(Listener(), query("SELECT 1"), COM_QUERY)
    stage.one.hears("SELECT 1").says(rows("1"))
    assert metrics.node_bytes_out - out == len(query("SELECT 1"))
    assert metrics.node_bytes_in - into == len(rows("1"))
    stage.one.pool.release(backend)


def test_a_reset_leaves_the_schema(stage: Stage) -> None:
    backend, _ = leased(stage)
    backend.state = State(b"app", (("sql_mode", "'ANSI'"),))
    backend.guarded = backend.causal = True
    reset = stage.clock.create_task(backend.reset())
    stage.clock.settle()
    stage.one.hears("COM_RESET_CONNECTION").says(ok())
    stage.one.hears("COM_INIT_DB app").says(ok())  # or @@character_set_database would be the server's
    assert reset.result().error is None
    assert backend.state is State(b"app")
    assert not backend.guarded
    assert not backend.causal
    stage.one.pool.release(backend)


def test_a_reset_in_a_schema_that_was_dropped_is_well(stage: Stage) -> None:
    backend, _ = leased(stage)
    backend.state = State(b"app")
    reset = stage.clock.create_task(backend.reset())
    stage.clock.settle()
    stage.one.hears("COM_RESET_CONNECTION").says(ok())
    stage.one.hears("COM_INIT_DB app").says(error(1049, "Unknown database 'app'"))
    assert reset.result().error is None
    assert backend.state is State(UNKNOWN)
    stage.one.pool.release(backend)


def test_it_says_what_it_is(stage: Stage) -> None:
    backend, link = leased(stage)
    assert repr(backend) == "<Backend one:3306#1 idle <State no schema>>"
    backend.guarded = True
    backend.send(Listener(), query("SELECT 1"), COM_QUERY)
    assert repr(backend) == "<Backend one:3306#1 busy <State no schema> guarded>"
    stage.one.hears("SELECT 1")
    link.breaks()
    assert "lost (Connection reset by peer)" in repr(backend)


def test_a_scanner_is_made_for_what_was_agreed(stage: Stage) -> None:
    backend, _ = leased(stage)
    assert backend.profile.capabilities == CAPABILITIES
    sink = Listener()
    backend.send(sink, query("PING"), COM_PING)
    stage.one.hears("PING").says(ok())
    assert sink.told == [ok(), "done"]
    stage.one.pool.release(backend)


def test_the_clients_file_goes_between_a_request_and_its_reply(stage: Stage) -> None:
    backend, link = leased(stage)
    sink = Listener()
    request = Server(CAPABILITIES).packet(b"\xfb/tmp/t.csv").sent
    backend.send(sink, query("LOAD"), COM_QUERY)
    stage.one.hears("LOAD").drips(request)
    assert sink.told == [request, "file wanted"]
    backend.forward(frame(b"1,2", 2))
    backend.forward(frame(b"", 3))
    assert link.file == frame(b"1,2", 2) + frame(b"", 3)
    answer = Server(CAPABILITIES)
    answer.seq = 4
    link.says(answer.ok(rows=1).sent)
    assert sink.told == [request, "file wanted", answer.sent, "done"]
    stage.one.pool.release(backend)


def test_a_node_that_does_not_keep_up_is_reported(stage: Stage) -> None:
    backend, link = leased(stage)
    sink = Listener()
    backend.holder = sink
    request = Server(CAPABILITIES).packet(b"\xfb/tmp/t.csv").sent
    backend.send(sink, query("LOAD"), COM_QUERY)
    stage.one.hears("LOAD").says(request)
    link.stops_reading()
    backend.forward(frame(bytes(HIGH_WATER), 2))
    link.reads_on()
    assert sink.told[2:] == ["paused", "resumed"]
    stage.one.pool.discard(backend)
