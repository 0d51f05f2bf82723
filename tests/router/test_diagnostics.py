"""Which texts ask about the statement before and nothing else."""

import pytest

from router.diagnostics import Listing, Number, opens_what_it_shows, question
from router.statements import Classifier

ASKED = {
    "SHOW WARNINGS": Listing(),
    "show  warnings ;": Listing(),
    "/* x */ SHOW ERRORS": Listing(errors=True),
    "SHOW WARNINGS LIMIT 3": Listing(most=3),
    "SHOW ERRORS LIMIT 2, 3": Listing(errors=True, skip=2, most=3),
    "SHOW WARNINGS LIMIT 3 OFFSET 2": Listing(skip=2, most=3),
    "SHOW COUNT(*) WARNINGS": (Number.WARNINGS,),
    "SHOW COUNT(*) ERRORS": (Number.ERRORS,),
    "SELECT FOUND_ROWS()": (Number.FOUND_ROWS,),
    "SELECT found_rows() AS `n`, ROW_COUNT() m FROM DUAL": (Number.FOUND_ROWS, Number.ROW_COUNT),
    "SELECT @@warning_count, @@session.error_count 'e', @@local.warning_count": (
        Number.WARNINGS,
        Number.ERRORS,
        Number.WARNINGS,
    ),
}

OTHERS = (
    "SELECT 1",
    "SHOW TABLES",
    "SHOW WARNINGS LIMIT ?",
    "SHOW WARNINGS LIMIT 1 2",
    "SHOW WARNINGS; SELECT 1",
    "SELECT FOUND_ROWS() + 1",
    "SELECT FOUND_ROWS() FROM t",
    "SELECT FOUND_ROWS() INTO @a",
    "SELECT FOUND_ROWS() LIMIT 0",
    "SELECT FOUND_ROWS() UNION SELECT 2",
    "SELECT ROW_COUNT(), LAST_INSERT_ID()",
    "SELECT @@global.warning_count",
    "SELECT @a := ROW_COUNT()",
    "SELECT @@warning_count AS",
    "SELECT ROW_COUNT(),",
    "SELECT 'FOUND_ROWS()', ROW_COUNT",
    "GET DIAGNOSTICS @n = NUMBER",
    "SELECT ROW_COUNT() WHERE FALSE",
    "",
)


@pytest.mark.parametrize("text", ASKED)
def test_a_question(text: str) -> None:
    assert question(text.encode(), Classifier().classify(text.encode()), 0) == ASKED[text]


@pytest.mark.parametrize("text", OTHERS)
def test_anything_else(text: str) -> None:
    assert question(text.encode(), Classifier().classify(text.encode()), 0) is None


@pytest.mark.parametrize(
    ("text", "opens"),
    [
        (b"SHOW CREATE TABLE t", True),
        (b"/* x */ show create view v", True),
        (b"SHOW COLUMNS FROM t", False),
        (b"DESCRIBE `create`", False),
        (b"DESC", False),
        (b"SHOW 'open", False),
    ],
)
def test_what_a_show_opens(text: bytes, opens: bool) -> None:
    assert opens_what_it_shows(text, 0) is opens
