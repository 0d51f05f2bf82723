"""The stages of `make compat`, one after the other: each kind of cluster, with the proxy before it."""

from collections.abc import Iterator

import pytest

from tests.compat.stage import KINDS, Stage


@pytest.fixture(scope="session", params=KINDS)
def each_stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with KINDS[request.param]() as made:
        yield made
