"""The exchange by which a node is logged in to, as far as its OK. The only importer of aiomysql.

aiomysql knows the authentication exchanges. What it adds for its own users (capabilities of its choice, SET
autocommit, stream readers with a buffer of their own) would show in the reply bytes that clients get, so here the
handshake response is written by us with exactly the capabilities that were asked for.

It must not know what the connection is for: that is `proxy.login` for clients' commands, `proxy.queries` for our own.
"""

import asyncio
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final, NoReturn

import aiomysql
from aiomysql import connection as client

from proxy.ed25519 import signature
from proxy.hello import decode, encode
from proxy.link import Link
from proxy.stream import LOST, TLS_FAILED, ConnectFailed, Stream
from proxy.wire import compression
from proxy.wire.attributes import NONE
from proxy.wire.constants import (
    CLIENT_COMPRESS,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_MULTI_FACTOR_AUTHENTICATION,
    CLIENT_MYSQL,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_ZSTD_COMPRESSION_ALGORITHM,
)
from proxy.wire.packets import lenenc_str

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
_EXTENDED = 0xFFFFFFFF << 32  # MariaDB's own; the low half's CLIENT_MYSQL bit says that there are none

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

MALFORMED: Final = 2027
_PLUGIN_MISSING = 2059
ACCESS_DENIED: Final = 1045


@dataclass(frozen=True, slots=True)
class NativeKey:
    """SHA1(password): all that mysql_native_password needs of a password, and useless for other plugins."""

    sha1: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom a login is to, as whom, and what it asks for. `attributes` are those of the connection; `compress`: as the
    link says, or not at all.
    """

    address: tuple[str, int]
    user: str
    password: str | NativeKey = field(repr=False)
    capabilities: int
    collation: int
    database: str | None
    attributes: Mapping[str, str]
    link: Link
    compress: bool


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


class LoginExchange(client.Connection):  # type: ignore[misc]  # aiomysql has no types
    """aiomysql's connection with our stream below it and our handshake response."""

    def __init__(self, terms: Terms) -> None:
        address, password = terms.address, terms.password
        self.native_key = password if isinstance(password, NativeKey) else None
        # aiomysql encodes passwords as latin-1; servers compare bytes, and every terminal types UTF-8.
        plain = "" if isinstance(password, NativeKey) else password
        secret = plain.encode("utf-8", "surrogateescape").decode("latin-1")
        super().__init__(
            host=address[0],
            port=address[1],
            user=terms.user,
            password=secret,
            charset="utf8mb4",
            autocommit=None,
            conv={},
        )
        self.wanted = terms.capabilities
        self.negotiated = 0
        self.collation = terms.collation
        self.database = terms.database
        self.attributes = terms.attributes
        self.link = terms.link
        self.algorithm = terms.link.compression if terms.compress else None
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
            raise ConnectFailed(MALFORMED, "The node ended the login with neither OK nor an error")
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
            raise ConnectFailed(MALFORMED, "The node does not speak the 4.1 protocol")
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
                    ACCESS_DENIED, f"Access denied: the node asks {text!r}, not for a password", "28000"
                )
            self.write_packet(secret + b"\0")
            packet = await self._read_packet()
            packet.check_error()
            if packet.is_ok_packet() or kind & _DIALOG_LAST:
                return
            asked = packet.get_all_data()[1:] if packet.is_extra_auth_data() else packet.get_all_data()
        raise ConnectFailed(MALFORMED, "The node does not stop asking for the password")


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


def as_failure(error: Exception) -> ConnectFailed:
    """What went wrong below us, as the error a MySQL client would show."""
    if isinstance(error, aiomysql.Error):
        if len(error.args) > 1 and isinstance(error.args[0], int) and error.args[0] > 0:
            return ConnectFailed(error.args[0], str(error.args[1]))
        return ConnectFailed(LOST if isinstance(error, aiomysql.InterfaceError) else MALFORMED, str(error))
    if isinstance(error, OSError):
        return ConnectFailed(LOST, error.strerror or str(error))
    # aiomysql indexes and asserts its way through packets: whatever it trips over, the packet was at fault.
    return ConnectFailed(MALFORMED, f"Malformed packet from the node ({type(error).__name__}: {error})")
