"""The specification of classification: texts, and all the facts about each."""

from dataclasses import replace

import pytest

from router.facts import Asks, Begin, End, Kind, Modes, PinReason, Statement, Unreplayable, unclassified
from router.statements import LONGEST_READ, Classifier, Generations


def read(*tables: str, **facts: object) -> Statement:
    return Statement(**{"kind": Kind.READ, "tables": tables, **facts})


def write(*tables: str, **facts: object) -> Statement:
    return Statement(**{"kind": Kind.WRITE, "tables": tables, "may_write": True, **facts})


def one(*tables: str, **facts: object) -> Statement:
    return write(*tables, inserts_one_row=True, **facts)


def locking(*tables: str, **facts: object) -> Statement:
    return Statement(**{"kind": Kind.LOCKING_READ, "tables": tables, "may_write": True, **facts})


def show(*tables: str, **facts: object) -> Statement:
    return Statement(**{"kind": Kind.SHOW, "tables": tables, **facts})


def sets(*carries: tuple[str, str], **facts: object) -> Statement:
    return Statement(**{"kind": Kind.SET, "carries": carries, **facts})


def set_pins(reason: PinReason, **facts: object) -> Statement:
    why = Unreplayable.USER_VARIABLE if reason is PinReason.USER_VARIABLE else Unreplayable.UNCLASSIFIED
    return Statement(**{"kind": Kind.SET, "pins": reason, "unreplayable": why, **facts})


def learns(*learns: tuple[str, str | None], **facts: object) -> Statement:
    """A SET whose values the server has to be asked for."""
    return Statement(
        **{
            "kind": Kind.SET,
            "learns": learns,
            "unreplayable": Unreplayable.UNCLASSIFIED,
            **facts,
        }
    )


def begin(**characteristics: bool) -> Statement:
    return Statement(kind=Kind.BEGIN, commits=True, transaction=Begin(**characteristics))


def commit(chain: bool | None = None, release: bool | None = None) -> Statement:
    return Statement(kind=Kind.COMMIT, commits=True, end=End(chain, release))


def rollback(chain: bool | None = None, release: bool | None = None) -> Statement:
    return Statement(kind=Kind.ROLLBACK, commits=True, end=End(chain, release))


def waiting(*tables: str, commits: bool = False, may_write: bool = False) -> Statement:
    """SET STATEMENT: what the variables do to the statement is not known."""
    return replace(unclassified(Kind.SET), tables=tables, commits=commits, may_write=may_write)


def ddl(*tables: str, **facts: object) -> Statement:
    return Statement(
        **{
            "kind": Kind.DDL,
            "tables": tables,
            "commits": True,
            "may_write": True,
            "unreplayable": Unreplayable.DDL,
            **facts,
        }
    )


def admin(**facts: object) -> Statement:
    return Statement(
        **{"kind": Kind.ADMIN, "commits": True, "may_write": True, "unreplayable": Unreplayable.ADMIN, **facts}
    )


def kill(query_only: bool, number: int | None) -> Statement:
    return Statement(
        kind=Kind.KILL,
        kill=None if number is None else (query_only, number),
        may_write=True,
        unreplayable=Unreplayable.KILL,
        connection_id=True,
    )


def unknown(kind: Kind, *tables: str, **facts: object) -> Statement:
    """A statement that is understood but for a function that might do anything."""
    return Statement(
        **{
            "kind": kind,
            "tables": tables,
            "pins": PinReason.UNCLASSIFIED,
            "sees_guard": True,
            "may_write": True,
            "unreplayable": Unreplayable.UNCLASSIFIED,
            "connection_id": True,
            **facts,
        }
    )


SAVEPOINT = Statement(kind=Kind.SAVEPOINT)
XA = Statement(kind=Kind.XA, pins=PinReason.XA, commits=True, may_write=True, unreplayable=Unreplayable.XA)
NOTHING = Statement(kind=Kind.OTHER)
ISOLATION = "transaction isolation level"
ACCESS = "transaction access mode"

