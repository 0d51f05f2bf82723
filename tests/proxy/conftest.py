"""The stage that conversations are tested on; see scripted.py."""

from collections.abc import Callable, Iterator

import pytest

from tests.proxy.scripted import Stage

Build = Callable[..., Stage]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """One node is up, with the usual settings."""
    made = Stage()
    yield made
    made.end()


@pytest.fixture
def build() -> Iterator[Build]:
    """Stages with other settings."""
    made: list[Stage] = []

    def build(**settings: object) -> Stage:
        made.append(Stage(**settings))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for stage in made:
        stage.end()
