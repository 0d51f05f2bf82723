"""What clients connect to when something is measured: a node itself, this proxy, the others, somebody else's.

Each is started on free ports of 127.0.0.1 with what it needs and no more, in a directory of its own, and says which
processes are its own, so that their CPU time can be told from the database's.
"""

import getpass
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pymysql

from proxy.demo.processes import Process, free_ports, tail, wait_until
from tests.support.proxy import Proxy, Settings

HOST = "127.0.0.1"
START_SECONDS = 60.0  # on a machine that does other things, too

HAPROXY = """\
global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen mysql
  bind {host}:{port}
  balance leastconn
"""

# Its monitor is off and its one thread set, as HAProxy's: what is compared is the cost of a hop.
PROXYSQL = """\
datadir="{directory}"
admin_variables=
{{
    admin_credentials="admin:admin"
    mysql_ifaces="{host}:{admin}"
}}
mysql_variables=
{{
    threads=1
    max_connections=20000
    interfaces="{host}:{port}"
    server_version="10.11.0"
    monitor_enabled=false
    default_authentication_plugin="mysql_native_password"
}}
mysql_servers=
(
{servers}
)
mysql_users=
(
    {{ username="app", password="app", default_hostgroup=0, transaction_persistent=1, active=1, max_connections=20000 }}
)
"""

# On one thread. Only a monitor tells it that a node can be used.
MAXSCALE = """\
[maxscale]
threads=1
admin_enabled=false
load_persisted_configs=false
max_auth_errors_until_block=0

{servers}
[monitor]
type=monitor
module=galeramon
servers={names}
user=app
password=app
monitor_interval=1000ms

[all]
type=service
router={router}
servers={names}
user=app
password=app

[listener]
type=listener
service=all
protocol=MariaDBProtocol
address={host}
port={port}
"""


class Endpoint:
    """An address that takes MySQL clients, and the processes whose cost is its cost."""

    def __init__(self, name: str, port: int, pids: Sequence[int] = (), host: str = HOST, version: str = "") -> None:
        self.name = name
        self.host = host
        self.port = port
        self.version = version
        self._pids = list(pids)

    def __repr__(self) -> str:
        return f"<{self.name} {self.host}:{self.port}>"

    @property
    def pids(self) -> list[int]:
        """Without those that they have started themselves."""
        return self._pids

    def start(self) -> None:
        """Return when clients are served."""

    def stop(self) -> None:
        """Return when its processes are gone."""


class Multiwriter(Endpoint):
    """This proxy, as its users run it."""

    def __init__(
        self, directory: Path, nodes: Sequence[str], settings: Settings | None = None, name: str = "multiwriter"
    ) -> None:
        self.proxy = Proxy(directory, nodes, settings)
        super().__init__(name, self.proxy.port)

    @property
    def pids(self) -> list[int]:
        return [self.proxy.pid]

    def start(self) -> None:
        self.proxy.start(wait=False)
        self.proxy.wait_ready(START_SECONDS)

    def stop(self) -> None:
        self.proxy.kill()


