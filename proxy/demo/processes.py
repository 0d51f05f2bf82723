"""Server processes that end with us: started, signalled and reaped by process id, nothing else on the machine touched.

Knows nothing of databases. Linux only: the kernel is asked to kill the child when its parent goes, so that a demo or a
test run that dies leaves no server behind, not even a stopped one.
"""

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

# The kernel means the parent's *thread* (prctl(2), PR_SET_PDEATHSIG): a child started from a short-lived thread would
# die with that thread. All children are therefore started by this one, which lives as long as the interpreter.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")


class StartError(Exception):
    """Something needed to run the servers is missing, in the way, or did not come up; the text says what and where."""


class Process:
    """One child process in a session of its own, so that a terminal's Ctrl-C reaches only us and we end it in order."""

    __slots__ = ("_child", "paused")

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        output: IO[bytes] | int,
        source: IO[bytes] | int = subprocess.DEVNULL,
        directory: Path | None = None,
        user: str | None = None,
        environment: dict[str, str] | None = None,
        on_parent_death: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start `arguments`. stdin comes from `source`, stdout and stderr go to `output`.

        `user` is an account, root's to choose.
        """
        command = ["setpriv", "--pdeathsig", on_parent_death.name.removeprefix("SIG"), "--", *map(str, arguments)]
        account = pwd.getpwnam(user) if user else None

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(  # noqa: S603 the arguments are ours
                command,
                stdin=source,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
                # The new user is set before setpriv asks for the signal: a later change of user would clear it.
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

        self._child = _starter.submit(start).result()
        self.paused = False

    def __repr__(self) -> str:
        state = "paused" if self.paused else "running" if self.running else f"ended ({self._child.returncode})"
        return f"<Process {self.pid} {state}>"

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        """True until the process has ended; a paused one counts as running."""
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal's number if one ended it; None while it runs."""
        return self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal unless the process has ended already."""
        if self.running:
            self._child.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: the process keeps its connections and answers nothing."""
        self.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        self.signal(signal.SIGCONT)
        self.paused = False

    def wait(self, seconds: float) -> int | None:
        """The exit status, or None if it still runs after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """SIGKILL, and return when the process and what it started are gone."""
        self.signal(signal.SIGKILL)
        self._child.wait()
        self._end_session()

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting. A paused process is resumed, or it could not end."""
        self.signal(signal.SIGTERM)
        self.resume()

    def terminate(self, seconds: float) -> int:
        """SIGTERM, SIGKILL after `seconds`; the exit status."""
        self.ask_to_end()
        status = self.wait(seconds)
        if status is None:
            self.signal(signal.SIGKILL)
            status = self._child.wait()
        self._end_session()
        return status

    def _end_session(self) -> None:
        """Kill what the process started and left behind: a state transfer's scripts, which have our session's id."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                pid = int(entry.name)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if pid != os.getpid() and os.getsid(pid) == self.pid:
                        os.kill(pid, signal.SIGKILL)


def is_free(port: int) -> bool:
    """Whether a server could listen on this TCP port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Servers set this too: connections of an earlier run in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)  # two sockets may share a bound address under SO_REUSEADDR, not a listening one
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Distinct free TCP ports, from below the range that the kernel hands to outgoing connections.

    A port of that range could be taken by anybody's outgoing connection while a server that is to come back is down.
    """
    first, last = 10_000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if last - first < 1000:
        first, last = 20_000, 65_535
    chosen: list[int] = []
    for port in random.SystemRandom().sample(range(first, last), k=500):
        if len(chosen) == count:
            return chosen
        if is_free(port):
            chosen.append(port)
    raise StartError(f"found only {len(chosen)} of {count} free TCP ports between {first} and {last} on 127.0.0.1")


def wait_until(condition: Callable[[], bool], seconds: float, failure: Callable[[], str], every: float = 0.1) -> None:
    """Return as soon as `condition()` holds; StartError with `failure()` as its text when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            raise StartError(failure())
        time.sleep(every)


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log, indented to stand below a message; a note if there is none."""
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError as error:
        return f"    (no log: {error})"
    return "\n".join(f"    {line}" for line in text) or "    (the log is empty)"
