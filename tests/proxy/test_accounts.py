"""The accounts as the proxy keeps them: read, renewed, found, and what is learnt of their passwords."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from proxy import accounts as tested
from proxy.accounts import Accounts, ClusterAccount, ClusterAccounts, HostNames
from proxy.crypt import sha256_crypt
from proxy.login import ConnectFailed, NativeKey
from proxy.opening import Result
from proxy.proof import PasswordAccount, Refused
from router.membership import Node
from tests.proxy.login_client import NATIVE, SHA2, door, native_scramble, response, sha2_scramble

Row = tuple[str | None, ...]
SALT = "12345678901234567890"


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest()


def native(user: str, password: str, host: str = "%", **more: object) -> Row:
    stored = "*" + sha1(sha1(password.encode())).hex().upper() if password else ""
    return user, host, json.dumps({"plugin": NATIVE, "authentication_string": stored} | more)


def sha2(user: str, password: str, host: str = "%") -> Row:
    stored = f"$A$005${SALT}{sha256_crypt(password.encode(), SALT.encode(), 5000)}" if password else ""
    return user, host, SHA2, stored, "N", "N", "1000", None, ""


class Server:
    """A node's grant tables, and what was asked of it."""

    def __init__(self, *rows: Row, version: str = "5.5.5-10.11.11-MariaDB", resolves: bool = False) -> None:
        self.version = version
        self.rows = list(rows)
        self.variables: Row = ("0" if resolves else "1", "0")
        self.grants = "1"
        self.asked: list[str] = []
        self.opened = 0
        self.failure: Exception | None = None

    async def open(self, node: Node) -> "Server":
        if self.failure is not None:
            raise self.failure
        self.opened += 1
        return self

    async def query(self, sql: str) -> Sequence[Row]:
        if self.failure is not None:
            raise self.failure
        self.asked.append(sql)
        if sql.startswith("CHECKSUM"):
            return [("users", str(hash(tuple(self.rows)))), ("grants", self.grants)]
        return [self.variables] if "@@" in sql else list(self.rows)

    def close(self) -> None:
        self.asked.append("close")

    @property
    def readings(self) -> int:
        return sum("FROM mysql." in sql for sql in self.asked)


@contextlib.asynccontextmanager
async def reading(
    server: Server, *, refresh: float = 60.0, max_age: float = 60.0, nodes: Callable[[], list[Node]] | None = None,
    lookup: Any = None,
) -> AsyncIterator[ClusterAccounts]:  # fmt: skip
    node = Node("db1", 3306)
    made = ClusterAccounts(
        "monitor", "m", nodes or (lambda: [node]), refresh=refresh, max_age=max_age, open_connection=server.open,
        lookup=lookup,
    )  # fmt: skip
    task = asyncio.create_task(made.run(), name="accounts of the cluster")
    try:
        async with asyncio.timeout(10):
            await made.read_again()
            yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def found(source: ClusterAccounts, name: str, host: str = "10.0.0.9") -> ClusterAccount:
    account = await source.find(name, host)
    assert account is not None
    return account


async def find_until_refused(source: ClusterAccounts) -> None:
    while True:
        await source.find("ann", "10.0.0.9")
        await asyncio.sleep(0.01)


# Reading


async def test_an_unchanged_table_is_not_read_again() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        assert len(source) == 1
        for _ in range(3):
            await source.read_again()
        assert (server.readings, server.opened) == (1, 1)
        server.rows.append(native("bob", "his"))
        await source.read_again()
        assert (len(source), server.readings) == (2, 2)


async def test_readings_come_by_themselves() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server, refresh=0.1) as source:
        server.rows.append(native("bob", "his"))
        while len(source) != 2:
            await asyncio.sleep(0.01)


async def test_logins_that_come_together_share_a_reading() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        before = len(server.asked)
        assert await asyncio.gather(*(source.find("nobody", "10.0.0.9") for _ in range(50))) == [None] * 50
        assert len(server.asked) - before <= 2 * 2


