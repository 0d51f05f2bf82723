"""The command line: reads arguments and settings, starts what they ask for, and says in words what is wrong.

Must not know how anything is served: `serve` and `demo` are imported only when they are called for, so that checking
a file needs none of it. Exit codes: 0 done, 1 could not run, 2 wrong arguments or settings, 130 interrupted.
"""

import argparse
import gc
import getpass
import os
import sys
from collections.abc import Sequence
from typing import Final

import config
from config import Config, ConfigError, Problem, Secret, SettingError
from proxy.version import COMPILED, VERSION

FAILED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130

USER_VARIABLE: Final = "MULTIWRITER_USER"
PASSWORD_VARIABLE: Final = "MULTIWRITER_PASSWORD"  # noqa: S105 - a name, not a password
DEFAULT_USER: Final = "monitor"
DEFAULT_LISTEN: Final = "127.0.0.1:3306"
DEFAULT_HTTP: Final = "127.0.0.1:9306"

_SERVE: Final = f"""\
Serves with the settings of a file, or of the nodes given here and defaults for all else.

Without a file, the account given here watches the nodes, and clients may log in with it and get its rights: it must
exist on the nodes with the same password. With the right to read the schema mysql, it lets them log in with all other
accounts of the cluster, too. Its password is read from --password-file, else from {PASSWORD_VARIABLE}, else asked for
at the terminal; never from an argument, which every user of the machine could read."""

