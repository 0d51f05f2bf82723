"""The model read as a schema: which keys a table has, of what type, and which must be there.

For reading, suggestions and the reference alike. Must not know any document.
"""

import dataclasses
import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from config.model import Config, Setting
from config.secret import Secret, secret_keys


def settings(cls: type) -> dict[str, tuple[Any, Setting | None]]:
    """The keys of a table's class in the document, each with its bare type and its setting (None: a table)."""
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, tuple[Any, Setting | None]] = {}
    for field in dataclasses.fields(cls):
        bare, setting = unwrap(hints[field.name])
        found[field.metadata.get("key", field.name)] = (bare, setting)
    return found


def required(cls: type) -> list[str]:
    """The keys of a table's class that have no default."""
    return [
        field.metadata.get("key", field.name)
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def unwrap(hint: Any) -> tuple[Any, Setting | None]:
    """The bare type and the setting of a field's type: (X, setting) from Annotated[X | None, setting]."""
    if get_origin(hint) is not Annotated:
        return _optional(hint), None
    return _optional(get_args(hint)[0]), next(extra for extra in hint.__metadata__ if isinstance(extra, Setting))


def _optional(hint: Any) -> Any:
    """X from X | None, and any other type as it is."""
    # Literal[..] | None is a typing.Union.
    if isinstance(hint, types.UnionType) or get_origin(hint) is Union:
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def is_array(hint: Any) -> bool:
    return get_origin(hint) is tuple


def header(table: str) -> str:
    """How the document opens a table of `Config`: [cluster], [[endpoint]]."""
    hint, _ = settings(Config)[table]
    return f"[[{table}]]" if is_array(hint) else f"[{table}]"


def document_keys(cls: type) -> list[str]:
    """All keys that a table may have in the document."""
    keys: list[str] = []
    for key, (hint, _) in settings(cls).items():
        keys.extend(secret_keys(key) if hint is Secret else [key])
    return keys


def table_class(hint: Any) -> type:
    """The class of a table, or of the entries of an array of tables."""
    found: type = get_args(hint)[0] if is_array(hint) else hint
    return found
