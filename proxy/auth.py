"""The server side of mysql_native_password and caching_sha2_password: the rounds of their exchanges.

Packets go out and come in through an Exchange; this module knows no socket, no timeout and no other packet.

    client's answer to the greeting -> made with a plugin of ours, for our nonce? -> the plugin decides
                                    -> otherwise AuthSwitchRequest, an answer      -> the plugin decides
    the plugin may ask for more (AuthMoreData, an answer) until it says Success or Forbidden

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods.html
https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from proxy.hello import auth_more_data, auth_switch_request
from proxy.proof import (
    CACHING_SHA2,
    FAST_AUTH_OK,
    NATIVE_PASSWORD,
    NOBODY,
    Account,
    Answer,
    Proof,
    has_to_switch,
    native_matches,
    native_proof,
    plugin_of,
    sha2_matches,
    xor,
)

if TYPE_CHECKING:  # imported where a key is needed, which most proxies never do
    from cryptography.hazmat.primitives.asymmetric import rsa

PERFORM_FULL_AUTHENTICATION: Final = b"\x04"
REQUEST_PUBLIC_KEY: Final = b"\x02"

RSA_BITS: Final = 2048


class Denied(Exception):
    """The client could not prove who it is. `used_password` is what the error's text says."""

    def __init__(self, used_password: bool) -> None:
        super().__init__("access denied")
        self.used_password = used_password


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
        return None if plain is None else xor(plain, nonce)


_KEY: Final = RsaKey()
PLUGINS: Final[Mapping[str, Plugin]] = {NATIVE_PASSWORD: NativePassword(), CACHING_SHA2: CachingSha2(_KEY)}


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
    known: Account = account if account is not None else NOBODY
    plugin = plugin_of(answer, account.plugin if account is not None else plugin_of_unknown, default_plugin)
    switch = has_to_switch(answer, plugin)
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
