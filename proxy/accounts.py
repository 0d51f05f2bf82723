"""The cluster's own accounts, for clients that log in: read from a node, kept up to date, asked who a client is.

A task reads a node's grant tables with the proxy's account, again when their checksums change. Passwords are not there:
what the proxy logs in to the nodes with is what clients show of theirs. mysql_native_password shows SHA1(password) to
whoever knows the stored SHA1(SHA1(password)); caching_sha2_password is asked for the password once, and fast after
that. Both are kept in memory as long as the account's stored hash stays as it is, and nowhere else.

Which account a client is decides router/accounts.py; what is exchanged with it, proxy/auth.py.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic, time
from typing import Final, Protocol

from proxy import login, queries
from proxy.crypt import StoredSha2
from proxy.link import PLAIN, Link
from proxy.log import event
from proxy.login import Credential
from proxy.poller import Poller
from proxy.proof import Account as AuthAccount
from proxy.proof import Refused
from router import accounts as rules
from router import answers
from router.accounts import Account, Directory
from router.answers import Answer
from router.membership import Node

logger = logging.getLogger(__name__)

PATIENCE: Final = 2.0  # seconds for one reading of one node
FIRST_PATIENCE: Final = 5.0  # seconds that a login waits for the first reading: nodes may have to be found before it
MIN_GAP: Final = 0.05  # seconds between the beginnings of two readings, however many logins ask for one
NAMES: Final = 10_000  # addresses whose hosts' names are remembered
NAME_AGE: Final = 60.0  # seconds
NAME_PATIENCE: Final = 2.0  # seconds for the resolver
_MOST_BYTES: Final = 64 << 20  # of one reading: a few hundred thousand accounts
_ATTRIBUTES: Final = {"program_name": "multiwriter-accounts"}

_VARIABLES: Final = "SELECT @@global.skip_name_resolve, @@global.default_password_lifetime"
_MARIADB_CHECKSUMS: Final = "CHECKSUM TABLE mysql.global_priv, mysql.db, mysql.roles_mapping"
_MARIADB_ROWS: Final = "SELECT User, Host, Priv FROM mysql.global_priv"
_MYSQL_CHECKSUMS: Final = (
    "CHECKSUM TABLE mysql.user, mysql.db, mysql.role_edges, mysql.default_roles, mysql.global_grants"
)
_MYSQL_ROWS: Final = f"SELECT {', '.join(rules.MYSQL_COLUMNS)} FROM mysql.user"  # noqa: S608  # names of ours

Row = tuple[str | None, ...]


class Connection(Protocol):
    """What is needed of a connection to a node: queries.QueryConnection has it."""

    @property
    def version(self) -> str: ...
    async def query(self, sql: str, /) -> Sequence[Row]: ...
    def close(self) -> None: ...


Open = Callable[[Node], Awaitable[Connection]]


@dataclass(slots=True)
class _Learnt:
    """Of one account, as long as `stored` is what the node stores."""

    stored: str = field(repr=False)
    credential: Credential  # the same one for as long as the account is there: its open sessions hold it
    sha2_digest: bytes | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


class ClusterAccount:
    """One login's view of an account of the cluster: auth.Account."""

    __slots__ = ("_at", "_source", "account", "name")

    def __init__(self, source: "ClusterAccounts", name: str, at: tuple[str, str], account: Account) -> None:
        self.name = name  # as the client gives it; an anonymous account's is ""
        self.account = account
        self._at = at
        self._source = source

    def __repr__(self) -> str:
        return f"<ClusterAccount {self.name} {self.account}>"

    @property
    def plugin(self) -> str:
        return self._method.plugin

    @property
    def _method(self) -> rules.Method:
        return self.account.method or rules.Method(rules.NATIVE, "unknown")

    @property
    def native_digest(self) -> bytes | None:
        return self._method.native_digest

    @property
    def sha2_digest(self) -> bytes | None:
        learnt = self._source.learnt(self.account)
        return learnt.sha2_digest if learnt is not None else None

    async def verify(self, password: bytes) -> bool:
        return await self._fits(password) or (await self.renew() and await self._fits(password))

    async def renew(self) -> bool:
        """Has the accounts read again, since the client may know what is newer; whether that changed this one."""
        before = self.account
        await self._source.read_again()
        found = self._source.match(self.name, self._at)
        if found is None or found == before:
            return False
        self.account = found
        return True

    async def _fits(self, password: bytes) -> bool:
        method = self._method
        if method.plugin != rules.CACHING_SHA2:
            return False
        if not method.stored or not password:
            fits = not method.stored and not password
        else:
            stored = StoredSha2.parse(method.stored)
            loop = asyncio.get_running_loop()
            fits = stored is not None and await loop.run_in_executor(None, stored.fits, password)
        if fits:
            self._source.learn_password(self.account, password)
        return fits

    def objection(self, host: str, *, tls: bool) -> Answer | None:
        return self.account.objection(self.name, host, tls=tls, now=time(), engine=self._source.engine)

    def credential(self, native_key: bytes | None) -> Credential:
        """What backends log in with, by what this login showed."""
        return self._source.credential(self.account, native_key)


