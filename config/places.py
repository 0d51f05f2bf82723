"""Where in a TOML document each key stands. tomllib gives values without places; this gives places without values.

It must be called only with text that tomllib has accepted: it finds its way through the grammar and checks none of
it. Must not know what the keys mean. Grammar: https://toml.io/en/v1.0.0
"""

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]
"""The way to a value: table names, positions in arrays (from 0) and the key."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BASIC_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL_STRING: Final = re.compile(r"'[^']*'")
# Up to two quotes may stand before the closing three, and belong to the string.
_LONG_BASIC_STRING: Final = re.compile(r'"""(?:[^"\\]|\\.|""?(?!"))*"""(?:""?(?!"))?', re.DOTALL)
_LONG_LITERAL_STRING: Final = re.compile(r"'''(?:[^']|''?(?!'))*'''(?:''?(?!'))?", re.DOTALL)
_SCALAR: Final = re.compile(r"[^,\]}#\r\n]*")


def locate(text: str) -> dict[Path, int]:
    """The line, from 1, of every table, key and array entry of a valid TOML document."""
    # tomllib turns CRLF into LF before it reads, and so do we, so that both count lines alike.
    return _Walk(text.replace("\r\n", "\n")).document()


class _Walk:
    __slots__ = ("_at", "_counted", "_line", "_places", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._places: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        table: Path = ()
        tables_in_array: dict[Path, int] = {}
        while True:
            self._skip(_BLANK)
            if self._at >= len(self._text):
                return self._places
            line = self._line_here()
            if self._text.startswith("[", self._at):
                array = self._text.startswith("[[", self._at)
                self._at += 2 if array else 1
                names = self._key()
                self._at += 2 if array else 1
                table = self._resolve(names, tables_in_array, array)
                self._note(table, line)
            else:
                self._pair(table)

    def _resolve(self, names: list[str], tables_in_array: dict[Path, int], array: bool) -> Path:
        """A header names arrays of tables without saying which entry: it is always the last so far."""
        path: Path = ()
        for depth, name in enumerate(names):
            path = (*path, name)
            if array and depth == len(names) - 1:
                tables_in_array[path] = tables_in_array.get(path, -1) + 1
                # The places of a name that opens several tables is that of the first.
                self._note(path, self._line_here())
            if path in tables_in_array:
                path = (*path, tables_in_array[path])
            self._note(path, self._line_here())
        return path

    def _pair(self, table: Path) -> None:
        line = self._line_here()
        path = table
        for name in self._key():
            path = (*path, name)
            self._note(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            quote = self._text[self._at]
            if quote in "\"'":
                quoted = self._take(_BASIC_STRING if quote == '"' else _LITERAL_STRING)
                names.append(str(tomllib.loads(f"k = {quoted}")["k"]))
            else:
                names.append(self._take(_BARE_KEY))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        rest = self._text[self._at : self._at + 3]
        if rest == '"""':
            self._skip(_LONG_BASIC_STRING)
        elif rest == "'''":
            self._skip(_LONG_LITERAL_STRING)
        elif rest[0] == '"':
            self._skip(_BASIC_STRING)
        elif rest[0] == "'":
            self._skip(_LITERAL_STRING)
        elif rest[0] == "[":
            self._array(path)
        elif rest[0] == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "]":
                self._at += 1
                return
            self._note((*path, index), self._line_here())
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == "}":
                self._at += 1
                return
            self._pair(path)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1

    def _note(self, path: Path, line: int) -> None:
        self._places.setdefault(path, line)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match is not None, "locate() was given text that is not TOML"
        self._at = match.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        start = self._at
        self._skip(pattern)
        return self._text[start : self._at]

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line
