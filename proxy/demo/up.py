"""`multiwriter demo up`: a cluster and a proxy before it, from nothing to a line to paste, until Ctrl-C.

What it started ends with it, and nothing else does.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from proxy.demo import place
from proxy.demo.control import Control
from proxy.demo.galera import Cluster
from proxy.demo.instance import Instance
from proxy.demo.processes import tail

# The proxy would let open transactions finish for longer than somebody wants to wait who pressed Ctrl-C.
PROXY_STOP_SECONDS = 5.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN = 1.0  # seconds after which a signal that seems to have been lost is raised again
_LAST = 3.0  # seconds beyond what ending takes: a signal may have left a lock of the interpreter's taken for ever

Say = Callable[[str], None]


class _End(BaseException):
    """Raised by a signal that asks us to end: not an Exception, as nothing on the way may swallow it."""


def run(directory: Path, port: int | None, http_port: int | None, first_node_port: int | None) -> int:
    """Run a demo until a signal ends it; the exit code. Ports that are None are the usual ones, or others if busy."""
    begun = time.monotonic()

    def say(line: str) -> None:
        # A terminal that was closed takes no more lines, which is no reason to leave the nodes.
        with contextlib.suppress(OSError):
            print(f"{time.monotonic() - begun:5.1f} s  {line}", flush=True)

    with contextlib.suppress(_End), contextlib.ExitStack() as ending:
        ending.enter_context(_signals())
        print(f"multiwriter demo in {directory}{_why_there(directory)}", flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        ending.enter_context(place.alone(directory))
        ports, notes = place.choose_ports(port, http_port, first_node_port)
        for note in notes:
            say(note)
        cluster = Cluster(directory, size=place.NODES, ports=ports.nodes, progress=say)
        proxy = Instance(directory, place.settings_file(directory), ports.http)
        ending.callback(_stop, cluster, proxy, say)
        cluster.start()
        proxy.settings.write_text(ports.settings())
        proxy.start()
        say(f"the proxy is ready on 127.0.0.1:{ports.port}")
        control = Control(place.control_socket(directory), cluster, say)
        control.start()
        ending.callback(control.close)
        print(_welcome(ports, directory), flush=True)
        return _watch(cluster, proxy, say)
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the demo once: in the midst of ending they change nothing any more."""

    def end(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        # What is raised while a finalizer happens to run goes no further than that.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        raise _End

    def end_again(number: int, frame: FrameType | None) -> None:
        raise _End

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, end_again)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    # Not SIG_IGN: Python would complain of a signal that came just before and has not been handled yet.
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: None)


def _stop(cluster: Cluster, proxy: Instance, say: Say) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    _ignore_signals()
    # What still runs then ends with us.
    seconds = max(node.stop_seconds for node in cluster) + (PROXY_STOP_SECONDS if proxy.running else 0.0)
    last = threading.Timer(seconds + _LAST, os._exit, (0,))
    last.daemon = True
    last.start()
    with contextlib.suppress(OSError):
        print(flush=True)
    say("ending the proxy and the nodes")
    if proxy.running:
        proxy.stop(PROXY_STOP_SECONDS)
    cluster.stop()
    say("all ended")


def _watch(cluster: Cluster, proxy: Instance, say: Say) -> int:
    """Say when a node ends or the proxy does; the exit code once the proxy has."""
    running = {node.name: node.running for node in cluster}
    never = threading.Event()
    while proxy.running:
        never.wait(0.5)
        for node in cluster:
            if running[node.name] and not node.running:
                say(f"{node.name} is gone; its log is {node.log}")
            running[node.name] = node.running
    status = proxy.process.returncode if proxy.process else None
    say(f"the proxy ended by itself (status {status}); the end of {proxy.log}:\n{tail(proxy.log)}")
    return 1


def _why_there(directory: Path) -> str:
    tree = place.tree()
    if directory != place.default_directory() or directory.parent == tree:
        return ""
    return f" (the nodes run as the account mysql, which cannot get to {tree})"


def _welcome(ports: place.Ports, directory: Path) -> str:
    command = "multiwriter demo"
    if directory != place.default_directory():
        command += f" --dir {shlex.quote(str(directory))}"
    nodes = ", ".join(f"node{i} 127.0.0.1:{port}" for i, port in enumerate(ports.nodes, start=1))
    return f"""
  endpoint   127.0.0.1:{ports.port}   user app, password app, schema demo
  connect    {_client(ports.port)}
  metrics    http://{ports.http}/metrics
  nodes      {nodes}
  log        {directory / "proxy.log"}

  In another terminal{_activation()}:
    {command} load       a mixed transactional load, with what it costs live
    {command} kill 2     also term, pause, resume, start: act on a node meanwhile
    {command} status     the nodes as the proxy sees them

  Ctrl-C ends the proxy and the nodes. The next start is quick and has the same data.
"""


def _activation() -> str:
    """How to have the command at hand, unless it is found already."""
    return "" if shutil.which("multiwriter") else " (after `. .venv/bin/activate`)"


def _client(port: int) -> str:
    """The line that connects with the command-line client of this machine."""
    program = "mysql" if shutil.which("mysql") else "mariadb"
    line = f"{program} --host=127.0.0.1 --port={port} --user=app --password=app"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
        version = re.search(r"(\d+)\.(\d+)\.\d+-MariaDB", shown)
        # From 11.4 on the client insists on TLS unless told otherwise, and the demo has no certificate.
        if version and (int(version[1]), int(version[2])) >= (11, 4):
            line += " --skip-ssl"
    return f"{line} demo"
