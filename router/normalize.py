"""One form for all texts that differ in literals, blanks and comments only.

It must not know statements. Two texts of one form differ only where classification does not look (SET, USE and KILL,
where it does, are not looked up by form), and a form is its own form. Optimizer hints are kept; a text with an
executable comment is its own form.
"""

import re
from typing import Final

from router.tokens import COMMENT_PATTERN, SPACE, patterns

_BEFORE: Final = r"(?<![A-Za-z0-9_$\x80-\xff`@.])"
_NUMBER: Final = (
    rf"{_BEFORE}(?:0x[0-9a-fA-F]+|0b[01]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_$\x80-\xff])"
)


def _compile(modes: int) -> re.Pattern[bytes]:
    """Matches all that does not stay as it is, and, as group 1, what hides such things and does."""
    string, name = patterns(modes)
    blank = rf"(?:{SPACE}|{COMMENT_PATTERN})"
    # A single space stays: there is nothing to call a function for.
    blanks = rf"[\t\n\v\f\r]{blank}*+|\x20{blank}++|(?:{COMMENT_PATTERN}){blank}*+"
    pattern = rf"(?:{_BEFORE}[nNxXbB](?='))?(?:{string})|{_NUMBER}|({name}|/\*\+.*?\*/)|({blanks})"
    return re.compile(pattern.encode("latin-1"), re.DOTALL)


_FOLDED: Final = tuple(_compile(modes) for modes in range(4))

# Lists of literals: IN (1, 2, 3), and the rows after VALUES, in which constants count as literals.
_VALUE: Final = rb"(?:\?|NULL|DEFAULT|TRUE|FALSE|null|default|true|false)"
_ROW: Final = rb"\(\x20?" + _VALUE + rb"(?:\x20?,\x20?" + _VALUE + rb")*+\x20?\)"
_IN: Final = re.compile(rb"(?i:\b(IN)\x20?)\(\x20?\?(?:\x20?,\x20?\?)++\x20?\)")
_ROWS: Final = re.compile(rb"(?i:\b(VALUES?)\x20?)(" + _ROW + rb")(?:\x20?,\x20?" + _ROW + rb")++")


def _fold(match: re.Match[bytes]) -> bytes:
    which = match.lastindex
    if which is None:
        return b"?"
    if which == 1:
        return match[1]
    return b" "


def normalize(text: bytes, modes: int = 0) -> bytes:
    """The form of `text` under the `router.facts.Modes` bits given (FOREIGN is not known here).

    Never raises. Linear in the length of the text.
    """
    if b"/*!" in text or b"/*M!" in text:
        return text
    form = _FOLDED[modes & 3].sub(_fold, text)
    if b"," in form:
        if b")," in form or b") ," in form:
            form = _ROWS.sub(rb"\1 \2, ...", form)
        form = _IN.sub(rb"\1 (?, ...)", form)
    stripped = form.rstrip(b"; ").lstrip(b" ")
    if stripped.endswith(b"-"):
        return form.strip(b" ")  # without what follows, the sign could open a comment
    return stripped
