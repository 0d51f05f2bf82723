"""What a login asks for beyond the usual: TLS, the PROXY protocol, rounds of authentication, a wait; COM_CHANGE_USER.

    opening.py -> [SSLRequest, TLS] -> the client's response -> rounds of auth.py -> Login, or ERR and the end

Everything here was sent by somebody unknown: sizes, time and the order of packets are bounded. It is not compiled: in a
compiled coroutine that waits in a `finally`, a cancellation gets lost.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

from proxy.auth import Denied, Exchange, authenticate
from proxy.channel import ClientChannel
from proxy.hello import parse_change_user
from proxy.opening import Login, LoginFailed, LoginSettings, Opening, Result
from proxy.proof import NATIVE_PASSWORD, Answer, Proof, Refused
from proxy.wire import constants as c
from proxy.wire import proxied
from proxy.wire.framing import PacketTooLarge, ProtocolError
from router import answers

GLANCE: Final = 0.1
"""Seconds between two looks whether a client that is made to wait is still there."""

Value = TypeVar("Value")


async def login(opening: Opening) -> Login:
    """Finds out who a client is that was greeted.

    Raises LoginFailed, after which refuse() tells the client and closes. When cancelled, the connection is cut.
    """
    try:
        async with asyncio.timeout_at(opening.deadline):
            return await _converse(opening)
    except LoginFailed:
        raise
    except Exception as error:
        raise _failure(error) from error
    except BaseException:
        opening.channel.transport.abort()
        raise


async def refuse(channel: ClientChannel, failure: LoginFailed) -> None:
    """Tells the client why, if there is anything to tell, and closes the connection."""
    packet = failure.packet(channel.seq)
    if packet is None:
        channel.transport.abort()
    else:
        await channel.close_after(packet)


async def _converse(opening: Opening) -> Login:
    channel, settings = opening.channel, opening.settings
    payload = await channel.receive()
    if channel.proxy_header is not None:
        # The greeting did not wait for it, since who may send one need not. Nor does the refusal come sooner: an error
        # has to follow what the client has sent, or it is not read.
        if not settings.proxy_protocol(opening.host):
            raise LoginFailed(Result.PROXY_REFUSED, host=opening.host)
        source = proxied.client(channel.proxy_header)
        if source is not None:
            (opening.host, opening.port), opening.local = source, False
    if opening.asks_for_tls(payload):
        assert settings.tls is not None
        try:
            await channel.start_tls(settings.tls, settings.timeout)
        except OSError as error:
            raise LoginFailed(Result.TLS_FAILED) from error
        opening.tls = True
        payload = await channel.receive()
    response = opening.response(payload)
    proof = await _authenticate(channel, opening.answer(response), settings, opening.host, tls=opening.tls)
    return opening.login(response, proof)


async def change_user(channel: ClientChannel, payload: bytes, login: Login, settings: LoginSettings) -> Login:
    """Answers COM_CHANGE_USER up to its OK or ERR packet; `payload` is the command, its command byte included.

    Returns the login as it is from now on; accept() makes the OK packet. Raises LoginFailed when the connection must
    end: refuse() tells the client and closes, as the server does. `channel` comes from ClientChannel.take_over() with
    seq=1.
    """
    try:
        async with asyncio.timeout(settings.timeout):
            response = parse_change_user(payload, login.capabilities, login.collation)
            answer = Answer(
                name=response.name,
                data=response.data,
                plugin=(response.plugin or "") if login.capabilities & c.CLIENT_PLUGIN_AUTH else None,
                nonce=login.nonce,
                # libmariadb's native answer stays the same if it is asked again; its caching_sha2_password sends
                # nothing before it is asked.
                data_plugin=NATIVE_PASSWORD,
                attributes=response.attributes,
                secure=login.secure,
            )
            proof = await _authenticate(channel, answer, settings, login.host, tls=login.tls)
    except LoginFailed:
        raise
    except Exception as error:
        raise _failure(error) from error
    return replace(
        login,
        channel=channel,
        account=proof.account,
        native_key=proof.native_key,
        collation=response.collation,
        database=response.database,
        attributes=response.attributes or login.attributes,
        seq=channel.seq,
    )


def _failure(error: Exception) -> LoginFailed:
    """The verdict on a conversation that broke; raises `error` again if it is no fault of the client's."""
    match error:
        case PacketTooLarge():
            return LoginFailed(Result.TOO_LARGE)
        case ProtocolError():
            return LoginFailed(Result.MALFORMED)
        case TimeoutError():
            return LoginFailed(Result.TIMEOUT)
        case ConnectionError():
            return LoginFailed(Result.GONE)
        case _:
            raise error


async def _authenticate(exchange: Exchange, answer: Answer, settings: LoginSettings, host: str, *, tls: bool) -> Proof:
    backoff, clock = settings.backoff, asyncio.get_running_loop().time
    delay = backoff.wait(host, clock(), settings.timeout)
    if delay is None:
        raise LoginFailed.because(answers.login_blocked(host))
    if delay:
        await asyncio.sleep(delay)
    try:
        account = await settings.accounts.find(answer.name, host)
        proof = await authenticate(
            exchange,
            answer,
            account,
            default_plugin=settings.plugin,
            plugin_of_unknown=settings.accounts.plugin_of_unknown,
        )
    except Refused as refused:
        raise LoginFailed.because(refused.answer) from refused
    except Denied as denied:
        backoff.failed(host, clock())
        raise LoginFailed(Result.DENIED, name=answer.name, host=host, used_password=denied.used_password) from denied
    backoff.succeeded(host)
    objection = proof.account.objection(host, tls=tls)
    if objection is not None:
        raise LoginFailed.because(objection)
    return proof


async def while_there(channel: ClientChannel, work: Coroutine[Any, Any, Value]) -> Value:
    """What `work` comes to. It may wait for a node, and nothing is read from the client meanwhile: if that leaves, the
    work is cancelled, and ConnectionResetError raised.
    """
    task = asyncio.get_running_loop().create_task(work, name="answer to a login")
    try:
        while not (await asyncio.wait((task,), timeout=GLANCE))[0]:
            if channel.left():
                raise ConnectionResetError("the client is gone")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
