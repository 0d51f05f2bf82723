"""Which tables a statement names: what is read without sqlglot is what sqlglot reads."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import parse
from router.tokens import UnreadableError, tokenize

ONE = [
    "SELECT c FROM t",
    "SELECT c, d AS e FROM shop.stock WHERE id = 4711",
    "SELECT COUNT(*), MAX(a) FROM `T` GROUP BY b HAVING COUNT(*) > 1 ORDER BY 1 LIMIT 5",
    "SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN 1 AND 100 ORDER BY c",
    "SELECT n FROM t WHERE id IN (1, 2, 3) FOR UPDATE",
    "SELECT n FROM t WHERE id = ? LOCK IN SHARE MODE",
    "SELECT 'FROM u' FROM t",
    "DELETE FROM t",
    "DELETE FROM a.b WHERE id = 1 LIMIT 1",
    "UPDATE t SET n = n + 1 WHERE id = 7",
    "UPDATE `s`.`t` SET a = 'SELECT x FROM y'",
]
MORE = [
    "SELECT 1",
    "SELECT 1 FROM dual",
    "SELECT a FROM t, u",
    "SELECT a FROM t JOIN u USING (id)",
    "SELECT a FROM t x, u y",
    "SELECT a FROM t WHERE id IN (SELECT id FROM u)",
    "SELECT a FROM t UNION SELECT b FROM u",
    "SELECT EXTRACT(YEAR FROM day) FROM t",
    "SELECT TRIM(BOTH 'x' FROM y)",
    "SELECT (SELECT b FROM u) FROM t",
    "SELECT a FROM (SELECT 1 AS a) d",
    "SELECT a FROM t WHERE x IN (TABLE u)",
    "DELETE t FROM t JOIN u ON t.id = u.id",
    "DELETE FROM t USING t JOIN u",
    "UPDATE t, u SET t.a = u.a",
    "UPDATE t JOIN u ON t.id = u.id SET t.a = 1",
    "UPDATE t SET a = (SELECT MAX(a) FROM u)",
    "SELECT FROM",
    "SELECT a FROM",
    "DELETE FROM",
    "UPDATE",
]


@pytest.mark.parametrize("text", ONE)
def test_statements_on_one_table_need_no_grammar_and_mean_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokenize(text)
    expected = parse.parsed(tokens)
    monkeypatch.setattr(parse, "parsed", lambda tokens: pytest.fail("sqlglot was asked"))
    assert parse.tables(tokens) == expected
    assert expected is not None
    assert len(expected) == 1


@pytest.mark.parametrize("text", MORE)
def test_what_may_name_more_is_left_to_the_grammar(text: str) -> None:
    tokens = tokenize(text)
    assert parse.tables(tokens) == parse.parsed(tokens)


WORDS = st.sampled_from(
    ["SELECT", "DELETE", "UPDATE", "FROM", "WHERE", "SET", "JOIN", "USING", "ON", "IN", "AS", "UNION", "TABLE", "INTO",
     "LIMIT", "FOR", "t", "u", "s.t", "`t`", "a", "1", "'x'", "*", "(", ")", ",", "=", "@v", "dual"]
)  # fmt: skip


@given(st.sampled_from(["SELECT", "DELETE", "UPDATE"]), st.lists(WORDS, max_size=14))
def test_no_text_is_taken_for_one_about_another_table(first: str, words: list[str]) -> None:
    try:
        tokens = tokenize(" ".join([first, *words]))
    except UnreadableError:
        return
    by_grammar = parse.parsed(tokens)
    if by_grammar is not None:
        assert parse.tables(tokens) == by_grammar


def test_it_is_imported_by_the_first_text_that_needs_it() -> None:
    code = (
        "import sys; from router.statements import Classifier; classifier = Classifier()\n"
        "classifier.classify(b'SELECT c FROM t WHERE id = 1'); assert 'sqlglot' not in sys.modules\n"
        "classifier.classify(b'SELECT c FROM t, u'); assert 'sqlglot' in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
