"""Flow control goes through from the slower side to the faster, so that nobody's pace costs memory."""

from tests.proxy.conftest import Build
from tests.proxy.scripted import HIGH_WATER, TRANS, Link, Stage, ok, query, rows

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
    stage = build()
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
