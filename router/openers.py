"""Which reads open transactions that then write: learnt from how those transactions ended.

Where a conflict cannot be hidden, because the client has already computed with what it read, a transaction that will
write has to be placed before its read. A form of statement counts as one that leads to writes until it has opened some
transactions in a row that did not write. It must not know where they are placed.
"""

from collections.abc import Hashable
from typing import Final

ENOUGH: Final = 10
"""Transactions in a row without a write that make the next one expected to have none."""

MAX_FORMS: Final = 10_000


class Openers:
    """Memory is bounded by `MAX_FORMS`; at the bound it begins anew."""

    __slots__ = ("_harmless",)

    def __init__(self) -> None:
        self._harmless: dict[Hashable, int] = {}  # form -> transactions in a row that did not write

    def leads_to_writes(self, form: Hashable) -> bool:
        return self._harmless.get(form, 0) < ENOUGH

    def ended(self, form: Hashable, *, wrote: bool) -> None:
        """A transaction that it opened has ended."""
        if wrote:
            self._harmless.pop(form, None)
            return
        if len(self._harmless) >= MAX_FORMS and form not in self._harmless:
            self._harmless.clear()
        self._harmless[form] = self._harmless.get(form, 0) + 1
