"""The table of outcomes, row by row, and what must hold for all of it."""

from collections.abc import Iterator
from itertools import product

import pytest

from router.outcomes import (
    ANY_CODE,
    AURORA,
    GALERA,
    GROUP,
    ROWS,
    TIDB,
    NodeSign,
    Outcome,
    Phase,
    Row,
    Verdict,
    before_tables,
    judge,
    lost,
    undefined,
    unread,
)

READ_ONLY = "The MariaDB server is running with the --read-only option so it cannot execute this statement"
PRIMARY = 'Got error 6 "No such device or address" during COMMIT (provider status: Not connected to Primary Component)'
CERTIFIED_AWAY = "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT"
IDLE = "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout."
NOT_READY = "WSREP has not yet prepared node for application use"

C, P, A, S, K = Phase.CONNECT, Phase.SETUP, Phase.AUTOCOMMIT, Phase.STATEMENT, Phase.COMMIT

# What happens, in short:
#   again     not executed: run it again        elsewhere  the same, on another node, and close the backend
#   conflict  rolled back, replay               replay     rolled back, replay on a new backend
#   moved     rolled back, replay elsewhere     unknown    nobody knows; close the backend
#   error     the client's own error; the transaction is as it was
#   ended     the client's own error; the transaction is rolled back
#   hung-up   the client's own error; the backend is gone
SHORT = {
    # outcome, retry, move, close
    "again": (Outcome.NOT_EXECUTED, True, False, True),
    "elsewhere": (Outcome.NOT_EXECUTED, True, True, True),
    "refused": (Outcome.NOT_EXECUTED, False, False, True),
    "conflict": (Outcome.ROLLED_BACK, True, False, False),
    "replay": (Outcome.ROLLED_BACK, True, False, True),
    "moved": (Outcome.ROLLED_BACK, True, True, True),
    "unknown": (Outcome.UNKNOWN, False, False, True),
    "error": (Outcome.STATEMENT_ROLLED_BACK, False, False, False),
    "ended": (Outcome.ROLLED_BACK, False, False, False),
    "hung-up": (Outcome.ROLLED_BACK, False, False, True),
}


def short(verdict: Verdict) -> str:
    found = (verdict.outcome, verdict.retry, verdict.move, verdict.close_backend)
    return next(name for name, value in SHORT.items() if value == found)


