"""What a SET left that was told an expression: the node is asked for the values, which are then carried like others.

    SET sql_mode = CONCAT(@@sql_mode, ..)   its OK is held back
    SELECT CAST(@@session.sql_mode ..)      answered: the session's state has the value, and the client gets its OK
                                            lost: as if the OK had been lost, the client has heard nothing

It does not know how a SET is read, nor what a value has to be like to be carried.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy import commit, success
from proxy.backend import Sink
from proxy.holding import text_values
from proxy.wire.constants import COM_QUERY
from proxy.wire.replies import ReplyScanner
from router.facts import Asks, PinReason
from router.outcomes import Phase, judge
from router.variables import learned, question

TRACKED: Final = frozenset((PinReason.TRACKING,))

if TYPE_CHECKING:
    from proxy.backend import Backend
    from proxy.commit import Told
    from proxy.relay import Relay


def ask(relay: "Relay", reply: ReplyScanner, raw: bytes) -> None:
    """The SET was answered with `raw`, its OK: ask what it has left."""
    request = relay.request
    backend = relay.lease
    assert request is not None
    assert backend is not None
    told = commit.Told(reply.status, reply.warnings, reply.insert_id, reply.affected_rows, raw)
    if relay.pins.any_of(TRACKED):
        _go_on(relay, told, [])  # the answer would have what the client's next one has to tell
        return
    backend.diagnostics &= ~Asks.ROWS  # they would be those of the question
    text = question(request.statement.learns).encode("latin-1")
    backend.send(_Learner(relay, backend, told), backend.profile.query(text), COM_QUERY)


def _go_on(relay: "Relay", told: "Told", values: list[bytes | None]) -> None:
    """Behind the SET, of which these are the values, or none is known: then what it has left binds the session."""
    request = relay.request
    assert request is not None
    statement = request.statement
    carries, whole = learned(statement.learns, [None if value is None else value.decode("latin-1") for value in values])
    pins, held = statement.pins, statement.held
    if not whole and pins is not PinReason.VARIABLE:
        pins, held = PinReason.VARIABLE, ()
    request.statement = replace(statement, carries=carries, learns=(), result=None, pins=pins, held=held)
    relay.frontend.write(told.raw)
    success.succeeded(relay, told)


class _Learner(Sink):
    """Takes the answer to the question, and lets the relay go on behind the SET."""

    __slots__ = ("_backend", "_data", "_relay", "_told")

    def __init__(self, relay: "Relay", backend: "Backend", told: "Told") -> None:
        self._relay = relay
        self._backend = backend
        self._told = told
        self._data = b""

    def reply_data(self, data: bytes) -> None:
        self._data += data

    def reply_done(self, reply: ReplyScanner) -> None:
        values: list[bytes | None] = []
        if reply.error is None:
            values = text_values(self._data)
        else:
            verdict = judge(reply.error.code, reply.error.message, Phase.STATEMENT)
            if verdict.ends_transaction or verdict.close_backend:
                self._backend.fail(f"asked what a SET had left, it said: {reply.error}")
                return
        _go_on(self._relay, self._told, values)

    def file_wanted(self) -> None:
        """Never: it is a SELECT."""

    def node_paused(self) -> None:
        """The question is short."""

    def node_resumed(self) -> None:
        """Likewise."""

    def backend_lost(self, reason: str) -> None:
        self._relay.backend_lost(reason)