READS = [
    ("SELECT 1", read()),
    ("select 1 from dual", read()),
    ("SELECT c FROM sbtest1 WHERE id=4711", read("sbtest1")),
    ("SELECT c FROM sbtest1 WHERE id BETWEEN 5 AND 104 ORDER BY c", read("sbtest1")),
    ("SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN 5 AND 104 ORDER BY c", read("sbtest1")),
    ("SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 5 AND 104", read("sbtest1")),
    ("SELECT c FROM sbtest1 WHERE id=?", read("sbtest1")),
    ("SELECT * FROM Shop.Orders", read("shop.orders")),
    ("SELECT * FROM `Shop`.`Orders`", read("shop.orders")),
    ("SELECT * FROM `a b`.`c``d`", read("a b.c`d")),
    ("SELECT a.*, b.x FROM a JOIN b ON a.id = b.id LEFT JOIN s.c USING (id), d", read("a", "b", "s.c", "d")),
    ("SELECT * FROM t WHERE a IN (SELECT b FROM u WHERE EXISTS (SELECT 1 FROM v))", read("t", "u", "v")),
    ("SELECT * FROM (SELECT * FROM t) AS x", read("t")),
    ("SELECT (SELECT MAX(id) FROM u) FROM t", read("t", "u")),
    ("(SELECT 1)", read()),
    ("(SELECT a FROM t) UNION ALL (SELECT b FROM u) ORDER BY 1 LIMIT 3", read("t", "u")),
    ("SELECT a FROM t UNION SELECT b FROM u", read("t", "u")),
    ("WITH x AS (SELECT * FROM t) SELECT * FROM x", read("t")),
    ("WITH x (a, b) AS (SELECT * FROM t) SELECT * FROM x JOIN u ON x.a = u.a", read("u", "t")),
    ("WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM x WHERE n < 9) SELECT * FROM x", read()),
    ("WITH t AS (SELECT * FROM t) SELECT * FROM t", read("t")),
    ("TABLE t", read("t")),
    ("SELECT * FROM t USE INDEX (a) FORCE INDEX FOR JOIN (b) WHERE a = 1", read("t")),
    ("SELECT * FROM t USE INDEX (a) WHERE a = 1", read("t")),
    ("SELECT * FROM t PARTITION (p0) WHERE a = 1", read("t")),
    ("SELECT STRAIGHT_JOIN * FROM t, u", read("t", "u")),
    ("SELECT SQL_NO_CACHE * FROM t", read("t")),
    ("SELECT HIGH_PRIORITY a FROM t", read("t")),
    ("SELECT /*+ MAX_EXECUTION_TIME(1000) */ * FROM t", read("t")),
    ("SELECT /*+ SET_VAR(sql_mode='') */ * FROM t", unclassified()),
    ("SELECT /*!40001 SQL_NO_CACHE */ * FROM t", read("t")),
    ("SELECT /*! 1 */", read()),
    ("SELECT /*!80000 1 */", unclassified()),
    ("SELECT /*!100100 1 */", unclassified()),
    ("SELECT /*M! 1 */", unclassified()),
    ("/*!40001 SELECT 1 */", read()),
    ("/* ping */ SELECT 1", read()),
    ("SELECT 1 -- a", read()),
    ("SELECT 1 --\n+1", read()),
    ("SELECT 1--1", read()),
    ("SELECT 1 # a", read()),
    ("SELECT 1;", read()),
    ("SELECT 1 ; -- a", read()),
    ("  \n\tselect\n1\n", read()),
    ("SELECT 2*/*c*/3", read()),
    ("SELECT 'it''s', 'it\\'s', \"say \"\"x\"\"\" FROM t", read("t")),
    ("SELECT 'GET_LOCK(1)', `GET_LOCK` FROM t", read("t")),
    ("SELECT _utf8mb4'x' COLLATE utf8mb4_bin, N'x', x'41', 0x41, b'01', 1.5e3, .5", read()),
    ("SELECT a FROM t WHERE b = 1 AND NOT (c OR d) AND e BETWEEN 1 AND 2 AND f IS NULL", read("t")),
    ("SELECT a FROM t WHERE b LIKE 'x%' AND c REGEXP 'y' AND d RLIKE 'z' AND e <=> NULL", read("t")),
    ("SELECT IF(a, 1, 2), CASE WHEN a THEN 1 ELSE 2 END, COALESCE(a, b), IFNULL(a, b) FROM t", read("t")),
    ("SELECT CAST(a AS CHAR(10)), CONVERT(a USING utf8mb4), CAST(a AS DECIMAL(10,2)) FROM t", read("t")),
    ("SELECT COUNT(*), COUNT(DISTINCT a), GROUP_CONCAT(a ORDER BY b SEPARATOR ',') FROM t GROUP BY c", read("t")),
    ("SELECT a, COUNT(*) FROM t GROUP BY a WITH ROLLUP HAVING COUNT(*) > 1", read("t")),
    ("SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t", read("t")),
    ("SELECT DATE_ADD(NOW(), INTERVAL 1 DAY), CURDATE(), CURRENT_TIMESTAMP, UNIX_TIMESTAMP()", read()),
    (
        "SELECT EXTRACT(YEAR FROM a), TRIM(BOTH 'x' FROM a), SUBSTRING(a FROM 2 FOR 3), POSITION('a' IN b) FROM t",
        read("t"),
    ),
    ("SELECT JSON_EXTRACT(a, '$.b'), a->'$.c', a->>'$.d' FROM t", read("t")),
    ("SELECT MATCH (a) AGAINST ('x' IN BOOLEAN MODE) FROM t", read("t")),
    ("SELECT ST_Distance(POINT(1, 2), a) FROM t", read("t")),
    ("SELECT MD5('x'), SHA2('x', 256), HEX('x'), INET_ATON('1.2.3.4')", read()),
    ("SELECT DATABASE(), SCHEMA(), USER(), CURRENT_USER(), VERSION()", read()),
    ("SELECT SLEEP(1)", read()),
    ("SELECT UUID()", read()),
    ("SELECT RAND()", read()),
    ("SELECT * FROM t ORDER BY RAND() LIMIT 1", read("t")),
    ("SELECT * FROM t LIMIT 10 OFFSET 5", read("t")),
    ("SELECT * FROM t LIMIT 5, 10", read("t")),
    ("SELECT * FROM t WHERE (a, b) IN ((1, 2), (3, 4))", read("t")),
    ("SELECT a FROM t WHERE b = ANY (SELECT c FROM u)", read("t", "u")),
    ("SELECT CONNECTION_ID()", read(connection_id=True)),
    ("SELECT @@pseudo_thread_id", read(connection_id=True)),
    ("SELECT @@version_comment limit 1", read()),
    ("select @@version_comment limit 1", read()),
    ("SELECT @@session.auto_increment_increment AS a, @@character_set_client AS b", read()),
    ("SELECT @@global.max_allowed_packet", read()),
    ("SELECT @@hostname, @@server_id", read()),
    ("SELECT @@tx_isolation", read()),
    ("SELECT @@transaction_read_only", read(sees_guard=True)),
    ("SELECT @@session.tx_read_only", read(sees_guard=True)),
    ("SELECT @@`tx_read_only`", read(sees_guard=True)),
    (
        "SELECT * FROM information_schema.SESSION_VARIABLES",
        read("information_schema.session_variables", sees_guard=True),
    ),
    (
        "SELECT * FROM performance_schema.session_variables",
        read("performance_schema.session_variables", sees_guard=True),
    ),
    ("SELECT @@warning_count", read(asks=Asks.WARNINGS)),
    ("SELECT @@error_count", read(asks=Asks.WARNINGS)),
    ("SELECT LAST_INSERT_ID()", read(asks=Asks.LAST_INSERT_ID)),
    ("SELECT @@identity", read(asks=Asks.LAST_INSERT_ID)),
    ("SELECT @@last_insert_id", read(asks=Asks.LAST_INSERT_ID)),
    ("SELECT * FROM t WHERE id = LAST_INSERT_ID()", read("t", asks=Asks.LAST_INSERT_ID)),
    ("SELECT FOUND_ROWS()", read(asks=Asks.FOUND_ROWS)),
    ("SELECT ROW_COUNT()", read(asks=Asks.ROW_COUNT)),
    ("SELECT ROW_COUNT(), FOUND_ROWS()", read(asks=Asks.ROWS)),
    ("SELECT SQL_CALC_FOUND_ROWS * FROM t LIMIT 1", read("t", calculates_found_rows=True)),
    ("SELECT @a", read()),
    ("SELECT * FROM t WHERE a = @a", read("t")),
    ("SELECT * FROM t FOR UPDATE", locking("t")),
    ("SELECT * FROM t WHERE a = 1 FOR UPDATE SKIP LOCKED", locking("t")),
    ("SELECT * FROM t WHERE a = 1 FOR UPDATE NOWAIT", locking("t")),
    ("SELECT * FROM t FOR SHARE", locking("t")),
    ("SELECT * FROM t LOCK IN SHARE MODE", locking("t")),
    ("SELECT * FROM t JOIN u ON t.a = u.a WHERE t.b = 2 FOR UPDATE", locking("t", "u")),
]

