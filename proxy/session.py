"""A logged-in client: joins its connection (`Frontend`), its relay and what it logged in as.

It exists from the login's OK to the end of the connection, and is what the registry, KILL and the drain see.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from proxy import commands
from proxy.channel import ClientChannel
from proxy.compression import FromClient
from proxy.frontend import Conversation, Frontend
from proxy.handshake import change_user, refuse, while_there
from proxy.opening import Login, LoginFailed, accept
from proxy.relay import Relay
from proxy.wire.constants import CLIENT_MULTI_STATEMENTS, COM_CHANGE_USER
from proxy.wire.framing import payload_of
from proxy.wire.packets import error_packet
from router import answers
from router.answers import Answer as ProxyError
from router.statements import Classifier

if TYPE_CHECKING:
    from proxy.endpoint import Endpoint
    from proxy.service import Service

# A collation's character set in which a byte below 0x80 may be the second half of a character: big5, sjis, cp932,
# gbk, gb18030.
FOREIGN_COLLATIONS: Final = frozenset((1, 84, 13, 88, 95, 96, 28, 87, 248, 249, 250))


class Session(Conversation):
    """One client after its login."""

    __slots__ = ("classifier", "endpoint", "frontend", "login", "max_command_bytes", "metrics", "relay", "service")

    def __init__(self, service: "Service", endpoint: "Endpoint", login: Login) -> None:
        self.service = service
        self.endpoint = endpoint
        self.login = login
        self.metrics = service.metrics
        self.classifier: Classifier = service.classifier
        self.max_command_bytes = service.config.limits.max_command_bytes
        policy = endpoint.policy(login)
        self.relay = Relay(
            service.cluster,
            endpoint.profile(login),
            login.connection_id,
            policy,
            service.initial(policy),
            foreign=login.collation in FOREIGN_COLLATIONS,
        )
        self.relay.marks = service.marks_commits(endpoint, login.account)
        conversation: Conversation = self
        if login.codec is not None:
            layer = FromClient(login.transport, login.codec)
            login.channel.transport = layer
            conversation = layer.numbering(self)
        self.frontend = Frontend(
            login.transport, conversation, service.metrics, max_command_bytes=self.max_command_bytes
        )
        self.relay.frontend = self.frontend

    def __repr__(self) -> str:
        return f"<Session {self.login.connection_id} {self.login.account.name}@{self.login.host} {self.relay!r}>"

    # -- what the frontend calls --------------------------------------------------------------------------------------

    def command(self, raw: bytes) -> None:
        if raw[4] != COM_CHANGE_USER:
            commands.handle(self, raw)
            return
        self.metrics.command_counts[COM_CHANGE_USER] += 1
        early = self.frontend.suspend()
        channel = ClientChannel.take_over(
            self.login.transport, self.service.config.limits.max_login_packet, seq=1, early=early
        )
        self.service.run(self._change_user(channel, raw), f"change user of {self.login.connection_id}")

    def client_paused(self) -> None:
        self.relay.client_paused()

    def client_resumed(self) -> None:
        self.relay.client_resumed()

    def client_gone(self) -> None:
        self.relay.client_gone()
        self.service.gone(self)

    def allow_several(self, allowed: bool) -> None:
        """Several statements in one text: from now on the session's backends are of those that are told so at login."""
        login = self.login
        login.capabilities &= ~CLIENT_MULTI_STATEMENTS
        if allowed:
            login.capabilities |= CLIENT_MULTI_STATEMENTS
        self.relay.profile = self.endpoint.profile(login, self.relay.profile)

    # -- logging in ---------------------------------------------------------------------------------------------------

    def begin(self) -> Coroutine[Any, Any, None] | None:
        """Answer the login: with OK at once, or by what is returned, where a node has to be asked first."""
        self.service.sessions[self.login.connection_id] = self
        if self._asks_a_node():
            return self._begin_with_a_node()
        try:
            self._accept()
        except ConnectionResetError:
            self._end()
        return None

    async def _begin_with_a_node(self) -> None:
        try:
            await self._answer_login()
        except ConnectionResetError:
            self._end()
        except BaseException:
            # The listener closes the connection and gives its place back.
            self.frontend.closed = True
            self.relay.client_gone()
            self.service.forget(self)
            raise

    def _asks_a_node(self) -> bool:
        # An account of the cluster is one only if a node says so, which sees our address and not the client's.
        return self.login.database != "" or not self.relay.profile.confirmed

    def _accept(self) -> None:
        login = self.login
        login.hand_over(cast("asyncio.Protocol", self.frontend), accept(login, self.relay.status))

    async def _answer_login(self) -> None:
        login = self.login
        error = None
        if self._asks_a_node():
            error = await while_there(login.channel, self.relay.select(login.database.encode()))
        if error is None:
            self._accept()
            return
        if isinstance(error, ProxyError):
            self.metrics.errors_made[error.reason] += 1
            error = error_packet(login.seq, error.code, error.sqlstate, error.text)
        await login.reject(error[:3] + bytes((login.seq,)) + error[4:])
        self._end()

    async def _change_user(self, channel: ClientChannel, raw: bytes) -> None:
        """The session starts anew as somebody else, or the connection ends."""
        refused: LoginFailed | None = None
        try:
            login = await change_user(channel, payload_of(raw), self.login, self.endpoint.settings)
        except LoginFailed as failed:
            refused = failed
        if refused is not None:
            self.endpoint.counts(refused.result)
            await refuse(channel, refused)
            self._end()
            return
        self.login = login
        policy = self.endpoint.policy(login)
        self.relay.restart(
            self.endpoint.profile(login),
            policy,
            self.service.initial(policy),
            foreign=login.collation in FOREIGN_COLLATIONS,
        )
        self.relay.marks = self.service.marks_commits(self.endpoint, login.account)
        self.frontend.ready()
        try:
            await self._answer_login()
        except ConnectionResetError:
            self._end()  # it left meanwhile, and the channel was told instead of us

    def _end(self) -> None:
        self.frontend.closed = True
        self.client_gone()

    def idle_for(self, now: float) -> float:
        """Seconds since the client's last command ended; 0 while one is under way."""
        relay = self.relay
        return now - self.frontend.last_command if relay.request is None and relay.task is None else 0.0

    def shut_down(self) -> None:
        """The drain's deadline has passed."""
        if self.relay.request is None and self.relay.task is None:
            answer = answers.shutdown()
            self.frontend.write(error_packet(0, answer.code, answer.sqlstate, answer.text))
            self.frontend.close()
        else:
            self.frontend.abort()
