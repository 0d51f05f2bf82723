"""Texts that differ in digits only: which of them are one, which are told apart, and that nothing is known wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.digits import MOST_VARIANTS, Shape, places_of_names
from router.facts import Modes
from router.statements import Classifier


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT c FROM t WHERE id=4711", []),
        ("SELECT c FROM sbtest1 WHERE id=4711 AND k3='17'", ["1", "3"]),
        ("SELECT `5`, @7, t1.c22 FROM t1 /* 5 */", ["5", "7", "1", "22", "1"]),
        ("SELECT /*+ MAX_EXECUTION_TIME(5) */ 1.5, .5, '2020-01-01' -- 7", ["5"]),
        ("SELECT _utf8mb4'1', t1a FROM t", ["8", "4", "1"]),
        ("SELECT a", []),
    ],
)
def test_digits_of_names(text: str, names: list[str]) -> None:
    places = places_of_names(text.encode(), 0)
    assert places is not None
    assert [text[start:end] for start, end in places] == names


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 0x1F",  # 1x1F would be a name
        "SELECT 0b1",
        "SELECT 1e5",
        "SELECT 5a FROM t",
        "SELECT /*!50001 1 */",
        "SELECT 1 -",
        "SELECT 5 --;",
    ],
)
def test_where_the_digits_decide_what_is_a_name(text: str) -> None:
    assert places_of_names(text.encode(), 0) is None


def test_modes_decide_what_a_name_is() -> None:
    assert places_of_names(b'SELECT "a5"', 0) == ()
    assert places_of_names(b'SELECT "a5"', Modes.ANSI_QUOTES) == ((9, 10),)


def test_tables_with_numbers_are_told_apart() -> None:
    classifier = Classifier()
    for table in (b"t1", b"t2", b"t1"):
        assert classifier.classify(b"SELECT c FROM %s WHERE id=5" % table).tables == (table.decode(),)


def test_what_is_kept_of_a_shape_is_bounded() -> None:
    shape: Shape[int] = Shape(((1, 4),))
    for number in range(3 * MOST_VARIANTS):
        shape.put(b"t%03d" % number, number)
        assert shape.get(b"t%03d" % number) == number
    assert sum(shape.get(b"t%03d" % number) is not None for number in range(1000)) <= MOST_VARIANTS


fragments = st.lists(
    st.sampled_from(
        [
            "SELECT ", "INSERT INTO ", "VALUES ", " IN ", " FROM ", "SET ", "USE ", "KILL ", "t", "t1", "t20", "`a5`",
            "@x1", "@@x", "f", "(", ")", ",", ";", "'x'", "'1'", "'it''s 5'", "'\\''", "'5\\'", '"q5"', "5", "12",
            "1.5", "0x1f", "1x1", "0b1", "0b2", "1e5", ".5", "5a", "--", "-", "-- 5\n", "#5\n", "/*5*/", "/*", "*/",
            "/*!", "/*+ h5 */", " ", "=", ":=", ".", "?", "utf8mb4", "_utf8mb3", "'", '"', "`", "\\", "é1", "1é",
        ]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(fragments, st.lists(st.sampled_from("0123456789"), min_size=1, max_size=8), st.sampled_from(range(4)))
def test_what_is_known_of_another_text_is_never_taken_for_it(text: str, digits: list[str], modes: int) -> None:
    classifier = Classifier()
    first = text.encode()
    classifier.classify(first, modes)
    other = "".join(
        digits[at % len(digits)] if sign.isascii() and sign.isdigit() else sign for at, sign in enumerate(text)
    )
    assert classifier.classify(other.encode(), modes) == Classifier().classify(other.encode(), modes)
