"""What each command of a client means to its session: the table from command byte to function.

A command either is answered here, or becomes a `Request` for the relay. A byte that is not in the table is answered
as a server answers a command that it does not know.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from proxy import holding, kill, own_variables
from proxy.ready import lacks
from proxy.request import Request
from proxy.wire.attributes import query_text
from proxy.wire.constants import (
    COM_DEBUG,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_PING,
    COM_PROCESS_INFO,
    COM_PROCESS_KILL,
    COM_QUERY,
    COM_QUIT,
    COM_REFRESH,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_SHUTDOWN,
    COM_STATISTICS,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    MARIADB_CLIENT_STMT_BULK_OPERATIONS,
    MYSQL_OPTION_MULTI_STATEMENTS_OFF,
    MYSQL_OPTION_MULTI_STATEMENTS_ON,
)
from proxy.wire.framing import ProtocolError, frame, payload_of
from proxy.wire.prepared import ExecuteView, opens_cursor, statement_id
from router import answers
from router.facts import Kind, Statement, Unreplayable

if TYPE_CHECKING:
    from proxy.relay import Relay
    from proxy.session import Session

READS: Final = Statement(kind=Kind.SHOW)
PING: Final = frame(bytes((COM_PING,)))
SELECTS_SCHEMA: Final = Statement(kind=Kind.USE, schema="")
SETS_OPTION: Final = Statement(kind=Kind.OTHER, unreplayable=Unreplayable.GLOBAL)
FLUSHES: Final = Statement(kind=Kind.ADMIN, commits=True, may_write=True, unreplayable=Unreplayable.ADMIN)

MAX_PREPARED = 16382  # statements of one client; the server's default for all of its clients


def query(session: "Session", raw: bytes) -> None:
    relay = session.relay
    if len(raw) < 0x1000003 and not relay.attributes:
        text = raw[5:]
    else:
        payload = payload_of(raw)
        text = query_text(payload) if relay.attributes else payload[1:]
    statement = session.classifier.classify(text, relay.modes)
    if statement.kind is Kind.KILL:
        kill.query(session, statement, raw)
        return
    if statement.kind is Kind.SETTING:
        own_variables.assign(relay, statement)
        return
    relay.submit(Request(COM_QUERY, raw, statement))


def _read(session: "Session", raw: bytes) -> None:
    session.relay.submit(Request(raw[4], raw, READS))


def _flush(session: "Session", raw: bytes) -> None:
    session.relay.submit(Request(raw[4], raw, FLUSHES))


def ping(session: "Session", raw: bytes) -> None:
    """In a transaction the server is asked: the answer may be that the transaction was lost."""
    relay = session.relay
    if (relay.lease is None or relay.lingering) and relay.task is None and relay.deferred is None:
        relay.answer_ok()
    else:
        relay.submit(Request(COM_PING, raw, READS))


def init_db(session: "Session", raw: bytes) -> None:
    session.relay.submit(Request(COM_INIT_DB, raw, SELECTS_SCHEMA))


def set_option(session: "Session", raw: bytes) -> None:
    """Several statements in one text, or not. That no reset takes it back, nor another user, makes it a capability of
    the session's: its next backends have it from their login.
    """
    option = int.from_bytes(raw[5:7], "little")
    if len(raw) == 7 and option in (MYSQL_OPTION_MULTI_STATEMENTS_ON, MYSQL_OPTION_MULTI_STATEMENTS_OFF):
        session.allow_several(option == MYSQL_OPTION_MULTI_STATEMENTS_ON)
    session.relay.submit(Request(COM_SET_OPTION, raw, SETS_OPTION))


def prepare(session: "Session", raw: bytes) -> None:
    relay = session.relay
    if len(relay.prepared) >= MAX_PREPARED:
        relay.answer_error(answers.too_many_statements(MAX_PREPARED))
        return
    relay.prepared.begin()
    facts = session.classifier.classify(payload_of(raw)[1:], relay.modes)
    request = Request(COM_STMT_PREPARE, raw, READS)
    request.facts = facts
    request.read_as = (relay.modes, session.classifier.version)
    relay.submit(request)


def _unknown_statement(relay: "Relay", raw: bytes, command: str) -> None:
    named = relay.cluster.flavor.unknown_statement or command
    relay.answer_error(answers.unknown_statement(statement_id(raw), named))


def execute(session: "Session", raw: bytes) -> None:
    relay = session.relay
    prepared = relay.prepared.get(statement_id(raw))
    if prepared is None:
        _unknown_statement(relay, raw, "mysqld_stmt_execute")
        return
    modes, version = prepared.read_as
    if version != session.classifier.version:
        prepared.statement = session.classifier.classify(payload_of(prepared.raw)[1:], modes)
        prepared.read_as = (modes, session.classifier.version)
    view = ExecuteView(raw, prepared.num_params, attributes=relay.attributes)
    if view.types is not None:
        prepared.types = view.types
    if prepared.long_data and relay.pinned is not None and relay.task is None:
        holding.close_cursor(relay, prepared)  # with these it is another statement there
    relay.submit(Request.execute(raw, prepared, cursor=opens_cursor(raw)))


def bulk_execute(session: "Session", raw: bytes) -> None:
    """MariaDB's, of many rows of parameters at once; to a client that did not agree on it, it is unknown."""
    relay = session.relay
    if relay.profile.capabilities & MARIADB_CLIENT_STMT_BULK_OPERATIONS:
        execute(session, raw)
    else:
        unknown(session, raw)


