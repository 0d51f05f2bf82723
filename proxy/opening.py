"""The beginning of a client's connection: our greeting, its response, and the login where that is enough by itself.

    our greeting -> the client's response -> it proves who the client is: Login, in the same turn of the loop
                                          -> it takes more, or is refused: handshake.py finds out

What came was sent by somebody unknown: nothing is answered but by the verdicts of one table. The OK packet is not sent:
the caller may have the database to check, then answers with accept(). Knows no settings file, no backend and no
session, and waits for nothing.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from proxy.channel import ClientChannel
from proxy.hello import OF_THE_NODES, OFFERED, SSL_REQUEST_BYTES, Response, auth_more_data, greeting, parse_response
from proxy.proof import NATIVE_PASSWORD, Account, Answer, Finder, Proof, at_once, new_nonce
from proxy.wire import compression
from proxy.wire import constants as c
from proxy.wire.compression import Codec
from proxy.wire.framing import ProtocolError
from proxy.wire.packets import Change, error_packet, ok_packet
from router import answers
from router.backoff import LoginBackoff

_NAME_SHOWN: Final = 128  # characters of a name in an error's text; a name may be as long as a login packet


class Result(StrEnum):
    """How a login ended; the label it is counted under."""

    ACCEPTED = "accepted"
    DENIED = "denied"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    OLD_PROTOCOL = "old_protocol"
    TLS_REQUIRED = "tls_required"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    GONE = "gone"
    FULL = "full"
    BUSY = "busy"
    PROXY_REFUSED = "proxy_refused"
    LOCKED = "account_locked"
    EXPIRED = "password_expired"
    UNSUPPORTED = "plugin_unsupported"
    UNKNOWN = "accounts_unknown"
    BLOCKED = "login_blocked"


# What the client is told: code, SQLSTATE, text. A verdict that is not listed closes the connection without a word.
_ANSWERS: Final[dict[Result, tuple[int, str, str]]] = {
    Result.DENIED: (1045, "28000", "Access denied for user '{name}'@'{host}' (using password: {used})"),
    Result.MALFORMED: (1043, "08S01", "Bad handshake"),
    Result.TOO_LARGE: (1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes"),
    Result.OLD_PROTOCOL: (
        1251,
        "08004",
        "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
    ),
    Result.TLS_REQUIRED: (
        3159,
        "HY000",
        "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
    ),
    Result.PROXY_REFUSED: (1130, "HY000", "Proxy header is not accepted from {host}"),
    Result.FULL: (1040, "08004", "Too many connections"),
    Result.BUSY: (1040, "08004", "Too many connections"),
}


_RESULTS: Final = {
    "access-denied": Result.DENIED,
    "account-locked": Result.LOCKED,
    "account-locked-mysql": Result.LOCKED,
    "password-expired": Result.EXPIRED,
    "plugin-unsupported": Result.UNSUPPORTED,
    "accounts-unknown": Result.UNKNOWN,
    "login-blocked": Result.BLOCKED,
}


class LoginFailed(Exception):
    """The client does not get in. `packet` is the ERR packet for it, or None where it gets no answer."""

    @classmethod
    def because(cls, answer: answers.Answer) -> "LoginFailed":
        """With an error of the account's own."""
        failed = cls(_RESULTS[answer.reason])
        failed.code, failed.sqlstate, failed.message = answer.code, answer.sqlstate, answer.text
        return failed

    def __init__(self, result: Result, *, name: str = "", host: str = "", used_password: bool = False) -> None:
        self.result = result
        self.code = 0
        self.sqlstate = ""
        self.message = ""
        answer = _ANSWERS.get(result)
        if answer is not None:
            self.code, self.sqlstate, text = answer
            self.message = text.format(name=name[:_NAME_SHOWN], host=host, used="YES" if used_password else "NO")
        super().__init__(self.message or result.value)

    def packet(self, seq: int) -> bytes | None:
        return error_packet(seq, self.code, self.sqlstate, self.message) if self.code else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """What an endpoint lets in, and how long it listens to strangers."""

    accounts: Finder
    version: Callable[[], str]
    """The server version to greet with, as the backends send it."""
    offered: int = OFFERED
    nodes_offer: Callable[[], int] = lambda: c.CLIENT_LONG_PASSWORD
    """Of hello.OF_THE_NODES what every node has."""
    plugin: str = NATIVE_PASSWORD
    """The plugin named in the greeting, and asked for when a client proposes none of ours."""
    collation: Callable[[], int] = lambda: 45
    """The collation to greet with, from which some clients choose their character set: utf8mb4_general_ci."""
    status: int = c.SERVER_STATUS_AUTOCOMMIT
    tls: ssl.SSLContext | None = None
    compression: bool = False
    """Lets clients compress with zlib or zstd what follows the login."""
    proxy_protocol: Callable[[str], bool] = field(default=lambda host: False)
    """Whether who connects from there may say for whom; "localhost" is the Unix socket."""
    tls_required: bool = False
    """Refuses a login in clear over TCP. A Unix socket counts as secure, as it does for the server."""
    timeout: float = 10.0
    """Seconds from the greeting to the last word of authentication."""
    max_packet: int = 65536
    """Bytes of payload in one packet before login."""
    backoff: LoginBackoff = field(default_factory=lambda: LoginBackoff(0.0, 0.0))
    """Common to all endpoints: it slows down addresses that fail."""


