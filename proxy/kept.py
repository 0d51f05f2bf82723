"""What a client may still ask about its last statement, kept in memory once its backend is needed by somebody else.

    lingers at a backend -> another session waits for one -> asked here what could be asked -> the backend is given back
       -> SHOW WARNINGS: the very bytes again -> SELECT FOUND_ROWS() and the like: run anywhere, the numbers put in

The listing is the node's own reply, so that it has the session's character set and capabilities. Of a SELECT only the
node can tell how its columns are called, so that it is run, on whatever backend, and its numbers replaced. ROW_COUNT()
most replies have said; the node is asked for it behind the others. Which texts ask for that is known by
router.diagnostics; nothing else can be answered so, and finds no warnings then.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.backend import KEPT, Answer, Backend, Lost
from proxy.holding import has_row, packets_of
from proxy.request import Request
from proxy.wire.attributes import query_text
from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    COM_QUERY,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
)
from proxy.wire.framing import HEADER, ProtocolError, frame, payload_of
from proxy.wire.packets import lenenc_str, read_lenenc_str
from router.diagnostics import Listing, Number, Question, opens_what_it_shows, question
from router.facts import MIGHT_ASK, Asks, Kind, Result, Statement
from router.session import State
from router.variables import NAMES

if TYPE_CHECKING:
    from proxy.relay import Relay

LISTING: Final = b"SHOW WARNINGS"
OVERHEAD: Final = 512  # bytes of an answer beside its listing
COLUMNS: Final = 3  # of SHOW WARNINGS: level, code, message
ASKS: Final = Asks.WARNINGS | Asks.ROWS
BITS: Final = {
    Number.FOUND_ROWS: Asks.FOUND_ROWS,
    Number.ROW_COUNT: Asks.ROW_COUNT,
    Number.WARNINGS: Asks.WARNINGS,
    Number.ERRORS: Asks.WARNINGS,
}
# They return no rows, so that FOUND_ROWS() is what it was.
ROWLESS: Final = frozenset((Kind.SET, Kind.USE, Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK, Kind.SAVEPOINT, Kind.DO))
# There is no such schema; there is no such table.
UNFOUND: Final = frozenset((1049, 1146))
# What the bytes of a listing depend on, of what a session may change meanwhile.
SHOWN_BY: Final = frozenset((NAMES, "character_set_results", "sql_select_limit"))


class Unanswered(Exception):
    """The node did not tell, or told too much."""


class Kept:
    """`listing` is the whole reply to SHOW WARNINGS, b"" where there were none; `found_rows` None: not known."""

    __slots__ = ("errors", "found_rows", "listing", "shown", "warnings")

    def __init__(self, state: State) -> None:
        self.shown = _shown(state)
        self.listing = b""
        self.warnings = 0  # more than are listed, where max_error_count is lower
        self.errors = 0
        self.found_rows: int | None = None

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.listing)


def _shown(state: State) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in state.variables if pair[0] in SHOWN_BY)


# -- the backend is needed elsewhere ----------------------------------------------------------------------------------


def part(relay: "Relay") -> None:
    """Give back the backend that the session lingers at, once what it may be asked has been asked."""
    warned = relay.warned
    backend = relay.unhold()
    if backend is not None:
        relay.keeping = True
        relay.task = asyncio.get_running_loop().create_task(_part(relay, backend, warned), name=f"keep {relay.id}")


async def _part(relay: "Relay", backend: Backend, warned: bool) -> None:
    pool = backend.pool
    found = None
    whole = False
    try:
        async with asyncio.timeout(pool.settings.connect_timeout):
            found = await _fetch(relay, backend, warned)
        whole = True
    except (Lost, TimeoutError, Unanswered, ProtocolError):
        pass  # told by the metric
    finally:
        backend.diagnostics = 0  # from now on they are of our own questions
        if not whole:
            pool.discard(backend)
        elif backend.one_shot:
            pool.recycle(backend)
        else:
            pool.release(backend)
    relay.keeping = False
    relay.task = None
    drop(relay)
    space, results = relay.cluster.kept_space, relay.metrics.kept_answers
    if found is None:
        results["lost"] += 1
    elif not space.take(found.size):
        results["no_room"] += 1
    else:
        results["kept"] += 1
        relay.kept = found
    if relay.request is not None:
        relay.submit(relay.request)
    elif relay.closing:
        relay.frontend.close()


async def _fetch(relay: "Relay", backend: Backend, warned: bool) -> Kept:
    """Each engine in the order in which no question spoils the answer to the next one: on MySQL the warnings are gone
    with whatever is no question about them, on MariaDB with nothing that reads no table.
    """
    found = Kept(relay.state)
    rows = () if relay.row_count is not None else (b"ROW_COUNT()",)
    if relay.cluster.flavor.engine == "mysql":
        if warned:
            _count(relay, found, await _list(backend))
            rows = ()  # it is that of the listing now
        found.found_rows, *counted = await _numbers(backend, b"FOUND_ROWS()", *rows)
    else:
        asks = (b"FOUND_ROWS()", b"@@warning_count", b"@@error_count")
        found.found_rows, found.warnings, found.errors, *counted = await _numbers(backend, *asks, *rows)
        if warned:
            found.listing = await _list(backend)
    if counted:
        (relay.row_count,) = counted
    before = relay.kept
    if not warned and before is not None:  # of a statement before, whose warnings no other has replaced
        found.listing, found.warnings, found.errors = before.listing, before.warnings, before.errors
        found.shown = before.shown
    return found


async def _list(backend: Backend) -> bytes:
    listing = (await _ask(backend, LISTING)).data
    if len(listing) >= KEPT:
        raise Unanswered
    return listing


async def _numbers(backend: Backend, *asked: bytes) -> list[int]:
    packets = packets_of((await _ask(backend, b"SELECT " + b", ".join(asked) + b" LIMIT 1")).data)
    if not has_row(packets):
        raise Unanswered
    found: list[int] = []
    at = HEADER
    for _ in asked:
        value, at = read_lenenc_str(packets[-2], at)
        found.append(int(value))
    return found


async def _ask(backend: Backend, sql: bytes) -> Answer:
    answer = await backend.run(backend.profile.query(sql), COM_QUERY)
    if answer.error is not None:
        raise Unanswered
    return answer


def _count(relay: "Relay", found: Kept, listing: bytes) -> None:
    levels = [read_lenenc_str(row, HEADER)[0] for row in _rows(relay, listing)]
    found.listing, found.warnings, found.errors = listing, len(levels), levels.count(b"Error")


def keep(relay: "Relay", listing: bytes) -> bool:
    """Of a statement whose warnings the next one of our own clears; false: there is no room for them."""
    found = Kept(relay.state)
    _count(relay, found, listing)
    drop(relay)
    if len(listing) >= KEPT or not relay.cluster.kept_space.take(found.size):
        relay.metrics.kept_answers["no_room"] += 1
        return False
    relay.metrics.kept_answers["kept"] += 1
    relay.kept = found
    return True


def drop(relay: "Relay") -> None:
    """It is of no use any more."""
    kept, relay.kept = relay.kept, None
    if kept is not None:
        relay.cluster.kept_space.give(kept.size)


def forget(relay: "Relay") -> None:
    """The session begins anew, or has ended."""
    drop(relay)
    relay.keeping = False


# -- the client goes on -----------------------------------------------------------------------------------------------


def answered(relay: "Relay", request: Request) -> bool:
    """While something is kept: true if it is all that the command asks for. Otherwise what it makes invalid is gone."""
    kept = relay.kept
    assert kept is not None
    statement = request.statement
    asked = _question(relay, request)
    if isinstance(asked, Listing):
        if not kept.listing:
            return False  # a node says as well that there are none
        if kept.shown == _shown(relay.state):
            if relay.lingering:
                relay.give_back()
            relay.metrics.kept_answers["served"] += 1
            relay.row_count = -1
            relay.counted_here = True
            relay.frontend.write(_listed(relay, kept.listing, asked, binary=request.code == COM_STMT_EXECUTE))
            relay.finish()
            return True
    elif asked is not None:
        return False  # see `told`
    if kept.listing and statement.asks & ASKS and statement.pins not in MIGHT_ASK:
        relay.metrics.kept_answers["lost"] += 1
    facts = request.facts if request.code == COM_STMT_PREPARE else statement
    if relay.cluster.flavor.engine == "mysql" or not _leaves_warnings(facts):
        drop(relay)
    elif statement.kind not in ROWLESS:
        kept.found_rows = None
    return False


def _leaves_warnings(statement: Statement) -> bool:
    """MariaDB forgets those of the statement before when it opens a table. Of a CALL nobody knows whether it does."""
    if statement.tables or statement.pins in MIGHT_ASK:
        return False
    return statement.kind in ROWLESS or statement.kind is Kind.READ


def known_there(relay: "Relay", backend: Backend) -> int:
    """Which diagnostics of the session's last statement the backend has: bits of `Asks`."""
    return backend.diagnostics & ~Asks.ROW_COUNT if relay.counted_here else backend.diagnostics


