"""Configuration from a file, a text or a list of nodes, or every reason why not, each with its place.

Must not know single settings: those are `model`, and what they must be together is `checks`.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from config.checks import disagreements
from config.model import Config
from config.places import Path, locate
from config.schema import header
from config.secret import Secret
from config.structure import Source, structure


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where it is, what is wrong, what to write instead."""

    place: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}\n    {self.hint}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are all of its problems, in the order of their places."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


def load(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a TOML file. Raises `ConfigError`.

    Relative file names in it start at its own directory. `environ` stands in for the process's environment.
    """
    name = os.fspath(path)
    try:
        content = FilePath(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no valid file name"
        problem = Problem(name, f"cannot be read: {reason}", "name a TOML file that the proxy's user may read")
        raise ConfigError([problem]) from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(f"{name}:{line}", "this is not UTF-8 text", "save the file as UTF-8")]) from None
    return loads(text, name=name, directory=FilePath(name).parent, environ=environ)


def loads(
    text: str,
    *,
    name: str = "configuration",
    directory: str | os.PathLike[str] = ".",
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The configuration in TOML text. `name` stands for the file in places. Raises `ConfigError`."""
    try:
        raw = tomllib.loads(text)
    except ValueError as error:  # tomllib's own, and Python's for a number of thousands of digits
        raise ConfigError([_syntax_problem(name, text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(name, "arrays or tables are nested too deeply", "write flat tables")]) from None
    lines = locate(text)
    faults_to_places = _Places(name, raw, lines)
    return _checked(raw, _source(directory, environ), faults_to_places.line, faults_to_places.describe)


def from_nodes(
    nodes: Sequence[str],
    user: str,
    password: str | Secret | None,
    listen: str = "127.0.0.1:3306",
    http: str | None = "127.0.0.1:9306",
    *,
    password_file: str | None = None,
) -> Config:
    """The configuration of a proxy started without a file: every default, one endpoint "write", one account.

    `user` watches the nodes and is the one login for clients; its password is given itself or by a file. `http` None
    or "" means no HTTP server. Raises `ConfigError`, with command line options as places.
    """
    secret: dict[str, Any] = {}
    if password is not None:
        secret["password"] = password if isinstance(password, Secret) else Secret(password)
    if password_file is not None:
        secret["password_file"] = password_file
    raw: dict[str, Any] = {
        "cluster": {"nodes": list(nodes), "user": user, **secret},
        "endpoint": [{"name": "write", "listen": listen}],
        "user": [{"name": user, **secret}],
        "http": {"listen": http} if http else {},
    }

    def place(path: Path) -> str:
        match path:
            case ("cluster", "nodes", *_):
                return "--node"
            case ("cluster", "password" | "password_file") | ("user", _, "password" | "password_file"):
                return "--password-file"
            case ("cluster" | "user", *_):
                return "--user"
            case ("endpoint", *_):
                return "--listen"
            case _:
                return "--http"

    return _checked(raw, _source(".", {}), lambda path: 0, place)


def _source(directory: str | os.PathLike[str], environ: Mapping[str, str] | None) -> Source:
    return Source(FilePath(directory), os.environ if environ is None else environ)


def _checked(
    raw: dict[str, Any], source: Source, line: Callable[[Path], int], describe: Callable[[Path], str]
) -> Config:
    config, faults = structure(raw, source)
    faulty = [fault.path for fault in faults]
    for disagreement in disagreements(config):
        if not any(_touches(path, bad) for path in disagreement.involved for bad in faulty):
            faults.append(disagreement.fault)
    if faults:
        ordered = sorted(faults, key=lambda fault: line(fault.path))
        problems = [
            Problem(_printable(describe(fault.path)), _printable(fault.message), _printable(fault.hint))
            for fault in ordered
        ]
        raise ConfigError(list(dict.fromkeys(problems)))
    return config


def _touches(one: Path, other: Path) -> bool:
    """Whether one of two paths leads through the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _printable(text: str) -> str:
    """Text of the document as a terminal may show it: a control character in a key must not act there."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _syntax_problem(name: str, text: str, message: str) -> Problem:
    """tomllib says "... (at line 3, column 5)" or "... (at end of document)", and no more before Python 3.14."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    hint = 'write tables as [name] and settings as name = value, with text in quotes: listen = "127.0.0.1:3306"'
    if found is None:
        return Problem(name, f"this is not TOML: {message}", hint)
    what = message[: found.start()]
    if found[1] is None:
        line = max(text.rstrip("\n").count("\n") + 1, 1)
        return Problem(f"{name}:{line}", f"this is not TOML: {what}, at the end of the file", hint)
    return Problem(f"{name}:{found[1]}", f"this is not TOML: {what}, at column {found[2]}", hint)


class _Places:
    """Paths as places in a file: `multiwriter.toml:12 [[endpoint]] "write" listen`."""

    __slots__ = ("_lines", "_name", "_raw")

    def __init__(self, name: str, raw: dict[str, Any], lines: dict[Path, int]) -> None:
        self._name = name
        self._raw = raw
        self._lines = lines

    def line(self, path: Path) -> int:
        """The line of the value, else of the nearest table around it, else 0."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 0

    def describe(self, path: Path) -> str:
        line = self.line(path)
        place = f"{self._name}:{line}" if line else self._name
        words = self._words(path)
        return f"{place} {words}" if words else place

    def _words(self, path: Path) -> str:
        if not path:
            return ""
        table, *rest = path
        value = self._raw.get(str(table))
        if isinstance(value, list):
            if not rest:
                return f"[[{table}]]"
            words = [f"[[{table}]]", self._entry(value, int(rest.pop(0)))]
        elif isinstance(value, dict):
            words = [f"[{table}]"]
        elif value is None:
            words = [header(str(table))]
        else:
            words = [str(table)]
        for step in rest:
            words.append(f"entry {step + 1}" if isinstance(step, int) else step)
        return " ".join(words)

    @staticmethod
    def _entry(tables: list[Any], index: int) -> str:
        """An array's table by its name, or by its position where the name would not tell."""
        names = [table.get("name") if isinstance(table, dict) else None for table in tables]
        name = names[index]
        return f'"{name}"' if isinstance(name, str) and name and names.count(name) == 1 else f"#{index + 1}"
