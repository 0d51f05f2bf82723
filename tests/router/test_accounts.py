"""Which account a client is, and what the grant tables say of it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.accounts import (
    MARIADB,
    MYSQL,
    Account,
    Directory,
    Method,
    Transport,
    host_matches,
    names_a_host,
    of_mariadb,
    of_mysql,
)

STORED = "*D821809F681A40A6E379B50D0463EFAE20BDD122"


def account(name: str, host: str) -> Account:
    return Account(name, host, (Method("mysql_native_password", STORED),))


def native(**more: object) -> str:
    return json.dumps({"access": 0, "plugin": "mysql_native_password", "authentication_string": STORED} | more)


# Host parts


@pytest.mark.parametrize(
    ("pattern", "address", "name", "matches"),
    [
        # The examples of the manuals on account names
        ("%", "203.0.113.9", "", True),
        ("", "203.0.113.9", "", True),
        ("%.example.com", "203.0.113.9", "db.example.com", True),
        ("%.example.com", "203.0.113.9", "DB.Example.COM", True),
        ("%.example.com", "203.0.113.9", "", False),
        ("%.example.com", "203.0.113.9", "example.com", False),
        ("x.example.com", "203.0.113.9", "x.example.com", True),
        ("198.51.100.%", "198.51.100.177", "", True),
        ("198.51.100.%", "198.51.101.177", "", False),
        ("198.51.100.177", "198.51.100.177", "", True),
        ("198.51.100.177", "198.51.100.17", "", False),
        ("198.51.100.0/255.255.255.0", "198.51.100.177", "", True),
        ("198.51.100.0/255.255.255.0", "198.51.101.1", "", False),
        ("198.51.100.2/255.255.255.0", "198.51.100.2", "", False),  # bits outside of the mask
        ("198.51.100.0/0.0.0.255", "198.51.100.2", "", False),
        ("192.0.0.0/255.0.0.0", "192.168.1.1", "", True),
        ("192.168.0.0/255.255.255.252", "192.168.0.3", "", True),
        ("192.168.0.0/255.255.255.252", "192.168.0.4", "", False),
        ("10.0.0.0/255.0.0.0", "", "localhost", False),  # a Unix socket has no address
        # Wildcards
        ("h_st", "", "host", True),
        ("h_st", "", "hst", False),
        (r"h\_st", "", "h_st", True),
        (r"h\_st", "", "host", False),
        ("10.%.1_", "10.2.3.15", "", True),
        ("%%", "10.2.3.15", "", True),
        # A name that looks like an address is no address
        ("198.51.100.%", "203.0.113.9", "198.51.100.example.com", True),  # as servers have it: they never look it up
        # The Unix socket
        ("localhost", "", "localhost", True),
        ("localhost", "127.0.0.1", "", False),
        ("127.0.0.1", "", "localhost", False),
        # IPv6
        ("::1", "::1", "", True),
        ("fe80::%", "fe80::1", "", True),
        ("10.0.0.0/255.0.0.0", "fe80::1", "", False),
    ],
)
def test_a_host_part_matches(pattern: str, address: str, name: str, matches: bool) -> None:
    assert host_matches(pattern, address, name) is matches


def test_prefix_lengths_are_mysqls_alone() -> None:
    assert host_matches("198.51.100.0/24", "198.51.100.7", "", MYSQL)
    assert not host_matches("198.51.100.0/24", "198.51.100.7", "", MARIADB)


@given(st.text("ab.%_", max_size=10), st.text("ab.", min_size=1, max_size=12))
def test_patterns_are_those_of_like(pattern: str, name: str) -> None:
    expression = "".join({"%": ".*", "_": "."}.get(one, re.escape(one)) for one in pattern)
    assert host_matches(pattern, "", name) is (not pattern or re.fullmatch(expression, name) is not None)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not host_matches("%a" * 100 + "b", "", "a" * 250)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [("db1", True), ("%.example.com", True), ("%", False), ("10.0.%", False), ("10.0.0.0/255.0.0.0", False),
     ("fe80::1", False), ("", False), ("localhost", True)],
)  # fmt: skip
def test_names_are_looked_up_only_where_they_decide(pattern: str, named: bool) -> None:
    assert names_a_host(pattern) is named
    assert Directory([account("ann", pattern)]).wants_host("ann") is named
    assert not Directory([account("ann", pattern)]).wants_host("bob")


# Which account


@pytest.mark.parametrize("engine", [MARIADB, MYSQL])
@pytest.mark.parametrize(
    ("accounts", "name", "address", "host", "found"),
    [
        # The manuals' example of an order: a named account behind an anonymous one of a more specific host
        ([("root", "%"), ("jeffrey", "%"), ("root", "localhost"), ("", "localhost")], "jeffrey", "", "localhost",
         "@localhost"),
        ([("root", "%"), ("jeffrey", "%"), ("root", "localhost"), ("", "localhost")], "jeffrey", "10.0.0.1", "",
         "jeffrey@%"),
        ([("root", "%"), ("jeffrey", "%"), ("root", "localhost"), ("", "localhost")], "root", "", "localhost",
         "root@localhost"),
        ([("joffrey", "192.168.0.3"), ("joffrey", "192.168.0.%"), ("", "192.168.0.3")], "joffrey", "192.168.0.3", "",
         "joffrey@192.168.0.3"),
        ([("joffrey", "192.168.0.%"), ("joffrey", "%"), ("", "192.168.%")], "joffrey", "192.168.0.4", "",
         "joffrey@192.168.0.%"),
        ([("joffrey", "%"), ("", "192.168.%")], "joffrey", "192.168.0.4", "", "@192.168.%"),
        ([("", "h1.example.net"), ("james", "%")], "james", "10.0.0.1", "h1.example.net", "@h1.example.net"),
        ([("", "h1.example.net"), ("james", "%")], "james", "10.0.0.2", "h2.example.net", "james@%"),
        ([("a", "10.0.0.0/255.0.0.0"), ("a", "10.0.0.0/255.255.255.0"), ("a", "10.%")], "a", "10.0.0.9", "",
         "a@10.0.0.0/255.255.255.0"),
        ([("a", "10.0.0.0/255.255.255.0"), ("a", "10.0.0.9")], "a", "10.0.0.9", "", "a@10.0.0.9"),
        ([("a", ""), ("a", "10.%")], "a", "10.0.0.9", "", "a@10.%"),
        ([("a", "")], "a", "10.0.0.9", "", "a@%"),
        ([("A", "%")], "a", "10.0.0.9", "", None),  # names are told apart by case
        ([("a", "10.%")], "b", "10.0.0.9", "", None),
        ([("", "%")], "whoever", "10.0.0.9", "", "@%"),
        ([("", "%"), ("a", "%")], "", "10.0.0.9", "", "@%"),
        ([("", "%"), ("a", "%")], "a", "10.0.0.9", "", "a@%"),
    ],
)  # fmt: skip
def test_the_most_specific_account_is_the_clients(
    engine: str, accounts: list[tuple[str, str]], name: str, address: str, host: str, found: str | None
) -> None:
    for order in (accounts, accounts[::-1]):
        matched = Directory([account(*each) for each in order], engine).match(name, address, host)
        assert (None if matched is None else str(matched)) == found


def test_engines_differ_in_what_they_call_specific() -> None:
    """MariaDB by how much a pattern leaves open, MySQL by where its first wildcard stands."""
    both = [account("a", "1_.0.0.9"), account("a", "10.%")]
    assert str(Directory(both, MARIADB).match("a", "10.0.0.9")) == "a@1_.0.0.9"
    assert str(Directory(both, MYSQL).match("a", "10.0.0.9")) == "a@10.%"


# What the tables say


@pytest.mark.parametrize(
    ("privileges", "methods"),
    [
        (native(), [("mysql_native_password", STORED)]),
        ('{"access":18446744073709551615}', [("mysql_native_password", "")]),
        ('{"plugin":"","authentication_string":""}', [("mysql_native_password", "")]),
        (native(auth_or=[{"plugin": "ed25519", "authentication_string": "e"}, {}]),
         [("ed25519", "e"), ("mysql_native_password", STORED)]),
        (native(auth_or=[{}, {"plugin": "unix_socket"}]), [("mysql_native_password", STORED), ("unix_socket", "")]),
    ],
)  # fmt: skip
def test_the_ways_to_log_in(privileges: str, methods: list[tuple[str, str]]) -> None:
    read = of_mariadb("ann", "%", privileges)
    assert read is not None
    assert [(method.plugin, method.stored) for method in read.methods] == methods
    assert read.method is not None
    assert read.method.plugin == "mysql_native_password"


@pytest.mark.parametrize("plugin", ["ed25519", "pam", "unix_socket", "gssapi", "parsec", "sha256_password"])
def test_what_shows_us_nothing_is_no_way_to_log_in(plugin: str) -> None:
    read = of_mariadb("ann", "%", json.dumps({"plugin": plugin, "authentication_string": "x"}))
    assert read is not None
    assert read.method is None


@pytest.mark.parametrize(
    ("stored", "digest"),
    [(STORED, bytes.fromhex(STORED[1:])), ("", b""), ("invalid", None), ("*", None), (STORED[1:], None),
     ("*" + "g" * 40, None), (STORED + "00", None), ("5d2e19393cc5ef67", None)],
)  # fmt: skip
def test_the_stored_digest(stored: str, digest: bytes | None) -> None:
    assert Method("mysql_native_password", stored).native_digest == digest


def test_a_way_that_no_password_fits_is_the_last_choice() -> None:
    """As root's is on a fresh MariaDB: unix_socket, or a password that is not set."""
    ways = native(authentication_string="invalid", auth_or=[{"plugin": "unix_socket"}, {}])
    read = of_mariadb("root", "localhost", ways)
    assert read is not None
    assert read.method == Method("mysql_native_password", "invalid")
    assert read.method.native_digest is None


