"""A network that can be cut: a relay of TCP between clients and servers, all of whose connections end when a test says.

What a server has received by then it goes on with, as it would when a network fails; its answer reaches nobody. A
`Snip` cuts one connection at a byte: of a command, or of the answer to it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

HEAD: Final = 4  # bytes ahead of a command


@dataclass(slots=True)
class Snip:
    """Ends the first connection on which a command with these bytes comes along, once so many bytes of the command, or
    of the `answer` to it, have been passed on.
    """

    command: bytes
    after: int
    answer: bool
    met: int = 0  # how long the command is, once it was seen
    done: bool = False


class Cable:
    """The connections to one server, at `port` of 127.0.0.1."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.cuts = 0  # connections that were cut
        self.snip: Snip | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._waits: dict[asyncio.StreamWriter, Snip] = {}  # by the end to which the answer goes

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, out = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, out}
        try:
            await asyncio.gather(self._commands(reader, out, writer), self._pass_on(there, writer))
        finally:
            self._ends -= {writer, out}
            for end in (writer, out):
                end.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                snip = self._waits.pop(target, None)
                if snip is not None and snip.after < len(data):
                    target.write(data[: snip.after])
                    await target.drain()
                    snip.done = True
                    break
                target.write(data)
                await target.drain()
        target.transport.abort()

    async def _commands(
        self, source: asyncio.StreamReader, out: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                snip = self.snip
                at = data.find(snip.command) if snip is not None else -1
                if snip is None or at < 0 or snip.met:
                    out.write(data)
                    await out.drain()
                    continue
                begin = data.rindex(b"\x03", 0, at) - HEAD
                snip.met = len(data) - begin
                if snip.answer:
                    self._waits[back] = snip
                    out.write(data)
                else:
                    out.write(data[: begin + snip.after])
                    await out.drain()
                    snip.done = True
                    back.transport.abort()
                    break
        out.transport.abort()

    def cut(self) -> None:
        """In the loop: every connection ends now, in the middle of whatever is on it."""
        self.cuts += len(self._ends) // 2
        for end in list(self._ends):
            end.transport.abort()


class Network:
    """A cable to each of some servers, in a thread of its own."""

    def __init__(self, server_ports: Sequence[int]) -> None:
        self.cables = [Cable(port) for port in server_ports]
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)  # connections that end are what this is for
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{cable.port}" for cable in self.cables]

    def cut(self, number: int) -> None:
        """End all connections to the server with this number, counted from 1."""
        self._loop.call_soon_threadsafe(self.cables[number - 1].cut)

    def snip(self, snip: Snip) -> None:
        """From now on look for this command on the way to any of the servers."""
        for cable in self.cables:
            cable.snip = snip

    def __enter__(self) -> "Network":
        self._thread.start()
        self._servers = [self._run(cable.listen()) for cable in self.cables]
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for cable in self.cables:
            cable.cut()
        mine = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not mine]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextlib.contextmanager
def network(server_ports: Sequence[int]) -> Iterator[Network]:
    with Network(server_ports) as made:
        yield made
