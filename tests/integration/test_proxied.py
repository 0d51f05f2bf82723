"""A client's own address, from a load balancer's header through the proxy to the nodes."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from proxy.wire.proxied import header_for
from tests.integration.conftest import MakeProxy
from tests.support.proxy import Proxy

pytestmark = pytest.mark.only("galera")  # MySQL's servers take no such headers


@pytest.fixture
def proxied(cluster: Cluster, make_proxy: MakeProxy) -> Iterator[Proxy]:
    """Takes headers from this machine, and the nodes take them from it."""
    for node in cluster:
        node.query("SET GLOBAL proxy_protocol_networks = '127.0.0.1'")
    hosts = ("192.0.2.7", "192.0.2.8", "2001:db8::7")
    for host in hosts:
        cluster[1].query(f"CREATE USER seen@'{host}' IDENTIFIED BY '{host}'")
    wait_until(
        lambda: all(node.query("SELECT COUNT(*) FROM mysql.user WHERE user = 'seen'") == [(3,)] for node in cluster),
        10,
        lambda: "the accounts have not arrived",
    )
    yield make_proxy({"endpoint": [{"proxy_protocol_networks": ["127.0.0.1"]}], "cluster": {"proxy_protocol": True}})
    for host in hosts:
        cluster[1].query(f"DROP USER seen@'{host}'")
    for node in cluster:
        node.query("SET GLOBAL proxy_protocol_networks = ''")


def connect(proxy: Proxy, header: bytes, **options: Any) -> "pymysql.Connection[Any]":
    sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    sock.sendall(header)
    connection: pymysql.Connection[Any] = pymysql.connect(
        host="127.0.0.1", port=proxy.port, ssl_disabled=True, defer_connect=True, **options
    )
    connection.connect(sock)
    return connection


@pytest.mark.parametrize("host", ["192.0.2.7", "192.0.2.8", "2001:db8::7"])
def test_accounts_are_those_of_the_clients_address_as_without_a_proxy(proxied: Proxy, host: str) -> None:
    header = header_for(host, ("127.0.0.1", proxied.port))
    with contextlib.closing(connect(proxied, header, user="seen", password=host)) as client, client.cursor() as cursor:
        cursor.execute("SELECT USER(), CURRENT_USER()")
        assert cursor.fetchall() == ((f"seen@{host}", f"seen@{host}"),)


def test_clients_of_different_addresses_share_no_connection(proxied: Proxy) -> None:
    for _ in range(3):
        for host in ("192.0.2.7", "192.0.2.8"):
            header = f"PROXY TCP4 {host} 127.0.0.1 50000 {proxied.port}\r\n".encode()
            client = connect(proxied, header, user="seen", password=host)
            with contextlib.closing(client), client.cursor() as cursor:
                cursor.execute("SELECT CURRENT_USER()")
                assert cursor.fetchall() == ((f"seen@{host}",),)


def test_without_a_header_the_address_is_the_clients_own(proxied: Proxy) -> None:
    with contextlib.closing(proxied.connect()) as client, client.cursor() as cursor:
        cursor.execute("SELECT USER()")
        assert cursor.fetchall() == (("app@127.0.0.1",),)


def test_the_wrong_address_is_not_let_in(proxied: Proxy) -> None:
    header = header_for("192.0.2.9", ("127.0.0.1", proxied.port))
    with pytest.raises(pymysql.OperationalError, match=r"Access denied for user 'seen'@'192\.0\.2\.9'"):
        connect(proxied, header, user="seen", password="192.0.2.7")


def test_an_endpoint_that_lists_nobody_takes_no_header(proxy: Proxy) -> None:
    header = header_for("192.0.2.7", ("127.0.0.1", proxy.port))
    with pytest.raises(pymysql.OperationalError, match=r"Proxy header is not accepted from 127\.0\.0\.1"):
        connect(proxy, header, user="app", password="app")