@dataclass(slots=True, kw_only=True)
class Login:
    """A client that is who it says, waiting for its first OK."""

    channel: ClientChannel = field(repr=False)
    account: Account
    native_key: bytes | None = field(default=None, repr=False)
    """SHA1(password), where the client showed it (see proof.Proof)."""
    connection_id: int
    capabilities: int
    """What the client asked for of what was offered; nothing about compression, which is this connection's own."""
    codec: Codec | None = None
    """What the connection is compressed with behind the OK; None: it is not."""
    collation: int
    """The client's collation number: one byte at login, two in COM_CHANGE_USER. 0: it named none."""
    database: str
    """"" if the client named none."""
    attributes: dict[str, str]
    max_packet: int
    """The client's max_allowed_packet, in bytes."""
    host: str
    """The client's address, "localhost" on a Unix socket."""
    port: int
    tls: bool
    secure: bool
    nonce: bytes = field(repr=False)
    seq: int
    """Sequence id of the OK or ERR packet that ends the login."""

    @property
    def transport(self) -> asyncio.Transport:
        """The connection, under TLS if there is TLS. From the turn on in which the login came it reads nothing: see
        hand_over()."""
        return self.channel.transport

    def hand_over(self, protocol: asyncio.Protocol, ok: bytes) -> None:
        """Sends `ok` (see accept()) and makes `protocol` the one that reads; connection_made() is not called again.

        What the client sent behind its login is still unread and comes to `protocol`. Raises ConnectionResetError if
        the client left meanwhile: `protocol` would never hear of it.
        """
        transport = self.channel.transport
        if self.channel.closed or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(ok)
        unread = self.channel.unread
        self.channel.give_to(protocol)  # calls nothing yet; `protocol` may pause again in data_received()
        if unread:
            protocol.data_received(unread)

    async def reject(self, error: bytes) -> None:
        """Sends an ERR packet with sequence id `seq` instead, and closes the connection."""
        await self.channel.close_after(error)


def accept(login: Login, status: int = c.SERVER_STATUS_AUTOCOMMIT) -> bytes:
    """The OK packet that ends the login. It reports the schema that was named, as servers do."""
    if not login.database:
        return _plain_ok(login.seq, status, login.capabilities)
    changes = (Change(c.SESSION_TRACK_SCHEMA, b"", login.database.encode()),)
    return ok_packet(login.seq, status=status, changes=changes, capabilities=login.capabilities)


@lru_cache(64)
def _plain_ok(seq: int, status: int, capabilities: int) -> bytes:
    return ok_packet(seq, status=status, capabilities=capabilities)


