"""Where the client's transaction stands: not begun, begun for the client only, or open on a backend.

Holds what a replay has to begin it again with; it knows no connection and decides nothing.
"""

import enum

from router.facts import Begin
from router.session import State


class Stage(enum.Enum):
    """Where the client's transaction stands."""

    NONE = "none"  # each statement for itself
    BEGUN = "begun"  # the client was told that it began; no node knows yet
    OPEN = "open"  # on a backend


class Transaction:
    """The client's transaction, from BEGIN (or the first statement with autocommit off) to its end."""

    __slots__ = (
        "alone",
        "begin",
        "begin_text",
        "one_shot",
        "read_only",
        "savepoint",
        "sentinel",
        "stage",
        "started",
        "state",
        "unsure",
        "wrote",
    )

    stage: Stage
    begin: Begin | None  # how the client began it; None with autocommit off
    begin_text: bytes  # the client's own BEGIN
    state: State | None  # the session's state as it was at BEGIN
    one_shot: tuple[bytes, ...]  # the client's SET TRANSACTION ahead of it, as commands
    read_only: bool | None  # what these say of it, if anything
    alone: bool  # of a single statement in autocommit: begun by us, so that its commit can be marked
    wrote: bool
    savepoint: bool  # with autocommit off the client has set one, which the server's status does not tell
    sentinel: bool  # a savepoint of our own shows that it is whole
    unsure: bool  # a statement has failed that may have ended it; the next OK tells
    started: float  # seconds, loop time; of the first command that went to a node

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """It has ended, or never was."""
        self.started = 0.0
        self.stage = Stage.NONE
        self.begin = None
        self.begin_text = b""
        self.state = None
        self.one_shot = ()
        self.read_only = None
        self.alone = False
        self.wrote = False
        self.savepoint = False
        self.sentinel = False
        self.unsure = False
