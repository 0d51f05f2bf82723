"""A child ends when told, when killed though paused, and when its parent does; what it started goes with it."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.demo.processes import Process, StartError, free_ports, is_free, tail, wait_until


def start(*arguments: str) -> Process:
    return Process(arguments, output=subprocess.DEVNULL)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_process_is_the_program_itself() -> None:
    process = start("sleep", "60")
    try:
        wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", 5, lambda: "no sleep")
        assert process.running
        assert process.returncode is None
    finally:
        process.kill()
    assert not process.running
    assert process.returncode == -signal.SIGKILL


def test_a_paused_process_can_be_ended() -> None:
    process = start("sleep", "60")
    process.pause()
    wait_until(lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text(), 5, lambda: "not stopped")
    assert process.paused
    assert process.terminate(5) == -signal.SIGTERM


def test_a_process_that_does_not_listen_is_killed_after_its_time(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = start("sh", "-c", f"trap '' TERM; touch {mark}; while :; do sleep 0.1; done")
    wait_until(mark.exists, 5, lambda: "it did not begin")
    assert process.terminate(0.1) == -signal.SIGKILL


def test_what_it_left_behind_is_ended_too(tmp_path: Path) -> None:
    left = tmp_path / "left"
    process = start("sh", "-c", f"sleep 60 & echo $! > {left}; wait")
    wait_until(lambda: left.exists() and bool(left.read_text().strip()), 5, lambda: "it did not begin")
    child = int(left.read_text())
    process.kill()
    wait_until(lambda: not alive(child), 5, lambda: f"{child} is left")


def test_it_does_not_end_with_the_thread_that_asked_for_it() -> None:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(start("sleep", "60")))
    thread.start()
    thread.join()
    try:
        assert started[0].wait(0.3) is None
    finally:
        started[0].kill()


def test_it_ends_with_its_parent_however_that_ends() -> None:
    text = (
        "import subprocess, time\n"
        "from pathlib import Path\n"
        "from proxy.demo.processes import Process, wait_until\n"
        "process = Process(['sleep', '60'], output=subprocess.DEVNULL)\n"
        # Before it is the program itself nothing ties it to its parent yet.
        "comm = Path(f'/proc/{process.pid}/comm')\n"
        "wait_until(lambda: comm.read_text() == 'sleep\\n', 5, lambda: 'no sleep')\n"
        "process.pause()\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    wait_until(lambda: not alive(child), 5, lambda: f"{child} has outlived its parent")


def test_free_ports_are_free_distinct_and_out_of_the_kernels_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < lowest and is_free(port) for port in ports)


def test_a_condition_that_does_not_come_true_is_told_in_words() -> None:
    with pytest.raises(StartError, match="it never rained"):
        wait_until(lambda: False, 0, lambda: "it never rained")


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert "no log" in tail(log)
    log.write_text("\n".join(map(str, range(100))))
    assert tail(log, 2) == "    98\n    99"
