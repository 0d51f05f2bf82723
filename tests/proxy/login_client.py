"""Both ends of a login for tests: an endpoint with a stand-in for the session, and a client that says what it is told.

The scrambles and packets of the client are written out from the manual, apart from the code under test.
"""

import asyncio
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.accounts import Accounts
from proxy.channel import ClientChannel
from proxy.compression import FromClient
from proxy.handshake import change_user, refuse
from proxy.listener import Admission, Listener
from proxy.opening import Login, LoginFailed, LoginSettings, Result, accept
from proxy.proof import Account, Finder, PasswordAccount
from proxy.wire import constants as c
from proxy.wire.packets import error_packet, ok_packet, parse_error

VERSION = "5.5.5-10.11.19-MariaDB-0+deb12u1"
PASSWORD = "correct horse"
NATIVE = "mysql_native_password"
SHA2 = "caching_sha2_password"

CLIENT_FLAGS = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
)

Run = Callable[[Coroutine[Any, Any, None]], None]


# What the client computes


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def native_scramble(password: str, nonce: bytes) -> bytes:
    if not password:
        return b""
    stage1 = hashlib.sha1(password.encode()).digest()
    return xor(stage1, hashlib.sha1(nonce + hashlib.sha1(stage1).digest()).digest())


def sha2_scramble(password: str, nonce: bytes) -> bytes:
    if not password:
        return b""
    stage1 = hashlib.sha256(password.encode()).digest()
    return xor(stage1, hashlib.sha256(hashlib.sha256(stage1).digest() + nonce).digest())


SCRAMBLES = {NATIVE: native_scramble, SHA2: sha2_scramble}


# What the client sends


def packet(seq: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((seq,)) + payload


def lenenc(value: bytes) -> bytes:
    head = bytes((len(value),)) if len(value) < 251 else b"\xfc" + len(value).to_bytes(2, "little")
    return head + value


def ssl_request(flags: int = CLIENT_FLAGS | c.CLIENT_SSL) -> bytes:
    return flags.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + b"\x2d" + bytes(23)


def response(
    name: str = "app",
    data: bytes = b"",
    *,
    flags: int = CLIENT_FLAGS,
    plugin: str = NATIVE,
    database: str | None = None,
    attributes: dict[str, str] | None = None,
    collation: int = 45,
    max_packet: int = 1 << 24,
) -> bytes:
    """A handshake response's payload; `flags` gain what the other fields need."""
    if database is not None:
        flags |= c.CLIENT_CONNECT_WITH_DB
    if attributes is not None:
        flags |= c.CLIENT_CONNECT_ATTRS
    made = (flags & 0xFFFFFFFF).to_bytes(4, "little") + max_packet.to_bytes(4, "little") + bytes((collation,))
    made += bytes(19) + (flags >> 32).to_bytes(4, "little")
    made += name.encode() + b"\0"
    made += lenenc(data) if flags & c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA else bytes((len(data),)) + data
    if database is not None:
        made += database.encode() + b"\0"
    if flags & c.CLIENT_PLUGIN_AUTH:
        made += plugin.encode() + b"\0"
    if attributes is not None:
        made += lenenc(b"".join(lenenc(k.encode()) + lenenc(v.encode()) for k, v in attributes.items()))
    return made


def com_change_user(
    name: str,
    data: bytes = b"",
    *,
    database: str = "",
    plugin: str | None = NATIVE,
    collation: int = 45,
    attributes: dict[str, str] | None = None,
) -> bytes:
    made = b"\x11" + name.encode() + b"\0" + bytes((len(data),)) + data + database.encode() + b"\0"
    made += collation.to_bytes(2, "little")
    if plugin is not None:
        made += plugin.encode() + b"\0"
    if attributes is not None:
        made += lenenc(b"".join(lenenc(k.encode()) + lenenc(v.encode()) for k, v in attributes.items()))
    return made


@dataclass
class Greeting:
    version: str
    connection_id: int
    nonce: bytes
    capabilities: int
    collation: int
    status: int
    plugin: str

    @classmethod
    def parse(cls, payload: bytes) -> "Greeting":
        assert payload[0] == 10
        version, _, rest = payload[1:].partition(b"\0")
        low, high = rest[13:15], rest[18:20]
        assert rest[12] == 0
        assert rest[20] == 21
        assert rest[21:27] == bytes(6)
        nonce = rest[4:12] + rest[31:43]
        assert rest[43] == 0
        plugin, end, nothing = rest[44:].partition(b"\0")
        assert (end, nothing) == (b"\0", b"")
        return cls(
            version.decode(),
            int.from_bytes(rest[:4], "little"),
            nonce,
            int.from_bytes(low + high + rest[27:31], "little"),
            rest[15],
            int.from_bytes(rest[16:18], "little"),
            plugin.decode(),
        )


class Client:
    """A client that sends what a test says, when it says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seq = 0

    async def read(self) -> bytes:
        """The payload of the server's next packet, whose sequence id must be the one due."""
        head = await self.reader.readexactly(4)
        assert head[3] == self.seq
        self.seq += 1
        return await self.reader.readexactly(int.from_bytes(head[:3], "little"))

    def send(self, payload: bytes, *more: bytes) -> None:
        """Sends one packet, and `more` as bare bytes in the same write."""
        self.writer.write(packet(self.seq, payload) + b"".join(more))
        self.seq += 1

    def command(self, payload: bytes) -> None:
        self.seq = 0
        self.send(payload)

    async def send_slowly(self, payload: bytes) -> None:
        """One packet, each byte in a segment of its own."""
        for byte in packet(self.seq, payload):
            self.writer.write(bytes((byte,)))
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)
        self.seq += 1

    async def greeting(self) -> Greeting:
        return Greeting.parse(await self.read())

    async def error(self) -> tuple[int, str, str]:
        """Code, SQLSTATE and text of the ERR packet that must come next, and be the last thing that comes."""
        error = parse_error(await self.read())
        await self.closed()
        return error.code, error.sqlstate, error.message

    async def closed(self) -> None:
        """Waits until the server closes; nothing more may come."""
        with suppress(ConnectionResetError):
            assert await self.reader.read() == b""

    async def ok(self) -> None:
        payload = await self.read()
        assert payload[0] == 0, payload

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context)

    async def log_in(self, password: str = PASSWORD, **fields: Any) -> Greeting:
        """A whole login with the greeting's plugin, up to OK."""
        greeting = await self.greeting()
        data = SCRAMBLES[greeting.plugin](password, greeting.nonce)
        self.send(response(data=data, plugin=greeting.plugin, **fields))
        if greeting.plugin == SHA2 and password:
            assert await self.read() == b"\x01\x03"
        await self.ok()
        return greeting

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


