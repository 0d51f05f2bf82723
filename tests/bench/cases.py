"""The cases there are: what each shows, and the function that measures it. A new case is one more row."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import clients, features, processes
from tests.bench.conflicts import WORKS, conflicts
from tests.bench.marker import marker
from tests.bench.oltp import WORK, oltp
from tests.bench.pooled import pooled
from tests.bench.setting import Setting


@dataclass(frozen=True, slots=True)
class Case:
    """`run` takes the setting and adds its measurements to it."""

    name: str
    shows: str
    run: Callable[[Setting], None]


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        *(Case(name, f"sysbench {work}: throughput, latency, CPU by query", oltp(name)) for name, work in WORK.items()),
        *(
            Case(f"conflicts-{name}", f"{work.shows}: committed and errors on three writers", conflicts(name))
            for name, work in WORKS.items()
        ),
        Case("pooled", "64 clients over few backends and many: throughput, latency, CPU by query", pooled),
        Case("logins", "connections opened and closed per second, with login", clients.logins),
        Case("idle-memory", "resident memory, at the start and by idle client", clients.idle_memory),
        Case("slow-reader", "memory while a client does not read a gigabyte", clients.slow_reader),
        Case("one-among-many", "latency of one client among 2,000", clients.one_among_many),
        Case("more-clients", "CPU by query with 1 to 10,000 clients", clients.more_clients),
        Case("more-nodes", "CPU by query with 1 to 9 nodes", clients.more_nodes),
        Case("workers", "throughput of one worker and of two", processes.workers),
        Case("start", "from the start to the first query that is answered", processes.start),
        Case("features", "read-write with one feature on or off at a time", features.features),
        Case("marker", "the commit marker, no conflicts: CPU by transaction of proxy and nodes, on and off", marker),
    )
}
