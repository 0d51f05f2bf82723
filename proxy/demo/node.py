"""One MariaDB node of a Galera cluster on loopback: its settings, its process, and what it says about itself.

A node is a child process of ours with a directory and ports of its own. It knows the other members as addresses only.

Sources: MariaDB's manual on Galera (status variables, restarting a cluster, `--wsrep-recover`) and Galera's parameters.
"""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from proxy.demo.processes import Process, StartError, is_free, tail, wait_until

START_SECONDS = 60.0
STOP_SECONDS = 30.0
# A server that has not joined yet hears SIGTERM only when it has, or has given up waiting for the others, after 30 s.
UNFINISHED_STOP_SECONDS = 2.0
SYNC_SECONDS = 60.0

# A killed member stops commits everywhere until the others have expelled it. Galera's defaults take 6 s; these less
# than one, which suits loopback only: over a real network they would expel members that are merely slow.
FAILURE_DETECTION = {
    "evs.keepalive_period": "PT0.2S",
    "evs.inactive_check_period": "PT0.1S",
    "evs.suspect_timeout": "PT0.6S",
    "evs.inactive_timeout": "PT1.2S",
    "evs.join_retrans_period": "PT0.2S",
    "gmcast.peer_timeout": "PT1S",
}

_PROVIDERS = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/x86_64-linux-gnu/galera/libgalera_smm.so",
)

# InnoDB's files must have been made with the settings that open them, so the template's run uses these too.
STORAGE = """\
innodb_buffer_pool_size = 64M
innodb_log_file_size = 32M
innodb_flush_log_at_trx_commit = 2
innodb_doublewrite = OFF
"""

_NODE = """\
# Written at each start of the node; changes here do not last.
[mysqld]
datadir = {data}
# A server that starts removes the temporary tables that it finds here; one that is using them crashes of it.
tmpdir = {directory}
user = {user}
socket = {socket}
pid-file = {data}/mariadb.pid
log-error = {log}
bind-address = 127.0.0.1
port = {port}
skip-name-resolve
performance_schema = OFF
max_connections = 500
thread_cache_size = 64
character-set-server = utf8mb4
secure-file-priv = {files}
{storage}
binlog_format = ROW
innodb_autoinc_lock_mode = 2
wsrep_on = ON
wsrep_provider = {provider}
wsrep_provider_options = "{options}"
wsrep_cluster_name = demo
wsrep_cluster_address = gcomm://{members}
wsrep_node_name = {name}
wsrep_node_address = 127.0.0.1:{group_port}
wsrep_node_incoming_address = 127.0.0.1:{port}
wsrep_sst_method = rsync
wsrep_sst_receive_address = 127.0.0.1:{transfer_port}
wsrep_slave_threads = 4
"""

# What `SHOW GLOBAL STATUS` says of a node that can take work.
_IN_STEP = {
    "wsrep_ready": "ON",
    "wsrep_connected": "ON",
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state_comment": "Synced",
}


@dataclass(slots=True)
class Site:
    """What the nodes of one cluster share."""

    directory: Path
    sockets: Path
    """Where the servers' Unix sockets are: `directory`, or a path that is shorter and has no blank."""
    user: str | None
    """The account that the servers run as; None for our own."""
    members: list[str] = field(default_factory=list)
    """Where the members find each other, as host:port."""

    @property
    def files(self) -> Path:
        """The only directory whose files SQL statements may read and write."""
        return self.directory / "files"

    def give(self, path: Path) -> None:
        """Make a file, or a directory with all that is in it, the property of the account that the servers run as."""
        if self.user is not None:
            subprocess.run(["chown", "-R", f"{self.user}:", path], check=True)  # noqa: S603, S607


