"""Drivers' own test suites, directly and through the proxy: nothing fails only through the proxy.

Not part of `make test`, but of `make compat`. What passed goes to docs/compatibility.md.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.demo.processes import free_ports
from tests.compat import table
from tests.compat.stage import MONITOR, Stage
from tests.compat.suites import COLLATION, SECONDS, SUITES, Passed, Suite, Tally
from tests.support.proxy import Proxy

SCHEMAS = ("compat_suite", "test_schema")
"""The second is SQLAlchemy's."""
TOGETHER = {"name": "together", "placement": "affinity", "affinity": "schema", "causality": "strong"}
"""An endpoint for tests that look at one session's work from another one: what a single server gives, it gives, too."""
SETTINGS = {"pool": {"max_backends": 200}, "monitor": MONITOR}
"""One of the suites has as many busy transactions as a node takes connections, 500."""


@dataclass(slots=True)
class Sides:
    """Where the suites are run, ports by name, and what came of each suite."""

    stage: Stage
    ports: dict[str, int]
    tallies: dict[str, Tally] = field(default_factory=dict)

    def run(self, suite: Suite, side: str, directory: Path) -> Passed:
        """On schemas that are new."""
        directory.mkdir()
        with contextlib.closing(self.stage.connect()) as connection, connection.cursor() as cursor:
            for schema in SCHEMAS:
                cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
                cursor.execute(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE {COLLATION}")
        self.stage.settle()
        return suite.run(self.ports[side], SCHEMAS[0], directory)


@pytest.fixture(scope="module")
def sides(each_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """A proxy of their own. The suites count generated ids in steps of one. The tables are written when all were run
    and nothing was wrong.
    """
    for node in each_stage.ports:
        with contextlib.closing(each_stage.connect(node)) as connection, connection.cursor() as cursor:
            if each_stage.kind == "galera":
                cursor.execute("SET GLOBAL wsrep_auto_increment_control = OFF")
            else:
                # A group takes writes only to tables with a primary key, which the suites' do not all have.
                cursor.execute("SET GLOBAL sql_generate_invisible_primary_key = ON")
                cursor.execute("SET GLOBAL show_gipk_in_create_table_and_information_schema = OFF")
            cursor.execute("SET GLOBAL auto_increment_increment = 1, GLOBAL auto_increment_offset = 1")
    nodes = [f"127.0.0.1:{port}" for port in each_stage.ports.values()]
    (together,) = free_ports(1)
    endpoints = [{}, {**TOGETHER, "listen": f"127.0.0.1:{together}"}]
    settings = {**SETTINGS, "endpoint": endpoints}
    proxy = Proxy(tmp_path_factory.mktemp("suites"), nodes, settings, flavor=each_stage.kind)
    made = Sides(each_stage, {"direct": each_stage.sides["direct"], "proxied": proxy.port, "together": together})
    try:
        proxy.start()
        yield made
        assert proxy.running, proxy.log_text()[-3000:]
        assert "internal.error" not in proxy.log_text(), proxy.log_text()[-3000:]
    finally:
        proxy.kill()
    here = [suite.name for suite in SUITES if each_stage.kind in suite.kinds]
    if made.tallies.keys() == set(here):
        table.write_suites(each_stage.kind, [made.tallies[name] for name in here])


@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_nothing_fails_only_through_the_proxy(suite: Suite, sides: Sides, tmp_path: Path) -> None:
    direct = sides.run(suite, "direct", tmp_path / "direct")
    proxied = sides.run(suite, "proxied", tmp_path / "proxied")
    assert sum(direct.values()) > 20
    worse = {name for name, good in direct.items() if good and not proxied.get(name, False)}
    apart: set[str] = set()
    if worse - suite.known.keys():
        together = sides.run(suite, "together", tmp_path / "together")
        apart = {name for name in worse - suite.known.keys() if together.get(name, False)}
    tally = Tally(suite, direct, proxied, sorted(apart), sorted(worse & suite.known.keys()))
    print(f"\n{tally}")
    assert worse - suite.known.keys() - apart == set()
    sides.tallies[suite.name] = tally