_SETUP: Final = f"""\
Shows the statements that make the table, the procedures and the rights that `commit_marker = true` needs, and with
--yes runs them on one node: they change nothing that is there already. Run it again when there are new accounts.

Another account than that of [cluster] is named with --user. Its password is read from --password-file, else from
{PASSWORD_VARIABLE}, else asked for at the terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. What the user can mend is told in a line, never as a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["demo"]:
            # The demo reads its own arguments: argparse cannot hand on options that stand first.
            from proxy.demo.command import main as demo

            return demo(arguments[1:])
        return _run(arguments)
    except ConfigError as error:
        return _refuse(error.problems)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`multiwriter settings | head`). Python would complain once more when it
        # flushes at exit, unless there is somewhere to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        print(f"multiwriter: {_reason(error)}", file=sys.stderr)
        return FAILED


def _run(arguments: list[str]) -> int:
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:  # argparse has printed what there is to say
        return end.code if isinstance(end.code, int) else WRONG
    match options.command:
        case "serve":
            return _serve(options)
        case "check":
            return _check(options.config)
        case "setup":
            return _setup(options)
        case "settings":
            print(config.reference(), end="", flush=True)
            return 0
        case _:
            parser.print_help(sys.stderr)
            return WRONG


def about() -> str:
    """What runs: the version, and whether its hot modules are compiled."""
    return f"multiwriter {VERSION}, {'compiled' if COMPILED else 'not compiled'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="multiwriter",
        description="One MySQL endpoint in front of a cluster in which several nodes take writes.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=about())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve clients until SIGTERM",
        description=_SERVE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    origin = serve.add_mutually_exclusive_group(required=True)
    origin.add_argument("--config", metavar="FILE", help="settings in TOML; only --takeover goes with it")
    origin.add_argument(
        "--node", metavar="HOST[:PORT]", action="append", help="a node of the cluster (port 3306); repeat for each"
    )
    serve.add_argument(
        "--user",
        metavar="NAME",
        help=f"the account that watches the nodes and that clients log in with (default: {USER_VARIABLE}, "
        f"else {DEFAULT_USER})",
    )
    serve.add_argument(
        "--takeover",
        action="store_true",
        help="take over from the proxy that runs with the same `takeover` in [process], if there is one",
    )
    serve.add_argument("--password-file", metavar="FILE", help="file that holds its password alone")
    serve.add_argument("--listen", metavar="HOST:PORT", help=f"address for clients (default: {DEFAULT_LISTEN})")
    serve.add_argument(
        "--http",
        metavar="HOST:PORT",
        help=f'address of /metrics, /healthz and /readyz (default: {DEFAULT_HTTP}; "" for none)',
    )

    check = commands.add_parser(
        "check",
        help="report every problem of a settings file",
        description="Reports every problem of a settings file at once, each with its place and what to write instead.",
        allow_abbrev=False,
    )
    check.add_argument("--config", metavar="FILE", required=True, help="settings in TOML")

    setup = commands.add_parser(
        "setup",
        help="make what the commit marker needs on the nodes",
        description=_SETUP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    setup.add_argument("--config", metavar="FILE", required=True, help="settings in TOML")
    setup.add_argument("--yes", action="store_true", help="run the statements, instead of only showing them")
    setup.add_argument("--user", metavar="NAME", help="the account to run them as (default: that of [cluster])")
    setup.add_argument("--password-file", metavar="FILE", help="file that holds its password alone")

    commands.add_parser(
        "settings",
        help="print every setting with its type, default and meaning",
        description="Prints every setting with its type, default and meaning, as Markdown.",
        allow_abbrev=False,
    )
    commands.add_parser("demo", help="run a small cluster with the proxy on this machine", add_help=False)
    return parser


def _check(path: str) -> int:
    settings = config.load(path)
    print(f"{path}: ok, {_summary(settings)}", flush=True)
    if settings.marks_commits:
        from proxy import setup

        if (fault := setup.fault(settings)) is not None:
            print(f"{path}: warning: commit_marker is on, but commits would not be marked: {fault}", file=sys.stderr)
            print("run `multiwriter setup`", file=sys.stderr)
    return 0


def _setup(options: argparse.Namespace) -> int:
    settings = config.load(options.config)

    from proxy import setup

    user = options.user
    if user is None:
        user, password = settings.cluster.user, settings.cluster.password
    elif options.password_file is not None:
        try:
            password = config.secret_from_file(options.password_file)
        except SettingError as error:
            raise ConfigError([Problem("--password-file", error.message, error.hint)]) from None
    else:
        password = _password(user)
    try:
        setup.run(settings, user, password.reveal(), execute=options.yes, say=lambda text: print(text, flush=True))
    except setup.SetupFailed as failed:
        print(f"multiwriter: {failed}", file=sys.stderr)
        return FAILED
    done = "-- all is there" if options.yes else "-- nothing was changed: run it again with --yes"
    print(done, flush=True)
    return 0


def _summary(settings: Config) -> str:
    endpoints = ", ".join(
        f"{endpoint.name} on {' and '.join(str(at) for at in (endpoint.listen, endpoint.socket) if at is not None)}"
        for endpoint in settings.endpoints
    )
    parts = [
        _count(len(settings.cluster.nodes), "node"),
        f"{_count(len(settings.endpoints), 'endpoint')} ({endpoints})",
        " and ".join(
            [*(["the cluster's accounts"] if settings.accounts.cluster else []), _count(len(settings.users), "user")]
        ),
        f"HTTP on {settings.http.listen}" if settings.http.listen is not None else "no HTTP",
    ]
    return ", ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _serve(options: argparse.Namespace) -> int:
    gc.disable()  # proxy.settle turns it on again, once all is there
    try:
        settings = _settings(options)
        if options.takeover and settings.process.takeover is None:
            hint = 'write takeover = "/run/multiwriter/takeover.sock" in [process], for both runs'
            raise ConfigError([Problem("--takeover", "the settings name no socket file for it", hint)])

        from proxy.serve import run

        read = (lambda: config.load(options.config)) if options.config is not None else None
        return run(settings, read, take_over=options.takeover)
    finally:
        gc.enable()


def _settings(options: argparse.Namespace) -> Config:
    if options.config is not None:
        beside = [name for name in ("user", "password_file", "listen", "http") if getattr(options, name) is not None]
        if beside:
            raise ConfigError(
                [
                    Problem(f"--{name.replace('_', '-')}", "does not go with --config", "set it in the file")
                    for name in beside
                ]
            )
        return config.load(options.config)
    user = options.user if options.user is not None else os.environ.get(USER_VARIABLE) or DEFAULT_USER
    return config.from_nodes(
        options.node,
        user,
        _password(user) if options.password_file is None else None,
        listen=DEFAULT_LISTEN if options.listen is None else options.listen,
        http=DEFAULT_HTTP if options.http is None else options.http,
        password_file=options.password_file,
    )


def _password(user: str) -> Secret:
    """The one account's password where no file is named: from the environment, or the person at the terminal."""
    if PASSWORD_VARIABLE in os.environ:
        return Secret(os.environ[PASSWORD_VARIABLE])
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            return Secret(getpass.getpass(f"Password of {user} on the nodes: "))
        except EOFError:
            pass
    hint = f"set {PASSWORD_VARIABLE}, or name a file with --password-file"
    raise ConfigError([Problem("--user", f'there is no password for "{user}"', hint)])


def _refuse(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"multiwriter: {_count(len(problems), 'problem')}", file=sys.stderr)
    return WRONG


def _reason(error: OSError) -> str:
    if error.strerror is None:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror


if __name__ == "__main__":
    sys.exit(main())
