"""The client's side of a session in the command phase: bytes in, whole commands out, replies written with flow control.

It knows when the next command may be handed on (one at a time, and only while the client reads its replies) and
nothing about what a command means.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from proxy.counters import Metrics
from proxy.wire.compression import CompressionError
from proxy.wire.framing import HEADER, CommandFramer, PacketTooLarge, ProtocolError
from proxy.wire.packets import error_packet
from router import answers

# A client may send commands ahead of the replies. What it may send before we stop reading from it:
PIPELINED_BYTES: Final = 1 << 18


@mypyc_attr(allow_interpreted_subclasses=True)
class Conversation:
    """What takes the commands. A base class for the reason that `proxy.backend.Sink` is one."""

    __slots__ = ()

    def command(self, raw: bytes) -> None:
        """One whole command as wire bytes; the next one comes after `Frontend.ready`."""

    def client_paused(self) -> None:
        """The client does not keep up with its reply."""

    def client_resumed(self) -> None:
        """It does again."""

    def client_gone(self) -> None:
        """The connection is closed, by either side."""


NOBODY: Final = Conversation()


class Frontend:
    """One client's connection after its login: an asyncio.Protocol in all but the base class, see `proxy.backend`."""

    __slots__ = (
        "_busy",
        "_conversation",
        "_ended",
        "_file",
        "_framer",
        "_handing_on",
        "_now",
        "_reading_paused",
        "_transport",
        "closed",
        "last_command",
        "metrics",
        "paused",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        conversation: Conversation,
        metrics: Metrics,
        *,
        max_command_bytes: int,
    ) -> None:
        self._transport = transport
        self._conversation = conversation
        self._framer = CommandFramer(max_command_bytes)
        self._busy = False
        self._ended = False  # the client sends no more
        self._file: Callable[[bytes], None] | None = None  # takes the client's file, packet by packet
        self._handing_on = False
        self._reading_paused = False
        self.metrics = metrics
        self.paused = False
        self.closed = False
        self._now = asyncio.get_running_loop().time
        self.last_command = self._now()

    # -- for the conversation -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            return  # it has left; `connection_lost` is on its way
        self.metrics.client_out += len(data)
        self._transport.write(data)

    def ready(self) -> None:
        """The command is answered: hand on the next one."""
        self._busy = False
        self.last_command = self._now()
        if self._framer.pending or self._ended:
            self._hand_on()

    def stream_file(self, take: Callable[[bytes], None]) -> None:
        """What the client sends now is its file for LOAD DATA LOCAL, up to an empty packet."""
        self._file = take
        self._pass_file()

    def hold(self) -> None:
        """Read no more from the client: the node does not keep up."""
        if not self._reading_paused and not self.closed:
            self._reading_paused = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self._reading_paused and not self.closed and not self._ended:
            self._reading_paused = False
            self._transport.resume_reading()

    def suspend(self) -> bytes:
        """Stop reading, for an exchange that is not made of commands; returns what was read and not handed on."""
        self._transport.pause_reading()
        self._reading_paused = False
        return self._framer.take_all()

    def refuse(self, error: Exception) -> None:
        """The client sent what cannot be understood, nor what follows it: say so and close. `error`: a ProtocolError,
        of any module (a compiled parameter of that class takes those of compiled modules only).
        """
        self._busy = True  # for good
        if isinstance(error, PacketTooLarge):
            answer = answers.command_too_large(error.limit)
        elif isinstance(error, CompressionError):
            answer = answers.bad_compression(str(error))
        else:
            answer = answers.malformed(str(error))
        self.metrics.errors_made[answer.reason] += 1
        self.write(error_packet(1, answer.code, answer.sqlstate, answer.text))
        self.close()

    @property
    def busy(self) -> bool:
        """A command is not answered yet."""
        return self._busy

    @property
    def pending(self) -> int:
        """Bytes read and not handed on as commands."""
        return self._framer.pending

    def close(self) -> None:
        """Close once everything written has been sent."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # -- for the loop -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.metrics.client_in += len(data)
        framer = self._framer
        framer.feed(data)
        if self._file is not None:
            self._pass_file()
        elif not self._busy:
            self._hand_on()
        elif framer.pending > PIPELINED_BYTES:
            self.hold()

    def _pass_file(self) -> None:
        while self._file is not None and (packet := self._framer.next_packet()) is not None:
            self._file(packet)
            if len(packet) == HEADER:
                self._file = None
        if self._file is None and not self._busy:
            self._hand_on()  # its statement failed meanwhile; the file had to be read all the same

    def _hand_on(self) -> None:
        if self._handing_on or self._file is not None:
            return  # a command answered on the spot: the loop below goes on
        self._handing_on = True
        try:
            while not (self._busy or self.paused or self.closed):
                raw = self._framer.next()
                self.go_on()
                if raw is None:
                    if self._ended:
                        self._transport.close()
                    break
                self._busy = True
                self._conversation.command(raw)
        except ProtocolError as error:
            self.refuse(error)
        finally:
            self._handing_on = False

    def pause_writing(self) -> None:
        self.paused = True
        self._conversation.client_paused()

    def resume_writing(self) -> None:
        self.paused = False
        self._conversation.client_resumed()
        if not self._busy and (self._framer.pending or self._ended):
            self._hand_on()

    def eof_received(self) -> bool:
        """The client sends no more. What it has asked for is answered, as by a server, which does not look before it
        reads again; true: the connection stays as long as that takes (under TLS it cannot).
        """
        self._ended = True
        return self._file is None and (self._busy or self.paused)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._conversation.client_gone()
        # Without this circle all that the session was is gone at once, and no collector has to find it.
        self._conversation = NOBODY