def test_nobody_logs_in_as_a_role() -> None:
    assert of_mariadb("clerk", "", '{"access":0,"is_role":true}') is None


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"password_lifetime":"x"}', '{"auth_or":[1]}', '{"auth_or":7}'])
def test_what_cannot_be_understood_lets_nobody_in(text: str) -> None:
    read = of_mariadb("ann", "%", text)
    assert read is not None
    assert read.method is None


@pytest.mark.parametrize(
    ("more", "default", "expires"),
    [
        ({}, 0, None),
        ({"password_last_changed": 0, "password_lifetime": -1}, 0, 0.0),
        ({"password_last_changed": 1000}, 0, None),
        ({"password_last_changed": 1000}, 2, 1000.0 + 2 * 86400),
        ({"password_last_changed": 1000, "password_lifetime": -1}, 2, 1000.0 + 2 * 86400),
        ({"password_last_changed": 1000, "password_lifetime": 0}, 2, None),
        ({"password_last_changed": 1000, "password_lifetime": 5}, 2, 1000.0 + 5 * 86400),
    ],
)
def test_passwords_expire(more: dict[str, int], default: int, expires: float | None) -> None:
    read = of_mariadb("ann", "%", native(**more), lifetime_days=default)
    assert read is not None
    assert read.expires == expires


