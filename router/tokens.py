"""A text of SQL as the server's own lexer cuts it, for MySQL and MariaDB.

It knows no statement. Bytes stand for themselves (latin-1): above 0x7F they are letters, as in UTF-8 and in all
character sets but those of `Modes.FOREIGN`, which must not come here. What it is not sure of it refuses.
Source: "Language Structure" in the MySQL manual (literals, identifiers, comments), "Comment Syntax" in MariaDB's.
"""

import re
from collections.abc import Sequence
from typing import Final

from router.facts import Modes

# Kinds of token.
WORD: Final = 0  # keyword or plain identifier
QUOTED: Final = 1  # `identifier`, or "identifier" under ANSI_QUOTES
STRING: Final = 2
NUMBER: Final = 3  # also hexadecimal and bit literals
USER_VARIABLE: Final = 4  # @name
SYSTEM: Final = 5  # the @@ before a system variable's name
MARK: Final = 6  # everything else: one character, or :=
PARAMETER: Final = 7  # ? of a prepared statement, or of a normalised text

SPACE: Final = r"[ \t\n\v\f\r]"
LETTER: Final = r"[A-Za-z0-9_$\x80-\xff]"
NUMBER_PATTERN: Final = (
    r"(?:0x[0-9a-fA-F]+|0b[01]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
    r"|(?<![A-Za-z0-9_$\x80-\xff`\"])\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    rf"(?!{LETTER})"
)
# "--" opens a comment only before a blank, a control character or the end.
COMMENT_PATTERN: Final = r"#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*|/\*(?![!M+]).*?\*/|/\*M(?!!).*?\*/"


def quoted(mark: str, escapes: bool) -> str:
    """A pattern for what stands between two `mark`s, doubled marks included."""
    if escapes:
        return rf"{mark}[^{mark}\\]*+(?:(?:\\.|{mark}{mark})[^{mark}\\]*+)*+{mark}"
    return rf"{mark}[^{mark}]*+(?:{mark}{mark}[^{mark}]*+)*+{mark}"


def patterns(modes: int) -> tuple[str, str]:
    """Patterns of what is a string and what is a quoted identifier under `modes`."""
    escapes = not modes & Modes.NO_BACKSLASH_ESCAPES
    single, double, back = quoted("'", escapes), quoted('"', escapes), quoted("`", False)
    if modes & Modes.ANSI_QUOTES:
        return single, f"{back}|{quoted(chr(34), False)}"
    return f"{single}|{double}", back


def _compile(modes: int) -> re.Pattern[str]:
    string, name = patterns(modes)
    return re.compile(
        rf"(?P<skip>{SPACE}+|{COMMENT_PATTERN})"
        rf"|(?P<hint>/\*\+.*?\*/)"
        rf"|(?P<open>/\*!(?:[0-9]{{5}}(?![0-9]))?)"
        rf"|(?P<close>\*/)"
        rf"|(?P<number>{NUMBER_PATTERN}|[xX]'[0-9a-fA-F]*'|[bB]'[01]*')"
        rf"|(?P<string>(?:[nN](?='))?(?:{string}))"
        rf"|(?P<name>{name})"
        rf"|(?P<word>{LETTER}+)"
        rf"|(?P<user>@(?:(?:[A-Za-z0-9_$.\x80-\xff]+)|{string}|{name}))"
        rf"|(?P<system>@@)"
        rf"|(?P<parameter>\?)"
        rf"|(?P<mark>:=|\.\.\.|/(?!\*)|[-+*%=<>!&|^~(),.;:{{}}])",
        re.DOTALL,
    )


_LEXERS: Final = tuple(_compile(modes) for modes in range(4))
_KINDS: Final = {
    "number": NUMBER, "string": STRING, "name": QUOTED, "word": WORD,
    "user": USER_VARIABLE, "system": SYSTEM, "parameter": PARAMETER, "mark": MARK,
}  # fmt: skip

# Executable comments up to this version are run by every server in use: MariaDB skips 50700 to 50999.
_ALWAYS_RUN: Final = 50700


class UnreadableError(ValueError):
    """The text cannot be cut into tokens with certainty."""


class Token:
    """One token. `upper` is upper case for words, the name without quotes for quoted ones, else the text."""

    __slots__ = ("kind", "spaced", "text", "upper")

    def __init__(self, kind: int, text: str, spaced: bool) -> None:
        self.kind = kind
        self.text = text
        self.spaced = spaced
        if kind == WORD:
            self.upper = text.upper()
        elif kind == QUOTED:
            self.upper = text[1:-1].replace(text[0] * 2, text[0])
        else:
            self.upper = text

    @property
    def is_name(self) -> bool:
        return self.kind == WORD or self.kind == QUOTED

    @property
    def name(self) -> str:
        """The identifier, without quotes, in lower case."""
        return self.upper.lower()

    def __repr__(self) -> str:
        return self.text


def tokenize(text: str, modes: int = 0) -> list[Token]:
    """All tokens of `text` (latin-1). Comments are left out, but what stands in one that every server runs is left in.

    Raises UnreadableError for what the server would refuse, or might read otherwise.
    """
    found: list[Token] = []
    match = _LEXERS[modes & 3].match
    position, end, spaced, inside = 0, len(text), False, False
    while position < end:
        m = match(text, position)
        if m is None:
            raise UnreadableError(f"at offset {position}")
        position = m.end()
        group = m.lastgroup
        if group == "skip":
            if inside and text.startswith("/*", m.start()):
                raise UnreadableError("comment within an executable comment")
            spaced = True
            continue
        piece = m.group()
        if group == "hint":
            if "SET_VAR" in piece.upper():
                raise UnreadableError("SET_VAR")
            spaced = True
            continue
        if group == "open":
            if inside or int(piece[3:] or 0) >= _ALWAYS_RUN or text[position : position + 1].isdigit():
                raise UnreadableError("executable comment")
            inside = spaced = True
            continue
        if group == "close":
            if inside:
                inside, spaced = False, True
                continue
            group, piece, position = "mark", "*", position - 1
        assert group is not None
        if group == "word" and "\xa0" in piece:
            raise UnreadableError("0xA0 is a blank in latin1")  # and half a letter in UTF-8
        found.append(Token(_KINDS[group], piece, spaced))
        spaced = False
    if inside:
        raise UnreadableError("open executable comment")
    return found


def name_at(tokens: Sequence[Token], at: int) -> range:
    """The tokens of a name, qualified or not, that begins at `at`."""
    if at >= len(tokens) or not tokens[at].is_name:
        return range(at, at)
    if at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].is_name:
        return range(at, at + 3)
    return range(at, at + 1)


def table_name(tokens: Sequence[Token], name: range) -> str:
    return "".join(tokens[at].name for at in name)


def has_word(tokens: Sequence[Token], words: tuple[str, ...]) -> bool:
    return any(token.kind == WORD and token.upper in words for token in tokens)
