"""The door to the server half of mysql-mimic: no other module imports it.

What is taken: its authentication plugin interface, its mysql_native_password, the packets of the authentication rounds,
its nonce, its table of collations, and for the console its SQL session and the encoding of results. What is not: its
connection and stream, its greeting (it can name a character set's number only where a collation's is due), and its
parsers of what a client sends (they loop for ever on a string without its end). It carries no type information; the
types given here are where its values become ours.
"""

from typing import Any

from mysql_mimic.auth import AuthInfo, AuthPlugin, Forbidden, NativePasswordAuthPlugin, Success, User
from mysql_mimic.charset import CharacterSet, Collation
from mysql_mimic.errors import MysqlError, get_sqlstate
from mysql_mimic.packets import (
    make_auth_more_data,
    make_auth_switch_request,
    make_column_definition_41,
    make_text_resultset_row,
)
from mysql_mimic.results import ensure_result_set
from mysql_mimic.session import Session
from mysql_mimic.utils import nonce as _nonce

__all__ = [
    "NONCE_LENGTH",
    "AuthInfo",
    "AuthPlugin",
    "AuthState",
    "Forbidden",
    "MysqlError",
    "NativePasswordAuthPlugin",
    "Session",
    "Success",
    "User",
    "auth_more_data",
    "auth_switch_request",
    "decode",
    "encode",
    "encoded",
    "nonce",
    "result_set",
    "sqlstate",
]

NONCE_LENGTH = 20

AuthState = Any
"""A plugin's auth(): an async generator that yields bytes for the client, Success or Forbidden, and is sent an
AuthInfo."""


def nonce() -> bytes:
    """A fresh challenge of 20 ASCII letters and digits.

    No NUL, which ends the field, and no '$', which separates the parts of a stored sha2 password.
    """
    made: bytes = _nonce(NONCE_LENGTH)
    return made


def auth_switch_request(plugin: str, data: bytes) -> bytes:
    """Payload that asks the client to start again with `plugin`
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html)."""
    made: bytes = make_auth_switch_request(CharacterSet.utf8mb4, plugin, data)
    return made


def auth_more_data(data: bytes) -> bytes:
    """Payload that carries one more message of the plugin in use
    (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_more_data.html)."""
    made: bytes = make_auth_more_data(data)
    return made


def decode(text: bytes, collation: int) -> str:
    """A name as the client wrote it, by the number of its collation; a number that is not known counts as utf8.

    What cannot be decoded becomes U+FFFD, which no account's name has.
    """
    try:
        codec = Collation(collation).charset.codec
        return text.decode(codec, "replace")
    except (ValueError, KeyError, LookupError):
        return text.decode("utf-8", "replace")


def encode(text: str, collation: int) -> bytes:
    """A name as a client with this collation writes it; in utf8 where that has not all of its characters."""
    try:
        return text.encode(Collation(collation).charset.codec)
    except (ValueError, KeyError, LookupError):  # UnicodeError is a ValueError
        return text.encode("utf-8", "replace")


async def result_set(answer: object) -> Any:
    """What a Session answered, as the library's ResultSet with the type of each column."""
    return await ensure_result_set(answer)


def encoded(result: Any) -> tuple[list[bytes], list[bytes]]:
    """A ResultSet's column definitions and rows, as payloads of the text protocol."""
    columns = [
        make_column_definition_41(
            CharacterSet.utf8mb4, name=column.name, column_type=column.type, character_set=column.character_set
        )
        for column in result.columns
    ]
    return columns, [make_text_resultset_row(row, result.columns) for row in result.rows]


def sqlstate(error: MysqlError) -> str:
    """The five characters for an error of the library's."""
    made: bytes = get_sqlstate(error.code)
    return made.decode("ascii")