@pytest.mark.parametrize(
    ("ssl_type", "transport"),
    [(0, Transport.ANY), (-1, Transport.ANY), (1, Transport.TLS), (2, Transport.CERTIFICATE),
     (3, Transport.CERTIFICATE), (9, Transport.CERTIFICATE)],
)  # fmt: skip
def test_what_an_account_asks_of_its_connection(ssl_type: int, transport: Transport) -> None:
    read = of_mariadb("ann", "%", native(ssl_type=ssl_type))
    assert read is not None
    assert read.transport is transport


def test_any_change_makes_another_account() -> None:
    """Also one that only the server understands: what it looks up at login must be looked up again."""
    one = of_mariadb("ann", "%", native())
    assert one == of_mariadb("ann", "%", native())
    assert one != of_mariadb("ann", "%", native(access=1))
    assert one != of_mariadb("ann", "%", native(), rights="another")


def test_a_row_of_mysql() -> None:
    row = ("ann", "%", "caching_sha2_password", "$A$005$", "N", "N", "1000.000000", None, "")
    read = of_mysql(row, lifetime_days=1)
    assert (read.name, read.host, read.method) == ("ann", "%", Method("caching_sha2_password", "$A$005$"))
    assert (read.locked, read.expires, read.transport) == (False, 1000.0 + 86400, Transport.ANY)
    assert of_mysql((*row[:7], "0", ""), lifetime_days=1).expires is None
    assert of_mysql((*row[:6], None, None, ""), lifetime_days=1).expires is None
    other = of_mysql(("ann", "%", "x", "", "Y", "Y", None, None, "X509"))
    assert (other.locked, other.expires, other.transport, other.method) == (True, 0.0, Transport.CERTIFICATE, None)
    assert of_mysql((*row[:8], "ANY")).transport is Transport.TLS


@pytest.mark.parametrize(
    ("changes", "tls", "engine", "code"),
    [
        ({}, False, MARIADB, None),
        ({"locked": True}, False, MARIADB, 4151),
        ({"locked": True}, False, MYSQL, 3118),
        ({"expires": 0.0}, False, MARIADB, 1862),
        ({"expires": 1000.0}, False, MARIADB, 1862),
        ({"expires": 1001.0}, False, MARIADB, None),
        ({"transport": Transport.TLS}, False, MARIADB, 1045),
        ({"transport": Transport.TLS}, True, MARIADB, None),
        ({"transport": Transport.CERTIFICATE}, True, MARIADB, 1045),
        ({"transport": Transport.TLS, "locked": True, "expires": 0.0}, False, MARIADB, 1045),
        ({"locked": True, "expires": 0.0}, True, MARIADB, 4151),
    ],
)
def test_what_keeps_out_who_has_the_right_password(
    changes: dict[str, object], tls: bool, engine: str, code: int | None
) -> None:
    made = Account("ann", "%", (), **changes)  # type: ignore[arg-type]
    objection = made.objection("ann", "10.0.0.9", tls=tls, now=1000.0, engine=engine)
    assert (None if objection is None else objection.code) == code


def test_passwords_hashes_are_never_shown() -> None:
    assert STORED[1:9] not in repr(of_mariadb("ann", "%", native()))


def test_matches_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an anonymous account anybody's name matches, however long and however many they are."""
    monkeypatch.setattr("router.accounts.MATCHES", 3)
    directory = Directory([account("ann", "10.%"), account("", "%")])
    for _ in range(2):
        assert str(directory.match("ann", "10.0.0.9")) == "ann@10.%"
        assert str(directory.match("ann", "11.0.0.9")) == "@%"
    for number in range(10):
        assert directory.match(f"nobody {number}", "10.0.0.9") is not None
        assert len(directory._matched) <= 3
    before = len(directory._matched)
    assert str(directory.match("x" * 1000, "10.0.0.9")) == "@%"
    assert len(directory._matched) == before
    assert str(directory.match("ann", "10.0.0.9")) == "ann@10.%"
