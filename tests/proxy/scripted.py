"""Conversations: the whole proxy between clients and nodes that say what a test tells them to.

Everything between the two is the product's: frontend, session, relay, pool, cluster. Sockets are not: connections are
in memory, and what one side writes in one go arrives in one piece. Nor is time: the loop's clock stands still until a
test lets it pass, so that every call here returns when nothing more happens by itself.

    client = stage.client()
    client.says("SELECT 1")
    stage.one.hears("SELECT 1").says(rows("1"))
    client.hears(rows("1"))

A test has to account for everything: at its end nothing may be left that a node or a client has not been seen to hear,
no lease, no task, no byte of a journal.
"""

import asyncio
import re
import selectors
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Literal, Self

from config import Accounts, Address, Cluster, Config, Endpoint, Limits, Pool, Replay, Secret, User
from proxy import login
from proxy import pool as pool_module
from proxy.channel import ClientChannel
from proxy.login import Connected, ConnectFailed
from proxy.opening import Login
from proxy.pool import NodePool
from proxy.proof import PasswordAccount
from proxy.service import Service
from proxy.session import Session
from proxy.stream import Stream
from proxy.wire.constants import (
    CLIENT_PROTOCOL_41,
    COM_INIT_DB,
    COM_QUERY,
    COM_QUIT,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    COMMAND_NAMES,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
)
from proxy.wire.framing import CommandFramer, frame, message_end, payload_of
from proxy.wire.packets import ServerError, error_packet, parse_error
from router.marker import COMMIT_PROCEDURE, NOT_OURS, SLOT_PROCEDURE
from router.membership import Health, Standing
from router.membership import Node as MemberNode
from tests.wire.speaking import Server

CAPABILITIES = CLIENT_PROTOCOL_41
AUTO = SERVER_STATUS_AUTOCOMMIT
TRANS = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS
READ_ONLY = TRANS | SERVER_STATUS_IN_TRANS_READONLY
MANUAL = 0  # autocommit is off, and nothing has begun
MANUAL_TRANS = SERVER_STATUS_IN_TRANS

# What the proxy says for itself.
GUARD = "SET SESSION TRANSACTION READ ONLY"
UNGUARD = "SET SESSION TRANSACTION READ WRITE"
OPENING = "START TRANSACTION READ WRITE"
WAIT = "SET SESSION wsrep_sync_wait=15"
DO_NOT_WAIT = "SET SESSION wsrep_sync_wait=DEFAULT"

TAKE_SLOT = f"CALL {SLOT_PROCEDURE}"
COMMIT_MARKED = f"CALL {COMMIT_PROCEDURE}"

_POOL_CLOCK = vars(pool_module)

HIGH_WATER = 1 << 16  # bytes written and not taken by a deaf peer, after which a transport says so

TEXTS = {
    1049: ("42000", "Unknown database"),
    1062: ("23000", "Duplicate entry"),
    1064: ("42000", "You have an error in your SQL syntax"),
    1146: ("42S02", "Table doesn't exist"),
    1205: ("HY000", "Lock wait timeout exceeded; try restarting transaction"),
    1213: ("40001", "Deadlock found when trying to get lock; try restarting transaction"),
    1317: ("70100", "Query execution was interrupted"),
    1792: ("25006", "Cannot execute statement in a READ ONLY transaction"),
}


# -- what is said -----------------------------------------------------------------------------------------------------


def query(sql: str) -> bytes:
    return frame(bytes((COM_QUERY,)) + sql.encode())


def command(code: int, payload: bytes = b"") -> bytes:
    return frame(bytes((code,)) + payload)


def ok(status: int = AUTO, *, rows: int = 0, insert_id: int = 0, warnings: int = 0, seq: int = 1) -> bytes:
    server = Server(CAPABILITIES)
    server.seq = seq
    return server.ok(status, rows=rows, insert_id=insert_id, warnings=warnings).sent


def rows(*values: str, status: int = AUTO, warnings: int = 0) -> bytes:
    """A result set of one column."""
    server = Server(CAPABILITIES).columns(1, status)
    for value in values:
        server.row(value.encode())
    return server.end(status, warnings).sent


