"""What a backend must be like for each kind of statement, by where the session's transaction stands."""

import pytest

from router.facts import Begin, Kind
from router.plan import (
    ANYWHERE,
    FOR_REAL,
    GUARDED,
    LATE,
    LATE_UNGUARDED,
    UNGUARDED,
    Opening,
    Plan,
    is_read_only,
    keeps_one_shot,
    may_begin_late,
    opening_text,
    plan,
    plan_prepare,
)
from router.session import State
from router.statements import Classifier
from router.transaction import Stage, Transaction
from router.variables import ACCESS

classifier = Classifier(engine="mariadb")

# A text; with no transaction, after a BEGIN that we answered, in one that is open.
# fmt: off
PLANS: list[tuple[str, Plan, Plan, Plan]] = [
    ("SELECT c FROM t",                      ANYWHERE,  LATE,     ANYWHERE),
    ("SELECT 1",                             ANYWHERE,  LATE,     ANYWHERE),
    ("SELECT c FROM t FOR UPDATE",           UNGUARDED, LATE,     ANYWHERE),
    ("INSERT INTO t VALUES (1)",             UNGUARDED, LATE,     ANYWHERE),
    ("UPDATE t SET c = 1",                   UNGUARDED, LATE,     ANYWHERE),
    ("REPLACE INTO t VALUES (1)",            UNGUARDED, LATE,     ANYWHERE),
    ("DELETE FROM t",                        UNGUARDED, LATE,     ANYWHERE),
    ("SELECT f(c) FROM t",                   UNGUARDED, FOR_REAL, UNGUARDED),  # an unknown function may do anything
    ("SELECT @@tx_read_only",                UNGUARDED, FOR_REAL, UNGUARDED),  # it would see the guard
    ("SELECT @@transaction_read_only",       UNGUARDED, FOR_REAL, UNGUARDED),
    ("SHOW VARIABLES",                       UNGUARDED, FOR_REAL, UNGUARDED),
    ("SELECT GET_LOCK('a', 1)",              UNGUARDED, FOR_REAL, UNGUARDED),  # it pins: the backend stays for longer
    ("SELECT c INTO @a FROM t",              UNGUARDED, FOR_REAL, UNGUARDED),
    ("SHOW TABLES",                          UNGUARDED, FOR_REAL, ANYWHERE),
    ("SHOW WARNINGS",                        ANYWHERE,  FOR_REAL, ANYWHERE),  # to unguard clears them on MySQL
    ("SHOW COUNT(*) ERRORS",                 ANYWHERE,  FOR_REAL, ANYWHERE),
    ("GET DIAGNOSTICS @n = NUMBER",          ANYWHERE,  FOR_REAL, UNGUARDED),
    ("SAVEPOINT a",                          UNGUARDED, FOR_REAL, ANYWHERE),
    ("ROLLBACK TO a",                        UNGUARDED, FOR_REAL, ANYWHERE),
    ("USE app",                              UNGUARDED, FOR_REAL, ANYWHERE),
    ("COMMIT",                               UNGUARDED, FOR_REAL, ANYWHERE),  # it ends what the opening began
    ("ROLLBACK",                             UNGUARDED, FOR_REAL, ANYWHERE),
    ("COMMIT AND CHAIN",                     UNGUARDED, FOR_REAL, UNGUARDED),
    ("ROLLBACK RELEASE",                     UNGUARDED, FOR_REAL, UNGUARDED),
    ("SET sql_mode = ''",                    UNGUARDED, FOR_REAL, UNGUARDED),
    ("SET @a = 1",                           UNGUARDED, FOR_REAL, UNGUARDED),
    ("CREATE TABLE x (a INT)",               UNGUARDED, FOR_REAL, UNGUARDED),
    ("CREATE TEMPORARY TABLE x (a INT)",     UNGUARDED, FOR_REAL, UNGUARDED),
    ("CALL p()",                             UNGUARDED, FOR_REAL, UNGUARDED),
    ("LOCK TABLES t READ",                   UNGUARDED, FOR_REAL, UNGUARDED),
    ("START TRANSACTION WITH CONSISTENT SNAPSHOT", UNGUARDED, FOR_REAL, UNGUARDED),
    ("DO 1",                                 UNGUARDED, FOR_REAL, UNGUARDED),
    ("no SQL at all",                        UNGUARDED, FOR_REAL, UNGUARDED),
]
# fmt: on


def standing(stage: Stage, begin: Begin | None = None) -> Transaction:
    transaction = Transaction()
    transaction.stage = stage
    transaction.begin = begin
    return transaction


@pytest.mark.parametrize(("sql", "wanted"), [(row[0], row[1]) for row in PLANS])
def test_with_no_transaction(sql: str, wanted: Plan) -> None:
    assert plan(classifier.classify(sql.encode()), State(), standing(Stage.NONE)) == wanted


@pytest.mark.parametrize(("sql", "wanted"), [(row[0], row[2]) for row in PLANS])
def test_as_the_first_of_a_transaction(sql: str, wanted: Plan) -> None:
    assert plan(classifier.classify(sql.encode()), State(), standing(Stage.BEGUN, Begin())) == wanted


@pytest.mark.parametrize(("sql", "wanted"), [(row[0], row[3]) for row in PLANS])
def test_in_a_transaction(sql: str, wanted: Plan) -> None:
    assert plan(classifier.classify(sql.encode()), State(), standing(Stage.OPEN, Begin())) == wanted


@pytest.mark.parametrize("sql", [row[0] for row in PLANS])
def test_with_autocommit_off_nothing_is_guarded(sql: str) -> None:
    """Nothing commits by itself there; and the server's own beginning needs no opening of ours."""
    off = State(b"", (("autocommit", "0"),))
    facts = classifier.classify(sql.encode())
    assert plan(facts, off, standing(Stage.NONE)) == UNGUARDED
    assert plan(facts, off, standing(Stage.OPEN)) == ANYWHERE
    assert plan(facts, off, standing(Stage.BEGUN, Begin())) in (LATE_UNGUARDED, FOR_REAL)


