"""Who the client is: the server side of mysql_native_password and caching_sha2_password, and the rounds of their
exchanges.

Packets go out and come in through an Exchange; this module knows no socket, no timeout and no other packet.

    client's answer to the greeting -> made with a plugin of ours, for our nonce? -> the plugin decides
                                    -> otherwise AuthSwitchRequest, an answer      -> the plugin decides
    the plugin may ask for more (AuthMoreData, an answer) until it says Success or Forbidden

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods.html
https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
"""

import asyncio
import hmac
import os
import secrets
import string
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from hashlib import sha1, sha256
from typing import TYPE_CHECKING, Final, Protocol

from proxy.hello import NONCE_LENGTH
from router.answers import Answer as ErrorAnswer

if TYPE_CHECKING:  # imported where a key is needed, which most proxies never do
    from cryptography.hazmat.primitives.asymmetric import rsa

NATIVE_PASSWORD: Final = "mysql_native_password"  # noqa: S105 - a plugin's name
CACHING_SHA2: Final = "caching_sha2_password"

FAST_AUTH_OK: Final = b"\x03"
PERFORM_FULL_AUTHENTICATION: Final = b"\x04"
REQUEST_PUBLIC_KEY: Final = b"\x02"

RSA_BITS: Final = 2048

_LETTERS: Final = (string.ascii_letters + string.digits).encode()
_FAIR: Final = 256 // len(_LETTERS) * len(_LETTERS)
"""Random bytes from here on are thrown away, so that each letter is as likely as any other."""
_LETTER_OF: Final = bytes(_LETTERS[byte % len(_LETTERS)] for byte in range(256))
_UNFAIR: Final = bytes(range(_FAIR, 256))


def new_nonce() -> bytes:
    """A fresh challenge of 20 ASCII letters and digits.

    No NUL, which ends the field, and no '$', which separates the parts of a stored sha2 password.
    """
    made = b""
    while len(made) < NONCE_LENGTH:  # once, but for one time in some millions
        made += os.urandom(32).translate(_LETTER_OF, _UNFAIR)
    return made[:NONCE_LENGTH]


def auth_switch_request(plugin: str, data: bytes) -> bytes:
    """Payload that asks the client to start again with `plugin`
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html)."""
    return b"\xfe" + plugin.encode() + b"\0" + data


def auth_more_data(data: bytes) -> bytes:
    """Payload that carries one more message of the plugin in use
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_more_data.html)."""
    return b"\x01" + data


class Account(Protocol):
    """What the plugins ask of an account."""

    @property
    def name(self) -> str: ...

    @property
    def plugin(self) -> str | None:
        """The only one that it can log in with; None: any of ours."""

    @property
    def native_digest(self) -> bytes | None:
        """SHA1(SHA1(password)), b"" for an empty password; None if not known: mysql_native_password fails then."""

    @property
    def sha2_digest(self) -> bytes | None:
        """SHA256(SHA256(password)), enough for the fast exchange; None while it is not known, which leads to the full
        one."""

    async def verify(self, password: bytes) -> bool:
        """Whether this is the password, in time that does not depend on it."""

    async def renew(self) -> bool:
        """Looks again at where the digests came from, after one did not fit; whether something changed."""

    def objection(self, host: str, *, tls: bool) -> ErrorAnswer | None:
        """What keeps a client out that proved who it is."""


class Finder(Protocol):
    """Knows the accounts."""

    @property
    def plugin_of_unknown(self) -> str | None:
        """What a name that nobody has is asked for; None: whatever the client proposes."""

    def known(self, name: str, host: str) -> Account | None:
        """The account of a client that gives this name, from an address or "localhost" (a Unix socket).

        None: nobody has the name, or it takes time to tell: find() knows.
        """

    async def find(self, name: str, host: str) -> Account | None:
        """As known(), after whatever has to be waited for; None: nobody has the name.

        Raises Refused for one that cannot log in here, whatever its password.
        """


@dataclass(frozen=True, slots=True)
class PasswordAccount:
    """An account whose password is in the configuration."""

    name: str
    native_digest: bytes | None = field(repr=False)
    sha2_digest: bytes | None = field(repr=False)
    plugin: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, name: str, password: str, plugin: str | None = None) -> "PasswordAccount":
        """Only digests are kept; they are made once, not at each login."""
        secret = password.encode()
        native = sha1(sha1(secret).digest()).digest() if secret else b""  # noqa: S324 - the plugin's definition
        # Without it a client that cannot be told to switch to another plugin does not get in.
        allowed = plugin in (None, NATIVE_PASSWORD)
        return cls(name, native if allowed else None, sha256(sha256(secret).digest()).digest(), plugin)

    async def verify(self, password: bytes) -> bool:
        return hmac.compare_digest(sha256(sha256(password).digest()).digest(), self.sha2_digest or b"")

    async def renew(self) -> bool:
        return False

    def objection(self, host: str, *, tls: bool) -> None:
        return None


