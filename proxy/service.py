"""What one worker runs: its endpoints, its clients, the cluster behind them, the monitor and the HTTP server.

`start` to `drain` is its whole life. Signals and processes are the business of proxy.serve.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from config import Config, User
from proxy import http
from proxy.accounts import Accounts, ClusterAccount, ClusterAccounts
from proxy.addresses import CONSOLE, HTTP, NONE, Sockets
from proxy.catalog import CatalogReader
from proxy.cluster import Cluster
from proxy.console.tables import TABLES, Row
from proxy.counters import Metrics
from proxy.crew import Crew
from proxy.endpoint import Endpoint
from proxy.hello import OF_THE_NODES
from proxy.kill import Killed, from_elsewhere
from proxy.listener import Admission
from proxy.log import event
from proxy.metrics import CONTENT_TYPE, Exposition
from proxy.monitor import Monitor
from proxy.opening import Login
from proxy.policy import Policy
from proxy.profile import Attributes, Profile
from proxy.proof import Account, PasswordAccount
from proxy.reload import adopted, unchangeable
from proxy.session import Session
from proxy.takeover import GRACE
from proxy.version import COMPILED, VERSION
from proxy.wire import constants as c
from router import snapshots
from router.backoff import LoginBackoff
from router.catalog import Catalog
from router.membership import Membership, Node, NodeState
from router.session import State
from router.statements import Classifier

if TYPE_CHECKING:
    from proxy.console.server import Console

logger = logging.getLogger(__name__)

# The capabilities that a session can tell, by the bytes of its replies or by how statements behave. Clients that
# differ in others only share their backends.
SEEN_IN_SESSION: Final = (
    c.CLIENT_PROTOCOL_41
    | c.CLIENT_FOUND_ROWS
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_NO_SCHEMA
    | c.CLIENT_LOCAL_FILES
    | c.CLIENT_IGNORE_SPACE
    | c.CLIENT_INTERACTIVE  # decides which of two timeouts is the session's wait_timeout
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
    | c.CLIENT_SESSION_TRACK
    | c.CLIENT_DEPRECATE_EOF
    | (OF_THE_NODES & ~c.CLIENT_LONG_PASSWORD)
)
CATALOG_PATIENCE: Final = 2.0  # seconds at the start for what is known of tables
PROFILES: Final = 16  # the latest ones, that are kept though nobody has them
HOUSEKEEPING: Final = 5.0  # seconds between two looks for what has been idle for too long


class Service:
    """Everything of one process that serves clients."""

    def __init__(self, config: Config, crew: Crew | None = None, sockets: Sockets = NONE) -> None:
        """`crew`: there are other workers, and `config` is this one's share. `sockets`: what there is to listen on, by
        endpoint; others bind their addresses.
        """
        self.config = config
        self.sockets = sockets
        self.crew = crew
        nodes = [Node(address.host, address.port) for address in config.cluster.nodes]
        self.membership = Membership(nodes)
        self.metrics = Metrics([node.name for node in nodes], VERSION)
        self.cluster = Cluster(config, self.membership, self.metrics)
        self.monitor = Monitor(
            config.cluster,
            config.monitor,
            self.membership,
            self.metrics,
            self.cluster.apply,
            flavor=self.cluster.flavor,
            link=self.cluster.link,
        )
        self.cluster.check_now = self.monitor.check_now
        if crew is not None:
            self.cluster.join(crew)
        self.classifier = Classifier(engine=self.cluster.flavor.engine)
        self.admission = Admission(config.limits.max_clients, config.limits.max_pending_logins)
        if crew is not None:
            self.admission.seat = crew.seat
        self.backoff = LoginBackoff(config.limits.login_backoff, config.limits.login_backoff_max)
        if crew is not None:
            self.backoff.tell = crew.login_judged
        self._cluster_accounts = self._accounts_of_cluster(config) if config.accounts.cluster else None
        self._catalog = self._catalog_of_cluster(config) if config.catalog.enabled else None
        configured = {
            user.name: PasswordAccount.of(
                user.name, user.password.reveal(), user.plugin if user.plugin != "any" else None
            )
            for user in config.users
        }
        self.accounts = Accounts(configured, self._cluster_accounts)
        self.sessions: dict[int, Session] = {}
        self.draining = False
        self._told_of_snapshots = False
        self._users = {user.name: user for user in config.users}
        # Forgotten with the last session and backend: accounts change, and anonymous ones have any number of names.
        self._profiles: WeakValueDictionary[tuple[object, ...], Profile] = WeakValueDictionary()
        self._latest: deque[Profile] = deque(maxlen=PROFILES)  # not made anew for each of those who only come and go
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: http.Server | None = None
        self.endpoints = [Endpoint(self, settings) for settings in config.endpoints]
        self.exposition = Exposition(self.metrics)
        self.console = self._console(config) if config.console.password is not None else None
        self._provide_gauges()

    # -- its life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, once every node has been asked for its state. Raises OSError for an address that can't be had."""
        if not self.sockets.get(HTTP):
            await self.answer_http()
        self.monitor.start()
        await self.monitor.first_round()
        if self._cluster_accounts is not None:
            self.run(self._cluster_accounts.run(), "accounts of the cluster")
            await self._cluster_accounts.read_again()
        if self._catalog is not None:
            self.run(self._catalog.run(), "catalog")
            await self._catalog.looked(CATALOG_PATIENCE)
        if self.config.marks_commits:
            self._look_for_the_marker()
        for endpoint in self.endpoints:
            await endpoint.listen()
        if self.console is not None:
            await self.console.listen(self.sockets.get(CONSOLE, ()))
        self.run(self._keep_house(), "housekeeping")
        event(
            logger,
            "started",
            version=VERSION,
            compiled=COMPILED,
            writers=len(self.membership.writers),
            nodes=len(self.membership),
        )

    async def answer_http(self) -> None:
        """On the address of the settings, or what the last run had there: it answers until it is relieved."""
        if self.config.http.listen is not None and self._http is None:
            self._http = await http.start(
                self.config.http.listen,
                {"/metrics": self._scrape, "/healthz": self._healthz, "/readyz": self._readyz},
                inherited=self.sockets.get(HTTP, ()),
            )

    def listening(self) -> dict[str, list[socket.socket]]:
        """What a next run can take over."""
        found = {endpoint.name: endpoint.listener.sockets for endpoint in self.endpoints}
        if self._http is not None:
            found[HTTP] = list(self._http.sockets)
        if self.console is not None:
            found[CONSOLE] = self.console.listener.sockets
        return found

    async def hand_on(self) -> None:
        """Another process accepts from the same sockets now: leave them to it, and serve those who are here. Those who
        come for one request each have gone soon, and need not notice.
        """
        for endpoint in self.endpoints:
            endpoint.listening = False
            endpoint.listener.hand_on()
        if self.console is not None:
            self.console.listener.hand_on()
        if self._http is not None:
            await self._http.close()
        await asyncio.sleep(0)  # whom the loop has accepted before is admitted in its next turn
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self.admission.empty()

    async def drain(self) -> None:
        """Stop accepting, let transactions finish until the deadline, close everything."""
        self.draining = True
        for endpoint in self.endpoints:
            await endpoint.close()
        event(logger, "draining", clients=len(self.sessions), seconds=self.config.limits.drain_timeout)
        for session in list(self.sessions.values()):
            session.relay.close_when_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.limits.drain_timeout):
                await self.admission.empty()
        if self.sessions:
            event(logger, "drain.cut", level=logging.WARNING, clients=len(self.sessions))
        for session in list(self.sessions.values()):
            session.shut_down()
        await self.monitor.close()
        if self.console is not None:
            await self.console.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cluster.close()
        if self._http is not None:
            await self._http.close()
        event(logger, "stopped")

    def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the sessions, under a name, until it or the service ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            event(logger, "internal.error", level=logging.ERROR, where=task.get_name(), error=repr(failure))

    async def _keep_house(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + HOUSEKEEPING
            await asyncio.sleep(HOUSEKEEPING)
            now = loop.time()
            self.metrics.loop_lag_seconds = max(0.0, now - due)
            for pool in self.cluster.pools.values():
                pool.reap(now)
            for session in list(self.sessions.values()):
                if session.idle_for(now) > self.config.limits.idle_client_timeout:
                    session.frontend.close()

    # -- its clients --------------------------------------------------------------------------------------------------

    def profile(self, login: Login, introduced: Attributes, before: Profile | None) -> Profile:
        """What the backends of such a client log in with; equal ones are the same object.

        An account of the cluster has a new one whenever something about it changed: rights that a server looks up
        once, at login, must not reach a session that begins after they were revoked.
        """
        capabilities = login.capabilities & SEEN_IN_SESSION
        account = login.account
        found = account.account if isinstance(account, ClusterAccount) else None
        # Here and not below: each login brings what opens the nodes, after a change something new. A client that has
        # been there for a while does not.
        new = account if isinstance(account, ClusterAccount) and before is None else None
        credential = new.credential(login.native_key) if new is not None else None
        client = login.host if self.config.cluster.proxy_protocol else None
        key = (account.name, found, capabilities, login.collation, client, introduced)
        profile = self._profiles.get(key)
        if profile is None:
            if before is not None:
                profile = replace(before, capabilities=capabilities)
            elif credential is not None:
                profile = Profile(
                    account.name, credential, capabilities, login.collation, str(found), client, introduced
                )
            else:
                user = self._users[account.name]
                password = (user.backend_password or user.password).reveal()
                profile = Profile(
                    user.backend_name or user.name,
                    password,
                    capabilities,
                    login.collation,
                    client=client,
                    introduced=introduced,
                )
            self._profiles[key] = profile
            self._latest.append(profile)
        return profile

    def user(self, login: Login) -> User | None:
        """The user of the settings that a client is; None: it is an account of the cluster."""
        return self._users.get(login.account.name) if not isinstance(login.account, ClusterAccount) else None

    def initial(self, policy: Policy) -> State:
        """The state that a session begins in."""
        if not policy.snapshot_isolation:
            return State()
        versions = [self.monitor.versions.get(node.name) for node in self.membership]
        if not all(version is None or snapshots.has_it(version) for version in versions):
            if not self._told_of_snapshots:
                self._told_of_snapshots = True
                event(
                    logger,
                    "snapshot_isolation.missing",
                    level=logging.WARNING,
                    versions=", ".join(filter(None, versions)),
                )
            return State()
        return snapshots.ISOLATED

    def reload(self, config: Config) -> list[str]:
        """Take the settings that may change while clients are there; the names of those that changed but may not."""
        ignored = unchangeable(self.config, config)
        marked = self.config.marks_commits
        self.config = adopted(self.config, config)
        self._users = {user.name: user for user in self.config.users}
        for endpoint, settings in zip(self.endpoints, self.config.endpoints, strict=True):
            endpoint.reload(self.config, settings)
        self.cluster.reload(config.replay)
        for session in self.sessions.values():
            session.relay.journal.resize(session.relay.policy.journal_bytes)
            session.relay.marks = self.marks_commits(session.endpoint, session.login.account)
        if self.config.marks_commits and not marked:
            self._look_for_the_marker()
        return ignored

    def _console(self, config: Config) -> "Console":
        from proxy.console.server import Console  # with all that its SQL needs

        return Console(self, config.console)

    def _accounts_of_cluster(self, config: Config) -> ClusterAccounts:
        return ClusterAccounts(
            config.cluster.user,
            config.cluster.password.reveal(),
            lambda: self.membership.writers,
            refresh=config.accounts.refresh,
            max_age=config.accounts.max_age,
            link=self.cluster.link,
        )

    def _catalog_of_cluster(self, config: Config) -> CatalogReader:
        reader = CatalogReader(
            config.cluster.user,
            config.cluster.password.reveal(),
            lambda: self.membership.writers,
            refresh=config.catalog.refresh,
            max_tables=config.catalog.max_tables,
            wait=self.cluster.flavor.wait.on.decode(),
            engine=self.cluster.flavor.engine,
            link=self.cluster.link,
        )
        reader.changed = self._catalog_changed
        reader.schemas_changed = self._schemas_changed
        reader.moved = self.cluster.redefined
        reader.changes = lambda: self.cluster.changes
        reader.caught_up = self.cluster.caught_up
        self.cluster.definitions_changed = reader.looked
        return reader

    def _catalog_changed(self, found: Catalog) -> None:
        known = self.cluster.catalog
        if (found.views, found.writes, found.functions) != (known.views, known.writes, known.functions):
            self.classifier.renew(found)
        self.cluster.know(found)

    def _schemas_changed(self) -> None:
        for pool in self.cluster.pools.values():
            pool.renew()

    def marks_commits(self, endpoint: Endpoint, account: Account) -> bool:
        """Do the commits of such a client leave markers?"""
        user = None if isinstance(account, ClusterAccount) else self._users.get(account.name)
        if user is not None and user.commit_marker is not None:
            return user.commit_marker
        return endpoint.commit_marker

    def _look_for_the_marker(self) -> None:
        self.run(self.cluster.markers.look_at_start(), "look for the commit marker")

    def gone(self, session: Session) -> None:
        """The client's connection is closed."""
        if self.forget(session):
            session.endpoint.listener.released()

    def forget(self, session: Session) -> bool:
        """It has ended; false if that was known. The place of its client is given back by somebody else."""
        return self.sessions.pop(session.login.connection_id, None) is not None

    def greeted_version(self) -> str:
        """The version that clients are greeted with: what the nodes greet with."""
        return self.monitor.version or self.cluster.flavor.version

    def greeted_collation(self) -> int:
        """The collation that clients are greeted with, likewise."""
        return self.monitor.collation or self.cluster.flavor.collation

    # -- what an operator may do --------------------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        return len(self.sessions)

    @property
    def nodes(self) -> list[str]:
        return [node.name for node in self.membership]

    async def table(self, name: str) -> list[Row]:
        """The rows of one of the console's tables."""
        return list(TABLES[name].rows(self))

    async def drain_node(self, name: str, *, undo: bool) -> None:
        """Take a node out until it is let in again."""
        now = self.cluster.now()
        if undo:
            self.cluster.apply(self.membership.undrain(name, now))
            self.cluster.check_now(name)
        else:
            self.cluster.apply(self.membership.drain(name, now))

    async def kill(self, connection_id: int, *, query_only: bool) -> Killed:
        return from_elsewhere(self, connection_id, query_only=query_only, account=None, by="console")

    # -- what is seen of it -------------------------------------------------------------------------------------------

    def _provide_gauges(self) -> None:
        metrics = self.metrics
        metrics.clients_now = lambda: {endpoint.name: endpoint.listener.clients for endpoint in self.endpoints}
        metrics.backends_now = lambda: {
            (name, state): count
            for name, pool in self.cluster.pools.items()
            for state, count in (("idle", pool.idle), ("leased", len(pool.leased)), ("connecting", pool.connecting))
        }
        metrics.pool_waiters_now = lambda: {name: pool.waiting for name, pool in self.cluster.pools.items()}
        metrics.node_states_now = lambda: {
            (node.name, state.value): int(node.state is state) for node in self.membership for state in NodeState
        }
        metrics.node_info_now = lambda: {
            (node.name, f"{node.host}:{node.port}", self.monitor.versions.get(node.name, "")): 1
            for node in self.membership
        }
        metrics.journal_bytes_now = lambda: self.cluster.journal_space.used
        metrics.hot_now = self.cluster.hot
        metrics.queue_now = lambda: self.cluster.turns.waiting

    def _scrape(self) -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE, self.exposition.render()

    def _healthz(self) -> tuple[int, str, bytes]:
        return 200, "text/plain; charset=utf-8", b"ok\n"

    def not_ready(self) -> str:
        """Why clients would not be served; "" if they are accepted and at least one node takes writes."""
        if self.draining:
            return "draining"
        if not any(endpoint.listening for endpoint in self.endpoints):
            return "starting"
        return "" if self.membership.writers else "no writer: " + self.cluster.describe()

    def _readyz(self) -> tuple[int, str, bytes]:
        why = self.not_ready()
        return (503 if why else 200), "text/plain; charset=utf-8", (why or "ready").encode() + b"\n"