class Program(Endpoint):
    """Another program with a settings file."""

    def __init__(self, name: str, directory: Path, port: int, settings: str, version: str) -> None:
        super().__init__(name, port, version=version)
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = directory / f"{name}.cfg"
        self.settings.write_text(settings)
        self.log = directory / f"{name}.log"
        self.process: Process | None = None

    def arguments(self) -> list[str | Path]:
        raise NotImplementedError

    @property
    def pids(self) -> list[int]:
        return [self.process.pid] if self.process is not None else []

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = Process(self.arguments(), output=log)
        wait_until(lambda: serves(self.port), START_SECONDS, lambda: f"{self.name} serves nobody\n{tail(self.log)}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()


class HAProxy(Program):
    """HAProxy in TCP mode: it copies bytes and knows no SQL, which is the least that a hop can cost."""

    def __init__(self, directory: Path, nodes: Sequence[str], name: str = "haproxy") -> None:
        (port,) = free_ports(1)
        text = HAPROXY.format(host=HOST, port=port)
        text += "".join(f"  server node{number} {node}\n" for number, node in enumerate(nodes, 1))
        super().__init__(name, directory, port, text, version_of(["/usr/sbin/haproxy", "-v"]))

    def arguments(self) -> list[str | Path]:
        return ["/usr/sbin/haproxy", "-db", "-f", self.settings]


class ProxySQL(Program):
    """ProxySQL, from the binary that was given."""

    def __init__(self, directory: Path, nodes: Sequence[str], binary: str) -> None:
        port, admin = free_ports(2)
        servers = ",\n".join(
            f'    {{ address="{node.rpartition(":")[0]}", port={node.rpartition(":")[2]}, hostgroup=0 }}'
            for node in nodes
        )
        text = PROXYSQL.format(directory=directory, host=HOST, port=port, admin=admin, servers=servers)
        super().__init__("proxysql", directory, port, text, version_of([binary, "--version"]))
        self.binary = binary

    def arguments(self) -> list[str | Path]:
        return [self.binary, "-f", "--initial", "-D", self.directory, "-c", self.settings]


class MaxScale(Program):
    """MaxScale, from the binary that was given. `router`: readconnroute looks at no statement, and readwritesplit knows
    what each is.
    """

    def __init__(
        self, directory: Path, nodes: Sequence[str], binary: str, name: str = "maxscale", router: str = "readconnroute"
    ) -> None:
        (port,) = free_ports(1)
        names = [f"node{number}" for number in range(1, len(nodes) + 1)]
        servers = "".join(
            f"[{name}]\ntype=server\naddress={node.rpartition(':')[0]}\nport={node.rpartition(':')[2]}\n\n"
            for name, node in zip(names, nodes, strict=True)
        )
        running = "readconnroute\nrouter_options=running" if router == "readconnroute" else router
        text = MAXSCALE.format(servers=servers, names=",".join(names), host=HOST, port=port, router=running)
        super().__init__(name, directory, port, text, version_of([binary, "--version"]))
        self.binary = binary

    def arguments(self) -> list[str | Path]:
        own = ("logdir", "cachedir", "piddir", "datadir", "persistdir", "language", "module_configdir")
        places = [f"--{name}={self.directory / name}" for name in own]
        for name in own:
            (self.directory / name).mkdir(exist_ok=True)
        return [self.binary, "-d", "-U", getpass.getuser(), "-l", "stdout", "-s", "no", "-f", self.settings, *places]


BINARIES: Final = ("proxysql", "maxscale")
"""What Debian has no package of: measured where somebody says where its binary is."""

GIVEN: Final[Mapping[str, tuple[str, Callable[[Path, Sequence[str], str], Program]]]] = {
    "proxysql": ("proxysql", ProxySQL),
    "maxscale": ("maxscale", MaxScale),
    "maxscale-split": ("maxscale", partial(MaxScale, name="maxscale-split", router="readwritesplit")),
}
"""Endpoints of those: which binary, and how it is started."""


def foreign(text: str) -> Endpoint:
    """An endpoint that somebody else has started, as NAME=HOST:PORT,PID,... Raises ValueError."""
    found = re.fullmatch(r"(\w+)=([\w.]+):(\d+)((?:,\d+)*)", text)
    if found is None:
        raise ValueError(f"{text!r} is not NAME=HOST:PORT,PID,...")
    return Endpoint(found[1], int(found[3]), [int(pid) for pid in found[4].split(",")[1:]], found[2])


def serves(port: int) -> bool:
    """Whether the usual account gets in."""
    try:
        pymysql.connect(host=HOST, port=port, user="app", password="app", connect_timeout=2).close()
    except pymysql.MySQLError:
        return False
    return True


def version_of(command: Sequence[str]) -> str:
    """What the program says first when asked for its version."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).splitlines()[0]


def merged(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two settings for one proxy, section by section."""
    sections = dict(settings)
    for name, values in more.items():
        old = sections.get(name)
        sections[name] = old | values if isinstance(old, Mapping) and isinstance(values, Mapping) else values
    return sections
