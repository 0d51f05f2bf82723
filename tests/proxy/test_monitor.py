"""The monitor: what it asks, when it asks again, and what it tells the membership. Nodes are scripted but for one."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from proxy.counters import Metrics
from proxy.login import ConnectFailed
from proxy.monitor import Monitor
from proxy.wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_QUERY_ATTRIBUTES
from router.galera import PREPARE, QUESTION
from router.membership import Membership, Node, NodeState, Transition
from router.outcomes import NodeSign
from tests.proxy.plain_mariadb import PlainMariadb, plain_mariadb

UUID = "6f1e5c3c-0000-11ee-8c99-0242ac120002"
SYNCED = {
    "wsrep_cluster_conf_id": "3", "wsrep_cluster_state_uuid": UUID, "wsrep_cluster_status": "Primary",
    "wsrep_connected": "ON", "wsrep_flow_control_paused_ns": "0", "wsrep_local_recv_queue": "0",
    "wsrep_local_state": "4", "wsrep_local_state_comment": "Synced", "wsrep_ready": "ON",
}  # fmt: skip
VARIABLES = {
    "read_only": "0", "wsrep_desync": "0", "wsrep_on": "1", "wsrep_reject_queries": "NONE", "wsrep_sst_method": "rsync",
}  # fmt: skip
GONE = ConnectFailed(2013, "Lost connection")
REFUSED = ConnectFailed(2003, "Can't connect (Connection refused)")

Reply = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Password:
    text: str = "monitor"

    def reveal(self) -> str:
        return self.text


@dataclass(frozen=True)
class Account:
    user: str = "monitor"
    password: Password = Password()


@dataclass(frozen=True)
class Settings:
    interval: float = 0.01
    timeout: float = 0.2


@dataclass
class Server:
    """A node as the monitor meets it. `ask` runs at each question; it may wait or raise."""

    status: dict[str, str] = field(default_factory=lambda: dict(SYNCED))
    variables: dict[str, str] = field(default_factory=lambda: dict(VARIABLES))
    refuse: ConnectFailed | None = None
    ask: Reply | None = None
    offered: int = CLIENT_QUERY_ATTRIBUTES | CLIENT_DEPRECATE_EOF
    logins: int = 0
    questions: int = 0
    said: list[str] = field(default_factory=list)
    open: int = 0

    async def connect(self) -> "Conversation":
        if self.refuse is not None:
            raise self.refuse
        self.logins += 1
        self.open += 1
        return Conversation(self)


class Conversation:
    version = "5.5.5-10.11.6-MariaDB"
    collation = 45

    def __init__(self, server: Server) -> None:
        self._server = server
        self._closed = False
        self.offered = server.offered

    async def query(self, sql: str, /) -> list[tuple[str | None, ...]]:
        server = self._server
        server.said.append(sql)
        if sql != QUESTION:
            return []
        server.questions += 1
        if server.ask is not None:
            await server.ask()
        return [("\n".join(f"{name}={value}" for name, value in (server.status | server.variables).items()),)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.open -= 1


class World:
    """A monitor over scripted servers."""

    def __init__(self, names: tuple[str, ...] = ("a", "b", "c"), settings: Settings | None = None) -> None:
        self.servers = {name: Server() for name in names}
        self.membership = Membership([Node(name, 3306, name=name) for name in names])
        self.metrics = Metrics()
        self.transitions: list[Transition] = []
        self.monitor = Monitor(
            Account(), settings or Settings(), self.membership, self.metrics, self.transitions.extend,
            open_connection=lambda node: self.servers[node.name].connect(),
        )  # fmt: skip

    def state(self, name: str) -> NodeState:
        return self.membership[name].state

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


Scenario = Callable[[World], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    async def scene(scenario: Scenario, world: World) -> None:
        try:
            async with asyncio.timeout(10):
                await scenario(world)
        finally:
            await world.monitor.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(server.open == 0 for server in world.servers.values()), "no connection is left"

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda scenario, settings=None: runner.run(scene(scenario, World(settings=settings)))


async def never() -> None:
    await asyncio.Event().wait()


async def lost() -> None:
    raise GONE


def test_after_the_first_round_the_healthy_nodes_are_writers(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.servers["b"].refuse = REFUSED
        world.monitor.start()
        await world.monitor.first_round()
        assert [node.name for node in world.membership.writers] == ["a", "c"]
        assert world.membership["b"].state is NodeState.DOWN
        assert world.membership["b"].reason == REFUSED.message
        assert world.monitor.version == Conversation.version
        assert set(world.monitor.versions) == {"a", "c"}

    run(scenario, Settings(interval=60))


def test_what_clients_are_offered_is_what_every_node_has(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.servers["b"].offered = CLIENT_DEPRECATE_EOF
        world.servers["c"].refuse = REFUSED
        assert world.monitor.capabilities == 0
        world.monitor.start()
        await world.monitor.first_round()
        assert world.monitor.capabilities == CLIENT_DEPRECATE_EOF

    run(scenario, Settings(interval=60))


def test_the_first_round_ends_though_a_node_does_not_answer(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.servers["a"].ask = never
        world.monitor.start()
        await world.monitor.first_round()
        assert world.state("a") is NodeState.DOWN
        assert world.membership["a"].reason == "no answer to the monitor within 0.25 s"
        assert [node.name for node in world.membership.writers] == ["b", "c"]

    run(scenario, Settings(timeout=0.25))


def test_one_connection_and_one_question_per_poll(run: Run) -> None:
    async def scenario(world: World) -> None:
        server = world.servers["a"]
        world.monitor.start()
        await world.until(lambda: server.questions >= 4)
        assert server.logins == 1
        assert server.said[:1] == [PREPARE]
        assert set(server.said[1:]) == {QUESTION}

    run(scenario)


def test_changes_are_told_once_with_their_reason(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.monitor.first_round()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.transitions.clear()
        world.servers["b"].status["wsrep_cluster_status"] = "non-Primary"
        await world.until(lambda: bool(world.transitions))
        seen = world.servers["b"].questions
        await world.until(lambda: world.servers["b"].questions > seen + 2)
        (change,) = world.transitions
        assert (change.node.name, change.old, change.new) == ("b", NodeState.UP, NodeState.DOWN)
        assert change.reason == "not in the primary component: cluster status non-Primary"
        world.servers["b"].status["wsrep_cluster_status"] = "Primary"
        await world.until(lambda: world.state("b") is NodeState.UP)

    run(scenario)


def test_a_lost_connection_to_a_living_node_is_no_news(run: Run) -> None:
    """KILL of the monitor's connection: the same poll logs in again and hears that all is well."""

    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.transitions.clear()
        server = world.servers["a"]

        async def lost_once() -> None:
            server.ask = None
            raise GONE

        server.ask = lost_once
        seen = server.questions
        await world.until(lambda: server.questions >= seen + 3)
        assert server.logins == 2
        assert world.transitions == []

    run(scenario)


