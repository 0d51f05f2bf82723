"""A MySQL group on loopback, multi-primary, for the tests: made, broken and repaired by program.

The counterpart of `proxy.demo.galera.Cluster`, with the same words where they mean the same: a test that takes a
cluster takes either. The servers are those of tests/support/install-mysql. Knows nothing of the proxy.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from proxy.demo.galera import server_account
from proxy.demo.node import Site, own_account
from proxy.demo.processes import Process, StartError, free_ports, is_free, tail, wait_until
from router import marker

INSTALL_SECONDS = 180.0
START_SECONDS = 90.0
STOP_SECONDS = 60.0
JOIN_SECONDS = 120.0

# Small, quick and hard on data after a power cut. Expelled as soon as the others agree that a member is silent, which
# takes them 5 s; while they do not, each commit waits a quarter of a second for its turn.
_NODE = """\
[mysqld]
basedir = {server}/usr
datadir = {data}
tmpdir = {directory}
plugin-dir = {server}/usr/lib/mysql/plugin
lc-messages-dir = {server}/usr/share/mysql
character-sets-dir = {server}/usr/share/mysql/charsets
user = {user}
socket = {socket}
pid-file = {data}/mysqld.pid
log-error = {log}
bind-address = 127.0.0.1
port = {port}
mysqlx = OFF
skip-name-resolve
max_connections = 500
max_allowed_packet = 16M
local_infile = ON
secure-file-priv = {files}
innodb_buffer_pool_size = 64M
innodb_redo_log_capacity = 64M
innodb_flush_log_at_trx_commit = 2
innodb_doublewrite = OFF
server_id = {number}
log-bin = binlog
sync_binlog = 0
gtid_mode = ON
enforce_gtid_consistency = ON
report_host = 127.0.0.1
report_port = {port}
plugin_load_add = group_replication.so
loose_group_replication_group_name = {group}
loose_group_replication_start_on_boot = OFF
loose_group_replication_local_address = 127.0.0.1:{group_port}
loose_group_replication_group_seeds = {members}
loose_group_replication_ip_allowlist = 127.0.0.1
loose_group_replication_single_primary_mode = OFF
loose_group_replication_enforce_update_everywhere_checks = ON
loose_group_replication_member_expel_timeout = 0
loose_group_replication_message_cache_size = 134217728
loose_group_replication_recovery_get_public_key = ON
loose_group_replication_recovery_reconnect_interval = 1
"""

_ACCOUNTS = """\
SET sql_log_bin = 0;
CREATE USER 'recovery'@'%' IDENTIFIED BY 'recovery';
GRANT REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO 'recovery'@'%';
CREATE USER 'monitor'@'%' IDENTIFIED BY 'monitor';
GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO 'monitor'@'%';
CREATE USER 'app'@'%' IDENTIFIED BY 'app';
GRANT ALL PRIVILEGES ON *.* TO 'app'@'%' WITH GRANT OPTION;
"""

_STATE = """\
SELECT mine.MEMBER_STATE, (SELECT COUNT(*) FROM performance_schema.replication_group_members
                            WHERE MEMBER_STATE = 'ONLINE')
  FROM performance_schema.replication_group_members mine WHERE mine.MEMBER_ID = @@server_uuid"""


def installed() -> Path:
    """Where MySQL was unpacked; StartError if it was not."""
    found = Path(os.environ.get("MULTIWRITER_MYSQL", ".mysql9")).resolve()
    if not (found / ".installed").exists():
        raise StartError(f"there is no MySQL in {found}: tests/support/install-mysql {found}")
    return found


@dataclass(frozen=True, slots=True)
class Distribution:
    """An unpacked MySQL."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def program(self, name: str) -> Path:
        return self.directory / "bin" / name


