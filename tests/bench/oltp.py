"""sysbench's OLTP work through each endpoint: throughput, latency and CPU time by query."""

from collections.abc import Callable, Mapping

from tests.bench import sysbench
from tests.bench.endpoints import Endpoint
from tests.bench.setting import SCHEMA, Setting

WORK = {
    "point-select": "oltp_point_select",
    "read-only": "oltp_read_only",
    "read-write": "oltp_read_write",
    "write-only": "oltp_write_only",
}


def oltp(case: str) -> Callable[[Setting], None]:
    """The case that does this work."""

    def run(setting: Setting) -> None:
        for mode in setting.options.modes:
            for clients in setting.options.clients:
                setting.alternate(
                    case,
                    {each.name: _measure(setting, each, case, mode, clients) for each in setting.endpoints()},
                    {"mode": mode, "clients": clients},
                )

    return run


def _measure(
    setting: Setting, endpoint: Endpoint, case: str, mode: str, clients: int
) -> Callable[[], Mapping[str, float]]:
    return lambda: sysbench.measure(
        endpoint,
        SCHEMA,
        WORK[case],
        seconds=setting.options.seconds,
        clients=clients,
        prepared=mode == "prepared",
        database=setting.database,
        rows=setting.options.rows,
        # Clients that fight over a few rows would measure the database's locks.
        options=("--rand-type=uniform",),
    )
