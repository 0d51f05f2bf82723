"""What a client answers for MariaDB's client_ed25519: a signature of the server's challenge.

It is Ed25519 (RFC 8032) but for the key: the password itself, of any length, is hashed to the secret scalar and prefix,
where the standard has a seed of 32 bytes. So no library signs with it; this takes a few milliseconds, once for each new
connection to a node. https://mariadb.com/kb/en/authentication-plugin-ed25519/
"""

from hashlib import sha512
from typing import Final

PRIME: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, PRIME) % PRIME

Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z."""

_BASE_Y: Final = 4 * pow(5, -1, PRIME) % PRIME
_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE: Final[Point] = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % PRIME)
_NEUTRAL: Final[Point] = (0, 1, 1, 0)


def signature(password: bytes, challenge: bytes) -> bytes:
    """64 bytes, which prove the password to a server that has only the public key."""
    secret, prefix = _secret(password)
    public = _encoded(_times(secret, _BASE))
    nonce = _number(prefix, challenge)
    commitment = _encoded(_times(nonce, _BASE))
    answer = (nonce + _number(commitment, public, challenge) * secret) % ORDER
    return commitment + answer.to_bytes(32, "little")


def public_key(password: bytes) -> bytes:
    """What a server stores of it."""
    return _encoded(_times(_secret(password)[0], _BASE))


def _secret(password: bytes) -> tuple[int, bytes]:
    """RFC 8032, 5.1.5: the scalar with its bits set as they have to be, and the prefix of nonces."""
    digest = sha512(password).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | 1 << 254, digest[32:]


def _number(*parts: bytes) -> int:
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % ORDER


def _times(scalar: int, point: Point) -> Point:
    found = _NEUTRAL
    while scalar:
        if scalar & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        scalar >>= 1
    return found


def _sum(one: Point, other: Point) -> Point:
    """RFC 8032, 5.1.4; it holds for equal points, too."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % PRIME
    c = 2 * one[3] * other[3] * _D % PRIME
    d = 2 * one[2] * other[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, PRIME)
    return (y * inverse % PRIME | (x * inverse % PRIME & 1) << 255).to_bytes(32, "little")
