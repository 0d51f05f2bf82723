"""What the commit marker costs where nothing goes wrong and nobody is in anybody's way: the same proxy with it and
without, before the same three writers.
"""

from functools import partial

from tests.bench.conflicts import CLIENTS, WORKS, figures
from tests.bench.endpoints import Multiwriter
from tests.bench.setting import SCHEMA, Setting


def marker(setting: Setting) -> None:
    """The case: committed per second, and CPU time by transaction of the proxy and of the nodes."""
    cluster = setting.writers
    cluster[1].query(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
    nodes = [node.address for node in cluster]
    work = WORKS["no-conflict"]
    endpoints = [
        setting.run(
            Multiwriter(setting.directory / "marker" / name, nodes, {"endpoint": [{"commit_marker": on}]}, name)
        )
        for name, on in (("unmarked", False), ("marked", True))
    ]
    measures = {each.name: partial(figures, each, work, setting) for each in endpoints}
    setting.alternate("marker", measures, {"clients": CLIENTS})
    for endpoint in endpoints:
        endpoint.stop()
