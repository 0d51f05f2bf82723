"""New connections to one node, as its pool wants them: logged in, able to do what clients were offered, and with their
character set known where a reset would not bring it back.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakKeyDictionary

from proxy import login
from proxy.backend import Backend, Lost
from proxy.hello import OF_THE_NODES
from proxy.link import Link
from proxy.profile import Profile
from proxy.wire.constants import COM_QUERY
from proxy.wire.packets import single_value
from router.flavor import Flavor
from router.session import State

if TYPE_CHECKING:
    from proxy.pool import NodePool

# The command that brings the character set back to what it is now. NAMES with a collation is what a login does: set by
# itself character_set_results has the set's default collation, which is told with each column.
CHARSET: Final = (
    b"SELECT IF(@@character_set_results = @@character_set_client AND"
    b" @@character_set_connection = @@character_set_client,"
    b" CONCAT('SET NAMES ', @@character_set_client, ' COLLATE ', @@collation_connection),"
    b" CONCAT('SET character_set_client=', @@character_set_client,"
    b" ',character_set_results=', IFNULL(@@character_set_results, 'NULL'),"
    b" ',collation_connection=', @@collation_connection))"
)


class Connector:
    """Opens the backends of one pool. It keeps no count of them."""

    def __init__(self, flavor: Flavor, link: Link) -> None:
        self._flavor = flavor
        self._link = link
        self._charsets: WeakKeyDictionary[Profile, bytes] = WeakKeyDictionary()

    async def open(self, pool: "NodePool", profile: Profile) -> Backend:
        """A backend that nobody holds yet. Raises `login.ConnectFailed`."""
        patience = pool.settings.connect_timeout
        connected = await login.connect(
            (pool.node.host, pool.node.port),
            user=profile.user,
            password=profile.password,
            account=profile.account,
            capabilities=profile.capabilities,
            collation=profile.collation,
            database=None,
            attributes=dict(profile.introduced),
            on_behalf_of=profile.client,
            link=self._link,
            timeout=patience,
            connect_timeout=patience,
        )
        if lacking := profile.capabilities & OF_THE_NODES & ~connected.capabilities:
            connected.transport.abort()
            raise login.ConnectFailed(2027, f"The node lacks capabilities that the client was offered ({lacking:#x})")
        now = asyncio.get_running_loop().time()
        backend = Backend(pool, profile, State(), connected.capabilities, connected.thread_id, now)
        early = connected.hand_over(cast("asyncio.Protocol", backend))
        backend.connection_made(connected.transport)  # which is open, then
        if early:
            backend.data_received(early)
        if self._flavor.reset_changes_charset:
            await self._learn_charset(backend, patience)
        return backend

    async def _learn_charset(self, backend: Backend, patience: float) -> None:
        """What the login, or the node's init_connect, made of it: asked once for each profile."""
        profile = backend.profile
        command = self._charsets.get(profile)
        if command is None:
            try:
                async with asyncio.timeout(patience):
                    answer = await backend.run(profile.query(CHARSET), COM_QUERY)
            except (Lost, TimeoutError) as gone:
                backend.close()
                raise login.ConnectFailed(2013, f"Lost connection to the node after the login ({gone})") from gone
            except BaseException:
                backend.close()
                raise
            if answer.error is not None:
                backend.close()
                raise login.ConnectFailed(answer.error.code, answer.error.message, answer.error.sqlstate)
            command = self._charsets[profile] = profile.query(single_value(answer.data))
        backend.charset = command

    async def interrupt(self, backend: Backend, is_wanted: Callable[[], bool]) -> None:
        """KILL QUERY for what runs on `backend`, over a connection of its own that counts for no limit, if it
        `is_wanted` once that is there. Raises `login.ConnectFailed`, `Lost` or TimeoutError.
        """
        pool = backend.pool
        side = await self.open(pool, backend.profile)
        try:
            if not is_wanted():
                return
            backend.reusable = False  # it may end before the KILL arrives, which then must not hit another session
            async with asyncio.timeout(pool.settings.connect_timeout):
                await side.run(backend.profile.query(b"KILL QUERY %d" % backend.thread_id), COM_QUERY)
        finally:
            side.close()
