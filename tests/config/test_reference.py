"""The reference says what the reader reads."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

import config
from config.model import Config
from config.schema import document_keys, header, settings, table_class

ROW = re.compile(r"\| `(?P<key>\w+)` \| (?P<type>.*?) \| (?P<default>.*?) \| (?P<meaning>.*) \|")
MINIMAL = """\
[cluster]
nodes = ["10.0.0.1"]
user = "m"
password = "m"
[[endpoint]]
name = "w"
listen = "127.0.0.1:3306"
[[user]]
name = "a"
password = "a"
"""


def sections() -> dict[str, list[re.Match[str]]]:
    """The rows under each heading."""
    found: dict[str, list[re.Match[str]]] = {}
    for section in config.reference().split("### ")[1:]:
        heading, _, body = section.partition("\n")
        found[heading.strip("`")] = [match for line in body.splitlines() if (match := ROW.fullmatch(line))]
    return found


def tables() -> Iterator[tuple[str, type]]:
    """Each table's heading and class, a table that belongs to another one behind it."""
    for table, (hint, _) in settings(Config).items():
        cls = table_class(hint)
        yield header(table), cls
        for key, (inner, setting) in settings(cls).items():
            if setting is None and inner is not config.Secret:
                yield f"[{table}.{key}]", inner


def test_every_setting_has_a_row_with_a_meaning() -> None:
    found = sections()
    assert list(found) == [heading for heading, _ in tables()]
    for heading, cls in tables():
        rows = found[heading]
        below = [key for key, (hint, setting) in settings(cls).items() if setting is None and hint is not config.Secret]
        assert [row["key"] for row in rows] == [key for key in document_keys(cls) if key not in below]
        assert all(row["type"] and len(row["meaning"]) > 10 and row["meaning"].endswith(".") for row in rows)


def defaults() -> list[tuple[str, str, str]]:
    return [
        (heading, row["key"], row["default"].strip("`"))
        for heading, rows in sections().items()
        for row in rows
        if row["default"].startswith("`")
    ]


@pytest.mark.parametrize(("heading", "key", "default"), defaults())
def test_a_default_written_out_changes_nothing(heading: str, key: str, default: str) -> None:
    """Each default as the reference shows it is valid TOML, is accepted, and means the default."""
    raw: dict[str, Any] = tomllib.loads(f"{key} = {default}")
    assert raw
    plain = config.loads(MINIMAL)
    if heading in MINIMAL:
        written = MINIMAL.replace(heading, f"{heading}\n{key} = {default}", 1)
    else:
        written = f"{MINIMAL}{heading}\n{key} = {default}\n"
    assert config.loads(written) == plain


def test_the_configuration_is_frozen_and_shows_no_password() -> None:
    made = config.from_nodes(["a"], "app", "s3cret")
    assert "s3cret" not in repr(made)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.users = ()  # type: ignore[misc]
