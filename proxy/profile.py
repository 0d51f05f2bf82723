"""What a backend logs in with, and so which sessions may share it.

Apart from the pool because a compiled class has no weak references, and the profiles that nobody uses are forgotten.
"""

from dataclasses import dataclass

from proxy import login


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
    def confirmed(self) -> bool:
        """A node has let us in, or the settings answer for it."""
        return self.password.confirmed if isinstance(self.password, login.Credential) else True

    def __repr__(self) -> str:
        return f"<Profile {self.user} {self.capabilities:#x}>"