# code, message, phase, what happens, sign, reason. For autocommit: a write; reads are further down.
MATRIX = [
    # nobody there
    (2002, "", C, "elsewhere", NodeSign.DOWN, "unreachable"),
    (2003, "Can't connect to MySQL server", C, "elsewhere", NodeSign.DOWN, "unreachable"),
    (2005, "", C, "elsewhere", NodeSign.DOWN, "unreachable"),
    (2006, "", C, "elsewhere", NodeSign.SUSPECT, "lost"),
    (2013, "", C, "elsewhere", NodeSign.SUSPECT, "lost"),
    # somebody who does not let us in
    (1040, "Too many connections", C, "elsewhere", NodeSign.FULL, "full"),
    (1203, "", C, "elsewhere", NodeSign.FULL, "full"),
    (1226, "", C, "elsewhere", NodeSign.FULL, "full"),
    (1129, "", C, "elsewhere", NodeSign.DOWN, "access"),
    (1130, "", C, "elsewhere", NodeSign.DOWN, "access"),
    (2026, "", C, "elsewhere", NodeSign.DOWN, "access"),
    (1045, "Access denied", C, "elsewhere", NodeSign.FULL, "access"),
    (1698, "Access denied", C, "refused", NodeSign.NONE, "refused"),
    (1044, "", C, "refused", NodeSign.NONE, "refused"),
    (1049, "", C, "refused", NodeSign.NONE, "refused"),
    (1251, "", C, "elsewhere", NodeSign.FULL, "refused"),
    # going
    *[(code, "", C, "elsewhere", NodeSign.DRAINING, "shutdown") for code in (1053, 1077, 1078, 1079, 1080)],
    *[(code, "", P, "elsewhere", NodeSign.DRAINING, "shutdown") for code in (1053, 1077, 1078, 1079, 1080)],
    *[(code, "", S, "moved", NodeSign.DRAINING, "shutdown") for code in (1053, 1077, 1078, 1079, 1080)],
    *[(code, "", A, "unknown", NodeSign.DRAINING, "shutdown") for code in (1053, 1077, 1078, 1079, 1080)],
    *[(code, "", K, "unknown", NodeSign.DRAINING, "shutdown") for code in (1053, 1077, 1078, 1079, 1080)],
    *[(code, "", C, "elsewhere", NodeSign.SUSPECT, "lost") for code in (1158, 1159, 1160, 1161)],
    *[(code, "", S, "moved", NodeSign.SUSPECT, "lost") for code in (1158, 1159, 1160, 1161)],
    *[(code, "", A, "unknown", NodeSign.SUSPECT, "lost") for code in (1158, 1159, 1160, 1161)],
    *[(code, "", K, "unknown", NodeSign.SUSPECT, "lost") for code in (1158, 1159, 1160, 1161)],
    *[(4031, IDLE, phase, "again", NodeSign.NONE, "idle-timeout") for phase in (P, A, S, K)],
    (4031, "Referenced trigger 't' does not exist", S, "error", NodeSign.NONE, "error"),  # MariaDB's meaning
    # not part of the cluster, or no writer
    *[(1047, NOT_READY, phase, "elsewhere", NodeSign.DOWN, "not-ready") for phase in (C, P, A, S, K)],
    (1047, "Unknown command", S, "error", NodeSign.NONE, "error"),
    *[(1290, READ_ONLY, phase, "elsewhere", NodeSign.NOT_WRITER, "read-only") for phase in (P, A, S, K)],
    (1290, "running with the --super-read-only option", K, "elsewhere", NodeSign.NOT_WRITER, "read-only"),
    (1290, "running with the --innodb-read-only option", A, "elsewhere", NodeSign.NOT_WRITER, "read-only"),
    (1290, "running with the --secure-file-priv option", A, "error", NodeSign.NONE, "error"),
    (1836, "", S, "elsewhere", NodeSign.NOT_WRITER, "read-only"),
    (1874, "", S, "elsewhere", NodeSign.NOT_WRITER, "read-only"),
    *[(code, "", K, "elsewhere", NodeSign.DOWN, "not-ready") for code in (3032, 3168, 3781, 3782, 3783, 3797, 3799)],
    # conflicts
    (1213, "Deadlock found", P, "again", NodeSign.NONE, "conflict"),
    *[(1213, "Deadlock found", phase, "conflict", NodeSign.NONE, "conflict") for phase in (A, S, K)],
    *[(code, "", phase, "conflict", NodeSign.NONE, "conflict") for code in (1020, 1614, 3101) for phase in (A, S, K)],
    (1030, "Got error 153 - 'No savepoint with that name' from storage engine", S, "replay", NodeSign.NONE, "conflict"),
    (1181, "Got error 153 - 'No savepoint with that name' during ROLLBACK", S, "replay", NodeSign.NONE, "conflict"),
    (1030, "Got error 28 from storage engine", S, "error", NodeSign.NONE, "error"),
    (1180, CERTIFIED_AWAY, K, "conflict", NodeSign.NONE, "conflict"),
    (1180, CERTIFIED_AWAY, A, "conflict", NodeSign.NONE, "conflict"),
    (1412, "Table definition has changed", S, "replay", NodeSign.NONE, "definition-changed"),
    # commits that failed on their way
    (1180, PRIMARY, K, "unknown", NodeSign.SUSPECT, "commit-failed"),
    (1180, PRIMARY, A, "unknown", NodeSign.SUSPECT, "commit-failed"),
    (1180, PRIMARY, S, "unknown", NodeSign.SUSPECT, "commit-failed"),
    (1180, 'Got error 90 "Message too long" during COMMIT', K, "ended", NodeSign.NONE, "too-big"),
    (
        3100,
        "Error on observer while running replication hook 'before_commit'.",
        K,
        "unknown",
        NodeSign.SUSPECT,
        "commit-failed",
    ),
    # waits
    (1205, "Lock wait timeout exceeded", P, "elsewhere", NodeSign.FULL, "causal-wait"),
    (1205, "Lock wait timeout exceeded", S, "error", NodeSign.NONE, "lock-wait"),
    (1205, "Lock wait timeout exceeded", A, "error", NodeSign.NONE, "lock-wait"),
    # somebody's wish
    *[(1317, "", phase, "error", NodeSign.NONE, "killed") for phase in (A, S)],
    (1317, "", K, "hung-up", NodeSign.NONE, "killed"),
    *[(code, "", phase, "error", NodeSign.NONE, "timed-out") for code in (3024, 1969) for phase in (A, S)],
    *[(code, "", K, "hung-up", NodeSign.NONE, "timed-out") for code in (3024, 1969)],
    *[(code, "", phase, "hung-up", NodeSign.NONE, "killed") for code in (1927, 3169) for phase in (A, S, K)],
    # the client's own
    (1105, "Maximum writeset size exceeded by 12", K, "ended", NodeSign.NONE, "too-big"),
    (1105, "Maximum writeset size exceeded by 12", S, "error", NodeSign.NONE, "too-big"),
    (1105, "Unknown error", S, "error", NodeSign.NONE, "error"),
    (1153, "", S, "hung-up", NodeSign.NONE, "too-big"),
    (1197, "", S, "error", NodeSign.NONE, "too-big"),
    (1792, "", S, "error", NodeSign.NONE, "read-only-transaction"),
    (1062, "Duplicate entry", S, "error", NodeSign.NONE, "error"),
    (1062, "Duplicate entry", A, "error", NodeSign.NONE, "error"),
    (1064, "You have an error in your SQL syntax", K, "error", NodeSign.NONE, "error"),
    (1231, "Variable can't be set", P, "refused", NodeSign.NONE, "setup"),
]


