"""A network that can be cut: a relay of TCP between clients and servers, all of whose connections end when a test says.

What a server has received by then it goes on with, as it would when a network fails; its answer reaches nobody.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any


class Cable:
    """The connections to one server, at `port` of 127.0.0.1."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.cuts = 0  # connections that were cut
        self._ends: set[asyncio.StreamWriter] = set()

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
            await asyncio.gather(self._pass_on(reader, out), self._pass_on(there, writer))
        finally:
            self._ends -= {writer, out}
            for end in (writer, out):
                end.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.transport.abort()

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
