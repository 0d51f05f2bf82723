"""From the plain tables of a settings document to a `Config`, with every fault found in one go.

The only importer of cattrs. Knows the model's types and the notation of values; must not know files' places, nor
what settings mean together (that is `checks`).
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, get_args, get_origin

import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from config.model import Config
from config.places import Path
from config.schema import document_keys, header, is_array, required, settings, table_class, unwrap
from config.secret import Secret, gather, secret_keys
from config.units import SettingError, describe
from config.values import read_value


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at a path, or with the absence of one there."""

    path: Path
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where values that stand outside the document come from."""

    directory: FilePath
    environ: Mapping[str, str]

    def file(self, name: str) -> FilePath:
        """Relative names start at the document's directory, "~" at the home of the user who runs the proxy."""
        try:
            return self.directory / FilePath(name).expanduser()
        except RuntimeError:
            raise SettingError(f'"{name}": no such home directory', "write an absolute path") from None


def structure(raw: dict[str, Any], source: Source) -> tuple[Config, list[Fault]]:
    """The configuration in a document, and its faults.

    With faults, the configuration has defaults and blanks at the faulty paths: good for finding more faults between
    the other settings, and for nothing else.
    """
    converter = _converter(source)
    try:
        return converter.structure(raw, Config), []
    except (ClassValidationError, SettingError) as error:
        faults = _faults(error)
    return converter.structure(_mended(Config, raw, (), {fault.path for fault in faults}), Config), faults


# --- tables ----------------------------------------------------------------------------------------------------


def _converter(source: Source) -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)

    def table(cls: Any) -> Callable[[Any, Any], Any]:
        return _table_reader(cls, converter, source)

    def array(hint: Any) -> Callable[[Any, Any], Any]:
        return _array_reader(hint, converter)

    def value(hint: Any) -> Callable[[Any, Any], Any]:
        return _value_reader(hint, source)

    converter.register_structure_hook_factory(dataclasses.is_dataclass, table)
    converter.register_structure_hook_factory(is_array, array)
    converter.register_structure_hook_factory(_is_annotated, value)
    return converter


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _table_reader(cls: Any, converter: cattrs.Converter, source: Source) -> Callable[[Any, Any], Any]:
    renamed = {f.name: override(rename=f.metadata["key"]) for f in dataclasses.fields(cls) if "key" in f.metadata}
    # A mypy that reads cattrs' generic signature wants attrs classes here; dataclasses are as good.
    read: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **renamed,  # type: ignore[arg-type]
    )
    secrets = {key: key in required(cls) for key, (hint, _) in settings(cls).items() if hint is Secret}

    def read_table(value: Any, _: Any) -> Any:
        if isinstance(value, list):
            raise SettingError("an array of tables is given, one table is expected", "write one pair of brackets, [ ]")
        if not isinstance(value, dict):
            raise SettingError(
                f"a table is expected, not {describe(value)}", "write its name in brackets, its settings below"
            )
        value = dict(value)
        refused: list[Exception] = []
        for name, needed in secrets.items():
            try:
                secret = gather(value, name, required=needed, environ=source.environ, locate=source.file)
            except SettingError as error:
                refused.append(error)
                secret = Secret("")
            for key in secret_keys(name):
                value.pop(key, None)
            if secret is not None:
                value[name] = secret
        try:
            result = read(value, cls)
        except ClassValidationError as group:
            refused.extend(group.exceptions)
        if refused:
            raise ClassValidationError(f"While structuring {cls.__name__}", refused, cls)
        return result

    return read_table


