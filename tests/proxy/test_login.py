"""Logging in to nodes: against a real MariaDB, and against scripted servers for what MariaDB does not do."""

import asyncio
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from proxy.login import Connected, ConnectFailed, Credential, NativeKey, connect
from proxy.queries import open_queries
from proxy.wire import constants as c
from tests.proxy.plain_mariadb import PlainMariadb, plain_mariadb

PASSWORD = "pässwörd"
UTF8MB4 = 45
LOGIN_NEEDS = c.CLIENT_PROTOCOL_41 | c.CLIENT_SECURE_CONNECTION | c.CLIENT_PLUGIN_AUTH
EVERYTHING = 0xFFFFFFFFFFFFFFFF
SALT = b"abcdefghijklmnopqrst"

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[PlainMariadb]:
    with plain_mariadb() as started:
        yield started


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    async def bounded(main: Coroutine[Any, Any, Any]) -> None:
        async with asyncio.timeout(15):
            await main

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda main: runner.run(bounded(main))


class Wire(asyncio.Protocol):
    """The protocol that takes the transport over."""

    def __init__(self) -> None:
        self.data = b""
        self.arrived = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def query(sql: bytes) -> bytes:
    return (len(sql) + 1).to_bytes(3, "little") + b"\0" + bytes((c.COM_QUERY,)) + sql


def packets(data: bytes) -> list[bytes]:
    """The payloads of the whole packets in `data`."""
    found = []
    at = 0
    while len(data) >= at + 4 and len(data) >= (end := at + 4 + int.from_bytes(data[at : at + 3], "little")):
        found.append(data[at + 4 : end])
        at = end
    return found


async def ask(connected: Connected, sql: bytes) -> list[bytes]:
    """Take the connection over, send a query, and return the payloads of the reply."""
    enders = 1 if connected.capabilities & c.CLIENT_DEPRECATE_EOF else 2
    wire = Wire()
    wire.data = connected.hand_over(wire)
    connected.transport.write(query(sql))
    async with asyncio.timeout(10):
        while True:
            reply = packets(wire.data)
            if reply and (reply[0][0] in (0, 0xFF) or sum(len(p) < 9 and p[0] == 0xFE for p in reply) == enders):
                break
            wire.arrived.clear()
            await wire.arrived.wait()
        connected.transport.close()
        await wire.lost.wait()
    return reply


# --- scripted servers ---


