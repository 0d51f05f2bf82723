"""The demo as a new user runs it: up, load, a node killed and started again, Ctrl-C, and up again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo import place
from proxy.demo.processes import free_ports, is_free, wait_until
from tests.integration.conftest import Direct, MakeProxy
from tests.support.proxy import Proxy

pytestmark = pytest.mark.only("galera")  # of which the demo's cluster is one

COMMAND = [sys.executable, "-c", "import sys; from proxy.cli import main; sys.exit(main())", "demo"]


class Demo:
    """A `multiwriter demo up` in a directory of its own, and the other commands as another terminal gives them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "output.txt"
        first = next(port for port in free_ports(50) if all(is_free(port + i) for i in range(3)))
        port, http_port = free_ports(2)
        self.options = ["--port", str(port), "--http-port", str(http_port), "--node-ports", str(first)]
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        self.begin()
        self.wait_for("Ctrl-C")

    def begin(self) -> None:
        assert self.process is None or self.process.poll() is not None, "it runs still"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--dir", self.directory, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, text: str) -> None:
        """Return when it has said this."""
        assert self.process is not None
        wait_until(lambda: text in self.text() or self.process.poll() is not None, 60, self.text, every=0.02)
        assert self.process.poll() is None, self.text()

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def text(self) -> str:
        return self.output.read_text()

    def run(self, *arguments: str, seconds: float = 90.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments, "--dir", self.directory],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def processes(self) -> list[str]:
        """The command lines of all that runs in its directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(self.directory) in line:
                    found.append(line)
        return found


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    directory = Path(tempfile.mkdtemp(prefix="multiwriter demo "))  # a blank must do no harm
    started = Demo(directory)
    try:
        started.up()
        yield started
    finally:
        if started.process is not None and started.process.poll() is None:
            started.process.kill()
            started.process.wait()
        wait_until(lambda: not started.processes(), 30, lambda: f"left: {started.processes()}")
        shutil.rmtree(directory)


def test_it_says_how_to_connect(demo: Demo) -> None:
    ports = place.read_ports(demo.directory)
    line = re.search(r"connect +(.*)", demo.text())
    assert line is not None
    shown = subprocess.run([*line[1].split(), "-BNe", "SELECT DATABASE()"], capture_output=True, text=True, check=True)
    assert shown.stdout == "demo\n"
    assert f"http://127.0.0.1:{ports.http_port}/metrics" in demo.text()


def test_a_second_one_in_the_same_place_is_refused(demo: Demo) -> None:
    second = demo.run("up")
    assert second.returncode == 1
    assert f"is running in {demo.directory} already" in second.stderr


def test_a_node_is_killed_and_started_under_load_and_no_client_notices(demo: Demo) -> None:
    with subprocess.Popen(
        [*COMMAND, "load", "--seconds", "15", "--dir", demo.directory], stdout=subprocess.PIPE, text=True
    ) as load:
        assert load.stdout is not None
        lines = [load.stdout.readline() for _ in range(5)]  # a title, the words, three seconds
        killed = demo.run("kill", "2")
        assert killed.returncode == 0, killed.stderr
        assert killed.stdout.startswith("node2 was killed")
        wait_until(
            lambda: re.search(r"node2 .* (suspect|down) ", demo.run("status").stdout) is not None,
            10,
            lambda: "still up",
        )
        started = demo.run("start", "2")
        assert started.returncode == 0, started.stderr
        rest = load.stdout.read()
    assert load.returncode == 0, "".join(lines) + rest
    assert "every acknowledged transaction is there" in rest
    assert re.search("node2 (suspect|down)", rest)
    assert "no error at any client" in rest
    wait_until(lambda: demo.run("status").stdout.count(" up ") == 3, 20, lambda: demo.run("status").stdout)


def test_what_makes_no_sense_is_said_to_be_so(demo: Demo) -> None:
    assert "node1 is running already" in demo.run("start", "1").stderr
    assert "node1 is not paused" in demo.run("resume", "1").stderr
    assert demo.run("kill", "4").returncode == 2


def test_ctrl_c_ends_all_of_it_and_the_next_start_is_quick_and_has_the_same_data(demo: Demo) -> None:
    paused = demo.run("pause", "3")
    assert paused.returncode == 0, paused.stderr
    assert demo.end(signal.SIGINT) == 0
    assert demo.processes() == []
    assert "no demo is running" in demo.run("kill", "1").stderr
    assert "(once)" in demo.text()
    demo.up()
    assert "(once)" not in demo.text()
    load = demo.run("load", "--seconds", "1", "--clients", "2")
    assert load.returncode == 0, load.stdout + load.stderr
    assert demo.end(signal.SIGTERM) == 0
    assert demo.processes() == []


def test_killed_itself_it_leaves_nothing_that_runs_and_starts_again(demo: Demo) -> None:
    demo.up()
    assert demo.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: demo.processes() == [], 10, lambda: f"left: {demo.processes()}")
    assert "no demo is running" in demo.run("status").stderr
    demo.up()
    assert demo.run("status").stdout.count(" up ") == 3
    assert demo.end(signal.SIGINT) == 0


@pytest.mark.parametrize("said", ["multiwriter demo in", "starting 3 nodes"])
def test_ctrl_c_ends_it_soon_also_before_it_is_up(demo: Demo, said: str) -> None:
    demo.begin()
    demo.wait_for(said)
    assert demo.end(signal.SIGINT) == 0
    assert demo.processes() == []
    assert "Traceback" not in demo.text()
    assert "is ready" not in demo.text()


def test_an_error_at_a_client_makes_the_load_fail(make_proxy: MakeProxy, direct: Direct, tmp_path: Path) -> None:
    # Without replay the proxy hands conflicts on, as a spread without it must.
    proxy: Proxy = make_proxy({"replay": {"enabled": False}})
    ports = place.Ports(proxy.port, proxy.http_port, tuple(range(1, 4)))
    place.settings_file(tmp_path).write_text(ports.settings())
    load = subprocess.run(
        [*COMMAND, "load", "--seconds", "4", "--dir", tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert load.returncode == 1, load.stdout + load.stderr
    assert "error at a client: OperationalError 1213" in load.stdout
    assert "BROKEN" not in load.stdout
