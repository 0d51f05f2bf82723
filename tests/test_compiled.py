"""What is compiled, and what that asks of the code: see "What a query costs" in ARCHITECTURE.md."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import proxy.relay
from proxy.version import COMPILED

ROOT = Path(__file__).parents[1]
OPEN = {"ProtocolError", "Sink", "Conversation"}
"""Compiled classes that interpreted ones may derive from: an error, and those that say so to the compiler."""


def hot() -> list[str]:
    """The paths that setup.py has compiled."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "COMPILED":
            found: tuple[str, ...] = ast.literal_eval(statement.value)
            return list(found)
    raise AssertionError("setup.py names no modules")


def classes(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and bases of each class of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield node.name, [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def test_what_is_compiled_is_there() -> None:
    assert [path for path in hot() if not (ROOT / path).is_file()] == []


def test_all_of_it_is_compiled_or_nothing() -> None:
    modules = [importlib.import_module(path.removesuffix(".py").replace("/", ".")) for path in hot()]
    endings = {Path(str(module.__file__)).suffix for module in modules}
    assert endings == {".so" if COMPILED else ".py"}
    assert COMPILED is not str(proxy.relay.__file__).endswith(".py")


def test_no_interpreted_class_derives_from_a_compiled_one() -> None:
    """A compiled function would not take it for one. Errors are caught, not taken."""
    compiled = {name for path in hot() for name, _ in classes(ROOT / path)} - OPEN
    others = [path for top in ("proxy", "router") for path in (ROOT / top).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}: {name}({base})"
        for path in others
        if str(path.relative_to(ROOT)) not in hot()
        for name, bases in classes(path)
        for base in bases
        if base in compiled and not (base == "Session" and "mimic" in path.read_text())
    ]
    assert found == []


def waits_while_failing(path: Path) -> Iterator[str]:
    """Functions of a module that wait for something in an `except` or a `finally`."""
    waits = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.AsyncFunctionDef):
            for attempt in ast.walk(function):
                if isinstance(attempt, ast.Try):
                    bodies = [*attempt.handlers, *attempt.finalbody]
                    if any(isinstance(inner, waits) for body in bodies for inner in ast.walk(body)):
                        yield function.name


def test_no_compiled_coroutine_waits_while_it_fails() -> None:
    """When another compiled one waits for it, a cancellation is lost: the waiter goes on as if it had got None."""
    assert {path: found for path in hot() if (found := list(waits_while_failing(ROOT / path)))} == {}