def fetch(session: "Session", raw: bytes) -> None:
    relay = session.relay
    prepared = relay.prepared.get(statement_id(raw))
    if prepared is None:
        _unknown_statement(relay, raw, "mysqld_stmt_fetch")
        return
    lease = relay.lease if not relay.lingering or relay.warned else None
    if lease is None or lacks(lease, prepared):
        # To prepare it there only to be told so might be refused: where only reading is allowed, or for a lost table.
        relay.answer_error(answers.no_cursor(prepared.id))
        return
    relay.submit(Request.of_prepared(COM_STMT_FETCH, raw, prepared, READS))


def send_long_data(session: "Session", raw: bytes) -> None:
    """Has no reply. It is kept until the execution, which may be anywhere."""
    relay = session.relay
    prepared = relay.prepared.get(statement_id(raw))
    if prepared is not None:
        prepared.send_ahead(raw)
        if prepared.long_data_bytes > session.max_command_bytes:
            relay.answer_error(answers.command_too_large(session.max_command_bytes))
            return
    relay.no_reply()


def close_statement(session: "Session", raw: bytes) -> None:
    """Has no reply. Backends keep the statement: another session may have prepared the same."""
    relay = session.relay
    prepared = relay.prepared.get(statement_id(raw))
    if prepared is not None:
        relay.prepared.close(prepared.id)
        if relay.pinned is not None and relay.task is None:
            holding.close_cursor(relay, prepared)
            relay.settle()
    relay.no_reply()


def reset_statement(session: "Session", raw: bytes) -> None:
    relay = session.relay
    prepared = relay.prepared.get(statement_id(raw))
    if prepared is None:
        _unknown_statement(relay, raw, "mysqld_stmt_reset")
        return
    prepared.drop_long_data()
    if relay.lease is None or relay.lingering:
        relay.answer_ok()
    elif lacks(relay.lease, prepared):
        # Not prepared only to be reset: that reads its tables, and the warnings of the statement before were gone.
        relay.submit(Request(COM_PING, PING, READS))
    else:
        relay.submit(Request.of_prepared(COM_STMT_RESET, raw, prepared, READS))


def reset_connection(session: "Session", raw: bytes) -> None:
    session.relay.reset()
    session.relay.answer_ok()


def quit_session(session: "Session", raw: bytes) -> None:
    session.relay.frontend.close()


def unknown(session: "Session", raw: bytes) -> None:
    session.relay.answer_error(answers.unknown_command())


HANDLERS: Final[dict[int, "Callable[[Session, bytes], None]"]] = {
    COM_QUIT: quit_session,
    COM_INIT_DB: init_db,
    COM_QUERY: query,
    COM_FIELD_LIST: _read,
    COM_REFRESH: _flush,
    COM_SHUTDOWN: unknown,
    COM_STATISTICS: _read,
    COM_PROCESS_INFO: _read,
    COM_PROCESS_KILL: kill.command,
    COM_DEBUG: _read,
    COM_PING: ping,
    COM_STMT_PREPARE: prepare,
    COM_STMT_EXECUTE: execute,
    COM_STMT_BULK_EXECUTE: bulk_execute,
    COM_STMT_SEND_LONG_DATA: send_long_data,
    COM_STMT_CLOSE: close_statement,
    COM_STMT_RESET: reset_statement,
    COM_STMT_FETCH: fetch,
    COM_SET_OPTION: set_option,
    COM_RESET_CONNECTION: reset_connection,
}


def handle(session: "Session", raw: bytes) -> None:
    """One command. A malformed one raises ProtocolError."""
    code = raw[4]
    session.metrics.command_counts[code] += 1
    try:
        if code == COM_QUERY:  # in most cases: the others can do with a look-up
            query(session, raw)
        elif code == COM_STMT_EXECUTE:
            execute(session, raw)
        else:
            HANDLERS.get(code, unknown)(session, raw)
    except ProtocolError as error:
        session.relay.answer_error(answers.malformed(str(error)))
