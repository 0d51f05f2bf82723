"""A compressed connection that looks like a plain one: it stands between a transport and its protocol.

    transport  <- compressed packets ->  Compressed  <- the packets inside ->  protocol

To its protocol it is the transport, to the transport the protocol, and neither knows. It begins with the first
protocol that takes over: up to there, which is the login, everything passes as it is. What the two sides of a
connection have to do differently is to number their packets: FromClient is ours towards a client, ToNode towards a
node. Knows packets by their headers only.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Final

from proxy.channel import ClientChannel
from proxy.frontend import Conversation, Frontend
from proxy.wire.compression import Codec, CompressionError, Headers, Unpacker, pack
from proxy.wire.constants import COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA
from proxy.wire.framing import HEADER, MAX_PAYLOAD, ProtocolError, message_end

_EXCHANGES: Final = 1 << 16
"""Exchanges that a client may begin ahead of the answers; as many commands as fit into what is read at once."""

_NO_REPLY: Final = frozenset((COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA))


class Compressed(asyncio.Transport, asyncio.Protocol, ABC):
    """Opens what comes, no faster than its protocol takes it, and packs what it writes."""

    def __init__(self, transport: asyncio.Transport, codec: Codec) -> None:
        super().__init__()
        self._below = transport
        self._codec = codec
        self._protocol: asyncio.BaseProtocol | None = None
        self._unpacker = Unpacker(codec)
        self._held = b""  # opened, and not taken yet
        self._paused = False
        self._fault: ProtocolError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._below!r}>"

    @abstractmethod
    def _opened(self, seq: int, content: bytes) -> bytes:
        """The content of a packet that came, with the sequence ids that it would have without compression.

        Raises CompressionError for a packet that is not due.
        """

    @abstractmethod
    def _packed(self, data: bytes) -> bytes: ...

    # -- the transport, for the protocol ------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        packed = data if self._protocol is None else self._packed(bytes(data))
        if packed:
            self._below.write(packed)

    def pause_reading(self) -> None:
        self._paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()
        self._paused = False
        if self._held or self._unpacker.pending:
            asyncio.get_running_loop().call_soon(self._deliver)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._below.set_protocol(self)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._below.get_protocol() if self._protocol is None else self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def can_write_eof(self) -> bool:
        return self._below.can_write_eof()

    def write_eof(self) -> None:
        self._below.write_eof()

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    # -- the protocol, for the transport ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._unpacker.feed(data)
        self._deliver()

    def eof_received(self) -> bool:
        self._deliver()  # what came before the end was sent before the end
        protocol = self._protocol
        assert protocol is not None
        return bool(protocol.eof_received())  # type: ignore[attr-defined]  # both kinds of protocol have it

    def pause_writing(self) -> None:
        assert self._protocol is not None
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        assert self._protocol is not None
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._protocol is not None
        self._protocol.connection_lost(exc or self._fault)

    def _deliver(self) -> None:
        # One packet at a time, and only while the protocol takes it: a few KiB can open into many MiB.
        try:
            while not self._paused and not self._below.is_closing():
                if not self._held:
                    packet = self._unpacker.next()
                    if packet is None:
                        return
                    self._held = self._opened(*packet)
                self._hand_up()
        except ProtocolError as fault:
            self._held = b""
            self._fault = fault
            frontend: object = self._protocol
            if isinstance(frontend, Frontend) and not frontend.busy:
                frontend.refuse(fault)
            else:
                self._below.abort()  # an error in the middle of something else would not be read as one

    def _hand_up(self) -> None:
        protocol: object = self._protocol
        if isinstance(protocol, ClientChannel):
            room = protocol.get_buffer(len(self._held))
            part = self._held[: len(room)]
            self._held = self._held[len(part) :]
            room[: len(part)] = part
            protocol.buffer_updated(len(part))
        else:
            assert protocol is not None
            data, self._held = self._held, b""
            protocol.data_received(data)  # type: ignore[attr-defined]  # the other kind


class _Exchange:
    """A command and its reply: sequence ids count on through both."""

    __slots__ = ("due", "end", "follows")

    def __init__(self) -> None:
        self.due = 0
        self.end = 0  # in the stream of all that the client has sent
        self.follows = -1  # the id within that follows what we have replied so far; -1: nothing


class FromClient(Compressed):
    """A client's connection. Each command begins at 0, and its reply goes on where the command ended."""

    def __init__(self, transport: asyncio.Transport, codec: Codec) -> None:
        super().__init__(transport, codec)
        self._received = 0
        # The answered one comes first. A client that sends ahead has begun more.
        self._exchanges: deque[_Exchange] = deque((_Exchange(),))
        self._answered: _Exchange | None = None  # None: the last one
        self._commands = Headers()
        self._replies = Headers()
        self._unfinished = bytearray()  # a packet that was written in part
        self._due_within = 0  # in the command that comes in now

    def numbering(self, conversation: Conversation) -> Conversation:
        """The conversation to give to the Frontend, so that replies are numbered as the command they belong to."""
        return _Numbering(self, conversation)

    def next_command(self) -> None:
        """A command is handed on: what is written from now on answers it."""
        frontend: object = self._protocol
        assert isinstance(frontend, Frontend)
        end = self._received - len(self._held) - frontend.pending
        while len(self._exchanges) > 1 and self._exchanges[0].end < end:
            self._exchanges.popleft()
        self._answered = self._exchanges[0]

    def _opened(self, seq: int, content: bytes) -> bytes:
        exchange = self._exchanges[-1]
        if seq != exchange.due:
            if seq != 0:
                raise CompressionError(f"compressed packet {seq} came where packet {exchange.due} was due")
            if len(self._exchanges) >= _EXCHANGES:
                raise CompressionError(f"{_EXCHANGES} commands are not answered yet")
            exchange = _Exchange()
            self._exchanges.append(exchange)
        exchange.due = (seq + 1) & 0xFF
        self._received += len(content)
        exchange.end = self._received
        stamped = bytearray(content)
        for at, length in self._commands.walk(content):
            if exchange.follows >= 0:
                # No command but what the client says to our reply: the file of LOAD DATA LOCAL, a password.
                stamped[at] = exchange.follows
                exchange.follows = (exchange.follows + 1) & 0xFF
            else:
                stamped[at] = self._due_within
                self._due_within = (self._due_within + 1) & 0xFF if length == MAX_PAYLOAD else 0
        return content if stamped == content else bytes(stamped)

    def _packed(self, data: bytes) -> bytes:
        exchange = self._answered or self._exchanges[-1]
        headers = self._replies.walk(data)
        if headers:
            exchange.follows = (data[headers[-1][0]] + 1) & 0xFF
        # MySQL's connector for Python cannot read a packet that is spread over more than two compressed ones, as those
        # of a server never are: what is not whole waits for the rest.
        cut = len(data) - self._replies.unfinished(headers, len(data))
        if not cut:
            self._unfinished += data
            return b""
        whole, self._unfinished = b"".join((self._unfinished, data[:cut])), bytearray(data[cut:])
        packed, exchange.due = pack(whole, exchange.due, self._codec)
        return packed


