"""Flow control goes through from the slower side to the faster, so that nobody's pace costs memory."""

from config import Pool
from proxy.wire.framing import frame
from tests.proxy.conftest import Build
from tests.proxy.scripted import CAPABILITIES, HIGH_WATER, TRANS, Client, Link, Stage, error, ok, query, rows
from tests.wire.speaking import Server

READ = "SELECT c FROM t"


def many_rows(count: int) -> list[bytes]:
    """A result set of `count` rows of 1 KB, in pieces of about 16 KiB."""
    whole = rows(*["x" * 1000] * count)
    return [whole[at : at + 16384] for at in range(0, len(whole), 16384)]


def sends_until_paused(link: Link, pieces: list[bytes]) -> list[bytes]:
    """The pieces that were not sent, because the proxy had stopped reading."""
    left = list(pieces)
    while left and link.wire.reading:
        link.says(left.pop(0))
    return left


def test_a_client_that_does_not_read_stops_the_node(stage: Stage) -> None:
    client = stage.client()
    client.says(READ)
    link = stage.one.hears(READ)
    client.stops_reading()
    pieces = many_rows(1000)
    left = sends_until_paused(link, pieces)
    assert left, "a megabyte was taken for a client that reads nothing"
    assert client.wire.unread <= HIGH_WATER + 16384
    link.says(left.pop(0))
    assert link.wire.held_back  # the kernel holds it, and the node feels it
    client.reads_on()
    assert link.wire.reading
    for piece in left:
        link.says(piece)
    client.hears(b"".join(pieces))


def test_no_command_is_taken_from_a_client_that_does_not_read(stage: Stage) -> None:
    stage.one.answers(lambda said: rows("x" * 1000))
    client = stage.client()
    client.stops_reading()
    client.says(query(READ) * 500)
    assert HIGH_WATER < client.wire.unread <= HIGH_WATER + 2000
    client.reads_on()
    client.hears(rows("x" * 1000) * 500)


def test_answers_of_our_own_stop_too(stage: Stage) -> None:
    client = stage.client()
    client.stops_reading()
    client.says(query("COMMIT") * 50_000)
    assert client.wire.unread <= HIGH_WATER + 100
    client.reads_on()
    client.hears(ok() * 50_000)


def test_the_next_session_of_a_paused_backend_reads_it(stage: Stage) -> None:
    client, other = stage.client(), stage.client()
    client.says(READ)
    link = stage.one.hears(READ)
    client.stops_reading()
    pieces = many_rows(80)
    left = sends_until_paused(link, pieces)
    for piece in left:
        link.says(piece)
    assert client.wire._full
    client.reads_on()
    client.hears(b"".join(pieces))
    other.runs(stage.one, READ, rows("1"))


def test_a_reply_that_ends_while_the_client_is_paused_frees_its_backend(build: Build) -> None:
    stage = build(pool=Pool(max_backends=1))
    client, other = stage.client(), stage.client()
    client.says(READ)
    link = stage.one.hears(READ)
    client.stops_reading()
    reply = rows(*["x" * 1000] * 80)
    link.says(reply)  # in one piece: it has passed before anybody could be paused
    assert client.wire.unread == len(reply)
    assert not stage.one.pool.leased
    assert other.runs(stage.one, READ, rows("1")) is link
    client.reads_on()
    client.hears(reply)


def test_a_paused_client_that_vanishes_frees_its_backend(stage: Stage) -> None:
    client = stage.client()
    client.says(READ)
    link = stage.one.hears(READ)
    client.stops_reading()
    assert sends_until_paused(link, many_rows(1000))
    client.vanishes()
    assert link.closed
    assert stage.one.pool.size == 0


def test_a_paused_client_in_a_transaction_reads_on_with_the_next_statement(stage: Stage) -> None:
    client = stage.client()
    link = client.begins(stage.one, READ, rows(status=TRANS))
    client.says(READ)
    assert stage.one.hears(READ) is link
    client.stops_reading()
    reply = rows(*["x" * 1000] * 80, status=TRANS)
    link.says(reply)
    assert not link.wire.reading
    client.says("COMMIT")
    stage.quiet()
    client.reads_on()
    client.hears(reply)
    assert stage.one.hears("COMMIT").says(ok()) is link
    client.hears(ok())


def test_a_backend_leased_by_a_paused_client_is_paused_until_it_reads(stage: Stage) -> None:
    """The client was paused by the reply before; the next command is not even taken."""
    client = stage.client()
    client.says(READ, READ)
    link = stage.one.hears(READ)
    client.stops_reading()
    reply = rows(*["x" * 1000] * 80)
    link.says(reply)
    stage.quiet()
    client.reads_on()
    client.hears(reply)
    stage.one.hears(READ).says(rows("1"))
    client.hears(rows("1"))


# -- the other direction: the client's file of LOAD DATA LOCAL ---------------------------------------------------------

LOAD = "LOAD DATA LOCAL INFILE 't.csv' INTO TABLE t"
REQUEST = Server(CAPABILITIES).packet(b"\xfbt.csv").sent


def file_of(size: int) -> list[bytes]:
    """A file as a client sends it: packets of 16 KiB and an empty one, their sequence counted on."""
    pieces = [frame(bytes(16384), (2 + at) % 256) for at in range(size // 16384)]
    return [*pieces, frame(b"", (2 + len(pieces)) % 256)]


def loading(stage: Stage, client: Client) -> Link:
    client.says(LOAD)
    link = stage.one.hears(LOAD).says(REQUEST)
    client.hears(REQUEST)
    return link


def test_a_file_goes_to_the_node_and_its_reply_to_the_client(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    packets = file_of(100_000)
    client.says(*packets)
    assert link.file == b"".join(packets)
    link.says(ok(rows=9, seq=9))
    client.hears(ok(rows=9, seq=9))
    client.runs(stage.one, READ, rows("1"))


def test_a_node_that_does_not_read_stops_the_client(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    link.stops_reading()
    left = file_of(1 << 20)
    whole = b"".join(left)
    while left and client.wire.reading:
        client.says(left.pop(0))
    assert left, "a megabyte was taken for a node that reads nothing"
    assert link.wire.unread <= HIGH_WATER + 2 * 16384
    link.reads_on()
    assert client.wire.reading
    for packet in left:
        client.says(packet)
    assert link.file == whole
    link.says(ok(seq=9))
    client.hears(ok(seq=9))


def test_a_command_sent_behind_a_file_waits_for_its_reply(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    client.says(*file_of(20_000), READ)
    stage.quiet()
    link.says(ok(seq=4))
    client.hears(ok(seq=4))
    stage.one.hears(READ).says(rows("1"))
    client.hears(rows("1"))


def test_a_file_is_read_to_its_end_though_the_statement_has_failed(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    packets = file_of(100_000)
    client.says(packets[0])
    link.says(error(1146))
    client.hears(error(1146))
    client.says(*packets[1:], READ)
    stage.one.hears(READ).says(rows("1"))
    client.hears(rows("1"))


def test_a_file_whose_node_is_lost_has_an_unknown_outcome(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    packets = file_of(100_000)
    client.says(packets[0])
    link.breaks()
    assert client.received or client.closed
    client.received.clear()
    assert stage.service.metrics.unknown_outcomes["one:3306"] == 1


def test_a_client_that_vanishes_with_half_of_its_file_sent_leaves_nothing(stage: Stage) -> None:
    client = stage.client()
    link = loading(stage, client)
    client.says(file_of(100_000)[0])
    client.vanishes()
    assert link.closed
