"""Slows down who keeps failing to log in, by the address it comes from.

An address without failures waits for nothing. Each failure doubles the gap between two attempts from there, up to a
limit; attempts that come at once wait in line, so that many connections guess no faster than one. A success forgives
all. Memory is bounded: of too many addresses those that failed longest ago are forgotten.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

ADDRESSES: Final = 10_000
_DOUBLINGS: Final = 30
_FORGOTTEN: Final = 20  # times the longest gap without a failure, and an address starts anew


def _nobody(address: str, succeeded: bool) -> None:
    """There is nobody else to tell."""


class LoginBackoff:
    """`first` and `longest`: seconds between two attempts after the first failure, and at most; 0: never slow.

    `tell`: called with each failure, and each success that ends some, for others of the same proxy (see `heard`).
    """

    def __init__(self, first: float, longest: float, addresses: int = ADDRESSES) -> None:
        self._first = first
        self._longest = longest
        self._addresses = addresses
        self.tell: Callable[[str, bool], None] = _nobody
        self._failing: OrderedDict[str, _Failing] = OrderedDict()  # the latest failure last

    def __len__(self) -> int:
        return len(self._failing)

    def is_clear(self, address: str) -> bool:
        """Whether nothing is held against this address."""
        return not self._failing or _group(address) not in self._failing

    def wait(self, address: str, now: float, patience: float) -> float | None:
        """Seconds until this attempt may be judged; its place in the line is taken with this call. None, and no place,
        if that is more than `patience`."""
        failing = self._failing.get(_group(address))
        if failing is None:
            return 0.0
        turn = max(now, failing.next_turn)
        if turn - now > patience:
            return None
        failing.next_turn = turn + self._gap(failing.count)
        return turn - now

    def failed(self, address: str, now: float) -> None:
        if self._first:
            self.tell(address, False)
            self._fail(address, now)

    def heard(self, address: str, succeeded: bool, now: float) -> None:
        """Another worker has judged a login from there."""
        if succeeded:
            self._failing.pop(_group(address), None)
        elif self._first:
            self._fail(address, now)

    def _fail(self, address: str, now: float) -> None:
        key = _group(address)
        failing = self._failing.pop(key, None)
        if failing is None or now - failing.last > _FORGOTTEN * self._longest:
            failing = _Failing()
        failing.count += 1
        failing.last = now
        failing.next_turn = max(failing.next_turn, now + self._gap(failing.count))
        self._failing[key] = failing
        if len(self._failing) > self._addresses:
            self._failing.popitem(last=False)

    def succeeded(self, address: str) -> None:
        if self._failing.pop(_group(address), None) is not None:
            self.tell(address, True)

    def _gap(self, failures: int) -> float:
        return min(self._longest, self._first * 2.0 ** min(failures - 1, _DOUBLINGS))


class _Failing:
    __slots__ = ("count", "last", "next_turn")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.next_turn = 0.0


def _group(address: str) -> str:
    """One host has a whole /64 of IPv6 addresses to come from."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
