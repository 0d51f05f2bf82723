"""The idle backends of one profile, by the state that they carry, so that a fitting one is found without a search."""

from typing import TYPE_CHECKING, Final

from router.session import State

if TYPE_CHECKING:
    from proxy.backend import Backend

EMPTY_GROUPS: Final = 16
"""Groups beyond the number of idle backends that may be empty before they are swept out."""


class Group:
    """The idle backends of one profile that carry one state; the last one used is the last one."""

    __slots__ = ("guarded", "idle", "listed", "state")

    def __init__(self, state: State, guarded: bool) -> None:
        self.state = state
        self.guarded = guarded
        self.idle: dict[Backend, None] = {}
        self.listed = True  # the shelf knows it; false: it was empty for too long


class Shelf:
    """The idle backends of one profile."""

    __slots__ = ("count", "groups")

    def __init__(self) -> None:
        self.groups: dict[tuple[State, bool], Group] = {}
        self.count = 0

    def put(self, backend: "Backend") -> None:
        group = backend.group
        if (
            group is None
            or group.state is not backend.state
            or group.guarded is not backend.guarded
            or not group.listed
        ):
            backend.group = group = self._group(backend.state, backend.guarded)
        group.idle[backend] = None
        backend.idle = True
        self.count += 1

    def remove(self, backend: "Backend") -> bool:
        """False when it is not idle."""
        group = backend.group
        if group is None or not backend.idle:
            return False
        del group.idle[backend]
        backend.idle = False
        self.count -= 1
        return True

    def fitting(self, state: State, guarded: bool) -> "dict[Backend, None]":
        """Those that carry this state; the last one used is the last one."""
        group = self.groups.get((state, guarded))
        return group.idle if group is not None else {}

    def all(self) -> "list[Backend]":
        return [backend for group in self.groups.values() for backend in group.idle]

    def _group(self, state: State, guarded: bool) -> Group:
        group = self.groups.get((state, guarded))
        if group is None:
            if len(self.groups) > EMPTY_GROUPS + self.count:
                self._sweep()
            group = self.groups[state, guarded] = Group(state, guarded)
        return group

    def _sweep(self) -> None:
        """Empty groups are kept for the backends that come back to them, but not for ever."""
        for key, group in list(self.groups.items()):
            if not group.idle:
                group.listed = False
                del self.groups[key]
