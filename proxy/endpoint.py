"""One address for clients: what its settings say of their logins, transactions and backends."""

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from config import Config
from config import Endpoint as EndpointSettings
from proxy.hello import OFFERED
from proxy.listener import Listener
from proxy.log import event
from proxy.opening import Login, LoginSettings, Result
from proxy.policy import Policy
from proxy.profile import Profile, introduced
from proxy.session import Session
from proxy.tls import server_context
from proxy.wire import constants as c

if TYPE_CHECKING:
    from proxy.service import Service

logger = logging.getLogger(__name__)


class Endpoint:
    """One address for clients."""

    def __init__(self, service: "Service", settings: EndpointSettings) -> None:
        limits = service.config.limits
        self.name = settings.name
        self.listening = False
        self._service = service
        self._configured = settings
        self._policies: dict[str | None, Policy] = {}  # by the user of the settings; None: an account of the cluster
        tls = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            tls = server_context(
                settings.tls_certificate,
                settings.tls_key,
                minimum=settings.tls_minimum,
                client_ca=settings.tls_client_ca,
                client_certificate=settings.tls_client_certificate,
            )
        self.settings = LoginSettings(
            accounts=service.accounts,
            version=service.greeted_version,
            collation=service.greeted_collation,
            offered=OFFERED if settings.local_infile else OFFERED & ~c.CLIENT_LOCAL_FILES,
            nodes_offer=lambda: service.monitor.capabilities,
            tls=tls,
            tls_required=settings.tls_required,
            compression=settings.compression,
            proxy_protocol=lambda host: any(network.holds(host) for network in settings.proxy_protocol_networks),
            timeout=limits.login_timeout,
            max_packet=limits.max_login_packet,
            backoff=service.backoff,
        )
        self.listener = Listener(settings.name, self.settings, service.admission, self._on_client, self.counts)

    async def listen(self) -> None:
        """Raises OSError for an address that can't be had."""
        backlog = self._service.config.process.listen_backlog
        bound = self._service.sockets.get(self.name)
        if bound is not None:
            for sock in bound:
                await self.listener.listen_on(sock, backlog=backlog)
        else:
            if self._configured.listen is not None:
                address = self._configured.listen
                await self.listener.listen_tcp(address.host or None, address.port, backlog=backlog)
            if self._configured.socket is not None:
                path, mode = str(self._configured.socket), self._configured.socket_mode
                await self.listener.listen_unix(path, mode=mode, backlog=backlog)
        self.listening = True
        event(
            logger,
            "endpoint.listening",
            endpoint=self.name,
            listen=str(self._configured.listen or ""),
            ports=",".join(map(str, self.listener.ports)),
            socket=str(self._configured.socket or ""),
        )

    def policy(self, login: Login) -> Policy:
        """What the settings say of this client's transactions."""
        user = self._service.user(login)
        name = user.name if user is not None else None
        policy = self._policies.get(name)
        if policy is None:
            policy = self._policies[name] = Policy(self._service.config, self._configured, user)
        return policy

    @property
    def commit_marker(self) -> bool:
        return self._configured.commit_marker

    def profile(self, login: Login, before: Profile | None = None) -> Profile:
        """What the backends of such a client log in with; `before`: what they did until its capabilities changed."""
        said = introduced(login.attributes, self._configured.connection_attributes)
        return self._service.profile(login, said, before)

    def reload(self, config: Config, settings: EndpointSettings) -> None:
        """Take what may change while clients are there: placement, causality, replays, the commit marker."""
        self._configured = settings
        users = {user.name: user for user in config.users}
        for name, policy in self._policies.items():
            policy.apply(config, settings, users.get(name) if name is not None else None)

    async def close(self) -> None:
        """Accept no more; sessions go on."""
        self.listening = False
        await self.listener.close()

    def counts(self, result: Result) -> None:
        self._service.metrics.logins[self.name, result.value] += 1

    def _on_client(self, login: Login) -> Coroutine[Any, Any, None] | None:
        return Session(self._service, self, login).begin()