# The other end


class Session(asyncio.Protocol):
    """Stands in for the session: OK to every command, close at COM_QUIT, COM_CHANGE_USER as a session drives it."""

    def __init__(self, door: "Door", login: Login) -> None:
        self.door = door
        self.login = login
        self._held = b""
        self._task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._held += data
        while self._task is None and len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:3], "little")
            if len(self._held) < end:
                return
            command, self._held = self._held[4:end], self._held[end:]
            self.door.commands.append(command)
            if command[0] == c.COM_QUIT:
                self.login.transport.close()
            elif command[0] == c.COM_CHANGE_USER:
                self.login.transport.pause_reading()
                self._task = asyncio.get_running_loop().create_task(self._change_user(command), name="change user")
            else:
                self.login.transport.write(ok_packet(1, status=2, capabilities=self.login.capabilities))

    async def _change_user(self, command: bytes) -> None:
        early, self._held = self._held, b""
        settings = self.door.settings
        channel = ClientChannel.take_over(self.login.transport, settings.max_packet, seq=1, early=early)
        try:
            self.login = await change_user(channel, command, self.login, settings)
        except LoginFailed as failed:
            self.door.results.append(failed.result)
            await refuse(channel, failed)
            self.connection_lost(None)
            return
        finally:
            self._task = None
        self.door.logins.append(self.login)
        self.login.hand_over(self, accept(self.login))

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.listener.released()
        self.door.check()


@dataclass
class Door:
    """An endpoint on loopback with what it saw."""

    settings: LoginSettings
    admission: Admission
    listener: Listener = field(init=False)
    results: list[Result] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    unix_path: str = ""
    unknown_database: str = "nosuch"
    gate: asyncio.Event | None = None
    _clients: list[Client] = field(default_factory=list)
    _waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = Listener("write", self.settings, self.admission, self._on_client, self._on_result)

    @property
    def port(self) -> int:
        return self.listener.ports[0]

    async def _on_client(self, login: Login) -> None:
        self.logins.append(login)
        self.check()
        if login.codec is not None:
            login.channel.transport = FromClient(login.transport, login.codec)
        if self.gate is not None:
            await self.gate.wait()
        if login.database == self.unknown_database:
            await login.reject(error_packet(login.seq, 1049, "42000", "Unknown database 'nosuch'"))
            self.listener.released()
        else:
            login.hand_over(Session(self, login), accept(login))

    def _on_result(self, result: Result) -> None:
        self.results.append(result)
        self.check()

    def check(self) -> None:
        """Wakes those whose condition holds now."""
        for condition, waiter in self._waiting:
            if condition() and not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something that happened at this door made `condition` true."""
        if not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((condition, waiter))
            await waiter

    async def empty(self) -> None:
        """Waits until every client is gone and every slot is free again."""
        while self.admission.clients or self.listener.clients or self.admission.pending:
            await asyncio.sleep(0)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def connect_unix(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.unix_path))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.listener.close()


@asynccontextmanager
async def door(
    *,
    accounts: dict[str, Account] | None = None,
    finder: Finder | None = None,
    max_clients: int = 100,
    max_pending_logins: int = 100,
    unix: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Door]:
    """An endpoint for app (PASSWORD) and nobody else, or for `accounts`, or for whom `finder` finds.

    Leaves nothing behind: no client, no task.
    """
    given = accounts if accounts is not None else {"app": PasswordAccount.of("app", PASSWORD)}
    made = Door(
        LoginSettings(accounts=finder or Accounts(given, None), version=lambda: VERSION, **settings),
        Admission(max_clients, max_pending_logins),
    )
    await made.listener.listen_tcp("127.0.0.1", 0)
    if unix is not None:
        made.unix_path = str(unix)
        await made.listener.listen_unix(made.unix_path)
    try:
        async with asyncio.timeout(20):
            yield made
    finally:
        await made.close()
    async with asyncio.timeout(5):
        await made.empty()
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("login ")] == []


# Certificates


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "multiwriter test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "server.pem", directory / "server.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
