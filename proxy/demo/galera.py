"""A Galera cluster of MariaDB nodes on loopback, for the demo and the tests: made, broken and repaired by program.

The nodes are copies of a template that is prepared once. Knows nothing of the proxy. Each wait has a deadline, and what
did not come up says so with the end of its error log.
"""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from proxy.demo.node import STORAGE, Node, Site, own_account, program
from proxy.demo.processes import Process, StartError, free_ports, tail, wait_until
from router import marker

INSTALL_SECONDS = 120.0


class Cluster:
    """Nodes on 127.0.0.1 under one directory. Making the object touches nothing; `start()` does."""

    flavor = "galera"
    causal = "SET SESSION wsrep_sync_wait = 15"
    """What a connection says that is to see all that was committed before."""

    def __init__(
        self,
        directory: Path,
        *,
        size: int = 3,
        ports: Sequence[int] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """`ports` are the SQL ports, one a node; free ones are chosen if not given. `progress` gets a line per step."""
        self.directory = directory.resolve()
        self.site = Site(self.directory, _socket_directory(self.directory), server_account(self.directory))
        self._progress = progress or (lambda line: None)
        free = free_ports(4 * size + 4)
        sql = list(ports) if ports else free[:size]
        if len(sql) != size:
            raise ValueError(f"{size} nodes need {size} ports, not {len(sql)}")
        self.nodes = [Node(self.site, i + 1, sql[i], free[size + 3 * i : size + 3 * i + 3]) for i in range(size)]
        self.site.members = [f"127.0.0.1:{node.group_port}" for node in self.nodes]
        self.template = Node(self.site, 0, free[-1], free[-4:-1])

    def __getitem__(self, number: int) -> Node:
        """The node with this number, counted from 1 as in its name."""
        if not 1 <= number <= len(self.nodes):
            raise StartError(f"there is no node {number}: the nodes are 1 to {len(self.nodes)}")
        return self.nodes[number - 1]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __enter__(self) -> "Cluster":
        try:
            self.start()
        except BaseException:
            self.stop(clean=False)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes and return when all are Synced in one component; data of an earlier run are kept."""
        self.prepare()
        positions = {node: node.position() for node in self.nodes}
        self._progress(f"starting {len(self.nodes)} nodes")
        # A node that restores a view looks for its other members, and takes it for an error that there are none.
        if len(self.nodes) > 1 and len(set(positions.values())) == 1 and positions[self.nodes[0]] >= 0:
            for node, view in zip(self.nodes, _views(len(self.nodes)), strict=True):
                node.start(wait=False, view=view)
        else:
            first = max(self.nodes, key=positions.__getitem__)
            first.start(bootstrap=True, wait=False)
            for node in self.nodes:
                if node is not first:
                    node.start(wait=False)
        for node in self.nodes:
            self._take_in(node)
        for node in self.nodes:
            node.wait_synced(size=len(self.nodes))
            self._progress(f"{node.name} is Synced on {node.address}")

    def _take_in(self, node: Node) -> None:
        """Wait for a node that joins. One that gives up, as it does when its donor leaves it, is started once more."""
        try:
            node.wait_synced()
        except StartError:
            if node.running:
                raise
            node.start()

    def stop(self, *, clean: bool = True) -> None:
        """End every node, also paused ones; return when all are gone. Not `clean`: SIGKILL, quick and hard on data."""
        started = [(node.stop_seconds, node.process) for node in self.nodes if node.process is not None]
        for _, process in started:
            if clean:
                process.ask_to_end()
            else:
                process.kill()
        begun = time.monotonic()
        for seconds, process in sorted(started, key=lambda each: each[0]):
            process.terminate(max(0.0, begun + seconds - time.monotonic()))
        if self.site.sockets != self.directory:
            shutil.rmtree(self.site.sockets, ignore_errors=True)

    def rejoin(self, number: int) -> None:
        """Start one node and return when it is Synced.

        If nobody is left who could take it in, it begins the cluster, provided that it has every transaction. If those
        left have lost the majority, they are told to go on as the cluster first.
        """
        node = self[number]
        if node.running:
            raise StartError(f"{node.name} is running already (process {node.pid})")
        others = [other for other in self.nodes if other.running and not other.paused]
        if not others:
            paused = [other.name for other in self.nodes if other.paused]
            if paused:
                raise StartError(f"the other nodes are gone or paused: resume {' and '.join(paused)} first")
            first = self.most_advanced()
            if node.position() < first.position():
                raise StartError(f"no node is running and {first.name} has the latest transactions: start it first")
            node.start(bootstrap=True)
            return
        if not self._has_primary():
            others[0].go_on_alone()
        node.start()

    def heal(self) -> None:
        """Bring every node back into one primary component, whatever was done to them; return when all are Synced."""
        if all(node.in_step(len(self.nodes)) for node in self.nodes):
            return
        for node in self.nodes:
            if node.paused:
                node.resume()
        if self._has_primary():
            with contextlib.suppress(StartError):
                for node in self.nodes:
                    if not node.running:
                        node.start(wait=False)
                for node in self.nodes:
                    node.wait_synced(len(self.nodes), seconds=30.0)
                return
        # What is left has lost the majority and would wait for ever for members that no longer exist.
        self.stop()
        self.start()

    def _has_primary(self, seconds: float = 10.0) -> bool:
        """Whether those that run come to agree, within `seconds`, that they and nobody else are the primary component.

        A node that lost the majority calls itself primary until it has noticed.
        """
        running = [node for node in self.nodes if node.running and not node.paused]
        verdict = False

        def decided() -> bool:
            nonlocal verdict
            verdict = any(node.in_step(len(running)) for node in running)
            return verdict or all(node.status().get("wsrep_cluster_status") == "non-Primary" for node in running)

        with contextlib.suppress(StartError):
            wait_until(decided, seconds, lambda: "no agreement")
        return verdict

    def most_advanced(self) -> Node:
        """The node with the last transaction that any has: the only one that may begin the cluster without a loss."""
        return max(self.nodes, key=Node.position)

    # Files

    def prepare(self) -> None:
        """Make what is missing of the directories, the template and the nodes' copies of it."""
        for directory in (self.directory, self.site.files, self.site.sockets):
            directory.mkdir(parents=True, exist_ok=True)
            self.site.give(directory)
        if not self.template.ended_cleanly:
            self._progress("preparing an empty database (once)")
            self._make_template()
        for node in self.nodes:
            if not node.data.exists():
                node.directory.mkdir(exist_ok=True)
                _copy(self.template.data, node.data)
                self.site.give(node.directory)

    def _make_template(self) -> None:
        """Make the template as a cluster of one that ended cleanly: its copies are then in step without a transfer."""
        shutil.rmtree(self.template.directory, ignore_errors=True)
        self.template.directory.mkdir()
        self.site.give(self.template.directory)
        log = self.directory / "template.log"
        settings = self.directory / "template.cnf"
        settings.write_text(f"[mysqld]\nskip-log-bin\ntmpdir = {self.template.directory}\n{STORAGE}")
        statements = self.directory / "template.sql"
        statements.write_text(_accounts())
        owner = self.site.user or own_account()
        # This one is a shell script that takes no path with a blank in it.
        made = self.site.sockets / "made"
        shutil.rmtree(made, ignore_errors=True)
        install = [program("mariadb-install-db"), f"--defaults-file={settings.name}", f"--datadir={made}"]
        install += [
            f"--user={owner}",
            "--skip-test-db",
            "--auth-root-authentication-method=socket",
            "--skip-name-resolve",
        ]
        accounts = [program("mariadbd"), f"--defaults-file={settings}", f"--datadir={self.template.data}"]
        accounts += [f"--user={owner}", "--bootstrap"]
        with log.open("wb") as output, statements.open("rb") as source:
            for arguments, given in ((install, subprocess.DEVNULL), (accounts, source)):
                process = Process(arguments, output=output, source=given, directory=self.directory)
                try:
                    status = process.wait(INSTALL_SECONDS)
                finally:
                    process.kill()
                if status != 0:
                    how = "took too long" if status is None else f"failed (status {status})"
                    raise StartError(f"{arguments[0]} {how}\n{tail(log)}")
                if arguments is install:
                    shutil.move(made, self.template.data)
                    self.site.give(self.template.data)
        if re.search(r"^ERROR", log.read_text(errors="replace"), re.MULTILINE):
            raise StartError(f"the template's accounts could not be made\n{tail(log)}")
        try:
            self.template.start(bootstrap=True)
            for statement in (*marker.STRUCTURE, *marker.grants_to_service("'monitor'@'%'")):
                self.template.query(statement)
        finally:
            self.template.term()


def _views(size: int) -> list[str]:
    """For each of `size` members, what Galera saves of a primary component that has them all (gvwstate.dat).

    Members that start with it at the same position form that component at once. A node that begins the cluster alone
    would be a step ahead of the others, and send each of them a state transfer, which takes seconds.
    """
    members = sorted(str(uuid.uuid1(node=secrets.randbits(47))) for _ in range(size))
    view = "\n".join(f"member: {member} 0" for member in members)
    return [
        f"my_uuid: {member}\n#vwbeg\nview_id: 3 {members[0]} 1\nbootstrap: 0\n{view}\n#vwend\n" for member in members
    ]


def _accounts() -> str:
    """SQL for the template: whoever runs this is root by way of the Unix socket, `monitor` and `app` have passwords."""
    owner = own_account()
    return f"""\
USE mysql;
FLUSH PRIVILEGES;
DROP USER IF EXISTS ''@'localhost';
DROP USER IF EXISTS ''@'{os.uname().nodename.lower()}';
CREATE USER IF NOT EXISTS '{owner}'@'localhost' IDENTIFIED VIA unix_socket;
GRANT ALL PRIVILEGES ON *.* TO '{owner}'@'localhost' WITH GRANT OPTION;
CREATE USER 'monitor'@'%' IDENTIFIED BY 'monitor';
GRANT PROCESS, CONNECTION ADMIN ON *.* TO 'monitor'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO 'monitor'@'%';
CREATE USER 'app'@'%' IDENTIFIED BY 'app';
GRANT ALL PRIVILEGES ON *.* TO 'app'@'%' WITH GRANT OPTION;
CREATE DATABASE demo CHARACTER SET utf8mb4;
"""


def reachable(directory: Path) -> bool:
    """Whether the servers could get to this directory.

    Root runs them as `mysql`: SQL could otherwise write any file, and the state transfer's rsync gives up root itself.
    """
    existing = (path for path in directory.parents if path.exists())
    return os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in existing)


def server_account(directory: Path) -> str | None:
    """The account that the servers run as, None for our own."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("mysql")
    except KeyError:
        raise StartError(
            "there is no account mysql: mariadb-server is not installed, and galera-4 is needed, too"
        ) from None
    if not reachable(directory):
        raise StartError(
            f"the account mysql, which the nodes run as, cannot get to {directory}: choose another directory"
        )
    return "mysql"


def _socket_directory(directory: Path) -> Path:
    """The cluster's directory, or one under the temporary directory, if that is too long or has a blank in it.

    A socket's path has at most 107 bytes.
    """
    if len(os.fsencode(directory)) < 80 and not re.search(r"\s", str(directory)):
        return directory
    number = zlib.crc32(os.fsencode(directory))
    return Path(tempfile.gettempdir()) / f"multiwriter-{os.geteuid()}-{number:08x}"


def _copy(source: Path, target: Path) -> None:
    """Copy a data directory, sharing blocks where the file system can. A copy cut short is not taken for one."""
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", source, partial], check=True)  # noqa: S603, S607
    partial.rename(target)