def told(relay: "Relay", request: Request, backend: Backend) -> bool:
    """For dispatch, where the backend that was found cannot answer the command: true if the numbers that it does not
    know are known here, and will be put into the reply, whatever it says.
    """
    if request is not relay.request or request.opens_cursor:
        return False
    asked = _question(relay, request)
    if asked is None or isinstance(asked, Listing):
        return False
    there = known_there(relay, backend)
    numbers: list[int | None] = []
    for each in asked:
        number = None
        if not there & BITS[each]:
            number = _number(relay, each)
            if number is None:
                return False
        numbers.append(number)
    request.numbers = tuple(numbers)
    # It lingers where it is run, since that backend knows how many rows it had.
    request.statement = replace(request.statement, calculates_found_rows=True, result=Result.REMEMBERED)
    return True


def _number(relay: "Relay", number: Number) -> int | None:
    kept = relay.kept
    if number is Number.ROW_COUNT:
        return relay.row_count
    if number is Number.FOUND_ROWS:
        return kept.found_rows if kept is not None else None
    if kept is None:
        return 0
    return kept.warnings if number is Number.WARNINGS else kept.errors


def _question(relay: "Relay", request: Request) -> Question | None:
    if not request.statement.asks & ASKS or request.opens_cursor:
        return None
    text, modes = _text(relay, request)
    return question(text, request.statement, modes)