# An unknown name goes through the same motions against this account: neither time nor packets tell which names exist.
_NOBODY: Final = PasswordAccount.of("", secrets.token_hex(32))


class Denied(Exception):
    """The client could not prove who it is. `used_password` is what the error's text says."""

    def __init__(self, used_password: bool) -> None:
        super().__init__("access denied")
        self.used_password = used_password


class Refused(Exception):
    """The client is not let in for a reason of its account's, with the error that says it."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.text)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Proof:
    """Who the client is, and what it showed of its password."""

    account: Account
    native_key: bytes | None = field(repr=False)
    """SHA1(password), b"" for an empty password; None where mysql_native_password was not what it used."""


class Exchange(Protocol):
    """Whole packets to and from one client, sequence ids kept by whoever implements it."""

    def send(self, payload: bytes) -> None: ...

    async def receive(self) -> bytes:
        """The payload of the client's next packet.

        Raises ConnectionError when there is none, ProtocolError for a bad one.
        """


@dataclass(frozen=True, slots=True)
class LoginInfo:
    """What a plugin is told. `data`: what the client said last. `secure`: nobody can listen (TLS, Unix socket)."""

    account: Account
    nonce: bytes
    data: bytes = field(repr=False)
    secure: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """How an exchange ended. `last_message`: what the client is told before, without answering it."""

    granted: bool
    last_message: bytes | None = None


Rounds = AsyncGenerator[bytes | Decision, LoginInfo]
"""Yields messages for the client, is sent what the client said to each, and yields the decision last."""


class Plugin(Protocol):
    """One authentication method. The nonce has always been sent already."""

    def auth(self, info: LoginInfo) -> Rounds: ...


class NativePassword:
    """mysql_native_password: one answer, made of the password and the nonce."""

    async def auth(self, info: LoginInfo) -> Rounds:
        digest = info.account.native_digest
        if digest is None:
            yield Decision(False)
        elif not digest:
            yield Decision(not info.data)
        else:
            yield Decision(native_matches(digest, info.data, info.nonce))


def native_matches(digest: bytes, scramble: bytes, nonce: bytes) -> bool:
    """Whether `scramble` is SHA1(password) XOR SHA1(nonce + digest), digest being SHA1(SHA1(password))."""
    return native_proof(digest, scramble, nonce) is not None


def native_proof(digest: bytes, scramble: bytes, nonce: bytes) -> bytes | None:
    """SHA1(password), which is in a scramble for everyone who knows the digest; None if the scramble does not fit it.
    Enough to log in with the password to any server."""
    if len(scramble) != 20 or len(digest) != 20:
        return None
    key = _xor(scramble, sha1(nonce + digest).digest())  # noqa: S324 - the plugin's definition
    return key if hmac.compare_digest(sha1(key).digest(), digest) else None  # noqa: S324


def sha2_matches(digest: bytes, scramble: bytes, nonce: bytes) -> bool:
    """Whether `scramble` is SHA256(password) XOR SHA256(digest + nonce), digest being SHA256(SHA256(password))."""
    if len(scramble) != 32 or len(digest) != 32:
        return False
    stage1 = _xor(scramble, sha256(digest + nonce).digest())
    return hmac.compare_digest(sha256(stage1).digest(), digest)


def _xor(data: bytes, key: bytes) -> bytes:
    """`data` with `key` repeated over it."""
    size = len(data)
    over = key if len(key) == size else (key * (size // len(key) + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(over, "big")).to_bytes(size, "big")


class RsaKey:
    """The key with which a client without TLS hides its password. Made at first use, in a thread: it takes a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: rsa.RSAPrivateKey | None = None

    async def public_pem(self) -> bytes:
        """The public half, as the client reads it: PEM, SubjectPublicKeyInfo."""
        return await asyncio.get_running_loop().run_in_executor(None, self._public_pem)

    async def decrypt(self, ciphertext: bytes) -> bytes | None:
        """What the client encrypted with RSA-OAEP (SHA-1), or None if it was not for this key."""
        return await asyncio.get_running_loop().run_in_executor(None, self._decrypt, ciphertext)

    def _load(self) -> "rsa.RSAPrivateKey":
        from cryptography.hazmat.primitives.asymmetric import rsa

        with self._lock:
            if self._key is None:
                self._key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
            return self._key

    def _public_pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        public = self._load().public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def _decrypt(self, ciphertext: bytes) -> bytes | None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - what clients do
        try:
            return self._load().decrypt(ciphertext, oaep)
        except ValueError:
            return None