def error(code: int, text: str = "", *, sqlstate: str = "") -> bytes:
    usual = TEXTS.get(code, ("HY000", "Something is wrong"))
    return error_packet(1, code, sqlstate or usual[0], text or usual[1])


def prepared(statement: int, *, columns: int = 0, params: int = 0, status: int = AUTO) -> bytes:
    """A reply to COM_STMT_PREPARE."""
    server = Server(CAPABILITIES)
    numbers = statement.to_bytes(4, "little") + columns.to_bytes(2, "little") + params.to_bytes(2, "little")
    server.packet(b"\x00" + numbers + bytes(3))
    for count in filter(None, (params, columns)):
        server.definitions(count, status)
    return server.sent


def told(raw: bytes) -> str:
    """A command as a test writes it: the text of a COM_QUERY, otherwise name and argument."""
    payload = payload_of(raw)
    code = payload[0]
    name = COMMAND_NAMES[code]
    if code == COM_QUERY:
        return payload[1:].decode("utf-8", "replace")
    if code in (COM_INIT_DB, COM_STMT_PREPARE):
        return f"{name} {payload[1:].decode('utf-8', 'replace')}"
    if code in (COM_STMT_EXECUTE, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE, COM_STMT_FETCH, COM_STMT_RESET):
        return f"{name} {int.from_bytes(payload[1:5], 'little')}"
    return name


def commands(data: bytes) -> list[bytes]:
    """One write, cut into the commands in it."""
    framer = CommandFramer(1 << 30)
    framer.feed(data)
    found: list[bytes] = []
    while (raw := framer.next()) is not None:
        found.append(raw)
    assert not framer.pending, "a command was cut"
    return found