def _text(relay: "Relay", request: Request) -> tuple[bytes, int]:
    """And how it is read."""
    if request.prepared is not None:
        return payload_of(request.prepared.raw)[1:], request.prepared.read_as[0]
    payload = payload_of(request.raw)
    return query_text(payload) if relay.attributes else payload[1:], relay.modes


def refused(relay: "Relay", request: Request, backend: Backend, code: int) -> None:
    """It was answered with this error, which has set what ROW_COUNT() is there."""
    if (
        request.statement.kind is Kind.SHOW
        and (request.code == COM_QUERY or request.code == COM_STMT_EXECUTE)
        and not request.statement.tables
        and code in UNFOUND
        and relay.cluster.flavor.engine == "mariadb"
        and not opens_what_it_shows(*_text(relay, request))
    ):
        backend.diagnostics &= ~Asks.ROW_COUNT  # there it is what it was, perhaps another session's
    else:
        relay.row_count = -1


# -- bytes ------------------------------------------------------------------------------------------------------------


def put_in(relay: "Relay", request: Request, reply: bytes) -> bytes:
    """The reply to a command of which these numbers were `told`, with them in its row."""
    if relay.kept is not None:
        relay.metrics.kept_answers["served"] += 1
        if relay.cluster.flavor.engine == "mysql" and request.statement.kind is not Kind.SHOW:
            drop(relay)
        else:
            relay.kept.found_rows = None  # the backend that ran it knows
    packets = packets_of(reply)
    if not has_row(packets):
        return reply
    row = packets[-2]
    if request.code == COM_STMT_EXECUTE:  # behind the row's head and its bitmap of NULLs
        at = HEADER + 1 + (len(request.numbers) + 9) // 8
        for number in request.numbers:
            if number is not None:
                row = row[:at] + number.to_bytes(8, "little", signed=True) + row[at + 8 :]
            at += 8
        packets[-2] = row
    else:
        at = HEADER
        values = []
        for number in request.numbers:
            value, at = read_lenenc_str(row, at)
            values.append(lenenc_str(value if number is None else b"%d" % number))
        packets[-2] = frame(b"".join(values), row[3])
    return b"".join(packets)


def _listed(relay: "Relay", reply: bytes, asked: Listing, *, binary: bool) -> bytes:
    """The part of a listing that is asked for."""
    packets = packets_of(reply)
    head = _head(relay)
    rows = _rows(relay, reply)
    if asked.errors:
        rows = [row for row in rows if read_lenenc_str(row, HEADER)[0] == b"Error"]
    rows = rows[asked.skip : None if asked.most is None else asked.skip + asked.most]
    if binary:
        rows = [_as_binary(row) for row in rows]
    chosen = [*packets[:head], *rows, packets[-1]]
    chosen[-1] = _with_status(relay, chosen[-1])
    if not relay.profile.capabilities & CLIENT_DEPRECATE_EOF:
        chosen[head - 1] = _with_status(relay, chosen[head - 1])
    return b"".join(packet[:3] + bytes((number & 0xFF,)) + packet[4:] for number, packet in enumerate(chosen, 1))


def _head(relay: "Relay") -> int:
    """Packets ahead of the rows of a listing."""
    return 1 + COLUMNS + (0 if relay.profile.capabilities & CLIENT_DEPRECATE_EOF else 1)


def _rows(relay: "Relay", reply: bytes) -> list[bytes]:
    return packets_of(reply)[_head(relay) : -1]


def _with_status(relay: "Relay", packet: bytes) -> bytes:
    """With the flags of the transaction that the client was told to be in. EOF and the OK in its place have them at the
    same offset: no rows were affected and no id was made.
    """
    flags = SERVER_STATUS_IN_TRANS | SERVER_STATUS_IN_TRANS_READONLY
    at = HEADER + 3
    status = int.from_bytes(packet[at : at + 2], "little") & ~flags | relay.status & flags
    return packet[:at] + status.to_bytes(2, "little") + packet[at + 2 :]


def _as_binary(row: bytes) -> bytes:
    """A row of a listing as the answer to COM_STMT_EXECUTE has it."""
    level, at = read_lenenc_str(row, HEADER)
    code, at = read_lenenc_str(row, at)
    message, _ = read_lenenc_str(row, at)
    values = lenenc_str(level) + int(code).to_bytes(4, "little") + lenenc_str(message)
    return frame(bytes(1 + (COLUMNS + 9) // 8) + values)
