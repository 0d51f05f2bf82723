"""A reply that was cut in the middle: the command runs again, and the client gets the rest.

It has a part already. The new reply has to begin with the same bytes, to the last one; then it goes on where the
first one ended. Nothing is kept of the part but its length and a digest.
"""

from typing import TYPE_CHECKING

from proxy import failure
from proxy.backend import Sink
from proxy.wire.digest import ReplyDigest
from proxy.wire.replies import ReplyScanner

if TYPE_CHECKING:
    from proxy.relay import Relay


class Sent:
    """The part of a reply that the client has: of more than one chunk, or cut."""

    __slots__ = ("digest",)

    def __init__(self, first: bytes) -> None:
        self.digest = ReplyDigest()
        self.digest.update(first)

    def add(self, data: bytes) -> None:
        self.digest.update(data)


class Continuation(Sink):
    """Receives the second run's reply in the relay's place: holds back what the client has, and passes on what follows.

    Tells the relay at the first sign that it is not the same reply: a difference, or an earlier end.
    """

    __slots__ = ("_again", "_missing", "_over", "_relay", "_sent")

    def __init__(self, relay: "Relay", sent: Sent) -> None:
        self._relay = relay
        self._sent = sent
        self._again = ReplyDigest()
        self._missing = sent.digest.length
        self._over = False  # the relay has been told, and what is still to come of this reply concerns nobody

    def reply_data(self, data: bytes) -> None:
        relay = self._relay
        if self._missing and not self._for_our_opening:
            same = data[: self._missing]
            self._missing -= len(same)
            self._again.update(same)
            if self._missing:
                return
            data = data[len(same) :]
            if self._again.digest() != self._sent.digest.digest():
                self._over = True
                failure.continued_differently(relay)
        if data and not self._over:
            relay.reply_data(data)

    def reply_done(self, reply: ReplyScanner) -> None:
        if self._over:
            return
        if not self._missing or self._for_our_opening:
            self._relay.reply_done(reply)
        elif reply.error is not None:
            failure.cut_again(self._relay, reply.error)
        else:
            failure.continued_differently(self._relay)

    @property
    def _for_our_opening(self) -> bool:
        return self._relay.leading > 0 or self._relay.refusal is not None

    def file_wanted(self) -> None:
        self._relay.file_wanted()

    def node_paused(self) -> None:
        self._relay.node_paused()

    def node_resumed(self) -> None:
        self._relay.node_resumed()

    def backend_lost(self, reason: str) -> None:
        self._relay.backend_lost(reason)
