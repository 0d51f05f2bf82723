"""The first tenth of a second of the command."""

import signal
import subprocess
import sys

import pytest


def run(code: str) -> "subprocess.CompletedProcess[str]":
    """In a process that an interrupt ends, also where this one is in the background and ignores them."""
    given = [sys.executable, "-c", code]
    inherited = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.run(given, capture_output=True, text=True, check=False, timeout=60)
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_an_interrupt_while_it_is_imported_ends_it_without_a_word() -> None:
    ended = run("import os, signal, proxy.start; os.kill(os.getpid(), signal.SIGINT); print('went on')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_who_ignores_interrupts_goes_on_to() -> None:
    ended = run(
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import proxy.start;"
        "os.kill(os.getpid(), signal.SIGINT); print('went on')"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["nonsense"]])
def test_it_is_the_same_command(arguments: list[str]) -> None:
    def said(module: str) -> tuple[int, str]:
        code = f"import sys; sys.argv = ['multiwriter', *{arguments}]; from {module} import main; sys.exit(main())"
        ended = run(code)
        return ended.returncode, ended.stdout

    assert said("proxy.start") == said("proxy.cli")


def test_once_it_runs_an_interrupt_is_the_commands_own() -> None:
    code = (
        "import os, signal, sys, proxy.start; from proxy import cli\n"
        "cli.main = lambda: signal.getsignal(signal.SIGINT) is not signal.default_int_handler\n"
        "sys.exit(proxy.start.main())"
    )
    assert run(code).returncode == 0


def test_what_the_first_client_does_not_need_is_not_imported_before_it() -> None:
    late = {"sqlglot", "mysql_mimic", "prometheus_client", "proxy.supervisor", "proxy.console.server", "proxy.demo"}
    ended = run(f"import sys, proxy.start, proxy.cli, proxy.serve; print(*sorted({late} & set(sys.modules)))")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n", "")
