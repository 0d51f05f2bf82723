"""The version of the distribution that is installed, and whether its hot modules are compiled."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final


def _installed() -> str:
    try:
        return version("multiwriter")
    except PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed


def _compiled() -> bool:
    relay = find_spec("proxy.relay")
    return relay is not None and relay.origin is not None and not relay.origin.endswith(".py")


VERSION: Final = _installed()
COMPILED: Final = _compiled()
