"""Logs in to a node as a client and hands the connection over. The only importer of aiomysql.

aiomysql knows the authentication exchanges. What it adds for its own users (capabilities of its choice, SET
autocommit, stream readers with a buffer of their own) would show in the reply bytes that clients get, so here the
handshake response is written by us with exactly the capabilities that were asked for, and after the OK the bare
transport changes hands.

This module knows nothing of sessions, pools or what the connection will be used for.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, NoReturn

import aiomysql
from aiomysql import connection as client

from proxy.ed25519 import signature
from proxy.hello import decode, encode
from proxy.link import PLAIN, Link
from proxy.stream import LOST, MAX_BUFFERED, TLS_FAILED, ConnectFailed, Stream
from proxy.wire import compression
from proxy.wire.attributes import NONE
from proxy.wire.constants import (
    CLIENT_COMPRESS,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_LONG_FLAG,
    CLIENT_MULTI_FACTOR_AUTHENTICATION,
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_TRANSACTIONS,
    CLIENT_ZSTD_COMPRESSION_ALGORITHM,
)
from proxy.wire.packets import lenenc_str
from proxy.wire.proxied import header_for

__all__ = (
    "NOT_THIS_ACCOUNT",
    "ConnectFailed",
    "Connected",
    "Credential",
    "NativeKey",
    "QueryConnection",
    "connect",
    "open_queries",
)

# What a login cannot do without.
_NEEDED = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION
# They change the form of the stream or announce a field: asking for them in `capabilities` has no effect.
_OWN = (
    CLIENT_SSL
    | CLIENT_COMPRESS
    | CLIENT_ZSTD_COMPRESSION_ALGORITHM
    | CLIENT_MULTI_FACTOR_AUTHENTICATION
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_CONNECT_ATTRS
)
_COM_QUERY = 3
_REPLICATED = 0.2  # seconds
_EXTENDED = 0xFFFFFFFF << 32  # MariaDB's own; the low half's CLIENT_MYSQL bit says that there are none

# aiomysql reads the results of the query connection: without DEPRECATE_EOF and what else it does not know.
_QUERY_CAPABILITIES = CLIENT_LONG_FLAG | CLIENT_TRANSACTIONS | CLIENT_PLUGIN_AUTH
_UTF8MB4_GENERAL_CI = 45

_MAX_PACKET = 1 << 30  # what we tell the server; its own max_allowed_packet is what counts
_ZSTD_LEVEL = 3  # what clients ask for if nobody tells them

# A plugin that is in neither is refused when the server asks for it.
_PLUGINS = frozenset({b"mysql_native_password", b"caching_sha2_password", b"sha256_password", b"client_ed25519"})
# These show the password as it is (PAM). Whoever answers on the node's address would get it by asking, so that it has
# to be the node, by a certificate that was verified.
_IN_CLEAR = frozenset({b"mysql_clear_password", b"dialog"})
# The first byte of a question of the dialog: its kind in the upper bits, and in the lowest whether it is the last one.
_DIALOG_PASSWORD = 2
_DIALOG_LAST = 1
_MOST_QUESTIONS = 8

_UNREACHABLE = 2003
_UNKNOWN_HOST = 2005
_MALFORMED = 2027
_PLUGIN_MISSING = 2059
_ACCESS_DENIED = 1045
NOT_THIS_ACCOUNT = 1698  # "Access denied" too; of one account alone, so that it says nothing of the node


@dataclass(frozen=True, slots=True)
class NativeKey:
    """SHA1(password): all that mysql_native_password needs of a password, and useless for other plugins."""

    sha1: bytes = field(repr=False)


@dataclass(slots=True)
class Credential:
    """What an account logs in with, which may change while its profile is in use; None: not known any more.

    `confirmed`: a node has let us in with it.
    """

    value: str | NativeKey | None = field(repr=False, default=None)
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection that is logged in and idle. The holder owns the transport: nobody else will close it."""

    transport: asyncio.Transport
    version: str  # as greeted, "5.5.5-" prefix included
    thread_id: int
    capabilities: int  # exactly what both sides agreed on; MariaDB's extended ones from bit 32 up
    offered: int  # what the server could have agreed to
    status: int  # SERVER_STATUS_* flags of the login's OK
    stream: "Stream"

    @property
    def buffered(self) -> bytes:
        """What the server has sent since the OK and nobody has read."""
        return bytes(self.stream.buffer)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> bytes:
        """Give the transport to `protocol` and return the bytes that arrived before it could see them.

        `connection_made` is not called. Raises ConnectFailed(2013) when the connection was lost since the login: then
        `protocol` would never have heard of it.
        """
        if self.stream.lost or self.transport.is_closing():
            self.transport.abort()
            raise ConnectFailed(LOST, "Lost connection to the node right after the login")
        self.transport.set_protocol(protocol)
        return bytes(self.stream.buffer)