class Member:
    """One server of the group: its directory, its ports and, while it runs, its process."""

    def __init__(self, site: Site, mysql: Distribution, group: str, number: int, port: int, group_port: int) -> None:
        self.site = site
        self.number = number
        self.name = f"node{number}" if number else "template"
        self.port = port
        self.group_port = group_port
        self.directory = site.directory / self.name
        self.data = self.directory / "data"
        self.log = self.directory / "error.log"
        self.socket = site.sockets / f"{self.name}.sock"
        self.settings = self.directory / "node.cnf"
        self.process: Process | None = None
        self._mysql = mysql
        self._group = group

    def __repr__(self) -> str:
        return f"<{self.name} 127.0.0.1:{self.port} {self.process or 'not started'}>"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id; StartError if it does not run."""
        if self.process is None or not self.process.running:
            raise StartError(f"{self.name} is not running")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    @property
    def paused(self) -> bool:
        return self.running and self.process is not None and self.process.paused

    # What it is told to do

    def start(self, *, wait: bool = True) -> None:
        """Start the server and let it join the others; with `wait`, return when it is ONLINE."""
        self.launch()
        self.wait_answering()
        if wait:
            self.join()
            self.wait_synced()
        else:
            self.join(wait=False)

    def launch(self) -> None:
        """Start the server, as a member of no group yet."""
        if self.running:
            raise StartError(f"{self.name} is running already (process {self.pid})")
        for port in (self.port, self.group_port):
            if not is_free(port):
                raise StartError(f"{self.name} cannot start: port {port} on 127.0.0.1 is taken by another program")
        self.write_settings()
        with self.log.open("ab") as log:
            self.site.give(self.log)
            self.process = Process(
                [self._mysql.program("mysqld"), f"--defaults-file={self.settings}"],
                output=log,
                directory=self.directory,
                user=self.site.user,
            )

    def wait_answering(self, seconds: float = START_SECONDS) -> None:
        """Return when it takes connections."""

        def answering() -> bool:
            if self.process is not None and self.process.returncode is not None:
                raise StartError(f"{self.name} ended (status {self.process.returncode})\n{tail(self.log)}")
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self.query("SELECT 1")
                return True
            return False

        wait_until(answering, seconds, lambda: f"{self.name} does not answer\n{tail(self.log)}")

    def join(self, *, begin: bool = False, wait: bool = True) -> None:
        """START GROUP_REPLICATION; `begin`: as the first one. Not `wait`: it goes on by itself."""
        with contextlib.closing(self.connect(read_timeout=JOIN_SECONDS if wait else 0.2)) as connection:
            cursor = connection.cursor()
            if begin:
                cursor.execute("SET GLOBAL group_replication_bootstrap_group = ON")
            try:
                cursor.execute("START GROUP_REPLICATION USER='recovery', PASSWORD='recovery'")
            except pymysql.err.OperationalError as error:
                if wait or error.args[0] != 2013:
                    raise StartError(f"{self.name} cannot join: {error}\n{tail(self.log)}") from error
            finally:
                if begin:
                    cursor.execute("SET GLOBAL group_replication_bootstrap_group = OFF")

    def term(self) -> None:
        """SIGTERM: the server says goodbye to the others, closes its data and ends; return when it has."""
        if self.process is not None:
            self.process.terminate(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL: the server is gone without a word; return when it is."""
        if self.process is not None:
            self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: the server goes deaf, and the others expel it after a while."""
        if self.process is None or not self.process.running:
            raise StartError(f"{self.name} is not running")
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT: the server goes on where it was, not knowing that time has passed."""
        if self.process is None or not self.process.running:
            raise StartError(f"{self.name} is not running")
        self.process.resume()

    def go_on_alone(self) -> None:
        """It is the group from now on, which has lost its majority."""
        for members in (f"127.0.0.1:{self.group_port}", ""):
            wait_until(
                lambda members=members: self._forced(members),  # type: ignore[misc]
                JOIN_SECONDS,
                lambda: f"{self.name} does not go on alone\n{tail(self.log)}",
            )

    def _forced(self, members: str) -> bool:
        """False while a change of the group is under way, in which it takes no other."""
        with contextlib.closing(self.connect(read_timeout=JOIN_SECONDS)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(f"SET GLOBAL group_replication_force_members = '{members}'")
            except pymysql.err.OperationalError as error:
                if error.args[0] != 3724:
                    raise
                return False
        return True

    # What it says

    def connect(self, user: str | None = None, password: str = "", **options: Any) -> "pymysql.Connection[Any]":
        """A new connection with autocommit: over TCP for a user, over the Unix socket as root without one."""
        settings: dict[str, Any] = {"autocommit": True, "connect_timeout": 5, "charset": "utf8mb4"} | options
        if user is not None:
            return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, **settings)
        connection = pymysql.connect(user="root", defer_connect=True, **settings)
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(self.socket))
            connection.connect(channel)
        except BaseException:
            channel.close()
            raise
        return connection

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement run as root, not waiting for the group even if the node would."""
        with contextlib.closing(self.connect(read_timeout=10)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def state(self) -> tuple[str, int]:
        """MEMBER_STATE and how many members are ONLINE, as it sees it; ("", 0) if it does not answer."""
        if not self.running or self.paused:
            return "", 0
        try:
            rows = self.query(_STATE)
        except (pymysql.MySQLError, OSError):
            return "", 0
        return (str(rows[0][0]), int(rows[0][1])) if rows else ("OFFLINE", 0)

    def in_step(self, size: int | None = None) -> bool:
        """Whether it is ONLINE and takes writes, in a group of `size` such members if given."""
        state, online = self.state()
        if state != "ONLINE" or (size is not None and online != size):
            return False
        return self.query("SELECT @@GLOBAL.super_read_only") == [(0,)]

    def wait_synced(self, size: int | None = None, seconds: float = JOIN_SECONDS) -> None:
        """Return when the node is in step; StartError with its log's end if it ended or `seconds` have passed."""

        def condition() -> bool:
            if self.process is not None and self.process.returncode is not None:
                raise StartError(f"{self.name} ended (status {self.process.returncode})\n{tail(self.log)}")
            return self.in_step(size)

        wait_until(
            condition,
            seconds,
            lambda: f"{self.name} is not in step after {seconds:.0f} s: {self.state()}\n{tail(self.log)}",
        )

    # Its files

    def write_settings(self) -> None:
        self.settings.write_text(
            _NODE.format(
                server=self._mysql.root,
                data=self.data,
                directory=self.directory,
                user=self.site.user or own_account(),
                socket=self.socket,
                log=self.log,
                port=self.port,
                files=self.site.files,
                number=self.number or 100,
                group=self._group,
                group_port=self.group_port,
                members=",".join(self.site.members),
            )
        )
        self.site.give(self.settings)

    def initialize(self) -> None:
        """Make an empty database with the accounts, of which no member's binary log has anything."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.write_settings()
        text = re.sub("^(plugin_load_add|loose_group|log-bin).*\n", "", self.settings.read_text(), flags=re.MULTILINE)
        self.settings.write_text(text)
        accounts = self.directory / "accounts.sql"
        # One line a statement: that is how the server reads such a file.
        accounts.write_text(_ACCOUNTS)
        self.site.give(self.directory)
        arguments = [f"--defaults-file={self.settings}", "--skip-log-bin", f"--init-file={accounts}"]
        with self.log.open("wb") as log:
            self.site.give(self.log)
            process = Process(
                [self._mysql.program("mysqld"), *arguments, "--initialize-insecure"],
                output=log,
                directory=self.directory,
                user=self.site.user,
            )
            try:
                status = process.wait(INSTALL_SECONDS)
            finally:
                process.kill()
        if status != 0 or "[ERROR]" in self.log.read_text(errors="replace"):
            raise StartError(f"the empty database could not be made (status {status})\n{tail(self.log)}")
        (self.data / "auto.cnf").unlink(missing_ok=True)  # each copy gets a server_uuid of its own


class Group:
    """Members on 127.0.0.1 under one directory. Making the object touches nothing; `start()` does."""

    flavor = "group-replication"
    causal = "SET SESSION group_replication_consistency = 'BEFORE'"
    """What a connection says that is to see all that was committed before."""

    def __init__(self, directory: Path, *, size: int = 3, progress: Callable[[str], None] | None = None) -> None:
        """`progress` gets a line per step."""
        self.directory = directory.resolve()
        self.mysql = Distribution(installed())
        self.site = Site(self.directory, self.directory, server_account(self.directory))
        self._progress = progress or (lambda line: None)
        free = free_ports(2 * size + 2)
        group = str(uuid.uuid4())
        self.nodes = [Member(self.site, self.mysql, group, i + 1, free[2 * i], free[2 * i + 1]) for i in range(size)]
        self.site.members = [f"127.0.0.1:{node.group_port}" for node in self.nodes]
        self.template = Member(self.site, self.mysql, group, 0, free[-1], free[-2])

    def __getitem__(self, number: int) -> Member:
        """The member with this number, counted from 1 as in its name."""
        if not 1 <= number <= len(self.nodes):
            raise StartError(f"there is no node {number}: the nodes are 1 to {len(self.nodes)}")
        return self.nodes[number - 1]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.nodes)

    def __enter__(self) -> "Group":
        try:
            self.start()
        except BaseException:
            self.stop(clean=False)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all members and return when all are ONLINE; data of an earlier run are kept."""
        self.prepare()
        self._progress(f"starting {len(self.nodes)} members")
        for node in self.nodes:
            if not node.running:
                node.launch()
        for node in self.nodes:
            node.wait_answering()
        first = self._most_advanced()
        first.join(begin=True)
        for statement in (*marker.STRUCTURE, *marker.grants_to_service("'monitor'@'%'")):
            first.query(statement)
        self._each([node for node in self.nodes if node is not first], Member.join)
        for node in self.nodes:
            node.wait_synced(size=len(self.nodes))
            self._progress(f"{node.name} is ONLINE on {node.address}")

    def stop(self, *, clean: bool = True) -> None:
        """End every member, also paused ones; return when all are gone. Not `clean`: SIGKILL."""
        self._each([node for node in self.nodes if node.process is not None], Member.term if clean else Member.kill)

    def rejoin(self, number: int) -> None:
        """Bring one member back that was ended or expelled, while the others are a group; return when it is ONLINE."""
        self._bring_back([self[number]])

    def heal(self) -> None:
        """Bring every member back into one group, whatever was done to them; return when all are in step."""
        if all(node.in_step(len(self.nodes)) for node in self.nodes):
            return
        for node in self.nodes:
            if node.paused:
                node.resume()
        with contextlib.suppress(StartError, pymysql.MySQLError, OSError):
            self._bring_back(self.nodes)
            return
        self.stop()
        self.start()

    def _bring_back(self, nodes: Sequence[Member]) -> None:
        """Those of `nodes` that have left the group, once the others agree that they have."""

        def agree() -> bool:
            members = [node for node in self.nodes if node.state()[0] == "ONLINE"]
            return any(node.in_step(len(members)) for node in members)

        wait_until(agree, 30, lambda: "no group is left")
        for node in nodes:
            if not node.running:
                node.launch()
                node.wait_answering()
            if node.state()[0] in ("OFFLINE", "ERROR"):
                node.query("STOP GROUP_REPLICATION")
                node.join()
        for node in nodes:
            node.wait_synced(len(self.nodes), seconds=60)

    def _most_advanced(self) -> Member:
        """The member that has every transaction that any has; they run, and no group yet."""
        executed = {node: node.query("SELECT @@GLOBAL.gtid_executed")[0][0] for node in self.nodes}
        for node in self.nodes:
            if all(node.query(f"SELECT GTID_SUBSET('{other}', '{executed[node]}')") == [(1,)]
                   for other in executed.values()):  # fmt: skip
                return node
        raise StartError(f"the members have gone apart: {executed}")

    @staticmethod
    def _each(nodes: Sequence[Member], do: Callable[[Member], object]) -> None:
        if nodes:
            with ThreadPoolExecutor(len(nodes)) as threads:
                list(threads.map(do, nodes))

    def prepare(self) -> None:
        """Make what is missing of the directories, the template and the members' copies of it."""
        for directory in (self.directory, self.site.files):
            directory.mkdir(parents=True, exist_ok=True)
            self.site.give(directory)
        if not all(node.data.exists() for node in self.nodes):
            self._progress("preparing an empty database")
            self.template.initialize()
        for node in self.nodes:
            if not node.data.exists():
                node.directory.mkdir(exist_ok=True)
                copy = ["cp", "-a", "--reflink=auto", "--sparse=always", self.template.data, node.data]
                subprocess.run(copy, check=True)
                self.site.give(node.directory)
