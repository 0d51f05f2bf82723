"""One connection of ours to one node, in the command phase.

A backend sends whole commands and hands each reply, as it arrives, to whoever holds it (its *sink*). It knows which
session state it carries, so that the pool can tell which session fits it; it knows neither clients nor transactions,
and decides nothing.

Commands may be sent before the replies of earlier ones have come: the server answers in order.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import mypyc_attr

from proxy.low_water import LowWater
from proxy.wire.constants import COM_INIT_DB, COM_QUERY, COM_QUIT, COM_RESET_CONNECTION
from proxy.wire.digest import ReplyDigest
from proxy.wire.framing import HEADER, ProtocolError, frame
from proxy.wire.packets import ServerError
from proxy.wire.replies import ReplyScanner
from router.facts import Asks
from router.marker import Slot
from router.session import UNKNOWN, State

if TYPE_CHECKING:
    from proxy.pool import NodePool
    from proxy.profile import Profile
    from proxy.shelf import Group, Shelf

QUIT = frame(bytes((COM_QUIT,)))
RESET = frame(bytes((COM_RESET_CONNECTION,)))
ROLLBACK: Final = b"ROLLBACK AND NO CHAIN NO RELEASE"
_OK_SIZE: Final = HEADER + 7  # of the shortest: header, two counts of zero, flags, warnings


def entering(schema: bytes) -> bytes:
    """The command that makes it the connection's own."""
    return frame(bytes((COM_INIT_DB,)) + schema)


@mypyc_attr(allow_interpreted_subclasses=True)
class Sink:
    """Receives what a backend answers. Called in the order of the commands. A base class and no protocol: compiled,
    its methods are called without a look-up.
    """

    __slots__ = ()

    def reply_data(self, data: bytes) -> None:
        """Bytes of the current reply that may go on to the client; never an ERR packet."""

    def reply_done(self, reply: ReplyScanner) -> None:
        """The current reply is whole; `reply` is reused for the next one, so read it now."""

    def file_wanted(self) -> None:
        """The node waits for the client's file (LOAD DATA LOCAL): `Backend.forward` its packets."""

    def node_paused(self) -> None:
        """The node does not keep up with what it is sent."""

    def node_resumed(self) -> None:
        """It does again."""

    def backend_lost(self, reason: str) -> None:
        """The connection is gone; replies that were still due will not come."""


class User(Protocol):
    """A session, as far as a backend has to know the one that used it last."""

    closed: bool


class InsertIdKeeper(Protocol):
    """Who wants to know the LAST_INSERT_ID() that a backend holds, before somebody else overwrites it."""

    @property
    def settled(self) -> bool:
        """It knows already, or does not care."""

    def learn(self, backend: "Backend", value: int) -> None: ...


class Lost(Exception):
    """The backend was lost before its reply was whole."""


class PreparedThere:
    """A statement prepared on one backend: the server's id, and the parameter types this backend saw last."""

    __slots__ = ("id", "types")

    def __init__(self, statement_id: int) -> None:
        self.id = statement_id
        self.types: bytes | None = None


