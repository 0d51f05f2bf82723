"""Whatever clients say and whatever becomes of nodes: nothing is executed twice, nothing committed is invented.

The nodes here keep a table as servers do, with transactions, read-only sessions and autocommit; they refuse, lose
conflicts, break off in the middle of replies and die. The clients remember what they were told. At the end the two are
compared: each row is there at most once, there if a client was told so, and not there if it was told that.
"""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Pool, Replay
from proxy.wire.constants import COM_PING, COM_RESET_CONNECTION, COM_STMT_CLOSE
from proxy.wire.framing import payload_of
from tests.proxy.scripted import (
    COMMIT_MARKED,
    OPENING,
    Client,
    Link,
    Node,
    Stage,
    command,
    error,
    ok,
    packets,
    query,
    rows,
    told,
)

PING = command(COM_PING)
RESET = command(COM_RESET_CONNECTION)

SAID = [
    *("BEGIN", "COMMIT") * 3,
    "ROLLBACK",
    "COMMIT AND CHAIN",
    "START TRANSACTION READ ONLY",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    "SAVEPOINT a",
    "SELECT c FROM t",
    "SELECT c FROM t WHERE id = 1 FOR UPDATE",
    "SELECT @@tx_read_only",
    "SHOW WARNINGS",
    "SET autocommit=0",
    "SET autocommit=1",
    "SET sql_mode='ANSI'",
    "SET sql_mode=''",
    "SET @a = NOW()",
    "CREATE TABLE x (a INT)",
    "COM_PING",
    "COM_RESET_CONNECTION",
]


def row_of(said: str) -> int | None:
    """The row that an INSERT makes; no two are the same."""
    return int(said.rpartition("(")[2].rstrip(")")) if said.startswith("INSERT") else None


class Server:
    """One session at a node, as far as it decides what is committed. `table` is all nodes' and has what is."""

    def __init__(self, table: list[int], stage: Stage | None = None) -> None:
        self.table = table
        self.stage = stage  # has the markers
        self.reset()

    def reset(self) -> None:
        self.autocommit = True
        self.read_only = False  # the session's default
        self.open = False
        self.open_read_only = False
        self.rows: list[int] = []  # of the open transaction

    @property
    def status(self) -> int:
        return (2 if self.autocommit else 0) | (1 if self.open else 0) | (0x2000 if self.open_read_only else 0)

    def begin(self, read_only: bool) -> None:
        self.open, self.open_read_only = True, read_only

    def end(self, *, commit: bool) -> None:
        if commit:
            self.table.extend(self.rows)
        self.rows = []
        self.open = self.open_read_only = False

    def writes(self, row: int) -> bytes:
        if not self.open and not self.autocommit:
            self.begin(self.read_only)
        if self.open_read_only or (self.read_only and not self.open):
            return error(1792)
        if self.open:
            self.rows.append(row)
        else:
            self.table.append(row)
        return ok(self.status, rows=1)

    def calls(self, said: str) -> bytes:
        """A procedure of the marker, which commits if it has done its own."""
        assert self.stage is not None
        if self.open_read_only or (self.read_only and not self.open):
            return error(1792)
        refused = self.stage.call(said)
        if refused is not None:
            return refused
        self.end(commit=True)
        if said.endswith(", 1)"):
            self.begin(read_only=False)
        return ok(self.status, rows=1)

    def answers(self, said: str) -> bytes:
        upper = said.upper()
        if (row := row_of(said)) is not None:
            return self.writes(row)
        if upper.startswith(("BEGIN", "START")):
            self.end(commit=True)
            self.begin("READ ONLY" in upper or (self.read_only and "READ WRITE" not in upper))
        elif upper.startswith(("COMMIT", "ROLLBACK")):
            chained = self.open and self.open_read_only
            self.end(commit=upper.startswith("COMMIT"))
            if upper.endswith("CHAIN"):
                self.begin(chained)
        elif upper.startswith("CALL"):
            return self.calls(said)
        elif upper.startswith("CREATE"):
            if self.open_read_only or (self.read_only and not self.open):
                return error(1792)
            self.end(commit=True)
        elif upper.startswith("SET SESSION TRANSACTION"):
            self.read_only = upper.endswith("ONLY")
        elif said == "COM_RESET_CONNECTION":
            self.reset()
        elif "AUTOCOMMIT=" in upper:
            on = "AUTOCOMMIT=1" in upper
            if on and not self.autocommit:
                self.end(commit=True)
            self.autocommit = on
        elif upper.startswith("SELECT"):
            if "FROM T" in upper and not self.open and not self.autocommit:
                self.begin(self.read_only)
            return rows("7", status=self.status)
        elif upper.startswith("SHOW"):
            return rows("7", status=self.status)
        return ok(self.status)