class CachingSha2:
    """caching_sha2_password: fast when the account's digest is known and the scramble fits it, full otherwise."""

    def __init__(self, key: RsaKey) -> None:
        self._key = key

    async def auth(self, info: LoginInfo) -> Rounds:
        nonce = info.nonce
        account = info.account
        scramble = info.data
        if scramble in (b"", b"\0"):  # an empty password: the client waits for OK or ERR, not for a message
            yield Decision(await account.verify(b""))
            return
        digest = account.sha2_digest
        if digest is not None and sha2_matches(digest, scramble, nonce):
            yield Decision(True, FAST_AUTH_OK)
            return
        # A wrong scramble is no refusal: the client may know a newer password than the digest was made of.
        info = yield PERFORM_FULL_AUTHENTICATION
        password: bytes | None
        if info.data == REQUEST_PUBLIC_KEY:
            info = yield await self._key.public_pem()
            password = await self._decrypted(info.data, nonce)
        elif info.secure:
            password = info.data
        else:  # a client that was given our public key beforehand does not ask for it
            password = await self._decrypted(info.data, nonce)
        right = password is not None and password.endswith(b"\0") and await account.verify(password[:-1])
        yield Decision(right)

    async def _decrypted(self, ciphertext: bytes, nonce: bytes) -> bytes | None:
        plain = await self._key.decrypt(ciphertext)
        return None if plain is None else _xor(plain, nonce)


_KEY: Final = RsaKey()
PLUGINS: Final[Mapping[str, Plugin]] = {NATIVE_PASSWORD: NativePassword(), CACHING_SHA2: CachingSha2(_KEY)}


@dataclass(slots=True, kw_only=True)
class Answer:
    """What the client said of itself: in the handshake response or in COM_CHANGE_USER.

    `plugin` is None for a client without CLIENT_PLUGIN_AUTH: it knows mysql_native_password only and cannot be told to
    switch. `data` can be relied on if the client knew that it was to be made with `data_plugin`.
    """

    name: str
    data: bytes = field(repr=False)
    plugin: str | None
    nonce: bytes
    """One for the whole connection, as the server does it: libmariadb's COM_CHANGE_USER does not take another."""
    data_plugin: str
    attributes: dict[str, str]
    secure: bool


async def authenticate(
    exchange: Exchange,
    answer: Answer,
    account: Account | None,
    *,
    default_plugin: str,
    plugin_of_unknown: str | None = None,
) -> Proof:
    """Runs the exchange to its end and returns the account (None: nobody has the name), or raises Denied.

    Neither OK nor ERR is sent: the caller has more to check first. `default_plugin` is asked for when the client
    proposed none of ours.
    """
    known: Account = account if account is not None else _NOBODY
    plugin = _plugin(answer, account.plugin if account is not None else plugin_of_unknown, default_plugin)
    switch = _has_to_switch(answer, plugin)
    info = LoginInfo(known, answer.nonce, answer.data, answer.secure)
    if switch:
        exchange.send(auth_switch_request(plugin, answer.nonce + b"\0"))
        info = replace(info, data=await exchange.receive())
    used_password = info.data not in (b"", b"\0")
    granted = await _granted(exchange, plugin, info)
    if plugin == NATIVE_PASSWORD and not granted and await known.renew():
        granted = await _granted(exchange, plugin, info)
    if not granted or account is None:
        raise Denied(used_password)
    if plugin != NATIVE_PASSWORD:
        return Proof(account, None)
    return Proof(account, native_proof(account.native_digest or b"", info.data, answer.nonce) if used_password else b"")


def at_once(answer: Answer, account: Account | None, *, default_plugin: str) -> tuple[Proof, bytes | None] | None:
    """The proof, if what the client has said is one, and a last message to it; None: authenticate() has to find out.

    Who is not known goes through the same motions.
    """
    known: Account = account if account is not None else _NOBODY
    plugin = _plugin(answer, known.plugin, default_plugin)
    if _has_to_switch(answer, plugin):
        return None
    proof: tuple[Proof, bytes | None] | None = None
    if plugin == NATIVE_PASSWORD:
        key = native_proof(known.native_digest or b"", answer.data, answer.nonce)
        if key is not None:
            proof = Proof(known, key), None
    elif sha2_matches(known.sha2_digest or b"", answer.data, answer.nonce):
        proof = Proof(known, None), FAST_AUTH_OK
    return proof if account is not None else None


def _plugin(answer: Answer, wanted: str | None, default_plugin: str) -> str:
    """The plugin that decides; `wanted` is the only one that the account can log in with."""
    if answer.plugin is None:
        return NATIVE_PASSWORD
    return wanted or (answer.plugin if answer.plugin in PLUGINS else default_plugin)


def _has_to_switch(answer: Answer, plugin: str) -> bool:
    """What the client has said was not made with that plugin."""
    return answer.plugin is not None and (plugin != answer.plugin or plugin != answer.data_plugin)


async def _granted(exchange: Exchange, plugin: str, info: LoginInfo) -> bool:
    """The plugin's rounds, up to its decision."""
    async with aclosing(PLUGINS[plugin].auth(info)) as rounds:
        decision = await anext(rounds)
        while isinstance(decision, bytes):
            exchange.send(auth_more_data(decision))
            decision = await rounds.asend(replace(info, data=await exchange.receive()))
        if decision.last_message is not None:
            exchange.send(auth_more_data(decision.last_message))
        return decision.granted
