"""MariaDB's bulk execution and extended metadata at a real server, directly and through the proxy."""

import pytest

from proxy.wire import constants as c
from proxy.wire.framing import frame
from proxy.wire.prepared import LAST_PREPARED
from tests.differential.client import Client
from tests.differential.conversation import Conversation
from tests.differential.runner import Runner

pytestmark = pytest.mark.only("galera")

AGREED = c.CLIENT_DEPRECATE_EOF | c.MARIADB_CLIENT_STMT_BULK_OPERATIONS | c.MARIADB_CLIENT_EXTENDED_METADATA
TWO_LONGLONGS = b"\x08\x00\x08\x00"


def bulk(*ids: int) -> bytes:
    """Rows for the statement that was prepared last."""
    rows = b"".join(b"\x00" + number.to_bytes(8, "little") + b"\x01" for number in ids)  # the second is NULL
    flags = c.SEND_TYPES_TO_SERVER.to_bytes(2, "little")
    last = LAST_PREPARED.to_bytes(4, "little")
    return frame(bytes((c.COM_STMT_BULK_EXECUTE,)) + last + flags + TWO_LONGLONGS + rows)


def said(port: int, schema: str) -> list[bytes]:
    client = Client(port, AGREED, schema)
    try:
        prepare = frame(bytes((c.COM_STMT_PREPARE,)) + b"INSERT INTO w VALUES (?, ?)")
        read = frame(bytes((c.COM_QUERY,)) + b"SELECT id, v FROM w ORDER BY id")
        prepared = client.ask(prepare, c.COM_STMT_PREPARE)
        return [
            prepared[:5] + prepared[9:],
            client.ask(bulk(501, 502, 503), c.COM_STMT_BULK_EXECUTE),
            client.ask(read, c.COM_QUERY),
            client.ask(bulk(504, 501), c.COM_STMT_BULK_EXECUTE),
        ]
    finally:
        client.close()


def test_rows_in_bulk_and_what_is_said_of_their_columns(runner: Runner) -> None:
    runner.hear(Conversation(()))
    heard = []
    for side in ("d", "p"):
        names = runner._names(side, 0)
        replies = said(runner._ports[side], names.one)
        heard.append([names.take_out(reply) for reply in replies])
    assert heard[0] == heard[1]
    assert b"Records: 3" in heard[0][1]
    assert heard[0][3][4] == c.ERR_HEADER
