"""A client that keeps the bytes of each answer, so that those of two servers can be compared to the last one."""

from typing import Any

import pymysql
from pymysql.constants import COMMAND, CR
from pymysql.protocol import MysqlPacket


class Recording(pymysql.Connection):  # type: ignore[misc]
    """`replies(sql)` gives the packets of every reply to one COM_QUERY; an error's too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._packets: list[bytes] = []
        self.schema: str = options["database"]
        """The one that it was opened in."""
        super().__init__(*arguments, **options)

    def _read_packet(self, packet_type: Any = MysqlPacket) -> Any:
        try:
            packet = super()._read_packet(packet_type)
        except pymysql.MySQLError as error:
            self._packets.append(repr(error.args).encode())
            raise
        self._packets.append(packet.get_all_data())
        return packet

    def replies(self, sql: str) -> list[bytes]:
        self._packets.clear()
        try:
            self.query(sql)
            while self._result is not None and self._result.has_next:
                self.next_result()
        except pymysql.MySQLError as error:
            if error.args[0] == CR.CR_SERVER_LOST:
                raise  # also when nothing came in time
        return list(self._packets)

    def command(self, code: int, payload: bytes = b"") -> list[bytes]:
        """The packets that answer one command with a one-packet reply."""
        self._packets.clear()
        try:
            self._execute_command(code, payload)
            self._read_packet()
        except pymysql.MySQLError:
            pass
        return list(self._packets)


def recording(port: int, schema: str, **options: Any) -> Recording:
    return Recording(
        host="127.0.0.1", port=port, user="app", password="app", database=schema, autocommit=True, charset="utf8mb4",
        connect_timeout=10, read_timeout=10, **options,
    )  # fmt: skip


__all__ = ["COMMAND", "Recording", "recording"]
