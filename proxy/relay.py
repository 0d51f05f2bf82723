"""One client's session: takes its commands, gets each a backend, passes the reply on, and knows what became of it.

    command -> facts (cached) -> answered here? -> lease -> what the backend must be like (router.plan) -> sent
            -> reply passed on as it comes -> outcome -> session state, journal -> lease kept or given back

All of that is callbacks. A lease that can't be had at once, a backend that has to be brought to the session's state,
and every replay are the business of proxy.dispatch. Only one command is under way at a time: `Frontend` holds back
the next.
"""

import asyncio
from dataclasses import replace
from typing import Final

from proxy import ahead, dispatch, failure, holding, kept, late, parked, places
from proxy import commit as commits
from proxy.backend import Backend
from proxy.cluster import Cluster
from proxy.continued import Sent
from proxy.counters import COMMITTED, ROLLED_BACK
from proxy.failure import Refusal
from proxy.insert_id import InsertIds
from proxy.launch import launch
from proxy.leaseholder import Leaseholder
from proxy.places import Place
from proxy.policy import Policy
from proxy.prepared import PreparedStatements
from proxy.profile import Profile
from proxy.ready import is_ready
from proxy.request import Request
from proxy.success import succeeded
from proxy.wire.constants import (
    COM_QUERY,
    COM_STMT_PREPARE,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from proxy.wire.digest import ReplyDigest
from proxy.wire.packets import error_packet, plain_ok
from proxy.wire.replies import ReplyScanner
from router.answers import Answer as ProxyError
from router.causality import Level
from router.facts import Asks, End, Kind, Modes, Result, Statement
from router.journal import Journal
from router.membership import Node, NodeState
from router.outcomes import Phase
from router.pins import Pins
from router.plan import (
    Plan,
    is_read_only,
    may_begin_late,
    plan,
    plan_prepare,
)
from router.retry import Attempts
from router.session import State
from router.transaction import Stage, Transaction

RELEASED: Final = End(chain=False, release=True)
COMMITS: Final = Statement(kind=Kind.COMMIT, commits=True, end=End())


class Relay(Leaseholder):
    """The session of one client. It is the sink of its backend's replies."""

    __slots__ = (
        "attempts",
        "attributes",
        "causal",
        "closing",
        "collected",
        "commit",
        "contested",
        "counted_here",
        "deferred",
        "delay",
        "digest",
        "flags",
        "foreign",
        "id",
        "initial",
        "insert_ids",
        "journal",
        "keeping",
        "kept",
        "leading",
        "level",
        "marks",
        "metrics",
        "modes",
        "original",
        "parked",
        "phase",
        "pinned",
        "pins",
        "place",
        "policy",
        "prepared",
        "profile",
        "refusal",
        "replay_from",
        "replaying",
        "request",
        "retry_reason",
        "row_count",
        "savepoints",
        "sent",
        "setting",
        "state",
        "synced",
        "task",
        "then",
        "transaction",
    )

    def __init__(
        self,
        cluster: Cluster,
        profile: Profile,
        connection_id: int,
        policy: Policy,
        initial: State,
        *,
        foreign: bool = False,
    ) -> None:
        """`initial`: the state that the session begins in. `foreign`: the client's character set is one that can't be
        read bytewise.
        """
        super().__init__(cluster)
        self.policy = policy
        self.level: Level | None = None  # what the client has set; None: as the policy says
        self.metrics = cluster.metrics
        self.profile = profile
        self.attributes = profile.attributes  # texts and executions say whether they have query attributes
        self.id = connection_id
        self.initial = initial
        self.state = initial
        self.foreign = foreign
        self.modes = Modes.FOREIGN if foreign else 0  # how the server reads this session's texts
        self.prepared = PreparedStatements()
        self.transaction = Transaction()
        self.journal: Journal[Request] = Journal(cluster.journal_space, policy.journal_bytes)

        self.request: Request | None = None  # the command under way
        self.task: asyncio.Task[None] | None = None  # the dispatch under way
        self.parked: parked.Parked | None = None  # or the command waits for a backend, and for nothing else
        self.kept: kept.Kept | None = None  # what it may ask for and no backend has any more
        self.keeping = False  # `task` is asking the backend for that
        self.row_count: int | None = 0  # ROW_COUNT() of its last statement; None: not known
        self.counted_here = False  # that was answered here: no backend has it
        self.pins = Pins()
        self.pinned: str | None = None  # the oldest of them
        self.closing = False  # close when the transaction has ended

        self.place: Place | None = None  # where the transaction has to go, if not anywhere
        self.contested = ""  # the table of the last conflict

        self.savepoints = False  # it uses them, before nodes that hide aborts behind them
        self.causal = False  # it has written, so that not every node is known to have it
        self.synced: set[str] = set()  # the nodes that are
        self.insert_ids = InsertIds()

        self.attempts: Attempts | None = None
        self.delay = 0.0  # seconds before the next attempt
        self.retry_reason = ""
        self.replay_from: Node | None = None  # where the open transaction was
        self.replaying = False  # the open transaction has to be run again from its journal
        self.original: ProxyError | bytes = b""  # the error that made it necessary
        self.deferred: ProxyError | bytes | None = None  # for the next command: the transaction was lost while idle

        self.marks = False  # commits leave markers
        self.commit: commits.Commit | None = None  # the commit under way, if it leaves one, or is of our own

        self.phase = Phase.AUTOCOMMIT
        self.leading = 0  # replies to commands of our own that come first: START TRANSACTION, what sets the state
        self.setting = 0  # of these, the ones that set the state
        self.refusal: Refusal | None = None  # what one of them was refused with
        self.then: Request | None = None  # what the current COMMIT of our own makes room for
        self.sent: bytes | Sent | None = None  # what the client has of the current reply: its first chunk, or more
        self.digest: ReplyDigest | None = None
        self.collected: list[bytes] | None = None  # a reply that has to be changed before it goes on
        self.flags = 0  # the flags that hold whatever runs

    def __repr__(self) -> str:
        where = f" on {self.lease!r}" if self.lease else ""
        pinned = f" pinned by {self.pinned}" if self.pinned else ""
        return f"<Relay {self.id} {self.profile.user} {self.transaction.stage.value}{pinned}{where}>"

    # -- a command comes ----------------------------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Run one command of the client."""
        self.request = request
        if self.task is not None:
            return  # its transaction is being taken up elsewhere; dispatch goes on with the request
        if self.deferred is not None:
            failure.answer_deferred(self, request)
            return
        statement = request.statement
        if statement.end is not None and self.state.releases and statement.end.release is None:
            request.statement = statement = replace(statement, end=RELEASED, result=Result.RELEASES)
        if self.kept is not None and kept.answered(self, request):
            return
        if self.lingering:
            if late.answered(self, request):
                return
            if statement.asks & (Asks.WARNINGS | Asks.ROWS) or (self.only_there and not statement.tables):
                assert self.lease is not None
                self.end_lingering(self.lease)
            else:
                self.give_back()
        if self.marks and commits.stands_alone(self, request):
            commits.begin_alone(self)
        lease = self.lease
        if lease is None:
            if late.answered(self, request):
                return
            wanted = self.plan(request)
            lease = self._take(request, wanted)
        else:
            if (
                statement.transaction is not None
                and self.pinned is None
                and may_begin_late(statement.transaction)
                and not request.long_data
                and not late.of_another_schema(self, request)
            ) or (self.marks and commits.ends_autocommit_off(self, statement)):
                # BEGIN within a transaction: a COMMIT, and then one that begins late.
                self.then = request
                self.request = request = Request(COM_QUERY, self.profile.query(b"COMMIT"), COMMITS)
            wanted = self.plan(request)
        if lease is None:
            if not parked.park(self):
                self.work(request)
        elif is_ready(self, lease, request, wanted):
            launch(self, lease, request, wanted)
        else:
            self.send_later(lease, request, wanted)

    def send_later(self, lease: Backend, request: Request, wanted: Plan) -> None:
        """Send `request` on the lease behind what sets the session's state, or once that is as it has to be."""
        if first := ahead.state_for(self, lease, request, wanted):
            launch(self, lease, request, wanted, first)
        else:
            self.work(request)

    def work(self, request: Request | None, *, confirmed: bool = False) -> None:
        """Let a task bring the session onto a backend and send `request`, see `proxy.dispatch`."""
        working = dispatch.dispatch(self, request, confirmed=confirmed)
        self.task = asyncio.get_running_loop().create_task(working, name=f"dispatch {self.id}")

    def stop_working(self) -> None:
        """Nothing of what was under way is wanted any more, a transaction that is taken up again least of all."""
        if self.task is not None:
            self.task.cancel()
            self.task = None
        parked.stop(self)
        self.cluster.recovery.leave(self)

    def plan(self, request: Request) -> Plan:
        """What the backend must be like for it."""
        if request.code == COM_STMT_PREPARE and self.transaction.stage is not Stage.OPEN:
            return plan_prepare(request.facts, self.state, self.transaction, told=self.one_shot_waits)
        return plan(request.statement, self.state, self.transaction)

    def read_modes(self) -> None:
        self.modes = self.state.modes
        if self.foreign:
            self.modes |= Modes.FOREIGN
        if self.flags & SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            self.modes |= Modes.NO_BACKSLASH_ESCAPES

    def _take(self, request: Request, wanted: Plan) -> Backend | None:
        """A lease that can be had at once, or None."""
        cluster = self.cluster
        statement = request.statement
        if (
            statement.meets
            or self.policy.places
            or (cluster.contention.watchful and self.policy.adapts)
            or cluster.turns.ways
        ):
            self.place = place = places.find(self, request)
            if place is not None:
                return self._take_place(place, wanted)
        now = cluster.now()
        if not self.transaction.started:
            self.transaction.started = now
        node = self.node  # the last one has what may be asked for
        if node is None or not statement.asks or node.state is not NodeState.UP:
            node = cluster.choose(node, now)
        if node is None:
            return None
        backend = cluster.pools[node.name].take(self.profile, self.state, wanted.guarded, self.home(node))
        if backend is not None:
            self.hold(backend)
        return backend

    def _take_place(self, place: Place, wanted: Plan) -> Backend | None:
        """A lease where the transaction has to go, if it can be had at once."""
        node = places.at_once(self, place)
        if node is None:
            return None
        backend = self.cluster.pools[node.name].take(self.profile, self.state, wanted.guarded, self.home(node))
        if backend is not None:
            self.hold(backend)
            places.taken(self)
        return backend

    # -- the reply comes ----------------------------------------------------------------------------------------------

    def reply_data(self, data: bytes) -> None:
        if self.leading or self.refusal is not None:
            return
        if self.collected is not None:
            self.collected.append(data)
            return
        if self.sent is None:
            self.sent = data
        else:
            self.all_sent().add(data)
        self.frontend.write(data)

    def all_sent(self) -> Sent:
        """The part of the current reply that the client has; there is one."""
        sent = self.sent
        if isinstance(sent, bytes):
            self.sent = sent = Sent(sent)
        assert sent is not None
        return sent

    def collect(self) -> None:
        """The next reply is not for the client, or not as it is."""
        self.collected = []

    def reply_done(self, reply: ReplyScanner) -> None:
        if self.leading:
            self.leading -= 1
            if reply.error is not None:
                self._lifted()
                if self.refusal is None:
                    self.refusal = Refusal(reply, of_state=self.setting > 0)
            if self.setting:
                self.setting -= 1
        elif self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            if refusal.of_state:
                ahead.refused(self)
            else:
                failure.opening_refused(self, refusal)
        elif reply.error is not None:
            self._lifted()
            failure.refused(self, reply)
        else:
            succeeded(self, reply)

    def _lifted(self) -> None:
        if self.lease is not None:
            self.lease.lifted = True

    def account(self, outcome: str, backend: Backend) -> float:
        """A transaction, or a statement that is one by itself, has ended; returns the time."""
        pool = backend.pool
        if outcome is COMMITTED:
            ended = pool.committed
        elif outcome is ROLLED_BACK:
            ended = pool.rolled_back
        else:
            ended = self.metrics.transaction_seconds[pool.node.name, outcome]
        now = self.cluster.now()
        ended.observe(now - self.transaction.started)
        return now

    def backend_lost(self, reason: str) -> None:
        """The lease's connection broke, or its node was given up."""
        failure.backend_lost(self, reason)

    # -- the end of a command -----------------------------------------------------------------------------------------

    def answer_ok(self) -> None:
        """Our own OK to the current command."""
        self.row_count = 0
        self.counted_here = True
        self.frontend.write(plain_ok(self.status, self.profile.capabilities))
        self.finish()

    def answer_error(self, error: ProxyError) -> None:
        """Our own error to the current command."""
        self.row_count = -1
        self.counted_here = True
        self.tell(error)
        self.finish(error.closes)

    def tell(self, error: ProxyError | bytes) -> None:
        if not isinstance(error, ProxyError):
            self.frontend.write(error)
        elif self.sent is not None:
            # Within a packet there is no room for an error; a server that dies closes the connection, too.
            self.frontend.abort()
        else:
            self.metrics.errors_made[error.reason] += 1
            self.frontend.write(error_packet(1, error.code, error.sqlstate, error.text))

    def finish(self, close: bool = False) -> None:
        if self.place is not None and self.transaction.stage is not Stage.OPEN:
            places.leave(self, wrote=True)  # of a transaction that has not begun after all
        self.request = None
        self.then = None
        self.sent = None
        if self.transaction.stage is Stage.NONE:
            self.transaction.started = 0.0  # also of a command that began none, or was given up
        if close or (self.closing and self.transaction.stage is Stage.NONE):
            self.frontend.close()
        else:
            self.frontend.ready()

    @property
    def status(self) -> int:
        """SERVER_STATUS flags as they are for the client between commands."""
        flags = self.flags
        if self.state.autocommit:
            flags |= SERVER_STATUS_AUTOCOMMIT
        transaction = self.transaction
        if transaction.stage is not Stage.NONE:
            flags |= SERVER_STATUS_IN_TRANS
            begin = transaction.begin
            if begin is not None and is_read_only(begin, self.state, transaction):
                flags |= SERVER_STATUS_IN_TRANS_READONLY
        return flags

    def end_transaction(self) -> None:
        """No transaction is open any more, however it ended."""
        transaction = self.transaction
        if self.place is not None:
            places.leave(self, wrote=transaction.wrote)
        transaction.clear()
        self.journal.clear()
        self.attempts = None
        self.replaying = False

    def settle(self) -> None:
        """Between two commands: keep the lease only as long as something is left there."""
        if self.pinned is None and self.transaction.stage is not Stage.OPEN and self.lease is not None:
            self.linger(self.lease) if self.only_there else self.give_back()

    @property
    def only_there(self) -> bool:
        """What may be asked of the last statement only its backend knows: warnings, or ROW_COUNT()."""
        return self.warned or self.row_count is None

    def part(self) -> None:
        kept.part(self)

    # -- LOAD DATA LOCAL ----------------------------------------------------------------------------------------------

    def file_wanted(self) -> None:
        """The node asks the client for a file."""
        self.frontend.stream_file(self._file_packet)

    def _file_packet(self, packet: bytes) -> None:
        if self.lease is not None:
            self.lease.forward(packet)

    def node_paused(self) -> None:
        """The node does not keep up with the client's file."""
        self.frontend.hold()

    def node_resumed(self) -> None:
        """It does again."""
        self.frontend.go_on()

    # -- the client ---------------------------------------------------------------------------------------------------

    def client_paused(self) -> None:
        if self.lease is not None:
            self.lease.pause()

    def client_resumed(self) -> None:
        if self.lease is not None:
            self.lease.resume()

    def close_when_idle(self) -> None:
        """Drain: the connection ends with the transaction, or now."""
        self.closing = True
        if self.request is None and self.task is None and self.transaction.stage is not Stage.OPEN:
            self.frontend.close()

    def client_gone(self) -> None:
        """The client's connection is closed."""
        self.closed = True
        self.reset()
        self.journal.release()

    def reset(self) -> None:
        """COM_RESET_CONNECTION: everything but the login and the schema is as at the beginning."""
        self.stop_working()
        if self.transaction.stage is Stage.OPEN and self.lease is not None:
            self.account(ROLLED_BACK, self.lease)
        if self.pinned is None and self.transaction.stage is not Stage.OPEN and self.request is None:
            self.give_back()
        else:
            self.recycle()
        self.savepoints = False
        self.node = None  # nothing that is left there is to be asked for
        kept.forget(self)
        self.row_count = 0
        self.end_transaction()
        self.commit = None
        self.state = self.initial.with_schema(self.state.schema)
        self.level = None
        self.prepared.clear()
        holding.reset(self)
        self.deferred = None
        self.insert_ids.clear()
        self.flags = 0
        self.read_modes()

    def restart(self, profile: Profile, policy: Policy, initial: State, *, foreign: bool) -> None:
        """COM_CHANGE_USER: the same connection, somebody else."""
        self.reset()
        self.profile = profile
        self.attributes = profile.attributes
        self.policy = policy
        self.foreign = foreign
        self.initial = self.state = initial
        self.homes.clear()
        self.read_modes()

    async def select(self, schema: bytes) -> ProxyError | bytes | None:
        """Begin the session in a schema, as the login asked; the error if there is no such schema."""
        self.state = self.initial.with_schema(schema)
        try:
            error = await dispatch.adopt(self)
        except BaseException:
            self.recycle()  # it may owe an answer
            raise
        if error is not None:
            self.state = self.initial
        return error

    def no_reply(self) -> None:
        """The command has none."""
        self.frontend.ready()
