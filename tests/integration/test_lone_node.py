"""A cluster of one node that has what the common one has not: TLS, the performance schema, ed25519 and PAM, and whose
clients may be kept waiting.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymysql
import pytest

from proxy.demo.node import provider
from proxy.demo.processes import free_ports, wait_until
from proxy.wire.constants import COM_QUERY, COM_RESET_CONNECTION
from proxy.wire.framing import frame
from tests.differential.client import Client
from tests.proxy.login_client import write_certificate
from tests.proxy.plain_mariadb import PlainMariadb, plain_mariadb
from tests.support.proxy import Proxy

pytestmark = pytest.mark.only("galera")

ACCOUNTS = """
GRANT SELECT ON *.* TO monitor@'127.0.0.1';
CREATE USER ann@'%' IDENTIFIED BY 'hers';
GRANT SELECT ON performance_schema.* TO ann@'%';
CREATE USER signer@'%' IDENTIFIED VIA ed25519 USING PASSWORD('sécret');
CREATE USER watcher@'%' IDENTIFIED VIA ed25519 USING PASSWORD('wätch');
GRANT SELECT ON *.* TO watcher@'%';
GRANT ALL ON shop.* TO ann@'%';
CREATE TABLE shop.t (id INT);
CREATE USER initial@'%';
CREATE USER secure@'%' IDENTIFIED BY 'x' REQUIRE SSL;
CREATE USER slow@'%', slower@'%', hung@'%';
GRANT SELECT ON performance_schema.* TO slower@'%';
CREATE USER nobody@'%' IDENTIFIED VIA pam USING 'su';
CREATE USER jörg@'%' IDENTIFIED BY 'x';
"""


@pytest.fixture(scope="module")
def node() -> Iterator[PlainMariadb]:
    group, transfer = free_ports(2)
    options = f"base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{transfer}"
    with plain_mariadb(
        "--ssl-cert={directory}/server.pem",
        "--ssl-key={directory}/server.key",
        "--plugin-load-add=auth_pam",
        "--performance-schema=ON",
        "--performance-schema-session-connect-attrs-size=2048",
        "--binlog-format=ROW",
        "--wsrep-on=ON",
        f"--wsrep-provider={provider()}",
        f"--wsrep-provider-options={options}",
        f"--wsrep-node-address=127.0.0.1:{group}",
        "--wsrep-cluster-address=gcomm://",
        prepare=write_certificate,
    ) as started:
        started.sql(ACCOUNTS)
        yield started


@pytest.fixture(scope="module")
def everything(node: PlainMariadb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Watches the node by an ed25519 account; endpoints for each way of telling nodes of clients."""
    directory = tmp_path_factory.mktemp("lone")
    pem, key = (str(node.directory / name) for name in ("server.pem", "server.key"))
    tls = {"tls": "verify-identity", "tls_ca": pem}
    endpoints: list[dict[str, Any]] = [
        {"name": "program", "tls_certificate": pem, "tls_key": key},
        *({"name": how, "socket": str(directory / how), "connection_attributes": how} for how in ("all", "proxy")),
    ]
    endpoints.append({"name": "no files", "socket": str(directory / "no-files"), "local_infile": False})
    users = [{"name": "signer", "password": "sécret"}, {"name": "nobody", "password": "any"}]
    settings = {"cluster": tls | {"user": "watcher", "password": "wätch"}, "endpoint": endpoints, "user": users}
    proxy = Proxy(directory, [f"127.0.0.1:{node.address[1]}"], settings)
    try:
        proxy.start()
        yield proxy
        assert "internal.error" not in proxy.log_text(), proxy.log_text()[-3000:]
    finally:
        proxy.kill()


@pytest.fixture
def proxy(everything: Proxy) -> Proxy:
    everything.wait_ready()
    return everything