async def test_a_login_waits_for_the_first_node_that_is_found() -> None:
    nodes: list[Node] = []
    async with reading(Server(native("ann", "hers")), nodes=lambda: nodes) as source:
        waiting = asyncio.create_task(source.find("ann", "10.0.0.9"))
        await source.read_again()
        assert "no node takes writes" in source.problem
        assert not waiting.done()
        nodes.append(Node("db1", 3306))
        assert await waiting is not None


async def test_a_reading_that_fails_leaves_what_was_known_for_a_while() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server, max_age=0.2) as source:
        server.failure = ConnectFailed(2013, "lost")
        await source.read_again()
        assert "lost" in source.problem
        assert await source.find("ann", "10.0.0.9") is not None
        with pytest.raises(Refused) as caught:
            await find_until_refused(source)
        assert (caught.value.answer.code, caught.value.answer.sqlstate) == (1040, "08004")
        server.failure = None
        await source.read_again()
        assert source.problem == ""
        assert await source.find("ann", "10.0.0.9") is not None


@pytest.mark.parametrize(
    "failure", [ConnectFailed(1142, "SELECT command denied"), ValueError("a table of another kind"), TimeoutError()]
)
async def test_accounts_that_were_never_read_let_nobody_in(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "FIRST_PATIENCE", 0.1)
    server = Server()
    server.failure = failure
    async with reading(server) as source:
        with pytest.raises(Refused, match="not known"):
            await source.find("ann", "10.0.0.9")


async def test_another_node_is_asked_when_one_fails_or_takes_no_writes_any_more() -> None:
    first, second = Node("db1", 3306), Node("db2", 3306)
    writers = [first, second]
    asked: list[str] = []
    server = Server(native("ann", "hers"))

    async def open_connection(node: Node) -> Server:
        asked.append(node.name)
        if node is first and len(asked) == 1:
            raise ConnectFailed(2003, "refused")
        return server

    server.open = open_connection  # type: ignore[method-assign]
    async with reading(server, nodes=lambda: writers) as source:
        assert asked == [first.name, second.name]
        await source.read_again()
        assert asked == [first.name, second.name]  # it stays where it is connected
        writers[:] = [first]
        await source.read_again()
        assert asked == [first.name, second.name, first.name]
        writers.clear()
        await source.read_again()
        assert "no node takes writes" in source.problem


# Finding


async def test_a_name_that_is_not_known_is_looked_for_once_more() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        assert await source.find("bob", "10.0.0.9") is None
        server.rows.append(native("bob", "his"))
        assert (await found(source, "bob")).name == "bob"


async def test_users_of_the_settings_come_first_and_by_name_alone() -> None:
    app = PasswordAccount.of("ann", "configured")
    async with reading(Server(native("ann", "hers"), native("bob", "his"))) as source:
        both = Accounts({"ann": app}, source)
        assert await both.find("ann", "10.0.0.9") is app
        assert isinstance(await both.find("bob", "10.0.0.9"), ClusterAccount)
        assert await Accounts({"ann": app}, None).find("bob", "10.0.0.9") is None


async def test_an_account_that_shows_us_nothing_is_refused_by_name_of_its_plugin() -> None:
    row = ("ed", "%", json.dumps({"plugin": "ed25519", "authentication_string": "x"}))
    async with reading(Server(row)) as source:
        with pytest.raises(
            Refused, match="an account with ed25519 logs in here only where the settings have"
        ) as caught:
            await source.find("ed", "10.0.0.9")
        assert caught.value.answer.code == 1045


