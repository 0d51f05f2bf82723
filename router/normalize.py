"""One form for all texts that differ in literals, blanks and comments only.

It must not know statements. Two texts of one form differ only where classification does not look (SET, USE and KILL,
where it does, are not looked up by form), and a form is its own form. Optimizer hints are kept; a text with an
executable comment, or with signs that could open one, is its own form.
"""

import re
from typing import Final

from router.facts import Modes
from router.tokens import COMMENT_PATTERN, SPACE, quoted

# What makes a digit behind it a part of a name, or of a number that has become a "?".
_NAME: Final = r"[A-Za-z0-9_$\x80-\xff`@.?]"
_END: Final = r"(?![A-Za-z0-9_$\x80-\xff])"
_STAYS: Final = frozenset("sno")  # names and hints; the other groups are blanks and comments


def _compile(modes: int) -> re.Pattern[bytes]:
    """Matches what does not stay as it is, and what does but hides such things: the last group says which.

    The pattern begins with a plain set of characters, since the engine searches for such a set fastest; the
    alternatives behind it look back at which one it was.
    """
    escapes = not modes & Modes.NO_BACKSLASH_ESCAPES
    names = bool(modes & Modes.ANSI_QUOTES)
    blank = rf"(?:{SPACE}|{COMMENT_PATTERN})"
    alternatives = (
        rf"(?<=\x20){blank}++(?P<b>)"  # a single space stays: there is nothing to call a function for
        r"|(?<=`)" + quoted("`", False)[1:] + r"(?P<s>)"
        r"|(?<=')"
        + quoted("'", escapes)[1:]
        + r'|(?<=")'
        + quoted('"', escapes and not names)[1:]
        + (r"(?P<n>)" if names else "")
        + rf"|(?<=[0-9])(?<!{_NAME}[0-9])"
        rf"(?:(?<=0)x[0-9a-fA-F]+|(?<=0)b[01]+|[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?){_END}"
        rf"|(?<=\.)(?<!{_NAME}\.)[0-9]+(?:[eE][+-]?[0-9]+)?{_END}"
        rf"|(?<=[\t\n\v\f\r]){blank}*+(?P<t>)"
        rf"|(?<=\#)[^\n]*+{blank}*+(?P<h>)"
        rf"|(?<=-)-(?=[\x00-\x20\x7f]|\Z)[^\n]*+{blank}*+(?P<d>)"
        r"|(?<=/)\*(?:\+.*?\*/(?P<o>)"
        rf"|(?![!M+]).*?\*/{blank}*+(?P<c>))"
    )
    return re.compile(rf"""[ '"`0-9.\t\n\v\f\r#/-](?:{alternatives})""".encode("latin-1"), re.DOTALL)


_FOLDED: Final = tuple(_compile(modes) for modes in range(4))

# Lists of literals: IN (1, 2, 3), and the rows after VALUES, in which constants count as literals.
_VALUE: Final = rb"(?:\?|NULL|DEFAULT|TRUE|FALSE|null|default|true|false)"
_ROW: Final = rb"\(\x20?" + _VALUE + rb"(?:\x20?,\x20?" + _VALUE + rb")*+\x20?\)"
_IN: Final = re.compile(rb"(?i:\b(IN)\x20?)\(\x20?\?(?:\x20?,\x20?\?)++\x20?\)")
_ROWS: Final = re.compile(rb"(?i:\b(VALUES?)\x20?)(" + _ROW + rb")(?:\x20?,\x20?" + _ROW + rb")++")


def _fold(match: re.Match[bytes]) -> bytes:
    which = match.lastgroup
    if which is None:
        return b"?"
    return match[0] if which in _STAYS else b" "


def folded(text: bytes, modes: int = 0) -> list[tuple[int, int]] | None:
    """What of `text` is not in its form: literals, and all blanks and comments but single spaces, as offsets from and
    to. None where the form is the text.
    """
    if b"/*!" in text or b"/*M!" in text:
        return None
    spans: list[tuple[int, int]] = []
    for match in _FOLDED[modes & 3].finditer(text):
        which = match.lastgroup
        if which is None or which not in _STAYS:
            spans.append(match.span())
    if spans and normalize(text, modes) == text:
        return None
    return spans


def normalize(text: bytes, modes: int = 0) -> bytes:
    """The form of `text` under the `router.facts.Modes` bits given (FOREIGN is not known here).

    Never raises. Linear in the length of the text.
    """
    if b"/*!" in text or b"/*M!" in text:
        return text
    form = _FOLDED[modes & 3].sub(_fold, text)
    if b"-- " in form:
        return text  # two signs that open a comment only now that another one behind them is gone
    if b"," in form:
        if b")," in form or b") ," in form:
            form = _ROWS.sub(rb"\1 \2, ...", form)
        form = _IN.sub(rb"\1 (?, ...)", form)
    stripped = form.rstrip(b"; ").lstrip(b" ")
    if stripped.endswith(b"-"):
        return text  # without what followed, the sign could open a comment
    return stripped
