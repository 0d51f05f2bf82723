"""What the operator may say: typed, documented, every problem reported at once with its place.

Knows nothing of what runs with it.
"""

from config.load import ConfigError, Problem, from_nodes, load, loads
from config.model import (
    Accounts,
    Catalog,
    Cluster,
    Config,
    Console,
    Endpoint,
    EndpointReplay,
    Http,
    Limits,
    Log,
    Monitor,
    Pool,
    Process,
    Replay,
    User,
)
from config.network import Network
from config.reference import reference
from config.secret import Secret
from config.secret import from_file as secret_from_file
from config.units import Address, SettingError

__all__ = [
    "Accounts",
    "Address",
    "Catalog",
    "Cluster",
    "Config",
    "ConfigError",
    "Console",
    "Endpoint",
    "EndpointReplay",
    "Http",
    "Limits",
    "Log",
    "Monitor",
    "Network",
    "Pool",
    "Problem",
    "Process",
    "Replay",
    "Secret",
    "SettingError",
    "User",
    "from_nodes",
    "load",
    "loads",
    "reference",
    "secret_from_file",
]
