"""Connections of our own, to ask a node about itself or to set it up.

They log in as any other (`proxy.login`), but are read by aiomysql, so that they ask for no more than it knows.
"""

from collections.abc import Mapping

from proxy.link import PLAIN, Link
from proxy.login import open_exchange
from proxy.login_exchange import LoginExchange, Terms, as_failure
from proxy.stream import MAX_BUFFERED, ConnectFailed
from proxy.wire.constants import CLIENT_LONG_FLAG, CLIENT_PLUGIN_AUTH, CLIENT_TRANSACTIONS

# Without DEPRECATE_EOF and what else aiomysql does not know.
_CAPABILITIES = CLIENT_LONG_FLAG | CLIENT_TRANSACTIONS | CLIENT_PLUGIN_AUTH
_UTF8MB4_GENERAL_CI = 45


class QueryConnection:
    """A connection of our own to ask a node about itself. Text in, text out, one query at a time."""

    __slots__ = ("_client", "collation", "offered", "thread_id", "version")

    def __init__(self, connected: LoginExchange) -> None:
        self._client = connected
        self.version: str = connected.server_version
        self.thread_id: int = connected.thread_id()
        self.offered: int = connected.server_capabilities  # what the server could have agreed to
        self.collation: int = connected.server_language  # the server's own; of its number the greeting has one byte

    @property
    def closed(self) -> bool:
        return bool(self._client.closed)

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of the answer, values as the text the server sent. The caller brings the deadline.

        Raises ConnectFailed; anything but an error from the server, cancellation included, closes the connection.
        """
        try:
            await self._client.query(sql)
        except ConnectFailed:
            raise  # the server's own error: the connection is at rest
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):
                raise as_failure(error) from error
            raise
        return [tuple(_text(value) for value in row) for row in self._client._result.rows or ()]

    def close(self) -> None:
        """Ends the connection at once. A COM_QUIT is left in the socket so that the node does not log an abort."""
        stream = self._client._writer
        if stream is not None:
            stream.write_if_open(b"\x01\0\0\0\x01")
        self._client.close()


async def open_queries(
    address: tuple[str, int],
    *,
    user: str,
    password: str,
    attributes: Mapping[str, str] | None = None,
    link: Link = PLAIN,
    timeout: float = 5.0,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float = 2.0,
    max_buffered: int = MAX_BUFFERED,
) -> QueryConnection:
    """Log in for queries of our own, in utf8mb4, never compressed. Arguments and errors as for connect(); a node
    that sends more than `max_buffered` bytes ahead of their reading is cut off."""
    terms = Terms(
        address,
        user,
        password,
        _CAPABILITIES,
        _UTF8MB4_GENERAL_CI,
        database=None,
        attributes=attributes or {},
        link=link,
        compress=False,
    )
    exchange, _, _ = await open_exchange(
        terms, timeout=timeout, connect_timeout=connect_timeout, max_buffered=max_buffered
    )
    return QueryConnection(exchange)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