@pytest.mark.parametrize("flavor", [GALERA, GROUP, AURORA, TIDB])
@pytest.mark.parametrize(("code", "message", "phase", "happens", "sign", "reason"), MATRIX)
def test_matrix(code: int, message: str, phase: Phase, happens: str, sign: NodeSign, reason: str, flavor: str) -> None:
    verdict = judge(code, message, phase, flavor=flavor)
    assert (short(verdict), verdict.node_sign, verdict.reason) == (happens, sign, reason)


# How the same things show in each kind of cluster, in its servers' own words: code, message, phase, what happens.
SHOWS = {
    GALERA: [
        (1213, "Deadlock found when trying to get lock; try restarting transaction", K, "conflict"),
        (1020, "Record has changed since last read in table 't'", S, "conflict"),
        (1047, NOT_READY, K, "elsewhere"),
        (1180, PRIMARY, K, "unknown"),
        (1180, 'Got error 90 "Message too long" during COMMIT', K, "ended"),
        (1290, READ_ONLY, S, "elsewhere"),
        (1105, "Maximum writeset size exceeded by 12", A, "ended"),
    ],
    GROUP: [
        (3101, "Plugin instructed the server to rollback the current transaction.", K, "conflict"),
        (3101, "Plugin instructed the server to rollback the current transaction.", A, "conflict"),
        (1180, CERTIFIED_AWAY, K, "conflict"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", S, "conflict"),
        (1181, "Got error 153 - 'No savepoint with that name' during ROLLBACK", S, "replay"),
        (3100, "Error on observer while running replication hook 'before_commit'.", K, "unknown"),
        (3100, "Error on observer while running replication hook 'before_begin'.", P, "elsewhere"),
        (1290, "The MySQL server is running with the --super-read-only option so it cannot", K, "elsewhere"),
        (3797, "Cannot begin a transaction while the member is leaving the group", P, "elsewhere"),
        (1317, "Query execution was interrupted", K, "hung-up"),
        (1053, "Server shutdown in progress", K, "unknown"),
    ],
    AURORA: [
        (1213, "Deadlock found when trying to get lock; try restarting transaction", K, "conflict"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", A, "conflict"),
        (1290, "The MySQL server is running with the --read-only option so it cannot execute this", S, "elsewhere"),
        (1290, "The MySQL server is running with the --innodb-read-only option so it cannot execute", A, "elsewhere"),
        (1836, "Running in read-only mode", K, "elsewhere"),
    ],
    TIDB: [
        (9007, "Write conflict, txnStartTS=1, conflictStartTS=2, conflictCommitTS=3", K, "conflict"),
        (8005, "Write Conflict, txnStartTS is stale", A, "conflict"),
        (8022, "Error: KV error safe to retry", K, "conflict"),
        (8002, "[1] can not retry select for update statement", K, "conflict"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction", S, "conflict"),
        (9002, "TiKV server timeout", K, "unknown"),
        (9005, "Region is unavailable", A, "unknown"),
        (9005, "Region is unavailable", S, "error"),
        (8501, "execution result undetermined", K, "unknown"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("flavor", "code", "message", "phase", "happens"),
    [(flavor, *row) for flavor, shown in SHOWS.items() for row in shown],
)
def test_as_each_kind_of_cluster_says_it(flavor: str, code: int, message: str, phase: Phase, happens: str) -> None:
    assert short(judge(code, message, phase, flavor=flavor)) == happens


@pytest.mark.parametrize("row", [row for row in ROWS if row.flavors])
def test_every_row_of_one_kind_only_is_shown_for_it(row: Row) -> None:
    for flavor in row.flavors:
        assert any(
            row.code in (code, ANY_CODE) and row.text in message.lower() for code, message, _, _ in SHOWS[flavor]
        )


@pytest.mark.parametrize("code", sorted({row.code for row in ROWS if row.code and not row.flavors}))
def test_every_code_of_the_table_is_in_the_matrix(code: int) -> None:
    assert code in {row[0] for row in MATRIX}


@pytest.mark.parametrize(
    ("code", "message", "happens"),
    [
        (1053, "", "elsewhere"),
        (1158, "", "elsewhere"),
        (1180, PRIMARY, "elsewhere"),
        (3100, "", "elsewhere"),
        (1205, "", "elsewhere"),  # only a causal wait can time out there
        (1047, NOT_READY, "elsewhere"),
        (1213, "", "conflict"),
        (1317, "", "error"),
        (1927, "", "hung-up"),
        (1146, "Table doesn't exist", "error"),
    ],
)
@pytest.mark.parametrize("phase", [A, K])
def test_what_only_read_is_never_unknown(code: int, message: str, happens: str, phase: Phase) -> None:
    assert short(judge(code, message, phase, reads_only=True)) == happens


@pytest.mark.parametrize("code", [9007, 8005, 8022, 8002])
def test_tidb_conflicts_are_tidbs_only(code: int) -> None:
    assert judge(code, "", K, flavor=TIDB).conflict
    assert not judge(code, "", K, flavor=GALERA).conflict


@pytest.mark.parametrize(("code", "message"), [(9002, ""), (9005, ""), (8501, "execution result undetermined")])
def test_tidb_commits_of_unknown_outcome(code: int, message: str) -> None:
    assert judge(code, message, K, flavor=TIDB).unknown
    assert not judge(code, message, K, flavor=GALERA).unknown


@pytest.mark.parametrize("flavor", [GALERA, GROUP, AURORA, TIDB])
def test_a_deadlock_is_a_conflict_everywhere(flavor: str) -> None:
    assert judge(1213, "Deadlock found when trying to get lock", K, flavor=flavor).conflict


@pytest.mark.parametrize(
    ("code", "message", "phase", "confirm"),
    [
        (1064, "", K, True),  # has the implicit commit happened?
        (1205, "", S, True),  # innodb_rollback_on_timeout
        (1317, "", S, True),
        (1062, "", S, False),
        (1205, "", A, False),  # no transaction to ask for
        (1213, "", K, False),
    ],
)
def test_where_the_error_does_not_tell_whether_the_transaction_lives(
    code: int, message: str, phase: Phase, confirm: bool
) -> None:
    assert judge(code, message, phase).confirm is confirm


def test_the_guard_and_the_clients_own_read_only_transaction_show_alike() -> None:
    assert judge(1792, "Cannot execute statement in a READ ONLY transaction", S).guard
    assert not judge(1290, READ_ONLY, S).guard


@pytest.mark.parametrize(
    ("phase", "reads_only", "sent", "happens"),
    [
        (C, False, True, "elsewhere"),
        (P, False, True, "elsewhere"),
        (A, True, True, "elsewhere"),
        (A, False, True, "unknown"),
        (A, False, False, "elsewhere"),
        (S, False, True, "moved"),
        (S, False, False, "moved"),
        (K, False, True, "unknown"),
        (K, False, False, "moved"),
        (K, True, True, "elsewhere"),  # it had nothing to commit
    ],
)
def test_lost_connections(phase: Phase, reads_only: bool, sent: bool, happens: str) -> None:
    verdict = lost(phase, reads_only=reads_only, sent=sent)
    assert short(verdict) == happens
    assert verdict.reason == "lost"
    assert verdict.close_backend
    assert verdict.node_sign is (NodeSign.DOWN if phase is C else NodeSign.SUSPECT)


def every_verdict(phase: Phase) -> Iterator[tuple[bool, Verdict]]:
    for reads_only, flavor, row in product((False, True), (GALERA, GROUP, TIDB), (*ROWS, None)):
        code, text = (row.code or 8501, row.text) if row else (1, "")
        yield reads_only, judge(code, text, phase, flavor=flavor, reads_only=reads_only)
    for reads_only, sent in product((False, True), repeat=2):
        yield reads_only, lost(phase, reads_only=reads_only, sent=sent)


@pytest.mark.parametrize("phase", Phase)
def test_what_holds_for_every_verdict(phase: Phase) -> None:
    for reads_only, verdict in every_verdict(phase):
        if verdict.retry:  # no double execution
            assert verdict.outcome in (Outcome.NOT_EXECUTED, Outcome.ROLLED_BACK), verdict
            assert verdict.ends_transaction, verdict
        if verdict.unknown:
            assert not verdict.retry, verdict
            assert verdict.close_backend, verdict
            assert phase in (A, S, K), verdict
            assert not (reads_only and phase in (A, K)), verdict
        if verdict.move:
            assert verdict.retry, verdict
            assert verdict.node_sign is not NodeSign.NONE, verdict
        if verdict.close_backend:
            assert verdict.ends_transaction, verdict
        if verdict.conflict:
            assert verdict.outcome is Outcome.ROLLED_BACK, verdict
            assert verdict.retry, verdict
            assert verdict.node_sign is NodeSign.NONE, verdict
        if phase in (C, P):
            assert verdict.outcome is Outcome.NOT_EXECUTED, verdict
            assert verdict.close_backend, verdict
        if phase is K:  # never guess whether something was committed
            assert verdict.ends_transaction or verdict.confirm, verdict
        assert verdict.reason


@pytest.mark.parametrize("code", [1064, 1065, 1146, 1054, 1046])
def test_a_text_that_was_refused_left_nothing_behind(code: int) -> None:
    assert unread(code)


@pytest.mark.parametrize("code", [1062, 1205, 1213, 1317, 1305])
def test_a_statement_that_ran_and_failed_may_have(code: int) -> None:
    assert not unread(code)


def test_no_row_is_hidden_by_an_earlier_one() -> None:
    for position, row in enumerate(ROWS):
        for phase in row.when:
            hiding = [
                earlier
                for earlier in ROWS[:position]
                if earlier.code == row.code
                and phase in earlier.when
                and earlier.text in row.text
                and (not earlier.flavors or (row.flavors and set(row.flavors) <= set(earlier.flavors)))
            ]
            assert not hiding, row


def test_texts_are_lower_case_since_messages_are_compared_so() -> None:
    assert [row.text for row in ROWS if row.text != row.text.lower()] == []


def test_a_missing_column_is_found_when_the_tables_are_open() -> None:
    codes = (1064, 1065, 1146, 1054, 1046, 1062, 1305)
    assert [code for code in codes if before_tables(code)] == [1064, 1065, 1146, 1046]
    assert [code for code in codes if undefined(code)] == [1054, 1305]


@pytest.mark.parametrize(("code", "text"), [(3101, "Plugin instructed the server"), (1180, CERTIFIED_AWAY)])
def test_metadata_locks_are_kept_only_where_a_commit_was_not_certified(code: int, text: str) -> None:
    assert [phase for phase in (A, S, K) if judge(code, text, phase).keeps_locks] == [K]
    assert not judge(1213, "Deadlock found", K).keeps_locks
