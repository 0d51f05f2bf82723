"""The cluster's own accounts: what a node's grant tables say of each, and which of them a client is.

Pure: rows come in as text, names and addresses as the caller found them. What a password is worth is judged elsewhere;
here is only which account it has to fit and what else stands in the way.

https://mariadb.com/kb/en/create-user/#account-names
https://mariadb.com/kb/en/mysqlglobal_priv-table/
https://dev.mysql.com/doc/refman/8.4/en/connection-access.html
"""

import ipaddress
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from router import answers
from router.answers import Answer

NATIVE: Final = "mysql_native_password"
CACHING_SHA2: Final = "caching_sha2_password"
OURS: Final = (NATIVE, CACHING_SHA2)
"""Plugins whose accounts can be proxied: what the client shows, or says, is enough to log in as it."""

_DAY: Final = 86400
_HOST_BYTES: Final = 255  # the longest host part, in the order below

MATCHES: Final = 10_000
"""Clients, by name and address, of which it is remembered which account they are."""
LONGEST_NAME: Final = 128
"""Characters: MariaDB's; MySQL's are 32. Longer ones are remembered nowhere."""

MARIADB: Final = "mariadb"
MYSQL: Final = "mysql"


class Transport(Enum):
    """What the account asks of a connection."""

    ANY = "any"
    TLS = "tls"  # REQUIRE SSL
    CERTIFICATE = "certificate"  # REQUIRE X509, ISSUER, SUBJECT or CIPHER


@dataclass(frozen=True, slots=True)
class Method:
    """One way to log in: a plugin, and what it stored."""

    plugin: str
    stored: str = field(repr=False)

    @property
    def native_digest(self) -> bytes | None:
        """SHA1(SHA1(password)), b"" for an empty password; None where no password fits."""
        if self.plugin != NATIVE:
            return None
        if not self.stored:
            return b""
        try:
            digest = bytes.fromhex(self.stored[1:])
        except ValueError:
            return None
        return digest if self.stored[0] == "*" and len(digest) == 20 else None


@dataclass(frozen=True, slots=True)
class Account:
    """One account as of one reading. Two readings that differ in anything that it may do are not equal."""

    name: str
    """"" is an anonymous account: everybody's who has no better one."""
    host: str
    methods: tuple[Method, ...]
    locked: bool = False
    expires: float | None = None
    """Seconds since the epoch from when on its password has to be changed; 0: it has; None: never."""
    transport: Transport = Transport.ANY
    rights: str = field(default="", repr=False)
    """Grows stale with the rights that a server looks up once, at login."""

    def __str__(self) -> str:
        """As CURRENT_USER() gives it."""
        return f"{self.name}@{self.host or '%'}"

    @property
    def method(self) -> Method | None:
        """The way that a client of ours logs in; None: there is none without the account's password."""
        ours = [method for method in self.methods if method.plugin in OURS]
        return next((method for method in ours if method.native_digest is not None), ours[0] if ours else None)

    def objection(self, client: str, address: str, *, tls: bool, now: float, engine: str) -> Answer | None:
        """What keeps somebody out whose password was right, in the order of a server's checks. `now`: seconds since
        the epoch.

        https://mariadb.com/kb/en/account-locking/, https://mariadb.com/kb/en/user-password-expiry/
        """
        if self.transport is Transport.CERTIFICATE or (self.transport is Transport.TLS and not tls):
            return answers.access_denied(client, address, using_password=True)
        if self.locked:
            return answers.account_locked() if engine == MARIADB else answers.account_is_locked(client, address)
        if self.expires is not None and now >= self.expires:
            return answers.password_expired()
        return None


# -- reading ----------------------------------------------------------------------------------------------------------


def of_mariadb(name: str, host: str, privileges: str, *, lifetime_days: int = 0, rights: str = "") -> Account | None:
    """A row of mysql.global_priv; None for a role, which nobody logs in as. A row that cannot be understood is an
    account that nobody can log in as.

    `lifetime_days`: @@default_password_lifetime, 0 for ever.
    """
    try:
        read = json.loads(privileges)
        if not isinstance(read, dict):
            raise ValueError("not an object")
        if read.get("is_role"):
            return None
        changed = read.get("password_last_changed")
        return Account(
            name,
            host,
            tuple(_methods(read)),
            locked=bool(read.get("account_locked")),
            expires=_expiry(changed, int(read.get("password_lifetime", -1)), lifetime_days),
            transport=_TRANSPORTS.get(int(read.get("ssl_type", 0)), Transport.CERTIFICATE),
            rights=f"{rights} {privileges}",
        )
    except (ValueError, TypeError, AttributeError):
        return Account(name, host, (), rights=f"{rights} {privileges}")


