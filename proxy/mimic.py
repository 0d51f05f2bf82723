"""The door to the server half of mysql-mimic: no other module imports it.

What is taken: its table of collations, and for the console its SQL session and the encoding of results. What is not:
its connection and stream, its greeting (it can name a character set's number only where a collation's is due), its
parsers of what a client sends (they loop for ever on a string without its end), and its authentication, for which it
would have to be imported before anybody can log in: that takes as long as half the start. Who needs this door imports
it when it does. It carries no type information; the types given here are where its values become ours.
"""

import codecs
from functools import lru_cache
from typing import Any

from mysql_mimic.charset import CharacterSet, Collation
from mysql_mimic.errors import MysqlError, get_sqlstate
from mysql_mimic.packets import make_column_definition_41, make_text_resultset_row
from mysql_mimic.results import ensure_result_set
from mysql_mimic.session import Session

__all__ = ["MysqlError", "Session", "decode", "encode", "encoded", "result_set", "sqlstate"]


def decode(text: bytes, collation: int) -> str:
    """A name as the client wrote it, by the number of its collation; a number that is not known counts as utf8.

    What cannot be decoded becomes U+FFFD, which no account's name has.
    """
    return text.decode(_codec(collation), "replace")


@lru_cache(1024)
def _codec(collation: int) -> str:
    try:
        return codecs.lookup(Collation(collation).charset.codec).name
    except (ValueError, LookupError):
        return "utf-8"


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