class Backend:
    """A logged-in connection to a node; an asyncio.Protocol, but not derived from it, so that it can be compiled.

    `state` is the session state it carries (see router.session), `guarded` says that its session default is READ ONLY
    so that no statement can write, let alone commit, by itself; `causal` that it waits for what was committed
    elsewhere, `fenced` that it waits likewise behind what it commits.
    """

    __slots__ = (
        "_cursor",
        "_digest",
        "_due",
        "_file_wanted",
        "_low_water",
        "_quiet",
        "_scanner",
        "_sink",
        "_transport",
        "causal",
        "charset",
        "created",
        "diagnostics",
        "fenced",
        "group",
        "guarded",
        "hides_use",
        "holder",
        "idle",
        "idle_since",
        "insert_id_of",
        "keeps_locks",
        "last_insert_id",
        "last_user",
        "leased",
        "lifted",
        "lost",
        "one_shot",
        "pool",
        "prepared",
        "profile",
        "reusable",
        "shelf",
        "slot",
        "state",
        "thread_id",
        "unsent",
        "waits",
    )

    def __init__(
        self, pool: "NodePool", profile: "Profile", state: State, capabilities: int, thread_id: int, now: float
    ):
        self.pool = pool
        self.profile = profile
        self.state = state
        self.thread_id = thread_id
        self.guarded = False
        # After an error: the READ WRITE of the last START TRANSACTION may still hold in spite of the guard. The server
        # takes it back where a transaction ends, but not where COMMIT, ROLLBACK or START TRANSACTION itself fails.
        self.lifted = False
        self.causal = self.fenced = False
        self.waits = True  # it can be made to wait for what was committed elsewhere
        self.charset = b""  # the command that sets the login's character set again, where a reset changes it
        self.hides_use = False  # something was run that may have changed the schema unseen
        self.one_shot = False  # a SET TRANSACTION was sent that may still wait for its transaction
        self.keeps_locks = False  # metadata locks of a statement that failed may be left, with no transaction to end
        self.reusable = True
        self.slot: Slot | None = None  # where its commits leave their markers
        self.lost: str | None = None
        self.unsent = False  # the connection was found lost before the last command could be sent
        self.created = now
        self.idle_since = now
        # Where the pool has it.
        self.leased = False
        self.idle = False
        self.shelf: Shelf | None = None
        self.group: Group | None = None
        self.holder: Sink | None = None  # who leases it, and so learns of its loss also when nothing is due
        self.diagnostics = 0  # bits of `Asks`: which diagnostics here are those of its holder's last statement
        self.last_user: User | None = None  # it may still ask for what its last statement left here
        self.last_insert_id: int | None = 0  # LAST_INSERT_ID() here; None: only `insert_id_of` can tell, or the server
        self.insert_id_of: InsertIdKeeper | None = None
        self.prepared: dict[object, PreparedThere] = {}  # by `Prepared.key`
        self._scanner = ReplyScanner(capabilities)
        self._sink: Sink | None = None
        self._due: deque[int] = deque()  # commands sent behind the one whose reply comes now
        self._digest: ReplyDigest | None = None  # of the last of them
        self._cursor = False
        self._file_wanted = False
        self._quiet = 0  # replies that come first and concern nobody
        self._low_water: LowWater = None  # type: ignore[assignment]  # with the transport
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made, before any use

    def __repr__(self) -> str:
        doing = f"lost ({self.lost})" if self.lost else "busy" if self._sink else "idle"
        guarded = " guarded" if self.guarded else ""
        return f"<Backend {self.pool.node.name}#{self.thread_id} {doing} {self.state!r}{guarded}>"

    # -- what its holder calls ----------------------------------------------------------------------------------------

    def send(
        self, sink: Sink, data: bytes, command: int, digest: ReplyDigest | None = None, *, cursor: bool = False
    ) -> None:
        """Send one command that has a reply, when no other of the holder's is due. `cursor`: it may leave one open."""
        self._sink = sink
        if not self._write(data):
            return
        if self._quiet:
            self._due.append(command)
            self._digest = digest
            self._cursor = cursor
        else:
            self._scanner.start(command, digest, cursor)

    def send_several(
        self,
        sink: Sink,
        data: bytes,
        commands: Sequence[int],
        digest: ReplyDigest | None = None,
        *,
        cursor: bool = False,
    ) -> None:
        """Send two commands or more in one write; the sink gets a reply for each, and `digest` is of the last one's."""
        self._sink = sink
        if not self._write(data):
            return
        self._digest = digest
        self._cursor = cursor
        self._low_water.raise_to(_OK_SIZE * (len(commands) - 1) + 1)  # an error, or more to an OK, is longer
        self._due.extend(commands)
        if not self._quiet:
            self._scanner.start(self._due.popleft())

    def send_quietly(self, data: bytes, command: int) -> None:
        """Send a command, when nothing is due, whose reply nobody needs. If it is refused the backend is not used
        again.
        """
        if not self._write(data):
            return
        if self._quiet:
            self._due.append(command)
        else:
            self._scanner.start(command)
        self._quiet += 1

    def roll_back(self) -> None:
        """Undo what is open, and let go of metadata locks that may be left without it; nobody waits for it."""
        self.keeps_locks = False
        self.diagnostics &= ~Asks.ROW_COUNT
        self.send_quietly(self.profile.query(ROLLBACK), COM_QUERY)

    async def run_several(self, commands: Sequence[bytes]) -> "Answer":
        """Send commands in one write and wait for all of their replies: that of the first which was refused, or else of
        the last. Raises `Lost`.
        """
        if len(commands) == 1:
            return await self.run(commands[0], commands[0][HEADER])
        if self.lost is not None:
            raise Lost(self.lost)
        self.diagnostics &= ~Asks.ROW_COUNT
        answer = Answer(len(commands))
        self.send_several(answer, b"".join(commands), [raw[HEADER] for raw in commands])
        return await answer.whole

    async def run(self, data: bytes, command: int, digest: ReplyDigest | None = None) -> "Answer":
        """Send one command and wait for its whole reply, which goes to nobody else. Raises `Lost`."""
        if self.lost is not None:
            raise Lost(self.lost)
        self.diagnostics &= ~Asks.ROW_COUNT  # of this from now on
        answer = Answer()
        self.send(answer, data, command, digest)
        return await answer.whole

    def forward(self, packet: bytes) -> None:
        """Send a packet of the client's file."""
        self._write(packet)

    def tell(self, data: bytes) -> None:
        """Send a command that has no reply (COM_STMT_CLOSE)."""
        self._write(data)

    def _write(self, data: bytes) -> bool:
        """False when the connection is known to be lost, though nobody was told yet: not a byte has left."""
        if self._transport.is_closing():
            self.unsent = True
            return False
        self.pool.metrics.node_bytes_out += len(data)
        self._transport.write(data)
        return True

    @property
    def busy(self) -> bool:
        """A reply is due to its holder."""
        return self._sink is not None

    def pause(self) -> None:
        """Read no more: the client does not keep up."""
        if self.lost is None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.lost is None:
            self._transport.resume_reading()

    async def reset(self) -> "Answer":
        """COM_RESET_CONNECTION; the answer is that of the step that failed, or of the last. Raises `Lost`."""
        answer = await self.run(RESET, COM_RESET_CONNECTION)
        if answer.error is None and self.charset:
            answer = await self.run(self.charset, COM_QUERY)
        if answer.error is None:
            self._forget_session()
            schema = self.state.schema
            if schema and schema != UNKNOWN:  # it is still there, but @@character_set_database is now the server's
                entered = await self.run(entering(schema), COM_INIT_DB)
                if entered.error is not None:  # somebody has dropped it
                    self.state = State(UNKNOWN)
        return answer

    def _forget_session(self) -> None:
        """What COM_RESET_CONNECTION leaves: the schema, and nothing else."""
        self.state = State(UNKNOWN if self.hides_use else self.state.schema)
        self.hides_use = False
        self.waits = self.waits and not self.pool.flavor.reset_ends_waiting
        self.guarded = self.causal = self.fenced = self.one_shot = self.keeps_locks = self.lifted = False
        self.prepared.clear()
        self.insert_id_of = None
        self.last_insert_id = 0
        self.last_user = None
        self.diagnostics = 0

    def close(self) -> None:
        """Say goodbye and close; nobody is told."""
        self._sink = self.holder = None
        if self.lost is None:
            self.lost = "closed by us"
            self._low_water.leave()
            self._write(QUIT)
            self._transport.close()

    def fail(self, reason: str) -> None:
        """Treat the connection as lost now, without waiting for the node to say so."""
        if self.lost is None:
            self._transport.abort()
            self._gone(reason)

    # -- what the loop calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are no subclass of asyncio.Transport
        self._low_water = LowWater(transport)

    def data_received(self, data: bytes) -> None:
        self.pool.metrics.node_bytes_in += len(data)
        if self._low_water.raised:
            self._low_water.lower()
        scanner = self._scanner
        try:
            while True:
                if self._quiet:
                    scanner.feed(data)
                    if not scanner.done:
                        return
                    self._quiet -= 1
                    if scanner.error is not None:
                        self.reusable = False
                    data = scanner.rest
                    if self._due:
                        self._start_next()
                else:
                    sink = self._sink
                    if sink is None:
                        # Only a notice before closing (idle timeout, shutdown, KILL) comes unasked.
                        self.fail("the node sent what nobody had asked for")
                        return
                    forward = scanner.feed(data)
                    if forward:
                        sink.reply_data(forward)
                    if not scanner.done:
                        if scanner.awaiting_client_file is not self._file_wanted:
                            self._file_wanted = scanner.awaiting_client_file
                            if self._file_wanted:
                                sink.file_wanted()
                        return
                    self._file_wanted = False
                    data = scanner.rest
                    if self._due:
                        sink.reply_done(scanner)
                        if self.lost is not None:
                            return
                        self._start_next()
                    else:
                        self._sink = None
                        sink.reply_done(scanner)
                if not data:
                    return
        except ProtocolError as error:
            self.fail(f"malformed reply: {error}")

    def pause_writing(self) -> None:
        if self.holder is not None:
            self.holder.node_paused()

    def resume_writing(self) -> None:
        if self.holder is not None:
            self.holder.node_resumed()

    def _start_next(self) -> None:
        command = self._due.popleft()
        if self._due:
            self._scanner.start(command)
        else:
            self._scanner.start(command, self._digest, self._cursor)
            self._digest = None

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is None:
            self._gone(str(exc) if exc else "the node closed the connection")

    def _gone(self, reason: str) -> None:
        self.lost = reason
        self._low_water.leave()
        concerned = self._sink or self.holder
        self._sink = self.holder = None
        self._due.clear()
        self._quiet = 0
        self.pool.backend_lost(self, reason)
        if concerned is not None:
            concerned.backend_lost(reason)


