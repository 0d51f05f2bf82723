"""The short form: what is usual, a little mutated, and everything that once broke a target."""

import random
from pathlib import Path

import pytest

from proxy.wire.constants import CLIENT_PROTOCOL_41, COM_CHANGE_USER, COM_PING, COM_RESET_CONNECTION, COM_STMT_PREPARE
from proxy.wire.framing import frame
from tests.fuzz.targets import TARGETS
from tests.proxy.scripted import command, error, ok, query, rows

MUTATIONS = 300
FOUND = Path(__file__).with_name("found")
"""One file for each input that broke a target, named after it: target-..., as the fuzzer does."""

_LOGIN = (CLIENT_PROTOCOL_41 | 0x8A00).to_bytes(4, "little") + bytes(4) + b"\x2d" + bytes(23) + b"app\0\x14" + bytes(20)
USUAL: dict[str, list[bytes]] = {
    "clients": [
        query("BEGIN") + query("INSERT INTO t VALUES (1)") + query("COMMIT"),
        command(COM_STMT_PREPARE, b"SELECT ?") + command(COM_PING) + command(COM_RESET_CONNECTION),
        command(COM_CHANGE_USER, b"app\0\0d\0\x2d\0mysql_native_password\0") + query("SET @a = 1, NAMES utf8mb4"),
    ],
    "nodes": [b"\0" + rows("1", "22"), b"\1" + ok(), b"\x82" + ok() + error(1213), b"\4\x02\0\0\1\xfbx"],
    "logins": [frame(_LOGIN, 1), b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + frame(_LOGIN, 1), b"GET / HTTP/1.1\r\n\r\n"],
    "wire": [rows("1", "22"), ok(), error(1064), query("SELECT 1")],
    "executes": [bytes(9), bytes((1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0))],
    "compressed": [b"\x03\0\0\0\0\0\0abc"],
    "statements": [
        b"SELECT c FROM t WHERE id IN (1, 2, 'x\\'') -- end\nFOR UPDATE",
        b"INSERT INTO `a`.`b` (c) VALUES (_utf8'x' COLLATE utf8_bin, 0x1F, NOW()) ON DUPLICATE KEY UPDATE c = @a := 1",
        b"/*!50000 SET SESSION */ sql_mode = concat(@@sql_mode, ',ANSI_QUOTES'); CALL p(@x)",
    ],
    "settings": [
        b'[cluster]\nnodes = ["127.0.0.1:3311"]\nuser = "m"\npassword = "m"\n'
        b'[[endpoint]]\nname = "write"\nlisten = "127.0.0.1:1"\ntls_minimum = "1.3"\n[limits]\nwriter_wait = "10s"\n'
    ],
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, added, left out or repeated."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0:
                made[at : at + 1] = bytes((chance.choice((0, 1, 0xFB, 0xFC, 0xFE, 0xFF, chance.randrange(256))),))
            case 1:
                made[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                del made[at : at + chance.randint(1, 8)]
            case 3:
                made[at:at] = made[: chance.randrange(len(made) + 1)]
    return bytes(made)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_nearly_usual(name: str) -> None:
    chance = random.Random(name)
    for usual in USUAL[name]:
        TARGETS[name](usual)
        for _ in range(MUTATIONS):
            data = mutated(usual, chance)
            try:
                TARGETS[name](data)
            except Exception as failure:
                raise AssertionError(f"{name} broke on {data!r}") from failure


def test_what_once_broke_it() -> None:
    for path in FOUND.glob("*-*"):
        TARGETS[path.stem.partition("-")[0]](path.read_bytes())
