"""What the Python programs share: the environment they are told, and the lines they print."""

import hashlib
import os
import re
import time
from collections.abc import Callable
from typing import Any

HOST = os.environ["COMPAT_HOST"]
PORT = int(os.environ["COMPAT_PORT"])
SCHEMA = os.environ["COMPAT_SCHEMA"]
USER = (os.environ["COMPAT_USER"], os.environ["COMPAT_PASSWORD"])
SHA2 = (os.environ["COMPAT_SHA2_USER"], os.environ["COMPAT_SHA2_PASSWORD"])
SECOND = (os.environ["COMPAT_SECOND_USER"], os.environ["COMPAT_SECOND_PASSWORD"])
CA = os.environ["COMPAT_CA"]
WRONG_CA = os.environ["COMPAT_WRONG_CA"]
FILE = os.environ["COMPAT_FILE"]

TEXT = "grün 東京 🐬 '\"\\%_\n\0end"
BIG = 20 << 20
INCREMENTS = 25


def shown(value: Any) -> str:
    """A value in one line: long ones by their ends, length and digest."""
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(shown, value)) + ")"
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    text = repr(value)
    if len(text) > 120:
        digest = hashlib.md5(text.encode("utf-8", "backslashreplace")).hexdigest()
        text = f"{text[:30]}...{len(text)} {digest}"
    return text


def line(value: Any) -> str:
    return re.sub(r"\s+", " ", str(value))[:20000]


def version(text: str) -> None:
    print(f"version: {text}", flush=True)


def none(reason: str, *names: str) -> None:
    """The client has no such thing."""
    for name in names:
        print(f"none {name}\t{reason}", flush=True)


def ok(name: str, seen: Any = None) -> None:
    print(f"ok {name}\t{line(shown(seen))}", flush=True)


def failed(name: str, error: BaseException) -> None:
    print(f"not ok {name}\t{line(f'{type(error).__name__}: {error}')}", flush=True)


def check(name: str, function: Callable[[], Any]) -> None:
    """Run it; what it returns are facts."""
    try:
        seen = function()
    except Exception as error:
        failed(name, error)
    else:
        ok(name, seen)


def eventually(ask: Callable[[], Any], wanted: Any) -> Any:
    """Another session's commit may be on its way to the node that is asked."""
    deadline = time.monotonic() + 10
    while (seen := ask()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return same(seen, wanted)


def same(seen: Any, wanted: Any) -> Any:
    assert seen == wanted, f"{shown(seen)} instead of {shown(wanted)}"
    return seen


def raised(function: Callable[..., Any], *arguments: Any) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError(f"no error from {arguments}")
