"""Where the clients' programs run: a real cluster, a proxy in front of it, accounts, and schemas new for each run.

A program learns from its environment where to connect and as whom; it does not know whether a proxy is there.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from router.flavor import FLAVORS
from tests.proxy.login_client import write_certificate
from tests.support.group import Group
from tests.support.proxy import Proxy

PROGRAMS: Final = Path(__file__).parent / "programs"
CACHE: Final = Path(__file__).parents[2] / ".compat"
"""What is installed and downloaded for the programs."""
MYSQL: Final = Path(os.environ.get("MULTIWRITER_MYSQL", Path(__file__).parents[2] / ".mysql9")).resolve()
"""Where MySQL's server and command line client are (tests/support/install-mysql)."""

SCHEMAS: Final = "compat\\_%"
"""What matches the programs' schemas in a GRANT."""
PACKET: Final = 64 << 20
"""Bytes: rows of 20 MB have to fit, also escaped."""

MONITOR: Final = {"timeout": 3.0}
"""Rows of 20 MB, or 500 connections, on two processors are no reason to take a node for lost."""

LEVELS: Final = {Cluster.flavor: "session", Group.flavor: "strong"}
"""Causality: a program takes several connections for those of one server. With rows of 20 MB a group's member may be
seconds behind, where Galera's flow control makes the others wait for it.
"""

LOADED: Final = "1\tone\n2\tgrün 🐬\n3\t\\N\n"

NATIVE: Final = "mysql_native_password"
SHA2: Final = "caching_sha2_password"

_ACCOUNTS: Final = {"app": "app", "second": "second's", "sha2": "hidden"}


