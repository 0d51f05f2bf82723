"""Values in the operator's notation: durations, sizes, addresses.

Knows how one value is written and what to write instead when it is not. It must not know which setting the value
is for, nor where it stood. Every refusal is a `SettingError`, whose text never repeats a secret.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

DURATION_HINT: Final = 'write a duration such as 10 (seconds), "200ms", "10s", "5m" or "8h"'
SIZE_HINT: Final = 'write a size such as 1048576 (bytes), "64KiB", "1MiB" or "64MB"'

_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
# A bare K, M or G is binary as in the server's own option files: max_allowed_packet=64M means 64 * 2**20.
_SIZE_UNITS: Final = {
    "b": 1,
    "k": 2**10,
    "kib": 2**10,
    "kb": 10**3,
    "m": 2**20,
    "mib": 2**20,
    "mb": 10**6,
    "g": 2**30,
    "gib": 2**30,
    "gb": 10**9,
}
_QUANTITY: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)\s*", re.ASCII)
# Timers take no greater numbers, and nobody means them.
_LONGEST: Final = 10 * 365 * 86400.0
_LARGEST: Final = 2**50
_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)


class SettingError(ValueError):
    """A value that cannot stand, with what to write instead.

    `key` says which setting of a table, or which entry of an array, when the refusal is found while reading the whole.
    """

    def __init__(self, message: str, hint: str, key: str | int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key


def parse_duration(value: object) -> float:
    """Seconds from a number of seconds or from text with a unit: 10, 0.2, "200ms", "5m". Raises `SettingError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SettingError(f"a duration is expected, not {describe(value)}", DURATION_HINT)
    if isinstance(value, str):
        number, unit = _quantity(value, "duration", _DURATION_UNITS, DURATION_HINT, bare_unit="s")
        seconds: int | float = float(number) * _DURATION_UNITS[unit]
    else:
        seconds = value
    if not -_LONGEST <= seconds <= _LONGEST:  # not a number is refused too
        raise SettingError("the duration is not within ten years", DURATION_HINT)
    return float(seconds)


def parse_size(value: object) -> int:
    """Bytes from a number of bytes or from text with a unit: 1048576, "1MiB" (2**20), "1MB" (10**6), "1M" (2**20).

    Raises `SettingError`.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise SettingError(f"a size is expected, not {describe(value)}", SIZE_HINT)
    if isinstance(value, str):
        number, unit = _quantity(value, "size", _SIZE_UNITS, SIZE_HINT, bare_unit="b")
        size = Decimal(number) * _SIZE_UNITS[unit]
        if size != int(size):
            raise SettingError(f'"{value}" is not a whole number of bytes', SIZE_HINT)
        value = int(size)
    if not -_LARGEST <= value <= _LARGEST:
        raise SettingError("the size is more than 2**50 bytes", SIZE_HINT)
    return value


def _quantity(text: str, what: str, units: Mapping[str, float], hint: str, bare_unit: str) -> tuple[str, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise SettingError(f'"{text}" is no {what}', hint)
    unit = match[2].lower() or bare_unit
    if unit not in units:
        raise SettingError(f'"{text}" is no {what}: unknown unit "{match[2]}"', hint)
    return match[1], unit


def format_duration(seconds: float) -> str:
    """Seconds as an operator would write them, to six digits: 0.2 is 200ms, 300 is 5m."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        count = seconds / _DURATION_UNITS[unit]
        if count == int(count):
            return f"{int(count)}{unit}"
    milliseconds = round(seconds * 1000, 9)
    return f"{milliseconds:g}ms" if seconds < 1 else f"{seconds:g}s"


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads back as the same number of bytes."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def describe(value: object) -> str:
    """The kind of a value in TOML's own words, for "expected x, not y". Never the value: it may be a secret."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A TCP address. `host` is a name or an IP address in lower case and without brackets; equal text means equal
    address, but two names of one machine are two addresses."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int | None = None, *, any_port: bool = False) -> Self:
        """Reads "host:port", "host" where there is a default port, "[::1]:3306" or "[::1]".

        Port 0 (let the kernel choose) is accepted only with `any_port`. Raises `SettingError`.
        """
        example = (
            'write host:port, such as "10.0.0.1:3306" or "[::1]:3306"'
            if default_port is None
            else f'write host or host:port, such as "10.0.0.1", "db1.example:{default_port}" or "[::1]:{default_port}"'
        )
        bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
        if bracketed:
            host, port_text = bracketed[1], bracketed[2]
            host = _ipv6(host, text, example)
        elif text.count(":") > 1:
            # "::1:3306" is itself an IPv6 address: without brackets nobody can tell where the port begins.
            raise SettingError(
                f'"{text}" has several colons', 'write an IPv6 address in brackets, such as "[::1]:3306"'
            )
        else:
            host, colon, rest = text.partition(":")
            port_text = rest if colon else None
            if not host:
                raise SettingError(f'"{text}" has no host', f'{example}; "0.0.0.0:3306" means every IPv4 address')
            host = _name_or_ipv4(host, text, example)
        if port_text is None:
            if default_port is None:
                raise SettingError(f'"{text}" has no port', example)
            return cls(host, default_port)
        if not re.fullmatch(r"[0-9]{1,5}", port_text, re.ASCII) or int(port_text) > 65535:
            raise SettingError(f'"{text}" has no valid port', f"a port is a number from 1 to 65535; {example}")
        port = int(port_text)
        if port == 0 and not any_port:
            raise SettingError(f'"{text}" has port 0', example)
        return cls(host, port)

    @property
    def every(self) -> bool:
        """True for 0.0.0.0 and ::, which stand for every address of the machine."""
        return self.host in ("0.0.0.0", "::")

    def overlaps(self, other: "Address") -> bool:
        """Whether a listener on one takes connections meant for the other (or keeps it from being bound)."""
        return self.port == other.port != 0 and (self.host == other.host or self.every or other.every)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _ipv6(host: str, text: str, example: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise SettingError(f'"{text}" has no valid IPv6 address in its brackets', example) from None


def _name_or_ipv4(host: str, text: str, example: str) -> str:
    host = host.lower()
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        # A last label of digits only is never a host name (RFC 3696, section 2): it is an IPv4 address or a slip.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise SettingError(f'"{text}" has no valid IPv4 address', example) from None
    if len(host) > 253 or not all(len(label) <= 63 and _HOST_LABEL.fullmatch(label) for label in labels):
        raise SettingError(f'"{text}" has no valid host name', example)
    return host