class ClusterAccounts:
    """The accounts as last read. run() keeps them so until it is cancelled."""

    def __init__(
        self,
        user: str,
        password: str,
        nodes: Callable[[], Iterable[Node]],
        *,
        refresh: float,
        max_age: float,
        link: Link = PLAIN,
        open_connection: Open | None = None,
        lookup: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        self.engine = rules.MARIADB
        self.read_at: float | None = None
        """When the accounts were last known to be so, by time.monotonic()."""
        self.problem = "they have not been read yet"
        self._user = user
        self._password = password
        self._link = link
        self._max_age = max_age
        self._names = HostNames(lookup or host_name)
        self._directory = Directory(())
        self._resolves = False
        self._seen: tuple[object, ...] = ()
        self._learnt: dict[tuple[str, str], _Learnt] = {}
        self._failing = False
        self._poller: Poller[Connection] = Poller(
            nodes,
            open_connection or self._log_in,
            self._read,
            self._tell,
            refresh=refresh,
            patience=PATIENCE,
            gap=MIN_GAP,
        )

    def __repr__(self) -> str:
        return f"<ClusterAccounts {len(self._directory)} accounts{', ' + self.problem if self.problem else ''}>"

    def __len__(self) -> int:
        return len(self._directory)

    # -- for logins ---------------------------------------------------------------------------------------------------

    @property
    def plugin_of_unknown(self) -> str:
        """What a name that nobody has is asked for: what most are."""
        plugins = self._directory.plugins()
        return rules.CACHING_SHA2 if plugins == {rules.CACHING_SHA2} else rules.NATIVE

    def known(self, name: str, host: str) -> ClusterAccount | None:
        """The account that this client is, as far as nothing has to be asked for it."""
        at = self._whence(name, host) if self._is_fresh() else None
        found = self.match(name, at) if at is not None else None
        if at is None or found is None or found.method is None:
            return None
        return ClusterAccount(self, name, at, found)

    async def find(self, name: str, host: str) -> ClusterAccount | None:
        """The account that this client is; `host` is its address, or "localhost" on a Unix socket. Raises Refused."""
        until = monotonic() + FIRST_PATIENCE
        while self.read_at is None and monotonic() < until:
            await self.read_again()
        if not self._is_fresh():
            raise Refused(answers.accounts_unknown(self.problem))
        at = self._whence(name, host) or (host, await self._names.of(host))
        found = self.match(name, at)
        if found is None:
            await self.read_again()
            found = self.match(name, at)
            if found is None:
                return None
        if found.method is None:
            raise Refused(
                answers.plugin_unsupported(name, host, " or ".join(m.plugin for m in found.methods) or "none")
            )
        return ClusterAccount(self, name, at, found)

    def match(self, name: str, at: tuple[str, str]) -> Account | None:
        return self._directory.match(name, *at)

    async def read_again(self) -> None:
        """Returns when a reading that began after this call has ended, well or not; after a while in any case."""
        await self._poller.polled(PATIENCE)

    def _is_fresh(self) -> bool:
        return self.read_at is not None and monotonic() - self.read_at <= self._max_age

    def _whence(self, name: str, host: str) -> tuple[str, str] | None:
        """A client's address and its host's name, as a node would see them; None: the name has to be looked up."""
        if host == "localhost":
            return "", "localhost"
        if not self._resolves:
            return host, ""
        if host in ("127.0.0.1", "::1"):  # servers do not ask for these
            return host, "localhost"
        if not self._directory.wants_host(name):
            return host, ""
        found = self._names.known(host)
        return (host, found) if found is not None else None

    # -- what logins showed -------------------------------------------------------------------------------------------

    def learnt(self, account: Account) -> _Learnt | None:
        """What was learnt of the account with the very hash that it has in this reading."""
        learnt = self._learnt.get((account.name, account.host))
        return learnt if learnt is not None and learnt.stored == _stored(account) else None

    def learn_password(self, account: Account, password: bytes) -> None:
        learnt = self._learning(account)
        learnt.sha2_digest = sha256(sha256(password).digest()).digest()
        learnt.password = password.decode("utf-8", "surrogateescape")

    def credential(self, account: Account, native_key: bytes | None) -> Credential:
        learnt = self._learning(account)
        if native_key is not None:
            learnt.credential.value = login.NativeKey(native_key) if native_key else ""
        elif learnt.password is not None:
            learnt.credential.value = learnt.password
        return learnt.credential

    def _learning(self, account: Account) -> _Learnt:
        key = (account.name, account.host)
        learnt = self._learnt.get(key)
        if learnt is None:
            learnt = self._learnt[key] = _Learnt(_stored(account), Credential())
        elif learnt.stored != _stored(account):
            learnt = self._learnt[key] = _Learnt(_stored(account), learnt.credential)
        return learnt

    def _forget_what_changed(self) -> None:
        present = {(account.name, account.host): _stored(account) for account in self._directory.accounts}
        for key, learnt in list(self._learnt.items()):
            stored = present.get(key)
            if stored != learnt.stored:
                learnt.credential.value = None
                learnt.credential.confirmed = False
                if stored is None:
                    del self._learnt[key]
                else:
                    self._learnt[key] = _Learnt(stored, learnt.credential)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reads until cancelled; a failure is a log entry, and another try."""
        await self._poller.run()

    async def _read(self, connection: Connection, node: Node, asked: bool) -> str:
        mariadb = "mariadb" in connection.version.lower()
        variables = (await connection.query(_VARIABLES))[0]
        checksums = tuple(await connection.query(_MARIADB_CHECKSUMS if mariadb else _MYSQL_CHECKSUMS))
        seen = (mariadb, variables, checksums)
        if seen != self._seen:
            lifetime = int(variables[1] or 0)
            rows = await connection.query(_MARIADB_ROWS if mariadb else _MYSQL_ROWS)
            # A server looks up the rights to schemas and roles when a connection chooses them: their tables count.
            shared = str(checksums[1:])
            if mariadb:
                shared += str(sorted(row for row in rows if row[1] == ""))  # roles
                read = [
                    rules.of_mariadb(user or "", host or "", text or "", lifetime_days=lifetime, rights=shared)
                    for user, host, text in rows
                ]
            else:
                read = [rules.of_mysql(row, lifetime_days=lifetime, rights=shared) for row in rows]
            self.engine = rules.MARIADB if mariadb else rules.MYSQL
            self._directory = Directory((account for account in read if account is not None), self.engine)
            self._resolves = variables[0] in ("0", "OFF")
            self._seen = seen
            self._forget_what_changed()
            event(logger, "accounts.read", level=logging.DEBUG, node=node.name, accounts=len(self._directory))
        self.read_at = monotonic()
        return ""

    def _tell(self, problem: str) -> None:
        self.problem = problem
        if problem and not self._failing:
            event(logger, "accounts.unreadable", level=logging.WARNING, reason=problem, hint=_HINT)
        elif not problem and self._failing:
            event(logger, "accounts.readable", accounts=len(self._directory))
        self._failing = bool(problem)

    async def _log_in(self, node: Node) -> Connection:
        return await queries.open_queries(
            (node.host, node.port),
            user=self._user,
            password=self._password,
            attributes=_ATTRIBUTES,
            link=self._link,
            timeout=PATIENCE,
            connect_timeout=PATIENCE,
            max_buffered=_MOST_BYTES,
        )


_HINT: Final = "the account in [cluster] needs SELECT on mysql.*, or set accounts.cluster = false"


def _stored(account: Account) -> str:
    return account.method.stored if account.method is not None else ""


class Accounts:
    """Who may log in: the users of the settings first, by name alone, then the cluster's accounts."""

    def __init__(self, configured: Mapping[str, AuthAccount], cluster: ClusterAccounts | None) -> None:
        self._configured = configured
        self._cluster = cluster

    @property
    def plugin_of_unknown(self) -> str | None:
        return self._cluster.plugin_of_unknown if self._cluster is not None else None

    def known(self, name: str, host: str) -> AuthAccount | None:
        configured = self._configured.get(name)
        if configured is not None or self._cluster is None:
            return configured
        return self._cluster.known(name, host)

    async def find(self, name: str, host: str) -> AuthAccount | None:
        configured = self._configured.get(name)
        if configured is not None or self._cluster is None:
            return configured
        return await self._cluster.find(name, host)


# -- names of hosts ---------------------------------------------------------------------------------------------------


class HostNames:
    """What addresses' hosts are called, for a while."""

    def __init__(self, lookup: Callable[[str], Awaitable[str]]) -> None:
        self._lookup = lookup
        self._known: dict[str, tuple[str, float]] = {}  # the oldest first

    def known(self, address: str) -> str | None:
        """None: it has to be asked for."""
        known = self._known.get(address)
        return known[0] if known is not None and monotonic() - known[1] < NAME_AGE else None

    async def of(self, address: str) -> str:
        """ "" if it has no name, or its name does not lead back to it, or nobody said in time."""
        name = self.known(address)
        if name is not None:
            return name
        name = ""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(NAME_PATIENCE):
                name = await self._lookup(address)
        self._known.pop(address, None)
        self._known[address] = (name, monotonic())
        if len(self._known) > NAMES:
            del self._known[next(iter(self._known))]
        return name


async def host_name(address: str) -> str:
    """The name of the host with this address, if the name leads back to the address: whoever owns an address can call
    it anything. Raises OSError."""
    loop = asyncio.get_running_loop()
    name, _ = await loop.getnameinfo((address, 0), socket.NI_NAMEREQD)
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return name if any(entry[4][0] == address for entry in found) else ""