@pytest.mark.parametrize("sql", [row[0] for row in PLANS if row[2] == LATE])
@pytest.mark.parametrize("state", [State(b"", (("autocommit", "0"),)), State(b"", ((ACCESS, "READ ONLY"),))])
def test_a_session_that_guards_itself_needs_no_guard(sql: str, state: State) -> None:
    assert plan(classifier.classify(sql.encode()), state, standing(Stage.BEGUN, Begin())) == LATE_UNGUARDED


@pytest.mark.parametrize("sql", [row[0] for row in PLANS])
def test_no_statement_is_sent_behind_a_begin_that_could_be_refused_without_it(sql: str) -> None:
    """Pipelined only where nothing could commit by itself."""
    facts = classifier.classify(sql.encode())
    for stage in Stage:
        wanted = plan(facts, State(), standing(stage, Begin() if stage is not Stage.NONE else None))
        if wanted.opening is Opening.PIPELINED:
            assert wanted.guarded
            assert facts.kind in (Kind.READ, Kind.LOCKING_READ, Kind.WRITE)
            assert not facts.commits


@pytest.mark.parametrize("sql", [row[0] for row in PLANS])
def test_a_set_transaction_for_the_next_one_is_not_guarded_away(sql: str) -> None:
    """It would be used up by the opening, or the guard would decide in its place."""
    transaction = standing(Stage.BEGUN, Begin())
    transaction.one_shot = (b"SET TRANSACTION READ ONLY",)
    assert plan(classifier.classify(sql.encode()), State(), transaction) == FOR_REAL
    transaction.stage = Stage.NONE
    assert plan(classifier.classify(sql.encode()), State(), transaction) == UNGUARDED


# -- how it is opened -------------------------------------------------------------------------------------------------

READ_ONLY = State(b"", ((ACCESS, "READ ONLY"),))


@pytest.mark.parametrize(
    ("begin", "state", "text", "read_only"),
    [
        (Begin(), State(), "START TRANSACTION READ WRITE", False),
        (Begin(read_write=True), State(), "START TRANSACTION READ WRITE", False),
        (Begin(read_only=True), State(), "START TRANSACTION READ ONLY", True),
        (Begin(), READ_ONLY, "START TRANSACTION", True),
        (Begin(read_write=True), READ_ONLY, "START TRANSACTION READ WRITE", False),
        (Begin(read_only=True), READ_ONLY, "START TRANSACTION READ ONLY", True),
    ],
)
def test_the_opening_is_what_the_clients_begin_meant(begin: Begin, state: State, text: str, read_only: bool) -> None:
    assert opening_text(begin, state) == text.encode()
    assert is_read_only(begin, state, Transaction()) is read_only


def test_set_transaction_counts_before_the_sessions_default_and_behind_begin_itself() -> None:
    transaction = Transaction()
    transaction.read_only = False
    assert not is_read_only(Begin(), READ_ONLY, transaction)
    transaction.read_only = True
    assert is_read_only(Begin(), State(), transaction)
    assert not is_read_only(Begin(read_write=True), State(), transaction)


def test_only_a_snapshot_has_to_be_taken_at_once() -> None:
    assert may_begin_late(Begin())
    assert may_begin_late(Begin(read_only=True))
    assert not may_begin_late(Begin(consistent_snapshot=True))


READS = Begin(read_only=True)
WRITES = Begin(read_write=True)


@pytest.mark.parametrize(
    ("sql", "begin", "next_reads", "told", "wanted"),
    [
        ("DELETE FROM t", None, None, False, UNGUARDED),
        ("DELETE FROM t", None, True, False, GUARDED),  # SET TRANSACTION READ ONLY: to be refused
        ("DELETE FROM t", None, True, True, UNGUARDED),  # which the node does by itself
        ("DELETE FROM t", Begin(), None, False, UNGUARDED),
        ("DELETE FROM t", Begin(), True, False, FOR_REAL),
        ("DELETE FROM t", READS, None, False, FOR_REAL),
        ("DELETE FROM t", WRITES, True, False, UNGUARDED),
        ("DELETE FROM t", WRITES, True, True, FOR_REAL),  # there the READ ONLY still waits: the BEGIN ends that
        ("SELECT c FROM t", WRITES, True, True, UNGUARDED),
        ("SELECT c FROM t", READS, None, False, UNGUARDED),
    ],
)
def test_a_write_is_prepared_where_it_may_be_run(
    sql: str, begin: Begin | None, next_reads: bool | None, told: bool, wanted: Plan
) -> None:
    transaction = standing(Stage.BEGUN if begin else Stage.NONE, begin)
    transaction.read_only = next_reads
    assert plan_prepare(classifier.classify(sql.encode()), State(), transaction, told=told) == wanted


@pytest.mark.parametrize(
    ("sql", "keeps"),
    [
        ("SELECT 1", True),
        ("SELECT c FROM t", False),
        ("SELECT table_name FROM information_schema.tables", True),
        ("SELECT unknown(1)", False),  # only the server knows whether that begins one
        ("SET sql_mode = ''", True),
        ("SET @a = (SELECT c FROM t)", False),
        ("DO unknown(1)", False),
        ("PREPARE p FROM 'SELECT 1'", True),
        ("INSERT INTO t VALUES (1)", False),
    ],
)
def test_a_set_transaction_waits_on_behind_what_surely_begins_none(sql: str, keeps: bool) -> None:
    assert keeps_one_shot(classifier.classify(sql.encode(), 0)) is keeps
