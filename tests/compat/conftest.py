"""The stages of `make compat`, one after the other: each kind of cluster, with the proxy before it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.stage import KINDS, Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the drivers' suites each is run on its kinds of cluster."""
    items[:] = [item for item in items if _belongs(getattr(item, "callspec", None))]


def _belongs(given: Any) -> bool:
    return given is None or "suite" not in given.params or given.params["each_stage"] in given.params["suite"].kinds


@pytest.fixture(scope="session", params=KINDS)
def each_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with KINDS[request.param]() as made:
        yield made
