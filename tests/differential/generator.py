"""Conversations made from a seed: statements of every kind that can leave something in a session, or ask for it.

Left out is what answers differently at each run or on each node whatever is in front of it: the time, UUIDs, connection
ids, the server's own names, plans. An AUTO_INCREMENT table is not inserted into again once a rollback may have left a
gap in its ids: only the node where that happened knows of it. What SUPPORTED.md says to differ is left out, too:
FOUND_ROWS() is asked for right behind what it counts, and warnings about prepared statements not at all.
"""

import random
import re
from collections.abc import Callable
from typing import Final

from proxy.wire import constants as c
from tests.differential.client import SENT, Value
from tests.differential.conversation import (
    ChangeUser,
    CloseStatement,
    Command,
    Conversation,
    Execute,
    Fetch,
    FieldList,
    InitDb,
    Load,
    LongData,
    Prepare,
    Query,
    ResetStatement,
    SetOption,
    Step,
)

CAPABILITIES: Final = (
    0,
    c.CLIENT_DEPRECATE_EOF,
    c.CLIENT_SESSION_TRACK,
    c.CLIENT_DEPRECATE_EOF | c.CLIENT_SESSION_TRACK,
)

CARRIED: Final = (
    ("sql_mode", ("''", "'ANSI_QUOTES'", "'STRICT_ALL_TABLES'", "'NO_BACKSLASH_ESCAPES'", "DEFAULT",
    "PIPES_AS_CONCAT")),
    ("sql_mode", ("CONCAT(@@sql_mode, ',ANSI_QUOTES')", "(SELECT CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'))",
    "REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', '')", "@@GLOBAL.sql_mode", "'' ''", "'it''s'", "@a")),
    ("time_zone", ("'+05:00'", "'-03:30'", "'SYSTEM'", "DEFAULT")),
    ("group_concat_max_len", ("10", "2000", "DEFAULT")),
    ("div_precision_increment", ("2", "8")),
    ("sql_select_limit", ("2", "DEFAULT")),
    ("foreign_key_checks", ("0", "1", "ON")),
    ("lc_time_names", ("'de_DE'", "fr_FR", "0")),
    ("sql_safe_updates", ("1", "0")),
    ("innodb_lock_wait_timeout", ("7", "DEFAULT")),
    ("max_error_count", ("1", "2", "DEFAULT")),  # with 0, see SUPPORTED.md
    ("sql_notes", ("0", "1")),
    ("timestamp", ("1000000000", "1234567890.5", "DEFAULT")),
    ("collation_connection", ("'utf8mb4_bin'", "latin1_german1_ci")),
    ("character_set_results", ("'latin1'", "NULL", "utf8mb4")),
    ("auto_increment_increment", ("1",)),
    ("wait_timeout", ("3333",)),
    ("tmp_table_size", ("99999", "DEFAULT")),
    ("sql_quote_show_create", ("0", "1")),
    ("max_statement_time", ("5.5", "0")),
    ("sort_buffer_size", ("@@sort_buffer_size + 1024", "400000", "@@GLOBAL.sort_buffer_size")),
    ("max_sort_length", ("@@max_sort_length + 1", "1 - 1")),
    ("innodb_lock_wait_timeout", ("@@GLOBAL.innodb_lock_wait_timeout", "3 + 4")),
    ("character_set_client", ("@@character_set_client", "CONCAT('utf8', 'mb4')")),
    ("character_set_results", ("@@character_set_client", "CONCAT('latin', 1)")),
    ("character_set_connection", ("CONCAT('latin', 1)", "'utf8mb4'")),
    ("collation_connection", ("CONCAT('latin1', '_bin')", "@@GLOBAL.collation_connection")),
    ("character_set_server", ("utf8mb4", "'latin1'", "@@character_set_client")),
    ("collation_server", ("'utf8mb4_bin'", "@@collation_connection")),
    ("autocommit", ("@@GLOBAL.autocommit", "DEFAULT", "1 - 1", "@@autocommit")),
    ("big_tables", ("1", "0")),
    ("old_mode", ("''", "DEFAULT")),
    ("session_track_schema", ("0", "1", "@@GLOBAL.session_track_schema")),
    ("session_track_system_variables", ("''", "'time_zone'", "'autocommit,tx_isolation,sql_mode'", "DEFAULT")),
    ("session_track_state_change", ("1", "0")),
    ("nosuch_variable", ("1", "@@sql_mode")),
    ("sql_select_limit", ("'wrong'", "-1")),
)  # fmt: skip
UNCARRIED: Final = (
    ("insert_id", ("77",)),
    ("rand_seed1", ("12345",)),
    ("sql_mode", ("(SELECT MAX('STRICT_ALL_TABLES') FROM w)", "f()")),
    ("completion_type", ("1", "0", "CHAIN", "RELEASE", "@@GLOBAL.completion_type + 2", "DEFAULT")),
    ("session_track_system_variables", ("'*'",)),
    ("session_track_transaction_info", ("'STATE'", "'OFF'")),
    ("tx_isolation", ("'READ-COMMITTED'", "'SERIALIZABLE'", "@@GLOBAL.tx_isolation", "CONCAT('REPEATABLE', '-READ')")),
    ("tx_read_only", ("1", "0", "@@GLOBAL.tx_read_only")),
)
VARIABLES: Final = (
    *sorted({name for name, _ in (*CARRIED, *UNCARRIED)} - {"nosuch_variable"}),
    "autocommit", "character_set_client", "character_set_connection", "tx_isolation", "tx_read_only", "warning_count",
    "error_count", "last_insert_id", "identity", "in_transaction", "sql_auto_is_null",
)  # fmt: skip
HIDDEN: Final = frozenset({"timestamp", "rand_seed1"})  # their values are the time, or not to be had

