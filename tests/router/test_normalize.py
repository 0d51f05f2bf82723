"""The form of a text: what is folded, what is kept apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.facts import Modes
from router.normalize import normalize
from router.reading import LITERAL_KINDS
from router.statements import Classifier
from router.tokens import NUMBER, STRING, tokenize
from tests.router.test_statements import TABLE

FORMS = [
    ("SELECT a FROM t WHERE id = 5", "SELECT a FROM t WHERE id = ?"),
    ("SELECT  a\nFROM\tt -- x\n WHERE id=0x1F ;", "SELECT a FROM t WHERE id=?"),
    ("SELECT/* x */a", "SELECT a"),
    ("SELECT 'it''s', \"a\\\"b\", x'41', b'01', N'x', -5, 1.5e-3, .5", "SELECT ?, ?, x?, b?, N?, -?, ?, ?"),
    ("SELECT t1.c2, `3`, @a4, @'5', 5a, t.5 FROM t6", "SELECT t1.c2, `3`, @a4, @?, 5a, t.5 FROM t6"),
    ("SELECT a--1", "SELECT a--?"),
    ("SELECT a --", "SELECT a"),
    ("SELECT a --;", "SELECT a --;"),
    ("SELECT 1 # x", "SELECT ?"),
    ("SELECT /*+ MAX_EXECUTION_TIME(5) */ 1", "SELECT /*+ MAX_EXECUTION_TIME(5) */ ?"),
    ("SELECT  /*!40001 5 */", "SELECT  /*!40001 5 */"),
    ("SELECT COUNT (a)", "SELECT COUNT (a)"),
    ("SELECT COUNT/**/(a)", "SELECT COUNT (a)"),
    ("SELECT a IN (1)", "SELECT a IN (?)"),
    ("SELECT a IN (1, 2)", "SELECT a IN (?, ...)"),
    ("SELECT a IN (1,'x' , 3)", "SELECT a IN (?, ...)"),
    ("SELECT a IN (1, b)", "SELECT a IN (?, b)"),
    ("INSERT INTO t VALUES (1, NULL)", "INSERT INTO t VALUES (?, NULL)"),
    ("INSERT INTO t VALUES (1, NULL), (2, 3),(4,DEFAULT)", "INSERT INTO t VALUES (?, NULL), ..."),
    ("INSERT INTO t VALUES (1), (NOW())", "INSERT INTO t VALUES (?), (NOW())"),
    ("SELECT 'open 5", "SELECT 'open ?"),
]


@pytest.mark.parametrize(("text", "form"), FORMS)
def test_form(text: str, form: str) -> None:
    assert normalize(text.encode()) == form.encode()
    assert normalize(form.encode()) == form.encode()


def test_modes_decide_what_a_literal_is() -> None:
    assert normalize(b'SELECT "a"') == b"SELECT ?"
    assert normalize(b'SELECT "a"', Modes.ANSI_QUOTES) == b'SELECT "a"'
    assert normalize(rb"SELECT 'a\', 5, 'b'") == rb"SELECT ?b'"
    assert normalize(rb"SELECT 'a\', 5, 'b'", Modes.NO_BACKSLASH_ESCAPES) == b"SELECT ?, ?, ?"


fragments = st.lists(
    st.sampled_from(
        [
            "SELECT", "INSERT INTO", "VALUES", "IN", "FROM", "SET", "t", "`a b`", "@x", "@@x", "f", "COUNT", "(", ")",
            ",", ";", "'x'", "'it''s'", "'\\''", '"q"', "5", "1.5", "0x1f", "--", "-", "-- c\n", "#c\n", "/*c*/", "/*",
            "*/", "/*!", "/*+ h */", " ", "\n", "=", ":=", ".", "?", "...", "NULL", "'", '"', "`", "\\", "\xa0", "\x00",
        ]
    )
).map("".join)  # fmt: skip


@given(st.one_of(fragments.map(lambda text: text.encode("latin-1")), st.binary()), st.integers(0, 3))
def test_a_form_is_its_own_form(text: bytes, modes: int) -> None:
    form = normalize(text, modes)
    assert normalize(form, modes) == form


@given(st.one_of(fragments.map(lambda text: text.encode("latin-1")), st.binary()), st.integers(0, Modes.ALL))
def test_no_text_is_an_error(text: bytes, modes: int) -> None:
    assert Classifier().classify(text, modes) is not None


# SET, USE, KILL and PREPARE mean their literals; of one more kind each are texts that are their own form.
BY_FORM = [text for text, facts in TABLE if facts.kind not in LITERAL_KINDS and "/*!" not in text and "\\" not in text]


@given(st.sampled_from(BY_FORM), st.integers(0, 10**12), st.text("abc\\'\"`;-#/*() é", max_size=20))
def test_other_literals_are_the_same_statement(text: str, number: int, string: str) -> None:
    escaped = string.replace("\\", "\\\\").replace("'", "\\'")
    other = []
    for token in tokenize(text):
        piece = token.text
        if token.kind == STRING and piece[0] in "'\"":  # N'..', x'..' and the like keep their letter in the form
            piece = f"'{escaped}'"
        elif token.kind == NUMBER and piece[0] in "0123456789.":
            piece = str(number)
        other.append(f" {piece}" if token.spaced else piece)
    classifier = Classifier()
    facts = classifier.classify(text.encode())
    assert Classifier().classify("".join(other).encode()) == facts
    if "/*+" not in text:  # the hint is part of the form
        assert classifier.classify("".join(other).encode()) is facts