def attributes(connection: "pymysql.Connection[Any]") -> dict[str, str]:
    """What the node has of the session's backend."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attr_name, attr_value FROM performance_schema.session_connect_attrs"
            " WHERE processlist_id = CONNECTION_ID() + 0"  # the node's own number
        )
        return dict(cursor.fetchall())


def current_user(proxy: Proxy, user: str, password: str, **options: Any) -> str:
    with contextlib.closing(proxy.connect(user, password, **options)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER()")
        row = cursor.fetchone()
        assert row is not None
        return str(row[0])


def test_nodes_see_the_clients_program(proxy: Proxy) -> None:
    with contextlib.closing(proxy.connect("ann", "hers", program_name="shöp")) as one:
        seen = attributes(one)
    assert seen["program_name"] == "shöp"
    assert seen["_client_name"] == "pymysql"
    assert "_pid" not in seen


@pytest.mark.parametrize(("how", "pid", "program"), [("all", str(os.getpid()), "shop"), ("proxy", None, "multiwriter")])
def test_all_or_nothing_of_what_clients_say(proxy: Proxy, how: str, pid: str | None, program: str) -> None:
    socket_ = str(proxy.directory / how)
    with contextlib.closing(proxy.connect("ann", "hers", program_name="shop", unix_socket=socket_)) as one:
        seen = attributes(one)
    assert seen.get("_pid") == pid
    assert seen["program_name"] == program


def test_a_user_of_the_settings_is_an_ed25519_account_at_the_nodes(proxy: Proxy, node: PlainMariadb) -> None:
    assert current_user(proxy, "signer", "sécret".encode().decode("latin-1")) == "signer@%"
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        current_user(proxy, "signer", "secret")


def test_names_are_read_in_the_clients_character_set(proxy: Proxy) -> None:
    assert current_user(proxy, "jörg", "x") == "jörg@%"
    assert current_user(proxy, "jörg", "x", charset="latin1") == "jörg@%"


def test_so_may_a_pam_account_be(proxy: Proxy, node: PlainMariadb) -> None:
    """Debian's service "su" lets everybody in whom root's own helper asks for; elsewhere both are refused."""
    try:
        found = current_user(proxy, "nobody", "any")
    except pymysql.err.OperationalError as error:
        found = str(error.args[0])
    assert found == node.client("nobody", "any")


def test_an_account_that_requires_tls_gets_in_where_both_ways_have_it(proxy: Proxy, node: PlainMariadb) -> None:
    authority = {"ca": str(node.directory / "server.pem")}
    assert current_user(proxy, "secure", "x", ssl=authority) == "secure@%"
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        current_user(proxy, "secure", "x", ssl_disabled=True)


def test_init_connect_is_run_for_each_connection_to_the_node(proxy: Proxy, node: PlainMariadb) -> None:
    """And not for each client: what it sets goes with a reset, as at the node."""
    node.sql("SET GLOBAL init_connect = 'SET div_precision_increment = 7'")
    try:
        with contextlib.closing(proxy.connect("initial", "")) as session, session.cursor() as cursor:
            cursor.execute("SELECT 1/3")
            assert cursor.fetchone() == (Decimal("0.3333333"),)
            session._execute_command(COM_RESET_CONNECTION, b"")  # type: ignore[attr-defined]
            session._read_ok_packet()  # type: ignore[attr-defined]
            cursor.execute("SELECT 1/3")
            assert cursor.fetchone() == (Decimal("0.3333"),)
    finally:
        node.sql("SET GLOBAL init_connect = ''")


# -- files ------------------------------------------------------------------------------------------------------------


def test_no_file_is_asked_of_clients_where_the_operator_says_so(proxy: Proxy, tmp_path: Path) -> None:
    """Also not of one that did not look whether it may send any."""
    file = tmp_path / "rows"
    file.write_text("1\n2\n")
    load = f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE shop.t"
    closed = str(proxy.directory / "no-files")
    with contextlib.closing(proxy.connect("ann", "hers", local_infile=True, unix_socket=closed)) as one:
        with pytest.raises(pymysql.err.OperationalError, match="4166"):
            one.cursor().execute(load)
        one.cursor().execute("SELECT 1")  # the connection has not lost its step
    with contextlib.closing(proxy.connect("ann", "hers", local_infile=True)) as one:
        assert one.cursor().execute(load) == 2


# -- clients that leave -----------------------------------------------------------------------------------------------


def nothing_is_left(proxy: Proxy) -> None:
    def left() -> list[float]:
        metrics = proxy.metrics()
        backends = (metrics.total("multiwriter_backends", state=state) for state in ("leased", "connecting"))
        return [metrics.total("multiwriter_clients"), metrics.total("multiwriter_pool_waiters"), *backends]

    wait_until(lambda: not any(left()), 1.5, lambda: f"left behind: {left()}")


@pytest.mark.parametrize(("user", "database"), [("slow", None), ("slower", "performance_schema")])
def test_a_client_that_gives_up_its_login_while_the_node_is_slow(
    proxy: Proxy, node: PlainMariadb, user: str, database: str | None
) -> None:
    """The login of the proxy's own connection goes on; what the node runs then is not answered for a while."""
    node.sql("SET GLOBAL init_connect = \"DO IF(CURRENT_USER() LIKE 'slow%', SLEEP(30), 0)\"")
    try:
        with pytest.raises(pymysql.err.OperationalError):
            proxy.connect(user, "", database=database, read_timeout=1)
        nothing_is_left(proxy)
    finally:
        node.sql("SET GLOBAL init_connect = ''")
    assert current_user(proxy, user, "", database=database) == f"{user}@%"


def test_or_while_it_hangs(proxy: Proxy, node: PlainMariadb) -> None:
    node.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(pymysql.err.OperationalError):
            proxy.connect("hung", "", read_timeout=1)
        nothing_is_left(proxy)
    finally:
        node.process.send_signal(signal.SIGCONT)
    proxy.wait_ready()
    assert current_user(proxy, "hung", "") == "hung@%"


def test_a_client_that_half_closes_gets_its_replies(proxy: Proxy, node: PlainMariadb) -> None:
    """Several commands in one piece, of which the first takes a while, and no more."""

    def heard(port: int) -> bytes:
        client = Client(port, 0, "", "ann", "hers")
        with client._socket as sock:
            texts = (b"SELECT SLEEP(0.5), 1", b"SELECT * FROM nosuch.t", b"SELECT 3")
            sock.sendall(b"".join(frame(bytes((COM_QUERY,)) + text) for text in texts))
            sock.shutdown(socket.SHUT_WR)
            found = b""
            while data := sock.recv(65536):
                found += data
            return found

    assert heard(proxy.port) == heard(node.address[1])
    nothing_is_left(proxy)
