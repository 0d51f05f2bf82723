"""How a text is cut: comments, literals, names."""

import pytest

from router.facts import Modes
from router.tokens import (
    MARK,
    NUMBER,
    PARAMETER,
    QUOTED,
    STRING,
    SYSTEM,
    USER_VARIABLE,
    WORD,
    UnreadableError,
    tokenize,
)


def cut(text: str, modes: int = 0) -> list[str]:
    return [token.text for token in tokenize(text, modes)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a b", ["a", "b"]),
        ("a/* x */b", ["a", "b"]),
        ("a#x\nb", ["a", "b"]),
        ("a-- x\nb", ["a", "b"]),
        ("a--x", ["a", "-", "-", "x"]),
        ("a--", ["a"]),
        ("a*/* x */b", ["a", "*", "b"]),
        ("a*/b", ["a", "*", "/", "b"]),
        ("/*!b*/", ["b"]),
        ("/*!50001 b*/c", ["b", "c"]),
        ("/*!50001b*/", ["b"]),
        ("'a''b'", ["'a''b'"]),
        (r"'a\'b'", [r"'a\'b'"]),
        ("`a``b`", ["`a``b`"]),
        ("@a:=@@b", ["@a", ":=", "@@", "b"]),
        ("@`a b`", ["@`a b`"]),
        ("1.5 .5 1e3 0x1f 5a a.5", ["1.5", ".5", "1e3", "0x1f", "5a", "a", ".", "5"]),
        ("x'41' X'g'", ["x'41'", "X", "'g'"]),
        ("(?, ...)", ["(", "?", ",", "...", ")"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert cut(text) == tokens


def test_kinds() -> None:
    kinds = [token.kind for token in tokenize("a `b` 'c' 1 @d @@ = ?")]
    assert kinds == [WORD, QUOTED, STRING, NUMBER, USER_VARIABLE, SYSTEM, MARK, PARAMETER]


def test_double_quotes_follow_the_mode() -> None:
    assert tokenize('"a"')[0].kind == STRING
    token = tokenize('"A""b"', Modes.ANSI_QUOTES)[0]
    assert (token.kind, token.name) == (QUOTED, 'a"b')


def test_a_backslash_follows_the_mode() -> None:
    assert cut(r"'\'", Modes.NO_BACKSLASH_ESCAPES) == [r"'\'"]
    with pytest.raises(UnreadableError):
        cut(r"'\'")


@pytest.mark.parametrize(
    "text",
    [
        "'open", '"open', "`open", "/* open", "/*! open", "/*!80000 a */", "/*!100100 a */", "/*M! a */", "\\N",
        "a\x00b",
        "a\xa0b", "@", "/*+ SET_VAR(a=1) */ 1", "/*! a /* b */ */", "\x7f",
    ],
)  # fmt: skip
def test_what_the_server_might_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        tokenize(text)


def test_a_blank_before_a_token_is_kept_in_mind() -> None:
    assert [token.spaced for token in tokenize("a b(c /**/(")] == [False, True, False, False, True]
