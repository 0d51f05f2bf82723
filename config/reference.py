"""The settings reference, written by the model itself, so that it cannot say anything else than what is read."""

import dataclasses
from typing import Any, Literal, get_args, get_origin

from config.model import Config, Setting
from config.schema import header, is_array, required, settings, table_class
from config.secret import Secret, secret_keys
from config.units import Address
from config.values import display

_HEAD = "| setting | type | default | meaning |\n|---|---|---|---|\n"


def reference() -> str:
    """Every setting with its type, default and meaning, as Markdown: a heading and a table for each TOML table."""
    parts: list[str] = []
    for table, (hint, _) in settings(Config).items():
        cls = table_class(hint)
        parts.append(_section(header(table), cls))
        below = ((key, inner) for key, (inner, setting) in settings(cls).items() if setting is None)
        parts.extend(_section(f"[{table}.{key}]", inner) for key, inner in below if inner is not Secret)
    return "\n".join(parts)


def _section(heading: str, cls: Any) -> str:
    about = " ".join((cls.__doc__ or "").split())
    rows = "".join(_rows(cls))
    return f"### `{heading}`\n\n{about}\n\n{_HEAD}{rows}"


def _rows(cls: Any) -> list[str]:
    needed = required(cls)
    defaults = {field.metadata.get("key", field.name): field.default for field in dataclasses.fields(cls)}
    rows: list[str] = []
    for key, (hint, setting) in settings(cls).items():
        if setting is None:
            continue  # a table below this one
        default = "required" if key in needed else _default(defaults[key], setting)
        if hint is Secret:
            plain, from_file, from_environment = secret_keys(key)
            rows.append(_row(plain, "text", "one of three" if key in needed else default, setting.meaning))
            rows.append(_row(from_file, "path", "", f"File that holds `{plain}` alone."))
            rows.append(_row(from_environment, "text", "", f"Environment variable that holds `{plain}`."))
        else:
            rows.append(_row(key, _type(hint, setting), default, setting.meaning))
    return rows


def _row(key: str, kind: str, default: str, meaning: str) -> str:
    cells = [f"`{key}`", kind, default, meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(value: Any, setting: Setting) -> str:
    if value is None:
        return "none"
    text = display(value, setting)
    quoted = isinstance(value, str) or (setting.kind in ("duration", "size") and not text.isdecimal())
    return f'`"{text}"`' if quoted else f"`{text}`"


def _type(hint: Any, setting: Setting) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(f'`"{choice}"`' for choice in get_args(hint))
    if is_array(hint):
        return "array of networks" if setting.kind == "network" else "array of addresses"
    if hint is Address:
        return "address"
    if setting.kind in ("duration", "size"):
        return setting.kind
    if setting.kind == "auto":
        return 'whole number or `"auto"`'
    if setting.kind == "mode":
        return "octal number"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(hint, "path")
