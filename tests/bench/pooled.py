"""What it is worth to let a node run few statements at a time: many clients over pools of different size."""

from collections.abc import Callable, Mapping

from tests.bench import sysbench
from tests.bench.endpoints import Endpoint, Multiwriter
from tests.bench.setting import SCHEMA, Setting

CLIENTS = 64
SIZES = (4, 8, 16, 32, 100)
WORK = {"point-select": "oltp_point_select", "read-write": "oltp_read_write"}


def pooled(setting: Setting) -> None:
    """Throughput and latency by `max_backends`, beside HAProxy, whose clients have a connection each."""
    nodes = [node.address for node in setting.cluster]
    endpoints = [each for each in setting.endpoints() if each.name == "haproxy"]
    for size in SIZES:
        name = f"{size} backends"
        proxy = Multiwriter(setting.directory / f"pooled-{size}", nodes, {"pool": {"max_backends": size}}, name)
        endpoints.append(setting.run(proxy))
    for name, work in WORK.items():
        subjects = {each.name: _measure(setting, each, work) for each in endpoints}
        setting.alternate("pooled", subjects, {"work": name, "clients": CLIENTS})


def _measure(setting: Setting, endpoint: Endpoint, work: str) -> Callable[[], Mapping[str, float]]:
    return lambda: sysbench.measure(
        endpoint,
        SCHEMA,
        work,
        seconds=setting.options.seconds,
        clients=CLIENTS,
        prepared=False,
        database=setting.database,
        rows=setting.options.rows,
        options=("--rand-type=uniform",),
    )
