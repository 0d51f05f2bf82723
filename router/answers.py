"""The errors that the proxy itself makes: what the client is told, and what is counted.

One table. Every text names what the operator can look for (the node, the limit) and is written as a server would
write it. Codes and SQLSTATEs are those drivers act upon: 40001 is "try the transaction again", 08S01 "the connection
is gone", 08004 "come back later", 08007 "nobody knows whether it was committed". Errors of the servers are forwarded,
never rewritten.
"""

from enum import Enum
from typing import Final, NamedTuple

MAX_TEXT: Final = 511
"""Bytes of text that clients reserve: MYSQL_ERRMSG_SIZE without its NUL."""


class Answer(NamedTuple):
    code: int
    sqlstate: str
    text: str
    reason: str  # the metric label
    closes: bool  # the client's connection ends after it


class Told(Enum):
    """Every answer: code, SQLSTATE, text, metric reason, whether the connection ends."""

    # fmt: off
    # -- transactions -------------------------------------------------------------------------------------------------
    UNKNOWN_OUTCOME = (
        1180, "08007", "Transaction resolution unknown: {why} on node {node} during COMMIT or an autocommit write, "
        "it may or may not have been committed", "unknown-outcome", False)
    # 2013 would say it best, but is a client's code. A deadlock's is the one that means "rolled back, try again" to
    # all.
    LOST_IN_TRANSACTION = (
        1213, "40001", "Node {node} was lost and the transaction was rolled back, it could not be replayed ({why}); "
        "try restarting transaction", "lost-in-transaction", False)
    # The session's state is gone with the backend: to go on would be another session. A server that goes says 1053.
    SESSION_LOST = (
        1053, "08S01", "Node {node} was lost, and with it state of this session that lived there only ({why})",
        "session-lost", True)

    # -- nobody to run it ---------------------------------------------------------------------------------------------
    NO_WRITER = (
        3168, "HY000", "No node of the cluster takes writes: waited {seconds:g} s ({why})", "no-writer", False)
    POOL_EXHAUSTED = (
        1040, "08004", "Too many connections: no backend of node {node} became free within {seconds:g} s",
        "pool-exhausted", False)
    CONNECT_FAILED = (
        1040, "08004", "No connection to node {node} could be made ({why})", "connect-failed", False)

    # -- the client's connection --------------------------------------------------------------------------------------
    TOO_MANY_CLIENTS = (1040, "08004", "Too many connections", "too-many-clients", True)
    BAD_HANDSHAKE = (1043, "08S01", "Bad handshake", "bad-handshake", True)
    ACCESS_DENIED = (
        1045, "28000", "Access denied for user '{user}'@'{host}' (using password: {password})", "access-denied", True)
    ACCOUNT_LOCKED = (4151, "HY000", "Access denied, this account is locked", "account-locked", True)
    ACCOUNT_IS_LOCKED = (
        3118, "HY000", "Access denied for user '{user}'@'{host}'. Account is locked.", "account-locked-mysql", True)
    PASSWORD_EXPIRED = (
        1862, "HY000", "Your password has expired. To log in you must change it using a client that supports expired "
        "passwords.", "password-expired", True)
    PLUGIN_UNSUPPORTED = (
        1045, "28000", "Access denied for user '{user}'@'{host}': an account with {plugin} logs in here only where the "
        "settings have its password", "plugin-unsupported", True)
    ACCOUNTS_UNKNOWN = (1040, "08004", "The cluster's accounts are not known ({why})", "accounts-unknown", True)
    LOGIN_BLOCKED = (
        1129, "HY000", "Host '{host}' is blocked because of many failed logins; try again later", "login-blocked", True)
    TLS_REQUIRED = (
        3159, "HY000", "Connections using insecure transport are prohibited on this endpoint", "tls-required", True)
    SHUTDOWN = (1053, "08S01", "Server shutdown in progress", "shutdown", True)
    KILLED = (1927, "70100", "Connection was killed", "killed", True)

    # -- the command --------------------------------------------------------------------------------------------------
    COMMAND_TOO_LARGE = (
        1153, "08S01", "Got a packet bigger than the {limit} bytes that this endpoint takes", "command-too-large", True)
    MALFORMED = (1835, "HY000", "Malformed communication packet: {why}", "malformed", True)
    BAD_COMPRESSION = (
        1157, "08S01", "Couldn't uncompress communication packet: {why}", "bad-compression", True)
    UNKNOWN_COMMAND = (1047, "08S01", "Unknown command", "unknown-command", False)
    NO_CURSOR = (1421, "HY000", "The statement ({id}) has no open cursor", "no-cursor", False)
    UNKNOWN_STATEMENT = (
        1243, "HY000", "Unknown prepared statement handler ({id}) given to {command}", "unknown-statement", False)
    TOO_MANY_STATEMENTS = (
        1461, "42000", "Can't create more than max_prepared_stmt_count statements (current value: {limit})",
        "too-many-statements", False)
    NOT_SUPPORTED = (1235, "42000", "This endpoint doesn't yet support '{what}'", "not-supported", False)
    UNKNOWN_VARIABLE = (1193, "HY000", "Unknown system variable '{name}'", "unknown-variable", False)
    WRONG_VALUE = (
        1231, "42000", "Variable '{name}' can't be set to the value of '{value}'", "wrong-value", False)
    KILL_UNKNOWN = (1094, "HY000", "Unknown thread id: {id}", "kill-unknown", False)
    KILL_DENIED = (1095, "HY000", "You are not owner of thread {id}", "kill-denied", False)
    INTERNAL = (1105, "HY000", "Internal error of the proxy, the connection is closed ({why})", "internal", True)
    # fmt: on


