"""Nodes and connections lost one after the other, in the middle of clients' work, and the check that nothing was.

A fault is drawn by chance, done to a node by chance, and mended before the next one. Clients work through one proxy
whose commits are marked; each is a thread of its own.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.node import Node
from proxy.demo.processes import wait_until
from tests.support.cutting import Network, network
from tests.support.proxy import Proxy
from tests.support.workload import Ledger, Work

CLIENTS = 12

GONE = 2.5  # seconds that a stopped or isolated node stays away: long enough for the others to expel it
PATIENCE = 60.0


@dataclass
class Faults:
    """Does them, and remembers for how long clients waited each time."""

    cluster: Cluster
    network: Network
    proxy: Proxy
    work: Work
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    pauses: dict[str, list[float]] = field(default_factory=dict)
    last: str = ""

    def run(self, plan: dict[str, int]) -> None:
        """Each kind so many times, in an order by chance."""
        kinds = [kind for kind, times in plan.items() for _ in range(times)]
        self.chance.shuffle(kinds)
        for kind in kinds:
            self.once(kind)

    def once(self, kind: str) -> None:
        number = self.chance.randint(1, len(self.cluster.nodes))
        self._everybody_works()
        self.last = f"{kind} of node{number}"
        since = time.monotonic()
        getattr(self, kind)(number)
        until = time.monotonic()
        self.done[kind] += 1
        self.pauses.setdefault(kind, []).append(self.work.pauses(since, until)[0][0])

    def _everybody_works(self) -> None:
        answered = [len(client.answered) for client in self.work.clients]

        def all_went_on() -> bool:
            return all(
                len(client.answered) > before for client, before in zip(self.work.clients, answered, strict=True)
            )

        wait_until(all_went_on, PATIENCE, lambda: f"somebody has no answer\n{self.report()}")
        self.work.go_on(self.chance.uniform(0.1, 0.4))
        assert not self.work.errors, f"{self.work.seen()}\n{self.report()}"

    def _all_up(self) -> None:
        def states() -> list[str]:
            return list(self.proxy.metrics().node_states().values())

        wait_until(lambda: states() == ["up"] * len(self.cluster.nodes), PATIENCE, lambda: f"{states()}")

    # -- the kinds

    def cut(self, number: int) -> None:
        """All connections of the proxy to the node; it commits what it has received."""
        self.network.cut(number)
        self.work.go_on(0.2)
        self._all_up()

    def kill(self, number: int) -> None:
        self.cluster[number].kill()
        self.work.go_on(GONE)
        self.cluster.rejoin(number)
        self._all_up()

    def stop(self, number: int) -> None:
        node = self.cluster[number]
        node.pause()
        self.work.go_on(GONE)
        node.resume()
        self._in_step()

    def isolate(self, number: int) -> None:
        """From the other nodes; the proxy still reaches it."""
        node = self.cluster[number]
        _isolate(node, True)
        self.work.go_on(GONE)
        _isolate(node, False)
        self._in_step()

    def _in_step(self) -> None:
        nodes = list(self.cluster)
        wait_until(lambda: all(node.in_step(len(nodes)) for node in nodes), PATIENCE, lambda: "not in step again")
        self._all_up()

    def report(self) -> str:
        lines = [f"{sum(self.done.values())} faults (the last a {self.last}), {self.work.committed} transactions"]
        for kind, pauses in sorted(self.pauses.items()):
            middle, worst = sorted(pauses)[len(pauses) // 2], max(pauses)
            lines.append(f"  {kind:8} {len(pauses):4} times, longest pause: median {middle:.2f} s, worst {worst:.2f} s")
        metrics = self.proxy.metrics()
        answers = metrics.by("answer", "multiwriter_marker_lookups_total")
        lines.append("  lookups: " + ", ".join(f"{answer} {count:.0f}" for answer, count in sorted(answers.items())))
        for name in ("unreplayable_transactions", "retries", "commits_unmarked", "errors"):
            counts = {
                tuple(labels.values()): count for _, labels, count in metrics.matching(f"multiwriter_{name}_total")
            }
            lines.append(f"  {name}: {counts}")
        return "\n".join(lines)


@dataclass
class Setting:
    """Where faults are done: a cluster, and a schema on it."""

    cluster: Cluster
    schema: str
    direct: Callable[[int], "pymysql.Connection[Any]"]
    directory: Path

    def run(self, change: str, plan: dict[str, int], *, seed: int, tell: Callable[[str], None] = print) -> None:
        """Clients make this change of `Ledger` through it all; afterwards nothing may be missing, double or unknown."""
        ledger = Ledger(self.schema, generated=False)
        ledger.create(self.direct(1))
        with network([node.port for node in self.cluster]) as wires:
            proxy = Proxy(self.directory, wires.addresses, {"endpoint": [{"commit_marker": True}]})
            proxy.start()
            try:
                with Work(proxy.port, [getattr(ledger, change)] * CLIENTS) as work:
                    faults = Faults(self.cluster, wires, proxy, work, random.Random(seed))
                    faults.run(plan)
                    work.go_on(0.5)
                report = faults.report()
                tell(report)
                assert not work.errors, f"{work.seen()}\n{report}"
                assert work.unknown == 0, report
                assert proxy.metrics().total("multiwriter_unknown_outcomes_total") == 0, report
                assert work.committed > CLIENTS * faults.done.total(), report
                assert not (wrong := ledger.faults(self.direct(1), work.clients)), f"{wrong}\n{report}"
            finally:
                proxy.kill()


def _isolate(node: Node, on: bool) -> None:
    def told() -> bool:
        with contextlib.suppress(pymysql.MySQLError, OSError):
            node.query(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(on)}'")
            return True
        return False

    wait_until(told, 10, lambda: f"{node.name} does not listen")
