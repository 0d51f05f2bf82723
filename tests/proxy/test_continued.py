"""A reply that was cut in the middle goes on from a second run, if that one begins with what the client has."""

import pytest

from proxy.wire.packets import error_packet
from tests.proxy.scripted import AUTO, GUARD, OPENING, TRANS, WAIT, Client, Stage, error, ok, packets, rows

INSERT = "INSERT INTO t (c) VALUES (1)"
READ = "SELECT c FROM t"
END = 9  # bytes of the packet behind the last row


def cut(stage: Stage, client: Client, reply: bytes, at: int) -> bytes:
    """A read outside a transaction whose connection breaks; gives what the client got of it."""
    stage.two.comes_up()
    client.says(READ)
    stage.somewhere(READ).says(reply[:at]).breaks()
    received = bytes(client.received)
    client.received.clear()
    assert reply.startswith(received)
    return received


@pytest.mark.parametrize("at", range(1, len(rows("1", "22", "333")), 3))
def test_a_read_goes_on_where_it_was_cut(at: int, stage: Stage) -> None:
    client = stage.client()
    reply = rows("1", "22", "333")
    received = cut(stage, client, reply, at)
    stage.somewhere(READ).says(reply)
    client.hears(reply[len(received) :])
    assert stage.retries() == {("lost", "ok"): 1}


def test_however_the_second_run_arrives(stage: Stage) -> None:
    client = stage.client()
    reply = rows("1", "22", "333")
    received = cut(stage, client, reply, len(reply) - 15)
    assert received
    stage.somewhere(READ).drips(reply)
    assert received + bytes(client.received) == reply
    client.received.clear()


def test_it_may_be_cut_more_than_once(stage: Stage) -> None:
    stage.three.comes_up()
    client = stage.client()
    reply = rows("1", "22", "333", "4444")
    heard = cut(stage, client, reply, len(reply) - 25)
    for left in (40, 12):  # before and behind the first cut
        stage.somewhere(READ).says(reply[: len(reply) - left]).breaks()
        heard += bytes(client.received)
        client.received.clear()
        stage.one.comes_up()
    stage.somewhere(READ).says(reply)
    client.hears(reply[len(heard) :])


@pytest.mark.parametrize(
    "second", [rows("1", "2x", "333"), rows("1"), rows(), error(1146)], ids=["another row", "shorter", "empty", "error"]
)
def test_a_reply_that_is_not_the_same_ends_the_connection(second: bytes, stage: Stage) -> None:
    """Within a packet there is no room for an error."""
    client = stage.client()
    reply = rows("1", "22", "333")
    received = cut(stage, client, reply, len(reply) - END - 1)
    assert len(received) > len(rows("1"))
    stage.somewhere(READ).says(second)
    assert not client.received
    assert client.wire.aborted
    assert stage.retries() == {("lost", "gave_up"): 1}


def test_in_a_transaction_all_of_it_is_run_again_first(stage: Stage) -> None:
    stage.two.comes_up()
    client = stage.client()
    client.says("BEGIN", INSERT)
    client.hears(ok(TRANS))
    stage.somewhere(GUARD).says(ok())
    link = stage.somewhere(OPENING, INSERT).says(ok(TRANS), ok(TRANS, rows=1))
    client.hears(ok(TRANS, rows=1))
    reply = rows("1", "22", status=TRANS)
    client.says(READ)
    stage.somewhere(READ).says(reply[:-20])
    received = bytes(client.received)
    assert received
    client.received.clear()
    link.node.dies()
    stage.somewhere(WAIT).says(ok())
    stage.somewhere("BEGIN").says(ok(TRANS))
    stage.somewhere(INSERT).says(ok(TRANS, rows=1))
    stage.somewhere(READ).says(reply)
    client.hears(reply[len(received) :])
    client.says("ROLLBACK")
    stage.somewhere("ROLLBACK").says(ok())
    client.hears(ok())


def opened_and_cut_by_a_conflict(stage: Stage, client: Client) -> tuple[bytes, bytes]:
    """The first statement's rows end in an error; gives what was sent of them, and the error."""
    client.says("BEGIN", READ)
    client.hears(ok(TRANS))
    stage.one.hears(GUARD).says(ok())
    sent = rows("1", "22", status=TRANS)[:-END]
    conflict = error_packet(len(packets(sent)) + 1, 1213, "40001", "Deadlock found")
    stage.one.hears(OPENING, READ).says(ok(TRANS), sent + conflict)
    assert bytes(client.received) == sent
    client.received.clear()
    stage.passes(0.1)
    return sent, conflict


def again(stage: Stage, reply: bytes) -> None:
    stage.one.hears(OPENING).says(ok(TRANS))
    stage.one.hears(READ).says(reply)


def test_a_conflict_among_the_rows_is_not_seen(stage: Stage) -> None:
    client = stage.client()
    sent, _ = opened_and_cut_by_a_conflict(stage, client)
    reply = rows("1", "22", "333", status=TRANS)
    again(stage, reply)
    client.hears(reply[len(sent) :])
    client.says("COMMIT")
    stage.one.hears("COMMIT").says(ok())
    client.hears(ok())


@pytest.mark.parametrize(
    "second",
    [rows("1", "XX", "333", status=TRANS), rows("1", status=TRANS), error(1146), error(1317)],
    ids=["another row", "shorter", "no table", "interrupted"],
)
def test_or_else_its_error_comes_behind_the_rows(second: bytes, stage: Stage) -> None:
    client = stage.client()
    _, conflict = opened_and_cut_by_a_conflict(stage, client)
    again(stage, second)
    client.hears(conflict)
    assert not client.closed
    client.says("SELECT 1")
    stage.one.hears("SELECT 1").says(rows("1", status=AUTO))
    client.hears(rows("1", status=AUTO))


def test_a_second_conflict_before_the_rows_that_were_sent_is_one_more_attempt(stage: Stage) -> None:
    client = stage.client()
    sent, _ = opened_and_cut_by_a_conflict(stage, client)
    again(stage, error(1213))
    client.hears_nothing()
    stage.passes(0.2)
    reply = rows("1", "22", status=TRANS)
    again(stage, reply)
    client.hears(reply[len(sent) :])
    client.says("ROLLBACK")
    stage.one.hears("ROLLBACK").says(ok())
    client.hears(ok())
