"""How another terminal acts on a running demo's nodes: one request and one answer, as JSON lines over a Unix socket.

Only the account that started the demo, and root, can connect.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from proxy.demo.galera import Cluster
from proxy.demo.processes import StartError

ACTIONS = {
    "kill": "SIGKILL: the node is gone without a word",
    "term": "SIGTERM: the node says goodbye and ends",
    "pause": "SIGSTOP: the node keeps its connections and answers nothing",
    "resume": "SIGCONT: a paused node goes on where it was",
    "start": "start a node that was ended; return when it is in step",
}

# A start may need a full copy of the data from another node.
ANSWER_SECONDS = 120.0


def act(cluster: Cluster, action: str, number: int) -> str:
    """Do one of ACTIONS to a node; what was done, in words. StartError if that makes no sense or does not work."""
    node = cluster[number]
    match action:
        case "start":
            cluster.rejoin(number)
            return f"{node.name} is Synced on {node.address} (process {node.pid})"
        case "resume":
            if not node.paused:
                raise StartError(f"{node.name} is not paused")
            node.resume()
            return f"{node.name} goes on (process {node.pid}); it will notice that it was expelled, and catch up"
        case "kill" | "term" | "pause":
            pid = node.pid
            {"kill": node.kill, "term": node.term, "pause": node.pause}[action]()
            done = {"kill": "was killed", "term": "has ended", "pause": "is paused"}[action]
            return f"{node.name} {done} (process {pid})"
    raise StartError(f"unknown action {action}")


class Control:
    """The running demo's side: a thread that accepts, and one for each request, so that none waits for a slow start."""

    def __init__(self, path: Path, cluster: Cluster, report: Callable[[str], None]) -> None:
        """`report` gets a line for each thing done."""
        self._path = path
        self._cluster = cluster
        self._report = report
        self._listener = socket.socket(socket.AF_UNIX)

    def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listener.bind(_short(self._path))
        os.chmod(self._path, 0o600)
        self._listener.listen()
        threading.Thread(target=self._accept, name="demo-control", daemon=True).start()

    def close(self) -> None:
        # Closing alone would leave the accepting thread in its call.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(channel,), name="demo-control-request", daemon=True).start()

    def _answer(self, channel: socket.socket) -> None:
        with channel, channel.makefile("rw") as stream, contextlib.suppress(OSError):
            try:
                request = json.loads(stream.readline(1000))
                text = act(self._cluster, str(request["action"]), int(request["node"]))
                self._report(text)
                answer = {"ok": True, "text": text}
            except (StartError, ValueError, KeyError, TypeError) as error:
                answer = {"ok": False, "text": str(error)}
            stream.write(json.dumps(answer) + "\n")
            stream.flush()


def ask(path: Path, action: str, number: int) -> str:
    """The other terminal's side: have `up` do it; what it did, in words. StartError if it could not, or none runs."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(ANSWER_SECONDS)
        try:
            channel.connect(_short(path))
        except OSError as error:
            raise StartError(f"no answer at {path} ({error.strerror})") from error
        with channel.makefile("rw") as stream:
            stream.write(json.dumps({"action": action, "node": number}) + "\n")
            stream.flush()
            try:
                answer = json.loads(stream.readline())
            except TimeoutError:
                raise StartError(f"the demo did not answer in {ANSWER_SECONDS:.0f} s") from None
            except ValueError:
                raise StartError("the demo ended meanwhile") from None
    if not answer["ok"]:
        raise StartError(str(answer["text"]))
    return str(answer["text"])


def _short(path: Path) -> str:
    """The path, or the same place relative to here if that is shorter: a socket's path has at most 107 bytes."""
    relative = os.path.relpath(path)
    return min(str(path), relative, key=lambda text: len(os.fsencode(text)))
