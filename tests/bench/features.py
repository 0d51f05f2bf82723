"""What each feature costs alone: sysbench's read-write through proxies that differ in one setting."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench import sysbench
from tests.bench.endpoints import Endpoint, Multiwriter
from tests.bench.setting import SCHEMA, Setting
from tests.support.proxy import Settings

CLIENTS = 8

# By name: settings, and what sysbench is told besides. The first one is as most run it.
FEATURES: Mapping[str, tuple[Settings, tuple[str, ...]]] = {
    "as it is": ({}, ()),
    "no journal": ({"replay": {"enabled": False}}, ()),
    "commit marker": ({"endpoint": [{"commit_marker": True}]}, ()),
    "no catalogue": ({"catalog": {"enabled": False}}, ()),
    "no accounts": ({"accounts": {"cluster": False}}, ()),
    "poll less": ({"monitor": {"interval": 5, "timeout": 4}}, ()),
    "compression": ({}, ("--mysql-compression=on",)),
}


def features(setting: Setting) -> None:
    """CPU by query and throughput with one thing changed at a time."""
    nodes = [node.address for node in setting.cluster]
    subjects: dict[str, Callable[[], Mapping[str, float]]] = {}
    for name, (settings, options) in FEATURES.items():
        directory: Path = setting.directory / f"feature-{name.replace(' ', '-')}"
        endpoint = setting.run(Multiwriter(directory, nodes, settings, name))
        subjects[name] = _measure(setting, endpoint, options)
    setting.alternate("features", subjects, {"clients": CLIENTS})


def _measure(setting: Setting, endpoint: Endpoint, options: tuple[str, ...]) -> Callable[[], Mapping[str, float]]:
    return lambda: sysbench.measure(
        endpoint,
        SCHEMA,
        "oltp_read_write",
        seconds=setting.options.seconds,
        clients=CLIENTS,
        prepared=False,
        database=setting.database,
        rows=setting.options.rows,
        options=("--rand-type=uniform", *options),
    )
