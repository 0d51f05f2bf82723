"""The version of the distribution that is installed."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("multiwriter")
    except PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed


VERSION: Final = _installed()