READS: Final = (
    "SELECT * FROM t ORDER BY id", "SELECT v FROM t WHERE id = 1", "SELECT id, v FROM tv ORDER BY id",
    "SELECT * FROM u ORDER BY id", "SELECT COUNT(*) FROM w", "SELECT 1", "SELECT DATABASE()", "SELECT CURRENT_USER()",
    "SELECT plain(3)", "SELECT t.id, u.name FROM t JOIN u USING (id) ORDER BY id", "SELECT * FROM {two}.t ORDER BY id",
    "SELECT * FROM log ORDER BY id", "SELECT GROUP_CONCAT(s ORDER BY id) FROM t", "SELECT 1/3", "SELECT 'a' || 'b'",
    'SELECT "t"', "SELECT 'a\\\\nb'", "SELECT NOW() > '2009-01-01', DATE_FORMAT('2001-03-04', '%W %M')",
    "SELECT CHARSET('x'), COLLATION('x')", "SELECT HEX('äöü')", "SELECT 'äöü'", "SELECT * FROM t WHERE v = 'x'",
    "SELECT 1/0", "SELECT CAST('zz' AS SIGNED)", "SELECT * FROM nosuch", "SELECT nosuch FROM t", "SELEC 1",
    "SELECT @@in_transaction", "SELECT * FROM a0 ORDER BY id", "(SELECT 1) UNION (SELECT 2)", "SELECT FROM_UNIXTIME(0)",
    "SELECT id FROM t WHERE id IS NULL", "VALUES (1, 2), (3, 4)", "WITH q AS (SELECT 1 AS n) SELECT n FROM q",
    "SELECT REPEAT('x', 70000)", "SELECT * FROM t LIMIT 0", "SELECT id FROM t ORDER BY id LIMIT 1, 2", "", "-- nothing",
    "SELECT sets(4)", "SELECT locks(1)", "SELECT SLEEP(0)", "DO 1", "DO sets(9)",
)  # fmt: skip
LOCKING: Final = (
    "SELECT * FROM t WHERE id = 2 FOR UPDATE", "SELECT v FROM t WHERE id > 3 LOCK IN SHARE MODE",
    "SELECT * FROM u WHERE name = 'ann' FOR UPDATE",
)  # fmt: skip
WRITES: Final = (
    "UPDATE t SET v = v + 1 WHERE id = 1", "UPDATE t SET v = v WHERE id = 1", "UPDATE t SET v = 0",
    "UPDATE t SET s = 'x' WHERE v > 20",
    "DELETE FROM t WHERE id = 5", "DELETE FROM t WHERE id = 77", "INSERT INTO t VALUES (6, 60, 'six')",
    "INSERT INTO t VALUES (1, 1, 'again')",
    "INSERT IGNORE INTO t VALUES (1, 1, 'again'), (7, 70, NULL)", "REPLACE INTO t VALUES (2, 22, 'new')",
    "INSERT INTO t VALUES (3, 3, 'three') ON DUPLICATE KEY UPDATE v = v + 100",
    "INSERT INTO t (id, v) VALUES (8, 'abc')",
    "INSERT INTO u VALUES (3, 'a name that is too long', 1, NULL, NULL)", "INSERT INTO u (id) VALUES (4)",
    "UPDATE u SET d = 12345.678 WHERE id = 1", "INSERT INTO w SELECT id, v FROM t ORDER BY id", "DELETE FROM w",
    "INSERT INTO w VALUES (10, 100)", "UPDATE {two}.t SET v = v - 1 WHERE id = 9", "UPDATE nosuch SET a = 1",
    "INSERT INTO t VALUES (1)",
    "UPDATE t, u SET t.v = 5 WHERE t.id = u.id", "DELETE t FROM t JOIN u USING (id) WHERE u.name = 'bob'",
    "INSERT INTO u VALUES (5, 'tim', 1, NULL, FROM_UNIXTIME(0))", "UPDATE t SET v = NULL WHERE id = 3",
    "INSERT INTO t VALUES (11, NULL, CONCAT('x', NULL)) RETURNING id, s",
    "INSERT INTO t SELECT id + 100, v, s FROM t WHERE id < 3", "UPDATE t SET v = v + 1 ORDER BY id LIMIT 2",
)  # fmt: skip
ASKS: Final = (
    "SHOW WARNINGS",
    "SHOW ERRORS",
    "SHOW COUNT(*) WARNINGS",
    "SELECT @@warning_count",
    "SELECT @@error_count",
    "SELECT LAST_INSERT_ID()",
    "SELECT @@last_insert_id, @@identity",
    "SHOW WARNINGS LIMIT 1",
    "SELECT ROW_COUNT()",
    "SELECT @@warning_count, ROW_COUNT()",
    "GET DIAGNOSTICS @n = NUMBER",
    "GET DIAGNOSTICS CONDITION 1 @text = MESSAGE_TEXT",
)
ASKS_AFTER_WRITE: Final = ("SELECT ROW_COUNT()",)
ASKS_AFTER_READ: Final = ("SELECT FOUND_ROWS()", "SELECT ROW_COUNT()", "SELECT FOUND_ROWS(), ROW_COUNT()")  # fmt: skip
SHOWS: Final = (
    "SHOW TABLES", "SHOW TABLES FROM {two}", "SHOW COLUMNS FROM t", "DESCRIBE u", "SHOW CREATE TABLE t",
    "SHOW CREATE VIEW tv",
    # Each node has statistics of its own: there is no such key.
    "SHOW INDEX FROM w WHERE Key_name = 'nosuch'", "EXPLAIN SELECT 1",
    "SHOW CREATE DATABASE {one}", "SHOW PROCEDURE STATUS LIKE 'nosuch'",
    "SHOW TABLES LIKE 'n%'",
    "SHOW CREATE TABLE n0", "SHOW WARNINGS", "SHOW GRANTS", "HELP 'nothing'", "SHOW COLLATION LIKE 'utf8mb4_bin'",
    "CHECK TABLE w",
    "SHOW VARIABLES LIKE 'sql_safe%'", "SHOW SESSION VARIABLES LIKE 'tx_%'", "SHOW VARIABLES LIKE 'transaction%'",
    "SELECT VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES WHERE VARIABLE_NAME = 'TX_READ_ONLY'",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
)  # fmt: skip
CALLS: Final = (
    "CALL one_result()", "CALL two_results()", "CALL gives(@a, @b)", "CALL sets_mode()", "CALL commits()",
    "CALL begins()",
    "CALL fails()", "CALL warns()", "CALL makes_temporary()", "CALL nosuch()", "CALL gives(1, 2)",
)  # fmt: skip
SEVERAL: Final = (
    "SELECT 1; SELECT 2", "UPDATE t SET v = 3 WHERE id = 1; SELECT ROW_COUNT()",
    "SELECT 1; SELECT * FROM nosuch; SELECT 2",
    "BEGIN; UPDATE t SET v = 9 WHERE id = 2; COMMIT", "SET @a = 5; SELECT @a", "SELECT 1; SET time_zone = '+01:00'",
    "BEGIN; SELECT 1",
    "SELECT 1;", "SELECT 1; ;", "USE {two}; SELECT DATABASE()", "CALL two_results(); SELECT 3",
    "SELECT 1/0; SHOW WARNINGS",
    "SET autocommit = 0; UPDATE t SET v = 4 WHERE id = 4", "COMMIT; SELECT 5",
    "SET SESSION TRANSACTION READ ONLY; SELECT 1",
    "SET time_zone = '+02:00'; SET @b = 7, sql_select_limit = 9; SELECT @b", "SET @b = 8; SELECT 1; SET @b = 'x'",
    "SET sql_select_limit = 2; SELECT * FROM nosuch; SET sql_select_limit = 4",
    "SET @a = 3; SET time_zone = 'nonsense'",
    "SET sql_mode = 'ANSI_QUOTES'; SELECT \"id\" FROM t", "SET @a = 9; UPDATE t SET v = @a WHERE id = 2",
)  # fmt: skip
PREPARABLE: Final[tuple[tuple[str, tuple[tuple[Value, ...], ...]], ...]] = (
    ("SELECT id, v, s FROM t WHERE id = ?", ((1,), (2,), (None,), ("3",))),
    ("SELECT id, v FROM t WHERE id > ? ORDER BY id", ((0,), (3,), ("1",))),
    ("SELECT ?, ?", ((1, "x"), (None, 2), ("äö", None))),
    ("UPDATE t SET v = ? WHERE id = ?", ((5, 1), (None, 2), ("zz", 3))),
    ("INSERT INTO t VALUES (?, ?, ?)", ((20, 1, "p"), (1, 1, "dup"), (21, None, None))),
    ("UPDATE u SET b = ? WHERE id = ?", ((SENT, 1), ("short", 2))),
    ("SELECT LENGTH(b), d, at FROM u WHERE name = ?", (("ann",), ("nosuch",))),
    ("SELECT * FROM u ORDER BY id", ((),)),
    ("SELECT LAST_INSERT_ID(), @@autocommit, DATABASE()", ((),)),
    ("SELECT @a, @f, @trigger", ((),)),
    ("CALL gives(?, ?)", ((1, 2),)),
    ("CALL one_result()", ((),)),
    ("SET @a = ?", ((3,), ("text",))),
    ("SET time_zone = ?", (("+02:00",), ("nonsense",))),
    ("SET sql_select_limit = 3", ((),)),
    ("SET sql_select_limit = ?, sql_mode = CONCAT(@@sql_mode, ',', ?)", ((5, "ANSI_QUOTES"), ("x", "y"))),
    ("SET max_sort_length = @@max_sort_length + ?", ((1,),)),
    ("BEGIN", ((),)), ("COMMIT", ((),)), ("ROLLBACK", ((),)),
    ("SHOW TABLES", ((),)),
    ("SHOW WARNINGS", ((),)),
    ("DELETE FROM w WHERE id = ?", ((1,),)),
    ("SELECT CAST(? AS SIGNED)", (("abc",), ("12",))),
    ("SELECT * FROM t WHERE id = ? FOR UPDATE", ((1,),)),
    ("SELECT * FROM nosuch WHERE a = ?", ((1,),)),
    ("SELEC ?", ((1,),)),
    ("SELECT * FROM n0 WHERE id = ?", ((1,),)),
    ("DO GET_LOCK('{lock}', ?)", ((0,),)),
    ("SELECT 1; SELECT 2", ((),)),
    ("SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT ?", ((1,), (3,))),
)  # fmt: skip

