"""The cases there are: what each shows, and the function that measures it. A new case is one more row."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.conflicts import WORKS, conflicts
from tests.bench.oltp import WORK, oltp
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
    )
}
