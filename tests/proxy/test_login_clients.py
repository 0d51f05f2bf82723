"""Clients as people use them: each logs in, talks, is refused, in each way it knows."""

import asyncio
import gc
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiomysql
import mysql.connector
import MySQLdb
import pymysql
import pytest
import uvloop

from proxy.opening import Result
from proxy.proof import Account, PasswordAccount
from proxy.tls import server_context
from tests.proxy.login_client import NATIVE, PASSWORD, SHA2, Door, door, write_certificate

# aiomysql leaves the transport of a refused login to the garbage collector; the server's own are uvloop's.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:.*(_SelectorTransport\.__del__|<socket\.socket):pytest.PytestUnraisableExceptionWarning"
)


class SlowAccount:
    """Knows its password but not the digest of it: every caching_sha2_password login takes the full exchange."""

    name = "slow"
    plugin = None
    native_digest = None
    sha2_digest = None

    async def verify(self, password: bytes) -> bool:
        return password == PASSWORD.encode()

    async def renew(self) -> bool:
        return False

    def objection(self, host: str, *, tls: bool) -> None:
        return None


class Place:
    """A door, and the loop it is served by while a client blocks in a thread."""

    def __init__(self, runner: asyncio.Runner, at: Door, certificate: Path) -> None:
        self.runner = runner
        self.at = at
        self.certificate = certificate
        self.port = at.port

    def run(self, client: Callable[[], Any]) -> Any:
        return self.runner.run(asyncio.wait_for(asyncio.to_thread(client), 20))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


ACCOUNTS: dict[str, Account] = {
    "app": PasswordAccount.of("app", PASSWORD),
    "ann": PasswordAccount.of("ann", "hers"),
    "open": PasswordAccount.of("open", ""),
    "slow": SlowAccount(),
}


@contextmanager
def serving(directory: Path, certificate: tuple[Path, Path], plugin: str) -> Iterator[Place]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = door(
            accounts=ACCOUNTS,
            plugin=plugin,
            unix=directory / "mysql.sock",
            tls=server_context(*certificate),
            compression=True,
        )
        stack = AsyncExitStack()
        try:
            yield Place(runner, runner.run(stack.enter_async_context(context)), certificate[0])
        finally:
            runner.run(stack.aclose())


@pytest.fixture(params=[NATIVE, SHA2])
def place(request: pytest.FixtureRequest, tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Place]:
    with serving(tmp_path, certificate, request.param) as made:
        yield made


@pytest.fixture
def sha2_place(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Place]:
    with serving(tmp_path, certificate, SHA2) as made:
        yield made


# What each client is asked to do: connect, run a statement, leave. `way` is tcp, tls or unix.


def use_pymysql(place: Place, way: str, user: str, password: str) -> None:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": place.port, "ssl_disabled": True}
    if way == "tls":
        options |= {"ssl_ca": str(place.certificate), "ssl_disabled": False}
    if way == "unix":
        options = {"unix_socket": place.at.unix_path, "ssl_disabled": True}
    connection = pymysql.connect(user=user, password=password, database="shop", **options)
    connection.ping(reconnect=False)
    connection.close()


def use_mysqlclient(place: Place, way: str, user: str, password: str) -> None:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": place.port}
    if way == "tls":
        options["ssl"] = {"ca": str(place.certificate)}
    if way == "unix":
        options = {"unix_socket": place.at.unix_path}
    connection = MySQLdb.connect(user=user, password=password, database="shop", **options)
    connection.query("DO 1")
    connection.close()


def use_connector(place: Place, way: str, user: str, password: str) -> None:
    options: dict[str, Any] = {"host": "127.0.0.1", "port": place.port, "ssl_disabled": way != "tls"}
    if way == "tls":
        options["ssl_ca"] = str(place.certificate)
    if way == "unix":
        options = {"unix_socket": place.at.unix_path, "ssl_disabled": True}
    connection = mysql.connector.connect(user=user, password=password, database="shop", use_pure=True, **options)
    connection.cmd_query("DO 1")
    connection.close()


