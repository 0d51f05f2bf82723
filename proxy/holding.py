"""What a session leaves at its backend, from the replies: pinned while anything is there, free again when all has gone.

Called only for statements whose facts say that they leave or end something, and while the session is pinned. It does
not know how the relay keeps or gives back its lease.
"""

from typing import TYPE_CHECKING

from proxy.late import of_another_schema
from proxy.request import Prepared, Request
from proxy.wire.constants import (
    CLIENT_SESSION_TRACK,
    COM_QUERY,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_RESET,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_LAST_ROW_SENT,
)
from proxy.wire.framing import frame
from proxy.wire.packets import read_lenenc_int
from proxy.wire.prepared import with_statement_id
from router.facts import Kind, PinReason, Result
from router.pins import CHARSET, NEXT, REPORT

if TYPE_CHECKING:
    from proxy.relay import Relay

_RESET = frame(bytes((COM_STMT_RESET, 0, 0, 0, 0)))


def succeeded(relay: "Relay", request: Request, status: int, reply: bytes) -> None:
    """The command was answered without an error; `reply` is its text where `Statement.result` asks for it."""
    statement = request.statement
    pins = relay.pins
    if statement.pins is PinReason.OPEN_CURSOR:
        if status & SERVER_STATUS_CURSOR_EXISTS:
            pins.hold(PinReason.OPEN_CURSOR, statement.held)
        else:
            pins.free(PinReason.OPEN_CURSOR, statement.held[0])
    elif statement.result is Result.LOCKED and request.code == COM_QUERY:
        if text_value(reply) == b"1":
            pins.count(PinReason.GET_LOCK)
    elif statement.result is Result.UNLOCKED and request.code == COM_QUERY:
        if text_value(reply) == b"1":
            pins.free_one(PinReason.GET_LOCK)
    elif statement.pins is not None:
        pins.hold(statement.pins, [_named(relay, statement.pins, name) for name in statement.held])
    for reason, name in statement.frees:
        pins.free(reason, _named(relay, reason, name))
    if request.prepared is not None:
        name = str(request.prepared.id)
        if request.code == COM_STMT_RESET or (request.code == COM_STMT_FETCH and status & SERVER_STATUS_LAST_ROW_SENT):
            pins.free(PinReason.OPEN_CURSOR, name)
        elif request.code == COM_STMT_EXECUTE and statement.pins is not PinReason.OPEN_CURSOR:
            pins.free(PinReason.OPEN_CURSOR, name)  # another execution closes it
    if relay.state.portable:
        pins.free(PinReason.USER_VARIABLE, CHARSET)
    else:
        pins.hold(PinReason.USER_VARIABLE, (CHARSET,))
    show(relay)


def failed(relay: "Relay", request: Request) -> None:
    """How far it came nobody knows."""
    statement = request.statement
    if statement.pins is not None:
        relay.pins.hold(statement.pins, [_named(relay, statement.pins, name) for name in statement.held])
    elif statement.kind is Kind.MULTI and statement.carries:
        relay.pins.hold(PinReason.VARIABLE, ())
    reports_later(relay, request)
    show(relay)


def reports_later(relay: "Relay", request: Request) -> bool:
    """For a command whose answer has no room for a report: an error, or rows that end with an old EOF packet. If it
    was an execution the server may have gone to the statement's schema and back, and tells of it with the next OK.
    """
    later = (
        request.code == COM_STMT_EXECUTE
        and of_another_schema(relay, request)
        and relay.profile.capabilities & CLIENT_SESSION_TRACK != 0
    )
    if later:
        relay.pins.hold(PinReason.TRACKING, (REPORT,))
    return later


def reported(relay: "Relay") -> None:
    """The server has told what waited for an OK."""
    relay.pins.free(PinReason.TRACKING, REPORT)


def close_cursor(relay: "Relay", prepared: Prepared) -> None:
    """The client is done with the statement as the backend has it, which others may use there: with its cursor, too."""
    name = str(prepared.id)
    backend = relay.lease
    if backend is None or not relay.pins.holds(PinReason.OPEN_CURSOR, name):
        return
    there = backend.prepared[prepared.key]
    backend.send_quietly(with_statement_id(_RESET, there.id), COM_STMT_RESET)
    relay.pins.free(PinReason.OPEN_CURSOR, name)
    show(relay)


def waits(relay: "Relay") -> None:
    """Perhaps a SET TRANSACTION still does, for the next transaction: only this backend knows."""
    relay.pins.hold(PinReason.VARIABLE, (NEXT,))
    show(relay)


def waits_no_more(relay: "Relay") -> None:
    """None does: the transaction that it was for has been there."""
    if relay.pins.holds(PinReason.VARIABLE, NEXT):
        relay.pins.free(PinReason.VARIABLE, NEXT)
        show(relay)


def reset(relay: "Relay") -> None:
    """The session begins anew, or has ended."""
    relay.pins.clear()
    show(relay)


def show(relay: "Relay") -> None:
    """Let the relay and the metrics know."""
    reason = relay.pins.reason
    if reason == relay.pinned:
        return
    metrics = relay.metrics
    if relay.pinned is None and reason is not None:
        metrics.pinned[reason] += 1
    if relay.pinned is not None:
        metrics.pinned_now[relay.pinned] -= 1
    if reason is not None:
        metrics.pinned_now[reason] += 1
    relay.pinned = reason


def _named(relay: "Relay", reason: PinReason, name: str) -> str:
    """The name of a temporary table with the session's schema; others as they are."""
    if reason is not PinReason.TEMPORARY_TABLE or name == "?" or "." in name:
        return name
    return f"{relay.state.schema.decode('latin-1')}.{name}"


def text_value(reply: bytes) -> bytes | None:
    """Of a text result of one row and one column; None for NULL, or where there is no row."""
    values = text_values(reply)
    return values[0] if values else None


def text_values(reply: bytes) -> list[bytes | None]:
    """Of a text result of one row; none where there is no row."""
    packets = packets_of(reply)
    if not has_row(packets):
        return []
    row = packets[-2]
    found: list[bytes | None] = []
    at = 4
    while at < len(row):
        if row[at] == 0xFB:
            found.append(None)
            at += 1
        else:
            length, start = read_lenenc_int(row, at)
            at = start + length
            found.append(row[start:at])
    return found


def with_value(reply: bytes, number: int, *, binary: bool) -> bytes:
    """The same with another number in its row."""
    packets = packets_of(reply)
    if not has_row(packets):
        return reply
    row = packets[-2]
    if binary:  # behind the row's head and its bitmap of NULLs
        packets[-2] = row[:6] + number.to_bytes(len(row) - 6, "little", signed=True)
    else:
        value = str(number).encode()
        packets[-2] = frame(bytes((len(value),)) + value, row[3])
    return b"".join(packets)


def has_row(packets: list[bytes]) -> bool:
    """Is the packet before the last one a row? It may also be a definition, or the EOF behind the definitions."""
    if len(packets) < 3 or (packets[-2][4] == 0xFE and len(packets[-2]) < 13):
        return False
    columns, _ = read_lenenc_int(packets[0], 4)
    return len(packets) > 2 + columns


def packets_of(reply: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(reply):
        end = at + 4 + int.from_bytes(reply[at : at + 3], "little")
        found.append(reply[at:end])
        at = end
    return found
