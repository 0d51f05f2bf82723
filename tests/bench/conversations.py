"""What the relay does for a client, held again and again with nothing else around it: no socket, no time, no chance.

The stage of tests/proxy/scripted.py sets it up. From then on a turn is plain calls: the client's bytes into its
protocol, what the proxy writes to the node noted, the node's answer, made beforehand, into the backend's protocol. What
is left of the harness is a few dozen byte codes a turn.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_MULTI_RESULTS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_PS_MULTI_RESULTS,
    CLIENT_SESSION_TRACK,
    CLIENT_TRANSACTIONS,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
)
from router.contention import FEW, Conflict
from tests.proxy.scripted import Link, Stage, Wire, command, query, told
from tests.wire.speaking import Server

# What libmariadb and libmysqlclient agree on with a server.
CAPABILITIES = (
    CLIENT_PROTOCOL_41
    | CLIENT_FOUND_ROWS
    | CLIENT_TRANSACTIONS
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_PLUGIN_AUTH
    | CLIENT_SESSION_TRACK
    | CLIENT_DEPRECATE_EOF
)
COLUMN = b"12345678901-" * 10  # as wide as sysbench's


class NodeSide:
    """Answers as a server in autocommit does, and knows when a transaction is open."""

    def __init__(self) -> None:
        self.status = SERVER_STATUS_AUTOCOMMIT

    def reply(self, raw: bytes) -> bytes:
        said = told(raw)
        server = Server(CAPABILITIES)
        if raw[4] == COM_STMT_PREPARE:
            return server.prepared(1, 1, 1).sent
        if raw[4] == COM_STMT_EXECUTE:
            return server.columns(1, self.status).binary_row(COLUMN).end(self.status).sent
        if said.startswith("START TRANSACTION"):
            self.status |= SERVER_STATUS_IN_TRANS
        elif said in ("COMMIT", "ROLLBACK"):
            self.status &= ~SERVER_STATUS_IN_TRANS
        if not said.startswith("SELECT"):
            return server.ok(self.status, rows=said.startswith("UPDATE")).sent
        server.columns(1, self.status)
        for _ in range(100 if "BETWEEN" in said else 1):
            server.row(COLUMN)
        return server.end(self.status).sent


class Script(NamedTuple):
    """What is said again and again, so many `times` where it is counted, and once before that. `hot`: a table that
    conflicts have given an owner.
    """

    turns: list[bytes]
    times: int
    before: tuple[bytes, ...] = ()
    hot: str = ""


class Conversation:
    """One client that says the same things again and again."""

    def __init__(self, stage: Stage, script: Script) -> None:
        self._stage = stage
        self._node = NodeSide()
        self._wrote: deque[Wire] = deque()
        self._data: deque[bytes] = deque()
        self._known: set[Link] = set()
        self.replies = 0
        """Writes to the client."""
        self.client = stage.client(capabilities=CAPABILITIES)
        self.client.wire._hear = self._client_hears  # type: ignore[method-assign]
        self._rounds: list[tuple[bytes, list[bytes]]] = []
        for turn in script.before:
            self._learn(turn)
        if script.hot:
            stage.clock.does(lambda: self._heat(script.hot))
        # Three times: the first one connects, the second one finds what the first one left.
        for _ in range(3):
            self._rounds = [(turn, self._learn(turn)) for turn in script.turns]

    def run(self, times: int) -> None:
        """All turns, so many times. To be called in the loop."""
        client, wrote, ready = self.client.wire, self._wrote, self._stage.clock._ready  # type: ignore[attr-defined]
        for link in self._known:
            link.wire._hear = self._replayed(link)  # type: ignore[method-assign]
        for _ in range(times):
            for raw, replies in self._rounds:
                client._arrived.append(raw)
                client._deliver()
                while ready:
                    ready.popleft()._run()
                for reply in replies:
                    node = wrote.popleft()
                    node._arrived.append(reply)
                    node._deliver()
                    while ready:
                        ready.popleft()._run()
        assert not wrote, "it wrote to the node what it had not written before"

    def _heat(self, table: str) -> None:
        cluster = self._stage.service.cluster
        for _ in range(int(FEW)):
            cluster.contention.conflict(Conflict(table, changed=(table,)), 0, cluster.now())

    def _client_hears(self, data: bytes) -> None:
        self.replies += 1

    def _replayed(self, link: Link) -> Callable[[bytes], None]:
        append, wire = self._wrote.append, link.wire
        return lambda data: append(wire)

    def _learn(self, raw: bytes) -> list[bytes]:
        """Say it once, and return what the node answered, write by write."""
        stage, given = self._stage, []
        self.client.wire.arrives(raw)
        stage.clock.settle()
        while stage.one.heard:
            link, raws = stage.one.heard.popleft()
            self._known.add(link)
            given.append(b"".join(map(self._node.reply, raws)))
            link.says(given[-1])
        return given


def execute(number: int, *, bound: bool) -> bytes:
    """COM_STMT_EXECUTE of the first statement with one BIGINT, its type told or not."""
    types = b"\x01\x08\x00" if bound else b"\x00"
    return command(
        COM_STMT_EXECUTE,
        (1).to_bytes(4, "little") + b"\x00\x01\x00\x00\x00" + b"\x00" + types + number.to_bytes(8, "little"),
    )


def point_selects() -> list[bytes]:
    return [query(f"SELECT c FROM sbtest1 WHERE id={5000 + number}") for number in range(20)]


def ranges() -> list[bytes]:
    return [query(f"SELECT c FROM sbtest1 WHERE id BETWEEN {number} AND {number + 99}") for number in range(100, 104)]


def transaction() -> list[bytes]:
    """The first statements of sysbench's oltp_read_write, and as many writes."""
    return [
        query("BEGIN"),
        *point_selects()[:4],
        *(query(f"UPDATE sbtest1 SET k=k+1 WHERE id={5000 + number}") for number in range(3)),
        query("DELETE FROM sbtest1 WHERE id=5004"),
        query("INSERT INTO sbtest1 (id, k, c, pad) VALUES (5004, 7, '" + COLUMN.decode() + "', 'pad')"),
        query("COMMIT"),
    ]


def increment() -> list[bytes]:
    """A counter is fought over."""
    return [
        query("BEGIN"),
        query("UPDATE sbtest1 SET k=k+1 WHERE id=5000"),
        query("INSERT INTO done (n) VALUES (1)"),
        query("COMMIT"),
    ]


PREPARE = (command(COM_STMT_PREPARE, b"SELECT c FROM sbtest1 WHERE id=?"), execute(1, bound=True))

CONVERSATIONS = {
    "point-select text": Script(point_selects(), 15),
    "point-select prepared": Script([execute(number, bound=False) for number in range(20)], 15, PREPARE),
    "100 rows text": Script(ranges(), 25),
    "transaction text": Script(transaction(), 25),
    "transaction on a hot table": Script(increment(), 25, hot=".sbtest1"),
}