_TRANSPORTS: Final = {-1: Transport.ANY, 0: Transport.ANY, 1: Transport.TLS}  # 2 X509, 3 SPECIFIED


def _methods(read: dict[str, Any]) -> Iterable[Method]:
    """`IDENTIFIED VIA a OR b` is kept as b with "auth_or": [a, {}], the empty one standing for b itself."""
    for way in read.get("auth_or") or [{}]:
        source = way or read
        # An account made by an old server has no plugin: then it is this one.
        yield Method(
            str(source.get("plugin") or NATIVE),
            str(source.get("authentication_string") or source.get("auth_string") or ""),
        )


def _expiry(changed: Any, lifetime: int, default: int) -> float | None:
    if changed is None:
        return None
    if int(changed) == 0:
        return 0.0  # PASSWORD EXPIRE
    days = default if lifetime < 0 else lifetime
    return float(int(changed) + days * _DAY) if days else None


MYSQL_COLUMNS: Final = (
    "user",
    "host",
    "plugin",
    "authentication_string",
    "account_locked",
    "password_expired",
    "UNIX_TIMESTAMP(password_last_changed)",
    "password_lifetime",
    "ssl_type",
)
"""What of_mysql() reads of mysql.user (https://dev.mysql.com/doc/refman/8.4/en/grant-tables.html)."""


def of_mysql(row: tuple[str | None, ...], *, lifetime_days: int = 0, rights: str = "") -> Account:
    """A row of mysql.user, by MYSQL_COLUMNS. A role is a locked account."""
    name, host, plugin, stored, locked, expired, changed, lifetime, ssl = row
    return Account(
        name or "",
        host or "",
        (Method(plugin or "", stored or ""),),
        locked=locked == "Y",
        expires=_expiry(
            0 if expired == "Y" else changed and int(float(changed)),
            -1 if lifetime is None else int(lifetime),
            lifetime_days,
        ),
        transport={"": Transport.ANY, "ANY": Transport.TLS}.get(ssl or "", Transport.CERTIFICATE),
        rights=f"{rights} {row}",
    )


# -- matching ---------------------------------------------------------------------------------------------------------


def host_matches(pattern: str, address: str, name: str, engine: str = MARIADB) -> bool:
    """Whether an account's host part takes a client from `address` (text of an IP address, "" on a Unix socket) whose
    host's name is `name` ("" if it has none or it was not looked up).
    """
    network = _network(pattern, engine)
    if network is not None and address:
        try:
            return ipaddress.ip_address(address) in network
        except ValueError:
            return False
    if not pattern:
        return True
    if name and _like(name.lower(), pattern.lower()):
        return True
    return bool(address) and _like(address, pattern)


def names_a_host(pattern: str) -> bool:
    """Whether only a client's name, not its address, can tell if it matches.

    Digits, dots, colons and wildcards alone are an address; so is the pattern for everyone.
    """
    return "/" not in pattern and ":" not in pattern and any(character.isalpha() for character in pattern)


def _network(pattern: str, engine: str) -> ipaddress.IPv4Network | None:
    """10.0.0.0/255.255.255.0, and for MySQL 10.0.0.0/24, too. An address with bits outside of its mask is no network;
    as a pattern it matches nobody, which is what servers do with it."""
    _, slash, mask = pattern.partition("/")
    if not slash or (mask.isdecimal() and engine != MYSQL):
        return None
    try:
        network = ipaddress.IPv4Network(pattern)
    except ValueError:
        return None
    # Python reads 0.0.0.255 as the mask's complement, servers as a mask.
    return network if mask.isdecimal() or str(network.netmask) == mask else None


