"""How many descriptors a process may have, and how many connections may wait to be accepted: set and checked at start.

A client takes one descriptor, a backend one. Knows nothing else of either.
"""

import logging
import resource
from pathlib import Path
from typing import Final

from config import Config
from proxy.log import event

logger = logging.getLogger(__name__)

OTHERS: Final = 128  # descriptors for listening, the monitor, the log, HTTP and what the libraries open
_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


def needed(config: Config) -> int:
    """Descriptors that a process needs when everything is at its limit."""
    return config.limits.max_clients + len(config.cluster.nodes) * config.pool.max_backends + OTHERS


def prepare(config: Config) -> int:
    """Raise the limit of descriptors as far as it goes, say what is too little, and return how many clients fit in.

    Fewer clients than the settings allow get in then: they are told so (error 1040), where a process without
    descriptors could not even accept them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = config.limits.max_clients
    wanted = needed(config)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        clients = max(1, hard - (wanted - clients))
        event(
            logger,
            "limits.files",
            level=logging.WARNING,
            needed=wanted,
            available=hard,
            max_clients=clients,
            hint="raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower max_clients",
        )
    backlog = config.process.listen_backlog
    try:
        waiting = int(_SOMAXCONN.read_text())
    except (OSError, ValueError):  # not there in every container: then nobody knows
        return clients
    if waiting < backlog:
        event(
            logger,
            "limits.backlog",
            level=logging.WARNING,
            wanted=backlog,
            available=waiting,
            hint="raise net.core.somaxconn, or lower listen_backlog",
        )
    return clients
