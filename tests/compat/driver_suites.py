"""Drivers' own test suites, directly and through the proxy: nothing fails only through the proxy.

Not part of `make test`, but of `make compat`.
"""

import contextlib
from pathlib import Path

import pytest

from tests.compat.stage import Stage
from tests.compat.suites import COLLATION, SUITES, Passed, Suite

SCHEMA = "compat_suite"


def passed(suite: Suite, stage: Stage, side: str, directory: Path) -> Passed:
    directory.mkdir()
    with contextlib.closing(stage.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {SCHEMA}")
        cursor.execute(f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4 COLLATE {COLLATION}")
    return suite.run(stage.sides[side], SCHEMA, directory)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_nothing_fails_only_through_the_proxy(suite: Suite, each_stage: Stage, tmp_path: Path) -> None:
    direct = passed(suite, each_stage, "direct", tmp_path / "direct")
    proxied = passed(suite, each_stage, "proxied", tmp_path / "proxied")
    assert sum(direct.values()) > 20
    worse = {name for name, good in direct.items() if good and not proxied.get(name, False)}
    assert worse - suite.known.keys() == set()
    print(f"{suite.name}: of {len(direct)} pass directly {sum(direct.values())}, proxied {sum(proxied.values())}")
