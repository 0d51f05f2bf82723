"""Connections to nodes under TLS and compressed, against a real MariaDB; what is said when it cannot be."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from config import Address, Cluster, Secret
from proxy.link import PLAIN, Link, link
from proxy.login import Connected, ConnectFailed, connect
from proxy.queries import open_queries
from proxy.tls import client_context
from proxy.wire import constants as c
from proxy.wire.compression import Algorithm
from tests.proxy.login_client import write_certificate
from tests.proxy.plain_mariadb import PlainMariadb, plain_mariadb
from tests.proxy.test_login import OK, PASSWORD, UTF8MB4, greeting, packet, packets, query, read_packet, scripted

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[PlainMariadb]:
    """Its certificate is for 127.0.0.1; it trusts that of its clients which it has itself."""
    with plain_mariadb(
        "--ssl-cert={directory}/server.pem",
        "--ssl-key={directory}/server.key",
        "--ssl-ca={directory}/server.pem",
        "--proxy-protocol-networks=127.0.0.1",
        prepare=write_certificate,
    ) as started:
        started.sql("CREATE USER certified@'127.0.0.1' REQUIRE X509; GRANT ALL ON shop.* TO certified@'127.0.0.1'")
        yield started


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    async def bounded(main: Coroutine[Any, Any, Any]) -> None:
        async with asyncio.timeout(15):
            await main

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda main: runner.run(bounded(main))


class Replies(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.arrived = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@dataclass
class Conversation:
    """Commands over a connection that has changed hands."""

    connected: Connected
    replies: Replies

    @classmethod
    def over(cls, connected: Connected) -> "Conversation":
        replies = Replies()
        assert connected.hand_over(replies) == b""
        return cls(connected, replies)

    async def ask(self, sql: str) -> list[bytes]:
        """The payloads of a result set of one row."""
        self.replies.data = b""
        self.connected.transport.write(query(sql.encode()))
        while sum(len(one) < 9 and one[0] == 0xFE for one in packets(self.replies.data)) < 2:
            self.replies.arrived.clear()
            await self.replies.arrived.wait()
            assert self.replies.data[4] != 0xFF, self.replies.data
        ids = []
        at = 0
        while at < len(self.replies.data):
            ids.append(self.replies.data[at + 3])
            at += 4 + int.from_bytes(self.replies.data[at : at + 3], "little")
        assert ids == [number & 0xFF for number in range(1, len(ids) + 1)]
        return packets(self.replies.data)

    async def status(self, name: str) -> str:
        row = (await self.ask(f"SHOW SESSION STATUS LIKE '{name}'"))[-2]
        return row[1 + row[0] + 1 :].decode()

    async def close(self) -> None:
        self.connected.transport.close()
        await self.replies.lost.wait()


async def log_in(address: tuple[str, int], how: Link, **changes: Any) -> Connected:
    given = {"user": "app", "password": PASSWORD, "capabilities": 0, "collation": UTF8MB4} | changes
    return await connect(address, **given, link=how)


def verifying(server: PlainMariadb, mode: Any = "verify-identity", **files: Any) -> Link:
    return Link(client_context(mode, server.directory / "server.pem", **files))


@pytest.mark.parametrize("mode", ["required", "verify-ca", "verify-identity"])
def test_a_login_under_tls(server: PlainMariadb, run: Run, mode: str) -> None:
    async def main() -> None:
        connected = await log_in(server.address, verifying(server, mode))
        assert not connected.capabilities & c.CLIENT_SSL
        talk = Conversation.over(connected)
        assert (await talk.status("Ssl_version")).startswith("TLSv1.")
        await talk.close()
        monitor = await open_queries(server.address, user="monitor", password="monitor", link=verifying(server, mode))
        ((_, version),) = await monitor.query("SHOW SESSION STATUS LIKE 'Ssl_version'")
        assert version is not None
        assert version.startswith("TLSv1.")
        stream = monitor._client._reader
        monitor.close()
        while not stream.lost:  # under TLS it says goodbye first
            await asyncio.sleep(0)

    run(main())


def test_without_tls_there_is_none(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        talk = Conversation.over(await log_in(server.address, PLAIN))
        assert await talk.status("Ssl_version") == ""
        await talk.close()

    run(main())


def test_a_certificate_of_ours_is_shown(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ConnectFailed) as failed:
            await log_in(server.address, verifying(server), user="certified", password="")
        assert failed.value.code == 1045
        files = {"certificate": server.directory / "server.pem", "key": server.directory / "server.key"}
        connected = await log_in(server.address, verifying(server, **files), user="certified", password="")
        connected.transport.abort()

    run(main())


def test_another_host_is_refused_where_identity_counts(server: PlainMariadb, run: Run) -> None:
    """The certificate is for 127.0.0.1, and localhost leads there, too."""

    async def main() -> None:
        address = ("localhost", server.address[1])
        with pytest.raises(ConnectFailed) as failed:
            await log_in(address, verifying(server, "verify-identity"))
        assert failed.value.code == 2026
        assert "ostname mismatch" in failed.value.message
        (await log_in(address, verifying(server, "verify-ca"))).transport.abort()

    run(main())


@pytest.mark.parametrize("mode", ["verify-ca", "verify-identity"])
def test_a_certificate_by_somebody_else_is_refused(server: PlainMariadb, run: Run, mode: Any, tmp_path: Path) -> None:
    async def main() -> None:
        other, _ = write_certificate(tmp_path)
        for how in (Link(client_context(mode, other)), Link(client_context(mode))):
            with pytest.raises(ConnectFailed) as failed:
                await log_in(server.address, how)
            assert failed.value.code == 2026
            assert "self" in failed.value.message  # self-signed, self signed: by version of OpenSSL
        (await log_in(server.address, Link(client_context("required")))).transport.abort()

    run(main())


def test_a_node_without_tls_is_refused(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password", 0xFFFFFFFF & ~c.CLIENT_SSL))

    async def main() -> None:
        async with scripted(script) as (address, ended):
            with pytest.raises(ConnectFailed) as failed:
                await log_in(address, Link(client_context("required")))
            assert (failed.value.code, failed.value.message) == (
                2026,
                "TLS connection error: the node does not offer TLS",
            )
            assert await ended == b"", "not a byte of the login went out"

    run(main())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", packet(2, OK)])
def test_a_node_that_does_not_go_on_with_tls_is_refused(run: Run, answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password"))
        await read_packet(reader)
        writer.write(answer)
        writer.write_eof()

    async def main() -> None:
        async with scripted(script) as (address, _):
            with pytest.raises(ConnectFailed) as failed:
                await log_in(address, Link(client_context("required")))
            assert failed.value.code == 2026
            assert failed.value.message.startswith("TLS connection error: ")

    run(main())


def test_what_a_node_says_in_clear_ahead_of_tls_is_never_taken(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password") + packet(2, OK))

    async def main() -> None:
        async with scripted(script) as (address, _):
            with pytest.raises(ConnectFailed, match="in clear behind its greeting"):
                await log_in(address, Link(client_context("required")))

    run(main())


# Compression


@pytest.mark.parametrize("tls", [True, False])
def test_a_connection_is_compressed_behind_its_login(server: PlainMariadb, run: Run, tls: bool) -> None:
    async def main() -> None:
        context = client_context("required") if tls else None
        connected = await log_in(server.address, Link(context, Algorithm.ZLIB))
        assert not connected.capabilities & (c.CLIENT_COMPRESS | c.CLIENT_ZSTD_COMPRESSION_ALGORITHM)
        talk = Conversation.over(connected)
        assert await talk.status("Compression") == "ON"
        assert (await talk.ask(f"SELECT LENGTH('{'x' * 100_000}')"))[-2] == b"\x06100000"
        rows = await talk.ask("SELECT REPEAT('y', 1000) FROM shop.seq_1_to_3000")
        assert len(rows) == 3000 + 4
        assert (await talk.ask("SELECT REPEAT('z', 3000000)"))[-2][-3_000_000:] == b"z" * 3_000_000
        await talk.close()

    run(main())


def test_what_the_node_does_not_offer_is_done_without(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        talk = Conversation.over(await log_in(server.address, Link(compression=Algorithm.ZSTD)))
        assert await talk.status("Compression") == "OFF"
        await talk.close()

    run(main())


def test_queries_of_our_own_are_not_compressed(server: PlainMariadb, run: Run) -> None:
    async def main() -> None:
        how = Link(compression=Algorithm.ZLIB)
        monitor = await open_queries(server.address, user="monitor", password="monitor", link=how)
        assert await monitor.query("SHOW SESSION STATUS LIKE 'Compression'") == [("Compression", "OFF")]
        monitor.close()

    run(main())


def test_zstds_level_is_the_last_byte_of_the_response(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting(b"mysql_native_password"))
        response = await read_packet(reader)
        assert int.from_bytes(response[:4], "little") & c.CLIENT_ZSTD_COMPRESSION_ALGORITHM
        assert not int.from_bytes(response[:4], "little") & c.CLIENT_COMPRESS
        assert response[-2:] == b"y\x03"
        writer.write(packet(2, OK))

    async def main() -> None:
        async with scripted(script) as (address, ended):
            how = Link(compression=Algorithm.ZSTD)
            connected = await log_in(address, how, attributes={"k": "y"})
            connected.transport.abort()
            await ended

    run(main())


# The client's address


@pytest.mark.parametrize("how", [PLAIN, Link(client_context("required"), Algorithm.ZLIB)], ids=["plain", "all"])
@pytest.mark.parametrize(
    ("host", "seen"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7"), ("localhost", "127.0.0.1"), (None, "127.0.0.1")],
)
def test_a_node_takes_us_for_whom_we_connect(
    server: PlainMariadb, run: Run, how: Link, host: str | None, seen: str
) -> None:
    server.sql(f"CREATE USER IF NOT EXISTS seen@'{seen}' IDENTIFIED BY 'seen'")

    async def main() -> None:
        talk = Conversation.over(await log_in(server.address, how, user="seen", password="seen", on_behalf_of=host))
        assert (await talk.ask("SELECT USER()"))[-2] == bytes((5 + len(seen),)) + f"seen@{seen}".encode()
        await talk.close()

    run(main())


def test_a_node_that_does_not_list_us_says_so(run: Run) -> None:
    with plain_mariadb() as unlisted:

        async def main() -> None:
            with pytest.raises(ConnectFailed) as failed:
                await log_in(unlisted.address, PLAIN, on_behalf_of="192.0.2.7")
            assert failed.value.code == 2013
            assert failed.value.message.endswith("is the proxy in its proxy_protocol_networks?")

        run(main())


# What the settings make of it


def cluster(**settings: Any) -> Cluster:
    return Cluster(nodes=(Address("db1", 3306),), user="monitor", password=Secret(""), **settings)


def test_by_default_nothing_lies_between() -> None:
    assert link(cluster()) == PLAIN


def test_the_settings_say_what_is_verified(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    made = link(cluster(tls="required", compression="zstd"))
    assert made.compression is Algorithm.ZSTD
    assert made.tls is not None
    assert (made.tls.verify_mode, made.tls.check_hostname) == (ssl.CERT_NONE, False)
    made = link(cluster(tls="verify-ca", tls_ca=certificate))
    assert made.tls is not None
    assert (made.tls.verify_mode, made.tls.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert made.tls.minimum_version == ssl.TLSVersion.TLSv1_2
    made = link(cluster(tls="verify-identity", tls_ca=certificate, tls_certificate=certificate, tls_key=key))
    assert made.tls is not None
    assert (made.tls.verify_mode, made.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(ValueError, match="no certificates in PEM"):
        link(cluster(tls="verify-ca", tls_ca=key))