async def test_names_of_hosts_are_looked_up_where_nodes_do_it() -> None:
    asked: list[str] = []

    async def lookup(address: str) -> str:
        asked.append(address)
        return {"10.0.0.9": "h1.example.net"}.get(address, "")

    rows = (native("ann", "hers", "%.example.net"), native("bob", "his", "10.%"), native("cat", "its", "localhost"))
    async with reading(Server(*rows, resolves=True), lookup=lookup) as source:
        assert (await found(source, "ann")).account.host == "%.example.net"
        assert await source.find("ann", "10.0.0.8") is None
        await found(source, "bob")
        await found(source, "ann")
        assert asked == ["10.0.0.9", "10.0.0.8"]
        await found(source, "cat", "127.0.0.1")
        await found(source, "cat", "localhost")
    async with reading(Server(*rows), lookup=lookup) as source:
        assert await source.find("ann", "10.0.0.9") is None
        assert await source.find("cat", "127.0.0.1") is None
        await found(source, "cat", "localhost")  # on a Unix socket
    assert asked == ["10.0.0.9", "10.0.0.8"]


async def test_what_has_to_be_waited_for_is_not_known_at_once() -> None:
    async def lookup(address: str) -> str:
        return "h1.example.net"

    ed = ("ed", "%", json.dumps({"plugin": "ed25519", "authentication_string": "x"}))
    server = Server(native("ann", "hers"), native("bob", "his", "%.example.net"), ed, resolves=True)
    async with reading(server, lookup=lookup, max_age=0.2) as source:
        both = Accounts({"app": PasswordAccount.of("app", "configured")}, source)
        assert both.known("app", "10.0.0.9") is not None
        known = both.known("ann", "10.0.0.9")
        assert isinstance(known, ClusterAccount)
        assert known.account == (await found(source, "ann")).account
        assert both.known("nobody", "10.0.0.9") is None  # a look at the node may find it
        assert both.known("ed", "10.0.0.9") is None  # find() says why
        assert both.known("bob", "10.0.0.9") is None  # whose host is which?
        await found(source, "bob")
        assert both.known("bob", "10.0.0.9") is not None
        server.failure = ConnectFailed(2013, "lost")
        await source.read_again()
        while both.known("ann", "10.0.0.9") is not None:
            await asyncio.sleep(0.01)
        with pytest.raises(Refused):
            await source.find("ann", "10.0.0.9")
    assert Accounts({}, None).known("ann", "10.0.0.9") is None


async def test_names_of_hosts_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "NAMES", 2)
    asked: list[str] = []

    async def lookup(address: str) -> str:
        asked.append(address)
        if address == "c":
            raise OSError("no name")
        return address.upper()

    names = HostNames(lookup)
    assert [await names.of(address) for address in "aabca"] == ["A", "A", "B", "", "A"]
    assert asked == ["a", "b", "c", "a"]


async def test_a_hosts_name_must_lead_back_to_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reverse(address: tuple[str, int], flags: int) -> tuple[str, str]:
        return "db.example.net", "0"

    async def forward(name: str, port: None, **options: Any) -> list[Any]:
        return [(None, None, None, "", ("10.0.0.9", 0))]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getnameinfo", reverse)
    monkeypatch.setattr(loop, "getaddrinfo", forward)
    assert await tested.host_name("10.0.0.9") == "db.example.net"
    assert await tested.host_name("10.0.0.8") == ""  # whoever owns an address can call it anything


# What is learnt


async def test_the_native_key_opens_the_nodes_until_the_password_changes() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        account = await found(source, "ann")
        credential = account.credential(sha1(b"hers"))
        assert credential.value == NativeKey(sha1(b"hers"))
        assert (await found(source, "ann")).credential(sha1(b"hers")) is credential
        credential.confirmed = True
        server.rows[0] = native("ann", "new")
        await source.read_again()
        assert (credential.value, credential.confirmed) == (None, False)
        # The sessions that are open hold this very one: it works for them again.
        assert (await found(source, "ann")).credential(sha1(b"new")) is credential
        assert credential.value == NativeKey(sha1(b"new"))
        assert "new" not in repr(credential)


async def test_an_empty_password_opens_the_nodes_as_such() -> None:
    async with reading(Server(native("ann", ""))) as source:
        assert (await found(source, "ann")).credential(b"").value == ""