@dataclass(slots=True)
class Stage:
    """A cluster and the proxy before it. `sides` has the ports by name: `direct` is the first node."""

    kind: str
    """The cluster's flavor."""
    server: str
    """What it is and its version, for the table."""
    ports: Mapping[int, int]
    """Of the nodes, by number."""
    sides: Mapping[str, int]
    directory: Path
    certificate: Path
    lacks: frozenset[str] = field(default=frozenset())
    """Checks that no client can pass directly, since the servers have no such thing."""
    plugin: str = NATIVE
    """The one that the nodes' accounts have."""

    def connect(self, node: int = 1) -> "pymysql.Connection[Any]":
        """To a node, past the proxy, as the account that may do everything."""
        return pymysql.connect(
            host="127.0.0.1", port=self.ports[node], user="app", password="app", autocommit=True, charset="utf8mb4"
        )

    def log_in_once(self) -> None:
        """As each account on each side: a server keeps what it was shown, so that clients which cannot show their
        password without TLS get in afterwards.
        """
        for port in self.sides.values():
            for user, password in _ACCOUNTS.items():
                if user != "sha2" or port != self.sides["direct"] or "login_sha2" not in self.lacks:
                    pymysql.connect(host="127.0.0.1", port=port, user=user, password=password).close()

    def fresh(self, schema: str) -> None:
        """Make a program's schema anew, and return when all nodes have it."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
            cursor.execute(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
            connection.select_db(schema)
            for line in (PROGRAMS / "fixture.sql").read_text().splitlines():
                if not line.startswith("--"):
                    cursor.execute(line)
        self.settle()

    def drop(self, schema: str) -> None:
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {schema}")

    def settle(self) -> None:
        """Returns when all nodes have what was committed on any. A group takes a definition while another one of the
        same name is on its way, and loses a member by that.
        """
        for node in self.ports:
            wait_until(lambda node=node: self._has_all(node), 120, lambda: "what was committed does not arrive")  # type: ignore[misc]

    def _has_all(self, node: int) -> bool:
        with contextlib.closing(self.connect(node)) as connection, connection.cursor() as cursor:
            cursor.execute(FLAVORS[self.kind].wait.on.decode())
            try:
                cursor.execute("SELECT COUNT(*) FROM information_schema.schemata")
            except pymysql.MySQLError:  # it has waited for too long
                return False
        return True

    def counted(self, schema: str) -> tuple[int, int]:
        """What the increments of all clients made of the counter, and how many rows they wrote."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            connection.select_db(schema)
            cursor.execute("SELECT (SELECT value FROM counter WHERE id = 1), (SELECT COUNT(*) FROM entry)")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0]), int(row[1])

    def environment(self, side: str, schema: str, plugin: str = "") -> dict[str, str]:
        """What a program is told; its account has this plugin where it knows no other."""
        user = "sha2" if plugin == SHA2 else "app"
        variables = {
            "COMPAT_HOST": "127.0.0.1",
            "COMPAT_PORT": str(self.sides[side]),
            "COMPAT_SCHEMA": schema,
            "COMPAT_USER": user,
            "COMPAT_PASSWORD": _ACCOUNTS[user],
            "COMPAT_SHA2_USER": "sha2",
            "COMPAT_SHA2_PASSWORD": _ACCOUNTS["sha2"],
            "COMPAT_SECOND_USER": "second",
            "COMPAT_SECOND_PASSWORD": _ACCOUNTS["second"],
            "COMPAT_CA": str(self.certificate),
            "COMPAT_WRONG_CA": str(self.directory / "wrong" / "server.pem"),
            "COMPAT_NODE_MODULES": str(CACHE / "node"),
            "COMPAT_GO_DRIVER": _version_of("golang-github-go-sql-driver-mysql-dev"),
            "COMPAT_FILE": str(self.directory / "loaded.txt"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
        return {**os.environ, **variables}


def _version_of(package: str) -> str:
    """Of one of the distribution's packages: where the program cannot tell."""
    command = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("-")[0]


@contextlib.contextmanager
def galera() -> Iterator[Stage]:
    """Three MariaDB nodes of its own."""
    with _started(Cluster) as (cluster, directory):
        for node in cluster:
            # Rows of 20 MB on a busy machine are no reason to expel a node, as they are in the demo.
            node.query("SET GLOBAL wsrep_provider_options = 'evs.inactive_timeout=PT30S'")
            node.query("SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT20S'")
        with on(cluster, directory) as stage:
            yield stage


@contextlib.contextmanager
def group_replication() -> Iterator[Stage]:
    """Three members of a MySQL group of its own."""
    with _started(Group) as (cluster, directory):
        for node in cluster:
            node.query("SET GLOBAL group_replication_member_expel_timeout = 30")
            # With the tests' 64 MB a row of 20 MB makes everybody wait for the disk.
            node.query("SET GLOBAL innodb_redo_log_capacity = 1073741824")
        with on(cluster, directory) as stage:
            yield stage


@contextlib.contextmanager
def _started(kind: "type[Cluster] | type[Group]") -> "Iterator[tuple[Cluster | Group, Path]]":
    """A cluster, and the name of a directory for the rest."""
    directory = Path(tempfile.mkdtemp(prefix="multiwriter-"))
    directory.chmod(0o755)  # the nodes may run as another account
    cluster = kind(directory / "cluster", progress=print)
    try:
        cluster.start()
        yield cluster, directory / "stage"
    finally:
        cluster.stop(clean=False)
        shutil.rmtree(directory)


KINDS: Final = {Cluster.flavor: galera, Group.flavor: group_replication}


@contextlib.contextmanager
def on(cluster: "Cluster | Group", directory: Path) -> Iterator[Stage]:
    """A cluster that runs already; it is as it was afterwards. `directory` is made."""
    directory.mkdir()
    mysql = cluster.flavor == Group.flavor
    (usual,) = cluster[1].query("SELECT @@global.max_allowed_packet")
    for node in cluster:
        node.query(f"SET GLOBAL max_allowed_packet = {PACKET}")
    cluster[1].query(f'CREATE USER second IDENTIFIED BY "{_ACCOUNTS["second"]}"')
    cluster[1].query(f"GRANT ALL ON `{SCHEMAS}`.* TO second")
    version = str(cluster[1].query("SELECT VERSION()")[0][0]).partition("-")[0]
    # The proxy asks for this plugin whatever a node has.
    users = [{"name": "app", "password": "app", "plugin": NATIVE}]
    if mysql:
        cluster[1].query(f"CREATE USER sha2 IDENTIFIED BY '{_ACCOUNTS['sha2']}'")
        cluster[1].query("GRANT ALL ON *.* TO sha2")
    else:
        sha2 = {"name": "sha2", "password": _ACCOUNTS["sha2"], "plugin": SHA2}
        users.append({**sha2, "backend_name": "app", "backend_password": "app"})
    certificate, key = write_certificate(directory)
    if mysql:
        _give_certificate(cluster, certificate, key)
    nodes = {node.number: node.port for node in cluster}
    try:
        with _proxied(directory, cluster, {"user": users, "monitor": MONITOR}, certificate, key) as proxy:
            sides = {"direct": nodes[1], "proxied": proxy.port}
            server = f"MySQL {version} with Group Replication" if mysql else f"MariaDB {version} with Galera"
            lacks = frozenset() if mysql else frozenset({"login_sha2", "tls"})
            plugin = SHA2 if mysql else NATIVE
            stage = Stage(cluster.flavor, server, nodes, sides, directory, certificate, lacks, plugin)
            stage.log_in_once()
            yield stage
    finally:
        cluster[1].query("DROP USER second")
        if mysql:
            cluster[1].query("DROP USER sha2")
        for node in cluster:
            node.query(f"SET GLOBAL max_allowed_packet = {usual[0]}")


def _give_certificate(cluster: "Cluster | Group", certificate: Path, key: Path) -> None:
    """To the nodes, instead of those that they made themselves, which have no name of a host."""
    cluster.site.give(key)
    for node in cluster:
        node.query(f"SET GLOBAL ssl_ca = '{certificate}'")
        node.query(f"SET GLOBAL ssl_cert = '{certificate}'")
        node.query(f"SET GLOBAL ssl_key = '{key}'")
        node.query("ALTER INSTANCE RELOAD TLS")


@contextlib.contextmanager
def _proxied(
    directory: Path, cluster: "Cluster | Group", settings: Mapping[str, Any], certificate: Path, key: Path
) -> Iterator[Proxy]:
    """A proxy with a certificate; it must be running and have had no fault of its own at the end."""
    (directory / "wrong").mkdir()
    write_certificate(directory / "wrong")
    (directory / "loaded.txt").write_text(LOADED)
    level = LEVELS[cluster.flavor]
    endpoint = {"tls_certificate": str(certificate), "tls_key": str(key), "causality": level}
    nodes = [node.address for node in cluster]
    proxy = Proxy(directory / "proxy", nodes, {**settings, "endpoint": [endpoint]}, flavor=cluster.flavor)
    try:
        proxy.start()
        yield proxy
        print(f"not replayed: {proxy.metrics().by('reason', 'multiwriter_unreplayable_transactions_total')}")
        assert proxy.running, proxy.log_text()[-3000:]
        assert "internal.error" not in proxy.log_text(), proxy.log_text()[-3000:]
    finally:
        proxy.kill()
