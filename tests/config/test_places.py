"""Lines of keys: the same keys that tomllib finds, each where it stands."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.places import Path, locate


def paths(value: Any, path: Path = ()) -> set[Path]:
    """Every path of a document's values."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    found = {path} if path else set()
    for step, below in inner:
        found |= paths(below, (*path, step))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only this\n\n", {}),
        ("a = 1", {("a",): 1}),
        ("\n\na = 1 # b = 2\nc = '#'\n", {("a",): 3, ("c",): 4}),
        ("[t]\na = 1\n", {("t",): 1, ("t", "a"): 2}),
        ("[ t . u ] # x\na = 1\n", {("t",): 1, ("t", "u"): 1, ("t", "u", "a"): 2}),
        (
            "[[t]]\na = 1\n[[t]]\na = 2\n",
            {("t",): 1, ("t", 0): 1, ("t", 0, "a"): 2, ("t", 1): 3, ("t", 1, "a"): 4},
        ),
        (
            "[[t]]\n[t.u]\na = 1\n[[t]]\n[[t.v]]\nb = 2\n",
            {
                ("t",): 1,
                ("t", 0): 1,
                ("t", 0, "u"): 2,
                ("t", 0, "u", "a"): 3,
                ("t", 1): 4,
                ("t", 1, "v"): 5,
                ("t", 1, "v", 0): 5,
                ("t", 1, "v", 0, "b"): 6,
            },
        ),
        ("a = [\n  1,\n\n  2, # c\n]\nb = 3", {("a",): 1, ("a", 0): 2, ("a", 1): 4, ("b",): 6}),
        (
            "a = {b = 1, c = [2, {d = '}'}]}\ne = 1",
            {
                ("a",): 1,
                ("a", "b"): 1,
                ("a", "c"): 1,
                ("a", "c", 0): 1,
                ("a", "c", 1): 1,
                ("a", "c", 1, "d"): 1,
                ("e",): 2,
            },
        ),
        ('a = """\n[x]\n"" \\""" ""\n"""\nb = 1', {("a",): 1, ("b",): 5}),
        ("a = '''\n[x]\n'' ''\n'''\nb = 1", {("a",): 1, ("b",): 5}),
        ('a = """x"""""\nb = 1', {("a",): 1, ("b",): 2}),
        ("a = ''''''\nb = ''", {("a",): 1, ("b",): 2}),
        ('a = "\\"#"\r\nb = 2\r\n', {("a",): 1, ("b",): 2}),
        ('"a.b" = 1\n\'c d\'.e = 2\n"\\u0041" = 3', {("a.b",): 1, ("c d",): 2, ("c d", "e"): 2, ("A",): 3}),
        ("a = 1979-05-27 07:32:00 # d\nb = 1", {("a",): 1, ("b",): 2}),
    ],
)
def test_lines(text: str, expected: dict[Path, int]) -> None:
    assert locate(text) == expected
    assert set(expected) == paths(tomllib.loads(text))


# Documents are drawn together with their own text, so that every notation is met: quoting, nesting, line breaks.
_keys = st.sampled_from(["a", "b-c", "1", '"x.y"', "'#'", '"\\n["', "d.e", "d . f"])
_scalars = st.sampled_from(
    ["1", "-0.5", "true", "07:32:00", '""', "'[x]'", '"a\\"#}"', '"""\n]\n"""', "'''\n''x''\n'''", '"""a"""""', "0o7"]
)


def _array(entries: list[str]) -> str:
    return "[\n" + ", # c ]\n".join(entries) + "\n]"


def _inline(pairs: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + "}"


_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.dictionaries(_keys, inner, max_size=3).map(_inline),
    ),
    max_leaves=6,
)
_pairs = st.builds("{} = {} # c".format, _keys, _values)
_headers = st.sampled_from(["[t]", "[ t.u ]", "[[v]]", "[v.w]", "[[v.x]]", "['[y]']", "# [z]", ""])
_documents = st.lists(st.one_of(_pairs, _headers), max_size=10).map("\n".join)


@given(_documents)
def test_every_key_of_every_valid_document_has_a_line(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = locate(text)
    assert set(found) == paths(values)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