class Node:
    """One MariaDB server of the cluster: its directory, its ports and, while it runs, its process."""

    def __init__(self, site: Site, number: int, port: int, ports: Sequence[int]) -> None:
        self.site = site
        self.number = number
        self.name = f"node{number}" if number else "template"
        self.port = port
        self.group_port, self.state_port, self.transfer_port = ports
        self.directory = site.directory / self.name
        self.data = self.directory / "data"
        self.log = self.directory / "error.log"
        self.socket = site.sockets / f"{self.name}.sock"
        self.process: Process | None = None
        self._joined = False

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

    @property
    def stop_seconds(self) -> float:
        """How long it may take to end when asked to; then it is killed."""
        return STOP_SECONDS if self._joined else UNFINISHED_STOP_SECONDS

    # What it is told to do

    def start(self, *, wait: bool = True, bootstrap: bool = False, view: str | None = None) -> None:
        """Start the server; with `wait`, return when it is Synced in the primary component.

        It joins the others with its own data (an incremental state transfer sends what it missed). With `bootstrap` it
        begins the cluster anew; with `view`, the text of a saved view, it does so as soon as that view's members meet.
        """
        if self.running:
            raise StartError(f"{self.name} is running already (process {self.pid})")
        for port in (self.port, self.group_port, self.state_port):
            if not is_free(port):
                raise StartError(f"{self.name} cannot start: port {port} on 127.0.0.1 is taken by another program")
        self._joined = False
        self.write_settings()
        saved_view = self.data / "gvwstate.dat"
        saved_view.unlink(missing_ok=True)
        if view is not None:
            saved_view.write_text(view)
            self.site.give(saved_view)
        arguments: list[str] = []
        if bootstrap:
            self._allow_bootstrap()
            arguments.append("--wsrep-new-cluster")
        start = self._start_position()
        if start:
            arguments.append(f"--wsrep-start-position={start}")
        with self.log.open("ab") as log:
            self.site.give(self.log)
            self.process = Process(
                [program("mariadbd"), f"--defaults-file={self._settings}", *arguments],
                output=log,
                directory=self.directory,
                user=self.site.user,
            )
        if wait:
            self.wait_synced()

    def term(self) -> None:
        """SIGTERM: the server says goodbye to the others, closes its data and ends; return when it has."""
        if self.process is not None:
            self.process.terminate(self.stop_seconds)

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
        """What is left of a cluster that has lost its majority is the cluster from now on."""
        self.query("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")

    # What it says

    def connect(self, user: str | None = None, password: str = "", **options: Any) -> "pymysql.Connection[Any]":
        """A new connection with autocommit: over TCP for a user, over the Unix socket as root without one."""
        settings: dict[str, Any] = {"autocommit": True, "connect_timeout": 5, "charset": "utf8mb4"} | options
        if user is not None:
            return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, **settings)
        connection = pymysql.connect(user=own_account(), defer_connect=True, **settings)
        # Connected here: PyMySQL leaves a Unix socket open that was refused, as is usual while a node starts.
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(self.socket))
            connection.connect(channel)
        except BaseException:
            channel.close()
            raise
        return connection

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement run as root, not waiting for the cluster even if the node would."""
        with contextlib.closing(self.connect(read_timeout=5)) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 0")
            cursor.execute(statement)
            return list(cursor.fetchall())

    def status(self) -> dict[str, str]:
        """The node's `wsrep_` status, empty if it does not answer."""
        if not self.running or self.paused:
            return {}
        try:
            return {str(name): str(value) for name, value in self.query("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'")}
        except (pymysql.MySQLError, OSError):
            return {}

    def in_step(self, size: int | None = None) -> bool:
        """Whether it is ready and Synced in the primary component, of `size` members if given."""
        status = self.status()
        return all(status.get(name) == value for name, value in _IN_STEP.items()) and (
            size is None or status["wsrep_cluster_size"] == str(size)
        )

    def wait_synced(self, size: int | None = None, seconds: float = SYNC_SECONDS) -> None:
        """Return when the node is in step; StartError with its log's end if it ended or `seconds` have passed."""

        def failure() -> str:
            status = {name: value for name, value in self.status().items() if name in _IN_STEP or "cluster" in name}
            return f"{self.name} is not Synced after {seconds:.0f} s: {status or 'no answer'}\n{tail(self.log)}"

        def condition() -> bool:
            if self.process is not None and self.process.returncode is not None:
                raise StartError(f"{self.name} ended (status {self.process.returncode})\n{tail(self.log)}")
            return self.in_step(size)

        wait_until(condition, seconds, failure)
        self._joined = True

    # Its files

    @property
    def _settings(self) -> Path:
        return self.directory / "node.cnf"

    @property
    def _state(self) -> Path:
        return self.data / "grastate.dat"

    def write_settings(self) -> None:
        options = FAILURE_DETECTION | {
            "base_port": str(self.group_port),
            "gmcast.listen_addr": f"tcp://127.0.0.1:{self.group_port}",
            "ist.recv_addr": f"127.0.0.1:{self.state_port}",
            "gcache.size": "128M",
        }
        self._settings.write_text(
            _NODE.format(
                data=self.data,
                directory=self.directory,
                user=self.site.user or own_account(),
                socket=self.socket,
                log=self.log,
                port=self.port,
                files=self.site.files,
                storage=STORAGE,
                provider=provider(),
                options=";".join(f"{name}={value}" for name, value in options.items()),
                members=",".join(self.site.members) if self.number else "",
                name=self.name,
                group_port=self.group_port,
                transfer_port=self.transfer_port,
            )
        )
        self.site.give(self._settings)  # a strict umask would hide them from the server

    def saved(self) -> tuple[str, int]:
        """The cluster's uuid and the last transaction's number as saved at a clean end; -1 after any other end."""
        text = self._state.read_text()
        found = dict(re.findall(r"^(uuid|seqno):\s*(\S+)$", text, re.MULTILINE))
        return found["uuid"], int(found["seqno"])

    @property
    def ended_cleanly(self) -> bool:
        return self._state.exists() and self.saved()[1] >= 0

    def position(self) -> int:
        """The number of the last transaction in its data, -1 if that cannot be told. The node must not be running."""
        _, number = self.saved()
        if number < 0:
            self.write_settings()
            number = int((self.recover() or ":-1").rpartition(":")[2])
        return number

    def _start_position(self) -> str | None:
        """Where InnoDB's own log says the node stands, needed after an end that saved nothing; None if that is known.

        Without it the node would ask for all data instead of the part that it missed.
        """
        if not self._state.exists():
            return None
        cluster, number = self.saved()
        return f"{cluster}:{number}" if number >= 0 else self.recover()

    def recover(self) -> str | None:
        """`uuid:seqno` as found by `mariadbd --wsrep-recover`, which also repairs InnoDB's files; None if unknown."""
        log = self.directory / "recover.log"
        log.unlink(missing_ok=True)
        with log.open("wb") as output:
            arguments = [program("mariadbd"), f"--defaults-file={self._settings}", f"--log-error={log}"]
            process = Process(
                [*arguments, "--wsrep-recover"], output=output, directory=self.directory, user=self.site.user
            )
            try:
                if process.wait(START_SECONDS) is None:
                    raise StartError(f"{self.name}: recovery did not end in {START_SECONDS:.0f} s\n{tail(log)}")
            finally:
                process.kill()
        found = re.findall(r"Recovered position:\s*(\S+:-?\d+)", log.read_text(errors="replace"))
        return found[-1] if found and not found[-1].endswith(":-1") else None

    def _allow_bootstrap(self) -> None:
        if not self._state.exists():
            return  # never was part of a cluster
        text = self._state.read_text()
        self._state.write_text(re.sub(r"safe_to_bootstrap:\s*\d", "safe_to_bootstrap: 1", text))


def own_account() -> str:
    """The name of the account that we run as."""
    return pwd.getpwuid(os.geteuid()).pw_name


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/usr/libexec")
    if found is None:
        raise StartError(f"{name} is not installed: mariadb-server and galera-4 are needed")
    return found


def provider() -> str:
    for path in _PROVIDERS:
        if Path(path).exists():
            return path
    raise StartError(f"Galera's library is not installed (looked for {', '.join(_PROVIDERS)}): install galera-4")