class Opening:
    """A client that was greeted, and what is known of it before it has said anything."""

    __slots__ = ("channel", "connection_id", "deadline", "host", "local", "nonce", "offered", "port", "settings", "tls")

    def __init__(self, channel: ClientChannel, settings: LoginSettings, connection_id: int, deadline: float) -> None:
        self.channel = channel
        self.settings = settings
        self.connection_id = connection_id
        self.deadline = deadline
        self.nonce = new_nonce()
        self.host, self.port = _peer(channel)
        self.local = channel.local
        self.tls = False
        self.offered = settings.offered & (settings.nodes_offer() | ~OF_THE_NODES)
        if settings.tls is not None:
            self.offered |= c.CLIENT_SSL
        if settings.compression:
            self.offered |= compression.ANY

    def greeting(self) -> bytes:
        settings = self.settings
        return greeting(
            settings.version(),
            self.connection_id,
            self.nonce,
            self.offered,
            plugin=settings.plugin,
            collation=settings.collation(),
            status=settings.status,
        )

    def asks_for_tls(self, payload: bytes) -> bool:
        """Raises LoginFailed or ProtocolError for what is the beginning of no response."""
        _require_protocol_41(payload)
        return bool(
            self.settings.tls is not None and len(payload) == SSL_REQUEST_BYTES and _flags(payload) & c.CLIENT_SSL
        )

    def response(self, payload: bytes) -> Response:
        """Raises LoginFailed or ProtocolError for one that nobody can log in with."""
        _require_protocol_41(payload)
        response = parse_response(payload, self.offered)
        if not response.capabilities & c.CLIENT_SECURE_CONNECTION:
            raise LoginFailed(Result.OLD_PROTOCOL)
        if self.settings.tls_required and not self.tls and not self.local:
            raise LoginFailed(Result.TLS_REQUIRED)
        return response

    def answer(self, response: Response) -> Answer:
        """What the response says of who the client is."""
        return Answer(
            name=response.name,
            data=response.data,
            plugin=response.plugin,
            nonce=self.nonce,
            data_plugin=self.settings.plugin,
            attributes=response.attributes,
            secure=self.tls or self.local,
        )

    def login(self, response: Response, proof: Proof) -> Login:
        algorithm = compression.agreed(response.capabilities)
        return Login(
            channel=self.channel,
            account=proof.account,
            native_key=proof.native_key,
            connection_id=self.connection_id,
            capabilities=response.capabilities & ~compression.ANY,
            codec=compression.codec(algorithm, response.zstd_level) if algorithm is not None else None,
            collation=response.collation,
            database=response.database,
            attributes=response.attributes,
            max_packet=response.max_packet,
            host=self.host,
            port=self.port,
            tls=self.tls,
            secure=self.tls or self.local,
            nonce=self.nonce,
            seq=self.channel.seq,
        )


def greet(channel: ClientChannel, settings: LoginSettings, connection_id: int, deadline: float) -> Opening:
    """Greets a client that just connected, which has until `deadline` (the loop's time) to say who it is.

    Raises ConnectionResetError if it is gone.
    """
    opening = Opening(channel, settings, connection_id, deadline)
    channel.send(opening.greeting())
    return opening


def login_at_once(opening: Opening) -> Login | None:
    """The login, if the packet that has come is all that it takes: most logins are. It says yes or nothing: whatever
    else there is to say or to wait for, login() says and waits for, with the same packet.
    """
    channel, settings = opening.channel, opening.settings
    payload = channel.waiting
    if payload is None or channel.proxy_header is not None or not settings.backoff.is_clear(opening.host):
        return None
    try:
        response = opening.response(payload)
    except (LoginFailed, ProtocolError):
        return None
    account = settings.accounts.known(response.name, opening.host)
    proven = at_once(opening.answer(response), account, default_plugin=settings.plugin)
    if proven is None:
        return None
    proof, message = proven
    if proof.account.objection(opening.host, tls=False) is not None:
        return None
    channel.take()
    if message is not None:
        channel.send(auth_more_data(message))
    return opening.login(response, proof)


def _flags(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "little")


def _require_protocol_41(payload: bytes) -> None:
    """Clients older than MySQL 4.1 send two bytes of flags, three of packet size and a name: they are told why they
    fail."""
    if _flags(payload) & c.CLIENT_PROTOCOL_41:
        return
    if payload.find(b"\0", 5) > 5:
        raise LoginFailed(Result.OLD_PROTOCOL)
    raise ProtocolError("not a handshake response")


def _peer(channel: ClientChannel) -> tuple[str, int]:
    """The client's address and port, "localhost" where there is no address."""
    if channel.local:
        return "localhost", 0
    name = channel.transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        raise ConnectionResetError("the client is gone")
    return str(name[0]).removeprefix("::ffff:"), int(name[1])