WRITES = [
    ("INSERT INTO t VALUES (1)", one("t")),
    ("INSERT INTO t (a, b) VALUES (1, 'x')", one("t")),
    ("INSERT INTO t(a) VALUES(?)", one("t")),
    ("INSERT t VALUES (1)", one("t")),
    ("INSERT INTO s.t (a) VALUES (1)", one("s.t")),
    ("INSERT INTO `s`.`t` (`a`) VALUES (1)", one("s.t")),
    ("INSERT INTO t () VALUES ()", one("t")),
    ("INSERT INTO t SET a = 1, b = NOW()", one("t")),
    ("INSERT INTO t (a) VALUE (1)", one("t")),
    ("INSERT INTO t PARTITION (p0) (a) VALUES (1)", one("t")),
    ("INSERT INTO t (a) VALUES ((1 + 2) * 3)", one("t")),
    ("INSERT INTO t (a) VALUES (1) RETURNING id", replace(one("t"), returns_rows=True)),
    ("INSERT LOW_PRIORITY INTO t VALUES (1)", one("t")),
    ("INSERT INTO t VALUES (1), (2)", write("t")),
    ("INSERT INTO t VALUES (1, NOW()), (2, NOW())", write("t")),
    ("INSERT IGNORE INTO t VALUES (1)", write("t")),
    ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a) + 1", write("t")),
    ("INSERT INTO t VALUES (1) AS new (x) ON DUPLICATE KEY UPDATE a = new.x", write("t")),
    ("INSERT INTO t SELECT * FROM u", write("t", "u")),
    ("INSERT INTO t (a) SELECT b FROM u WHERE c = 1", write("t", "u")),
    ("INSERT INTO t (a) VALUES ((SELECT MAX(b) FROM u))", write("t", "u")),
    ("INSERT DELAYED INTO t VALUES (1)", unclassified(Kind.WRITE)),
    ("REPLACE INTO t VALUES (1)", one("t")),
    ("REPLACE t SET a = 1", one("t")),
    ("REPLACE INTO t (a) VALUES (1) RETURNING a", replace(one("t"), returns_rows=True)),
    ("REPLACE INTO t SELECT * FROM u", write("t", "u")),
    ("UPDATE t SET a = a + 1 WHERE id = 1", write("t")),
    ("UPDATE sbtest1 SET k=k+1 WHERE id=5", write("sbtest1")),
    ("UPDATE s.t SET a = 1 ORDER BY b LIMIT 1", write("s.t")),
    ("UPDATE t, u SET t.a = u.b WHERE t.id = u.id", write("t", "u")),
    ("UPDATE t JOIN u ON t.id = u.id SET t.a = u.b", write("t", "u")),
    ("UPDATE IGNORE t SET a = 1", write("t")),
    ("DELETE LOW_PRIORITY QUICK IGNORE FROM t", write("t")),
    ("UPDATE t SET a = (SELECT MAX(b) FROM u)", write("t", "u")),
    ("UPDATE t SET a = DEFAULT", write("t")),
    ("DELETE FROM t WHERE id = 1", write("t")),
    ("DELETE FROM t", write("t")),
    ("DELETE FROM t WHERE a = 1 ORDER BY b LIMIT 5", write("t")),
    ("DELETE QUICK FROM t", write("t")),
    ("DELETE t FROM t JOIN u ON t.id = u.id", write("t", "u")),
    ("DELETE FROM t WHERE id IN (SELECT id FROM u)", write("t", "u")),
    ("DELETE FROM t WHERE id = 1 RETURNING a", replace(write("t"), returns_rows=True)),
    ("WITH x AS (SELECT id FROM u) DELETE FROM t WHERE id IN (SELECT id FROM x)", write("t", "u")),
    ("INSERT INTO t VALUES (UUID())", one("t", unreplayable=Unreplayable.NONDETERMINISTIC)),
    ("INSERT INTO t VALUES (RAND())", one("t", unreplayable=Unreplayable.NONDETERMINISTIC)),
    ("INSERT INTO t VALUES (RAND(7))", one("t")),
    ("UPDATE t SET a = UUID_SHORT()", write("t", unreplayable=Unreplayable.NONDETERMINISTIC)),
    (
        "INSERT INTO t VALUES (CONNECTION_ID())",
        one("t", unreplayable=Unreplayable.NONDETERMINISTIC, connection_id=True),
    ),
    ("INSERT INTO t VALUES (LAST_INSERT_ID())", one("t", asks=Asks.LAST_INSERT_ID)),
    ("UPDATE t SET a = LAST_INSERT_ID(a + 1)", write("t", asks=Asks.LAST_INSERT_ID, pins=PinReason.LAST_INSERT_ID)),
    (
        "UPDATE t SET a = (@b := a)",
        write("t", pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE),
    ),
]

