"""How much has to have come over a connection before the kernel wakes us: SO_RCVLOWAT, socket(7).

Of replies to commands that were sent in one write, the first ones say nothing that could be used before the last has
come: to be woken for each would cost as much as the rest of their way. The end of a connection wakes us at any mark.

Only where what comes are the replies' own bytes. Compressed they may be fewer than the mark, for ever; and the end of
an encrypted connection is told when its descriptor may be another connection's already.
"""

import socket
from asyncio import BaseTransport

from proxy.compression import Compressed


class LowWater:
    """The mark of one connection: `raised` while it is not where it usually is, at one byte."""

    __slots__ = ("_socket", "raised")

    def __init__(self, transport: BaseTransport) -> None:
        """It is open. Where it has no socket, or other bytes go over that, nothing is set."""
        encoded = isinstance(transport, Compressed) or transport.get_extra_info("sslcontext") is not None
        theirs = None if encoded else transport.get_extra_info("socket")
        self.raised = False
        # One of our own for the same descriptor, which uvloop would make for each setting; it does not close it.
        self._socket = theirs and socket.socket(theirs.family, theirs.type, theirs.proto, theirs.fileno())

    def raise_to(self, size: int) -> None:
        """Not before so many bytes have come."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self.raised = True

    def lower(self) -> None:
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self.raised = False

    def leave(self) -> None:
        """To be called while the connection is still there; nothing is set from now on."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        self.raised = False
