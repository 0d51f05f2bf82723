"""What a backend logs in with, and so which sessions may share it.

Apart from the pool because a compiled class has no weak references, and the profiles that nobody uses are forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from proxy import login
from proxy.version import VERSION
from proxy.wire.attributes import NONE
from proxy.wire.constants import CLIENT_QUERY_ATTRIBUTES
from proxy.wire.framing import frame

Attributes = tuple[tuple[str, str], ...]

OURS: Final[Attributes] = (
    ("program_name", "multiwriter"),
    ("_client_name", "multiwriter"),
    ("_client_version", VERSION),
)
"""What nodes are told of a backend whose clients say nothing of themselves."""

OF_PROGRAM: Final = frozenset((
    "program_name", "_client_name", "_client_version", "_client_license", "_client_role", "_connector_name",
    "_connector_version", "_connector_license", "_os", "_os_version", "_os_details", "_platform", "_runtime_vendor",
    "_runtime_version", "_server_type",
))  # fmt: skip
"""Connection attributes that are the same for all processes of one program."""

MOST_BYTES: Final = 4096
"""Of names and values together. Servers keep 512 by default, and refuse a login with more than 64 KiB."""


def introduced(said: Mapping[str, str], how: Literal["proxy", "program", "all"]) -> Attributes:
    """What nodes are told of who uses a backend, from what its client said at login."""
    if not said or how == "proxy":
        return OURS
    told = tuple((name, value) for name, value in said.items() if how == "all" or name in OF_PROGRAM)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in told)
    return told if told and size <= MOST_BYTES else OURS


def as_query(sql: bytes, attributes: bool) -> bytes:
    return frame(b"".join((b"\x03", NONE, sql) if attributes else (b"\x03", sql)))


as_known_query = lru_cache(maxsize=32)(as_query)
"""The same for the texts of our own that are always the same."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Profile:
    """What was settled when the backend logged in and can't be changed afterwards; sessions share backends of their
    own profile only.
    """

    user: str
    password: str | login.Credential
    capabilities: int
    collation: int
    account: str | None = None
    """The account ("user@host") that a node has to take it for; None: the settings say who logs in."""
    client: str | None = None
    """The clients' address that nodes are told; None: they are told nothing, and see ours."""
    introduced: Attributes = OURS
    """Connection attributes: what nodes are told of the clients' program."""

    @property
    def attributes(self) -> bool:
        """Texts and executions may have query attributes, so that each text says whether it has."""
        return self.capabilities & CLIENT_QUERY_ATTRIBUTES != 0

    def query(self, sql: bytes) -> bytes:
        """A text of our own as a COM_QUERY."""
        return as_query(sql, self.attributes)

    @property
    def confirmed(self) -> bool:
        """A node has let us in, or the settings answer for it."""
        return self.password.confirmed if isinstance(self.password, login.Credential) else True

    def __repr__(self) -> str:
        return f"<Profile {self.user} {self.capabilities:#x}>"