class OtherProcessError(Exception):
    """A client in a process of its own failed: the server's error code, if it said one, and its output."""

    @classmethod
    def check(cls, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if done.returncode:
            code = re.search(r"(?:ERROR |Error: |^)(\d{4})", done.stderr, re.MULTILINE)
            raise cls(int(code[1]) if code else 0, done.stderr)


# The C extension brings an OpenSSL of its own, which must be loaded before the system's: not in the tests' process.
CONNECTOR_C = """
import json, sys
import _mysql_connector
import mysql.connector
try:
    connection = mysql.connector.connect(use_pure=False, **json.loads(sys.argv[1]))
except mysql.connector.Error as error:
    sys.exit(f"{error.errno}: {error}")
assert type(connection).__name__ == "CMySQLConnection"
if len(sys.argv) > 2:
    connection.cmd_change_user(*sys.argv[2:])
connection.cmd_query("DO 1")
connection.close()
"""


def use_connector_c(place: Place, way: str, user: str, password: str, *then: str) -> None:
    options: dict[str, Any] = {"user": user, "password": password, "database": "shop", "ssl_disabled": way != "tls"}
    if way == "tls":
        options["ssl_ca"] = str(place.certificate)
    if way == "unix":
        options["unix_socket"] = place.at.unix_path
    else:
        options |= {"host": "127.0.0.1", "port": place.port}
    OtherProcessError.check([sys.executable, "-c", CONNECTOR_C, json.dumps(options), *then])


def use_aiomysql(place: Place, way: str, user: str, password: str) -> None:
    async def use() -> None:
        options: dict[str, Any] = {"host": "127.0.0.1", "port": place.port}
        if way == "tls":
            options["ssl"] = ssl.create_default_context(cafile=str(place.certificate))
        if way == "unix":
            options = {"unix_socket": place.at.unix_path}
        connection = await aiomysql.connect(user=user, password=password, db="shop", **options)
        await connection.ping(reconnect=False)
        await connection.ensure_closed()

    try:
        asyncio.run(use())
    finally:
        gc.collect()


def use_command_line(place: Place, way: str, user: str, password: str) -> None:
    where = {
        "tcp": ["--protocol=tcp", "-h127.0.0.1", f"-P{place.port}", "--skip-ssl"],
        "tls": ["--protocol=tcp", "-h127.0.0.1", f"-P{place.port}", f"--ssl-ca={place.certificate}"],
        "unix": ["--protocol=socket", f"-S{place.at.unix_path}", "--skip-ssl"],
    }
    OtherProcessError.check(["mysql", "--no-defaults", *where[way], f"-u{user}", f"-p{password}", "-e", "DO 1", "shop"])


Use = Callable[[Place, str, str, str], None]
CLIENTS: list[Use] = [
    use_pymysql,
    use_mysqlclient,
    use_connector,
    use_connector_c,
    use_aiomysql,
    use_command_line,
]
EVERY_CLIENT = pytest.mark.parametrize("use", CLIENTS, ids=[client.__name__[4:] for client in CLIENTS])
EVERY_WAY = pytest.mark.parametrize("way", ["tcp", "tls", "unix"])


@EVERY_CLIENT
@EVERY_WAY
def test_a_client_logs_in(place: Place, use: Use, way: str) -> None:
    place.run(lambda: use(place, way, "app", PASSWORD))
    (login,) = place.at.logins
    assert (login.account.name, login.database, login.tls) == ("app", "shop", way == "tls")
    assert login.host == ("localhost" if way == "unix" else "127.0.0.1")
    assert place.at.results == [Result.ACCEPTED]
    assert place.at.commands[-1] == b"\x01"  # COM_QUIT


@EVERY_CLIENT
def test_a_client_logs_in_without_password(place: Place, use: Use) -> None:
    place.run(lambda: use(place, "tcp", "open", ""))
    assert place.at.results == [Result.ACCEPTED]


@EVERY_CLIENT
@pytest.mark.parametrize(("user", "password"), [("app", "wrong"), ("app", ""), ("nobody", "x")])
def test_a_client_is_refused(place: Place, use: Use, user: str, password: str) -> None:
    with pytest.raises(Exception, match="Access denied for user") as caught:
        place.run(lambda: use(place, "tls", user, password))
    assert caught.value.args[0] == 1045
    assert place.at.results == [Result.DENIED]
    assert place.at.commands == []


@EVERY_CLIENT
@EVERY_WAY
def test_a_client_takes_the_full_exchange_where_no_digest_is_known(sha2_place: Place, use: Use, way: str) -> None:
    """Under TLS and on a Unix socket the password itself; over TCP in clear only under our public key."""
    if way == "tcp" and use in (use_connector, use_connector_c):
        # These have no RSA, or use it only when told to: the C one leaves, the other sends its password in clear.
        with pytest.raises((mysql.connector.Error, OtherProcessError)):
            sha2_place.run(lambda: use(sha2_place, way, "slow", PASSWORD))
        assert sha2_place.at.results == [Result.DENIED if use is use_connector else Result.GONE]
        return
    sha2_place.run(lambda: use(sha2_place, way, "slow", PASSWORD))
    assert sha2_place.at.results == [Result.ACCEPTED]


def test_mysqlclient_changes_its_user(place: Place) -> None:
    def client() -> None:
        connection = MySQLdb.connect(host="127.0.0.1", port=place.port, user="app", password=PASSWORD)
        connection.change_user("ann", "hers", "shop")
        connection.query("DO 1")
        with pytest.raises(MySQLdb.OperationalError, match="Access denied"):
            connection.change_user("ann", "wrong", "shop")
        connection.close()

    place.run(client)
    assert [(login.account.name, login.database) for login in place.at.logins] == [("app", ""), ("ann", "shop")]


@pytest.mark.parametrize("tls", [True, False])
def test_connector_changes_its_user(place: Place, tls: bool) -> None:
    def client() -> None:
        options: dict[str, Any] = {"ssl_ca": str(place.certificate)} if tls else {"ssl_disabled": True}
        connection = mysql.connector.connect(
            host="127.0.0.1", port=place.port, user="app", password=PASSWORD, use_pure=True, **options
        )
        connection.cmd_change_user("ann", "hers", "shop")
        connection.cmd_query("DO 1")
        connection.close()

    place.run(client)
    assert [login.account.name for login in place.at.logins] == ["app", "ann"]
    assert place.at.logins[1].database == "shop"


@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
def test_connector_c_changes_its_user(place: Place, way: str) -> None:
    place.run(lambda: use_connector_c(place, way, "app", PASSWORD, "ann", "hers", "hers"))
    assert [(login.account.name, login.database) for login in place.at.logins] == [("app", "shop"), ("ann", "hers")]


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("client", ["mysqlclient", "connector", "command_line"])
def test_a_client_compresses(place: Place, client: str, tls: bool) -> None:
    def use() -> None:
        options: dict[str, Any] = {"host": "127.0.0.1", "port": place.port, "user": "app", "password": PASSWORD}
        if client == "mysqlclient":
            one = MySQLdb.connect(**options, compress=True, **({"ssl": {"ca": str(place.certificate)}} if tls else {}))
            one.change_user("ann", "hers", "shop")
            one.query("DO " + "1" * 100)
            one.close()
        elif client == "connector":
            secure: dict[str, Any] = {"ssl_ca": str(place.certificate)} if tls else {"ssl_disabled": True}
            other = mysql.connector.connect(**options, compress=True, use_pure=True, **secure)
            other.cmd_query("DO " + "1" * 100)
            other.close()
        else:
            where = ["--protocol=tcp", "-h127.0.0.1", f"-P{place.port}", "-uapp", f"-p{PASSWORD}", "--compress"]
            secured = f"--ssl-ca={place.certificate}" if tls else "--skip-ssl"
            OtherProcessError.check(["mysql", "--no-defaults", *where, secured, "-e", "DO " + "1" * 100])

    place.run(use)
    assert place.at.logins[0].codec is not None
    assert place.at.logins[0].tls is tls
    assert b"\x03DO " + b"1" * 100 in place.at.commands