def _answer(told: Told, **facts: object) -> Answer:
    code, sqlstate, template, reason, closes = told.value
    text = template.format(**facts)
    if len(text.encode()) > MAX_TEXT:
        text = text.encode()[: MAX_TEXT - 3].decode(errors="ignore") + "..."
    return Answer(code, sqlstate, text, reason, closes)


def unknown_outcome(node: str, why: str = "the connection was lost") -> Answer:
    """A COMMIT or an autocommit write was in flight and nobody said how it ended."""
    return _answer(Told.UNKNOWN_OUTCOME, node=node, why=why)


def lost_in_transaction(node: str, why: str) -> Answer:
    """The node went with an open transaction that is known to be rolled back; `why`: what forbids its replay."""
    return _answer(Told.LOST_IN_TRANSACTION, node=node, why=why)


def session_lost(node: str, why: str) -> Answer:
    """The node went with a pinned session; `why`: what pinned it."""
    return _answer(Told.SESSION_LOST, node=node, why=why)


def no_writer(seconds: float, why: str) -> Answer:
    """No writer came back in time; `why`: what the nodes say."""
    return _answer(Told.NO_WRITER, seconds=seconds, why=why)


def pool_exhausted(node: str, seconds: float) -> Answer:
    return _answer(Told.POOL_EXHAUSTED, node=node, seconds=seconds)


def connect_failed(node: str, why: str) -> Answer:
    return _answer(Told.CONNECT_FAILED, node=node, why=why)


def too_many_clients() -> Answer:
    return _answer(Told.TOO_MANY_CLIENTS)


def bad_handshake() -> Answer:
    return _answer(Told.BAD_HANDSHAKE)


def access_denied(user: str, host: str, *, using_password: bool) -> Answer:
    return _answer(Told.ACCESS_DENIED, user=user, host=host, password="YES" if using_password else "NO")


def account_locked() -> Answer:
    """MariaDB's answer to the right password of a locked account."""
    return _answer(Told.ACCOUNT_LOCKED)


def account_is_locked(user: str, host: str) -> Answer:
    """MySQL's."""
    return _answer(Told.ACCOUNT_IS_LOCKED, user=user, host=host)


def password_expired() -> Answer:
    return _answer(Told.PASSWORD_EXPIRED)


def plugin_unsupported(user: str, host: str, plugin: str) -> Answer:
    """The account's plugin shows the proxy nothing that it could log in to a node with."""
    return _answer(Told.PLUGIN_UNSUPPORTED, user=user, host=host, plugin=plugin)


def accounts_unknown(why: str) -> Answer:
    """No node could be asked for its accounts, or not for too long."""
    return _answer(Told.ACCOUNTS_UNKNOWN, why=why)


def login_blocked(host: str) -> Answer:
    return _answer(Told.LOGIN_BLOCKED, host=host)


def tls_required() -> Answer:
    return _answer(Told.TLS_REQUIRED)


def shutdown() -> Answer:
    """The proxy is ending and the drain's deadline has passed, or the client comes too late."""
    return _answer(Told.SHUTDOWN)


def killed() -> Answer:
    return _answer(Told.KILLED)


def command_too_large(limit: int) -> Answer:
    """`limit` in bytes. As at a server, the connection ends: the rest of the command is not read."""
    return _answer(Told.COMMAND_TOO_LARGE, limit=limit)


def malformed(why: str) -> Answer:
    return _answer(Told.MALFORMED, why=why)


def bad_compression(why: str) -> Answer:
    return _answer(Told.BAD_COMPRESSION, why=why)


def unknown_command() -> Answer:
    return _answer(Told.UNKNOWN_COMMAND)


def no_cursor(statement_id: int) -> Answer:
    return _answer(Told.NO_CURSOR, id=statement_id)


def unknown_statement(statement_id: int, command: str) -> Answer:
    """`command`: the name that servers give it, such as mysqld_stmt_execute."""
    return _answer(Told.UNKNOWN_STATEMENT, id=statement_id, command=command)


def too_many_statements(limit: int) -> Answer:
    """One client holds `limit` prepared statements."""
    return _answer(Told.TOO_MANY_STATEMENTS, limit=limit)


def not_supported(what: str) -> Answer:
    return _answer(Told.NOT_SUPPORTED, what=what)


def unknown_variable(name: str) -> Answer:
    return _answer(Told.UNKNOWN_VARIABLE, name=name)


def wrong_value(name: str, value: str) -> Answer:
    return _answer(Told.WRONG_VALUE, name=name, value=value)


def kill_unknown(connection_id: int) -> Answer:
    return _answer(Told.KILL_UNKNOWN, id=connection_id)


def kill_denied(connection_id: int) -> Answer:
    return _answer(Told.KILL_DENIED, id=connection_id)


def internal(why: str) -> Answer:
    return _answer(Told.INTERNAL, why=why)