class _Numbering(Conversation):
    """Stands before a conversation to see where a command begins."""

    __slots__ = ("_conversation", "_layer")

    def __init__(self, layer: FromClient, conversation: Conversation) -> None:
        self._layer = layer
        self._conversation = conversation

    def command(self, raw: bytes) -> None:
        self._layer.next_command()
        self._conversation.command(raw)

    def client_paused(self) -> None:
        self._conversation.client_paused()

    def client_resumed(self) -> None:
        self._conversation.client_resumed()

    def client_gone(self) -> None:
        self._conversation.client_gone()


class _Asked:
    """A command to a node, and its reply as far as it has come."""

    __slots__ = ("answered", "due", "filing", "within")

    def __init__(self) -> None:
        self.due = 0
        self.within = 0  # the id that is due inside
        self.answered = False  # in part at least
        self.filing = False  # the file of LOAD DATA LOCAL is under way


class ToNode(Compressed):
    """A connection to a node. Whole packets are written; each command is packed by itself and begins at 0.

    A client that does not compress looks at the ids of the packets inside, and a server under compression goes on with
    the outer ones after each flush: those of a reply are made anew.
    """

    def __init__(self, transport: asyncio.Transport, codec: Codec) -> None:
        super().__init__(transport, codec)
        self._asked: deque[_Asked] = deque()
        self._replies = Headers()

    def _opened(self, seq: int, content: bytes) -> bytes:
        if not self._asked:
            return content  # a notice that nobody asked for
        if seq != self._asked[0].due and self._asked[0].answered and len(self._asked) > 1:
            self._asked.popleft()
        asked = self._asked[0]
        asked.due = (seq + 1) & 0xFF
        asked.answered = True
        asked.filing = False
        stamped = bytearray(content)
        for at, _ in self._replies.walk(content):
            stamped[at] = asked.within
            asked.within = (asked.within + 1) & 0xFF
        return bytes(stamped)

    def _packed(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        at = 0
        # What is sent together is answered one after the other; what is sent later, when all before it is answered,
        # but for commands whose reply nobody waits for: their replies have not begun to come.
        finished = bool(self._asked) and self._asked[0].answered and not self._asked[0].filing and data[3] == 0
        if finished:
            self._asked.popleft()
        while at < len(data):
            end = message_end(data, at)
            if end < 0:
                raise ValueError("a packet was written in part")
            seq = data[at + 3]
            if seq != 0 or (self._asked and self._asked[0].filing):
                asked = self._asked[0]
                asked.filing = end - at > HEADER
            else:
                asked = _Asked()
                if data[at + HEADER] not in _NO_REPLY:
                    self._asked.append(asked)
            packed, asked.due = pack(data[at:end], asked.due, self._codec)
            asked.within = (seq + (end - at - 1) // (HEADER + MAX_PAYLOAD) + 1) & 0xFF
            parts.append(packed)
            at = end
        return b"".join(parts)
