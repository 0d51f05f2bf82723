"""Logs in to a node as a client and hands the connection over: after the OK the bare transport changes hands.

This module knows nothing of sessions, pools or what the connection will be used for.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from proxy.link import PLAIN, Link
from proxy.login_exchange import ACCESS_DENIED, MALFORMED, LoginExchange, NativeKey, Terms, as_failure
from proxy.stream import LOST, MAX_BUFFERED, ConnectFailed, Stream
from proxy.wire.proxied import header_for

__all__ = ("NOT_THIS_ACCOUNT", "ConnectFailed", "Connected", "Credential", "NativeKey", "connect", "open_exchange")

_REPLICATED = 0.2  # seconds

_UNREACHABLE = 2003
_UNKNOWN_HOST = 2005
NOT_THIS_ACCOUNT: Final = 1698  # "Access denied" too; of one account alone, so that it says nothing of the node


@dataclass(slots=True)
class Credential:
    """What an account logs in with, which may change while its profile is in use; None: not known any more.

    `confirmed`: a node has let us in with it.
    """

    value: str | NativeKey | None = field(repr=False, default=None)
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection that is logged in and idle. The holder owns the transport: nobody else will close it."""

    transport: asyncio.Transport
    version: str  # as greeted, "5.5.5-" prefix included
    thread_id: int
    capabilities: int  # exactly what both sides agreed on; MariaDB's extended ones from bit 32 up
    offered: int  # what the server could have agreed to
    status: int  # SERVER_STATUS_* flags of the login's OK
    stream: "Stream"

    @property
    def buffered(self) -> bytes:
        """What the server has sent since the OK and nobody has read."""
        return bytes(self.stream.buffer)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> bytes:
        """Give the transport to `protocol` and return the bytes that arrived before it could see them.

        `connection_made` is not called. Raises ConnectFailed(2013) when the connection was lost since the login: then
        `protocol` would never have heard of it.
        """
        if self.stream.lost or self.transport.is_closing():
            self.transport.abort()
            raise ConnectFailed(LOST, "Lost connection to the node right after the login")
        self.transport.set_protocol(protocol)
        return bytes(self.stream.buffer)


async def connect(
    address: tuple[str, int],
    *,
    user: str,
    password: str | NativeKey | Credential,
    account: str | None = None,
    capabilities: int,
    collation: int,
    database: str | None = None,
    attributes: Mapping[str, str] | None = None,
    on_behalf_of: str | None = None,
    link: Link = PLAIN,
    timeout: float = 5.0,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float = 2.0,
) -> Connected:
    """Log in to the node at `address` (host, port).

    The agreed capabilities are those of `capabilities` that the server has too, and what a login cannot do without
    (PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH; CONNECT_WITH_DB and CONNECT_ATTRS where given). TLS and compression
    are as `link` says, and no part of them. `collation` is a collation id of one byte (ValueError otherwise). `timeout`
    seconds bound the whole, `connect_timeout` the TCP connection. No query is sent, unless `account` says which one
    ("user@host") the node must take us for: then it is asked. Raises ConnectFailed; on it, and when cancelled, no
    socket is left behind.

    `on_behalf_of` is the address that the node is told by the PROXY protocol to take us for; "localhost" tells it
    nothing by that protocol, None does not speak it.
    """
    secret = password.value if isinstance(password, Credential) else password
    if secret is None:
        why = "its password was changed and nobody has logged in with the new one yet"
        raise ConnectFailed(NOT_THIS_ACCOUNT, f"Access denied for user '{user}': {why}", "28000")
    terms = Terms(address, user, secret, capabilities, collation, database, attributes or {}, link=link, compress=True)
    opened = partial(
        open_exchange,
        terms,
        timeout=timeout,
        connect_timeout=connect_timeout,
        account=account,
        on_behalf_of=on_behalf_of,
    )
    try:
        exchange, status, stream = await opened()
    except ConnectFailed as failed:
        if failed.code != NOT_THIS_ACCOUNT:
            raise
        # What was changed at one node a moment ago may not have reached this one.
        await asyncio.sleep(_REPLICATED)
        exchange, status, stream = await opened()
    if isinstance(password, Credential) and secret is password.value:
        password.confirmed = True
    exchange.detach()
    assert stream.transport is not None
    return Connected(
        transport=stream.transport,
        version=exchange.server_version,
        thread_id=exchange.thread_id(),
        capabilities=exchange.negotiated,
        offered=exchange.server_capabilities,
        status=status,
        stream=stream,
    )


async def open_exchange(
    terms: Terms,
    *,
    timeout: float,  # noqa: ASYNC109  # told apart from the callers\' own
    connect_timeout: float,
    account: str | None = None,
    max_buffered: int = MAX_BUFFERED,
    on_behalf_of: str | None = None,
) -> tuple[LoginExchange, int, Stream]:
    """Connect and log in, without the retry and the hand-over of `connect`, whose arguments and errors these are; with
    the status flags of the OK.
    """
    address = terms.address
    if not 0 < terms.collation < 256:
        raise ValueError(f"collation {terms.collation} does not fit in the handshake's one byte")
    place = f"{address[0]}:{address[1]}"
    stream = Stream(max_buffered)
    exchange = LoginExchange(terms)
    try:
        async with asyncio.timeout(timeout) as whole:
            try:
                async with asyncio.timeout(connect_timeout):
                    await asyncio.get_running_loop().create_connection(lambda: stream, *address)
            except socket.gaierror as error:
                raise ConnectFailed(_UNKNOWN_HOST, f"Unknown server host {address[0]!r} ({error.strerror})") from error
            except OSError as error:  # TimeoutError is one
                why = error.strerror or f"no TCP connection within {min(timeout, connect_timeout):g} s"
                raise ConnectFailed(_UNREACHABLE, f"Can't connect to {place} ({why})") from error
            stream.tune()
            if on_behalf_of is not None:
                assert stream.transport is not None
                host, port = stream.transport.get_extra_info("peername")[:2]
                stream.write(header_for(on_behalf_of, (host, port)))
            status = await exchange.log_in(stream)
            if account is not None and (found := await exchange.current_user()) != account:
                why = f"from here a node takes it for {found}, not for {account}"
                raise ConnectFailed(NOT_THIS_ACCOUNT, f"Access denied for user '{terms.user}': {why}", "28000")
    except BaseException as error:
        exchange.detach()
        if stream.transport is not None:
            stream.transport.abort()
        if isinstance(error, TimeoutError) and whole.expired():
            raise ConnectFailed(LOST, f"No answer from {place} to the login within {timeout:g} s") from error
        if account is not None and isinstance(error, ConnectFailed) and error.code == ACCESS_DENIED:
            raise ConnectFailed(NOT_THIS_ACCOUNT, error.message, error.sqlstate) from error
        if isinstance(error, ConnectFailed) or not isinstance(error, Exception):
            raise
        failure = as_failure(error)
        if failure.code == MALFORMED and on_behalf_of is not None:
            failure.code = LOST  # MariaDB refuses a header with an error that has the wrong sequence id
        if failure.code == LOST:
            hint = "" if on_behalf_of is None else "; is the proxy in its proxy_protocol_networks?"
            failure = ConnectFailed(LOST, f"Lost connection to {place} during the login{hint}")
        raise failure from error
    return exchange, status, stream