def packet(seq: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((seq,)) + payload


def greeting(plugin: bytes, capabilities: int = EVERYTHING & ~c.CLIENT_MYSQL) -> bytes:
    low, high, extended = capabilities & 0xFFFF, capabilities >> 16 & 0xFFFF, capabilities >> 32
    payload = b"\x0a" + b"9.9.9-scripted\0" + struct.pack("<I", 77) + SALT[:8] + b"\0" + struct.pack("<H", low)
    payload += struct.pack("<BHHB", UTF8MB4, c.SERVER_STATUS_AUTOCOMMIT, high, 21) + bytes(6)
    payload += struct.pack("<I", extended) + SALT[8:] + b"\0" + plugin + b"\0"
    return packet(0, payload)


OK = b"\0\0\0\x02\0\0\0"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return await reader.readexactly(int.from_bytes(head[:3], "little"))


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[tuple[tuple[str, int], asyncio.Future[Any]]]:
    """A server that follows `script` once. The future has what came after it: b"" when the client closed."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
            ended.set_result(await reader.read())
        except Exception as error:
            ended.set_exception(error)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname(), ended
    finally:
        listening.close()
        await listening.wait_closed()


async def try_login(address: tuple[str, int], **changes: Any) -> Connected:
    arguments: dict[str, Any] = {"user": "app", "password": PASSWORD, "capabilities": 0, "collation": UTF8MB4}
    return await connect(address, **(arguments | changes))


# --- a real server ---


def test_a_login_gives_a_transport_that_a_protocol_can_take_over(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connected = await try_login(server.address, database="shop")
        assert connected.buffered == b""
        reply = await ask(connected, b"SELECT CONCAT_WS('/', CONNECTION_ID(), DATABASE(), USER()) AS a")
        assert reply[3].endswith(f"{connected.thread_id}/shop/app@127.0.0.1".encode())

    run(main())


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        pytest.param(0, LOGIN_NEEDS, id="only what a login needs"),
        pytest.param(c.CLIENT_DEPRECATE_EOF, LOGIN_NEEDS | c.CLIENT_DEPRECATE_EOF, id="one more"),
        pytest.param(
            c.CLIENT_FOUND_ROWS | c.CLIENT_SESSION_TRACK | c.CLIENT_MULTI_RESULTS,
            LOGIN_NEEDS | c.CLIENT_FOUND_ROWS | c.CLIENT_SESSION_TRACK | c.CLIENT_MULTI_RESULTS,
            id="several",
        ),
        pytest.param(
            c.MARIADB_CLIENT_STMT_BULK_OPERATIONS,
            LOGIN_NEEDS | c.MARIADB_CLIENT_STMT_BULK_OPERATIONS,
            id="MariaDB's own",
        ),
        pytest.param(c.CLIENT_SSL | c.CLIENT_COMPRESS, LOGIN_NEEDS, id="never TLS or compression"),
        pytest.param(1 << 62, LOGIN_NEEDS, id="never what the server lacks"),
    ],
)
def test_the_agreed_capabilities_are_exact(server: PlainMariadb, run: Run, asked: int, agreed: int) -> None:
    async def main() -> None:
        connected = await try_login(server.address, capabilities=asked)
        connected.transport.abort()
        assert connected.capabilities == agreed
        assert connected.offered & agreed == agreed

    run(main())


def test_the_server_acts_on_the_agreed_capabilities(server: PlainMariadb, run: Run) -> None:
    """FOUND_ROWS decides what an UPDATE reports, DEPRECATE_EOF how many packets a result has."""

    async def main() -> None:
        column, row, end = 1, 1, 1
        with_eof = await ask(await try_login(server.address), b"SELECT 'x' AS a")
        assert len(with_eof) == 1 + column + end + row + end
        without = await try_login(server.address, capabilities=c.CLIENT_DEPRECATE_EOF)
        assert len(await ask(without, b"SELECT 'x' AS a")) == 1 + column + row + end

        server.sql("CREATE OR REPLACE TABLE shop.t (id INT PRIMARY KEY, v INT); INSERT INTO shop.t VALUES (1, 1)")
        for capabilities, affected in ((0, 0), (c.CLIENT_FOUND_ROWS, 1)):
            connected = await try_login(server.address, capabilities=capabilities, database="shop")
            (ok,) = await ask(connected, b"UPDATE t SET v = 1")
            assert ok[:2] == bytes((0, affected))

    run(main())


def test_nothing_is_sent_behind_the_login(server: PlainMariadb, run: Run) -> None:
    """No SET autocommit, no SET NAMES: the session is as the server made it, with the collation of the handshake."""

    async def main() -> None:
        connected = await try_login(server.address, collation=8)
        names = b"'Com_change_db', 'Com_select', 'Com_set_option', 'Questions'"
        reply = await ask(connected, b"SHOW SESSION STATUS WHERE Variable_name IN (" + names + b")")
        untouched = [b"\x0dCom_change_db\x010", b"\x0aCom_select\x010", b"\x0eCom_set_option\x010"]
        assert reply[-5:-1] == [*untouched, b"\x09Questions\x011"]
        again = await try_login(server.address, collation=8)
        assert (await ask(again, b"SELECT @@collation_connection AS a"))[3] == b"\x11latin1_swedish_ci"

    run(main())


def test_connect_attributes_of_any_length_arrive(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        attributes = {"program_name": "multiwriter", "note": "n" * 300}
        connected = await try_login(server.address, attributes=attributes, capabilities=EVERYTHING)
        assert connected.capabilities & c.CLIENT_CONNECT_ATTRS
        assert (await ask(connected, b"DO 1"))[0][0] == 0, "the server found no fault with the packet"

    run(main())


def test_the_socket_sends_at_once(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connected = await try_login(server.address)
        raw = connected.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connected.transport.abort()

    run(main())


def test_version_and_status_are_as_the_server_said(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connected = await try_login(server.address)
        connected.transport.abort()
        assert connected.version.removeprefix("5.5.5-") == server.sql("SELECT VERSION()").strip()
        assert connected.status & c.SERVER_STATUS_AUTOCOMMIT

    run(main())


def test_an_empty_password(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connected = await try_login(server.address, user="empty", password="")
        connected.transport.abort()

    run(main())


@pytest.mark.parametrize(
    ("changes", "code", "sqlstate", "message"),
    [
        ({"password": "wrong"}, 1045, "28000", "Access denied for user 'app'@'127.0.0.1' (using password: YES)"),
        ({"user": "nobody"}, 1045, "28000", "Access denied for user 'nobody'@'127.0.0.1' (using password: YES)"),
        ({"database": "nosuch"}, 1044, "42000", "Access denied for user 'app'@'127.0.0.1' to database 'nosuch'"),
        ({"user": "edwards"}, 1045, "28000", "Access denied for user 'edwards'@'127.0.0.1' (using password: YES)"),
    ],
)
def test_refusals_carry_the_servers_error(
    server: PlainMariadb, run: Run, changes: dict[str, str], code: int, sqlstate: str, message: str
) -> None:
    async def main() -> None:
        with pytest.raises(ConnectFailed) as failed:
            await try_login(server.address, **changes)
        assert (failed.value.code, failed.value.sqlstate, failed.value.message) == (code, sqlstate, message)

    run(main())


def test_an_ed25519_account(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        assert (await ask(await try_login(server.address, user="edwards", password="x"), b"SELECT 1"))[-2] == b"\x011"

    run(main())


def test_the_digest_that_clients_show_is_enough(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        key = NativeKey(hashlib.sha1(PASSWORD.encode()).digest())
        connected = await try_login(server.address, password=key)
        connected.transport.abort()
        with pytest.raises(ConnectFailed) as refused:
            await try_login(server.address, password=NativeKey(hashlib.sha1(b"another").digest()))
        assert refused.value.code == 1045

    run(main())


@pytest.mark.parametrize("capabilities", [0, c.CLIENT_DEPRECATE_EOF, c.CLIENT_DEPRECATE_EOF | c.CLIENT_SESSION_TRACK])
def test_the_account_is_the_one_that_was_meant(server: PlainMariadb, run: Run, capabilities: int) -> None:
    async def main() -> None:
        given = {"account": "app@127.0.0.1", "capabilities": capabilities}
        credential = Credential(PASSWORD)
        connected = await try_login(server.address, password=credential, **given)
        assert credential.confirmed
        reply = await ask(connected, b"SELECT 7")  # what was asked before has left nothing behind
        assert b"\x017" in reply
        other = Credential(PASSWORD)
        with pytest.raises(ConnectFailed, match=r"takes it for app@127\.0\.0\.1, not for app@%") as refused:
            await try_login(server.address, password=other, account="app@%", capabilities=capabilities)
        assert refused.value.code == 1698
        assert not other.confirmed
        with pytest.raises(ConnectFailed) as refused:
            await try_login(server.address, password="wrong", account="app@127.0.0.1")
        assert refused.value.code == 1698  # says nothing of the node, unlike a refusal of the settings' own account

    run(main())


def test_a_password_that_is_not_known_any_more_is_not_tried(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ConnectFailed, match="was changed") as refused:
            await try_login(("127.0.0.1", 1), password=Credential(), account="app@%")
        assert refused.value.code == 1698

    run(main())


def test_a_digest_answers_a_switch_to_its_own_plugin_and_to_no_other(run: Run) -> None:
    key = NativeKey(hashlib.sha1(PASSWORD.encode()).digest())

    def switch(plugin: bytes) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"caching_sha2_password"))
            assert b"mysql_native_password\0" in await read_packet(reader)
            writer.write(packet(2, b"\xfe" + plugin + b"\0" + SALT[::-1] + b"\0"))
            if plugin == b"mysql_native_password":
                digest = hashlib.sha1(hashlib.sha1(PASSWORD.encode()).digest()).digest()
                mask = hashlib.sha1(SALT[::-1] + digest).digest()
                assert bytes(a ^ b for a, b in zip(await read_packet(reader), mask, strict=True)) == key.sha1
                writer.write(packet(4, OK))

        return script

    async def main() -> None:
        async with scripted(switch(b"mysql_native_password")) as (address, ended):
            (await try_login(address, password=key)).transport.abort()
            assert await ended == b""
        async with scripted(switch(b"caching_sha2_password")) as (address, ended):
            with pytest.raises(ConnectFailed, match="needs the password itself") as refused:
                await try_login(address, password=key)
            assert refused.value.code == 2059
            assert await ended == b""

    run(main())


def test_queries_answer_in_text(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connection = await open_queries(server.address, user="monitor", password="monitor")
        assert await connection.query("SELECT 1, 'ä', NULL, 1.50, x'41'") == [("1", "ä", None, "1.50", "A")]
        assert await connection.query("SET @a = 1") == []
        with pytest.raises(ConnectFailed) as failed:
            await connection.query("SELECT nosuch")
        assert (failed.value.code, failed.value.sqlstate) == (1054, "42S22")
        assert not connection.closed, "the server's own error leaves the connection at rest"
        assert await connection.query("SELECT @a") == [("1",)]
        connection.close()
        connection.close()
        assert connection.closed
        with pytest.raises(ConnectFailed):
            await connection.query("SELECT 1")

    run(main())


def test_a_killed_query_connection_says_so_and_closes(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        connection = await open_queries(server.address, user="monitor", password="monitor")
        server.sql(f"KILL {connection.thread_id}")
        with pytest.raises(ConnectFailed) as failed:
            await connection.query("SELECT 1")
        assert failed.value.code in (1927, 2013)
        connection.close()

    run(main())


def test_a_cancelled_query_closes_its_connection(server: PlainMariadb, run: Run) -> None:
    """What is still to come would be taken for the next query's answer."""

    async def main() -> None:
        connection = await open_queries(server.address, user="monitor", password="monitor")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.query("SELECT SLEEP(20)")
        assert connection.closed

    run(main())


# --- servers that MariaDB is not ---


def test_nobody_listens(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()

        async def main() -> None:
            with pytest.raises(ConnectFailed) as failed:
                await try_login(address)
            assert failed.value.code == 2003
            assert failed.value.message.startswith(f"Can't connect to 127.0.0.1:{address[1]} (")

        run(main())


def test_no_such_host(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ConnectFailed) as failed:
            await try_login(("host.invalid", 3306), timeout=30, connect_timeout=30)
        assert failed.value.code == 2005

    run(main())


def test_a_server_that_accepts_and_says_nothing(run: Run) -> None:
    async def main() -> None:
        async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pass

        async with scripted(silence) as (address, ended):
            with pytest.raises(ConnectFailed) as failed:
                await try_login(address, timeout=0.05)
            assert failed.value.code == 2013
            assert "within 0.05 s" in failed.value.message
            assert await ended == b"", "the socket is closed"

    run(main())


def test_a_server_that_does_not_even_accept(run: Run) -> None:
    """The backlog is full: the kernel leaves the SYN unanswered."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(deaf.getsockname())

        async def main() -> None:
            with pytest.raises(ConnectFailed) as failed:
                await try_login(deaf.getsockname(), connect_timeout=0.05)
            assert failed.value.code == 2003
            assert "no TCP connection within 0.05 s" in failed.value.message

        run(main())


def test_cancelling_a_login_leaves_no_socket(run: Run) -> None:
    async def main() -> None:
        greeted = asyncio.Event()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            greeted.set()

        async with scripted(greet) as (address, ended):
            login = asyncio.create_task(try_login(address), name="login")
            await greeted.wait()
            login.cancel()
            with pytest.raises(asyncio.CancelledError):
                await login
            assert await ended == b""

    run(main())


@pytest.mark.parametrize("keep", range(0, 70, 3))
def test_a_server_that_leaves_in_the_middle_of_its_greeting(run: Run, keep: int) -> None:
    async def main() -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password")[:keep])
            writer.write_eof()

        async with scripted(cut) as (address, ended):
            with pytest.raises(ConnectFailed) as failed:
                await try_login(address)
            assert failed.value.code == 2013
            assert await ended == b""

    run(main())


@pytest.mark.parametrize(
    ("first", "code", "message"),
    [
        (packet(0, b"\xff\x10\x04Too many connections"), 1040, "Too many connections"),
        (packet(0, b"\xff\x10\x04#08004Too many connections"), 1040, "Too many connections"),
        (packet(0, b""), 2027, "Malformed packet"),
        (packet(0, b"\x0a9.9.9"), 2027, "Malformed packet"),
        (packet(7, b"\x0a9.9.9"), 2027, "sequence"),
        (greeting(b"mysql_native_password", c.CLIENT_CONNECT_WITH_DB), 2027, "4.1 protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 2027, "sequence"),
    ],
)
def test_a_greeting_that_is_none(run: Run, first: bytes, code: int, message: str) -> None:
    async def main() -> None:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            writer.write_eof()

        async with scripted(speak) as (address, ended):
            with pytest.raises(ConnectFailed, match=message) as failed:
                await try_login(address)
            assert failed.value.code == code
            assert await ended == b""

    run(main())


def test_a_flood_is_not_buffered(run: Run) -> None:
    async def main() -> None:
        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\xff\xff\xff\0" + bytes(8 << 20))

        async with scripted(flood) as (address, ended):
            with pytest.raises(ConnectFailed) as failed:
                await try_login(address)
            assert failed.value.code == 2013
            with pytest.raises(ConnectionError):
                await ended

    run(main())


def test_bytes_right_behind_the_ok_are_not_lost(run: Run) -> None:
    async def main() -> None:
        async def hurry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            writer.write(packet(2, OK) + b"more")
            assert await reader.readexactly(2) == b"go"
            writer.write(b" and more")

        async with scripted(hurry) as (address, ended):
            connected = await try_login(address)
            assert connected.buffered == b"more"
            wire = Wire()
            assert connected.hand_over(wire) == b"more"
            connected.transport.write(b"go")
            await wire.arrived.wait()
            assert b" and more".startswith(wire.data)
            connected.transport.close()
            await ended

    run(main())


def test_a_connection_lost_before_it_changes_hands_is_reported(run: Run) -> None:
    async def main() -> None:
        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            writer.write(packet(2, OK))
            writer.write_eof()

        async with scripted(leave) as (address, ended):
            connected = await try_login(address)
            assert await ended == b""
            with pytest.raises(ConnectFailed) as failed:
                connected.hand_over(Wire())
            assert failed.value.code == 2013

    run(main())


def test_caching_sha2_fast_answer(run: Run) -> None:
    """The scramble of an AuthSwitchRequest ends in a NUL that is not part of it."""

    def fast(salt: bytes) -> bytes:
        once = hashlib.sha256(PASSWORD.encode()).digest()
        twice = hashlib.sha256(once).digest()
        return bytes(a ^ b for a, b in zip(once, hashlib.sha256(twice + salt).digest(), strict=True))

    other = SALT[::-1]

    async def main() -> None:
        async def in_the_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"caching_sha2_password"))
            assert b"app\0\x20" + fast(SALT) + b"caching_sha2_password\0" in await read_packet(reader)
            writer.write(packet(2, b"\x01\x03") + packet(3, OK))

        async def by_switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            writer.write(packet(2, b"\xfecaching_sha2_password\0" + other + b"\0"))
            assert await read_packet(reader) == fast(other)
            writer.write(packet(4, b"\x01\x03") + packet(5, OK))

        for script in (in_the_greeting, by_switch):
            async with scripted(script) as (address, ended):
                connected = await try_login(address)
                connected.transport.close()
                assert await ended == b""

    run(main())


def test_caching_sha2_full_answer_is_encrypted_with_the_servers_key(run: Run) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)

    async def main() -> None:
        async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"caching_sha2_password"))
            assert PASSWORD.encode() not in await read_packet(reader)
            writer.write(packet(2, b"\x01\x04"))
            assert await read_packet(reader) == b"\x02", "asks for the key"
            writer.write(packet(4, b"\x01" + public))
            plain = key.decrypt(await read_packet(reader), oaep)
            assert bytes(a ^ b for a, b in zip(plain, SALT, strict=False)) == PASSWORD.encode() + b"\0"
            writer.write(packet(6, OK))

        async with scripted(full) as (address, ended):
            connected = await try_login(address)
            connected.transport.close()
            assert await ended == b""

    run(main())


@pytest.mark.parametrize("plugin", [b"mysql_old_password\0", b"authentication_webauthn_client\0", b""])
def test_what_a_node_may_not_ask_for(run: Run, plugin: bytes) -> None:
    async def main() -> None:
        async def greedy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            writer.write(packet(2, b"\xfe" + plugin))

        async with scripted(greedy) as (address, ended):
            with pytest.raises(ConnectFailed, match="unsupported authentication") as failed:
                await try_login(address)
            assert failed.value.code == 2059
            assert await ended == b""

    run(main())


@pytest.mark.parametrize("last", [b"\x02factor", b"\x01\x03", b"\xfb"])
def test_a_login_that_ends_in_something_else_than_ok(run: Run, last: bytes) -> None:
    async def main() -> None:
        async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting(b"mysql_native_password"))
            await read_packet(reader)
            writer.write(packet(2, last))

        async with scripted(odd) as (address, ended):
            with pytest.raises(ConnectFailed) as failed:
                await try_login(address)
            assert failed.value.code == 2027
            assert await ended == b""

    run(main())


def test_a_collation_that_the_handshake_cannot_carry(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="one byte"):
            await try_login(("127.0.0.1", 1), collation=2304)

    run(main())


def test_secrets_are_not_shown() -> None:
    failure = ConnectFailed(1045, "Access denied", "28000")
    assert str(failure) == "1045 (28000): Access denied"
