"""A login as a conversation: what the client says, what it gets, what is known of it afterwards."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.hello import OF_THE_NODES, OFFERED
from proxy.opening import Result
from proxy.proof import Account, PasswordAccount
from proxy.tls import server_context
from proxy.wire import constants as c
from proxy.wire.compression import Zlib, Zstd
from proxy.wire.packets import parse_error
from router.backoff import LoginBackoff
from tests.proxy.login_client import (
    CLIENT_FLAGS,
    NATIVE,
    PASSWORD,
    SHA2,
    VERSION,
    com_change_user,
    door,
    native_scramble,
    packet,
    response,
    sha2_scramble,
    ssl_request,
    write_certificate,
)

Run = Callable[[Coroutine[Any, Any, None]], None]

BAD_HANDSHAKE = (1043, "08S01", "Bad handshake")
PING = b"\x0e"


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return server_context(*certificate)


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate[0])
    context.check_hostname = False
    return context


OFFERED_BY_ANY = OFFERED & ~OF_THE_NODES | c.CLIENT_LONG_PASSWORD

FULL = response(
    "app", native_scramble(PASSWORD, b"n" * 20), database="shop", attributes={"_os": "Linux", "program_name": "x"}
)


# Getting in


@pytest.mark.parametrize("let", [True, False])
@pytest.mark.parametrize(
    ("asked", "codec"), [(c.CLIENT_COMPRESS, Zlib), (c.CLIENT_ZSTD_COMPRESSION_ALGORITHM, Zstd), (0, type(None))]
)
def test_a_client_may_compress_what_follows_the_login(run: Run, let: bool, asked: int, codec: type) -> None:
    """The bits are the connection's own: nobody behind the login sees them."""

    async def talk() -> None:
        async with door(compression=let) as at:
            client = await at.connect()
            greeting = await client.log_in(flags=CLIENT_FLAGS | asked)
            assert bool(greeting.capabilities & c.CLIENT_COMPRESS) is let
            assert bool(greeting.capabilities & c.CLIENT_ZSTD_COMPRESSION_ALGORITHM) is let
            (login,) = at.logins
            assert type(login.codec) is (codec if let else type(None))
            assert login.capabilities == CLIENT_FLAGS
            if let and asked:
                client.writer.write(b"\x05\0\0\0\0\0\0" + packet(0, PING))
                assert await client.reader.readexactly(7) == b"\x0b\0\0\x01\0\0\0"
                client.seq = 1
                await client.ok()

    run(talk())


def test_the_greeting_says_what_the_backends_are_and_what_we_offer(run: Run) -> None:
    async def talk() -> None:
        async with door(collation=lambda: 255) as at:
            first, second = await at.connect(), await at.connect()
            one, other = await first.greeting(), await second.greeting()
            assert one.version == VERSION
            assert (one.capabilities, one.plugin, one.collation, one.status) == (OFFERED_BY_ANY, NATIVE, 255, 2)
            assert other.connection_id == one.connection_id + 1
            assert one.nonce != other.nonce
            assert one.nonce.isalnum()
            await first.close()
            await second.close()

    run(talk())


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_login_tells_who_came_and_what_was_agreed(run: Run, plugin: str) -> None:
    async def talk() -> None:
        async with door(plugin=plugin) as at:
            client = await at.connect()
            greeting = await client.log_in(
                flags=CLIENT_FLAGS | c.CLIENT_FOUND_ROWS | c.CLIENT_LOCAL_FILES | c.CLIENT_QUERY_ATTRIBUTES,
                database="shop",
                attributes={"program_name": "test"},
                collation=33,
                max_packet=1 << 20,
            )
            client.command(PING)
            await client.ok()
            (login,) = at.logins
            assert login.account.name == "app"
            assert login.connection_id == greeting.connection_id
            assert login.capabilities == (
                CLIENT_FLAGS
                | c.CLIENT_FOUND_ROWS
                | c.CLIENT_LOCAL_FILES
                | c.CLIENT_CONNECT_WITH_DB
                | c.CLIENT_CONNECT_ATTRS
            )
            assert (login.database, login.attributes) == ("shop", {"program_name": "test"})
            assert (login.collation, login.max_packet) == (33, 1 << 20)
            assert (login.host, login.tls, login.secure) == ("127.0.0.1", False, False)
            assert login.port == client.writer.get_extra_info("sockname")[1]
            assert at.results == [Result.ACCEPTED]

    run(talk())


