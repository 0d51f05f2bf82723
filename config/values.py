"""One value of a document into the model's type, by its `Setting`: type, range, notation.

Must not know tables, places, or where a secret came from. Every refusal is a `SettingError`, or a group of them
for the entries of an array, each with its position as `key`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from config.model import Setting
from config.network import Network
from config.secret import Secret
from config.units import (
    Address,
    SettingError,
    describe,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

NODE_PORT: Final = 3306


def read_value(value: Any, bare: Any, setting: Setting, locate: Callable[[str], Path]) -> Any:
    if bare is Secret:
        assert isinstance(value, Secret), "secrets are gathered before values are read"
        return value
    if bare is Address:
        return _address(value, setting)
    if get_origin(bare) is tuple:
        if setting.kind == "network":
            return _array(value, Network.parse, '["10.0.0.0/8", "::1"]')
        return _array(value, partial(_address, setting=setting), '["10.0.0.1", "10.0.0.2"]')
    if get_origin(bare) is Literal:
        return _choice(value, get_args(bare))
    if bare is Path:
        return locate(_text(value, replace(setting, least=1)))
    if bare is bool:
        if not isinstance(value, bool):
            raise SettingError(
                f"true or false is expected, not {describe(value)}", "write true or false, without quotes"
            )
        return value
    if bare is str:
        return _text(value, setting)
    return _number(value, bare, setting)


def _text(value: Any, setting: Setting) -> str:
    if not isinstance(value, str):
        raise SettingError(f"text is expected, not {describe(value)}", "write it in quotes")
    if any(character < " " or character == "\x7f" for character in value):
        raise SettingError("the text has a control character in it", "leave that character out")
    if len(value) < setting.least:
        raise SettingError("the text is empty", "write at least one character")
    if setting.most is not None and len(value) > setting.most:
        raise SettingError(f"the text has {len(value)} characters", f"write at most {setting.most:g}")
    return value


def _number(value: Any, bare: Any, setting: Setting) -> int | float:
    number: int | float
    if setting.kind == "duration":
        number = parse_duration(value)
    elif setting.kind == "size":
        number = parse_size(value)
    elif setting.kind == "auto" and value == "auto":
        return 0
    elif setting.kind == "auto" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise SettingError(f'a number or "auto" is expected, not {describe(value)}', 'write "auto", or 1 or more')
    elif isinstance(value, bool) or not isinstance(value, int if bare is int else int | float):
        wanted = "a whole number" if bare is int else "a number"
        given = value if isinstance(value, float) else describe(value)
        raise SettingError(f"{wanted} is expected, not {given}", f"write {wanted}, without quotes")
    else:
        number = value
    if not setting.least <= number <= (float("inf") if setting.most is None else setting.most):
        raise SettingError(f"{display(value, setting)} is out of range", f"write {bounds(setting)}")
    return bare(number)  # type: ignore[no-any-return]


def display(value: Any, setting: Setting) -> str:
    """A value as the operator would write it, without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, str):
        return value
    if setting.kind == "duration":
        return format_duration(value)
    if setting.kind == "size":
        return format_size(value)
    if setting.kind == "mode":
        return f"0o{value:03o}"
    if setting.kind == "auto" and value == 0:
        return "auto"
    return f"{value:g}" if isinstance(value, float) else str(value)


def bounds(setting: Setting) -> str:
    """The range of a number in words."""
    if setting.most is None:
        return f"{display(setting.least, setting)} or more"
    if setting.kind == "mode":
        return f"an octal number up to {display(setting.most, setting)}, such as 0o660"
    return f"{display(setting.least, setting)} to {display(setting.most, setting)}"


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value in choices:
        return str(value)
    quoted = ", ".join(f'"{choice}"' for choice in choices)
    hint = f"write {'one of ' if len(choices) > 1 else ''}{quoted}"
    if not isinstance(value, str):
        raise SettingError(f"text is expected, not {describe(value)}", hint)
    raise SettingError(f'"{value}" is not known here', hint)


def _address(value: Any, setting: Setting) -> Address:
    if not isinstance(value, str):
        example = "10.0.0.1:3306" if setting.kind == "node" else "127.0.0.1:3306"
        raise SettingError(f"an address is expected, not {describe(value)}", f'write it in quotes, such as "{example}"')
    if setting.kind == "listen":
        return Address.parse(value, any_port=True)
    return Address.parse(value, NODE_PORT)


def _array(value: Any, read: Callable[[Any], Any], example: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise SettingError(f"an array is expected, not {describe(value)}", f"write it in brackets: {example}")
    refused: list[SettingError] = []
    entries: list[Any] = []
    for index, text in enumerate(value):
        try:
            entries.append(read(text))
        except SettingError as error:
            error.key = index
            refused.append(error)
    if refused:
        raise ExceptionGroup("entries", refused)
    return tuple(entries)