async def test_another_change_leaves_the_credential_alone() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        before = await found(source, "ann")
        credential = before.credential(sha1(b"hers"))
        server.rows[0] = native("ann", "hers", access=1)
        server.grants = "2"
        await source.read_again()
        after = await found(source, "ann")
        assert after.account != before.account
        assert credential.value == NativeKey(sha1(b"hers"))


async def test_a_grant_alone_makes_another_account() -> None:
    server = Server(native("ann", "hers"))
    async with reading(server) as source:
        before = await found(source, "ann")
        server.grants = "2"
        await source.read_again()
        assert (await found(source, "ann")).account != before.account


async def test_a_sha2_password_is_asked_for_once() -> None:
    server = Server(sha2("ann", "hers"), sha2("none", ""), version="9.4.0")
    async with reading(server) as source:
        assert source.plugin_of_unknown == SHA2
        account = await found(source, "ann")
        assert account.sha2_digest is None
        assert not await account.verify(b"wrong")
        assert not await account.verify(b"")
        assert account.sha2_digest is None
        assert await account.verify(b"hers")
        again = await found(source, "ann")
        assert again.sha2_digest == hashlib.sha256(hashlib.sha256(b"hers").digest()).digest()
        credential = again.credential(None)
        assert credential.value == "hers"
        server.rows[0] = sha2("ann", "new")
        await source.read_again()
        assert (await found(source, "ann")).sha2_digest is None
        assert credential.value is None
        none = await found(source, "none")
        assert await none.verify(b"")
        assert not await none.verify(b"x")


async def test_what_is_learnt_of_an_account_goes_with_it() -> None:
    server = Server(sha2("ann", "hers"), version="8.0.36")
    async with reading(server) as source:
        account = await found(source, "ann")
        assert await account.verify(b"hers")
        credential = account.credential(None)
        server.rows.clear()
        await source.read_again()
        assert credential.value is None
        assert source.learnt(account.account) is None


async def test_what_most_accounts_use_is_asked_of_a_name_that_nobody_has() -> None:
    async with reading(Server(native("ann", "hers"))) as source:
        assert source.plugin_of_unknown == NATIVE
        assert Accounts({}, source).plugin_of_unknown == NATIVE
    assert Accounts({}, None).plugin_of_unknown is None


# With a client


async def test_a_client_logs_in_by_what_its_account_stores() -> None:
    """Clients propose either plugin; each is led to its account's own."""
    async with (
        reading(Server(native("ann", "hers"))) as source,
        door(finder=Accounts({}, source)) as at,
    ):
        client = await at.connect()
        greeting = await client.greeting()
        client.send(response("ann", sha2_scramble("hers", greeting.nonce), plugin=SHA2))
        request = await client.read()
        assert request == b"\xfe" + NATIVE.encode() + b"\0" + greeting.nonce + b"\0"
        client.send(native_scramble("hers", greeting.nonce))
        await client.ok()
        (login,) = at.logins
        assert isinstance(login.account, ClusterAccount)
        assert login.native_key == sha1(b"hers")


async def test_a_password_that_was_changed_a_moment_ago_is_right() -> None:
    server = Server(native("ann", "old"))
    async with reading(server) as source, door(finder=Accounts({}, source)) as at:
        server.rows[0] = native("ann", "new")
        await (await at.connect()).log_in("new", name="ann")
        assert at.results == [Result.ACCEPTED]
        assert at.logins[0].native_key == sha1(b"new")


async def test_a_locked_account_is_told_so_only_with_its_password() -> None:
    async with (
        reading(Server(native("ann", "hers", account_locked=True))) as source,
        door(finder=Accounts({}, source)) as at,
    ):
        for password, code in (("wrong", 1045), ("hers", 4151)):
            client = await at.connect()
            greeting = await client.greeting()
            client.send(response("ann", native_scramble(password, greeting.nonce), plugin=NATIVE))
            assert (await client.error())[0] == code
            await client.closed()
        assert at.results == [Result.DENIED, Result.LOCKED]