def test_a_client_asked_to_switch_gets_in(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.greeting()
            client.send(response(data=b"", plugin=SHA2))
            switch = await client.read()
            plugin, _, nonce = switch[1:].partition(b"\0")
            assert (switch[0], plugin) == (0xFE, SHA2.encode())
            client.send(sha2_scramble(PASSWORD, nonce[:20]))
            assert await client.read() == b"\x01\x03"
            await client.ok()

    run(talk())


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_client_without_plugins_gets_in_with_its_native_answer(run: Run, plugin: str) -> None:
    flags = CLIENT_FLAGS & ~c.CLIENT_PLUGIN_AUTH & ~c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA

    async def talk() -> None:
        async with door(plugin=plugin) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce), flags=flags))
            await client.ok()

    run(talk())


def test_the_database_is_the_callers_to_refuse(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response(data=native_scramble(PASSWORD, greeting.nonce), database="nosuch"))
            assert (await client.error())[:2] == (1049, "42000")

    run(talk())


def test_a_login_byte_by_byte(run: Run) -> None:
    """mysql-mimic failed a connection whose packet header came in two segments."""

    async def talk() -> None:
        async with door(plugin=SHA2) as at:
            client = await at.connect()
            greeting = await client.greeting()
            await client.send_slowly(response(data=b"", plugin=NATIVE, database="shop"))
            switch = await client.read()
            await client.send_slowly(native_scramble(PASSWORD, switch[-21:-1]))
            await client.ok()
            client.seq = 0
            await client.send_slowly(PING)
            await client.ok()
            assert at.logins[0].connection_id == greeting.connection_id

    run(talk())


def test_commands_sent_behind_the_response_reach_the_session(run: Run) -> None:
    """Not a byte of them may be lost, and none may be read as part of the login."""

    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            greeting = await client.greeting()
            scramble = native_scramble(PASSWORD, greeting.nonce)
            big = b"\x03" + b"x" * 300_000
            client.send(response(data=scramble), packet(0, PING), packet(0, big), packet(0, PING))
            await client.ok()
            for _ in range(3):
                client.seq = 1
                await client.ok()
            assert at.commands == [PING, big, PING]

    run(talk())


# Staying out


@pytest.mark.parametrize(
    ("name", "password", "used"),
    [("app", "wrong", "YES"), ("app", "", "NO"), ("stranger", PASSWORD, "YES"), ("stranger", "", "NO"), ("", "", "NO")],
)
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_wrong_credentials_get_1045_and_the_connection_ends(
    run: Run, plugin: str, name: str, password: str, used: str
) -> None:
    """mysql-mimic went on to the command phase after "Access denied" and ran the client's query."""

    async def talk() -> None:
        async with door(plugin=plugin) as at:
            client = await at.connect()
            greeting = await client.greeting()
            query = packet(0, b"\x03SELECT 1")
            if plugin == NATIVE or not password:
                client.send(response(name, native_scramble(password, greeting.nonce), plugin=plugin), query)
            else:
                client.send(response(name, sha2_scramble("not it", greeting.nonce), plugin=plugin))
                assert await client.read() == b"\x01\x04"
                client.send(b"\x02")
                await client.read()
                client.send(bytes(256), query)
            text = f"Access denied for user '{name}'@'127.0.0.1' (using password: {used})"
            assert await client.error() == (1045, "28000", text)
            assert at.results == [Result.DENIED]
            assert at.commands == []

    run(talk())


