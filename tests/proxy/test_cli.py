"""The command line: what each command starts, what it says, and how it ends."""

import errno
import gc
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import config
from config import Address, Config, Secret
from proxy import cli

GOOD = """\
[cluster]
nodes = ["10.0.0.1", "10.0.0.2"]
user = "monitor"
password = "monitor"
[[endpoint]]
name = "write"
listen = "127.0.0.1:3306"
[[user]]
name = "app"
password = "app"
[http]
listen = "127.0.0.1:9306"
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "multiwriter.toml"
    file.write_text(GOOD)
    return str(file)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account from the environment, and nobody at the terminal."""
    monkeypatch.delenv(cli.USER_VARIABLE, raising=False)
    monkeypatch.delenv(cli.PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", None)


class Served:
    """Stands for what serves: keeps the configurations it is called with."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.answer: Callable[[], int] = lambda: 0

    def run(self, settings: Config, read: Callable[[], Config] | None, *, take_over: bool = False) -> int:
        self.configs.append(settings)
        self.read = read
        self.take_over = take_over
        return self.answer()

    def fail(self, error: BaseException) -> None:
        def answer() -> int:
            raise error

        self.answer = answer


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    stand_in = Served()
    module = ModuleType("proxy.serve")
    module.run = stand_in.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "proxy.serve", module)
    return stand_in


# --- check -----------------------------------------------------------------------------------------------------


def test_check_of_a_good_file(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--config", good]) == 0
    out, err = capsys.readouterr()
    endpoint = "1 endpoint (write on 127.0.0.1:3306)"
    assert out == f"{good}: ok, 2 nodes, {endpoint}, the cluster's accounts and 1 user, HTTP on 127.0.0.1:9306\n"
    assert err == ""


def test_check_names_all_that_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    text = GOOD.partition("[http]")[0].replace('"127.0.0.1:3306"', '"[::1]:3306"\nsocket = "s"')
    file.write_text(text + '[[endpoint]]\nname = "b"\nlisten = "a:1"\n')
    assert cli.main(["check", "--config", str(file)]) == 0
    assert (
        f"2 endpoints (write on [::1]:3306 and {tmp_path}/s, b on a:1), the cluster's accounts and 1 user, no HTTP"
        in capsys.readouterr().out
    )


def test_check_tells_every_problem_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text(GOOD.replace("9306", "99306").replace('user = "monitor"', "usr = 1"))
    assert cli.main(["check", "--config", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{file}:1 [cluster] user: user is missing",
        '    write user = "..."',
        f"{file}:3 [cluster] usr: there is no such setting",
        "    did you mean user?",
        f'{file}:12 [http] listen: "127.0.0.1:99306" has no valid port',
        '    a port is a number from 1 to 65535; write host:port, such as "10.0.0.1:3306" or "[::1]:3306"',
        "multiwriter: 3 problems",
    ]


def test_check_of_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--config", "/nowhere/m.toml"]) == 2
    assert capsys.readouterr().err.startswith("/nowhere/m.toml: cannot be read: No such file or directory\n")


# --- serve -----------------------------------------------------------------------------------------------------


def test_serve_with_a_file(good: str, served: Served) -> None:
    served.answer = lambda: 7
    assert cli.main(["serve", "--config", good]) == 7
    assert served.configs == [config.load(good)]


def test_taking_over_needs_the_settings_to_say_where(
    good: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--config", good, "--takeover"]) == 2
    assert "--takeover: the settings name no socket file for it" in capsys.readouterr().err
    with open(good, "a") as file:
        file.write('[process]\ntakeover = "/tmp/takeover"\n')
    assert cli.main(["serve", "--config", good]) == 0
    assert not served.take_over
    assert cli.main(["serve", "--config", good, "--takeover"]) == 0
    assert served.take_over
    assert gc.isenabled()


def test_serve_with_bad_settings_starts_nothing(
    tmp_path: Path, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.toml"
    file.write_text("[cluster]\n")
    assert cli.main(["serve", "--config", str(file)]) == 2
    assert served.configs == []
    assert f"{file}:1 [cluster] nodes: nodes is missing" in capsys.readouterr().err


def test_serve_with_nodes_and_defaults(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.PASSWORD_VARIABLE, "s3cret")
    assert cli.main(["serve", "--node", "10.0.0.1", "--node", "10.0.0.2:3307"]) == 0
    assert served.configs == [config.from_nodes(["10.0.0.1", "10.0.0.2:3307"], "monitor", "s3cret")]
    assert served.configs[0].endpoints[0].listen == Address("127.0.0.1", 3306)
    assert served.configs[0].http.listen == Address("127.0.0.1", 9306)


def test_serve_with_nodes_and_every_option(served: Served, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("s3cret\n")
    arguments = ["--user", "app", "--password-file", str(tmp_path / "p"), "--listen", "0.0.0.0:4000", "--http", ""]
    assert cli.main(["serve", "--node", "a", *arguments]) == 0
    (made,) = served.configs
    assert (made.cluster.user, made.cluster.password) == ("app", Secret("s3cret"))
    assert (made.endpoints[0].listen, made.http.listen) == (Address("0.0.0.0", 4000), None)


def test_the_user_comes_from_the_option_else_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.PASSWORD_VARIABLE, "x")
    monkeypatch.setenv(cli.USER_VARIABLE, "from-env")
    cli.main(["serve", "--node", "a"])
    cli.main(["serve", "--node", "a", "--user", "given"])
    assert [made.cluster.user for made in served.configs] == ["from-env", "given"]


def test_the_password_is_asked_for_at_a_terminal(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return "typed"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", getpass)
    assert cli.main(["serve", "--node", "a", "--user", "app"]) == 0
    assert served.configs[0].cluster.password == Secret("typed")
    assert asked == ["Password of app on the nodes: "]


def test_without_any_password_it_says_how_to_give_one(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--node", "a"]) == 2
    assert served.configs == []
    err = capsys.readouterr().err
    assert 'there is no password for "monitor"' in err
    assert "MULTIWRITER_PASSWORD" in err
    assert "--password-file" in err


def test_problems_of_options_are_told_at_once(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent")
    assert cli.main(["serve", "--node", "a:b", "--password-file", absent, "--listen", "3306"]) == 2
    assert served.configs == []
    places = [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("--")]
    assert places == ["--password-file", "--node", "--listen"]


def test_options_beside_a_file_are_refused_rather_than_ignored(
    good: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--config", good, "--listen", "a:1", "--password-file", "p"]) == 2
    assert served.configs == []
    err = capsys.readouterr().err
    assert "--listen: does not go with --config" in err
    assert "--password-file: does not go with --config" in err


def test_help_says_what_the_account_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the account given here watches the nodes, and clients may log in with it" in out
    assert "all other accounts of the cluster" in out
    for name in ("--config", "--node", "--user", "--password-file", "--listen", "--http", cli.PASSWORD_VARIABLE):
        assert name in out


def test_no_option_takes_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are seen by every user of the machine; an abbreviation must not turn one into a file name either."""
    assert cli.main(["serve", "--node", "a", "--password", "s3cret"]) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


# --- how commands end ------------------------------------------------------------------------------------------


def test_an_interrupt_is_quiet(good: str, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.fail(KeyboardInterrupt())
    assert cli.main(["serve", "--config", good]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EADDRINUSE, "Address already in use"), "Address already in use"),
        (PermissionError(errno.EACCES, "Permission denied", "/run/mw.sock"), "/run/mw.sock: Permission denied"),
        (OSError("no more"), "no more"),
    ],
)
def test_what_the_system_refuses_is_told_in_a_line(
    good: str, served: Served, capsys: pytest.CaptureFixture[str], error: OSError, told: str
) -> None:
    served.fail(error)
    assert cli.main(["serve", "--config", good]) == 1
    assert capsys.readouterr() == ("", f"multiwriter: {told}\n")