def packets(data: bytes) -> list[bytes]:
    """What a client got, packet by packet; the last one may be cut."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        end = message_end(data, at)
        end = len(data) if end < 0 else end
        found.append(data[at:end])
        at = end
    return found


# -- no time, no sockets ----------------------------------------------------------------------------------------------


class Nothing(selectors.SelectSelector):
    """Watches no files; being asked to wait means that nothing is left to do now."""

    def __init__(self, clock: "Clock") -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self._clock.turn(timeout)
        return []


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes only in `settle` and `passes`, and then at once."""

    RESTLESS = 100_000  # turns without rest; something calls itself for ever

    def __init__(self) -> None:
        self._now = self._until = 1000.0
        self._turns = 0
        self.faults: list[BaseException | str] = []
        super().__init__(Nothing(self))
        self.set_exception_handler(self._fault)

    def time(self) -> float:
        return self._now

    def turn(self, timeout: float | None) -> None:
        if timeout == 0:
            self._turns += 1
            if self._turns > self.RESTLESS:
                raise AssertionError("the loop does not come to rest")
            return
        self._turns = 0
        if timeout is not None and self._now + timeout <= self._until:
            self._now += timeout
        else:
            self._now = self._until
            self.stop()

    def passes(self, seconds: float) -> None:
        self._until = self._now + seconds
        self.run_forever()
        if self.faults:
            fault = self.faults.pop(0)
            raise fault if isinstance(fault, BaseException) else AssertionError(fault)

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        self.passes(0)

    def does(self, action: Callable[[], object]) -> None:
        """Something happens in the loop."""
        self.call_soon(action)
        self.settle()

    def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run what needs no time."""
        task = self.create_task(work)
        self.settle()
        return task.result()

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(context.get("exception") or context["message"])


class Wire(asyncio.Transport):
    """The proxy's end of a connection in memory, as strict as uvloop's: no write once the connection is lost."""

    def __init__(self, clock: Clock, hear: Callable[[bytes], None]) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol
        self.reading = True
        self.closing = False
        self.aborted = False
        self.lost = False
        self.deaf = False  # the other side does not read
        self.unread = 0  # bytes that wait for it to
        self._clock = clock
        self._hear = hear
        self._arrived: deque[bytes] = deque()
        self._waiting: deque[bytes] = deque()
        self._full = False

    # -- the proxy's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.lost:
            raise RuntimeError("written after the connection was lost")
        if self.closing:
            return
        if not self.deaf:
            self._hear(bytes(data))
            return
        self._waiting.append(bytes(data))
        self.unread += len(data)
        if self.unread > HIGH_WATER and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        if self._arrived:
            self._clock.call_soon(self._deliver)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.breaks(None)

    def abort(self) -> None:
        self.aborted = True
        self.breaks(None)

    # -- the other side

    def arrives(self, data: bytes) -> None:
        self._arrived.append(data)
        self._clock.call_soon(self._deliver)

    def ends(self) -> None:
        """The other side sends no more."""
        if not self.closing and not self.protocol.eof_received():  # type: ignore[attr-defined]
            self.close()

    def breaks(self, reason: Exception | None) -> None:
        if not self.closing:
            self.closing = True
            self._clock.call_soon(self._lose, reason)

    def listens(self) -> None:
        self.deaf = False
        while self._waiting:
            self._hear(self._waiting.popleft())
        self.unread = 0
        if self._full:
            self._full = False
            self.protocol.resume_writing()

    @property
    def held_back(self) -> int:
        """Bytes that arrived and the proxy does not read."""
        return sum(map(len, self._arrived))

    def _deliver(self) -> None:
        if not self._arrived or not self.reading or self.closing:
            return
        data = self._arrived.popleft()
        if isinstance(self.protocol, ClientChannel):
            room = memoryview(self.protocol.get_buffer(-1))
            taken = data[: len(room)]
            room[: len(taken)] = taken
            self.protocol.buffer_updated(len(taken))
            if len(data) > len(taken):
                self._arrived.appendleft(data[len(taken) :])
                self._clock.call_soon(self._deliver)
        else:
            self.protocol.data_received(data)  # type: ignore[attr-defined]

    def _lose(self, reason: Exception | None) -> None:
        self.lost = True
        self.protocol.connection_lost(reason)


# -- those who talk ---------------------------------------------------------------------------------------------------


class Link:
    """One connection of the proxy to a node, seen from the node."""

    def __init__(self, node: "Node", thread_id: int) -> None:
        self.node = node
        self.thread_id = thread_id
        self.file = b""  # of LOAD DATA LOCAL
        self.wire = Wire(node.stage.clock, self._hear)

    def __repr__(self) -> str:
        return f"<Link {self.node.name}#{self.thread_id}{' closed' if self.closed else ''}>"

    def _hear(self, data: bytes) -> None:
        if data[3]:  # no command starts in the middle of an exchange
            self.file += data
            return
        raws = [raw for raw in commands(data) if raw[4] != COM_QUIT]
        answer = self.node.script
        if answer is None:
            if raws:
                self.node.heard.append((self, raws))
            return
        for raw in raws:
            reply = answer(told(raw))
            if reply:
                self.wire.arrives(reply)

    def says(self, *replies: bytes) -> Self:
        """In one piece."""
        self.wire.arrives(b"".join(replies))
        self.node.stage.clock.settle()
        return self

    def stops_reading(self) -> None:
        self.wire.deaf = True

    def reads_on(self) -> None:
        self.node.stage.clock.does(self.wire.listens)

    def drips(self, reply: bytes) -> Self:
        """Byte by byte."""
        for at in range(len(reply)):
            self.wire.arrives(reply[at : at + 1])
        self.node.stage.clock.settle()
        return self

    def breaks(self) -> None:
        self.wire.breaks(ConnectionResetError("Connection reset by peer"))
        self.node.stage.clock.settle()

    @property
    def closed(self) -> bool:
        return self.wire.closing


class Node:
    """A node, or rather what it has been told to be."""

    def __init__(self, stage: "Stage", member: MemberNode) -> None:
        self.stage = stage
        self.member = member
        self.name = member.name
        self.links: list[Link] = []
        self.heard: deque[tuple[Link, list[bytes]]] = deque()
        self.script: Callable[[str], bytes] | None = None
        self.refuses: ConnectFailed | None = None
        self.slow = False  # to let anybody in
        self._door = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Node {self.name} heard {[list(map(told, raws)) for _, raws in self.heard]}>"

    @property
    def pool(self) -> NodePool:
        return self.stage.service.cluster.pools[self.name]

    def hears(self, *expected: str | bytes) -> Link:
        """The next write of the proxy's, on whichever connection, is these commands and no other."""
        assert self.heard, f"{self.name} heard nothing; {self.stage!r}"
        link, raws = self.heard.popleft()
        heard = list(map(told, raws))
        wanted = [told(one) if isinstance(one, bytes) else one for one in expected]
        assert heard == wanted, f"{self.name} heard {heard}, not {wanted}"
        for raw, one in zip(raws, expected, strict=True):
            assert isinstance(one, str) or raw == one
        return link

    def answers(self, script: Callable[[str], bytes]) -> None:
        """From now on, each command by itself; one with no reply with b""."""
        self.script = script

    def lets_in(self) -> None:
        self.slow = False
        self._door.set()
        self.stage.clock.settle()

    def dies(self) -> None:
        """As by SIGKILL: every connection is reset and none is made any more. The monitor has not noticed yet."""
        self.refuses = ConnectFailed(2003, "Connection refused")
        self.heard.clear()
        for link in self.links:
            link.wire.breaks(ConnectionResetError("Connection reset by peer"))
        self.stage.clock.settle()

    def comes_up(self, view: int = -1) -> None:
        """A poll says that it is, and in which view of the cluster."""
        self.refuses = None
        self._polled(Health(standing=Standing.READY, conf_id=view))

    def goes_down(self) -> None:
        """A poll says that it has."""
        self._polled(Health(standing=Standing.OUT, reason="left the cluster"))

    def _polled(self, health: Health) -> None:
        service, clock = self.stage.service, self.stage.clock
        clock.does(
            lambda: service.cluster.apply(
                service.membership.observe(self.name, health, clock.time(), began=clock.time() + 1e-6)
            )
        )

    async def let_in(self, capabilities: int) -> Connected:
        if self.slow:
            await self._door.wait()
        if self.refuses is not None:
            raise self.refuses
        link = Link(self, len(self.links) + 1)
        self.links.append(link)
        stream = Stream()
        return Connected(link.wire, "5.5.5-10.11.19-MariaDB", link.thread_id, capabilities, capabilities, AUTO, stream)


