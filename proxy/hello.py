"""What the two sides say of themselves before and during a login: greeting, handshake response, COM_CHANGE_USER.

Bytes in, values out and back: no IO, no password is judged here. Whatever a stranger sends is parsed or is a
ProtocolError.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from proxy.wire import constants as c
from proxy.wire.framing import ProtocolError
from proxy.wire.packets import read_int2, read_lenenc_int, read_lenenc_str

OF_THE_NODES: Final = (
    c.CLIENT_LONG_PASSWORD  # MariaDB's CLIENT_MYSQL: set, it says that the greeting carries no MariaDB extensions
    | c.CLIENT_OPTIONAL_RESULTSET_METADATA
    | c.CLIENT_QUERY_ATTRIBUTES
    | c.MARIADB_CLIENT_STMT_BULK_OPERATIONS
    | c.MARIADB_CLIENT_EXTENDED_METADATA
    | c.MARIADB_CLIENT_BULK_UNIT_RESULTS
)
"""Capabilities that only one flavour, or only later versions, have: offered where every node has them."""

OFFERED: Final = (
    c.CLIENT_FOUND_ROWS
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_CONNECT_WITH_DB
    | c.CLIENT_NO_SCHEMA
    | c.CLIENT_LOCAL_FILES
    | c.CLIENT_IGNORE_SPACE
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_INTERACTIVE
    | c.CLIENT_IGNORE_SIGPIPE
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_RESERVED
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_CONNECT_ATTRS
    | c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | c.CLIENT_SESSION_TRACK
    | c.CLIENT_DEPRECATE_EOF
    | OF_THE_NODES
)
"""What we offer, if the nodes have it; CLIENT_SSL is added where there is a certificate, and where clients may
compress, COMPRESS and ZSTD_COMPRESSION_ALGORITHM. Left out, and why:

ODBC: without meaning since MySQL 3.22. CAN_HANDLE_EXPIRED_PASSWORDS: passwords here do not expire.
MULTI_FACTOR_AUTHENTICATION, CAPABILITY_EXTENSION: nothing behind them is spoken here. SSL_VERIFY_SERVER_CERT,
REMEMBER_OPTIONS: the client's own business, never on the wire. MariaDB's PROGRESS: its reports are packets that belong
to no reply. COM_MULTI: no server has it any more. CACHE_METADATA: whether a reply has its definitions then depends on
what its connection saw before, and a session's replies come from many connections.
"""

NONCE_LENGTH: Final = 20

SSL_REQUEST_BYTES: Final = 32
"""A handshake response up to the name; alone it asks for TLS."""


def greeting(
    version: str, connection_id: int, nonce: bytes, capabilities: int, *, plugin: str, collation: int, status: int
) -> bytes:
    """Payload of the first packet
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html).
    MariaDB's capabilities above bit 32 are where MySQL has zeros (https://mariadb.com/kb/en/connection/). `nonce`: of
    NONCE_LENGTH bytes.
    """
    before, between, behind = _around(version, capabilities, plugin, collation, status)
    return b"".join((before, (connection_id & 0xFFFFFFFF).to_bytes(4, "little"), nonce[:8], between, nonce[8:], behind))


@lru_cache(64)
def _around(version: str, capabilities: int, plugin: str, collation: int, status: int) -> tuple[bytes, bytes, bytes]:
    """What stands ahead of the connection id, between the two parts of the nonce, and behind them."""
    has_plugins = bool(capabilities & c.CLIENT_PLUGIN_AUTH)
    before = b"\x0a" + version.encode().replace(b"\0", b"") + b"\0"
    between = b"".join(
        (
            b"\0",
            (capabilities & 0xFFFF).to_bytes(2, "little"),
            bytes((collation & 0xFF,)),
            status.to_bytes(2, "little"),
            (capabilities >> 16 & 0xFFFF).to_bytes(2, "little"),
            bytes((NONCE_LENGTH + 1 if has_plugins else 0,)),
            bytes(6),
            (capabilities >> 32).to_bytes(4, "little"),
        )
    )
    return before, between, b"\0" + (plugin.encode() + b"\0" if has_plugins else b"")


def auth_switch_request(plugin: str, data: bytes) -> bytes:
    """Payload that asks the client to start again with `plugin`
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html)."""
    return b"\xfe" + plugin.encode() + b"\0" + data


def auth_more_data(data: bytes) -> bytes:
    """Payload that carries one more message of the plugin in use
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_more_data.html)."""
    return b"\x01" + data


@dataclass(slots=True)
class Response:
    """A handshake response, or the tail of COM_CHANGE_USER, as parsed."""

    capabilities: int
    max_packet: int
    collation: int
    name: str
    data: bytes = field(repr=False)
    database: str = ""
    plugin: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    zstd_level: int = 0
    """1 to 22, where the client asks for zstd."""


def parse_response(payload: bytes, offered: int) -> Response:
    """Reads a handshake response; fields are present by what the client asked for of what was `offered`.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html
    Raises ProtocolError if it is cut short or a string has no end. Bytes behind the last known field are ignored, as by
    the server: they belong to capabilities that were not offered.
    """
    if len(payload) < SSL_REQUEST_BYTES:
        raise ProtocolError("a handshake response has at least 32 bytes")
    capabilities = int.from_bytes(payload[:4], "little")
    if not capabilities & c.CLIENT_MYSQL:
        capabilities |= int.from_bytes(payload[28:32], "little") << 32
    capabilities &= offered
    collation = payload[8]
    name, at = _read_text(payload, SSL_REQUEST_BYTES, collation)
    if capabilities & c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
        data, at = read_lenenc_str(payload, at)
    else:
        data, at = _read_short_bytes(payload, at)
    response = Response(capabilities, int.from_bytes(payload[4:8], "little"), collation, name, data)
    if capabilities & c.CLIENT_CONNECT_WITH_DB:
        response.database, at = _read_text(payload, at, collation)
    if capabilities & c.CLIENT_PLUGIN_AUTH:
        response.plugin, at = _read_text(payload, at, collation)
    if capabilities & c.CLIENT_CONNECT_ATTRS and at < len(payload):
        response.attributes, at = _read_attributes(payload, at, collation)
    if capabilities & c.CLIENT_ZSTD_COMPRESSION_ALGORITHM and at < len(payload):
        response.zstd_level = payload[at]
    return response


def parse_change_user(payload: bytes, capabilities: int, collation: int) -> Response:
    """Reads COM_CHANGE_USER, its command byte included; everything behind the database may be missing.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html
    """
    if payload[:1] != bytes((c.COM_CHANGE_USER,)):
        raise ProtocolError("not COM_CHANGE_USER")
    name, at = _read_text(payload, 1, collation)
    data, at = _read_short_bytes(payload, at)
    database, at = _read_text(payload, at, collation)
    response = Response(capabilities, 0, collation, name, data, database)
    if at < len(payload):
        response.collation = read_int2(payload, at)
        at += 2
        if capabilities & c.CLIENT_PLUGIN_AUTH and at < len(payload):
            response.plugin, at = _read_text(payload, at, response.collation)
        if capabilities & c.CLIENT_CONNECT_ATTRS and at < len(payload):
            response.attributes, at = _read_attributes(payload, at, response.collation)
    return response


def _read_text(payload: bytes, at: int, collation: int) -> tuple[str, int]:
    """A string that ends with NUL, and the offset behind it."""
    end = payload.find(b"\0", at)
    if end < 0:
        raise ProtocolError("a string has no end")
    return decode(payload[at:end], collation), end + 1


def decode(text: bytes, collation: int) -> str:
    """A name as the client wrote it. ASCII is the same in every character set that a client may use."""
    if text.isascii():
        return text.decode("ascii")
    from proxy import mimic  # takes a while, and is seldom needed

    return mimic.decode(text, collation)


def encode(text: str, collation: int) -> bytes:
    """A name as a client with this collation writes it."""
    if text.isascii():
        return text.encode("ascii")
    from proxy import mimic

    return mimic.encode(text, collation)


def _read_short_bytes(payload: bytes, at: int) -> tuple[bytes, int]:
    """Bytes with one byte of length in front, and the offset behind them."""
    if at >= len(payload) or at + 1 + payload[at] > len(payload):
        raise ProtocolError("the packet ends within a string")
    end = at + 1 + payload[at]
    return payload[at + 1 : end], end


def _read_attributes(payload: bytes, at: int, collation: int) -> tuple[dict[str, str], int]:
    """The attributes, and the offset behind them."""
    length, at = read_lenenc_int(payload, at)
    end = at + length
    if end > len(payload):
        raise ProtocolError("the packet ends within the connection attributes")
    block = payload[at:end]
    attributes: dict[str, str] = {}
    at = 0
    while at < len(block):
        key, at = read_lenenc_str(block, at)
        value, at = read_lenenc_str(block, at)
        attributes[decode(key, collation)] = decode(value, collation)
    return attributes, end
