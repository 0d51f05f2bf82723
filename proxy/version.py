"""The version, which the distribution's metadata takes from here, and whether its hot modules are compiled."""

from importlib.util import find_spec
from typing import Final

VERSION: Final = "0.1.0"


def _compiled() -> bool:
    relay = find_spec("proxy.relay")
    return relay is not None and relay.origin is not None and not relay.origin.endswith(".py")


COMPILED: Final = _compiled()