class _Packet(client.MysqlPacket):  # type: ignore[misc]  # aiomysql has no types
    """A packet whose ERR keeps its SQLSTATE, and whose scramble comes without the NUL behind it."""

    __slots__ = ()

    def raise_for_error(self) -> NoReturn:
        data: bytes = self.get_all_data()
        code = int.from_bytes(data[1:3], "little")
        if data[3:4] == b"#":
            raise ConnectFailed(code, data[9:].decode("utf-8", "replace"), data[4:9].decode("ascii", "replace"))
        # Before the handshake the server does not know yet that we would understand a SQLSTATE.
        raise ConnectFailed(code, data[3:].decode("utf-8", "replace"))

    def read_all(self) -> bytes:
        rest: bytes = super().read_all()
        # AuthSwitchRequest: 20 bytes of scramble and a NUL. Hashed in, it makes caching_sha2's fast answer wrong.
        return rest[:20] if len(rest) == 21 and rest.endswith(b"\0") else rest


class _Client(client.Connection):  # type: ignore[misc]  # aiomysql has no types
    """aiomysql's connection with our stream below it and our handshake response."""

    def __init__(
        self,
        address: tuple[str, int],
        user: str,
        password: str | NativeKey,
        capabilities: int,
        collation: int,
        database: str | None,
        attributes: Mapping[str, str],
        link: Link,
        compress: bool,
    ) -> None:
        self.native_key = password if isinstance(password, NativeKey) else None
        # aiomysql encodes passwords as latin-1; servers compare bytes, and every terminal types UTF-8.
        plain = "" if isinstance(password, NativeKey) else password
        secret = plain.encode("utf-8", "surrogateescape").decode("latin-1")
        super().__init__(
            host=address[0], port=address[1], user=user, password=secret, charset="utf8mb4", autocommit=None, conv={}
        )
        self.wanted = capabilities
        self.negotiated = 0
        self.collation = collation
        self.database = database
        self.attributes = attributes
        self.link = link
        self.algorithm = link.compression if compress else None
        self.last: Any = None

    async def _connect(self) -> None:
        raise NotImplementedError("a lost connection is not mended behind the caller's back")

    async def log_in(self, stream: Stream) -> int:
        """Returns the status flags of the OK. Raises ConnectFailed and aiomysql's errors."""
        self._reader: Stream | None = stream
        self._writer: Stream | None = stream
        self._next_seq_id = 0
        await self._get_server_information()
        await self._request_authentication()
        if not self.last.is_ok_packet():
            raise ConnectFailed(_MALFORMED, "The node ended the login with neither OK nor an error")
        status: int = client.OKPacketWrapper(self.last).server_status
        if self.algorithm is not None:
            stream.start_compression(compression.codec(self.algorithm))
        return status

    def detach(self) -> None:
        self._reader = self._writer = None

    async def _read_packet(self, packet_type: Any = _Packet) -> Any:
        self.last = await super()._read_packet(packet_type)
        return self.last

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if not self.server_capabilities & CLIENT_MYSQL:
            # MariaDB keeps the last 4 of the 10 reserved bytes for its own capabilities.
            data: bytes = self.last.get_all_data()
            at = data.index(b"\0", 1) + 28
            self.server_capabilities |= int.from_bytes(data[at : at + 4], "little") << 32

    async def _request_authentication(self) -> None:
        # https://mariadb.com/kb/en/connection/#client-handshake-response
        offered: int = self.server_capabilities
        if offered & _NEEDED != _NEEDED:
            raise ConnectFailed(_MALFORMED, "The node does not speak the 4.1 protocol")
        flags = (self.wanted & ~_OWN & offered) | _NEEDED | (offered & CLIENT_PLUGIN_AUTH)
        if self.database is not None:
            flags |= CLIENT_CONNECT_WITH_DB
        if self.attributes:
            flags |= offered & CLIENT_CONNECT_ATTRS
        if flags & CLIENT_MYSQL:
            flags &= ~_EXTENDED
        self.negotiated = flags
        if self.algorithm is not None and offered & compression.CAPABILITIES[self.algorithm]:
            flags |= compression.CAPABILITIES[self.algorithm]
        else:
            self.algorithm = None
        if self.link.tls is not None:
            flags |= CLIENT_SSL

        plugin = self._server_auth_plugin.encode()
        secret = self._password.encode("latin-1")
        if self.native_key is not None:
            plugin = b"mysql_native_password"
            answer: bytes = _native_answer(self.native_key, self.salt)
        elif plugin == b"caching_sha2_password":
            answer = client._auth.scramble_caching_sha2(secret, self.salt)
        else:
            # Anything else we speak is asked for by name in an AuthSwitchRequest.
            plugin = b"mysql_native_password"
            answer = client._auth.scramble_native_password(secret, self.salt)

        head = struct.pack("<IIB19xI", flags & 0xFFFFFFFF, _MAX_PACKET, self.collation, flags >> 32)
        if self.link.tls is not None:
            if not offered & CLIENT_SSL:
                raise ConnectFailed(TLS_FAILED, "TLS connection error: the node does not offer TLS")
            self.write_packet(head)
            assert self._writer is not None
            await self._writer.start_tls(self.link.tls, self._host)
            self._secure = True
        # Both forms of the answer's length are the same byte, since no answer is longer than 32.
        parts = [
            head,
            encode(self.user, self.collation) + b"\0",
            bytes((len(answer),)) + answer,
        ]
        if self.database is not None:
            parts.append(self.database.encode() + b"\0")
        if flags & CLIENT_PLUGIN_AUTH:
            parts.append(plugin + b"\0")
        if flags & CLIENT_CONNECT_ATTRS:
            texts = (text for pair in self.attributes.items() for text in pair)
            parts.append(lenenc_str(b"".join(lenenc_str(encode(text, self.collation)) for text in texts)))
        if self.algorithm is compression.Algorithm.ZSTD:
            parts.append(bytes((_ZSTD_LEVEL,)))
        self.write_packet(b"".join(parts))

        packet = await self._read_packet()
        if packet.is_auth_switch_request():
            packet.read_uint8()
            await self._process_auth(packet.read_string(), packet)
        elif packet.is_extra_auth_data() and plugin == b"caching_sha2_password":
            await self.caching_sha2_password_auth(packet)

    async def current_user(self) -> str:
        """The account that the server takes us for, whatever was agreed on for results."""
        attributes = NONE.decode() if self.negotiated & CLIENT_QUERY_ATTRIBUTES else ""
        await self._execute_command(_COM_QUERY, f"{attributes}SELECT CURRENT_USER()")
        for _ in range(2):  # the number of columns, and the column
            await self._read_packet()
        row = await self._read_packet()
        if _ends(row):
            row = await self._read_packet()
        found: bytes = row.read_length_coded_string() or b""
        while not _ends(self.last):
            await self._read_packet()
        return decode(found, self.collation)

    async def _process_auth(self, plugin_name: bytes | None, auth_packet: Any) -> None:
        name = (plugin_name or b"mysql_old_password").decode("ascii", "replace")
        if plugin_name not in _PLUGINS | _IN_CLEAR:
            raise ConnectFailed(_PLUGIN_MISSING, f"The node asks for unsupported authentication: {name}")
        if self.native_key is not None:
            if plugin_name != b"mysql_native_password":
                raise ConnectFailed(_PLUGIN_MISSING, f"The node asks for {name}, which needs the password itself")
            self.write_packet(_native_answer(self.native_key, auth_packet.read_all()))
            packet = await self._read_packet()
            packet.check_error()
            return
        secret = self._password.encode("latin-1")
        if plugin_name in _IN_CLEAR:
            if self.link.tls is None or self.link.tls.verify_mode is not ssl.CERT_REQUIRED:
                why = "only shown to a node whose certificate is verified"
                raise ConnectFailed(_PLUGIN_MISSING, f"The node asks for {name}, which shows the password: {why}")
            await self._show_password(plugin_name, secret, auth_packet)
        elif plugin_name == b"client_ed25519":
            challenge = auth_packet.get_all_data()[len("\xfeclient_ed25519\0") :][:32]
            # Not on the loop: it takes as long as a hundred queries.
            self.write_packet(await asyncio.to_thread(signature, secret, challenge))
            (await self._read_packet()).check_error()
        else:
            await super()._process_auth(plugin_name, auth_packet)

    async def _show_password(self, plugin_name: bytes, secret: bytes, packet: Any) -> None:
        """PAM's conversation, as far as the password answers it: a question for anything else ends it
        (https://mariadb.com/kb/en/authentication-plugin-pam/#dialog).
        """
        if plugin_name == b"mysql_clear_password":
            self.write_packet(secret + b"\0")
            (await self._read_packet()).check_error()
            return
        asked: bytes = packet.get_all_data()[len("\xfedialog\0") :]
        for _ in range(_MOST_QUESTIONS):
            kind = asked[0] if asked else _DIALOG_PASSWORD << 1
            if kind >> 1 != _DIALOG_PASSWORD:
                text = asked[1:].decode("utf-8", "replace").strip()
                raise ConnectFailed(
                    _ACCESS_DENIED, f"Access denied: the node asks {text!r}, not for a password", "28000"
                )
            self.write_packet(secret + b"\0")
            packet = await self._read_packet()
            packet.check_error()
            if packet.is_ok_packet() or kind & _DIALOG_LAST:
                return
            asked = packet.get_all_data()[1:] if packet.is_extra_auth_data() else packet.get_all_data()
        raise ConnectFailed(_MALFORMED, "The node does not stop asking for the password")


