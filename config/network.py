"""Who is meant by a network in the settings: a range of addresses, everybody, or those on this machine's socket."""

import ipaddress
from dataclasses import dataclass
from typing import Self

from config.units import SettingError, describe

NETWORK_HINT = (
    'write a network or an address such as "10.0.0.0/8" or "::1", "localhost" for a Unix socket, or "*" for all'
)


@dataclass(frozen=True, slots=True)
class Network:
    """`range` None: everybody for "*", the clients of a Unix socket for "localhost"."""

    text: str
    range: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises `SettingError`."""
        if not isinstance(value, str):
            raise SettingError(f"a network is expected, not {describe(value)}", NETWORK_HINT)
        text = value.strip().lower()
        if text in ("*", "localhost"):
            return cls(text)
        try:
            found = ipaddress.ip_network(text)
        except ValueError as error:
            raise SettingError(f'"{value}" is no network: {error}', NETWORK_HINT) from None
        return cls(str(found), found)

    def holds(self, host: str) -> bool:
        """Whether a peer at `host`, an IP address or "localhost" for one on a Unix socket, is meant."""
        if self.range is None:
            return self.text in ("*", host)
        if host == "localhost":
            return False
        return ipaddress.ip_address(host.partition("%")[0]) in self.range

    def __str__(self) -> str:
        return self.text