def _like(text: str, pattern: str) -> bool:
    r"""LIKE with % and _, and \ to take the next one for itself; in time bounded by the product of both lengths."""
    at = here = 0
    star = mark = -1
    while here < len(text):
        one = pattern[at] if at < len(pattern) else ""
        escaped = one == "\\" and at + 1 < len(pattern)
        if one == "%":
            star, mark = at, here
            at += 1
        elif one and ((one == "_") or (pattern[at + 1] if escaped else one) == text[here]):
            at += 2 if escaped else 1
            here += 1
        elif star >= 0:
            mark += 1
            at, here = star + 1, mark
        else:
            return False
    return pattern[at:].strip("%") == ""


Order = tuple[int, ...]


def mariadb_order(account: Account) -> Order:
    """Sorts the more specific host first, and of two equal ones the named account before the anonymous.

    MariaDB orders patterns by how many texts they match: first by the letters that % leaves open, against the
    single wildcards, then by the number of both and the length of what stands before the first. Hosts without wildcards
    are equal to it; here those that name one machine stand before networks, and smaller networks before larger ones.
    """
    literal = single = many = before = 0
    pattern = account.host or "%"
    at = 0
    while at < len(pattern):
        if pattern[at] in "%_":
            if not many and not single:
                before = literal
            if pattern[at] == "%":
                many += 1
                while pattern[at + 1 : at + 2] == "%":
                    at += 1
            else:
                single += 1
        else:
            if pattern[at] == "\\" and at + 1 < len(pattern):
                at += 1
            literal += 1
        at += 1
    many, single = min(many, 31), min(single, 31)
    open_letters = _HOST_BYTES - literal - single if many else 0
    if open_letters > single:
        generality = (open_letters, 1, many, single, before)
    else:
        generality = (single, 0, open_letters, many, before)
    return (*generality, _breadth(pattern, MARIADB), account.name == "")


def mysql_order(account: Account) -> Order:
    """As mariadb_order, by MySQL's rule: the later the first wildcard, the more specific, and % last of all."""
    pattern = account.host
    found = [at for at, character in enumerate(pattern) if character in "%_" and pattern[at - 1 : at] != "\\"]
    position = min(found[0] + (1 if pattern == "%" else 2), 127) if found else 128 if pattern else 0
    return (-position, _breadth(pattern, MYSQL), account.name == "")


def _breadth(pattern: str, engine: str) -> int:
    network = _network(pattern, engine)
    return 0 if network is None else 33 - network.prefixlen


ORDERS: Final[dict[str, Callable[[Account], Order]]] = {MARIADB: mariadb_order, MYSQL: mysql_order}


class Directory:
    """All accounts of one reading, ready to be asked."""

    def __init__(self, accounts: Iterable[Account], engine: str = MARIADB) -> None:
        self.engine = engine
        ordered = sorted(accounts, key=ORDERS[engine])
        self.accounts: Final = tuple(ordered)
        anonymous = [account for account in ordered if not account.name]
        self._matched: dict[tuple[str, str, str], Account] = {}
        self._by_name: dict[str, list[Account]] = {"": anonymous}
        for account in ordered:
            if account.name:
                self._by_name.setdefault(account.name, []).append(account)
        if anonymous:
            for name, named in self._by_name.items():
                if name:
                    self._by_name[name] = sorted([*named, *anonymous], key=ORDERS[engine])

    def __len__(self) -> int:
        return len(self.accounts)

    def match(self, name: str, address: str, host: str = "") -> Account | None:
        """The account that a client is: the first whose name and host fit, as a server takes it. A password that does
        not fit this one is not tried on another."""
        client = (name, address, host)
        known = self._matched.get(client)
        if known is not None:
            return known
        for account in self._candidates(name):
            if host_matches(account.host, address, host, self.engine):
                if len(name) <= LONGEST_NAME:
                    if len(self._matched) >= MATCHES:
                        self._matched.clear()  # with an anonymous account strangers make up names
                    self._matched[client] = account
                return account
        return None

    def wants_host(self, name: str) -> bool:
        """Whether the name of the client's host may decide."""
        return any(names_a_host(account.host) for account in self._candidates(name))

    def plugins(self) -> set[str]:
        """Ours that are in use."""
        return {method.plugin for account in self.accounts if (method := account.method) is not None}

    def _candidates(self, name: str) -> list[Account]:
        return self._by_name.get(name) or self._by_name[""]
