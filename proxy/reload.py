"""New settings for a running proxy: read again, refused as a whole if one is wrong, and taken over where that is
possible.

Placement, causality, snapshot isolation, the commit marker and the limits of replays change for open sessions with
their next transaction. Everything else needs a restart, and is named in the log when it differs. It must not know who
holds the settings.
"""

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from config import Config, ConfigError, Endpoint, User
from proxy.log import event

logger = logging.getLogger(__name__)

Settings = TypeVar("Settings", Endpoint, User)

CHANGEABLE: Final = frozenset(
    (
        "placement",
        "affinity",
        "causality",
        "snapshot_isolation",
        "commit_marker",
        "queue_length",
        "queue_wait",
        "replay",
    )
)
"""Settings of an endpoint and a user. Of the tables, [replay] without its total."""


def taken(old: Settings, new: Settings) -> Settings:
    """The old settings with those of the new that may change."""
    changes: dict[str, Any] = {
        field.name: getattr(new, field.name) for field in fields(old) if field.name in CHANGEABLE
    }
    return replace(old, **changes)


def unchangeable(old: Config, new: Config) -> list[str]:
    """Names of the settings that differ, but need a restart."""
    found: list[str] = []
    for field in fields(old):
        key = field.metadata.get("key", field.name)
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name == "replay":
            if before.total_journal_bytes != after.total_journal_bytes:
                found.append("replay.total_journal_bytes")
        elif field.name in ("endpoints", "users"):
            had, has = ({each.name: each for each in entries} for entries in (before, after))
            found += [
                f"{key}.{name}"
                for name in sorted(had.keys() | has.keys())
                if name not in had or name not in has or taken(had[name], has[name]) != has[name]
            ]
        elif before != after:
            found.append(key)
    return found


def adopted(old: Config, new: Config) -> Config:
    """The old settings with everything of the new that may change: what may not stays, also where it is asked for
    later.
    """
    endpoints = {each.name: each for each in new.endpoints}
    users = {each.name: each for each in new.users}
    return replace(
        old,
        replay=replace(new.replay, total_journal_bytes=old.replay.total_journal_bytes),
        endpoints=tuple(taken(each, endpoints.get(each.name, each)) for each in old.endpoints),
        users=tuple(taken(each, users.get(each.name, each)) for each in old.users),
    )


def reload(read: Callable[[], Config], take: Callable[[Config], list[str]]) -> bool:
    """Read the settings again and take them over; with any problem everything stays as it is. Whether it did."""
    settings: Config | None = None
    problems: list[str] = []
    try:
        settings = read()
    except ConfigError as refused:
        problems = [" ".join(str(problem).split()) for problem in refused.problems]
    except OSError as refused:
        problems = [str(refused)]
    if settings is None:
        for problem in problems:
            event(logger, "reload.problem", level=logging.ERROR, problem=problem)
        event(logger, "reload.refused", level=logging.ERROR, problems=len(problems))
        return False
    needs_restart = take(settings)
    event(
        logger,
        "reloaded",
        level=logging.WARNING if needs_restart else logging.INFO,
        needs_restart=", ".join(needs_restart),
    )
    return True
