"""The operator's console: SQL over the MySQL protocol, on an address of its own.

    SELECT ... FROM nodes | sessions | backends | metrics, SHOW TABLES, DESCRIBE, DRAIN, UNDRAIN, KILL

Operators log in like clients of an endpoint, but with the console's own account. One command, one answer, at human
speed: whole packets. What it shows is in proxy.console.tables, what SQL means in proxy.console.sql. It touches no
client's connection but to KILL it.
"""

import logging
import re
import socket
from collections.abc import Sequence
from typing import Final

from config import Console as ConsoleSettings
from proxy.addresses import inherited_tcp, inherited_unix
from proxy.channel import ClientChannel
from proxy.console.sql import Sql, SqlError
from proxy.console.tables import TABLES, Row
from proxy.crew import Operated
from proxy.hello import OFFERED
from proxy.kill import Killed
from proxy.listener import Admission, Listener
from proxy.log import event
from proxy.opening import Login, LoginSettings, Result, accept
from proxy.proof import PasswordAccount
from proxy.wire import constants as c
from proxy.wire.framing import PacketTooLarge, ProtocolError
from proxy.wire.packets import eof_packet, error_packet, ok_packet
from router.answers import kill_unknown

logger = logging.getLogger(__name__)

SCHEMA: Final = "multiwriter"
MAX_OPERATORS: Final = 32
_STATUS: Final = c.SERVER_STATUS_AUTOCOMMIT
_DRAIN: Final = re.compile(
    r"""\s*(?P<undo>UN)?DRAIN\s+(?:NODE\s+)?(?P<quote>['"`]?)(?P<node>[^'"`\s;]+)(?P=quote)\s*;?\s*""", re.IGNORECASE
)
_KILL: Final = re.compile(r"\s*KILL\s+(?:CONNECTION\s+|(?P<query>QUERY\s+))?(?P<id>\d+)\s*;?\s*", re.IGNORECASE)


