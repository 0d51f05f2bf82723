"""The PROXY protocol's headers: as its specification draws them, and what is none."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.framing import ProtocolError
from proxy.wire.proxied import BEGINS, begins, client, header_for, missing

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
TCP4 = bytes((127, 0, 0, 1, 10, 0, 0, 9)) + (50000).to_bytes(2, "big") + (3306).to_bytes(2, "big")
TCP6 = ipaddress.ip_address("2001:db8::1").packed * 2 + (50000).to_bytes(2, "big") + (3306).to_bytes(2, "big")


def v2(body: bytes = TCP4, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


WHOLE = [
    (b"PROXY TCP4 10.0.0.9 10.0.0.1 50000 3306\r\n", ("10.0.0.9", 50000)),
    (b"PROXY TCP6 2001:DB8:0::1 2001:db8::2 0 65535\r\n", ("2001:db8::1", 0)),
    (b"PROXY TCP6 ::ffff:10.0.0.9 ::1 1 2\r\n", ("10.0.0.9", 1)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff anything at all\r\n", None),
    (v2(), ("127.0.0.1", 50000)),
    (v2(TCP6, family=0x21), ("2001:db8::1", 50000)),
    (v2(TCP4 + b"\x02\0\x05hello"), ("127.0.0.1", 50000)),
    (v2(b"", command=0x20, family=0), None),
    (v2(TCP4, command=0x20), None),
    (v2(bytes(216), family=0x31), None),
    (v2(TCP4, family=0x12), None),
    (v2(b"", family=0), None),
]


@pytest.mark.parametrize(("header", "address"), WHOLE)
def test_headers(header: bytes, address: tuple[str, int] | None) -> None:
    assert begins(header[:BEGINS])
    assert client(header) == address


@pytest.mark.parametrize("header", [header for header, _ in WHOLE])
def test_a_header_is_read_to_its_end_and_not_a_byte_further(header: bytes) -> None:
    at = BEGINS
    while (more := missing(header[:at])) > 0:
        at += more
        assert at <= len(header)
    assert at == len(header)
    for at in range(BEGINS, len(header)):
        assert 0 < missing(header[:at]) <= len(header) - at


@pytest.mark.parametrize("data", [b"\x20\0\0\x01", b"PROY", b"\r\n\r\x01", b"GET ", b"\x50\x52\x4f\x01", b"\0\0\0\0"])
def test_packets_of_clients_begin_no_header(data: bytes) -> None:
    assert not begins(data)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXYTCP4 10.0.0.9 10.0.0.1 50000 3306",
        b"PROXY TCP4 10.0.0.9\r10.0.0.1",
        b"PROXY UNKNOWN " + b"x" * 93,
        v2()[:11] + b"\x0b" + v2()[12:],
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header_is_refused_unread(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        missing(header)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 10.0.0.9 10.0.0.1 50000\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 50000 65536\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 -1 3306\r\n",
        b"PROXY TCP4 ::1 10.0.0.1 1 3306\r\n",
        b"PROXY TCP6 10.0.0.9 10.0.0.1 1 3306\r\n",
        b"PROXY TCP4 name 10.0.0.1 1 3306\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 1 3306 7\r\n",
        b"PROXY UDP4 10.0.0.9 10.0.0.1 1 3306\r\n",
        b"PROXY \xff\xff\xff\xff\xff\xff\xff\r\n",
        b"PROXY         \r\n",
        v2(TCP4[:11]),
        v2(TCP6[:35], family=0x21),
        v2(command=0x22),
        v2(command=0x11),
    ],
)
def test_a_header_without_an_address_is_refused(header: bytes) -> None:
    assert missing(header) == 0
    with pytest.raises(ProtocolError):
        client(header)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda rest: b"PROXY " + rest),
                 st.binary(max_size=200).map(lambda rest: SIGNATURE + rest)))  # fmt: skip
def test_anything_is_read_or_refused(data: bytes) -> None:
    if len(data) < BEGINS or not begins(data[:BEGINS]):
        return
    try:
        if missing(data) == 0:
            client(data)
    except ProtocolError:
        pass


@pytest.mark.parametrize(
    ("host", "destination", "length"),
    [
        ("10.0.0.9", "10.0.0.1", 12),
        ("2001:db8::1", "::1", 36),
        ("10.0.0.9", "::1", 36),
        ("2001:db8::1", "10.0.0.1", 36),
    ],
)
def test_our_own_headers_say_the_address_and_no_port(host: str, destination: str, length: int) -> None:
    header = header_for(host, (destination, 3306))
    assert len(header) == 16 + length
    assert missing(header) == 0
    assert client(header) == (host, 0)


def test_for_a_client_without_address_we_speak_for_ourselves() -> None:
    for header in (header_for("localhost", ("10.0.0.1", 3306)), header_for("10.0.0.9", ("/run/s", 0))):
        assert header == SIGNATURE + b"\x20\0\0\0"
        assert (missing(header), client(header)) == (0, None)