def test_a_fault_of_ours_is_not_hidden(good: str, served: Served) -> None:
    served.fail(AssertionError("a defect"))
    with pytest.raises(AssertionError, match="a defect"):
        cli.main(["serve", "--config", good])


# --- the rest --------------------------------------------------------------------------------------------------


def test_demo_gets_its_arguments_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        given.append(arguments)
        return 5

    package, module = ModuleType("proxy.demo"), ModuleType("proxy.demo.command")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "proxy.demo", package)
    monkeypatch.setitem(sys.modules, "proxy.demo.command", module)
    assert cli.main(["demo", "--help", "load", "--", "-x"]) == 5
    assert cli.main(["demo"]) == 5
    assert given == [["--help", "load", "--", "-x"], []]


def test_settings_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    assert capsys.readouterr().out == config.reference()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"multiwriter (\d+\.\d+\.\d+|unknown), (not )?compiled\n", capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [[], ["frob"], ["serve"], ["check"], ["serve", "--node", "a", "--config", "b"]])
def test_wrong_arguments_get_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: multiwriter")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in ("serve", "check", "settings", "demo"))


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    """As in `multiwriter settings | head -0`: the pipe is closed before the first line is written."""
    program = "import sys; sys.stdin.read(); from proxy.cli import main; sys.exit(main(['settings']))"
    command = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(cli.__file__).parent.parent,
    )
    assert command.stdout is not None
    command.stdout.close()
    command.stdout = None
    _, err = command.communicate(timeout=30)
    assert (command.returncode, err) == (1, b"")


def test_checking_a_file_loads_nothing_that_serves(good: str) -> None:
    """A check must work, and be quick, where nothing else does: on a build machine, in a container's entry point."""
    program = (
        "import sys; from proxy.cli import main; main(['check', '--config', sys.argv[1]]);"
        "print([name for name in ('asyncio', 'uvloop', 'aiomysql', 'sqlglot', 'proxy.serve') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, good]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(cli.__file__).parent.parent, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
