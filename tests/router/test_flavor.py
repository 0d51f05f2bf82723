"""One entry for each kind of cluster."""

import typing

import pytest

from config.model import Cluster
from router import outcomes
from router.flavor import FLAVORS, GALERA, GROUP_REPLICATION, Flavor


def test_there_is_one_for_each_that_the_settings_know() -> None:
    annotated = typing.get_type_hints(Cluster, include_extras=True)["flavor"]
    known = typing.get_args(typing.get_args(annotated)[0])
    assert set(known) == set(FLAVORS)
    assert set(FLAVORS) <= {outcomes.GALERA, outcomes.PERCONA, outcomes.GROUP, outcomes.TIDB, outcomes.AURORA}


@pytest.mark.parametrize("flavor", FLAVORS.values(), ids=lambda flavor: flavor.name)
def test_an_answer_without_a_row_is_no_healthy_node(flavor: Flavor) -> None:
    found, kept = flavor.observe([], 0.0, None)
    assert not found.ok
    assert flavor.observe([], 1.0, kept)[0] == found


def test_mysql_is_never_told_what_only_galera_knows() -> None:
    said = GROUP_REPLICATION.prepare + GROUP_REPLICATION.question + repr(GROUP_REPLICATION.wait)
    assert "wsrep" not in said.lower()
    assert "group_replication" not in (GALERA.prepare + GALERA.question + repr(GALERA.wait)).lower()
