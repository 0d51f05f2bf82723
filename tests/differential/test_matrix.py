"""The matrix of tests/wire/matrix.py at a real server: it does answer with these shapes, and through the proxy with
the same bytes.

One client says all of it, directly and through the proxy, for each set of capabilities that the server has.
"""

from collections.abc import Callable

import pytest

from proxy.demo.galera import Cluster
from proxy.wire import constants as c
from proxy.wire.replies import ReplyScanner
from tests.conftest import FLAVOR
from tests.differential.client import BASE
from tests.differential.conversation import Conversation
from tests.differential.runner import Runner
from tests.wire.matrix import MATRIX, Cell
from tests.wire.speaking import CAPABILITIES

AGREED = {
    agreed: capabilities & ~c.CLIENT_PROTOCOL_41
    for agreed, capabilities in CAPABILITIES.items()
    if Cluster.flavor != FLAVOR or not capabilities & c.CLIENT_OPTIONAL_RESULTSET_METADATA  # MariaDB has it not
}
SAID = [cell for cell in MATRIX if cell.real]
Heard = Callable[[str, Cell], tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def heard(runner: Runner) -> Heard:
    """The last replies to a cell, directly and through the proxy."""
    held: dict[str, dict[str, tuple[bytes, bytes]]] = {}

    def hold(agreed: str) -> dict[str, tuple[bytes, bytes]]:
        conversation = Conversation(tuple(step for cell in SAID for step in cell.said), AGREED[agreed])
        direct, proxied = runner.hear(conversation)
        found = {}
        at = 0  # of the reply to the login
        for cell in SAID:
            at += len(cell.said)
            found[_name(cell)] = (direct[at], proxied[at])
        return found

    def heard(agreed: str, cell: Cell) -> tuple[bytes, bytes]:
        if agreed not in held:
            held[agreed] = hold(agreed)
        return held[agreed][_name(cell)]

    return heard


def _name(cell: Cell) -> str:
    return f"{c.COMMAND_NAMES.get(cell.command, 'unknown command')}: {cell.shape}"


@pytest.mark.parametrize("agreed", AGREED)
@pytest.mark.parametrize("cell", SAID, ids=_name)
def test_a_server_says_it_and_so_does_the_proxy(heard: Heard, cell: Cell, agreed: str) -> None:
    direct, proxied = heard(agreed, cell)
    assert proxied == direct
    if cell.command in (c.COM_STATISTICS, c.COM_CHANGE_USER):
        return  # told without its header, or its sequence id
    scanner = ReplyScanner(BASE | AGREED[agreed])
    scanner.start(cell.command, None, cell.opens_cursor and "cursor" in cell.shape)
    raw = direct if direct[:1] != b"" and direct[3:4] == b"\x01" else b"\x00\x00\x00" + direct
    if raw is not direct:  # an error that names a statement's id is told without the length of its packet
        assert cell.found["error"] is not None
        return
    scanner.feed(direct)
    assert scanner.done
    assert (scanner.error is not None) == ("error" in cell.found)
    for what in ("results", "has_rows"):
        assert getattr(scanner, what) == cell.found.get(what, type(getattr(scanner, what))()), what
