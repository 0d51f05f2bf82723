"""How long the tests that put load on the proxy do so."""

import os

LIMIT = float(os.environ.get("MULTIWRITER_SECONDS", "inf"))
"""Seconds; the environment variable shortens every longer load to this. Without it each takes its full time."""


def seconds(full: float) -> float:
    """The time for a load that takes `full` seconds in a run without a limit."""
    return min(full, LIMIT)
