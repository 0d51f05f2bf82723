"""The PROXY protocol: the header with which a load balancer says for whom it connects. Bytes in, bytes out.

Versions 1 (a line of text) and 2 (binary) are read, version 2 is written. A header is read exactly: `missing` says
how many bytes are certain to belong to it. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

import ipaddress
from typing import Final

from proxy.wire.framing import ProtocolError

BEGINS: Final = 4
"""Bytes that tell a header from a packet of a client's: as a packet's header they would have sequence id 88 or 10."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
_V1_LONGEST: Final = 107
_V2_FIXED: Final = 16
_MOST: Final = 4096
"""Bytes of a header that are read. Its addresses take 52 or, of Unix sockets, 232; the rest is notes that we skip."""

_LOCAL: Final = 0x20  # version 2, the balancer speaks for itself
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21

Address = tuple[str, int]


def begins(data: bytes) -> bool:
    """Whether these BEGINS bytes begin a header."""
    return data in (_V1[:BEGINS], _V2[:BEGINS])


def missing(header: bytes) -> int:
    """How many bytes more are certain to belong to a header of which at least BEGINS are here; 0: it is whole.

    Raises ProtocolError for what is none.
    """
    size = len(header)
    if header[:1] == _V1[:1]:
        if size < _V1_SHORTEST:
            return _V1_SHORTEST - size
        if header.endswith(b"\r\n"):
            return 0
        if size >= _V1_LONGEST or not header.startswith(_V1) or b"\r" in header[:-1]:
            raise ProtocolError("not a line of the PROXY protocol")
        return 1 if header.endswith(b"\r") else 2
    if size < _V2_FIXED:
        return _V2_FIXED - size
    whole = _V2_FIXED + int.from_bytes(header[14:16], "big")
    if not header.startswith(_V2) or whole > _MOST:
        raise ProtocolError("not a header of the PROXY protocol")
    return whole - size


def client(header: bytes) -> Address | None:
    """The client's address and port in a whole header; None: the one who connected speaks for itself, or says nothing.

    Raises ProtocolError.
    """
    try:
        return _client_v1(header) if header[:1] == _V1[:1] else _client_v2(header)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"no address in a header of the PROXY protocol: {error}") from None


def _client_v1(header: bytes) -> Address | None:
    words = header[:-2].decode("ascii").split(" ")
    if words[:1] != ["PROXY"]:
        raise ValueError("another word in front")
    if words[1] == "UNKNOWN":  # whatever follows
        return None
    family = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}.get(words[1])
    if family is None or len(words) != 6:
        raise ValueError("not TCP4 or TCP6 with two addresses and two ports")
    _, _, host, destination, port, destination_port = words
    family(destination)
    _port(destination_port)
    return _host(str(family(host))), _port(port)


def _client_v2(header: bytes) -> Address | None:
    command, family = header[12], header[13]
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise ValueError("neither version 2 nor LOCAL nor PROXY")
    rest = header[_V2_FIXED:]
    if family == _TCP4 and len(rest) >= 12:
        return str(ipaddress.IPv4Address(rest[:4])), int.from_bytes(rest[8:10], "big")
    if family == _TCP6 and len(rest) >= 36:
        return _host(str(ipaddress.IPv6Address(rest[:16]))), int.from_bytes(rest[32:34], "big")
    if family in (_TCP4, _TCP6):
        raise ValueError("too short")
    return None  # UDP, a Unix socket, unspecified: nothing that a client of ours can have


def _host(text: str) -> str:
    """An IPv4 address that came as an IPv6 one is the IPv4 address."""
    mapped = ipaddress.ip_address(text)
    if isinstance(mapped, ipaddress.IPv6Address) and mapped.ipv4_mapped is not None:
        return str(mapped.ipv4_mapped)
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 0xFFFF:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def header_for(host: str, destination: Address) -> bytes:
    """A header of version 2 for connections on behalf of clients from `host`, whatever their ports; one that speaks
    for ourselves if that is no address (a Unix socket's "localhost").
    """
    try:
        source = ipaddress.ip_address(host.partition("%")[0])
        target = ipaddress.ip_address(destination[0].partition("%")[0])
    except ValueError:
        return _V2 + bytes((_LOCAL, 0, 0, 0))
    if source.version == target.version == 4:
        family, addresses = _TCP4, source.packed + target.packed
    else:
        family, addresses = _TCP6, _as_ipv6(source) + _as_ipv6(target)
    body = addresses + bytes(2) + destination[1].to_bytes(2, "big")
    return _V2 + bytes((_PROXY, family)) + len(body).to_bytes(2, "big") + body


def _as_ipv6(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