LEAVES_SOMETHING = [
    ("SELECT @a := 1", read(pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("SELECT @a:=@a+1 FROM t", read("t", pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("SELECT a INTO @x FROM t", read("t", pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("SELECT a FROM t INTO @x", read("t", pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("SELECT 1, 2 INTO @x, @`y z`", read(pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("SELECT GET_LOCK('a', 1)", read(pins=PinReason.GET_LOCK, unreplayable=Unreplayable.GET_LOCK, may_write=True)),
    ("SELECT RELEASE_LOCK('a')", read(unreplayable=Unreplayable.GET_LOCK)),
    ("SELECT IS_FREE_LOCK('a')", read()),
    ("SELECT IS_USED_LOCK('a')", read(connection_id=True)),
    ("SELECT LAST_INSERT_ID(5)", read(asks=Asks.LAST_INSERT_ID, pins=PinReason.LAST_INSERT_ID)),
    ("SELECT NEXTVAL(s)", read(pins=PinReason.SEQUENCE, unreplayable=Unreplayable.SEQUENCE, may_write=True)),
    ("INSERT INTO t VALUES (NEXT VALUE FOR s)", one("t", pins=PinReason.SEQUENCE, unreplayable=Unreplayable.SEQUENCE)),
    ("SELECT my_function(1)", unknown(Kind.READ)),
    ("SELECT s.my_function(a) FROM t", unknown(Kind.READ, "t")),
    ("SELECT s.count(a) FROM t", unknown(Kind.READ, "t")),
    ("SELECT `count`(a) FROM t", unknown(Kind.READ, "t")),
    ("SELECT COUNT (a) FROM t", unknown(Kind.READ, "t")),
    ("SELECT COUNT/**/(a) FROM t", unknown(Kind.READ, "t")),
    ("SELECT CONCAT (a, b) FROM t", read("t")),
    ("SELECT POINT()", unknown(Kind.READ)),
    (
        "INSERT INTO t VALUES (my_function(1))",
        one(
            "t",
            pins=PinReason.UNCLASSIFIED,
            unreplayable=Unreplayable.UNCLASSIFIED,
            sees_guard=True,
            connection_id=True,
        ),
    ),
    ("UPDATE t SET a = s.f(a)", unknown(Kind.WRITE, "t")),
    ("SELECT a INTO OUTFILE '/tmp/x' FROM t", read("t", unreplayable=Unreplayable.FILE, may_write=True)),
    ("SELECT a FROM t INTO DUMPFILE '/tmp/x'", read("t", unreplayable=Unreplayable.FILE, may_write=True)),
    ("SELECT a FROM t INTO OUTFILE '/tmp/x' LINES TERMINATED BY 'x'", unclassified(Kind.READ)),
    ("SELECT * FROM t PROCEDURE ANALYSE()", unclassified(Kind.READ)),
    ("SELECT 1 FROM", unclassified(Kind.READ)),
    ("SELECT a MEMBER OF (b) FROM t", unknown(Kind.READ, "t")),
    ("SELECT 'open", unclassified()),
    ("SELECT /* open", unclassified()),
    ("SELECT /*! open", unclassified()),
    ("SELECT 1\x00", unclassified()),
    ("SELECT\xa01", unclassified()),
    ("DO 1", Statement(kind=Kind.DO)),
    ("DO SLEEP(1)", Statement(kind=Kind.DO)),
    (
        "DO GET_LOCK('a', 1)",
        Statement(kind=Kind.DO, pins=PinReason.GET_LOCK, unreplayable=Unreplayable.GET_LOCK, may_write=True),
    ),
    ("DO @a := 1", Statement(kind=Kind.DO, pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE)),
    ("DO f()", unknown(Kind.DO)),
    ("SET STATEMENT max_statement_time=1 FOR SELECT SLEEP(2) FROM t", waiting("t")),
    ("SET STATEMENT max_statement_time=1 FOR DELETE FROM t", waiting("t", may_write=True)),
    ("SET STATEMENT max_statement_time=1 FOR TRUNCATE t", waiting("t", may_write=True, commits=True)),
    ("SET STATEMENT max_statement_time=1", unclassified(Kind.SET)),
    ("DROP DATABASE shop", ddl(drops_schema="shop")),
    ("DROP SCHEMA IF EXISTS `shop`", ddl(drops_schema="shop")),
    ("ALTER DATABASE shop CHARACTER SET latin1", ddl()),
    ("CREATE DATABASE shop", ddl()),
    ("CREATE TEMPORARY TABLE t (a INT)", ddl("t", pins=PinReason.TEMPORARY_TABLE, commits=False)),
    ("CREATE TEMPORARY TABLE t AS SELECT 1", ddl("t", pins=PinReason.TEMPORARY_TABLE, commits=False)),
    ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", ddl("t", pins=PinReason.TEMPORARY_TABLE, commits=False)),
    ("DROP TEMPORARY TABLE IF EXISTS t", ddl("t", commits=False)),
    (
        "LOCK TABLES t WRITE, s.u READ",
        Statement(
            kind=Kind.LOCK_TABLES,
            tables=("t", "s.u"),
            pins=PinReason.LOCK_TABLES,
            commits=True,
            may_write=True,
            unreplayable=Unreplayable.LOCK_TABLES,
        ),
    ),
    ("UNLOCK TABLES", Statement(kind=Kind.UNLOCK_TABLES, commits=True, unreplayable=Unreplayable.LOCK_TABLES)),
    (
        "HANDLER t OPEN",
        Statement(kind=Kind.HANDLER, tables=("t",), pins=PinReason.HANDLER, unreplayable=Unreplayable.HANDLER),
    ),
    (
        "PREPARE s FROM 'SELECT 1'",
        Statement(kind=Kind.SQL_PREPARE, pins=PinReason.SQL_PREPARE, unreplayable=Unreplayable.SQL_PREPARE),
    ),
    ("DEALLOCATE PREPARE s", Statement(kind=Kind.SQL_PREPARE, unreplayable=Unreplayable.SQL_PREPARE)),
    ("XA START 'x'", XA),
    ("XA COMMIT 'x'", replace(XA, pins=None)),
    ("XA RECOVER", Statement(kind=Kind.SHOW)),
    ("FLUSH TABLES WITH READ LOCK", admin(pins=PinReason.LOCK_TABLES)),
    ("FLUSH TABLES t FOR EXPORT", admin(pins=PinReason.LOCK_TABLES)),
    (
        "GET DIAGNOSTICS @a = NUMBER",
        Statement(
            kind=Kind.OTHER, pins=PinReason.DIAGNOSTICS, asks=Asks.WARNINGS, unreplayable=Unreplayable.USER_VARIABLE
        ),
    ),
    ("BEGIN NOT ATOMIC SELECT 1; END", unclassified()),
    ("IF 1 THEN SELECT 1; END IF", unclassified()),
    ("BACKUP STAGE START", unclassified()),
    ("SIGNAL SQLSTATE '45000'", unclassified()),
    ("NONSENSE", unclassified()),
    ("'text'", unclassified()),
    (")", unclassified()),
    ("((", unclassified()),
]

BOUNDARIES = [
    ("BEGIN", begin()),
    ("begin work", begin()),
    ("BEGIN;", begin()),
    ("/* a */ BEGIN -- b", begin()),
    ("BEGIN 1", unclassified()),
    ("START TRANSACTION", begin()),
    ("START TRANSACTION READ ONLY", begin(read_only=True)),
    ("start transaction read write", begin(read_write=True)),
    ("START TRANSACTION WITH CONSISTENT SNAPSHOT", begin(consistent_snapshot=True)),
    ("START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */", begin(consistent_snapshot=True)),
    ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", begin(consistent_snapshot=True, read_only=True)),
    ("START TRANSACTION READ ONLY, READ WRITE", unclassified()),
    ("START TRANSACTION NOW", unclassified()),
    ("COMMIT", commit()),
    ("commit work", commit()),
    ("COMMIT AND CHAIN", commit(chain=True)),
    ("COMMIT AND NO CHAIN", commit(chain=False)),
    ("COMMIT WORK AND NO CHAIN RELEASE", commit(chain=False, release=True)),
    ("COMMIT NO RELEASE", commit(release=False)),
    ("COMMIT RELEASE", commit(release=True)),
    ("COMMIT AND CHAIN RELEASE", unclassified()),
    ("COMMIT 1", unclassified()),
    ("ROLLBACK", rollback()),
    ("ROLLBACK WORK", rollback()),
    ("ROLLBACK AND CHAIN NO RELEASE", rollback(chain=True, release=False)),
    ("ROLLBACK RELEASE", rollback(release=True)),
    ("SAVEPOINT a", SAVEPOINT),
    ("SAVEPOINT `a b`", SAVEPOINT),
    ("RELEASE SAVEPOINT a", SAVEPOINT),
    ("ROLLBACK TO a", SAVEPOINT),
    ("ROLLBACK TO SAVEPOINT a", SAVEPOINT),
    ("ROLLBACK WORK TO SAVEPOINT `a`", SAVEPOINT),
    ("ROLLBACK TO savepoint", SAVEPOINT),
    ("SAVEPOINT", unclassified()),
    ("RELEASE a", unclassified()),
]

SETS = [
    ("SET NAMES utf8mb4", sets(("names", "'utf8mb4'"))),
    ("set names 'utf8mb4'", sets(("names", "'utf8mb4'"))),
    ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", sets(("names", "'utf8mb4' COLLATE 'utf8mb4_bin'"))),
    ("SET NAMES DEFAULT", sets(("names", "DEFAULT"))),
    ("/*!40101 SET NAMES utf8 */", sets(("names", "'utf8'"))),
    (
        "SET CHARACTER SET utf8",
        learns(("character_set_client", None), ("character_set_results", None), ("collation_connection", None)),
    ),
    (
        "SET CHARSET DEFAULT",
        learns(("character_set_client", None), ("character_set_results", None), ("collation_connection", None)),
    ),
    ("SET autocommit=1", sets(("autocommit", "1"), commits=True)),
    ("SET AUTOCOMMIT = 1", sets(("autocommit", "1"), commits=True)),
    ("SET autocommit=ON", sets(("autocommit", "1"), commits=True)),
    ("SET SESSION autocommit = TRUE", sets(("autocommit", "1"), commits=True)),
    ("SET @@autocommit = 1", sets(("autocommit", "1"), commits=True)),
    ("SET @@session.autocommit=0", sets(("autocommit", "0"))),
    ("SET autocommit=0", sets(("autocommit", "0"))),
    ("SET autocommit=off", sets(("autocommit", "0"))),
    ("SET autocommit=DEFAULT", learns(("autocommit", None), commits=True)),
    ("SET autocommit=@a", learns(("autocommit", None), commits=True)),
    ("SET autocommit=2", set_pins(PinReason.VARIABLE, commits=True)),
    ("SET sql_mode=''", sets(("sql_mode", "''"))),
    (
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ANSI_QUOTES'",
        sets(("sql_mode", "'STRICT_TRANS_TABLES,ANSI_QUOTES'")),
    ),
    ('SET sql_mode="ANSI"', sets(("sql_mode", "'ANSI'"))),
    ("SET @@SESSION.sql_mode = traditional", sets(("sql_mode", "'traditional'"))),
    ("SET LOCAL sql_mode=DEFAULT", learns(("sql_mode", None))),
    ("SET sql_mode := ''", sets(("sql_mode", "''"))),
    ("SET `sql_mode` = ''", sets(("sql_mode", "''"))),
    ("SET sql_mode=CONCAT(@@sql_mode, ',ANSI')", learns(("sql_mode", None))),
    ("SET @@session.sql_mode = REPLACE(@@sql_mode, 'ANSI', '')", learns(("sql_mode", None))),
    ("SET sql_mode=(SELECT CONCAT(@@sql_mode, ',ANSI'))", learns(("sql_mode", None))),
    ("SET sql_mode=(SELECT 'ANSI' FROM t)", learns(("sql_mode", None), tables=("t",))),
    ("SET sql_mode=(TABLE t)", learns(("sql_mode", None), tables=("t",))),
    (
        "SET SESSION sql_mode := (SELECT a FROM s.t), time_zone = 'UTC', @a = (SELECT b FROM u WHERE c = 1 FOR UPDATE)",
        learns(
            ("sql_mode", None),
            ("time_zone", "'UTC'"),
            tables=("s.t", "u"),
            pins=PinReason.USER_VARIABLE,
            unreplayable=Unreplayable.USER_VARIABLE,
            may_write=True,
        ),
    ),
    ("SET @a = (SELECT MAX(id) FROM t)", set_pins(PinReason.USER_VARIABLE, tables=("t",))),
    ("SET @a = (SELECT f() FROM t)", unclassified(Kind.SET)),
    ("SET @a = (SELECT FROM)", unclassified(Kind.SET)),
    ("SET sql_mode=f()", unclassified(Kind.SET)),
    ("SET sql_mode='a' 'b'", learns(("sql_mode", None))),
    ("SET sql_mode='a\\'b'", learns(("sql_mode", None))),
    ("SET sql_mode=@@GLOBAL.sql_mode, time_zone='UTC'", learns(("sql_mode", None), ("time_zone", "'UTC'"))),
    ("SET sort_buffer_size = @@sort_buffer_size + 1, @a = 1", learns(("sort_buffer_size", None), ("@a", "1"))),
    (
        "SET @a = @@sql_mode, sql_mode = ''",
        set_pins(PinReason.USER_VARIABLE, carries=(("sql_mode", "''"),)),
    ),
    (
        "SET @a = @@sql_mode, sql_mode = @b",
        learns(("sql_mode", None), pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE),
    ),
    ("SET profiling = 1, sql_mode = @b", learns(("sql_mode", None), pins=PinReason.VARIABLE)),
    ("SET profiling = @b", set_pins(PinReason.VARIABLE)),
    ("SET character_set_connection = @a", learns(("collation_connection", None))),
    ("SET character_set_server = utf8mb4", sets(("character_set_server", "'utf8mb4'"))),
    ("SET collation_server = DEFAULT", sets(("collation_server", "DEFAULT"))),
    ("SET character_set_server = @a", learns(("collation_server", None))),
    ("SET SESSION tx_isolation = @@GLOBAL.tx_isolation", learns(("tx_isolation", None))),
    ("SET @@tx_isolation = @a", set_pins(PinReason.VARIABLE)),
    ("SET SESSION transaction_read_only = @a", learns(("transaction_read_only", None))),
    ("SET time_zone='+00:00'", sets(("time_zone", "'+00:00'"))),
    ("SET time_zone = SYSTEM", sets(("time_zone", "'SYSTEM'"))),
    ("SET foreign_key_checks=0, unique_checks=0", sets(("foreign_key_checks", "0"), ("unique_checks", "0"))),
    ("SET group_concat_max_len = 1048576", sets(("group_concat_max_len", "1048576"))),
    ("SET SQL_AUTO_IS_NULL = 0", sets(("sql_auto_is_null", "0"))),
    ("SET SQL_AUTO_IS_NULL = 1", set_pins(PinReason.VARIABLE)),
    ("SET character_set_results = NULL", sets(("character_set_results", "NULL"))),
    ("SET character_set_results = utf8", sets(("character_set_results", "'utf8'"))),
    ("SET timestamp=1700000000", sets(("timestamp", "1700000000"))),
    ("SET timestamp=1700000000.5", sets(("timestamp", "1700000000.5"))),
    ("SET timestamp=-1", sets(("timestamp", "-1"))),
    ("SET timestamp=DEFAULT", sets(("timestamp", "DEFAULT"))),
    ("SET timestamp=@a", set_pins(PinReason.VARIABLE)),
    ("SET wait_timeout=100, @@session.net_read_timeout=30", sets(("wait_timeout", "100"), ("net_read_timeout", "30"))),
    ("SET storage_engine=InnoDB", sets(("default_storage_engine", "'InnoDB'"))),
    ("SET NAMES utf8, time_zone='UTC'", sets(("names", "'utf8'"), ("time_zone", "'UTC'"))),
    ("SET wsrep_on=0", set_pins(PinReason.VARIABLE)),
    ("SET insert_id=5", set_pins(PinReason.VARIABLE)),
    ("SET completion_type=CHAIN", set_pins(PinReason.VARIABLE, carries=(("completion_type", "1"),))),
    ("SET completion_type='release'", set_pins(PinReason.VARIABLE, carries=(("completion_type", "2"),))),
    ("SET completion_type=1+1", learns(("completion_type", None), pins=PinReason.VARIABLE)),
    ("SET completion_type=DEFAULT", learns(("completion_type", None), pins=PinReason.VARIABLE)),
    ("SET profiling=1", set_pins(PinReason.VARIABLE)),
    ("SET time_zone='UTC', profiling=1", set_pins(PinReason.VARIABLE, carries=(("time_zone", "'UTC'"),))),
    ("SET max_statement_time=1+1", learns(("max_statement_time", None))),
    ("SET session_track_schema=OFF", sets(("session_track_schema", "OFF"))),
    ("SET SESSION session_track_system_variables='*'", set_pins(PinReason.VARIABLE)),
    ("SET session_track_system_variables='time_zone'", sets(("session_track_system_variables", "'time_zone'"))),
    ("SET session_track_gtids=OWN_GTID", set_pins(PinReason.TRACKING)),
    ("SET session_track_transaction_info='STATE'", set_pins(PinReason.TRACKING)),
    ("SET @a = 1", sets(("@a", "1"))),
    ("SET @A := -1.5, time_zone='UTC'", sets(("@a", "-1.5"), ("time_zone", "'UTC'"))),
    (
        "SET @`a b` = 'x', @b = null, @c = TRUE, @d = x'41'",
        sets(("@a b", "'x'"), ("@b", "NULL"), ("@c", "TRUE"), ("@d", "x'41'")),
    ),
    ('SET @a = "x y"', sets(("@a", "'x y'"))),
    ("SET @a = NOW(), time_zone='UTC'", set_pins(PinReason.USER_VARIABLE, carries=(("time_zone", "'UTC'"),))),
    ("SET @a = NOW(), @a = 1", sets(("@a", "1"))),
    ("SET @a = 1, @a = NOW()", set_pins(PinReason.USER_VARIABLE)),
    ("SET @a = 'it''s'", set_pins(PinReason.USER_VARIABLE)),
    (r"SET @a = '\\'", set_pins(PinReason.USER_VARIABLE)),
    ("SET @'a' = 1", set_pins(PinReason.USER_VARIABLE)),
    ("SET @a = x", set_pins(PinReason.USER_VARIABLE)),
    ("SET @a = '" + 1100 * "x" + "'", set_pins(PinReason.USER_VARIABLE)),
    ("SET @a = (@b := 1)", set_pins(PinReason.USER_VARIABLE)),
    ("SET @a = f()", unclassified(Kind.SET)),
    (
        "SET @a = GET_LOCK('a', 1)",
        set_pins(PinReason.GET_LOCK, unreplayable=Unreplayable.GET_LOCK, may_write=True),
    ),
    ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", sets(one_shot=((ISOLATION, "READ COMMITTED"),))),
    ("SET TRANSACTION READ ONLY", sets(one_shot=((ACCESS, "READ ONLY"),))),
    (
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
        sets(one_shot=((ISOLATION, "SERIALIZABLE"), (ACCESS, "READ WRITE"))),
    ),
    ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", sets((ISOLATION, "READ COMMITTED"))),
    ("set session transaction isolation level repeatable read", sets((ISOLATION, "REPEATABLE READ"))),
    ("SET LOCAL TRANSACTION READ WRITE", sets((ACCESS, "READ WRITE"))),
    ("SET SESSION TRANSACTION ISOLATION LEVEL NONE", unclassified(Kind.SET)),
    ("SET SESSION tx_isolation='READ-COMMITTED'", sets((ISOLATION, "READ COMMITTED"))),
    ("SET @@session.transaction_isolation = 'serializable'", sets((ISOLATION, "SERIALIZABLE"))),
    ("SET @@tx_isolation='READ-COMMITTED'", set_pins(PinReason.VARIABLE)),
    ("SET tx_isolation='READ-COMMITTED'", set_pins(PinReason.VARIABLE)),
    ("SET SESSION transaction_read_only = 1", sets((ACCESS, "READ ONLY"))),
    ("SET SESSION tx_read_only = OFF", sets((ACCESS, "READ WRITE"))),
    ("SET GLOBAL TRANSACTION READ ONLY", sets(may_write=True, unreplayable=Unreplayable.GLOBAL)),
    ("SET GLOBAL max_connections=5", sets(may_write=True, unreplayable=Unreplayable.GLOBAL)),
    ("SET @@global.max_connections=5", sets(may_write=True, unreplayable=Unreplayable.GLOBAL)),
    ("SET PERSIST max_connections=5", sets(may_write=True, unreplayable=Unreplayable.GLOBAL)),
    (
        "SET @@global.time_zone='UTC', time_zone='UTC'",
        sets(("time_zone", "'UTC'"), may_write=True, unreplayable=Unreplayable.GLOBAL),
    ),
    (
        "SET GLOBAL max_connections=5, time_zone='UTC'",
        set_pins(PinReason.VARIABLE, may_write=True, unreplayable=Unreplayable.GLOBAL),
    ),
    ("SET ROLE r", set_pins(PinReason.ROLE)),
    ("SET PASSWORD = PASSWORD('x')", sets(commits=True, may_write=True, unreplayable=Unreplayable.DDL)),
    ("SET DEFAULT ROLE r", sets(commits=True, may_write=True, unreplayable=Unreplayable.DDL)),
    ("SET", unclassified(Kind.SET)),
    ("SET time_zone", set_pins(PinReason.UNCLASSIFIED)),
    ("SET time_zone='UTC',", set_pins(PinReason.UNCLASSIFIED, carries=(("time_zone", "'UTC'"),))),
]

OTHERS = [
    ("", NOTHING),
    (";", NOTHING),
    ("-- nothing", NOTHING),
    ("/* nothing */", NOTHING),
    ("USE shop", Statement(kind=Kind.USE, schema="shop")),
    ("use `My Shop`;", Statement(kind=Kind.USE, schema="My Shop")),
    ("USE", unclassified(Kind.USE)),
    ("KILL 5", kill(False, 5)),
    ("KILL CONNECTION 5", kill(False, 5)),
    ("KILL QUERY 17;", kill(True, 17)),
    ("KILL SOFT QUERY 17", kill(True, 17)),
    ("KILL USER a", kill(False, None)),
    ("KILL @a", kill(False, None)),
    ("KILL CONNECTION_ID()", kill(False, None)),
    ("SHOW WARNINGS", show(asks=Asks.WARNINGS)),
    ("SHOW COUNT(*) WARNINGS", show(asks=Asks.WARNINGS)),
    ("SHOW ERRORS LIMIT 1", show(asks=Asks.WARNINGS)),
    ("SHOW VARIABLES LIKE 'sql_mode'", show(sees_guard=True)),
    ("SHOW SESSION VARIABLES", show(sees_guard=True)),
    ("SHOW GLOBAL STATUS LIKE 'wsrep%'", show()),
    ("SHOW TABLES", show()),
    ("SHOW FULL TABLES FROM `s` LIKE 't%'", show()),
    ("SHOW DATABASES", show()),
    ("SHOW CREATE TABLE t", show()),
    ("SHOW FULL COLUMNS FROM t", show()),
    ("SHOW INDEX FROM t", show()),
    ("SHOW TABLE STATUS", show()),
    ("SHOW ENGINE INNODB STATUS", show()),
    ("SHOW COLLATION WHERE Charset = 'utf8mb4'", show()),
    ("SHOW FULL PROCESSLIST", show(connection_id=True)),
    ("SHOW TABLES WHERE f(1)", unknown(Kind.SHOW)),
    (
        "SHOW TABLES WHERE GET_LOCK('a', 1)",
        show(pins=PinReason.GET_LOCK, unreplayable=Unreplayable.GET_LOCK, may_write=True),
    ),
    ("DESCRIBE t", show()),
    ("DESC s.t", show()),
    ("EXPLAIN SELECT * FROM t", show("t")),
    ("EXPLAIN FORMAT=JSON SELECT * FROM t WHERE a = 1", show("t")),
    ("EXPLAIN UPDATE t SET a = 1", show("t")),
    ("EXPLAIN SELECT f(1)", unknown(Kind.SHOW)),
    ("EXPLAIN FOR CONNECTION 5", show(connection_id=True)),
    ("EXPLAIN ANALYZE SELECT * FROM t", read("t")),
    ("ANALYZE SELECT * FROM t", read("t")),
    ("ANALYZE FORMAT=JSON DELETE FROM t", write("t")),
    ("HELP 'x'", show()),
    ("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(10), KEY (b))", ddl("t")),
    ("CREATE TABLE IF NOT EXISTS s.t (a INT)", ddl("s.t")),
    ("CREATE TABLE t AS SELECT * FROM u", ddl("t")),
    ("CREATE TABLE t AS SELECT @a := 1", ddl("t", pins=PinReason.USER_VARIABLE)),
    ("CREATE TABLE t AS SELECT f(1)", ddl("t", pins=PinReason.UNCLASSIFIED)),
    ("CREATE TABLE t AS VALUES (f(1))", ddl("t", pins=PinReason.UNCLASSIFIED)),
    ("CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (5))", ddl("t")),
    ("CREATE INDEX i ON t (a)", ddl("t")),
    ("CREATE UNIQUE INDEX i ON s.t (a)", ddl("s.t")),
    ("CREATE VIEW v AS SELECT f(1)", ddl("v")),
    ("CREATE DATABASE s", ddl()),
    ("CREATE PROCEDURE p() BEGIN SET @a := 1; SELECT 1; END", ddl()),
    ("CREATE DEFINER=`a`@`b` TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; END", ddl()),
    ("CREATE USER 'a'@'%' IDENTIFIED BY 'x'", ddl()),
    ("ALTER TABLE t ADD COLUMN b INT DEFAULT 0", ddl("t")),
    ("DROP TABLE IF EXISTS t, s.u", ddl("t", "s.u")),
    ("TRUNCATE TABLE t", ddl("t")),
    ("TRUNCATE t", ddl("t")),
    ("RENAME TABLE a TO b, c TO d", ddl("a", "b", "c", "d")),
    ("GRANT SELECT ON *.* TO a", ddl()),
    ("ANALYZE TABLE t", admin()),
    ("OPTIMIZE TABLE t", admin()),
    ("CHECK TABLE t", admin()),
    ("FLUSH PRIVILEGES", admin()),
    ("FLUSH TABLES", admin()),
    ("START SLAVE", admin()),
    ("STOP SLAVE", admin()),
    ("LOAD INDEX INTO CACHE t", admin()),
    (
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE s.t (a, b)",
        Statement(kind=Kind.LOAD, tables=("s.t",), may_write=True, unreplayable=Unreplayable.LOAD),
    ),
    (
        "LOAD DATA INFILE 'x' INTO TABLE t (a, @b) SET c = @b",
        Statement(
            kind=Kind.LOAD, tables=("t",), pins=PinReason.USER_VARIABLE, may_write=True, unreplayable=Unreplayable.LOAD
        ),
    ),
    (
        "LOAD DATA INFILE 'x' INTO TABLE t SET c = f(1)",
        Statement(
            kind=Kind.LOAD, tables=("t",), pins=PinReason.UNCLASSIFIED, may_write=True, unreplayable=Unreplayable.LOAD
        ),
    ),
    ("SELECT 1; SELECT 2", Statement(kind=Kind.MULTI)),
    ("SELECT * FROM t; SELECT * FROM u", Statement(kind=Kind.MULTI, tables=("t",))),
    (
        "UPDATE t SET a = 1; UPDATE u SET a = 1;",
        Statement(kind=Kind.MULTI, tables=("t",), may_write=True, unreplayable=Unreplayable.MULTI),
    ),
    (
        "BEGIN; UPDATE t SET a = 1; COMMIT",
        Statement(kind=Kind.MULTI, commits=True, may_write=True, unreplayable=Unreplayable.MULTI),
    ),
    (
        "SET time_zone='UTC'; SELECT 1; SET @a = 2, time_zone='SYSTEM'",
        Statement(kind=Kind.MULTI, carries=(("time_zone", "'UTC'"), ("@a", "2"), ("time_zone", "'SYSTEM'"))),
    ),
    ("SET time_zone='UTC'; SET sql_mode='ANSI'", Statement(kind=Kind.MULTI, pins=PinReason.VARIABLE)),
    ("SET NAMES utf8mb4; SELECT 1", Statement(kind=Kind.MULTI, pins=PinReason.VARIABLE)),
    (
        "SET @a = 1; SET @b = RAND()",
        Statement(kind=Kind.MULTI, pins=PinReason.USER_VARIABLE, unreplayable=Unreplayable.USER_VARIABLE),
    ),
    ("SET TRANSACTION READ ONLY; SELECT 1", Statement(kind=Kind.MULTI, pins=PinReason.VARIABLE)),
    ("USE s; SELECT 1", Statement(kind=Kind.MULTI, pins=PinReason.VARIABLE)),
    ("SELECT ';'; -- ;", read()),
]

TABLE = [*READS, *WRITES, *LEAVES_SOMETHING, *BOUNDARIES, *SETS, *OTHERS]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize(("text", "facts"), TABLE)
def test_facts(classifier: Classifier, text: str, facts: Statement) -> None:
    assert without_names(classifier.classify(text.encode("latin-1"))) == facts


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        (b"SET tx_isolation='READ-COMMITTED'", (ISOLATION, "READ COMMITTED")),
        (b"SET autocommit=1,tx_read_only=1", (ACCESS, "READ ONLY")),
    ],
)
def test_characteristics_without_a_scope_are_the_sessions_on_mariadb_alone(text: bytes, pair: tuple[str, str]) -> None:
    assert Classifier(engine="mariadb").classify(text).carries[-1:] == (pair,)
    for engine in ("mysql", None):
        assert Classifier(engine=engine).classify(text).pins is PinReason.VARIABLE
    assert Classifier(engine="mariadb").classify(text.replace(b"tx_", b"@@tx_")).pins is PinReason.VARIABLE


def without_names(facts: Statement) -> Statement:
    """All but what test_pins.py is about."""
    return replace(facts, held=(), frees=(), result=None)


@pytest.mark.parametrize(("text", "facts"), TABLE)
def test_the_text_decides_and_not_what_was_seen_before(text: str, facts: Statement) -> None:
    fresh = Classifier()
    assert without_names(fresh.classify(text.encode("latin-1"))) == facts
    assert fresh.classify(text.encode("latin-1") + b" ") == fresh.classify(text.encode("latin-1"))


def test_a_name_is_known_as_built_in_only_on_the_engine_that_has_it() -> None:
    for text, at_home in ((b"SELECT UUID_TO_BIN(a) FROM t", "mysql"), (b"SELECT NVL(a, 1) FROM t", "mariadb")):
        for engine in ("mysql", "mariadb", None):
            pins = Classifier(engine=engine).classify(text).pins
            assert pins is (None if engine == at_home else PinReason.UNCLASSIFIED)


class TestModes:
    def test_ansi_quotes_makes_names_of_double_quotes(self) -> None:
        classifier = Classifier()
        text = b'SELECT "f"(1), a FROM "T"'
        assert classifier.classify(text, Modes.ANSI_QUOTES) == unknown(Kind.READ, "t")
        assert classifier.classify(text) == unclassified(Kind.READ)
        assert classifier.classify(b'SELECT a FROM "T"', Modes.ANSI_QUOTES) == read("t")

    def test_no_backslash_escapes_ends_a_string_at_the_first_quote(self) -> None:
        classifier = Classifier()
        text = b"SELECT '\\', f(1), '\\'"
        assert classifier.classify(text, Modes.NO_BACKSLASH_ESCAPES) == unknown(Kind.READ)
        assert classifier.classify(text) == unclassified()

    def test_of_a_foreign_grammar_only_the_first_word_is_believed(self) -> None:
        classifier = Classifier()
        assert classifier.classify(b"INSERT INTO t VALUES (1)", Modes.FOREIGN) == unclassified(Kind.WRITE)
        assert classifier.classify(b"SELECT 1", Modes.FOREIGN) == unclassified()
        assert classifier.classify(b"COMMIT", Modes.FOREIGN) == unclassified()

    def test_the_same_text_is_remembered_for_each_mode(self) -> None:
        classifier = Classifier()
        for _ in range(2):
            assert classifier.classify(b'SELECT "a(1)"') == read()
            assert classifier.classify(b'SELECT "a"(1)', Modes.ANSI_QUOTES) == unknown(Kind.READ)


class TestLongTexts:
    def test_rows_of_literals_fold_to_one(self) -> None:
        rows = b",".join(b"(%d, 'it''s %d', NULL, DEFAULT)" % (n, n) for n in range(5000))
        assert Classifier().classify(b"INSERT INTO t VALUES " + rows) == write("t")

    def test_a_long_string_is_one_literal(self) -> None:
        assert Classifier().classify(b"INSERT INTO t VALUES ('" + b"x\\'" * 40000 + b"')") == one("t")
        assert Classifier().classify(b"UPDATE t SET a = '" + b"x" * 200000 + b"' WHERE id = 3") == write("t")

    def test_a_long_list_is_one_list(self) -> None:
        ids = b",".join(b"%d" % n for n in range(20000))
        assert Classifier().classify(b"SELECT a FROM t WHERE id IN (" + ids + b")") == read("t")

    def test_beyond_the_limit_only_the_first_word_is_believed(self) -> None:
        text = b"INSERT INTO t VALUES ('" + b"x" * LONGEST_READ + b"')"
        assert Classifier().classify(text) == unclassified(Kind.WRITE)
        assert Classifier().classify(b"SELECT '" + b"x" * LONGEST_READ + b"'") == unclassified()

    def test_a_set_is_not_known_by_its_form(self) -> None:
        assert Classifier().classify(b"SET time_zone = '" + b"x" * 5000 + b"'") == sets(
            ("time_zone", f"'{'x' * 5000}'")
        )
        assert Classifier().classify(b"SET time_zone = '" + b"x" * 100000 + b"'") == unclassified()

    @pytest.mark.parametrize(
        "text",
        [
            "SELECT " + "(" * 3000 + "1" + ")" * 3000,
            "SELECT " + "NOT " * 3000 + "1",
            "SELECT " + "- " * 3000 + "1",
            "SELECT 1 FROM t" + " JOIN t" * 40,
            "SELECT 1 FROM t, u WHERE " + " AND ".join(["a = b"] * 4000),
        ],
    )
    def test_what_would_exhaust_the_parser_is_not_shown_to_it(self, text: str) -> None:
        assert Classifier().classify(text.encode()) == unclassified(Kind.READ)


class TestMemory:
    def test_of_values_that_differ_in_literals_the_form_is_parsed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        classifier = Classifier()
        first = classifier.classify(b"SELECT a FROM t WHERE id = 1")
        monkeypatch.setattr("router.parse.tables", lambda tokens: pytest.fail("parsed again"))
        assert classifier.classify(b"SELECT a FROM t  WHERE id = 2 /* x */") is first

    def test_set_use_and_kill_are_told_apart_by_their_literals(self) -> None:
        classifier = Classifier()
        assert classifier.classify(b"SET autocommit=0").carries == (("autocommit", "0"),)
        assert classifier.classify(b"SET autocommit=1").carries == (("autocommit", "1"),)
        assert classifier.classify(b"KILL 1").kill == (False, 1)
        assert classifier.classify(b"KILL 2").kill == (False, 2)
        assert classifier.classify(b"USE a; SELECT 1").kind is Kind.MULTI

    def test_what_is_kept_is_bounded_by_number_and_by_bytes(self) -> None:
        kept = Generations(10, 1000)
        for number in range(100):
            kept.put(b"%d" % number, NOTHING)
            assert len(kept) <= 10
        for number in range(100):
            kept.put(b"x" * 100 + b"%d" % number, NOTHING)
            assert sum(map(len, [*kept.young, *kept.old])) <= 1000

    def test_what_is_asked_for_stays(self) -> None:
        kept = Generations(10, 100000)
        kept.put(b"wanted", NOTHING)
        for number in range(100):
            kept.put(b"%d" % number, NOTHING)
            assert kept.get(b"wanted") is NOTHING
        assert kept.get(b"5") is None


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("INSERT INTO t (a, `B`) VALUES (1, 2)", ("a", "b")),
        ("INSERT t(a) VALUE (1), (2)", ("a",)),
        ("REPLACE INTO shop.t (t.a, shop.t.b) SELECT 1, 2", ()),
        ("REPLACE INTO shop.t (t.a, b) VALUES (1, 2)", ("a", "b")),
        ("INSERT INTO t (a, b) SELECT c, d FROM u", ("a", "b")),
        ("INSERT INTO t SET a = 1, t.b := (c = 2), d=IF(e = 1, f, g)", ("a", "b", "d")),
        ("INSERT INTO t (a) VALUES (1) RETURNING id", ("a",)),
        ("INSERT INTO t VALUES (1, 2)", ()),
        ("INSERT INTO t () VALUES ()", ()),
        ("INSERT INTO t (SELECT a FROM u)", ()),
        ("INSERT INTO t (TABLE u)", ()),
        ("INSERT INTO t (VALUES ROW(1), ROW(2))", ()),
        ("INSERT INTO t PARTITION (p0) (a) VALUES (1)", ()),
        ("INSERT IGNORE INTO t (a) VALUES (1)", ()),
        ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2", ()),
        ("INSERT DELAYED INTO t (a) VALUES (1)", ()),
        ("UPDATE t SET a = 1", ()),
        ("INSERT INTO t (a) VALUES (1); INSERT INTO t (a) VALUES (2)", ()),
        ("INSERT INTO t (a", ()),
        ("INSERT INTO t (a,", ()),
        ("INSERT INTO t", ()),
    ],
)
def test_the_columns_that_an_insert_names(text: str, gives: tuple[str, ...]) -> None:
    assert Classifier().classify(text.encode()).gives == gives
