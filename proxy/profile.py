"""What a backend logs in with, and so which sessions may share it.

Apart from the pool because a compiled class has no weak references, and the profiles that nobody uses are forgotten.
"""

from dataclasses import dataclass

from proxy import login
from proxy.wire.attributes import NONE
from proxy.wire.constants import CLIENT_QUERY_ATTRIBUTES
from proxy.wire.framing import frame


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

    @property
    def attributes(self) -> bool:
        """Texts and executions may have query attributes, so that each text says whether it has."""
        return self.capabilities & CLIENT_QUERY_ATTRIBUTES != 0

    def query(self, sql: bytes) -> bytes:
        """A text of our own as a COM_QUERY."""
        return frame(b"".join((b"\x03", NONE, sql) if self.attributes else (b"\x03", sql)))

    @property
    def confirmed(self) -> bool:
        """A node has let us in, or the settings answer for it."""
        return self.password.confirmed if isinstance(self.password, login.Credential) else True

    def __repr__(self) -> str:
        return f"<Profile {self.user} {self.capabilities:#x}>"