class Refused(Exception):
    """The operator's command can't be done: an error's code, SQLSTATE and text."""

    def __init__(self, code: int, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.code, self.sqlstate, self.text = code, sqlstate, text


class _OneAccount:
    """Finds the console's account and no other."""

    plugin_of_unknown: Final = None

    def __init__(self, account: PasswordAccount) -> None:
        self._account = account

    def known(self, name: str, host: str) -> PasswordAccount | None:
        return self._account if name == self._account.name else None

    async def find(self, name: str, host: str) -> PasswordAccount | None:
        return self.known(name, host)


class Console:
    """Listens for operators from listen() to close()."""

    def __init__(self, service: Operated, settings: ConsoleSettings) -> None:
        assert settings.password is not None, "the settings' checks see to that"
        self._service = service
        self._settings = settings
        account = PasswordAccount.of(settings.user, settings.password.reveal())
        limits = service.config.limits
        self._login = LoginSettings(
            accounts=_OneAccount(account),
            version=service.greeted_version,
            offered=OFFERED & ~c.CLIENT_LOCAL_FILES,
            timeout=limits.login_timeout,
            max_packet=limits.max_login_packet,
            backoff=service.backoff,
        )
        self.listener = Listener(
            "console", self._login, Admission(MAX_OPERATORS, MAX_OPERATORS), self._on_operator, self._on_result
        )

    async def listen(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Raises OSError for an address that can't be had."""
        listen, path = self._settings.listen, self._settings.socket
        tcp = inherited_tcp(inherited, listen) if listen is not None else []
        unix = inherited_unix(inherited, str(path)) if path is not None else []
        for sock in (*tcp, *unix):
            await self.listener.listen_on(sock)
        if listen is not None and not tcp:
            await self.listener.listen_tcp(listen.host or None, listen.port)
        if path is not None and not unix:
            await self.listener.listen_unix(str(path), mode=self._settings.socket_mode)
        event(
            logger,
            "console.listening",
            ports=",".join(map(str, self.listener.ports)),
            socket=str(self._settings.socket or ""),
        )

    async def close(self) -> None:
        await self.listener.close()

    def _on_result(self, result: Result) -> None:
        self._service.metrics.logins["console", result.value] += 1

    def _on_operator(self, login: Login) -> None:
        # Part of the login's task no longer: that has a deadline, and counts as one that is logging in.
        self._service.run(self._converse(login), f"console of {login.host}")

    async def _converse(self, login: Login) -> None:
        event(logger, "console.login", user=login.account.name, host=login.host)
        try:
            login.transport.write(accept(login))
            await Conversation(self._service, login).run()
        except (ConnectionError, ProtocolError, PacketTooLarge):
            pass  # it left, or what it sends is no MySQL: there is nothing to tell it
        finally:
            login.transport.close()
            self.listener.released()


class Conversation:
    """One operator's commands, one after the other."""

    def __init__(self, service: Operated, login: Login) -> None:
        self._service = service
        self._channel: ClientChannel = login.channel
        self._capabilities = login.capabilities
        columns = {table.name: [(column.name, column.type) for column in table.columns] for table in TABLES.values()}
        self._tables: dict[str, list[Row]] = {}
        self._sql = Sql(SCHEMA, columns, self._rows, version=service.greeted_version())

    async def run(self) -> None:
        """Returns when the operator quits; raises ConnectionError when it just leaves."""
        while True:
            self._channel.seq = 0
            packet = await self._channel.receive()
            if not packet or packet[0] == c.COM_QUIT:
                return
            try:
                await self._answer(packet[0], packet[1:])
            except Refused as refused:
                self._send(error_packet(0, refused.code, refused.sqlstate, refused.text))

    async def _answer(self, command: int, body: bytes) -> None:
        match command:
            case c.COM_QUERY:
                await self._query(body.decode("utf-8", "replace"))
            case c.COM_INIT_DB:
                await self._query("USE `" + body.decode("utf-8", "replace").replace("`", "") + "`")
            case c.COM_PING | c.COM_RESET_CONNECTION:
                self._ok()
            case c.COM_SET_OPTION:
                self._send(eof_packet(0, status=_STATUS))
            case c.COM_STATISTICS:
                self._send_payload(f"Clients: {self._service.clients}".encode())
            case c.COM_STMT_PREPARE:
                # ER_UNSUPPORTED_PS; drivers then put the values into the text themselves, as most do anyway.
                raise Refused(1295, "HY000", "The console has no prepared statements: send the values in the text")
            case _:
                # ER_UNKNOWN_COM_ERROR
                raise Refused(1047, "08S01", f"The console does not know {c.COMMAND_NAMES.get(command, hex(command))}")

    async def _query(self, sql: str) -> None:
        if found := _DRAIN.fullmatch(sql):
            await self._drain(found["node"], undo=found["undo"] is not None)
        elif found := _KILL.fullmatch(sql):
            await self._kill(int(found["id"]), query_only=found["query"] is not None)
        else:
            # A table that is asked for is named in the text.
            self._tables = {name: await self._service.table(name) for name in TABLES if name in sql}
            try:
                columns, rows = await self._sql.run(sql)
            except SqlError as error:
                raise Refused(error.code, error.sqlstate, str(error)) from None
            self._result(columns, rows)
            return
        self._ok()

    async def _drain(self, name: str, *, undo: bool) -> None:
        known = self._service.nodes
        if name not in known:
            raise Refused(1105, "HY000", f"There is no node {name!r}; the nodes are {', '.join(known)}")
        event(logger, "console.undrain" if undo else "console.drain", level=logging.WARNING, node=name)
        await self._service.drain_node(name, undo=undo)

    async def _kill(self, connection_id: int, *, query_only: bool) -> None:
        if await self._service.kill(connection_id, query_only=query_only) is not Killed.DONE:
            refused = kill_unknown(connection_id)
            raise Refused(refused.code, refused.sqlstate, refused.text)

    def _rows(self, table: str) -> list[Row]:
        return self._tables[table]

    # -- packets ------------------------------------------------------------------------------------------------------

    def _ok(self) -> None:
        self._send(ok_packet(0, status=_STATUS, capabilities=self._capabilities))

    def _send(self, packet: bytes) -> None:
        self._send_payload(packet[4:])

    def _send_payload(self, payload: bytes) -> None:
        self._channel.send(payload)

    def _result(self, columns: list[bytes], rows: list[bytes]) -> None:
        """A text result set, of column definitions and rows that are encoded already."""
        if not columns:
            self._ok()
            return
        old_style = not self._capabilities & c.CLIENT_DEPRECATE_EOF
        self._send_payload(bytes((len(columns),)))
        for column in columns:
            self._send_payload(column)
        if old_style:
            self._send(eof_packet(0, status=_STATUS))
        for row in rows:
            self._send_payload(row)
        if old_style:
            self._send(eof_packet(0, status=_STATUS))
        else:
            end = ok_packet(0, status=_STATUS, capabilities=self._capabilities)
            self._send_payload(b"\xfe" + end[5:])
