"""The first packets of a connection, byte by byte as the manual draws them, and what strangers make of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hello import OFFERED, greeting, parse_change_user, parse_response
from proxy.wire import constants as c
from proxy.wire.framing import ProtocolError
from tests.proxy.login_client import (
    CLIENT_FLAGS,
    NATIVE,
    PASSWORD,
    VERSION,
    com_change_user,
    native_scramble,
    response,
)

# The greeting


def test_the_greeting_is_what_a_mariadb_server_sends() -> None:
    """Checked against the bytes of MariaDB 10.11's greeting, with our capabilities in place of its: those of its own
    are in the last four of the ten bytes that are zero at MySQL.
    """
    made = greeting(VERSION, 0x01020304, b"abcdefghijklmnopqrst", OFFERED, plugin=NATIVE, collation=45, status=2)
    assert made == (
        b"\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0\x04\x03\x02\x01abcdefgh\0"
        + (OFFERED & 0xFFFF).to_bytes(2, "little")
        + b"\x2d\x02\x00"
        + (OFFERED >> 16 & 0xFFFF).to_bytes(2, "little")
        + b"\x15"
        + bytes(6)
        + (OFFERED >> 32).to_bytes(4, "little")
        + b"ijklmnopqrst\0mysql_native_password\0"
    )


def test_a_greeting_without_plugins_names_none() -> None:
    offered = OFFERED & ~c.CLIENT_PLUGIN_AUTH & 0xFFFFFFFF
    made = greeting("8", 1, b"abcdefghijklmnopqrst", offered, plugin=NATIVE, collation=45, status=2)
    assert made.endswith(b"\0" + bytes(10) + b"ijklmnopqrst\0")


BULK = c.MARIADB_CLIENT_STMT_BULK_OPERATIONS


def test_mariadbs_own_capabilities_are_read_from_its_own_clients_only() -> None:
    """A client that sets the bit that MariaDB calls CLIENT_MYSQL may have anything in the filler."""
    speaks = CLIENT_FLAGS & ~c.CLIENT_MYSQL | BULK
    assert parse_response(response("app", flags=speaks), OFFERED).capabilities == speaks
    assert parse_response(response("app", flags=speaks | c.CLIENT_MYSQL), OFFERED).capabilities == CLIENT_FLAGS
    assert parse_response(response("app", flags=speaks), OFFERED & ~BULK).capabilities == speaks & ~BULK


def test_what_is_not_spoken_is_not_offered() -> None:
    not_spoken = (
        c.MARIADB_CLIENT_PROGRESS,
        c.MARIADB_CLIENT_COM_MULTI,
        c.MARIADB_CLIENT_CACHE_METADATA,
        c.CLIENT_COMPRESS,
        c.CLIENT_ZSTD_COMPRESSION_ALGORITHM,
        c.CLIENT_ODBC,
        c.CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS,
        c.CLIENT_SSL,
    )
    assert [flag for flag in not_spoken if OFFERED & flag] == []


# The handshake response as bytes

FULL = response(
    "app", native_scramble(PASSWORD, b"n" * 20), database="shop", attributes={"_os": "Linux", "program_name": "x"}
)


def test_every_field_of_a_response() -> None:
    parsed = parse_response(FULL, OFFERED)
    assert parsed.capabilities == CLIENT_FLAGS | c.CLIENT_CONNECT_WITH_DB | c.CLIENT_CONNECT_ATTRS
    assert (parsed.name, parsed.database, parsed.plugin, parsed.collation) == ("app", "shop", NATIVE, 45)
    assert parsed.data == native_scramble(PASSWORD, b"n" * 20)
    assert parsed.attributes == {"_os": "Linux", "program_name": "x"}
    assert parsed.max_packet == 1 << 24


def test_a_response_cut_short_anywhere_is_refused() -> None:
    """At one place the rest may be missing: attributes that were announced and not sent."""
    without_attributes = len(response("app", native_scramble(PASSWORD, b"n" * 20), database="shop"))
    for end in range(len(FULL)):
        if end != without_attributes:
            with pytest.raises(ProtocolError):
                parse_response(FULL[:end], OFFERED)
    assert parse_response(FULL[:without_attributes], OFFERED).attributes == {}


@given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_garbage_is_parsed_or_refused_and_nothing_else(flags: int, rest: bytes) -> None:
    payload = flags.to_bytes(4, "little") + rest
    try:
        parsed = parse_response(payload, OFFERED)
    except ProtocolError:
        return
    assert parsed.capabilities & ~OFFERED == 0


@given(st.binary(max_size=100), st.integers(0, 0xFFFFFFFF))
def test_garbage_behind_com_change_user_is_parsed_or_refused_and_nothing_else(rest: bytes, flags: int) -> None:
    try:
        parse_change_user(b"\x11" + rest, flags, 45)
    except ProtocolError:
        return


def test_fields_are_read_by_what_was_offered() -> None:
    payload = response("app", b"x" * 20, flags=CLIENT_FLAGS | c.CLIENT_ODBC, attributes={"a": "b"})
    parsed = parse_response(payload, OFFERED & ~c.CLIENT_CONNECT_ATTRS)
    assert parsed.capabilities == CLIENT_FLAGS
    assert parsed.attributes == {}


@pytest.mark.parametrize(
    ("collation", "written", "name"),
    [
        (45, "jürgen".encode(), "jürgen"),
        (8, "jürgen".encode("latin-1"), "jürgen"),
        (51, "юрий".encode("cp1251"), "юрий"),
        (0, "jürgen".encode(), "jürgen"),
        (100, "jürgen".encode(), "jürgen"),
        (3, b"app", "app"),  # dec8, which Python does not know
        (45, b"\xff\xfe", "��"),
    ],
)
def test_names_are_read_in_the_clients_character_set(collation: int, written: bytes, name: str) -> None:
    payload = response("NAME", b"", collation=collation).replace(b"NAME", written)
    assert parse_response(payload, OFFERED).name == name


@pytest.mark.parametrize("tail", ["", "collation", "plugin", "attributes"])
def test_com_change_user_may_end_behind_any_field_from_the_database_on(tail: str) -> None:
    flags = OFFERED
    full = com_change_user("ann", b"x" * 20, database="shop", collation=309, attributes={"a": "b"})
    ends = {
        "": len(com_change_user("ann", b"x" * 20, database="shop", plugin=None)) - 2,
        "collation": len(com_change_user("ann", b"x" * 20, database="shop", plugin=None)),
        "plugin": len(com_change_user("ann", b"x" * 20, database="shop")),
        "attributes": len(full),
    }
    parsed = parse_change_user(full[: ends[tail]], flags, 45)
    assert (parsed.name, parsed.data, parsed.database) == ("ann", b"x" * 20, "shop")
    assert parsed.collation == (45 if tail == "" else 309)
    assert parsed.plugin == (None if tail in ("", "collation") else NATIVE)
    assert parsed.attributes == ({"a": "b"} if tail == "attributes" else {})
    for end in set(range(len(full))) - set(ends.values()):
        with pytest.raises(ProtocolError):
            parse_change_user(full[:end], flags, 45)


def test_a_client_that_asks_for_zstd_says_its_level() -> None:
    """The last byte of the handshake response."""
    offered = OFFERED | c.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    flags = CLIENT_FLAGS | c.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    for attributes in (None, {"_os": "Linux"}):
        made = response("app", flags=flags, attributes=attributes)
        assert parse_response(made + b"\x07", offered).zstd_level == 7
        assert parse_response(made, offered).zstd_level == 0
        assert parse_response(made + b"\x07", OFFERED).zstd_level == 0
