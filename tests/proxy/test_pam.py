"""Logging in to nodes that want to see the password itself: only under TLS, of a node whose certificate is verified."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.link import PLAIN, Link
from proxy.login import ConnectFailed, connect
from proxy.tls import client_context
from tests.proxy.login_client import write_certificate
from tests.proxy.plain_mariadb import PlainMariadb, plain_mariadb
from tests.proxy.test_login import OK, UTF8MB4, Wire, ask, greeting, packet

SHOWN = b"pass w\xc3\xb6rd\0"
ASKS = b"\x04Password: "  # an odd first byte: the last question
ASKS_LAST = b"\x05Password: "


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    write_certificate(tmp_path)
    return tmp_path / "server.pem"


class Node:
    """Goes through a login over a socket: under TLS each of its packets is answered by the client, or closed upon."""

    def __init__(self, certificate: Path, *says: bytes, tls: bool = True) -> None:
        self.heard: list[bytes] = []
        self._says = says
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listening.getsockname()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listening, suppress(OSError):  # the client may hang up at any time
            accepted, _ = self._listening.accept()
            with accepted:
                accepted.settimeout(10)
                accepted.sendall(greeting(b"mysql_native_password"))
                if self._context is None:
                    self._converse(accepted)
                    return
                accepted.recv(36)  # and not a byte of what follows
                with self._context.wrap_socket(accepted, server_side=True) as secured:
                    self._converse(secured)

    def _converse(self, sock: socket.socket) -> None:
        _payload(sock)
        first = 2 if self._context is None else 3
        for number, payload in enumerate(self._says):
            sock.sendall(packet(first + 2 * number, payload))
            if payload is not OK and (answer := _payload(sock)) is not None:
                self.heard.append(answer)

    def ends(self) -> list[bytes]:
        """What was answered."""
        self._thread.join(10)
        return self.heard


def _payload(sock: socket.socket) -> bytes | None:
    head = sock.recv(4)
    return sock.recv(int.from_bytes(head[:3], "little")) if head else None


def log_in(node: Node, link: Link) -> None:
    async def main() -> None:
        given = {"user": "app", "password": "pass wörd", "capabilities": 0, "collation": UTF8MB4}
        wire = Wire()
        connected = await connect(node.address, **given, link=link, timeout=10)  # type: ignore[arg-type]
        connected.hand_over(wire)
        connected.transport.close()
        await wire.lost.wait()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("says", "times"),
    [
        ((b"\xfemysql_clear_password\0",), 1),
        ((b"\xfedialog\0" + ASKS,), 1),
        ((b"\xfedialog\0" + ASKS_LAST,), 1),
        ((b"\xfedialog\0",), 1),  # without a question the password is meant
        ((b"\xfedialog\0" + ASKS, ASKS), 2),
        ((b"\xfedialog\0" + ASKS, b"\x01" + ASKS_LAST), 2),
    ],
)
def test_the_password_is_shown(certificate: Path, says: tuple[bytes, ...], times: int) -> None:
    node = Node(certificate, *says, OK)
    log_in(node, Link(client_context("verify-identity", certificate)))
    assert node.ends() == [SHOWN] * times


@pytest.mark.parametrize("asks", [b"\xfemysql_clear_password\0", b"\xfedialog\0" + ASKS])
@pytest.mark.parametrize("tls", [True, False])
def test_not_to_whoever_answers(certificate: Path, asks: bytes, tls: bool) -> None:
    node = Node(certificate, asks, tls=tls)
    with pytest.raises(ConnectFailed, match="whose certificate is verified") as failed:
        log_in(node, Link(client_context("required")) if tls else PLAIN)
    assert failed.value.code == 2059
    assert node.ends() == []


def test_another_question_is_not_answered_with_it(certificate: Path) -> None:
    node = Node(certificate, b"\xfedialog\0\x02One-time code: ")
    with pytest.raises(ConnectFailed, match="One-time code") as failed:
        log_in(node, Link(client_context("verify-ca", certificate)))
    assert failed.value.code == 1045
    assert node.ends() == []


def test_questions_have_an_end(certificate: Path) -> None:
    node = Node(certificate, b"\xfedialog\0" + ASKS, *[ASKS] * 20)
    with pytest.raises(ConnectFailed, match="does not stop asking"):
        log_in(node, Link(client_context("verify-ca", certificate)))
    assert len(node.ends()) < 20


@pytest.fixture(scope="module", params=["OFF", "ON"])
def server(request: pytest.FixtureRequest) -> Iterator[PlainMariadb]:
    """Accounts of two PAM services that Debian has: `su` asks root's own helper nothing, `passwd` for a password."""
    with plain_mariadb(
        "--ssl-cert={directory}/server.pem",
        "--ssl-key={directory}/server.key",
        "--plugin-load-add=auth_pam",
        f"--pam-use-cleartext-plugin={request.param}",
        prepare=write_certificate,
    ) as started:
        started.sql("CREATE USER nobody@'%' IDENTIFIED VIA pam USING 'su'")
        started.sql("CREATE USER mysql@'%' IDENTIFIED VIA pam USING 'passwd'")
        yield started


def test_the_servers_pam_says_what_it_says_to_its_own_client(server: PlainMariadb) -> None:
    link = Link(client_context("verify-identity", server.directory / "server.pem"))

    def answer(user: str) -> str:
        async def log_in() -> str:
            try:
                given = {"user": user, "password": "x", "capabilities": 0, "collation": UTF8MB4}
                connected = await connect(server.address, **given, link=link, timeout=15)  # type: ignore[arg-type]
                return (await ask(connected, b"SELECT CURRENT_USER()"))[-2][1:].decode()
            except ConnectFailed as failed:
                return str(failed.code)

        return asyncio.run(log_in())

    assert answer("nobody") == server.client("nobody", "x")
    assert answer("mysql") == server.client("mysql", "x") == "1045"
