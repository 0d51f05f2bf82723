"""A client that sees every byte: it logs in with the capabilities it is told and returns whole replies as they came."""

import socket
from collections.abc import Callable
from typing import Final

from proxy.wire import constants as c
from proxy.wire.framing import frame, message_end, payload_of
from proxy.wire.packets import lenenc_str, parse_error
from proxy.wire.replies import ReplyScanner
from tests.proxy.login_client import native_scramble, sha2_scramble

BASE: Final = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
)
PATIENCE: Final = 15.0
"""Seconds for one reply: longer than the proxy's own limits, so that those show as the errors that they are."""

SCRAMBLES: Final[dict[str, Callable[[str, bytes], bytes]]] = {
    "mysql_native_password": native_scramble,
    "caching_sha2_password": sha2_scramble,
}
FAST_OK: Final = b"\x01\x03"
UTF8MB4_GENERAL_CI: Final = 45


class Closed(Exception):
    """The other side closed the connection."""


class Client:
    """One connection, used by one thread, one command at a time."""

    def __init__(self, port: int, capabilities: int, schema: str, user: str = "app", password: str = "app") -> None:
        self.capabilities = BASE | capabilities | (c.CLIENT_CONNECT_WITH_DB if schema else 0)
        if capabilities >> 32:
            self.capabilities &= ~c.CLIENT_MYSQL  # MariaDB's own count only without it
        self._password = password
        self._early = b""  # of the login, behind the packet that was looked at
        self._scanner = ReplyScanner(self.capabilities)
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.login_reply = self._login(user, schema)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, raw: bytes, command: int, *, cursor: bool = False, file: bytes = b"") -> bytes:
        """Send one command and return all of its reply. `file`: what any file that the server asks for holds. Raises
        Closed, or TimeoutError.
        """
        scanner = self._scanner
        scanner.start(command, None, cursor)
        self.tell(raw)
        reply = b""
        sent = False
        while not scanner.done:
            reply += scanner.feed(self._receive())
            if scanner.local_infile is not None and not sent:
                sent = True
                number = reply[3] + 1
                self.tell((frame(file, number) if file else b"") + frame(b"", number + bool(file)))
        if scanner.rest:
            raise AssertionError(f"{scanner.rest!r} behind the reply {reply!r}")
        return reply + scanner.error_raw

    def tell(self, raw: bytes) -> None:
        """Send a command that has no reply."""
        try:
            self._socket.sendall(raw)
        except ConnectionError as error:
            raise Closed from error

    def change_user(self, user: str, password: str, schema: str) -> bytes:
        """COM_CHANGE_USER; the last packet of the exchange, without its sequence id."""
        self._password = password
        parts = (
            bytes((c.COM_CHANGE_USER,)),
            user.encode() + b"\0",
            self._answer(),
            schema.encode() + b"\0",
            UTF8MB4_GENERAL_CI.to_bytes(2, "little"),
            self._plugin.encode() + b"\0",
        )
        self.tell(frame(b"".join(parts)))
        return self._authenticate()

    def close(self) -> None:
        """Say goodbye, wait for the other side to hang up, and close."""
        with self._socket:
            try:
                self._socket.sendall(frame(bytes((c.COM_QUIT,))))
                while self._socket.recv(65536):
                    pass
            except OSError:
                pass

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except ConnectionError as error:
            raise Closed from error
        if not data:
            raise Closed
        return data

    def _packet(self) -> bytes:
        """The next packet of the login, header included."""
        while (end := message_end(self._early, 0)) < 0:
            self._early += self._receive()
        packet, self._early = self._early[:end], self._early[end:]
        return packet

    def _login(self, user: str, schema: str) -> bytes:
        greeting = payload_of(self._packet())
        if greeting[0] == c.ERR_HEADER:
            raise Closed(str(parse_error(greeting)))
        at = greeting.index(b"\0", 1) + 1 + 4  # behind the version and the thread id
        self._nonce = greeting[at : at + 8] + greeting[at + 27 : at + 39]
        self._plugin = greeting[at + 40 :].rstrip(b"\0").decode()
        parts = (
            (self.capabilities & 0xFFFFFFFF).to_bytes(4, "little"),
            (1 << 24).to_bytes(4, "little"),
            bytes((UTF8MB4_GENERAL_CI,)),
            bytes(19),
            (self.capabilities >> 32).to_bytes(4, "little"),
            user.encode() + b"\0",
            self._answer(),
            schema.encode() + b"\0" if schema else b"",
            self._plugin.encode() + b"\0",
        )
        self.tell(frame(b"".join(parts), 1))
        return self._authenticate()

    def _authenticate(self) -> bytes:
        """Go on until the server accepts or refuses; its verdict without the sequence id."""
        while True:
            packet = self._packet()
            if packet[4] == c.EOF_HEADER:
                plugin, nonce = packet[5:].split(b"\0", 1)
                self._plugin, self._nonce = plugin.decode(), nonce.rstrip(b"\0")
                self.tell(frame(self._answer()[1:], packet[3] + 1))
            elif packet[4:] != FAST_OK:
                # A server that has not seen the account's password asks for it: somebody has to log in before.
                assert packet[4] in (c.OK_HEADER, c.ERR_HEADER), packet
                return packet[:3] + packet[4:]

    def _answer(self) -> bytes:
        """What shows that it has the password, with its length ahead of it."""
        answer = SCRAMBLES[self._plugin](self._password, self._nonce)
        return bytes((len(answer),)) + answer


def parameters(values: "tuple[Value, ...]", *, with_types: bool) -> bytes:
    """The tail of a COM_STMT_EXECUTE. A value of None is NULL, one of `Sent` came as long data."""
    nulls = bytearray((len(values) + 7) // 8)
    types = b""
    data = b""
    for index, value in enumerate(values):
        if value is None:
            nulls[index // 8] |= 1 << index % 8
            types += b"\x06\x00"
        elif isinstance(value, Sent):
            types += b"\xfc\x00"
        elif isinstance(value, int):
            types += b"\x08\x00"
            data += value.to_bytes(8, "little", signed=True)
        else:
            types += b"\xfd\x00"
            data += lenenc_str(value.encode())
    if not values:
        return b""
    return bytes(nulls) + (b"\x01" + types if with_types else b"\x00") + data


class Sent:
    """A parameter whose value went ahead with COM_STMT_SEND_LONG_DATA."""

    def __repr__(self) -> str:
        return "SENT"


SENT: Final = Sent()
Value = int | str | Sent | None
