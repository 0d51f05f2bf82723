"""Where a demo lives: its directory, its ports, and what the settings file in it tells the other commands.

Starts nothing.
"""

import tomllib
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


def default_directory() -> Path:
    """`.demo` in the source tree that we run from, or here if it is none.

    Root's private directories are closed to the account that the nodes run as; then it is one under /var/lib.
    """
    tree = Path(__file__).resolve().parents[2]
    directory = (tree if (tree / "pyproject.toml").exists() else Path.cwd()) / ".demo"
    return directory if reachable(directory) else Path("/var/lib/multiwriter-demo")


def settings_file(directory: Path) -> Path:
    return directory / "multiwriter.toml"


def control_socket(directory: Path) -> Path:
    return directory / "control.sock"


def read_ports(directory: Path) -> Ports:
    """The ports of the demo that was started in this directory; StartError if none was."""
    path = settings_file(directory)
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise StartError(f"no demo was started in {directory}: run `make demo` or `multiwriter demo up`") from None

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
        notes.append(f"port {usual} is taken by another program: {use} is on {other} instead")
        return other

    first = FIRST_NODE_PORT if first_node_port is None else first_node_port
    nodes = tuple(
        choose(None if first_node_port is None else first + i, first + i, f"node{i + 1}") for i in range(NODES)
    )
    return Ports(choose(port, PORT, "the endpoint"), choose(http_port, HTTP_PORT, "the metrics"), nodes), notes