def _array_reader(hint: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    entry = get_args(hint)[0]

    def read_array(value: Any, _: Any) -> Any:
        if isinstance(value, dict):
            raise SettingError(
                "one table is given, an array of tables is expected", "write two pairs of brackets, [[ ]]"
            )
        if not isinstance(value, list):
            raise SettingError(
                f"an array of tables is expected, not {describe(value)}", "write two pairs of brackets, [[ ]]"
            )
        return tuple(converter.structure(value, list[entry]))  # type: ignore[valid-type]

    return read_array


# --- values ----------------------------------------------------------------------------------------------------


class _Blank:
    """Stands for a required value that is missing or at fault; read as the type's own empty value."""


_BLANK: Final = _Blank()
_EMPTY: Final[dict[Any, Any]] = {str: "", tuple: ()}


def _value_reader(hint: Any, source: Source) -> Callable[[Any, Any], Any]:
    bare, setting = unwrap(hint)
    assert setting is not None, f"{hint} carries no Setting"

    def read(value: Any, _: Any) -> Any:
        if value is _BLANK:
            return _EMPTY[get_origin(bare) or bare]
        return read_value(value, bare, setting, source.file)

    return read


# --- faults ----------------------------------------------------------------------------------------------------


def _faults(error: Exception, cls: Any = Config, path: Path = ()) -> list[Fault]:
    """Flattens what cattrs collected: groups nested as the tables are, each exception noted with its attribute."""
    if isinstance(error, ForbiddenExtraKeysError):
        return [_unknown_key(error.cl, path, key) for key in sorted(error.extra_fields)]
    if isinstance(error, SettingError):
        return [Fault(path if error.key is None else (*path, error.key), error.message, error.hint)]
    if isinstance(error, KeyError):
        return [_missing(cls, path)]
    if not isinstance(error, ExceptionGroup):
        raise error  # a fault of ours, not of the document
    within = error.cl if isinstance(error, ClassValidationError) else cls
    found: list[Fault] = []
    for inner in error.exceptions:
        found.extend(_faults(inner, within, (*path, *_step(inner, within))))
    return found


def _step(error: Exception, cls: Any) -> Path:
    for note in getattr(error, "__notes__", []):
        if isinstance(note, AttributeValidationNote):
            field = next(f for f in dataclasses.fields(cls) if f.name == note.name)
            return (field.metadata.get("key", field.name),)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()


def _missing(cls: Any, path: Path) -> Fault:
    key = str(path[-1])
    _, setting = settings(cls)[key]
    if setting is None:
        return Fault(path, f"there is no {header(key)}", f"write a table {header(key)}")
    example = '["10.0.0.1", "10.0.0.2", "10.0.0.3"]' if setting.kind == "node" else '"..."'
    return Fault(path, f"{key} is missing", f"write {key} = {example}")


def _unknown_key(cls: Any, path: Path, key: str) -> Fault:
    """Looks for the key that was meant: in this table, then in all others."""
    at = (*path, key)
    message = "there is no such setting" if cls is not Config else "there is no such table"
    known = document_keys(cls)
    near = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.7)
    if near:
        return Fault(at, message, f"did you mean {near[0] if cls is not Config else header(near[0])}?")
    elsewhere = [
        f"{key} of {header(name)}"
        for name, (hint, _) in settings(Config).items()
        if key in document_keys(table_class(hint))
    ]
    if elsewhere:
        return Fault(at, f"{message} here", f"did you mean {' or '.join(elsewhere)}?")
    return Fault(at, message, f"known here: {', '.join(known)}")


def _mended(cls: Any, raw: Any, path: Path, faulty: set[Path]) -> dict[str, Any]:
    """The table without what is faulty, and with blanks for what it must have."""
    table = raw if isinstance(raw, dict) else {}
    sound: dict[str, Any] = {}
    needed = required(cls)
    for key, (hint, setting) in settings(cls).items():
        below = (*path, key)
        if hint is Secret:
            # A fault in one way to give a secret may hide one in another: all go.
            ways = secret_keys(key)
            if not any((*path, way) in faulty for way in ways):
                sound.update((way, table[way]) for way in ways if way in table)
            if key in needed and not any(way in sound for way in ways):
                sound[key] = Secret("")
        elif setting is not None:
            if key in table and not any(fault[: len(below)] == below for fault in faulty):
                sound[key] = table[key]
            elif key in needed:
                sound[key] = _BLANK
        elif is_array(hint):
            entries = table[key] if key in table and below not in faulty else []
            sound[key] = [_mended(table_class(hint), each, (*below, at), faulty) for at, each in enumerate(entries)]
        else:
            sound[key] = _mended(hint, table.get(key), below, faulty)
    return sound