def test_a_long_name_is_cut_in_the_error(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.greeting()
            client.send(response("n" * 60_000, b"x" * 20))
            assert (await client.error())[2].startswith("Access denied for user '" + "n" * 128 + "'@")

    run(talk())


VALID = response("app", b"x" * 20, database="shop")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(packet(1, FULL[:-1]), id="cut short"),
        pytest.param(packet(1, VALID[:-1]), id="plugin without its NUL"),
        pytest.param(packet(1, VALID[:33]), id="name without its NUL"),
        pytest.param(packet(1, VALID[: VALID.index(b"shop") + 4]), id="database without its NUL"),
        pytest.param(packet(1, response("app", b"x" * 20)[:36] + b"\xfe" + b"\xff" * 8), id="length past the end"),
        pytest.param(packet(1, response("app", b"x" * 20)[:36] + b"\xfb"), id="length NULL"),
        pytest.param(packet(1, b""), id="empty"),
        pytest.param(packet(1, b"\x00"), id="one byte"),
        pytest.param(packet(1, bytes(32)), id="zeros"),
        pytest.param(packet(1, b"\xff" * 32), id="ones"),
        pytest.param(packet(1, ssl_request()), id="SSLRequest without TLS here"),
        pytest.param(packet(0, VALID), id="sequence id too low"),
        pytest.param(packet(2, VALID), id="sequence id too high"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="TLS without SSLRequest"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", id="SSH"),
    ],
)
def test_what_is_not_a_login_is_a_bad_handshake(run: Run, sent: bytes) -> None:
    """mysql-mimic looped for ever on a string without its NUL."""

    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.greeting()
            client.writer.write(sent)
            client.seq = (sent[3] + 1) & 0xFF
            assert await client.error() == BAD_HANDSHAKE
            assert at.results == [Result.MALFORMED]

    run(talk())


def test_a_packet_over_the_limit_is_refused_and_the_client_can_read_why(run: Run) -> None:
    """Even while it is still sending: closing with unread bytes would reset the connection and lose the error."""

    async def talk() -> None:
        async with door(max_packet=1000) as at:
            client = await at.connect()
            await client.greeting()
            client.send(response("a" * 500_000))
            await client.writer.drain()
            assert parse_error(await client.read()).code == 1153
            assert at.results == [Result.TOO_LARGE]

    run(talk())


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x85\x24\x00\x00\x00app\x00scramble", id="before 4.1"),
        pytest.param(
            response(flags=CLIENT_FLAGS & ~c.CLIENT_SECURE_CONNECTION, data=b"12345678"), id="old password hash"
        ),
    ],
)
def test_clients_too_old_are_told_so(run: Run, payload: bytes) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.greeting()
            client.send(payload)
            assert (await client.error())[:2] == (1251, "08004")
            assert at.results == [Result.OLD_PROTOCOL]

    run(talk())


@pytest.mark.parametrize("sent", [b"", b"\x40", packet(1, FULL)[:-1]], ids=["nothing", "a byte", "all but a byte"])
def test_a_client_that_takes_too_long_is_cut_off(run: Run, sent: bytes) -> None:
    async def talk() -> None:
        async with door(timeout=0.05) as at:
            client = await at.connect()
            await client.greeting()
            client.writer.write(sent)
            await client.closed()
            assert at.results == [Result.TIMEOUT]

    run(talk())


def test_a_client_that_feeds_a_byte_now_and_then_gets_no_more_time(run: Run) -> None:
    async def talk() -> None:
        async with door(timeout=0.1) as at:
            client = await at.connect()
            await client.greeting()
            for byte in packet(1, response("a" * 5000)):
                client.writer.write(bytes((byte,)))
                try:
                    async with asyncio.timeout(0.005):
                        await client.closed()
                        break
                except TimeoutError:
                    continue
            assert at.results == [Result.TIMEOUT]

    run(talk())