KEPT: Final = 1 << 16
"""Bytes of a reply that an `Answer` keeps; what runs on the side is asked for a row or less."""


class Answer(Sink):
    """A sink that waits for one whole reply, or for `due` of them. It copies what it keeps, since the scanner is used
    again: of several replies the first that is an error, or else the last.
    """

    __slots__ = ("_due", "data", "error", "insert_id", "num_params", "statement_id", "status", "whole")

    def __init__(self, due: int = 1) -> None:
        self._due = due
        self.whole: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.data = b""
        self.error: ServerError | None = None
        self.status = 0
        self.insert_id = 0
        self.statement_id = 0
        self.num_params = 0

    def reply_data(self, data: bytes) -> None:
        if len(self.data) < KEPT:
            self.data += data

    def reply_done(self, reply: ReplyScanner) -> None:
        self._due -= 1
        if self.error is None:
            self._take(reply)
        if self._due == 0 and not self.whole.done():
            self.whole.set_result(self)

    def _take(self, reply: ReplyScanner) -> None:
        self.error = reply.error
        self.status = reply.status
        self.insert_id = reply.insert_id
        self.statement_id = reply.statement_id
        self.num_params = reply.num_params

    def file_wanted(self) -> None:
        """Never: statements of our own load no file."""

    def node_paused(self) -> None:
        """What is sent on the side is short."""

    def node_resumed(self) -> None:
        """Likewise."""

    def backend_lost(self, reason: str) -> None:
        if not self.whole.done():
            self.whole.set_exception(Lost(reason))
