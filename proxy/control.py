"""What the supervisor and a worker say to each other: questions, answers and news, as lines of JSON over a socket pair.

Both sides ask and both answer. Knows nothing of what is said.
"""

import asyncio
import inspect
import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.log import event

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0  # seconds that an answer may take
_MAX_LINE: Final = 64 << 20  # bytes: the rows of tens of thousands of sessions

Handlers = Mapping[str, Callable[..., Any]]
"""By the word that they answer to. What they return, or what their coroutine does, is made JSON."""


class Gone(Exception):
    """The other side does not answer, or is no longer there."""


class Channel:
    """One end. `run` has to be running for anything to be heard."""

    def __init__(self, name: str, handlers: Handlers) -> None:
        self.name = name
        self.closed = False
        self._handlers = handlers
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._last = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, sock: socket.socket) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=sock, limit=_MAX_LINE)

    async def run(self) -> None:
        """Hear the other side out; returns when it is gone, or this end is closed."""
        try:
            while line := await self._reader.readline():
                self._heard(json.loads(line))
        except OSError:
            pass  # the end of a process that was killed
        finally:
            self.close()

    async def ask(self, word: str, *arguments: Any, patience: float | None = PATIENCE) -> Any:
        """The answer. Raises Gone if there is none within `patience` seconds (None: however long it takes), or if the
        other side could not answer.
        """
        if self.closed:
            raise Gone(self.name)
        self._last += 1
        number = self._last
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"ask": number, "word": word, "with": arguments})
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise Gone(f"{self.name} does not answer") from None
        finally:
            del self._asked[number]

    def tell(self, word: str, *arguments: Any) -> None:
        """Without an answer; nobody may be there to hear it."""
        if not self.closed:
            self._send({"word": word, "with": arguments})

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._writer.close()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(Gone(self.name))
            for task in self._tasks:
                task.cancel()

    def _send(self, message: Mapping[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _heard(self, message: Mapping[str, Any]) -> None:
        if "answer" in message:
            answer = self._asked.get(message["answer"])
            if answer is not None and not answer.done():  # it may have come too late
                if "failed" in message:
                    answer.set_exception(Gone(f"{self.name}: {message['failed']}"))
                else:
                    answer.set_result(message["is"])
            return
        task = asyncio.get_running_loop().create_task(self._handle(message), name=f"{self.name} {message['word']}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, message: Mapping[str, Any]) -> None:
        answer: dict[str, Any] = {"answer": message.get("ask")}
        try:
            result = self._handlers[message["word"]](*message["with"])
            answer["is"] = await result if inspect.isawaitable(result) else result
        except Exception as error:
            event(logger, "internal.error", level=logging.ERROR, where=self.name, error=repr(error))
            answer["failed"] = repr(error)
        if answer["answer"] is not None:
            self._send(answer)