def test_a_node_that_closes_and_refuses_is_down_at_once(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.servers["a"].ask, world.servers["a"].refuse = lost, REFUSED
        world.monitor.check_now("a")
        await world.until(lambda: world.state("a") is not NodeState.UP)
        assert world.state("a") is NodeState.DOWN
        assert world.metrics.monitor_polls["a", "error"] == 1
        world.servers["a"].ask = world.servers["a"].refuse = None
        await world.until(lambda: world.state("a") is NodeState.UP)

    run(scenario)


def test_a_node_that_does_not_answer_is_suspect_then_down(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.servers["a"].ask = never
        await world.until(lambda: world.state("a") is NodeState.DOWN)
        assert [change.new for change in world.transitions[-2:]] == [NodeState.SUSPECT, NodeState.DOWN]
        assert world.metrics.monitor_polls["a", "timeout"] >= 2
        assert world.state("b") is NodeState.UP, "the others are asked meanwhile"

    run(scenario, Settings(timeout=0.25))


def test_while_a_node_is_silent_the_others_are_asked_often_whether_they_went_on(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.monitor.first_round()
        world.servers["a"].ask = never
        world.monitor.check_now("a")
        await world.until(lambda: world.state("a") is NodeState.SUSPECT)
        for name in ("b", "c"):
            world.servers[name].status["wsrep_cluster_conf_id"] = "4"
        await world.until(lambda: world.state("a") is NodeState.DOWN)
        assert "the others went on" in world.membership["a"].reason

    run(scenario, Settings(interval=60, timeout=0.5))


def test_a_node_without_a_free_connection_is_not_down(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.servers["a"].ask, world.servers["a"].refuse = lost, ConnectFailed(1040, "Too many connections")
        await world.until(lambda: world.metrics.monitor_polls["a", "full"] > 0)
        assert world.state("a") is NodeState.UP
        assert world.membership["a"].penalty_until > 0

    run(scenario)


def test_a_sign_is_judged_by_a_poll_that_begins_after_it(run: Run) -> None:
    """The poll that runs when the sign comes says how the node was before; its successor comes without delay."""

    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.monitor.first_round()
        server = world.servers["a"]
        answer = asyncio.Event()
        asked = asyncio.Event()

        async def hold() -> None:
            asked.set()
            await answer.wait()

        server.ask = hold
        world.monitor.check_now("a")
        await asked.wait()
        loop = asyncio.get_running_loop()
        world.membership.sign("a", NodeSign.SUSPECT, "connection reset", loop.time())
        world.monitor.check_now("a")
        seen = server.questions
        answer.set()
        server.ask = None
        await world.until(lambda: world.state("a") is NodeState.UP)
        assert server.questions == seen + 1

    run(scenario, Settings(interval=60, timeout=5))


def test_many_wishes_make_few_polls(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.monitor.first_round()
        server = world.servers["a"]
        seen = server.questions
        began = time.monotonic()
        while time.monotonic() < began + 0.1:
            world.monitor.check_now("a")
            await asyncio.sleep(0)
        assert 1 < server.questions - seen <= (time.monotonic() - began) / 0.01 + 2

    run(scenario, Settings(interval=60))


def test_a_stall_of_our_own_loop_is_not_held_against_the_node(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        world.transitions.clear()
        server = world.servers["a"]

        async def late_once() -> None:
            server.ask = None
            asyncio.get_running_loop().call_soon(time.sleep, 0.3)
            await never()

        server.ask = late_once
        seen = server.questions
        await world.until(lambda: server.questions >= seen + 3)
        assert world.transitions == []
        assert world.metrics.monitor_polls["a", "timeout"] == 0
        assert world.state("a") is NodeState.UP

    run(scenario)


def test_a_stall_is_an_excuse_only_once(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)

        async def late() -> None:
            asyncio.get_running_loop().call_soon(time.sleep, 0.3)
            await never()

        world.servers["a"].ask = late
        await world.until(lambda: world.state("a") is not NodeState.UP)
        assert world.state("a") is NodeState.SUSPECT

    run(scenario, Settings(timeout=0.25))


def test_a_fault_of_ours_does_not_end_the_watch(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: len(world.membership.writers) == 3)
        server = world.servers["a"]

        async def fault() -> None:
            server.ask = None
            raise KeyError("ours")

        server.ask = fault
        seen = server.questions
        await world.until(lambda: server.questions >= seen + 3)
        assert world.state("a") is NodeState.UP
        assert [record.msg for record in caplog.records] == ["monitor.failed"]

    run(scenario)


def test_each_poll_is_counted_and_timed(run: Run) -> None:
    async def scenario(world: World) -> None:
        world.monitor.start()
        await world.until(lambda: world.metrics.monitor_polls["a", "ok"] >= 3)
        histogram = world.metrics.monitor_seconds["a"]
        assert histogram.count == world.metrics.monitor_polls["a", "ok"]
        assert histogram.sum > 0

    run(scenario)


# --- a real server ---


@pytest.fixture(scope="module")
def server() -> Iterator[PlainMariadb]:
    with plain_mariadb("--collation-server=utf8mb4_unicode_ci") as started:
        yield started


def against(server: PlainMariadb, password: str, timeout: float = 5.0) -> tuple[Membership, Monitor]:
    membership = Membership([Node(*server.address, name="n")])
    settings = Settings(interval=0.02, timeout=timeout)
    return membership, Monitor(Account(password=Password(password)), settings, membership, Metrics(), lambda _: None)


def test_a_server_without_galera_is_asked_and_refused(server: PlainMariadb) -> None:
    async def main() -> None:
        membership, monitor = against(server, "monitor")
        monitor.start()
        await monitor.first_round()
        assert membership["n"].state is NodeState.DOWN
        assert membership["n"].reason == "wsrep is off: this server belongs to no Galera cluster"
        assert monitor.version.removeprefix("5.5.5-") == server.sql("SELECT VERSION()").strip()
        assert monitor.collation == 224  # from it some clients choose their character set
        await monitor.close()

    uvloop.run(main())


def test_the_question_needs_no_privilege_and_sees_read_only(server: PlainMariadb) -> None:
    async def main() -> None:
        membership, monitor = against(server, "monitor")
        server.sql("SET GLOBAL read_only = ON")
        monitor.start()
        await monitor.first_round()
        health = membership["n"].health
        assert health is not None
        assert health.read_only
        server.sql("SET GLOBAL read_only = OFF")
        while (health := membership["n"].health) is None or health.read_only:
            await asyncio.sleep(0.001)
        await monitor.close()

    uvloop.run(main())


def test_a_wrong_password_of_the_monitor_is_the_reason(server: PlainMariadb) -> None:
    async def main() -> None:
        membership, monitor = against(server, "wrong")
        monitor.start()
        await monitor.first_round()
        assert membership["n"].reason == "Access denied for user 'monitor'@'127.0.0.1' (using password: YES)"
        await monitor.close()

    uvloop.run(main())


def test_a_stopped_server_misses_the_deadline(server: PlainMariadb) -> None:
    async def main() -> None:
        # Long enough that a busy machine does not keep the loop itself from it: that would be another reason.
        membership, monitor = against(server, "monitor", timeout=1.0)
        server.process.send_signal(signal.SIGSTOP)
        try:
            monitor.start()
            await monitor.first_round()
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert membership["n"].reason == "no answer to the monitor within 1 s"
        while membership["n"].reason.startswith("no answer"):
            await asyncio.sleep(0.001)
        await monitor.close()

    uvloop.run(main())