def _ends(packet: Any) -> bool:
    """EOF, or the OK in its place."""
    data: bytes = packet.get_all_data()
    return data[:1] == b"\xfe" and len(data) < 0xFFFFFF


def _native_answer(key: NativeKey, salt: bytes) -> bytes:
    """SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html).
    """
    mask = sha1(salt[:20] + sha1(key.sha1).digest()).digest()  # noqa: S324 - the plugin's definition
    return bytes(one ^ other for one, other in zip(key.sha1, mask, strict=True))


class QueryConnection:
    """A connection of our own to ask a node about itself. Text in, text out, one query at a time."""

    __slots__ = ("_client", "collation", "offered", "thread_id", "version")

    def __init__(self, connected: _Client) -> None:
        self._client = connected
        self.version: str = connected.server_version
        self.thread_id: int = connected.thread_id()
        self.offered: int = connected.server_capabilities  # what the server could have agreed to
        self.collation: int = connected.server_language  # the server's own; of its number the greeting has one byte

    @property
    def closed(self) -> bool:
        return bool(self._client.closed)

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of the answer, values as the text the server sent. The caller brings the deadline.

        Raises ConnectFailed; anything but an error from the server, cancellation included, closes the connection.
        """
        try:
            await self._client.query(sql)
        except ConnectFailed:
            raise  # the server's own error: the connection is at rest
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise _as_failure(error) from error
            raise
        return [tuple(_text(value) for value in row) for row in self._client._result.rows or ()]

    def close(self) -> None:
        """Ends the connection at once. A COM_QUIT is left in the socket so that the node does not log an abort."""
        stream = self._client._writer
        if stream is not None:
            stream.write_if_open(b"\x01\0\0\0\x01")
        self._client.close()


async def connect(
    address: tuple[str, int],
    *,
    user: str,
    password: str | NativeKey | Credential,
    account: str | None = None,
    capabilities: int,
    collation: int,
    database: str | None = None,
    attributes: Mapping[str, str] | None = None,
    on_behalf_of: str | None = None,
    link: Link = PLAIN,
    timeout: float = 5.0,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float = 2.0,
) -> Connected:
    """Log in to the node at `address` (host, port).

    The agreed capabilities are those of `capabilities` that the server has too, and what a login cannot do without
    (PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH; CONNECT_WITH_DB and CONNECT_ATTRS where given). TLS and compression
    are as `link` says, and no part of them. `collation` is a collation id of one byte (ValueError otherwise). `timeout`
    seconds bound the whole, `connect_timeout` the TCP connection. No query is sent, unless `account` says which one
    ("user@host") the node must take us for: then it is asked. Raises ConnectFailed; on it, and when cancelled, no
    socket is left behind.

    `on_behalf_of` is the address that the node is told by the PROXY protocol to take us for; "localhost" tells it
    nothing by that protocol, None does not speak it.
    """
    secret = password.value if isinstance(password, Credential) else password
    if secret is None:
        why = "its password was changed and nobody has logged in with the new one yet"
        raise ConnectFailed(NOT_THIS_ACCOUNT, f"Access denied for user '{user}': {why}", "28000")
    given = (address, user, secret, capabilities, collation, database, attributes or {}, timeout, connect_timeout)
    try:
        logged_in, status, stream = await _open(*given, account, link=link, compress=True, on_behalf_of=on_behalf_of)
    except ConnectFailed as failed:
        if failed.code != NOT_THIS_ACCOUNT:
            raise
        # What was changed at one node a moment ago may not have reached this one.
        await asyncio.sleep(_REPLICATED)
        logged_in, status, stream = await _open(*given, account, link=link, compress=True, on_behalf_of=on_behalf_of)
    if isinstance(password, Credential) and secret is password.value:
        password.confirmed = True
    logged_in.detach()
    assert stream.transport is not None
    return Connected(
        transport=stream.transport,
        version=logged_in.server_version,
        thread_id=logged_in.thread_id(),
        capabilities=logged_in.negotiated,
        offered=logged_in.server_capabilities,
        status=status,
        stream=stream,
    )


async def open_queries(
    address: tuple[str, int],
    *,
    user: str,
    password: str,
    attributes: Mapping[str, str] | None = None,
    link: Link = PLAIN,
    timeout: float = 5.0,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float = 2.0,
    max_buffered: int = MAX_BUFFERED,
) -> QueryConnection:
    """Log in for queries of our own, in utf8mb4, never compressed. Arguments and errors as for connect(); a node
    that sends more than `max_buffered` bytes ahead of their reading is cut off."""
    logged_in, _, _ = await _open(
        address,
        user,
        password,
        _QUERY_CAPABILITIES,
        _UTF8MB4_GENERAL_CI,
        None,
        attributes or {},
        timeout,
        connect_timeout,
        max_buffered=max_buffered,
        link=link,
        compress=False,
    )
    return QueryConnection(logged_in)


async def _open(
    address: tuple[str, int],
    user: str,
    password: str | NativeKey,
    capabilities: int,
    collation: int,
    database: str | None,
    attributes: Mapping[str, str],
    timeout: float,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float,
    account: str | None = None,
    max_buffered: int = MAX_BUFFERED,
    *,
    link: Link,
    compress: bool,
    on_behalf_of: str | None = None,
) -> tuple[_Client, int, Stream]:
    if not 0 < collation < 256:
        raise ValueError(f"collation {collation} does not fit in the handshake's one byte")
    place = f"{address[0]}:{address[1]}"
    stream = Stream(max_buffered)
    logging_in = _Client(address, user, password, capabilities, collation, database, attributes, link, compress)
    try:
        async with asyncio.timeout(timeout) as whole:
            try:
                async with asyncio.timeout(connect_timeout):
                    await asyncio.get_running_loop().create_connection(lambda: stream, *address)
            except socket.gaierror as error:
                raise ConnectFailed(_UNKNOWN_HOST, f"Unknown server host {address[0]!r} ({error.strerror})") from error
            except OSError as error:  # TimeoutError is one
                why = error.strerror or f"no TCP connection within {min(timeout, connect_timeout):g} s"
                raise ConnectFailed(_UNREACHABLE, f"Can't connect to {place} ({why})") from error
            stream.tune()
            if on_behalf_of is not None:
                assert stream.transport is not None
                host, port = stream.transport.get_extra_info("peername")[:2]
                stream.write(header_for(on_behalf_of, (host, port)))
            status = await logging_in.log_in(stream)
            if account is not None and (found := await logging_in.current_user()) != account:
                why = f"from here a node takes it for {found}, not for {account}"
                raise ConnectFailed(NOT_THIS_ACCOUNT, f"Access denied for user '{user}': {why}", "28000")
    except BaseException as error:
        logging_in.detach()
        if stream.transport is not None:
            stream.transport.abort()
        if isinstance(error, TimeoutError) and whole.expired():
            raise ConnectFailed(LOST, f"No answer from {place} to the login within {timeout:g} s") from error
        if account is not None and isinstance(error, ConnectFailed) and error.code == _ACCESS_DENIED:
            raise ConnectFailed(NOT_THIS_ACCOUNT, error.message, error.sqlstate) from error
        if isinstance(error, ConnectFailed) or not isinstance(error, Exception):
            raise
        failure = _as_failure(error)
        if failure.code == _MALFORMED and on_behalf_of is not None:
            failure.code = LOST  # MariaDB refuses a header with an error that has the wrong sequence id
        if failure.code == LOST:
            hint = "" if on_behalf_of is None else "; is the proxy in its proxy_protocol_networks?"
            failure = ConnectFailed(LOST, f"Lost connection to {place} during the login{hint}")
        raise failure from error
    return logging_in, status, stream


def _as_failure(error: Exception) -> ConnectFailed:
    """What went wrong below us, as the error a MySQL client would show."""
    if isinstance(error, aiomysql.Error):
        if len(error.args) > 1 and isinstance(error.args[0], int) and error.args[0] > 0:
            return ConnectFailed(error.args[0], str(error.args[1]))
        return ConnectFailed(LOST if isinstance(error, aiomysql.InterfaceError) else _MALFORMED, str(error))
    if isinstance(error, OSError):
        return ConnectFailed(LOST, error.strerror or str(error))
    # aiomysql indexes and asserts its way through packets: whatever it trips over, the packet was at fault.
    return ConnectFailed(_MALFORMED, f"Malformed packet from the node ({type(error).__name__}: {error})")


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
