"""Where a demo lives: its directory, its ports, and what the settings file in it tells the other commands.

Starts nothing.
"""

import contextlib
import fcntl
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.demo.galera import reachable
from proxy.demo.processes import StartError, free_ports, is_free

PORT = 3306
HTTP_PORT = 9306
FIRST_NODE_PORT = 3311
NODES = 3

_SETTINGS = """\
# Written by `multiwriter demo up`; changes here do not last. `multiwriter serve --config` takes this file as it is.

[cluster]
flavor = "galera"
nodes = [{nodes}]
user = "monitor"
password = "monitor"

[[endpoint]]
name = "write"
listen = "127.0.0.1:{port}"
commit_marker = true                 # a commit whose answer was lost is looked up

[[user]]
name = "app"
password = "app"

[http]
listen = "127.0.0.1:{http_port}"     # /metrics, /healthz, /readyz
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    port: int
    http_port: int
    nodes: tuple[int, ...]

    def settings(self) -> str:
        """The text of the proxy's settings file."""
        nodes = ", ".join(f'"127.0.0.1:{port}"' for port in self.nodes)
        return _SETTINGS.format(nodes=nodes, port=self.port, http_port=self.http_port)

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    def node_name(self, address: str) -> str:
        """`node2` for the second node's host:port, as the proxy names it; any other text unchanged."""
        for number, port in enumerate(self.nodes, start=1):
            if address == f"127.0.0.1:{port}":
                return f"node{number}"
        return address


def tree() -> Path:
    """The source tree that we run from, or the working directory if it is none."""
    source = Path(__file__).resolve().parents[2]
    return source if (source / "pyproject.toml").exists() else Path.cwd()


def default_directory() -> Path:
    """`.demo` in our tree.

    Root's private directories are closed to the account that the nodes run as; then it is one under /var/lib, for this
    tree alone.
    """
    directory = tree() / ".demo"
    if reachable(directory):
        return directory
    name = "-".join(tree().parts[1:])
    return Path("/var/lib") / f"multiwriter-demo-{name[-100:]}"


def settings_file(directory: Path) -> Path:
    return directory / "multiwriter.toml"


def control_socket(directory: Path) -> Path:
    return directory / "control.sock"


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which the kernel lets go however we end; StartError if another demo holds it."""
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(f"a demo is running in {directory} already (process {lock.read().strip()})") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def running(directory: Path) -> bool:
    """Whether a demo holds the directory's lock."""
    with contextlib.suppress(FileNotFoundError), (directory / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_ports(directory: Path) -> Ports:
    """The ports of the demo that was started in this directory; StartError if none was."""
    path = settings_file(directory)
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise StartError(f"{path} is not there") from None

    def port(address: str) -> int:
        return int(address.rpartition(":")[2])

    return Ports(
        port(settings["endpoint"][0]["listen"]),
        port(settings["http"]["listen"]),
        tuple(port(address) for address in settings["cluster"]["nodes"]),
    )


def choose_ports(port: int | None, http_port: int | None, first_node_port: int | None) -> tuple[Ports, list[str]]:
    """Free ports, and a line for each usual one that was busy. StartError if one that was asked for is busy."""
    notes: list[str] = []
    spare = free_ports(2 + NODES)

    def choose(asked: int | None, usual: int, use: str) -> int:
        wanted = usual if asked is None else asked
        if is_free(wanted):
            return wanted
        if asked is not None:
            raise StartError(f"port {asked} on 127.0.0.1, asked for {use}, is taken by another program")
        other = spare.pop()
        notes.append(f"port {usual} is taken by another program: {other} instead for {use}")
        return other

    first = FIRST_NODE_PORT if first_node_port is None else first_node_port
    endpoint, http = choose(port, PORT, "the endpoint"), choose(http_port, HTTP_PORT, "the metrics")
    nodes = tuple(
        choose(None if first_node_port is None else first + i, first + i, f"node{i + 1}") for i in range(NODES)
    )
    return Ports(endpoint, http, nodes), notes