class Memory:
    """What one client was told about its rows."""

    def __init__(self) -> None:
        self.autocommit = True
        self.open = False
        self.unsure = (
            False  # whether a transaction is open: with no node to be had, that depends on whether it had begun
        )
        self.rows: list[int] = []  # of the open transaction
        self.there: list[int] = []
        self.not_there: list[int] = []
        self.awaits: str | None = None

    def ends(self, fate: list[int] | None) -> None:
        if fate is not None:
            fate.extend(self.rows)
        self.rows = []
        self.open = False

    def hears(self, reply: bytes) -> None:
        said, self.awaits = self.awaits or "", None
        upper = said.upper()
        switched_on = upper.endswith("AUTOCOMMIT=1") and not self.autocommit
        ends_it = switched_on or upper.startswith(("BEGIN", "START", "COMMIT", "CREATE"))
        row = row_of(said)
        payload = payload_of(packets(reply)[0])
        code = payload[1] | payload[2] << 8 if payload[0] == 0xFF else 0
        if code:
            if row is not None and code != 1180:
                self.not_there.append(row)
            if code == 1180:
                self.ends(None)  # nobody knows
            elif code in (1213, 1047, 1040, 3168) or (code == 1317 and ends_it):
                self.unsure = self.open and code in (1040, 3168)
                self.ends(self.not_there)
            return
        if self.unsure and (row is not None or "AUTOCOMMIT=" in upper):
            return
        self.unsure = False if ends_it or upper == "ROLLBACK" else self.unsure
        if ends_it:
            self.ends(self.there)
        elif upper in ("ROLLBACK", "COM_RESET_CONNECTION"):
            self.ends(self.not_there)
        if upper.startswith(("BEGIN", "START")) or upper.endswith("CHAIN"):
            self.open = True
        elif "AUTOCOMMIT=" in upper or said == "COM_RESET_CONNECTION":
            self.autocommit = "AUTOCOMMIT=0" not in upper
        elif row is not None:
            if self.open or not self.autocommit:
                self.open = True
                self.rows.append(row)
            else:
                self.there.append(row)