LOADS: Final = (
    "LOAD DATA LOCAL INFILE 'f' INTO TABLE w FIELDS TERMINATED BY ','",
    "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE w FIELDS TERMINATED BY ','",
    "LOAD DATA LOCAL INFILE 'f' IGNORE INTO TABLE {one}.w FIELDS TERMINATED BY ',' IGNORE 1 LINES",
    "LOAD DATA LOCAL INFILE 'f' INTO TABLE nosuch",
    "LOAD DATA LOCAL INFILE 'f' INTO TABLE w FIELDS TERMINATED BY ',' (id, @a) SET v = @a + 1",
    "LOAD DATA LOCAL INFILE 'f' INTO TABLE w CHARACTER SET latin1 FIELDS TERMINATED BY ','; SELECT COUNT(*) FROM w",
)
FILES: Final = (
    "",
    "700,1\n701,2\n",
    "702,x\n702,3\n",
    "703\n",
    "704,1,1\n" * 3,
    "".join(f"{number},1\n" for number in range(1000, 9000)),
)


# Reads that can't fail: after one that did FOUND_ROWS() is that of an earlier one, wherever it ran.
SURE: Final = (
    "SELECT 1",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH q AS (SELECT 1 AS n) SELECT n FROM q",
)


class Generator:
    """One conversation in the making."""

    def __init__(self, seed: int) -> None:
        self._lot = random.Random(seed)
        self._steps: list[Step] = []
        self._prepared: dict[str, int] = {}  # name -> index into PREPARABLE
        self._names = 0
        self._gaps: set[str] = set()  # AUTO_INCREMENT tables whose next id not every node agrees on
        self._at_risk: set[str] = set()  # those that an open transaction may have inserted into
        self._schema = "{one}"  # the one named at login
        self._kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (20, lambda: self._one_of(READS)),
            (4, lambda: self._one_of(LOCKING)),
            (16, lambda: self._one_of(WRITES)),
            (8, self._generate_id),
            (10, self._ask),
            (10, self._set_carried),
            (4, self._set_uncarried),
            (5, self._ask_variables),
            (3, self._set_names),
            (5, self._use),
            (4, self._set_autocommit),
            (5, self._set_transaction),
            (14, self._transaction),
            (8, self._boundary),
            (4, self._savepoint),
            (4, self._user_variable),
            (2, self._temporary_table),
            (2, self._lock),
            (3, self._ddl),
            (4, lambda: self._one_of(CALLS)),
            (4, self._several),
            (2, self._found_rows),
            (4, lambda: self._one_of(SHOWS)),
            (8, self._prepare),
            (12, self._execute),
            (3, self._cursor),
            (2, self._sql_prepare),
            (5, self._command),
            (1, self._set_option),
            (1, self._others),
            (2, self._load),
            (2, self._xa),
        )
        self._weights = [weight for weight, _ in self._kinds]

    def conversation(self, least: int = 4, most: int = 24) -> Conversation:
        """Not more than some steps above `most`."""
        lot = self._lot
        size = lot.randint(least, most)
        schema = self._schema = lot.choice(("{one}",) * 8 + ("{two}", ""))
        capabilities = lot.choice(CAPABILITIES) | (c.CLIENT_FOUND_ROWS if lot.random() < 0.1 else 0)
        if not schema:
            # A statement prepared in no schema is prepared elsewhere in the session's: the way there is not reported.
            capabilities &= ~c.CLIENT_SESSION_TRACK
        if lot.random() < 0.7:
            capabilities |= c.CLIENT_LOCAL_FILES
        while len(self._steps) < size:
            lot.choices(self._kinds, self._weights)[0][1]()
            if lot.random() < 0.25:
                self._ask()
        self._set_before_use()
        self._read_before_asking()
        if self._tracks_what_was_prepared():
            capabilities &= ~c.CLIENT_SESSION_TRACK
        return Conversation(tuple(self._steps), capabilities, schema)

    def _tracks_what_was_prepared(self) -> bool:
        """Where a statement is prepared anew, what that does to the transaction's state is not reported with it."""
        prepared = False
        for step in self._steps:
            prepared = prepared or isinstance(step, Prepare)
            if prepared and isinstance(step, Query) and "session_track_transaction_info" in step.sql:
                return True
        return False

    def _set_before_use(self) -> None:
        """Reading a variable that was never set may set it, to NULL, for the definition of a column to tell."""
        for at, step in enumerate(self._steps):
            if isinstance(step, Query | Prepare | Load) and ("@a" in step.sql or "@b" in step.sql):
                self._steps.insert(at, Query("SET @a = 0, @b = 0"))
                return

    def _read_before_asking(self) -> None:
        """A connection of MariaDB's may begin with the warnings of the one before it, until a statement has tables."""
        for at, step in enumerate(self._steps):
            text = step.sql if isinstance(step, Query | Prepare) else ""
            if any(word in text for word in ("FROM t", "FROM w", "FROM u", "INTO t", "INTO w", "UPDATE t")):
                return
            if any(word in text for word in ("_count", "WARNINGS", "ERRORS", "DIAGNOSTICS")):
                self._steps.insert(at, Query("SELECT COUNT(*) FROM {one}.w"))
                return

    def _ask(self) -> None:
        """What the manual lets a client ask right behind the statement that the last step was."""
        text = self._text()
        kind = self._lot.random()
        if kind < 0.3 and text in WRITES:
            self._one_of(ASKS_AFTER_WRITE)
        elif kind < 0.5 and text in SURE:
            self._one_of(ASKS_AFTER_READ)
        else:
            self._one_of(ASKS)

    # -- plain --------------------------------------------------------------------------------------------------------

    def _query(self, *texts: str) -> None:
        self._steps.extend(Query(text) for text in texts)

    def _one_of(self, texts: tuple[str, ...]) -> None:
        text = self._lot.choice(texts)
        self._query(text)
        if any(word in text for word in ("COMMIT", "commits", "BEGIN", "begins")):
            self._at_risk.clear()

    def _generate_id(self) -> None:
        table = self._lot.choice(("a0", "a1", "a2", "x"))
        counted = "log" if table == "x" else table
        if counted in self._gaps:
            return
        self._at_risk.add(counted)
        if table == "x":
            self._query(f"INSERT INTO x VALUES ({self._number()}, 5)")
            self._gaps.add("log")  # a duplicate key leaves a gap
        else:
            value = self._lot.choice(("(1)", "(1), (2), (3)", "(NULL)"))
            self._query(f"INSERT INTO {table} (v) VALUES {value}")
        if self._lot.random() < 0.5:
            self._query(self._lot.choice(("SELECT LAST_INSERT_ID()", f"SELECT * FROM {counted} ORDER BY id",
                                          f"INSERT INTO w VALUES ({self._number()}, LAST_INSERT_ID())")))  # fmt: skip

    def _number(self) -> int:
        return self._lot.randint(200, 999)

    def _several(self) -> None:
        self._one_of(SEVERAL)

    def _found_rows(self) -> None:
        self._one_of(("SELECT SQL_CALC_FOUND_ROWS 1 UNION SELECT 2 LIMIT 1", "SELECT SQL_CALC_FOUND_ROWS 3 LIMIT 0"))
        if self._lot.random() < 0.5:
            self._query("SHOW WARNINGS", "SELECT @@warning_count")
        else:
            self._one_of(("SELECT FOUND_ROWS()", "SELECT FOUND_ROWS() AS n", "SELECT FOUND_ROWS() + 0"))

    # -- variables ----------------------------------------------------------------------------------------------------

    def _assignment(self, variables: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
        name, values = self._lot.choice(variables)
        scope = self._lot.choice(("", "", "SESSION ", "@@", "@@session.", "LOCAL "))
        return f"{scope}{name} = {self._lot.choice(values)}"

    def _set_carried(self) -> None:
        count = self._lot.choice((1, 1, 1, 2, 3))
        assignments = ", ".join(self._assignment(CARRIED) for _ in range(count))
        if "timestamp = DEFAULT" in assignments and any(
            "= '*'" in step.sql for step in self._steps if isinstance(step, Query)
        ):
            return  # its value is reported: the time
        self._query(f"SET {assignments}")

    def _set_uncarried(self) -> None:
        assignment = self._assignment(UNCARRIED)
        self._query(f"SET {assignment}")
        if "insert_id" in self._text():
            self._gaps.update(("a0", "a1", "a2", "log"))

    def _text(self) -> str:
        step = self._steps[-1] if self._steps else None
        return step.sql if isinstance(step, Query) else ""

    def _ask_variables(self) -> None:
        names = [name for name in self._lot.sample(VARIABLES, 3) if name not in HIDDEN]
        self._query("SELECT " + ", ".join(f"@@{name}" for name in names))

    def _set_names(self) -> None:
        self._query(self._lot.choice((
            "SET NAMES utf8mb4", "SET NAMES latin1", "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'", "SET NAMES DEFAULT",
            "SET CHARACTER SET latin1", "SET NAMES nosuch", "SET NAMES latin1 COLLATE latin1_bin",
        )))  # fmt: skip

    def _use(self) -> None:
        self._steps.append(self._lot.choice((
            Query("USE {one}"), Query("USE {two}"), InitDb("{one}"), InitDb("{two}"), Query("USE nosuch"),
            InitDb("nosuch"), Query("use `{one}`"),
        )))  # fmt: skip

    def _set_autocommit(self) -> None:
        self._query(
            self._lot.choice(
                (
                    "SET autocommit = 0",
                    "SET autocommit = 1",
                    "SET @@session.autocommit = OFF",
                    "SET autocommit = ON, time_zone = '+00:00'",
                )
            )
        )

    def _set_transaction(self) -> None:
        self._query(self._lot.choice((
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET TRANSACTION READ ONLY", "SET TRANSACTION READ WRITE",
            "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET SESSION TRANSACTION READ ONLY",
            "SET SESSION TRANSACTION READ WRITE", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        )))  # fmt: skip

    def _user_variable(self) -> None:
        self._query(self._lot.choice((
            "SET @a = 1", "SET @a = 'text', @b = NULL", "SELECT @a, @b", "SELECT @c := 5",
            "SELECT v INTO @a FROM t WHERE id = 1",
            "SELECT @a, @f, @function, @trigger, @procedure, @n, @text", "SET @a = (SELECT MAX(id) FROM t)",
            "SELECT @a + 1",
        )))  # fmt: skip

    # -- transactions -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._query(self._lot.choice((
            "BEGIN", "START TRANSACTION", "BEGIN WORK", "START TRANSACTION READ ONLY", "START TRANSACTION READ WRITE",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT", "begin", "BEGIN /* comment */",
        )))  # fmt: skip
        self._at_risk.clear()

    def _end(self) -> None:
        text = self._lot.choice((
            "COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
            "COMMIT WORK AND NO CHAIN", "COMMIT NO RELEASE", "ROLLBACK WORK", "ROLLBACK AND NO CHAIN NO RELEASE",
        ))  # fmt: skip
        if text.startswith("ROLLBACK"):
            self._gaps |= self._at_risk
        self._at_risk.clear()
        self._query(text)

    def _transaction(self) -> None:
        self._begin()
        for _ in range(self._lot.randint(0, 4)):
            kind = self._lot.choice((
                lambda: self._one_of(WRITES), lambda: self._one_of(READS), lambda: self._one_of(LOCKING),
                self._generate_id, self._savepoint,
                self._ask, self._execute, self._set_carried, lambda: self._one_of(WRITES), self._use,
            ))  # fmt: skip
            kind()
        self._end()

    def _boundary(self) -> None:
        if self._lot.random() < 0.5:
            self._begin()
        else:
            self._end()

    def _savepoint(self) -> None:
        if any("autocommit" in step.sql for step in self._steps if isinstance(step, Query)):
            return  # whether it begins a transaction then depends on what the connection did before
        text = self._lot.choice(
            ("SAVEPOINT s1", "SAVEPOINT s2", "ROLLBACK TO s1", "ROLLBACK TO SAVEPOINT s2", "RELEASE SAVEPOINT s1")
        )
        if text.startswith("ROLLBACK"):
            self._gaps |= self._at_risk
        self._query(text)

    # -- what pins ----------------------------------------------------------------------------------------------------

    def _temporary_table(self) -> None:
        self._query(self._lot.choice((
            "CREATE TEMPORARY TABLE tmp (id INT)", "CREATE TEMPORARY TABLE t (id INT)",
            "INSERT INTO tmp VALUES (1), (2)",
            "SELECT * FROM tmp",
            "DROP TEMPORARY TABLE tmp", "DROP TABLE IF EXISTS tmp", "DROP TEMPORARY TABLE IF EXISTS t",
            "CREATE TEMPORARY TABLE tmp AS SELECT id FROM t", "SELECT * FROM made",
        )))  # fmt: skip

    def _lock(self) -> None:
        self._query(self._lot.choice((
            "SELECT GET_LOCK('{lock}', 0)", "SELECT RELEASE_LOCK('{lock}')", "SELECT IS_FREE_LOCK('{lock}')",
            "SELECT RELEASE_ALL_LOCKS()",
            "LOCK TABLES t READ", "LOCK TABLES t WRITE, w WRITE", "UNLOCK TABLES", "HANDLER t OPEN",
            "HANDLER t READ FIRST", "HANDLER t CLOSE",
        )))  # fmt: skip

    def _ddl(self) -> None:
        self._query(self._lot.choice((
            "CREATE TABLE n0 (id INT PRIMARY KEY, v INT)", "DROP TABLE n0", "DROP TABLE IF EXISTS n0",
            "CREATE TABLE IF NOT EXISTS n0 (id INT PRIMARY KEY)",
            "ALTER TABLE n0 ADD COLUMN extra INT", "TRUNCATE TABLE n0",
            "CREATE TABLE n1 (id INT PRIMARY KEY) AS SELECT id FROM t",
            "INSERT INTO n0 (id) VALUES (1)", "RENAME TABLE n0 TO n1", "CREATE TABLE t (id INT)", "SELECT * FROM n0",
        )))  # fmt: skip

    def _sql_prepare(self) -> None:
        self._query(self._lot.choice((
            "PREPARE p1 FROM 'SELECT id FROM t WHERE id = ?'", "EXECUTE p1 USING @a", "DEALLOCATE PREPARE p1",
            "PREPARE p2 FROM 'SELECT 2'",
            "EXECUTE p2", "EXECUTE IMMEDIATE 'SELECT 3'", "PREPARE p3 FROM 'SELEC'",
        )))  # fmt: skip

    # -- prepared statements ------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        texts = [step.sql for step in self._steps if isinstance(step, Query)]
        if "SET TRANSACTION READ WRITE" in texts and any("READ ONLY" in text or "read_only" in text for text in texts):
            return  # what may be prepared then is the session's default
        index = self._lot.randrange(len(PREPARABLE))
        if not self._schema and "DATABASE()" in PREPARABLE[index][0]:
            return  # prepared in no schema it is prepared elsewhere in the session's
        name = f"p{self._names}"
        self._names += 1
        self._prepared[name] = index
        self._steps.append(Prepare(name, PREPARABLE[index][0]))
        if self._lot.random() < 0.8:
            self._run(name)

    def _execute(self) -> None:
        if not self._prepared or self._lot.random() < 0.05:
            self._prepare()
            return
        self._run(self._lot.choice(list(self._prepared)))

    def _run(self, name: str, *, cursor: bool = False) -> None:
        values = self._lot.choice(PREPARABLE[self._prepared[name]][1])
        before = any(isinstance(step, Execute) and step.name == name and step.values for step in self._steps)
        if SENT in values:
            for _ in range(self._lot.randint(1, 2)):
                self._steps.append(LongData(name, values.index(SENT), "long data " * self._lot.choice((1, 30))))
        # Values of the same types as before may come without them.
        alike = before and all(isinstance(value, int) for value in values) and self._lot.random() < 0.3
        alike = alike and self._all_integers(name)
        self._steps.append(Execute(name, values, types=not alike, cursor=cursor))
        text = PREPARABLE[self._prepared[name]][0]
        if text == "ROLLBACK":
            self._gaps |= self._at_risk
        if text in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._at_risk.clear()

    def _all_integers(self, name: str) -> bool:
        return all(
            isinstance(value, int)
            for step in self._steps
            if isinstance(step, Execute) and step.name == name
            for value in step.values
        )

    def _cursor(self) -> None:
        if not self._prepared:
            self._prepare()
        if not self._prepared:
            return
        name = self._lot.choice(list(self._prepared))
        self._run(name, cursor=True)
        for _ in range(self._lot.randint(0, 3)):
            self._steps.append(Fetch(name, self._lot.choice((1, 2, 10))))
        self._query("SELECT id FROM w ORDER BY id")  # the warning about a cursor that is not open names the server's id

    # -- other commands -----------------------------------------------------------------------------------------------

    def _command(self) -> None:
        lot = self._lot
        name = lot.choice((*self._prepared, "unknown"))
        self._steps.append(lot.choice((
            Command(c.COM_PING), Command(c.COM_PING), Command(c.COM_STATISTICS), Command(c.COM_RESET_CONNECTION),
            FieldList("t"),
            FieldList("u", "%a%"), FieldList("nosuch"), CloseStatement(name), ResetStatement(name),
            Execute("unknown"), Fetch("unknown", 1),
            LongData(name, 0, "data for nobody"), Execute(name),
        )))  # fmt: skip
        if isinstance(self._steps[-1], Command) and self._steps[-1].code == c.COM_RESET_CONNECTION:
            if any("USE {two};" in step.sql for step in self._steps if isinstance(step, Query)):
                self._steps.pop()  # which schema it leaves is not known to the proxy
                return
            self._gaps |= self._at_risk
            self._prepared.clear()
        if isinstance(self._steps[-1], FieldList) and not self._schema:
            self._steps.pop()  # behind a WITH a server of MariaDB's does not answer that
            return
        if isinstance(self._steps[-1], CloseStatement):
            self._prepared.pop(name, None)
        step = self._steps[-1]
        if isinstance(step, Execute | Fetch | ResetStatement) and step.name not in self._prepared:
            self._query("SELECT id FROM w ORDER BY id")  # the errors that the proxy makes leave no warning behind
        if isinstance(self._steps[-1], LongData) and name in self._prepared and self._prepared_needs(name):
            self._steps.append(ResetStatement(name))  # with a value that is also sent otherwise it is a malformed one
        if isinstance(self._steps[-1], Execute) and name in self._prepared and self._prepared_needs(name):
            self._steps.pop()  # a malformed one: what the server makes of it is chance

    def _prepared_needs(self, name: str) -> bool:
        return bool(PREPARABLE[self._prepared[name]][1][0])

    def _load(self) -> None:
        self._steps.append(Load(self._lot.choice(LOADS), self._lot.choice(FILES)))

    def _xa(self) -> None:
        """Not prepared: that would outlive the session, and lock what it has changed."""
        self._query(self._lot.choice((
            "XA START '{lock}'", "XA END '{lock}'", "XA ROLLBACK '{lock}'", "XA COMMIT '{lock}' ONE PHASE",
            "XA RECOVER", "XA BEGIN '{lock}'", "XA END 'nosuch'", "XA COMMIT 'nosuch'",
        )))  # fmt: skip

    def _set_option(self) -> None:
        self._steps.append(SetOption(self._lot.choice((0, 1, 1))))

    def _others(self) -> None:
        self._steps.append(self._lot.choice((
            Query("SET ROLE NONE"), Query("SELECT CURRENT_ROLE()"), Query("FLUSH TABLES t"), Query("ANALYZE TABLE w"),
            Query("XA RECOVER"),
            Query("SET STATEMENT sql_select_limit = 1 FOR SELECT id FROM t ORDER BY id"),
            Query("SELECT LAST_INSERT_ID(55)"),
            Query("UPDATE t SET v = LAST_INSERT_ID(66) WHERE id = 1"), ChangeUser("{one}"), Query("COMMIT RELEASE"),
            Query("ROLLBACK RELEASE"),
        )))  # fmt: skip
        said = self._steps[-1]
        if isinstance(said, Query) and said.sql.endswith(" RELEASE"):
            before = " ".join(step.sql for step in self._steps if isinstance(step, Query))
            if re.search(r"completion_type\s*:?=\s*['\"]?(1|CHAIN)", before, re.IGNORECASE):
                self._steps.pop()  # whether a node of a cluster answers that before it closes is chance
                return
        if isinstance(self._steps[-1], ChangeUser):
            self._gaps |= self._at_risk
            self._prepared.clear()


def conversation(seed: int) -> Conversation:
    """The conversation of a seed, always the same."""
    return Generator(seed).conversation()
