"""What caching_sha2_password stores: SHA-256 crypt over a salt longer than crypt(3) takes, so that no library does it.

    $A$005$<20 bytes of salt><43 characters of digest>         005: thousands of rounds, in hexadecimal

The algorithm is Ulrich Drepper's (https://www.akkadia.org/drepper/SHA-crypt.txt), with its default 5000 rounds.
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

_SALT: Final = 20
_DIGEST: Final = 43
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_THOUSANDS: Final = range(5, 0x1000)  # what the server takes for the rounds
_LONGEST_PASSWORD: Final = 256  # bytes; MAX_PLAINTEXT_LENGTH of the server's plugin


@dataclass(frozen=True, slots=True)
class StoredSha2:
    """One account's stored password, taken apart."""

    rounds: int
    salt: bytes = field(repr=False)
    digest: str = field(repr=False)

    @classmethod
    def parse(cls, stored: str) -> "StoredSha2 | None":
        """None for what no password fits."""
        parts = stored.split("$", 3)
        if len(parts) != 4 or parts[0] or parts[1] != "A" or len(parts[3]) != _SALT + _DIGEST:
            return None
        try:
            thousands = int(parts[2], 16)
            salt = parts[3][:_SALT].encode("latin-1")
        except ValueError:
            return None
        return cls(1000 * thousands, salt, parts[3][_SALT:]) if thousands in _THOUSANDS else None

    def fits(self, password: bytes) -> bool:
        """Takes some ten milliseconds, by design: not for the event loop's thread."""
        if not password or len(password) > _LONGEST_PASSWORD:
            return False
        return hmac.compare_digest(sha256_crypt(password, self.salt, self.rounds).encode(), self.digest.encode())


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """The 43 characters of the digest."""
    size = len(password)
    other = sha256(password + salt + password).digest()
    first = sha256(password + salt + _repeated(other, size))
    bits = size
    while bits:
        first.update(other if bits & 1 else password)
        bits >>= 1
    mixed = first.digest()
    by_password = _repeated(sha256(password * size).digest(), size)
    by_salt = _repeated(sha256(salt * (16 + mixed[0])).digest(), len(salt))
    for turn in range(rounds):
        one = sha256(by_password if turn & 1 else mixed)
        if turn % 3:
            one.update(by_salt)
        if turn % 7:
            one.update(by_password)
        one.update(mixed if turn & 1 else by_password)
        mixed = one.digest()
    return _encoded(mixed)


def _repeated(digest: bytes, size: int) -> bytes:
    return (digest * (size // len(digest) + 1))[:size]


def _encoded(digest: bytes) -> str:
    """crypt(3)'s base 64: three bytes at a time, in an order of its own, the lowest bits first."""
    text = [
        _letters(digest[one] << 16 | digest[(one + 10) % 30] << 8 | digest[(one + 20) % 30], 4)
        for one in (at * 21 % 30 for at in range(10))
    ]
    text.append(_letters(digest[31] << 8 | digest[30], 3))
    return "".join(text)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * at & 63] for at in range(count))
