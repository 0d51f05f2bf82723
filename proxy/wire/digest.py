"""A digest of a reply: what must be equal in it and its repetition.

The hash is one that takes a twentieth of the time of cryptographic ones. Who writes what others read cannot choose two
values of one digest all the same: it depends on a number that each process draws for itself, and never leaves it.
"""

import secrets
from typing import Final

from xxhash import xxh3_128

DIGEST_SIZE: Final = 16
"""Bytes, of a long reply. A digest that is a reply would have to be found among 2**128."""

_SEED: Final = secrets.randbits(64)

SHORT: Final = 48
"""Bytes up to which a reply is its own digest, as most OK packets are: hashing takes longer than all else."""


class ReplyDigest:
    """Is given a reply, or what counts of it, chunk by chunk, and does not depend on the cuts."""

    __slots__ = ("_hash", "_short", "length")

    def __init__(self) -> None:
        self._hash: xxh3_128 | None = None
        self._short = b""
        self.length = 0  # bytes that went in

    def update(self, data: bytes) -> None:
        self.length += len(data)
        if self._hash is not None:
            self._hash.update(data)
        elif self.length <= SHORT:
            self._short += data
        else:
            self._hash = xxh3_128(self._short + data, _SEED)
            self._short = b""

    def digest(self) -> bytes:
        return self._short if self._hash is None else self._hash.digest()
