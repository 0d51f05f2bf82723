"""What a client says in one session, as literals that can be kept, and what it heard.

A step is written for no server in particular: `{one}` and `{two}` stand for the session's two schemas, `{lock}` for a
name of its own. The names put in are equally long on both sides, so that replies differ in nothing else.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.wire import constants as c
from proxy.wire.framing import frame
from tests.differential.client import Client, Closed, Value, parameters

UNKNOWN: Final = 9999
"""A statement id that no session comes to have."""


@dataclass(frozen=True, slots=True)
class Query:
    sql: str


@dataclass(frozen=True, slots=True)
class Load:
    """LOAD DATA LOCAL, and the file's contents."""

    sql: str
    file: str


@dataclass(frozen=True, slots=True)
class InitDb:
    schema: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """`name` is how later steps refer to the statement."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Without `types` the parameters' types are not sent: those of the execution before hold."""

    name: str
    values: tuple[Value, ...] = ()
    types: bool = True
    cursor: bool = False


@dataclass(frozen=True, slots=True)
class LongData:
    name: str
    parameter: int
    data: str


@dataclass(frozen=True, slots=True)
class Fetch:
    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class CloseStatement:
    name: str


@dataclass(frozen=True, slots=True)
class ResetStatement:
    name: str


@dataclass(frozen=True, slots=True)
class FieldList:
    table: str
    wildcard: str = ""


@dataclass(frozen=True, slots=True)
class SetOption:
    option: int


@dataclass(frozen=True, slots=True)
class Command:
    """One that is only its command byte: COM_PING, COM_STATISTICS, COM_RESET_CONNECTION."""

    code: int


@dataclass(frozen=True, slots=True)
class ChangeUser:
    schema: str


Step = (
    Query | Load | InitDb | Prepare | Execute | LongData | Fetch | CloseStatement | ResetStatement | FieldList
    | SetOption | Command | ChangeUser
)  # fmt: skip


OF_STATEMENT: Final = (Execute, LongData, Fetch, CloseStatement, ResetStatement)


@dataclass(frozen=True, slots=True)
class Conversation:
    """`capabilities` beyond those that every client has; `schema` is the one named at login."""

    steps: tuple[Step, ...]
    capabilities: int = 0
    schema: str = "{one}"


@dataclass(frozen=True, slots=True)
class Names:
    """What is put into the steps of one session on one side."""

    one: str
    two: str
    lock: str

    def put(self, text: str) -> str:
        return text.replace("{one}", self.one).replace("{two}", self.two).replace("{lock}", self.lock)

    def take_out(self, data: bytes) -> bytes:
        """The reply with marks for the names, as long as these; and in an order where servers have none."""
        for name, mark in ((self.one, b"<one>"), (self.two, b"<two>"), (self.lock, b"<lock>")):
            data = data.replace(name.encode(), mark.ljust(len(name), b"~"))
        return _in_order(data)


def _in_order(data: bytes) -> bytes:
    """Variables that were set together are reported in the order of a hash table: here in that of the alphabet."""
    at = 0
    while begin := _VARIABLE.search(data, at):
        at = begin.start()
        reports: list[bytes] = []
        end = at
        while size := _report_size(data, end):
            reports.append(data[end : end + size])
            end += size
        data = data[:at] + b"".join(sorted(reports)) + data[end:]
        at = max(end, at + 1)
    return data


_VARIABLE: Final = re.compile(rb"\x00[\x05-\xfa][\x03-\x40][a-z]", re.DOTALL)


def _report_size(data: bytes, at: int) -> int:
    """Length of what an OK packet says there of one variable: kind, size, name and value. 0 if it says something else.

    https://mariadb.com/kb/en/ok_packet/
    """
    if not _VARIABLE.match(data, at):
        return 0
    size = 2 + data[at + 1]
    value = at + 3 + data[at + 2]
    whole = value < len(data) and value + 1 + data[value] == at + size <= len(data)
    return size if whole and data[at + 3 : value].replace(b"_", b"").isalnum() else 0


def without_change(reply: bytes) -> bytes:
    """Packets that end rows without two flags. That of changed metadata comes only where that node had prepared the
    statement ahead of the change. Old EOF packets have the flag of a changed state without the change: also when the
    server went to another schema and back for a prepared statement, which the proxy has no need to do everywhere.
    """
    data = bytearray(reply)
    at = 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        if data[at + 4] == c.EOF_HEADER and (size == 5 or data[at + 5 : at + 7] == b"\0\0"):
            data[at + 8] &= (
                ~((c.SERVER_SESSION_STATE_CHANGED if size == 5 else 0) | c.SERVER_STATUS_METADATA_CHANGED) >> 8
            )
        at += 4 + size
    return bytes(data)


def without_row(reply: bytes) -> bytes:
    """An error about a routine's parameter without its row number, and so without the packet's size: MariaDB counts no
    rows there, and gives the number that is left over from whatever ran on that connection before.
    """
    without, found = _OF_PARAMETER.subn(rb"\1N", reply)
    return without[3:] if found else reply


_OF_PARAMETER: Final = re.compile(rb"(for column ``\.``\.`\w+` at row )\d+")


