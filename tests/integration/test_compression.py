"""Clients that compress, as they do it themselves, through the proxy to real nodes."""

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import MySQLdb
import pytest

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from proxy.wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION_ALGORITHM
from tests.integration.conftest import MakeProxy
from tests.proxy.login_client import Greeting
from tests.support.proxy import Proxy

BIG = 20 << 20  # more than one packet, inside and outside

# What each client is asked to do: give the query's only value as text.
Ask = Callable[[Proxy, list[str]], list[str]]


def ask_mysqlclient(proxy: Proxy, statements: list[str]) -> list[str]:
    connection = MySQLdb.connect(
        host="127.0.0.1", port=proxy.port, user="app", password="app", compress=True, autocommit=True
    )
    connection.change_user("app", "app", "mysql")
    cursor = connection.cursor()
    answers = []
    for statement in statements:
        cursor.execute(statement)
        answers.append(str(cursor.fetchone()[0]))
    connection.close()
    return answers


def ask_connector(proxy: Proxy, statements: list[str]) -> list[str]:
    connection: Any = mysql.connector.connect(
        host="127.0.0.1", port=proxy.port, user="app", password="app", compress=True, use_pure=True, ssl_disabled=True
    )
    cursor = connection.cursor()
    answers = []
    for statement in statements:
        cursor.execute(statement)
        answers.append(str(cursor.fetchone()[0]))
    connection.close()
    return answers


# The C extension brings an OpenSSL of its own, which must be loaded before the system's: not in the tests' process.
CONNECTOR_C = """
import json, sys
import _mysql_connector
import mysql.connector
options, statements = json.load(sys.stdin)
connection = mysql.connector.connect(use_pure=False, compress=True, ssl_disabled=True, **options)
assert type(connection).__name__ == "CMySQLConnection"
cursor = connection.cursor()
for statement in statements:
    cursor.execute(statement)
    print(cursor.fetchone()[0])
connection.close()
"""


def ask_connector_c(proxy: Proxy, statements: list[str]) -> list[str]:
    options = {"host": "127.0.0.1", "port": proxy.port, "user": "app", "password": "app"}
    return run([sys.executable, "-c", CONNECTOR_C], json.dumps([options, statements]))


def ask_command_line(proxy: Proxy, statements: list[str]) -> list[str]:
    where = ["--protocol=tcp", "-h127.0.0.1", f"-P{proxy.port}", "--skip-ssl", "-uapp", "-papp"]
    options = ["--no-defaults", "--compress", "--max-allowed-packet=64M", "-N", "-B"]
    return run(["mysql", *options, *where], ";\n".join(statements))


def run(command: list[str], text: str) -> list[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


CLIENTS = [ask_mysqlclient, ask_connector, ask_connector_c, ask_command_line]


@pytest.fixture
def roomy(cluster: Cluster, make_proxy: MakeProxy) -> Iterator[MakeProxy]:
    """Makes proxies before nodes that take packets of up to 64 MiB."""
    before = [node.query("SELECT @@GLOBAL.max_allowed_packet") for node in cluster]
    for node in cluster:
        node.query("SET GLOBAL max_allowed_packet = 67108864")
    yield make_proxy
    for node, value in zip(cluster, before, strict=True):
        node.query(f"SET GLOBAL max_allowed_packet = {value[0][0]}")


@pytest.mark.parametrize("ask", CLIENTS, ids=[client.__name__[4:] for client in CLIENTS])
def test_a_client_that_compresses_says_and_hears_everything(roomy: MakeProxy, ask: Ask) -> None:
    """Short and long, in both directions, and what does not compress."""
    proxy = roomy()
    noise = "".join(hashlib.sha256(bytes((at >> 8, at & 0xFF))).hexdigest() for at in range(5000))
    text = "all the same " * (BIG // 13)
    answers = ask(
        proxy,
        ["SELECT 1", f"SELECT SHA2('{noise}', 256)", f"SELECT '{noise}'", f"SELECT LENGTH('{text}')",
         f"SELECT REPEAT('x', {BIG // 2})", "SELECT SHA2(REPEAT('x', 100), 256)"],
    )  # fmt: skip
    assert [answer if len(answer) < 1000 else hashlib.sha256(answer.encode()).hexdigest() for answer in answers] == [
        "1",
        hashlib.sha256(noise.encode()).hexdigest(),
        hashlib.sha256(noise.encode()).hexdigest(),
        str(len(text)),
        hashlib.sha256(b"x" * (BIG // 2)).hexdigest(),
        hashlib.sha256(b"x" * 100).hexdigest(),
    ]


def test_an_endpoint_may_not_let_them(make_proxy: MakeProxy) -> None:
    proxy = make_proxy({"endpoint": [{"compression": False}]})
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock:
        greeting = Greeting.parse(sock.recv(1000)[4:])
    assert not greeting.capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM)
    assert ask_mysqlclient(proxy, ["SELECT 1"]) == ["1"]


def test_the_connections_to_the_nodes_are_compressed(make_proxy: MakeProxy, schema: str, tmp_path: Path) -> None:
    """Where the settings say so; whether the client compresses is another matter."""
    proxy = make_proxy({"cluster": {"compression": "zlib"}})
    with contextlib.closing(proxy.connect(database=schema, local_infile=True)) as client, client.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Compression'")
        assert cursor.fetchall() == (("Compression", "ON"),)
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))")
        file = tmp_path / "rows"
        file.write_text("".join(f"{at}\t{'v' * 100}\n" for at in range(20_000)))
        cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE t")
        client.begin()
        cursor.execute("UPDATE t SET v = 'w' WHERE id = 7")
        client.commit()
        cursor.execute("SELECT * FROM t ORDER BY id")
        rows = cursor.fetchall()
        assert (len(rows), rows[6], rows[7]) == (20_000, (6, "v" * 100), (7, "w"))
    # Another session sees it when its node has applied it.
    count = ["SHOW SESSION STATUS LIKE 'Compression'", f"SELECT COUNT(*) FROM {schema}.t"]
    wait_until(lambda: ask_mysqlclient(proxy, count) == ["Compression", "20000"], 20, lambda: "the rows do not arrive")


def test_a_file_comes_through_compression_on_both_sides(make_proxy: MakeProxy, schema: str, tmp_path: Path) -> None:
    proxy = make_proxy({"cluster": {"compression": "zlib"}})
    file = tmp_path / "rows"
    file.write_text("".join(f"{at}\t{'v' * 100}\n" for at in range(20_000)))
    where = ["--protocol=tcp", "-h127.0.0.1", f"-P{proxy.port}", "--skip-ssl", "-uapp", "-papp"]
    statements = [
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))",
        f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE t",
        "SELECT COUNT(*) FROM t",
    ]
    command = ["mysql", "--no-defaults", "--compress", "--local-infile=1", "-N", "-B", *where, schema]
    assert run(command, ";\n".join(statements)) == ["20000"]
