"""The matrix: every command by every shape of its reply, as a literal. It is gone through three times.

tests/wire/test_replies.py feeds each cell to the scanner, whole, in pieces and byte by byte, under every set of
capabilities; tests/proxy/test_matrix.py has a node say it and a client hear it, byte by byte; tests/differential/
test_matrix.py has a real server say it, directly and through the proxy, where `real` names what makes it do so.
SUPPORTED.md shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.wire.constants import (
    CLIENT_OPTIONAL_RESULTSET_METADATA,
    COM_CHANGE_USER,
    COM_DEBUG,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_PING,
    COM_PROCESS_INFO,
    COM_PROCESS_KILL,
    COM_QUERY,
    COM_REFRESH,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_STATISTICS,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
)
from proxy.wire.packets import ServerError
from tests.differential.client import SENT
from tests.differential.conversation import (
    ChangeUser,
    Command,
    Execute,
    Fetch,
    FieldList,
    InitDb,
    LongData,
    Prepare,
    Query,
    ResetStatement,
    SetOption,
    Step,
)
from tests.wire.speaking import AUTOCOMMIT, CHANGED, CURSOR, LAST, MORE, OUT, Server

NO_TABLE = ServerError(1146, "42S02", "No such table")
EMPTY = ServerError(1065, "42000", "Query was empty")
TOO_MANY_ROWS = ServerError(1242, "21000", "Subquery returns more than 1 row")


@dataclass(frozen=True)
class Cell:
    """A reply and what the scanner must have found in it; what is not named is as after a reply that says nothing.

    `needs` are capabilities without which no server answers so. `real` is what is said to a server, of which the last
    is answered with this shape; what is empty, no server in reach can be made to say.
    """

    command: int
    shape: str
    speak: Callable[[Server], Server]
    found: dict[str, Any] = field(default_factory=dict)
    real: tuple[Step | str, ...] = ()
    opens_cursor: bool = True
    needs: int = 0

    def is_for(self, capabilities: int) -> bool:
        return capabilities & self.needs == self.needs

    @property
    def said(self) -> tuple[Step, ...]:
        return tuple(Query(step) if isinstance(step, str) else step for step in self.real)


def said(**found: Any) -> dict[str, Any]:
    return found


ONE_OK = said(results=1)
ONE_SET = said(results=1, has_rows=True)
FAILED = said(error=NO_TABLE)

# fmt: off
MATRIX: Final = [
    Cell(COM_QUERY, "OK", lambda s: s.ok(), ONE_OK,
         real=("DO 1",)),
    Cell(COM_QUERY, "OK with everything", lambda s: s.ok(rows=3, insert_id=70, warnings=2, info=b"Rows matched: 3"),
         said(results=1, affected_rows=3, insert_id=70, warnings=2),
         real=("INSERT IGNORE INTO a0 (v) VALUES (1), (2), ('x')",)),
    Cell(COM_QUERY, "OK with large numbers", lambda s: s.ok(rows=70_000, insert_id=2**63, warnings=0xFFFF),
         said(results=1, affected_rows=70_000, insert_id=2**63, warnings=0xFFFF),
         real=("INSERT INTO big VALUES (9223372036854775808)",)),
    Cell(COM_QUERY, "OK, session changed", lambda s: s.ok(CHANGED, info=b"text"), said(results=1, status=CHANGED),
         real=("SET character_set_results = latin1",)),
    Cell(COM_QUERY, "ERR", lambda s: s.err(), FAILED,
         real=("SELECT * FROM nosuch",)),
    Cell(COM_QUERY, "rows", lambda s: s.columns(2).row(b"1", None).row(b"22", b"").end(), ONE_SET,
         real=("SELECT id, s FROM t ORDER BY id",)),
    Cell(COM_QUERY, "rows, with warnings",
         lambda s: s.columns(1).row(b"1").end(warnings=4), said(results=1, has_rows=True, warnings=4),
         real=("SELECT 1/0, 2/0",)),
    Cell(COM_QUERY, "no rows", lambda s: s.columns(1).end(), ONE_SET,
         real=("SELECT id FROM t LIMIT 0",)),
    Cell(COM_QUERY, "300 columns", lambda s: s.columns(300).row(*[b"x"] * 300).end(), ONE_SET,
         real=("SELECT " + ", ".join(map(str, range(300))),)),
    Cell(COM_QUERY, "first field NULL", lambda s: s.columns(1).row(None).end(), ONE_SET,
         real=("SELECT NULL",)),
    Cell(COM_QUERY, "first field of 300 bytes", lambda s: s.columns(1).row(b"\xfe\xff" * 150).end(), ONE_SET,
         real=("SELECT REPEAT(0xFEFF, 150)",)),
    Cell(COM_QUERY, "first field of 70,000 bytes", lambda s: s.columns(1).row(b"x" * 70_000).row(b"").end(), ONE_SET,
         real=("SELECT REPEAT('x', 70000) UNION ALL SELECT ''",)),
    Cell(COM_QUERY, "rows that look like EOF and ERR",
         lambda s: s.columns(1).row(b"\x05\0\0\x05\xfe\0\0\2\0").row(b"\xff" * 9).end(),
         ONE_SET,
         real=("SELECT 0x05000005FE00000200 UNION ALL SELECT REPEAT(0xFF, 9)",)),
    Cell(COM_QUERY, "ERR for the definitions",
         lambda s: s.count(2).err(), said(error=NO_TABLE, has_rows=True, has_status=False)),
    Cell(COM_QUERY, "ERR among the definitions", lambda s: s.count(2).definition().err(),
         said(error=NO_TABLE, has_rows=True, has_status=False)),
    Cell(COM_QUERY, "ERR for the first row",
         lambda s: s.columns(1).err(1242, "21000", "Subquery returns more than 1 row"),
         said(error=TOO_MANY_ROWS, has_rows=True),
         real=("SELECT (SELECT id FROM t) FROM t",)),
    Cell(COM_QUERY, "ERR among the rows",
         lambda s: s.columns(1).row(b"1").row(b"2").err(), said(error=NO_TABLE, has_rows=True),
         real=("SELECT IF(id = 4, (SELECT id FROM t), REPEAT('x', 70000)) FROM t",)),
    Cell(COM_QUERY, "two OKs", lambda s: s.ok(MORE, rows=1, insert_id=5).ok(rows=2, insert_id=6),
         said(results=2, affected_rows=2, insert_id=5),
         real=("UPDATE t SET v = 1 WHERE id = 1; INSERT INTO a1 (v) VALUES (1)",)),
    Cell(COM_QUERY, "OK, then ERR",
         lambda s: s.ok(MORE, rows=1).err(), said(results=1, affected_rows=1, error=NO_TABLE, status=MORE),
         real=("UPDATE t SET v = 2 WHERE id = 1; SELECT * FROM nosuch",)),
    Cell(COM_QUERY, "rows, rows, OK of a procedure",
         lambda s: s.columns(1).row(b"1").end(MORE).columns(2).row(b"1", b"2").end(MORE).ok(rows=9),
         said(results=3, has_rows=True, affected_rows=9),
         real=("CALL two_results()",)),
    Cell(COM_QUERY, "rows, then ERR", lambda s: s.columns(1).row(b"1").end(MORE).err(),
         said(results=1, has_rows=True, error=NO_TABLE, status=MORE),
         real=("SELECT 1; SELECT * FROM nosuch",)),
    Cell(COM_QUERY, "rows while a procedure's cursor is open", lambda s: s.columns(1, CURSOR).row(b"1").end(), ONE_SET),
    Cell(COM_QUERY, "LOCAL INFILE, then OK", lambda s: s.packet(b"\xfb/tmp/f").ok(rows=5),
         said(results=1, affected_rows=5, local_infile=b"/tmp/f")),
    Cell(COM_QUERY, "LOCAL INFILE, then ERR",
         lambda s: s.packet(b"\xfb/tmp/f").err(), said(error=NO_TABLE, local_infile=b"/tmp/f")),
    Cell(COM_QUERY, "ERR for a text without a statement", lambda s: s.err(1065, "42000", "Query was empty"),
         said(error=EMPTY),
         real=("",)),
    Cell(COM_QUERY, "OK, then rows",
         lambda s: s.ok(MORE, rows=1).columns(1).row(b"1").end(),
         said(results=2, has_rows=True),
         real=("UPDATE t SET v = 3 WHERE id = 1; SELECT 1",)),
    Cell(COM_QUERY, "rows, then OK",
         lambda s: s.columns(1).row(b"1").end(MORE).ok(rows=1), said(results=2, has_rows=True, affected_rows=1),
         real=("SELECT 1; UPDATE t SET v = 4 WHERE id = 1",)),
    Cell(COM_QUERY, "rows of a procedure, then ERR",
         lambda s: s.columns(1).row(b"1").end(MORE).err(), said(results=1, has_rows=True, error=NO_TABLE, status=MORE)),
    Cell(COM_QUERY, "LOCAL INFILE, then OK and rows",
         lambda s: s.packet(b"\xfb/tmp/f").ok(MORE, rows=5).columns(1).row(b"1").end(),
         said(results=2, has_rows=True, local_infile=b"/tmp/f")),
    Cell(COM_STMT_EXECUTE, "OK",
         lambda s: s.ok(rows=1, insert_id=300), said(results=1, affected_rows=1, insert_id=300),
         real=(Prepare("ok", "INSERT INTO a2 (v) VALUES (?)"), Execute("ok", (5,)))),
    Cell(COM_STMT_EXECUTE, "OK, the parameter sent ahead", lambda s: s.ok(rows=1, insert_id=301),
         said(results=1, affected_rows=1, insert_id=301),
         real=(Prepare("long", "INSERT INTO a2 (v) VALUES (?)"), LongData("long", 0, "6"), Execute("long", (SENT,)))),
    Cell(COM_STMT_EXECUTE, "ERR, no such statement", lambda s: s.err(), FAILED,
         real=(Execute("unknown"),)),
    Cell(COM_STMT_EXECUTE, "no rows", lambda s: s.columns(1).end(), ONE_SET,
         real=(Prepare("empty", "SELECT id FROM t LIMIT 0"), Execute("empty"))),
    Cell(COM_STMT_EXECUTE, "300 columns", lambda s: s.columns(300).binary_row(*[b"x"] * 300).end(), ONE_SET,
         real=(Prepare("wide", "SELECT " + ", ".join(map(str, range(300)))), Execute("wide"))),
    Cell(COM_STMT_EXECUTE, "ERR for the first row",
         lambda s: s.columns(1).err(1242, "21000", "Subquery returns more than 1 row"),
         said(error=TOO_MANY_ROWS, has_rows=True),
         real=(Prepare("first", "SELECT (SELECT id FROM t) FROM t"), Execute("first"))),
    Cell(COM_STMT_EXECUTE, "OUT parameters and OK of a procedure",
         lambda s: s.columns(2, OUT).binary_row(b"7", b"2").end(OUT).ok(),
         said(results=2, has_rows=True),
         real=(Prepare("gives", "CALL gives(?, ?)"), Execute("gives", (None, 1)))),
    Cell(COM_STMT_EXECUTE, "OUT parameters, as MySQL ends them, and OK of a procedure",
         lambda s: s.columns(2, OUT).binary_row(b"7", b"2").end(OUT if s.deprecate_eof else AUTOCOMMIT).ok(),
         said(results=2, has_rows=True)),
    Cell(COM_STMT_EXECUTE, "rows of a procedure, then ERR",
         lambda s: s.columns(1).binary_row(b"a").end(MORE).err(),
         said(results=1, has_rows=True, error=NO_TABLE, status=MORE)),
    Cell(COM_STMT_EXECUTE, "OK although a cursor was asked for", lambda s: s.ok(), ONE_OK,
         real=(Prepare("idle", "UPDATE t SET v = 1 WHERE id = 77"), Execute("idle", cursor=True))),
    Cell(COM_STMT_EXECUTE, "ERR although a cursor was asked for", lambda s: s.err(), FAILED,
         real=(Prepare("twice", "INSERT INTO t VALUES (?, 1, NULL)"), Execute("twice", (1,), cursor=True))),
    Cell(COM_STMT_EXECUTE, "ERR", lambda s: s.err(), FAILED,
         real=(Prepare("dup", "INSERT INTO t VALUES (?, 1, NULL)"), Execute("dup", (1,)))),
    Cell(COM_STMT_EXECUTE, "rows", lambda s: s.columns(2).binary_row(b"a", b"b").binary_row(b"", b"c").end(), ONE_SET,
         real=(Prepare("rows", "SELECT id, s FROM t ORDER BY id"), Execute("rows"))),
    Cell(COM_STMT_EXECUTE, "ERR among the rows",
         lambda s: s.columns(1).binary_row(b"a").err(), said(error=NO_TABLE, has_rows=True),
         real=(Prepare("err", "SELECT IF(id = 4, (SELECT id FROM t), 1) FROM t"), Execute("err"))),
    Cell(COM_STMT_EXECUTE, "rows and OK of a procedure", lambda s: s.columns(1).binary_row(b"a").end(MORE).ok(),
         said(results=2, has_rows=True),
         real=(Prepare("call", "CALL one_result()"), Execute("call"))),
    # A cursor's status comes in the EOF of the columns, or in the OK that stands in the rows' place.
    Cell(COM_STMT_EXECUTE, "cursor",
         lambda s: s.columns(1).end(CURSOR) if s.deprecate_eof else s.columns(1, CURSOR),
         said(results=1, has_rows=True, status=CURSOR),
         real=(Prepare("cursor", "SELECT id FROM t ORDER BY id"), Execute("cursor", cursor=True))),
    Cell(COM_STMT_EXECUTE, "a cursor that was refused",
         lambda s: s.columns(1).binary_row(b"a").end(), ONE_SET),
    Cell(COM_STMT_EXECUTE, "rows while a procedure's cursor is open",
         lambda s: s.columns(1, CURSOR).binary_row(b"a").end(), ONE_SET, opens_cursor=False),
    Cell(COM_QUERY, "rows without definitions",
         lambda s: s.undefined_columns(2).row(b"1", None).end(), ONE_SET, needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_QUERY, "300 columns without definitions",
         lambda s: s.undefined_columns(300).row(*[b"x"] * 300).end(), ONE_SET,
         needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_QUERY, "rows without definitions, then ERR", lambda s: s.undefined_columns(1).row(b"1").end(MORE).err(),
         said(results=1, has_rows=True, error=NO_TABLE, status=MORE), needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_STMT_EXECUTE, "rows without definitions",
         lambda s: s.undefined_columns(2).binary_row(b"a", b"b").end(), ONE_SET,
         needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_STMT_EXECUTE, "cursor without definitions",
         lambda s: s.undefined_columns(1).end(CURSOR) if s.deprecate_eof else s.undefined_columns(1, CURSOR),
         said(results=1, has_rows=True, status=CURSOR), needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_STMT_PREPARE, "both, without definitions", lambda s: s.prepared(9, 1, 2, defined=False),
         said(statement_id=9, num_columns=1, num_params=2, has_status=False), needs=CLIENT_OPTIONAL_RESULTSET_METADATA),
    Cell(COM_STMT_BULK_EXECUTE, "a row for each row",
         lambda s: s.columns(2).binary_row(b"1", b"1").binary_row(b"2", b"1").end(), ONE_SET),
    Cell(COM_STMT_BULK_EXECUTE, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_REFRESH, "OK", lambda s: s.ok(), ONE_OK),
    Cell(COM_REFRESH, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_INIT_DB, "ERR", lambda s: s.err(), FAILED, real=(InitDb("nosuch"),)),
    Cell(COM_STMT_BULK_EXECUTE, "OK", lambda s: s.ok(rows=100), said(results=1, affected_rows=100)),
    Cell(COM_STMT_BULK_EXECUTE, "rows", lambda s: s.columns(1).binary_row(b"1").end(), ONE_SET),
    Cell(COM_STMT_FETCH, "rows",
         lambda s: s.binary_row(b"a").binary_row(b"b").end(CURSOR), said(results=1, has_rows=True, status=CURSOR),
         real=(Prepare("fetch", "SELECT id FROM t ORDER BY id"), Execute("fetch", cursor=True), Fetch("fetch", 2))),
    Cell(COM_STMT_FETCH, "the last rows",
         lambda s: s.binary_row(b"a").end(LAST), said(results=1, has_rows=True, status=LAST),
         real=(Prepare("last", "SELECT id FROM t ORDER BY id"), Execute("last", cursor=True), Fetch("last", 100))),
    Cell(COM_STMT_FETCH, "ERR, no such statement", lambda s: s.err(), said(error=NO_TABLE, has_rows=True),
         real=(Fetch("unknown", 2),)),
    Cell(COM_STMT_FETCH, "rows, with the flag of a call in which more results follow",
         lambda s: s.binary_row(b"a").end(MORE), said(results=1, has_rows=True, status=MORE)),
    Cell(COM_STMT_FETCH, "no rows", lambda s: s.end(), ONE_SET,
         real=(Prepare("none", "SELECT id FROM t LIMIT 0"), Execute("none", cursor=True), Fetch("none", 2))),
    Cell(COM_STMT_FETCH, "ERR", lambda s: s.err(), said(error=NO_TABLE, has_rows=True),
         real=(Prepare("closed", "SELECT id FROM t"), Execute("closed"), Fetch("closed", 2))),
    Cell(COM_STMT_PREPARE, "nothing", lambda s: s.prepared(7, 0, 0), said(statement_id=7, has_status=False),
         real=(Prepare("nothing", "DO 1"),)),
    Cell(COM_STMT_PREPARE, "parameters", lambda s: s.prepared(2**31, 0, 3), said(statement_id=2**31, num_params=3),
         real=(Prepare("parameters", "DELETE FROM t WHERE id IN (?, ?, ?)"),)),
    Cell(COM_STMT_PREPARE, "columns", lambda s: s.prepared(8, 2, 0), said(statement_id=8, num_columns=2),
         real=(Prepare("columns", "SELECT id, v FROM t"),)),
    Cell(COM_STMT_PREPARE, "300 columns", lambda s: s.prepared(8, 300, 1),
         said(statement_id=8, num_columns=300, num_params=1),
         real=(Prepare("broad", "SELECT ?, " + ", ".join(map(str, range(299)))),)),
    Cell(COM_STMT_PREPARE, "both", lambda s: s.prepared(9, 1, 2), said(statement_id=9, num_columns=1, num_params=2),
         real=(Prepare("both", "SELECT id FROM t WHERE id IN (?, ?)"),)),
    Cell(COM_STMT_PREPARE, "ERR", lambda s: s.err(), FAILED,
         real=(Prepare("error", "SELECT * FROM nosuch"),)),
    Cell(COM_FIELD_LIST, "definitions", lambda s: s.definition(b"a").definition(b"b").end(), ONE_OK,
         real=(FieldList("t"),)),
    Cell(COM_FIELD_LIST, "old EOF", lambda s: s.definition(b"a").eof(), ONE_OK),
    Cell(COM_FIELD_LIST, "ERR", lambda s: s.err(), FAILED,
         real=(FieldList("nosuch"),)),
    Cell(COM_PROCESS_INFO, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_PROCESS_INFO, "rows", lambda s: s.columns(1).row(b"1").end(), ONE_SET),
    Cell(COM_STATISTICS, "text", lambda s: s.packet(b"Uptime: 12  Threads: 3"), said(has_status=False),
         real=(Command(COM_STATISTICS),)),
    Cell(COM_STATISTICS, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_SET_OPTION, "EOF", lambda s: s.eof(), ONE_OK),
    Cell(COM_SET_OPTION, "OK or EOF as agreed", lambda s: s.end(), ONE_OK,
         real=(SetOption(0),)),
    Cell(COM_SET_OPTION, "OK", lambda s: s.ok(), ONE_OK),
    Cell(COM_SET_OPTION, "ERR", lambda s: s.err(), FAILED,
         real=(SetOption(7),)),
    Cell(COM_DEBUG, "EOF", lambda s: s.eof(), ONE_OK),
    Cell(COM_DEBUG, "OK or EOF as agreed", lambda s: s.end(), ONE_OK),
    Cell(COM_DEBUG, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_PING, "OK", lambda s: s.ok(), ONE_OK,
         real=(Command(COM_PING),)),
    Cell(COM_PING, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_INIT_DB, "OK", lambda s: s.ok(), ONE_OK),
    Cell(COM_INIT_DB, "OK, session changed", lambda s: s.ok(CHANGED), said(results=1, status=CHANGED),
         real=(InitDb("{two}"),)),
    Cell(COM_RESET_CONNECTION, "OK", lambda s: s.ok(), ONE_OK,
         real=(Command(COM_RESET_CONNECTION),)),
    Cell(COM_CHANGE_USER, "OK", lambda s: s.ok(), ONE_OK,
         real=(ChangeUser("{one}"),)),
    Cell(COM_CHANGE_USER, "ERR", lambda s: s.err(), FAILED),
    Cell(COM_STMT_RESET, "OK", lambda s: s.ok(), ONE_OK,
         real=(Prepare("reset", "SELECT 1"), ResetStatement("reset"))),
    Cell(COM_STMT_RESET, "ERR", lambda s: s.err(), FAILED, real=(ResetStatement("unknown"),)),
    Cell(COM_PROCESS_KILL, "OK", lambda s: s.ok(), ONE_OK),
    Cell(COM_PROCESS_KILL, "ERR", lambda s: s.err(), FAILED),
    Cell(0x55, "ERR",
         lambda s: s.err(1047, "08S01", "Unknown command"), said(error=ServerError(1047, "08S01", "Unknown command")),
         real=(Command(0x55),)),
]
# fmt: on