class Talk:
    """A conversation under way on one side."""

    def __init__(self, conversation: Conversation, connect: Callable[[int, str], Client], names: Names) -> None:
        self.heard: list[bytes] = []
        self._names = names
        self._ids: dict[str, int] = {}
        self._steps = list(conversation.steps)
        self._client: Client | None = None
        try:
            self._client = connect(conversation.capabilities, names.put(conversation.schema))
            self.heard.append(names.take_out(self._client.login_reply))
        except (Closed, TimeoutError) as ended:
            self.heard.append(repr(ended).encode())
            self._steps.clear()

    def __len__(self) -> int:
        """Steps to come."""
        return len(self._steps)

    def go_on(self) -> None:
        """Take the next step."""
        step = self._steps.pop(0)
        assert self._client is not None
        try:
            self.heard.append(self._names.take_out(self._take(self._client, step)))
        except (Closed, TimeoutError) as ended:
            self.heard.append(repr(ended).encode())
            self._steps.clear()
        else:
            self.heard[-1] = without_row(without_change(self.heard[-1]))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _take(self, client: Client, step: Step) -> bytes:
        if isinstance(step, OF_STATEMENT) and step.name not in self._ids and step.name != "unknown":
            return b""  # it could not be prepared
        match step:
            case Query(sql):
                return self._ask(client, c.COM_QUERY, self._names.put(sql).encode())
            case Load(sql, file):
                raw = frame(bytes((c.COM_QUERY,)) + self._names.put(sql).encode())
                return client.ask(raw, c.COM_QUERY, file=file.encode())
            case InitDb(schema):
                return self._ask(client, c.COM_INIT_DB, self._names.put(schema).encode())
            case Prepare(name, sql):
                reply = self._ask(client, c.COM_STMT_PREPARE, self._names.put(sql).encode())
                if reply[4] == c.ERR_HEADER:
                    return reply
                self._ids[name] = int.from_bytes(reply[5:9], "little")
                return reply[:5] + bytes(4) + reply[9:]
            case Execute(name, values, types, cursor):
                head = self._id(name) + bytes((int(cursor),)) + (1).to_bytes(4, "little")
                raw = frame(bytes((c.COM_STMT_EXECUTE,)) + head + parameters(values, with_types=types))
                return self._without_id(name, client.ask(raw, c.COM_STMT_EXECUTE, cursor=cursor))
            case LongData(name, parameter, data):
                text = self._id(name) + parameter.to_bytes(2, "little") + data.encode()
                client.tell(frame(bytes((c.COM_STMT_SEND_LONG_DATA,)) + text))
                return b""
            case Fetch(name, rows):
                text = self._id(name) + rows.to_bytes(4, "little")
                return self._without_id(name, self._ask(client, c.COM_STMT_FETCH, text))
            case CloseStatement(name):
                client.tell(frame(bytes((c.COM_STMT_CLOSE,)) + self._id(name)))
                return b""
            case ResetStatement(name):
                return self._without_id(name, self._ask(client, c.COM_STMT_RESET, self._id(name)))
            case FieldList(table, wildcard):
                return self._ask(client, c.COM_FIELD_LIST, table.encode() + b"\0" + wildcard.encode())
            case SetOption(option):
                return self._ask(client, c.COM_SET_OPTION, option.to_bytes(2, "little"))
            case ChangeUser(schema):
                return client.change_user("app", "app", self._names.put(schema))
            case Command(c.COM_STATISTICS):
                return re.sub(rb"[\d.]+", b"N", self._ask(client, c.COM_STATISTICS, b"")[4:])
            case Command(code):
                return self._ask(client, code, b"")

    def _ask(self, client: Client, code: int, text: bytes) -> bytes:
        return client.ask(frame(bytes((code,)) + text), code)

    def _id(self, name: str) -> bytes:
        return self._ids.get(name, UNKNOWN).to_bytes(4, "little")

    def _without_id(self, name: str, reply: bytes) -> bytes:
        """Ids are the server's choice, also where an error names one."""
        if reply[4:5] != bytes((c.ERR_HEADER,)):
            return reply
        number = b"(%d)" % self._ids.get(name, UNKNOWN)
        return (
            reply[3:].replace(b"handler " + number, b"handler (id)").replace(b"statement " + number, b"statement (id)")
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """The first reply of a session that is not the same: that to the login, or to steps[at - 1]."""

    conversation: Conversation
    at: int
    direct: bytes
    proxied: bytes

    def __str__(self) -> str:
        lines = [f"capabilities {self.conversation.capabilities:#x}, schema {self.conversation.schema!r}"]
        lines += [f"    {step!r}," for step in self.conversation.steps[: self.at]]
        return "\n".join((*lines, "  direct:", *packets(self.direct), "  through the proxy:", *packets(self.proxied)))


def compare(conversation: Conversation, direct: Sequence[bytes], proxied: Sequence[bytes]) -> Difference | None:
    """The first difference in what was heard."""
    for at in range(max(len(direct), len(proxied))):
        one = direct[at] if at < len(direct) else b"nothing"
        other = proxied[at] if at < len(proxied) else b"nothing"
        if one != other:
            return Difference(conversation, at, one, other)
    return None


def packets(reply: bytes) -> list[str]:
    """One line a packet, for people: its sequence id and payload."""
    lines: list[str] = []
    at = 0
    while at + 4 <= len(reply):
        end = at + 4 + int.from_bytes(reply[at : at + 3], "little")
        if end > len(reply):
            return [f"    {reply!r}"]
        lines.append(f"    {reply[at + 3]:3} {reply[at + 4 : end]!r}")
        at = end
    return lines if at == len(reply) else [f"    {reply!r}"]
