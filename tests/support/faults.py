"""Nodes and connections lost one after the other, in the middle of clients' work, and the check that nothing was.

A fault is drawn by chance, done to a node by chance, and mended before the next one. Clients work through one proxy
whose commits are marked; each is a thread of its own.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from proxy.demo.galera import Cluster
from proxy.demo.processes import wait_until
from tests.support.cutting import Network, network
from tests.support.group import Group
from tests.support.isolation import isolated
from tests.support.proxy import Proxy
from tests.support.workload import Ledger, Work

CLIENTS = 12

# Seconds that a stopped or isolated node stays away: long enough for the others to expel it.
GONE = {Cluster.flavor: 2.5, Group.flavor: 12.0}
PATIENCE = 90.0
TOLD = 20  # faults after which it is told how it goes
MARKED = {"endpoint": [{"commit_marker": True}]}
# The machine is busy with all this: a node may be late without being lost, and a cluster takes its time to regroup.
PATIENT = {
    "limits": {"writer_wait": "1m", "marker_wait": "1m"},
    "replay": {"max_time": "1m"},
    "monitor": {"timeout": "1500ms"},
}


@dataclass
class Faults:
    """Does them, and remembers for how long clients waited each time."""

    cluster: Cluster | Group
    network: Network
    proxy: Proxy
    work: Work
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    pauses: dict[str, list[float]] = field(default_factory=dict)
    last: str = ""

    def run(self, plan: dict[str, int], tell: Callable[[str], None]) -> None:
        """Each kind so many times, in an order by chance. `tell` hears how it goes."""
        kinds = [kind for kind, times in plan.items() for _ in range(times)]
        self.chance.shuffle(kinds)
        for number, kind in enumerate(kinds, 1):
            self.once(kind)
            if number % TOLD == 0 and number < len(kinds):
                tell(self.report())

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
        self.work.go_on(GONE[self.cluster.flavor])
        self.cluster.rejoin(number)
        self._all_up()

    def stop(self, number: int) -> None:
        node = self.cluster[number]
        node.pause()
        self.work.go_on(GONE[self.cluster.flavor])
        node.resume()
        self._in_step(number)

    def isolate(self, number: int) -> None:
        """From the other nodes; the proxy still reaches it."""
        with isolated(self.cluster, number):
            self.work.go_on(GONE[self.cluster.flavor])
        self._in_step(number)

    def _in_step(self, number: int) -> None:
        nodes = list(self.cluster)
        if isinstance(self.cluster, Group):
            self.cluster.rejoin(number)  # it comes back by itself, but may take five minutes for it
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

    cluster: Cluster | Group
    schema: str
    direct: Callable[[int], "pymysql.Connection[Any]"]
    directory: Path

    def run(self, change: str, plan: dict[str, int], *, seed: int, tell: Callable[[str], None] = print) -> None:
        """Clients make this change of `Ledger` through it all; afterwards nothing may be missing, double or unknown."""
        ledger = Ledger(self.schema, generated=False)
        ledger.create(*(self.direct(node.number) for node in self.cluster))
        with network([node.port for node in self.cluster]) as wires:
            proxy = Proxy(self.directory, wires.addresses, MARKED | PATIENT, flavor=self.cluster.flavor)
            proxy.start()
            try:
                with Work(proxy.port, [getattr(ledger, change)] * CLIENTS) as work:
                    faults = Faults(self.cluster, wires, proxy, work, random.Random(seed))
                    faults.run(plan, tell)
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
