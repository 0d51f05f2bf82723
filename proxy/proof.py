"""Who the client says it is, and whether what it shows proves that: scrambles of mysql_native_password and
caching_sha2_password, and the accounts that they are held against.

Pure but for the random bytes of a nonce. What needs more than the client's first answer is asked for in auth.py.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods.html
"""

import hmac
import os
import secrets
import string
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Final, Protocol

from proxy.hello import NONCE_LENGTH
from router.answers import Answer as ErrorAnswer

NATIVE_PASSWORD: Final = "mysql_native_password"  # noqa: S105 - a plugin's name
CACHING_SHA2: Final = "caching_sha2_password"

FAST_AUTH_OK: Final = b"\x03"
OURS: Final = frozenset((NATIVE_PASSWORD, CACHING_SHA2))

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
NOBODY: Final = PasswordAccount.of("", secrets.token_hex(32))


class Refused(Exception):
    """The client is not let in for a reason of its account's, with the error that says it."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.text)
        self.answer = answer


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


@dataclass(frozen=True, slots=True)
class Proof:
    """Who the client is, and what it showed of its password."""

    account: Account
    native_key: bytes | None = field(repr=False)
    """SHA1(password), b"" for an empty password; None where mysql_native_password was not what it used."""


def native_matches(digest: bytes, scramble: bytes, nonce: bytes) -> bool:
    """Whether `scramble` is SHA1(password) XOR SHA1(nonce + digest), digest being SHA1(SHA1(password))."""
    return native_proof(digest, scramble, nonce) is not None


def native_proof(digest: bytes, scramble: bytes, nonce: bytes) -> bytes | None:
    """SHA1(password), which is in a scramble for everyone who knows the digest; None if the scramble does not fit it.
    Enough to log in with the password to any server."""
    if len(scramble) != 20 or len(digest) != 20:
        return None
    key = xor(scramble, sha1(nonce + digest).digest())  # noqa: S324 - the plugin's definition
    return key if hmac.compare_digest(sha1(key).digest(), digest) else None  # noqa: S324


def sha2_matches(digest: bytes, scramble: bytes, nonce: bytes) -> bool:
    """Whether `scramble` is SHA256(password) XOR SHA256(digest + nonce), digest being SHA256(SHA256(password))."""
    if len(scramble) != 32 or len(digest) != 32:
        return False
    stage1 = xor(scramble, sha256(digest + nonce).digest())
    return hmac.compare_digest(sha256(stage1).digest(), digest)


def xor(data: bytes, key: bytes) -> bytes:
    """`data` with `key` repeated over it."""
    size = len(data)
    over = key if len(key) == size else (key * (size // len(key) + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(over, "big")).to_bytes(size, "big")


def at_once(answer: Answer, account: Account | None, *, default_plugin: str) -> tuple[Proof, bytes | None] | None:
    """The proof, if what the client has said is one, and a last message to it; None: authenticate() has to find out.

    Who is not known goes through the same motions.
    """
    known: Account = account if account is not None else NOBODY
    plugin = plugin_of(answer, known.plugin, default_plugin)
    if has_to_switch(answer, plugin):
        return None
    proof: tuple[Proof, bytes | None] | None = None
    if plugin == NATIVE_PASSWORD:
        key = native_proof(known.native_digest or b"", answer.data, answer.nonce)
        if key is not None:
            proof = Proof(known, key), None
    elif sha2_matches(known.sha2_digest or b"", answer.data, answer.nonce):
        proof = Proof(known, None), FAST_AUTH_OK
    return proof if account is not None else None


def plugin_of(answer: Answer, wanted: str | None, default_plugin: str) -> str:
    """The plugin that decides; `wanted` is the only one that the account can log in with."""
    if answer.plugin is None:
        return NATIVE_PASSWORD
    return wanted or (answer.plugin if answer.plugin in OURS else default_plugin)


def has_to_switch(answer: Answer, plugin: str) -> bool:
    """What the client has said was not made with that plugin."""
    return answer.plugin is not None and (plugin != answer.plugin or plugin != answer.data_plugin)