class World:
    """Clients, nodes and chance."""

    def __init__(self, chance: Random, *, marker: bool) -> None:
        self.chance = chance
        self.late: list[tuple[Link, list[bytes]]] = []  # commands that a node still has whose connection is lost
        self.stage = Stage(
            marker=marker,
            up=("one", "two", "three"),
            pool=Pool(max_backends=chance.choice([3, 5, 9]), acquire_timeout=3.0),
            replay=Replay(max_attempts=4, max_time=3.0),
        )
        self.stage.service.cluster._chance.seed(chance.getrandbits(32))
        self.table: list[int] = []
        self.servers: dict[Link, Server] = {}
        self.memories: list[Memory] = []
        self.clients: list[tuple[Client, Memory]] = []
        self.last_row = 0
        for _ in range(3):
            self.clients.append(self.newcomer())

    def newcomer(self) -> tuple[Client, Memory]:
        self.memories.append(Memory())
        return self.stage.client(), self.memories[-1]

    def somebody_speaks(self) -> None:
        which = self.chance.randrange(len(self.clients))
        if self.clients[which][0].closed:
            self.clients[which] = self.newcomer()
        client, memory = self.clients[which]
        if memory.awaits is not None:
            return
        said = self.chance.choice(SAID)
        if self.chance.random() < 0.45:
            self.last_row += 1
            said = f"INSERT INTO t (c) VALUES ({self.last_row})"
        memory.awaits = said
        client.says({"COM_PING": PING, "COM_RESET_CONNECTION": RESET}.get(said, query(said)))

    def server(self, link: Link) -> Server:
        return self.servers.setdefault(link, Server(self.table, self.stage))

    def dies(self, node: Node) -> None:
        """What it has heard it may yet do: a commit can land long after its connection was lost."""
        self.late.extend(node.heard)
        node.dies()

    def something_lands(self) -> None:
        if self.late:
            link, raws = self.late.pop(self.chance.randrange(len(self.late)))
            for raw in raws:
                if raw[4] != COM_STMT_CLOSE:
                    self.server(link).answers(told(raw))

    def refusal(self, server: Server, said: str) -> bytes | None:
        """What may come instead of an answer, and has not executed anything."""
        luck = self.chance.random()
        if luck < 0.05:
            server.end(commit=False)
            return error(1213)
        if luck < 0.07 and said.startswith(("INSERT", "SELECT")):
            return error(self.chance.choice([1062, 1205, 1317]))
        if luck < 0.09:
            return error(1047, "WSREP has not yet prepared node for application use")
        if luck < 0.11 and said in (OPENING, "COMMIT"):
            server.end(commit=False)
            return error(1317)
        if luck < 0.12 and said.startswith("CALL"):
            return error(1370)
        if luck < 0.14 and said.startswith(COMMIT_MARKED):
            # Killed: before it committed, or behind that.
            if self.chance.random() < 0.5:
                server.answers(said)
            server.end(commit=False)
            return error(1317)
        return None

    def a_node_answers(self, *, well: bool = False) -> None:
        talking = [node for node in self.stage.nodes if node.heard]
        if not talking:
            return
        link, raws = self.chance.choice(talking).heard.popleft()
        if link.closed:
            self.late.append((link, raws))
            return
        server = self.server(link)
        replies: list[bytes] = []
        for raw in raws:
            if raw[4] != COM_STMT_CLOSE:
                refused = None if well else self.refusal(server, told(raw))
                replies.append(server.answers(told(raw)) if refused is None else refused)
        whole = b"".join(replies)
        if well or self.chance.random() > 0.08:
            link.says(whole)
            return
        cut = self.chance.randrange(len(whole)) if whole else 0
        if cut:
            link.says(whole[:cut])
        link.breaks()

    def steps(self) -> Iterator[None]:
        for _ in range(self.chance.randint(10, 80)):
            luck = self.chance.random()
            node = self.chance.choice(self.stage.nodes)
            if luck < 0.4:
                self.somebody_speaks()
            elif luck < 0.88:
                self.a_node_answers()
            elif luck < 0.905:
                self.dies(node)
            elif luck < 0.95:
                node.comes_up()
            elif luck < 0.955:
                node.goes_down()
            else:
                self.stage.passes(self.chance.choice([0.01, 0.1, 2]))
            if self.chance.random() < 0.1:
                self.something_lands()
            yield
        for node in self.stage.nodes:
            node.comes_up()
        for _ in range(300):
            if not any(node.heard for node in self.stage.nodes):
                self.stage.passes(0.3)
            self.a_node_answers(well=True)
            yield
            if all(client.closed or memory.awaits is None for client, memory in self.clients):
                return
        raise AssertionError(f"somebody was never answered: {self.stage!r}")

    def listens(self) -> None:
        for client, memory in self.clients:
            if memory.awaits is not None and client.received and client.session.relay.request is None:
                memory.hears(bytes(client.received))
            client.received.clear() if memory.awaits is None else None
            if client.closed:
                memory.awaits = None
                memory.ends(None)


@pytest.mark.parametrize("marker", [False, True], ids=["plain", "marked"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, derandomize=True)
def test_rows_are_there_once_and_as_told(marker: bool, seed: int) -> None:
    world = World(Random(seed), marker=marker)
    stage = world.stage
    for _ in world.steps():
        world.listens()
    while world.late:
        world.something_lands()
    count = Counter(world.table)
    assert not [row for row, times in count.items() if times > 1], "executed twice"
    for memory in world.memories:
        assert not [row for row in memory.there if row not in count], "told that it is there"
        assert not [row for row in memory.not_there if row in count], "told that it is not there"
    for client in stage.clients:
        client.received.clear()
    for node in stage.nodes:
        node.answers(lambda said: ok())
        node.heard.clear()
    stage.end()


@pytest.mark.parametrize("read_only", [False, True])
def test_the_nodes_here_refuse_as_real_ones_do(read_only: bool) -> None:
    """What the above leans on: no statement writes by itself in a read-only session."""
    table: list[int] = []
    server = Server(table)
    if read_only:
        server.answers("SET SESSION TRANSACTION READ ONLY")
    refused = server.answers("INSERT INTO t (c) VALUES (1)") == error(1792)
    assert refused is read_only
    server.answers("START TRANSACTION READ WRITE")
    server.answers("INSERT INTO t (c) VALUES (2)")
    assert 2 not in table
    server.answers("COMMIT")
    assert 2 in table
