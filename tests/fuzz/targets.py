"""What is fuzzed: each target takes any bytes, and raises only if the product did something that it must not.

What it must not: raise past its own errors, hang, pass on to a node what is no whole command, leave a lease, a task or
a byte of a journal behind, or fail inside (the stage of tests.proxy.scripted sees to the last ones).
"""

import contextlib
from collections.abc import Callable, Iterator

import config
from proxy.channel import ClientChannel
from proxy.handshake import login
from proxy.opening import LoginFailed, LoginSettings, greet, login_at_once
from proxy.wire import prepared, proxied
from proxy.wire.compression import Algorithm, Unpacker, codec
from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_PROTOCOL_41,
    CLIENT_SESSION_TRACK,
    COM_FIELD_LIST,
    COM_PING,
    COM_QUERY,
    COM_STATISTICS,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
)
from proxy.wire.framing import CommandFramer, PacketTooLarge, ProtocolError, frame
from proxy.wire.packets import parse_error, parse_ok
from proxy.wire.replies import ReplyScanner
from router.facts import Modes
from router.normalize import normalize
from router.statements import Classifier
from tests.proxy.scripted import Clock, Stage, Wire, ok, rows

LIMIT = 1 << 20
REPLIED = (COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_FETCH, COM_FIELD_LIST, COM_STATISTICS, COM_PING)
classifier = Classifier(engine="mariadb")


def cut(data: bytes) -> Iterator[bytes]:
    """In pieces whose lengths are bytes of it, so that where it is cut is fuzzed, too."""
    at = 0
    while at < len(data):
        size = 1 + data[at] % 61
        yield data[at : at + size]
        at += size


def clients(data: bytes) -> None:
    """A client that has logged in sends these bytes. Nodes answer everything."""
    stage = Stage()
    try:
        stage.one.answers(lambda said: rows("1") if said.startswith("SELECT") else ok())
        client = stage.client()
        for piece in cut(data):
            if client.closed:
                break
            client.wire.arrives(piece)
            stage.clock.settle()
        stage.leave()
        stage.clean()
        assert not stage.service.metrics.errors_made["internal"]
    finally:
        stage.close()


# What a client says before the node's bytes come: whatever has a reply of its own shape.
_ASKED = ("SELECT 1", "BEGIN", "INSERT INTO t VALUES (1)", "SHOW WARNINGS", "LOAD DATA LOCAL INFILE 'x' INTO TABLE t")


def nodes(data: bytes) -> None:
    """A node answers with these bytes; the first one chooses to what."""
    stage = Stage()
    try:
        client = stage.client()
        for statement in ("BEGIN", _ASKED[data[0] % len(_ASKED)]) if data and data[0] & 128 else _ASKED[:1]:
            client.says(statement)
        heard = iter(cut(data[1:]))
        for piece in heard:
            if not stage.one.heard:
                break
            link = stage.one.heard[0][0]
            if link.closed:
                break
            link.wire.arrives(piece)
            stage.clock.settle()
        for link in stage.one.links:
            link.breaks()
        stage.one.heard.clear()
        stage.one.answers(lambda said: ok())
        stage.leave()
        stage.clean()
        assert not stage.service.metrics.errors_made["internal"]
    finally:
        stage.close()


def logins(data: bytes) -> None:
    """A stranger sends these bytes instead of a login."""
    clock = Clock()
    try:
        channel = ClientChannel(1 << 16)
        wire = _Socketed(clock, lambda heard: None)
        wire.protocol = channel
        settings = LoginSettings(accounts=_Nobody(), version=lambda: "5.5.5-10.11.6-MariaDB", timeout=5.0)
        channel.connection_made(wire)
        opening = greet(channel, settings, 1, clock.time() + settings.timeout)

        def refused_at_once() -> None:
            assert login_at_once(opening) is None, "a stranger got in"

        channel.on_first(refused_at_once)
        task = clock.create_task(login(opening))
        for piece in cut(data):
            if wire.closing:
                break
            wire.arrives(piece)
            clock.settle()
        clock.passes(10)
        assert task.done(), "a login that never ends"
        with contextlib.suppress(LoginFailed, ConnectionError):
            task.result()
            raise AssertionError("a stranger got in")
        channel.connection_lost(None)
    finally:
        clock.settle()
        clock.close()


class _Socketed(Wire):
    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("10.0.0.9", 50000)}.get(name, default)


class _Nobody:
    plugin_of_unknown = None

    def known(self, name: str, host: str) -> None:
        return None

    async def find(self, name: str, host: str) -> None:
        return None


def wire(data: bytes) -> None:
    """Everything in proxy.wire that reads."""
    with contextlib.suppress(ProtocolError, PacketTooLarge):
        framer = CommandFramer(LIMIT)
        for piece in cut(data):
            framer.feed(piece)
            while framer.next() is not None:
                pass
    for capabilities in (CLIENT_PROTOCOL_41, CLIENT_PROTOCOL_41 | CLIENT_DEPRECATE_EOF | CLIENT_SESSION_TRACK):
        with contextlib.suppress(ProtocolError):
            parse_ok(data, capabilities)
        for command in REPLIED:
            scanner = ReplyScanner(capabilities)
            scanner.start(command)
            with contextlib.suppress(ProtocolError):
                for piece in cut(data):
                    scanner.feed(piece)
                    if scanner.done:
                        break
    with contextlib.suppress(ProtocolError):
        parse_error(data)
    if proxied.begins(data[:4]):
        with contextlib.suppress(ProtocolError):
            proxied.client(data) if not proxied.missing(data) else None


def executes(data: bytes) -> None:
    """COM_STMT_EXECUTE of a statement with a few parameters."""
    raw = frame(bytes((COM_STMT_EXECUTE,)) + data)
    for parameters in (0, 1, 9):
        with contextlib.suppress(ProtocolError):
            prepared.ExecuteView(raw, parameters)


def compressed(data: bytes) -> None:
    """A compressed stream, of either kind."""
    for algorithm in Algorithm:
        unpacker = Unpacker(codec(algorithm))
        with contextlib.suppress(ProtocolError):
            for piece in cut(data):
                unpacker.feed(piece)
                while unpacker.next() is not None:
                    pass


def statements(data: bytes) -> None:
    """A text of SQL, in whatever character set."""
    for modes in range(Modes.ALL + 1):
        classifier.classify(data, modes)
        normalize(data, modes)


def settings(data: bytes) -> None:
    """A configuration file."""
    with contextlib.suppress(config.ConfigError):
        config.loads(data.decode("utf-8", "replace"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (clients, nodes, logins, wire, executes, compressed, statements, settings)
}