def test_a_client_that_leaves_is_counted_and_forgotten(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.greeting()
            client.writer.write(packet(1, FULL)[:7])
            await client.close()
            await at.until(lambda: at.results == [Result.GONE])

    run(talk())


def test_what_only_some_nodes_have_is_offered_when_all_have_it(run: Run) -> None:
    bulk = c.MARIADB_CLIENT_STMT_BULK_OPERATIONS
    flags = CLIENT_FLAGS & ~c.CLIENT_MYSQL | bulk

    async def talk() -> None:
        nodes = [0]
        async with door(nodes_offer=lambda: nodes[0]) as at:
            for nodes[0], agreed in ((bulk | c.CLIENT_FOUND_ROWS, flags), (0, flags & ~bulk)):
                client = await at.connect()
                greeting = await client.log_in(flags=flags)
                assert greeting.capabilities == OFFERED & ~OF_THE_NODES | nodes[0] & bulk
                assert at.logins[-1].capabilities == agreed

    run(talk())


# TLS


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_login_under_tls(run: Run, plugin: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def talk() -> None:
        async with door(tls=server_tls, plugin=plugin, tls_required=True) as at:
            client = await at.connect()
            greeting = await client.greeting()
            assert greeting.capabilities == OFFERED_BY_ANY | c.CLIENT_SSL
            client.send(ssl_request())
            await client.start_tls(client_tls)
            if plugin == NATIVE:
                client.send(response(data=native_scramble(PASSWORD, greeting.nonce)), packet(0, PING))
            else:
                client.send(response(data=b"x" * 32, plugin=SHA2))
                assert await client.read() == b"\x01\x04"
                client.send(PASSWORD.encode() + b"\0", packet(0, PING))
            await client.ok()
            client.seq = 1
            await client.ok()
            (login,) = at.logins
            assert (login.tls, login.secure) == (True, True)
            assert at.commands == [PING]

    run(talk())


def test_a_login_under_tls_byte_by_byte(run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def talk() -> None:
        async with door(tls=server_tls) as at:
            client = await at.connect()
            greeting = await client.greeting()
            await client.send_slowly(ssl_request())
            await client.start_tls(client_tls)
            await client.send_slowly(response(data=native_scramble(PASSWORD, greeting.nonce)))
            await client.ok()

    run(talk())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("split", [False, True], ids=["one flight", "byte by byte"])
def test_the_response_in_one_flight_with_the_end_of_the_tls_handshake(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, version: ssl.TLSVersion, split: bool
) -> None:
    """Its packet is decrypted before the new transport is in our hands."""
    client_tls.minimum_version = client_tls.maximum_version = version

    async def talk() -> None:
        async with door(tls=server_tls) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.send(ssl_request())
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_tls.wrap_bio(incoming, outgoing)

            def send(data: bytes) -> None:
                for at in range(0, len(data), 1 if split else len(data)):
                    client.writer.write(data[at : at + (1 if split else len(data))])

            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        send(outgoing.read())
                    incoming.write(await client.reader.read(65536))
            tls.write(packet(2, response(data=native_scramble(PASSWORD, greeting.nonce))) + packet(0, PING))
            if outgoing.pending:
                send(outgoing.read())
            got = b""
            while len(got) < 22:
                try:
                    got += tls.read()
                except ssl.SSLWantReadError:
                    more = await client.reader.read(65536)
                    assert more
                    incoming.write(more)
            assert (got[3], got[4], got[11 + 3], got[11 + 4]) == (3, 0, 1, 0)
            assert at.commands == [PING]

    run(talk())


def test_bytes_in_clear_behind_sslrequest_never_become_commands(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """mysql-mimic took them as commands once TLS was up."""

    async def talk() -> None:
        async with door(tls=server_tls) as at:
            for injected in (packet(2, VALID), packet(0, b"\x03DROP TABLE t"), b"\0"):
                client = await at.connect()
                await client.greeting()
                client.send(ssl_request(), injected)
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await client.start_tls(client_tls)
                await client.close()
            await at.until(lambda: len(at.results) == 3)
            assert at.results == [Result.TLS_FAILED] * 3
            assert (at.logins, at.commands) == ([], [])

    run(talk())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("demand", ["optional", "required"])
@pytest.mark.parametrize("shown", ["none", "good", "wrong"])
def test_a_client_may_have_to_show_a_certificate(
    run: Run, certificate: tuple[Path, Path], tmp_path: Path, demand: Any, shown: str, version: ssl.TLSVersion
) -> None:
    server = server_context(*certificate, client_ca=certificate[0], client_certificate=demand)
    client_context = ssl.create_default_context(cafile=certificate[0])
    client_context.check_hostname = False
    client_context.maximum_version = version
    if shown != "none":
        client_context.load_cert_chain(*(certificate if shown == "good" else write_certificate(tmp_path)))
    welcome = shown == "good" or (shown == "none" and demand == "optional")

    async def talk() -> None:
        async with door(tls=server) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.send(ssl_request())
            if welcome:
                await client.start_tls(client_context)
                client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
                await client.ok()
                return

            async def go_on() -> None:
                await client.start_tls(client_context)  # TLS 1.3: the client hears of it with the first answer
                client.send(response(data=native_scramble(PASSWORD, greeting.nonce)))
                await client.read()

            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await go_on()
            assert at.results == [Result.TLS_FAILED]

    run(talk())


def test_tls_that_does_not_come_in_time_or_at_all(run: Run, server_tls: ssl.SSLContext) -> None:
    async def talk() -> None:
        async with door(tls=server_tls, timeout=0.1) as at:
            client = await at.connect()
            await client.greeting()
            client.send(ssl_request())
            await client.closed()
            assert at.results == [Result.TIMEOUT]
            await client.close()
            client = await at.connect()
            await client.greeting()
            client.send(ssl_request())
            await client.close()
            await at.until(lambda: len(at.results) == 2)
            assert at.results[1] in (Result.TLS_FAILED, Result.TIMEOUT)

    run(talk())


def test_a_bad_packet_under_tls_gets_its_error(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def talk() -> None:
        async with door(tls=server_tls) as at:
            for sent, code in (
                (packet(2, VALID[:-1]), 1043),
                (packet(1, VALID), 1043),
                (packet(2, ssl_request()), 1043),
                (packet(2, response("a" * 70_000)), 1153),
            ):
                client = await at.connect()
                await client.greeting()
                client.send(ssl_request())
                await client.start_tls(client_tls)
                client.writer.write(sent)
                head = await client.reader.readexactly(4)
                assert parse_error(await client.reader.readexactly(head[0])).code == code

    run(talk())


def test_where_tls_is_required_a_login_in_clear_is_refused_before_its_password_counts(
    run: Run, server_tls: ssl.SSLContext
) -> None:
    async def talk() -> None:
        async with door(tls=server_tls, tls_required=True) as at:
            for password in (PASSWORD, "wrong"):
                client = await at.connect()
                greeting = await client.greeting()
                client.send(response(data=native_scramble(password, greeting.nonce)))
                assert (await client.error())[:2] == (3159, "HY000")
                await client.close()
            assert at.results == [Result.TLS_REQUIRED] * 2

    run(talk())


def test_a_password_in_clear_is_not_taken_over_tcp_in_clear(run: Run) -> None:
    async def talk() -> None:
        async with door(plugin=SHA2) as at:
            client = await at.connect()
            await client.greeting()
            client.send(response(data=b"x" * 32, plugin=SHA2))
            assert await client.read() == b"\x01\x04"
            client.send(PASSWORD.encode() + b"\0")
            assert (await client.error())[0] == 1045

    run(talk())


# A Unix socket


def test_a_unix_socket_counts_as_secure(run: Run, tmp_path: Path) -> None:
    async def talk() -> None:
        async with door(unix=tmp_path / "mysql.sock", tls_required=True, plugin=SHA2) as at:
            client = await at.connect_unix()
            await client.greeting()
            client.send(response(data=b"x" * 32, plugin=SHA2))
            assert await client.read() == b"\x01\x04"
            client.send(PASSWORD.encode() + b"\0")
            await client.ok()
            (login,) = at.logins
            assert (login.host, login.tls, login.secure) == ("localhost", False, True)
            await client.close()

            client = await at.connect_unix()
            await client.greeting()
            client.send(response("stranger", b"", plugin=SHA2))
            assert (await client.error())[2] == "Access denied for user 'stranger'@'localhost' (using password: NO)"

    run(talk())


# COM_CHANGE_USER


def test_a_session_changes_its_user(run: Run) -> None:
    accounts: dict[str, Account] = {
        "app": PasswordAccount.of("app", PASSWORD),
        "ann": PasswordAccount.of("ann", "hers"),
    }

    async def talk() -> None:
        async with door(accounts=accounts) as at:
            client = await at.connect()
            greeting = await client.log_in(database="shop", attributes={"a": "b"})
            native = native_scramble("hers", greeting.nonce)
            client.seq = 0
            # A command sent ahead belongs to the session, whatever way it was read.
            client.send(com_change_user("ann", native, database="hers", collation=309), packet(0, PING))
            await client.ok()
            client.seq = 1
            await client.ok()

            client.command(com_change_user("ann", database="hers", plugin=SHA2, collation=309))
            assert await client.read() == b"\xfe" + SHA2.encode() + b"\0" + greeting.nonce + b"\0"
            client.send(sha2_scramble("hers", greeting.nonce), packet(0, PING))
            assert await client.read() == b"\x01\x03"
            await client.ok()
            client.seq = 1
            await client.ok()

            before, *after = at.logins
            assert len(after) == 2
            for login in after:
                assert (login.account.name, login.database, login.collation) == ("ann", "hers", 309)
                assert (login.connection_id, login.capabilities) == (before.connection_id, before.capabilities)
                assert login.attributes == {"a": "b"}

    run(talk())


def test_what_was_read_before_the_exchange_is_used_and_the_rest_given_back(run: Run) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            greeting = await client.log_in(flags=CLIENT_FLAGS & ~c.CLIENT_PLUGIN_AUTH)
            command = b"\x11app\0\x14" + native_scramble(PASSWORD, greeting.nonce) + b"\0"
            client.seq = 0
            client.send(command, packet(0, PING), packet(0, b"\x03DO 1"))
            await client.ok()
            for _ in range(2):
                client.seq = 1
                await client.ok()
            assert at.commands[1:] == [PING, b"\x03DO 1"]

    run(talk())


@pytest.mark.parametrize(
    ("command", "reply", "code", "result"),
    [
        (com_change_user("app", b"wrong wrong wrong wr"), None, 1045, Result.DENIED),
        (com_change_user("app", plugin="other"), b"wrong wrong wrong wr", 1045, Result.DENIED),
        (com_change_user("stranger"), None, 1045, Result.DENIED),
        (com_change_user("app")[:-1], None, 1043, Result.MALFORMED),
        (com_change_user("app", plugin=SHA2), b"x" * 70_000, 1153, Result.TOO_LARGE),
    ],
)
def test_a_failed_change_of_user_ends_the_connection(
    run: Run, command: bytes, reply: bytes | None, code: int, result: Result
) -> None:
    async def talk() -> None:
        async with door() as at:
            client = await at.connect()
            await client.log_in()
            client.command(command)
            if reply is not None:
                assert (await client.read())[0] == 0xFE
                client.send(reply)
            assert (await client.error())[0] == code
            assert at.results == [Result.ACCEPTED, result]
            assert len(at.logins) == 1

    run(talk())


def test_a_client_that_never_answers_the_switch_is_cut_off(run: Run) -> None:
    async def talk() -> None:
        async with door(timeout=0.5) as at:  # long enough to log in, however busy the machine
            client = await at.connect()
            await client.log_in()
            client.command(com_change_user("app", plugin=SHA2))
            assert (await client.read())[0] == 0xFE
            await client.closed()
            assert at.results == [Result.ACCEPTED, Result.TIMEOUT]

    run(talk())


# Failing again and again


def test_an_address_that_keeps_failing_waits_before_it_is_judged_right_or_wrong(run: Run) -> None:
    async def talk() -> None:
        async with door(backoff=LoginBackoff(0.3, 0.6)) as at:
            loop = asyncio.get_running_loop()

            async def attempt(password: str) -> tuple[float, float]:
                client = await at.connect()
                greeting = await client.greeting()
                began = loop.time()
                client.send(response("app", native_scramble(password, greeting.nonce)))
                if password == PASSWORD:
                    await client.ok()
                else:
                    assert (await client.error())[0] == 1045
                return began, loop.time()

            first, judged = await attempt("wrong")
            assert judged - first < 0.3
            _, judged = await attempt("wrong")
            assert judged - first >= 0.3
            _, judged = await attempt(PASSWORD)
            assert judged - first >= 0.3 + 0.6
            began, judged = await attempt(PASSWORD)
            assert judged - began < 0.3

    run(talk())


def test_a_line_that_is_too_long_is_told_so(run: Run) -> None:
    async def talk() -> None:
        backoff = LoginBackoff(60.0, 60.0)
        backoff.failed("127.0.0.1", asyncio.get_running_loop().time())
        async with door(backoff=backoff, timeout=5.0) as at:
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response("app", native_scramble(PASSWORD, greeting.nonce)))
            code, sqlstate, message = await client.error()
            assert (code, sqlstate) == (1129, "HY000")
            assert "127.0.0.1" in message
            assert at.results == [Result.BLOCKED]

    run(talk())
