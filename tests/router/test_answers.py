"""What the proxy itself tells a client."""

import inspect
from collections.abc import Callable

import pytest

from router import answers
from router.answers import MAX_TEXT, Answer, Told

MAKERS: dict[str, tuple[Callable[..., Answer], tuple[object, ...], dict[str, object]]] = {
    "UNKNOWN_OUTCOME": (answers.unknown_outcome, ("db1:3306",), {}),
    "LOST_IN_TRANSACTION": (answers.lost_in_transaction, ("db1:3306", "GET_LOCK"), {}),
    "SESSION_LOST": (answers.session_lost, ("db1:3306", "temporary table"), {}),
    "NO_WRITER": (answers.no_writer, (10.0, "db1:3306 is down: refused"), {}),
    "POOL_EXHAUSTED": (answers.pool_exhausted, ("db1:3306", 2.5), {}),
    "CONNECT_FAILED": (answers.connect_failed, ("db1:3306", "refused"), {}),
    "TOO_MANY_CLIENTS": (answers.too_many_clients, (), {}),
    "BAD_HANDSHAKE": (answers.bad_handshake, (), {}),
    "ACCESS_DENIED": (answers.access_denied, ("app", "10.0.0.9"), {"using_password": True}),
    "ACCOUNT_LOCKED": (answers.account_locked, (), {}),
    "ACCOUNT_IS_LOCKED": (answers.account_is_locked, ("app", "10.0.0.9"), {}),
    "PASSWORD_EXPIRED": (answers.password_expired, (), {}),
    "PLUGIN_UNSUPPORTED": (answers.plugin_unsupported, ("app", "10.0.0.9", "ed25519"), {}),
    "ACCOUNTS_UNKNOWN": (answers.accounts_unknown, ("db1: no answer",), {}),
    "LOGIN_BLOCKED": (answers.login_blocked, ("10.0.0.9",), {}),
    "TLS_REQUIRED": (answers.tls_required, (), {}),
    "SHUTDOWN": (answers.shutdown, (), {}),
    "KILLED": (answers.killed, (), {}),
    "COMMAND_TOO_LARGE": (answers.command_too_large, (67108864,), {}),
    "MALFORMED": (answers.malformed, ("a length past the end",), {}),
    "BAD_COMPRESSION": (answers.bad_compression, ("a length past the end",), {}),
    "UNKNOWN_COMMAND": (answers.unknown_command, (), {}),
    "NO_CURSOR": (answers.no_cursor, (7,), {}),
    "UNKNOWN_STATEMENT": (answers.unknown_statement, (7, "mysqld_stmt_execute"), {}),
    "TOO_MANY_STATEMENTS": (answers.too_many_statements, (16382,), {}),
    "NOT_SUPPORTED": (answers.not_supported, ("LOAD DATA LOCAL",), {}),
    "UNKNOWN_VARIABLE": (answers.unknown_variable, ("multiwriter_x",), {}),
    "WRONG_VALUE": (answers.wrong_value, ("multiwriter_causality", "never"), {}),
    "KILL_UNKNOWN": (answers.kill_unknown, (99,), {}),
    "KILL_DENIED": (answers.kill_denied, (99,), {}),
    "INTERNAL": (answers.internal, ("KeyError",), {}),
}


@pytest.mark.parametrize("told", Told)
def test_each_row_has_its_maker_and_its_text_is_filled_in(told: Told) -> None:
    maker, args, kwargs = MAKERS[told.name]
    answer = maker(*args, **kwargs)
    code, sqlstate, _, reason, closes = told.value
    assert (answer.code, answer.sqlstate, answer.reason, answer.closes) == (code, sqlstate, reason, closes)
    assert len(answer.sqlstate) == 5
    assert "{" not in answer.text
    for fact in args:
        assert f"{fact:g}" in answer.text if isinstance(fact, float) else str(fact) in answer.text


def test_every_maker_is_tested() -> None:
    public = {
        function
        for name, function in inspect.getmembers(answers, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == answers.__name__
    }
    assert public == {maker for maker, _, _ in MAKERS.values()}


def test_reasons_tell_the_answers_apart() -> None:
    reasons = [told.value[3] for told in Told]
    assert len(set(reasons)) == len(reasons) == len(MAKERS)


def test_an_unknown_outcome_is_said_as_such() -> None:
    answer = answers.unknown_outcome("db2:3306")
    assert (answer.code, answer.sqlstate) == (1180, "08007")
    assert "db2:3306" in answer.text
    assert "may or may not have been committed" in answer.text
    assert not answer.closes


def test_without_a_writer_the_client_learns_how_long_it_waited_and_why() -> None:
    answer = answers.no_writer(10.0, "db1:3306 is down: connection refused")
    assert (answer.code, answer.sqlstate) == (3168, "HY000")
    assert "waited 10 s (db1:3306 is down: connection refused)" in answer.text


def test_a_failed_login_reads_as_a_servers() -> None:
    assert answers.access_denied("app", "10.0.0.9", using_password=False).text == (
        "Access denied for user 'app'@'10.0.0.9' (using password: NO)"
    )


@pytest.mark.parametrize("letter", ["x", "ü", "語", "{"])
def test_a_long_text_is_cut_to_what_clients_reserve(letter: str) -> None:
    text = answers.no_writer(1, letter * 1000).text
    assert len(text.encode()) <= MAX_TEXT
    assert text.endswith("...")
