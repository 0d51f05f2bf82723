"""Accounts by ed25519 and PAM, and what nodes see of clients, at a cluster of one node that has all of that, under TLS.

PAM runs for real where the machine's own service "su" lets the server's helper in (root, Debian); what it asks is then
nothing, but the exchange is the server's.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from proxy.demo.node import provider
from proxy.demo.processes import free_ports
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
CREATE USER jörg@'%' IDENTIFIED BY 'x';
"""


@pytest.fixture(scope="module")
def node() -> Iterator[PlainMariadb]:
    group, transfer = free_ports(2)
    options = f"base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{transfer}"
    with plain_mariadb(
        "--ssl-cert={directory}/server.pem",
        "--ssl-key={directory}/server.key",
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


def proxy_for(node: PlainMariadb, directory: Path, settings: dict[str, Any]) -> Proxy:
    given: dict[str, Any] = {"user": []} | settings
    return Proxy(directory, [f"127.0.0.1:{node.address[1]}"], given)


@pytest.fixture
def proxy(node: PlainMariadb, tmp_path: Path) -> Iterator[Proxy]:
    pem = str(node.directory / "server.pem")
    users = [{"name": "signer", "password": "sécret"}, {"name": "pam", "password": "any"}]
    proxy = proxy_for(node, tmp_path, {"cluster": {"tls": "verify-identity", "tls_ca": pem}, "user": users})
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.kill()


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


def test_all_or_nothing_of_what_clients_say(node: PlainMariadb, tmp_path: Path) -> None:
    for how, pid in (("all", str(os.getpid())), ("proxy", None)):
        proxy = proxy_for(node, tmp_path / how, {"endpoint": [{"connection_attributes": how}]})
        try:
            proxy.start()
            with contextlib.closing(proxy.connect("ann", "hers", program_name="shop")) as one:
                seen = attributes(one)
        finally:
            proxy.kill()
        assert seen.get("_pid") == pid
        assert seen["program_name"] == ("shop" if how == "all" else "multiwriter")


def test_a_user_of_the_settings_is_an_ed25519_account_at_the_nodes(proxy: Proxy, node: PlainMariadb) -> None:
    assert current_user(proxy, "signer", "sécret".encode().decode("latin-1")) == "signer@%"
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        current_user(proxy, "signer", "secret")


def test_the_service_account_may_be_one(node: PlainMariadb, tmp_path: Path) -> None:
    proxy = proxy_for(node, tmp_path, {"cluster": {"user": "watcher", "password": "wätch"}})
    try:
        proxy.start()
        assert current_user(proxy, "ann", "hers") == "ann@%"
    finally:
        proxy.kill()


def test_names_are_read_in_the_clients_character_set(proxy: Proxy) -> None:
    assert current_user(proxy, "jörg", "x") == "jörg@%"
    assert current_user(proxy, "jörg", "x", charset="latin1") == "jörg@%"
