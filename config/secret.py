"""Passwords: how they are held, and the three places that they may come from.

Nothing here, and no message made here, ever shows the value. Must not know whose password it is.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from config.units import SettingError, describe

_MOST_BYTES: Final = 4096


class Secret:
    """A password that shows itself only when asked by name: `reveal()`. Its repr, str and format are all "***"."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return "***"


def secret_keys(name: str) -> tuple[str, str, str]:
    """The three settings that can give a secret, of which one is used: the text, a file, an environment variable."""
    return name, f"{name}_file", f"{name}_env"


def gather(
    table: dict[str, Any],
    name: str,
    *,
    required: bool,
    environ: Mapping[str, str],
    locate: Callable[[str], Path],
) -> Secret | None:
    """The secret that a table gives in one of three ways, None where it may be absent and is.

    `locate` turns a file name into a path. Raises `SettingError` with the `key` at fault.
    """
    plain, from_file, from_environment = keys = secret_keys(name)
    given = [key for key in keys if key in table]
    if not given:
        if required:
            raise SettingError(f"{name} is missing", f"write {plain}, {from_file} or {from_environment}", plain)
        return None
    if len(given) > 1:
        raise SettingError(f"{given[-1]} is given beside {given[0]}", f"keep one of {' and '.join(given)}", given[-1])
    key = given[0]
    value = table[key]
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise SettingError(f"text is expected, not {describe(value)}", "write it in quotes", key)
    try:
        if key == from_file:
            value = _read_file(locate(value))
        elif key == from_environment:
            value = _read_variable(value, environ)
    except SettingError as error:
        error.key = key
        raise
    if "\0" in value:
        raise SettingError("the password has a NUL character in it", "leave that character out", key)
    return Secret(value)


def from_file(path: str | Path) -> Secret:
    """The password that a file holds alone. Raises `SettingError`."""
    return Secret(_read_file(Path(path)))


def _read_file(path: Path) -> str:
    """The file's text without the one line end that editors put behind it."""
    advice = "name a file that holds the password alone and that the proxy's user may read"
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no valid file name"
        raise SettingError(f'"{path}" cannot be read: {reason}', advice) from None
    if len(content) > _MOST_BYTES:
        raise SettingError(f'"{path}" has more than {_MOST_BYTES} bytes', advice)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise SettingError(f'"{path}" is not UTF-8 text', advice) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SettingError(f'"{path}" is empty', advice)
    return text


def _read_variable(name: str, environ: Mapping[str, str]) -> str:
    advice = "set the variable where the proxy is started, or name another one"
    if name not in environ:
        raise SettingError(f'the environment variable "{name}" is not set', advice)
    if not environ[name]:
        raise SettingError(f'the environment variable "{name}" is empty', advice)
    return environ[name]
