"""The two schemas of a session: what is in them at its start, and how that is had again for the next session.

`{one}` has everything; `{two}` has a table `t` and a view of other contents, so that a statement that ran in the wrong
schema shows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.differential.conversation import Conversation, Names, Prepare, Query

TABLES: Final = (
    "CREATE TABLE t (id INT PRIMARY KEY, v INT, s VARCHAR(40))",
    "CREATE TABLE u (id INT PRIMARY KEY, name VARCHAR(10) NOT NULL UNIQUE, d DECIMAL(10,2), b BLOB, at DATETIME)",
    "CREATE TABLE w (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE x (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE big (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT)",
    "CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
    *(f"CREATE TABLE a{number} (id INT PRIMARY KEY AUTO_INCREMENT, v INT)" for number in range(3)),
)

ROUTINES: Final = (
    "CREATE TRIGGER x_ai AFTER INSERT ON x FOR EACH ROW INSERT INTO log (v) VALUES (NEW.v)",
    "CREATE FUNCTION plain (a INT) RETURNS INT DETERMINISTIC RETURN a + 1",
    "CREATE FUNCTION sets (a INT) RETURNS INT BEGIN SET @function = a; RETURN a; END",
    "CREATE FUNCTION locks (a INT) RETURNS INT RETURN GET_LOCK(CONCAT(DATABASE(), a), 0)",
    "CREATE VIEW tv AS SELECT id, v FROM t",
    "CREATE PROCEDURE one_result () SELECT id, v FROM t ORDER BY id LIMIT 2",
    """CREATE PROCEDURE two_results ()
       BEGIN SELECT 1; UPDATE t SET v = v + 1 WHERE id = 1; SELECT v FROM t WHERE id = 1; END""",
    "CREATE PROCEDURE gives (OUT a INT, INOUT b INT) BEGIN SET a = 7; SET b = b + 1; END",
    "CREATE PROCEDURE sets_mode () SET sql_mode = 'ANSI_QUOTES'",
    "CREATE PROCEDURE commits () BEGIN UPDATE t SET v = v + 10 WHERE id = 2; COMMIT; END",
    "CREATE PROCEDURE begins () START TRANSACTION",
    """CREATE PROCEDURE fails ()
       BEGIN SET @procedure = 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused', MYSQL_ERRNO = 3333; END""",
    "CREATE PROCEDURE warns () SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'careful', MYSQL_ERRNO = 4444",
    "CREATE PROCEDURE makes_temporary () BEGIN CREATE TEMPORARY TABLE made (id INT); INSERT INTO made VALUES (5); END",
)  # fmt: skip

DATA: Final = (
    *(f"DELETE FROM {table}" for table in ("t", "u", "w", "x", "big", "log", "a0", "a1", "a2")),
    "INSERT INTO t VALUES (1, 10, 'one'), (2, 20, 'two'), (3, 30, NULL), (4, 40, 'four'), (5, 50, 'five')",
    "INSERT INTO u VALUES (1, 'ann', 1.25, 'blob', '2001-02-03 04:05:06'), (2, 'bob', NULL, NULL, NULL)",
)
OTHER: Final = ("DELETE FROM t", "INSERT INTO t VALUES (1, -1, 'other'), (9, -9, 'nine')")

AUTO_INCREMENT: Final = ("log", "a0", "a1", "a2")
# All that a conversation may make anew.
MADE: Final = ("n0", "n1")


def create(connection: Any, names: Names) -> None:
    """Make both schemas from nothing."""
    for schema, statements in ((names.one, (*TABLES, *ROUTINES)), (names.two, TABLES[:1])):
        with connection.cursor() as cursor:
            for statement in (
                f"DROP DATABASE IF EXISTS {schema}",
                f"CREATE DATABASE {schema} CHARACTER SET utf8mb4",
                f"USE {schema}",
                *statements,
            ):
                cursor.execute(statement)


def fill(connection: Any, before: Sequence[tuple[Names, Conversation | None]]) -> None:
    """Give all these schemas their first contents. What was last said there comes with them: only its traces are
    removed.

    It is one transaction, and one text, since what each conversation begins with takes as long as what it says. The
    connection has CLIENT_MULTI_STATEMENTS.
    """
    statements = [statement for names, conversation in before for statement in _clearing(names, conversation)]
    statements.append("BEGIN")
    for names, _ in before:
        for schema, contents in ((names.one, DATA), (names.two, OTHER)):
            statements += (f"USE {schema}", *contents)
    statements.append("COMMIT")
    with connection.cursor() as cursor:
        cursor.execute(";".join(statements))
        while cursor.nextset():
            pass


def _clearing(names: Names, before: Conversation | None) -> Iterator[str]:
    """What no transaction can undo: tables made, and ids generated."""
    if before is None:
        return
    texts = " ".join(step.sql for step in before.steps if isinstance(step, Query | Prepare))
    if any(name in texts for name in MADE):
        yield "DROP TABLE IF EXISTS " + ", ".join(f"{s}.{name}" for s in (names.one, names.two) for name in MADE)
    for table in AUTO_INCREMENT:
        if f"INTO {'x' if table == 'log' else table}" in texts:
            yield f"TRUNCATE {names.one}.{table}"