class Asking:
    """A connection over which the proxy asks a node for a commit."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def query(self, sql: str, /) -> list[tuple[str | None, ...]]:
        if self.node.refuses is not None:
            raise self.node.refuses
        slots = self.node.stage.slots
        numbers = list(map(int, re.findall(r"= (\d+)", sql)))
        if sql.startswith("UPDATE"):
            number, _, slot, before = numbers
            if slots.get(slot, (-1, 0))[0] == before:
                slots[slot] = (number, 1)
        elif sql.startswith("SELECT"):
            (slot,) = numbers
            return [tuple(map(str, slots[slot]))] if slot in slots else []
        return []

    def close(self) -> None:
        """Nothing is left of it."""


class Client:
    """A client that has logged in."""

    def __init__(self, stage: "Stage") -> None:
        self.stage = stage
        self.wire = Wire(stage.clock, self._hear)
        self.session: Session
        self.received = bytearray()

    def _hear(self, data: bytes) -> None:
        self.received += data

    def says(self, *said: str | bytes) -> Self:
        """Commands, all in one piece; a string is a COM_QUERY."""
        self.wire.arrives(b"".join(query(one) if isinstance(one, str) else one for one in said))
        self.stage.clock.settle()
        return self

    def drips(self, said: str) -> None:
        """Byte by byte."""
        raw = query(said)
        for at in range(len(raw)):
            self.wire.arrives(raw[at : at + 1])
        self.stage.clock.settle()

    def hears(self, *expected: bytes) -> None:
        """Exactly this, since the last time."""
        received, self.received = bytes(self.received), bytearray()
        assert packets(received) == packets(b"".join(expected)), f"{self.stage!r}"

    def hears_nothing(self) -> None:
        self.hears()

    def hears_error(self, code: int, sqlstate: str = "") -> ServerError:
        """One ERR packet and nothing else."""
        received, self.received = bytes(self.received), bytearray()
        assert received, f"the client heard nothing; {self.stage!r}"
        found = parse_error(payload_of(received))
        assert (found.code, found.sqlstate) == (code, sqlstate or found.sqlstate), str(found)
        return found

    def runs(self, node: Node, sql: str, reply: bytes) -> Link:
        """Says it; the node hears just that and answers; the client hears the answer."""
        self.says(sql)
        link = node.hears(sql).says(reply)
        self.hears(reply)
        return link

    def begins(self, node: Node, sql: str, reply: bytes = ok(TRANS, rows=1)) -> Link:
        """BEGIN, and a first statement that opens the transaction on a guarded backend of the node."""
        self.says("BEGIN")
        self.hears(ok(TRANS))
        self.says(sql)
        if node.heard and told(node.heard[0][1][0]) == GUARD:
            node.hears(GUARD).says(ok())
        link = node.hears(OPENING, sql).says(ok(TRANS), reply)
        self.hears(reply)
        return link

    @property
    def closed(self) -> bool:
        """By the proxy."""
        return self.wire.closing

    def vanishes(self) -> None:
        self.wire.breaks(ConnectionResetError("Connection reset by peer"))
        self.stage.clock.settle()

    def half_closes(self) -> None:
        self.stage.clock.does(self.wire.ends)

    def stops_reading(self) -> None:
        self.wire.deaf = True

    def reads_on(self) -> None:
        self.stage.clock.does(self.wire.listens)


class Stage:
    """A proxy before nodes named one, two and three, of which only the first is up, and room for clients."""

    def __init__(
        self,
        *,
        up: Iterable[str] = ("one",),
        pool: Pool = Pool(),  # noqa: B008  # immutable
        replay: Replay = Replay(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
        flavor: Literal["galera", "group-replication"] = "galera",
        marker: bool = False,
        endpoint: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = Clock()
        names = ("one", "two", "three")
        # Conversations are about one thing at a time: what conflicts teach is not always one of them.
        settings = {"placement": "spread", "commit_marker": marker} | dict(endpoint or {})
        self.config = Config(
            cluster=Cluster(
                flavor=flavor,
                nodes=tuple(Address(name, 3306) for name in names),
                user="monitor",
                password=Secret(""),
            ),
            endpoints=(Endpoint(name="write", listen=Address("127.0.0.1", 3306), **settings),),
            accounts=Accounts(cluster=False),
            users=tuple(User(name=name, password=Secret("")) for name in ("app", "other")),
            pool=pool,
            replay=replay,
            limits=limits,
        )
        self.service: Service = self.clock.finish(self._service())
        self.service.cluster.now = self.clock.time
        self.nodes = [Node(self, member) for member in self.service.membership]
        self.one, self.two, self.three = self.nodes
        self.clients: list[Client] = []
        self.slots: dict[int, tuple[int, int]] = {}  # the markers' table: number and whether that is a tombstone
        self.service.cluster.markers._open = self._ask
        self._dial, login.connect = login.connect, self._connect
        self._monotonic, _POOL_CLOCK["monotonic"] = _POOL_CLOCK["monotonic"], self.clock.time
        for name in up:
            getattr(self, name).comes_up()

    async def _service(self) -> Service:
        return Service(self.config)

    def __repr__(self) -> str:
        sessions = list(self.service.sessions.values())
        pools = list(self.service.cluster.pools.values())
        return f"<Stage {self.nodes} {sessions} {pools}>"

    async def _connect(self, address: tuple[str, int], *, capabilities: int, **_: object) -> Connected:
        for node in self.nodes:
            if node.member.host == address[0]:
                return await node.let_in(capabilities)
        raise AssertionError(f"no node at {address}")

    async def _ask(self, member: MemberNode) -> "Asking":
        node = next(node for node in self.nodes if node.member is member)
        if node.refuses is not None:
            raise node.refuses
        return Asking(node)

    def call(self, sql: str) -> bytes | None:
        """What a procedure of the marker does: the error that it ends in, None for none. It commits what is open."""
        name, _, arguments = sql.partition("(")
        slot, *rest = arguments.rstrip(")").split(", ")
        if name == TAKE_SLOT:
            assert int(slot) not in self.slots
            self.slots[int(slot)] = (0, 0)
            return None
        assert name == COMMIT_MARKED
        number = int(rest[0])
        if self.slots.get(int(slot), (-1, 0))[0] != number - 1:
            return error(1644, NOT_OURS)
        self.slots[int(slot)] = (number, 0)
        return None

    def client(
        self,
        *,
        user: str = "app",
        database: str = "",
        collation: int = 45,
        capabilities: int = CAPABILITIES,
        attributes: Mapping[str, str] | None = None,
    ) -> Client:
        """One that has sent its login. Without a database the answer has come, too, and is not shown again."""
        client = Client(self)
        self.clients.append(client)
        channel = ClientChannel(1 << 16)
        client.wire.protocol = channel
        channel.connection_made(client.wire)
        endpoint = self.service.endpoints[0]
        made = Login(
            channel=channel,
            account=PasswordAccount.of(user, ""),
            connection_id=len(self.clients),
            capabilities=capabilities,
            collation=collation,
            database=database,
            attributes=dict(attributes or {}),
            max_packet=1 << 24,
            host="10.0.0.9",
            port=50000 + len(self.clients),
            tls=False,
            secure=False,
            nonce=bytes(20),
            seq=2,
        )
        endpoint.listener.clients += 1
        client.session = self.clock.finish(self._session(made))
        self.clock.create_task(self._begin(client.session), name="login")
        self.clock.settle()
        if not database:
            client.hears(ok(seq=2))
        return client

    async def _session(self, made: Login) -> Session:
        return Session(self.service, self.service.endpoints[0], made)

    async def _begin(self, session: Session) -> None:
        rest = session.begin()
        if rest is not None:
            await rest

    def passes(self, seconds: float) -> None:
        self.clock.passes(seconds)

    def somewhere(self, *expected: str | bytes) -> Link:
        """One of the nodes hears this, and it is the only one that hears anything."""
        talking = [node for node in self.nodes if node.heard]
        assert len(talking) == 1, f"{self!r}"
        return talking[0].hears(*expected)

    def quiet(self) -> None:
        """No node heard anything."""
        for node in self.nodes:
            assert not node.heard, f"{self!r}"

    def conflicts(self) -> Counter[tuple[str, str]]:
        """By node and phase."""
        found: Counter[tuple[str, str]] = Counter()
        for (node, phase, *_), count in self.service.metrics.conflicts.items():
            found[node, phase] += count
        return found

    def retries(self) -> Counter[tuple[str, str]]:
        """By reason and result."""
        found: Counter[tuple[str, str]] = Counter()
        for (_, _, reason, *_, result), count in self.service.metrics.retries.items():
            found[reason, result] += count
        return found

    # -- the end

    def end(self) -> None:
        """Nothing was left unheard; and when all clients have gone, nothing is left at all."""
        try:
            self.quiet()
            for client in self.clients:
                client.hears_nothing()
            self.leave()
            self.clean()
        finally:
            self.close()

    def leave(self) -> None:
        for client in self.clients:
            client.vanishes()
        self.passes(60)

    def clean(self) -> None:
        service = self.service
        assert not service.sessions
        assert not service.endpoints[0].listener.clients
        assert not service.cluster.journal_space.used
        assert not service.cluster.kept_space.used
        assert not service.cluster.recovery.active
        assert not len(service.cluster.turns)
        assert not service.cluster.turns.waiting
        assert not any(service.cluster.lingering.values())
        for pool in service.cluster.pools.values():
            assert not pool.leased, f"{self!r}"
            assert not pool.waiting
            assert pool.size == pool.idle <= self.config.pool.max_backends
            assert not pool.node.outstanding, f"{self!r}"
        assert not asyncio.all_tasks(self.clock)

    def close(self) -> None:
        login.connect = self._dial
        _POOL_CLOCK["monotonic"] = self._monotonic
        for task in asyncio.all_tasks(self.clock):
            task.cancel()
        self.clock.faults.clear()
        self.clock.create_task(self.service.cluster.close())
        self.clock.passes(60)
        self.clock.close()
