"""Where a reply ends, and what its control packets say: the response scanner.

A server's reply is a run of packets, and what a packet is depends on the command and on those before it. The scanner
walks their heads (four bytes and the first of the payload) and says how much of a chunk may go to the client, whether
the reply is over, and what its OK, EOF and ERR packets report. Rows and definitions pass unread. It knows no socket and
no session, and decides nothing: what an error or a status flag means is the caller's business.

    COM_QUERY, COM_STMT_EXECUTE                        COM_STMT_PREPARE
                                                       PREPARE_OK
     +---> RESPONSE --OK------------------------+        | PARAMETER_DEFINITIONS, PARAMETER_EOF *
     |      | | |                               |        | PREPARED_DEFINITIONS, PREPARED_EOF *
     |      | | +-LOCAL INFILE--> RESPONSE      |        +--> DONE
     |      | | column count                    |
     |      | +-> COLUMN_DEFINITIONS            |      COM_STMT_FETCH, COM_FIELD_LIST
     |      |       |                           |      ROWS --EOF or OK(0xFE)--> DONE
     |      |     COLUMN_EOF * --cursor--> DONE |
     |      |       |                           |      COM_STATISTICS
     |      |     ROWS --EOF or OK(0xFE)--------+      STATISTICS --text--> DONE
     |      |                                   |
     |      +-ERR, as from everywhere--> DONE   |      everything else
     |                                          |      OK_PACKET --OK or EOF--> DONE
     +------SERVER_MORE_RESULTS_EXISTS----------+--> DONE

    * not sent under CLIENT_DEPRECATE_EOF. Under CLIENT_OPTIONAL_RESULTSET_METADATA a reply may say that it has no
      definitions; it then keeps their EOF packets.

Page names below are those of https://dev.mysql.com/doc/dev/mysql-server/latest/ and of https://mariadb.com/kb/en/.
"""

from struct import Struct
from typing import Final

from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_OPTIONAL_RESULTSET_METADATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SESSION_TRACK,
    COM_BINLOG_DUMP,
    COM_BINLOG_DUMP_GTID,
    COM_CHANGE_USER,
    COM_FIELD_LIST,
    COM_PROCESS_INFO,
    COM_QUERY,
    COM_QUIT,
    COM_STATISTICS,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_SEND_LONG_DATA,
    COM_TABLE_DUMP,
    COMMAND_NAMES,
    EOF_HEADER,
    ERR_HEADER,
    LOCAL_INFILE_HEADER,
    MARIADB_CLIENT_CACHE_METADATA,
    MARIADB_CLIENT_PROGRESS,
    OK_HEADER,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_PS_OUT_PARAMS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_CURSOR_EXISTS,
)
from proxy.wire.digest import ReplyDigest
from proxy.wire.framing import HEADER, MAX_PAYLOAD, ProtocolError
from proxy.wire.packets import EOF_LENGTH, OK_LENGTH, ServerError, parse_error, read_lenenc_int

# States, by what comes next. Each is named after the packet on the manual's page of its command.
DONE: Final = 0
RESPONSE: Final = 1
COLUMN_DEFINITIONS: Final = 2
COLUMN_EOF: Final = 3
ROWS: Final = 4
ROW_CONTINUATION: Final = 5
OK_PACKET: Final = 6
STATISTICS: Final = 7
PREPARE_OK: Final = 8
PARAMETER_DEFINITIONS: Final = 9
PARAMETER_EOF: Final = 10
PREPARED_DEFINITIONS: Final = 11
PREPARED_EOF: Final = 12

PREPARE_OK_LENGTH: Final = 12

FIRST_STATE: Final[dict[int, int]] = {
    COM_QUERY: RESPONSE,
    COM_STMT_EXECUTE: RESPONSE,
    COM_STMT_BULK_EXECUTE: RESPONSE,
    COM_PROCESS_INFO: RESPONSE,
    COM_STMT_PREPARE: PREPARE_OK,
    COM_STMT_FETCH: ROWS,
    COM_FIELD_LIST: ROWS,  # definitions up to an EOF: to a walk over heads they are rows
    COM_STATISTICS: STATISTICS,
    COM_QUIT: DONE,
    COM_STMT_CLOSE: DONE,
    COM_STMT_SEND_LONG_DATA: DONE,
}
"""What the reply to a command begins with; a command that is not listed is answered with one OK, EOF or ERR packet."""

ENDLESS: Final = frozenset((COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID, COM_TABLE_DUMP))
"""Commands that turn the connection into a stream: there is no reply to find the end of."""

UNREADABLE: Final = MARIADB_CLIENT_CACHE_METADATA | MARIADB_CLIENT_PROGRESS
"""Capabilities that change the replies' grammar and must not be negotiated: with the first, whether definitions follow
depends on what the connection saw before; the second sends ERR packets that end nothing.
"""

_HEAD: Final = HEADER + 1

# Headers of packets that a digest does not take as they came, and what it takes instead of these and of an ERR packet.
# Three zero bytes in front: no other packet's head has them.
_SUMMED_UP: Final = (OK_HEADER, EOF_HEADER)
# After an OK packet. After a column count, which may begin with a zero byte, too, comes something else.
_BEHIND_OK: Final = frozenset((DONE, RESPONSE, PARAMETER_DEFINITIONS, PREPARED_DEFINITIONS))
_DIGEST_OK = Struct("<3xxQQHHH").pack
_DIGEST_ERR = Struct("<3xBH").pack


class ReplyScanner:
    """Follows one reply at a time over one connection whose agreed capabilities are `capabilities`.

        scanner.start(COM_QUERY)
        client.write(scanner.feed(chunk))       # until scanner.done

    `feed` raises ProtocolError for bytes that are no reply to the command; the connection is then of no further use.
    The results below are of the current reply and final once `done` is true.
    """

    __slots__ = (
        "_chained",
        "_columns",
        "_command",
        "_defined",
        "_deprecate_eof",
        "_digest",
        "_held",
        "_insert_id",
        "_opens_cursor",
        "_optional",
        "_session_track",
        "_skip",
        "_state",
        "_terminator_below",
        "affected_rows",
        "awaiting_client_file",
        "done",
        "error",
        "error_raw",
        "forwarded",
        "has_rows",
        "has_status",
        "insert_id",
        "local_infile",
        "num_columns",
        "num_params",
        "rest",
        "results",
        "statement_id",
        "status",
        "tracked",
        "warnings",
    )

    def __init__(self, capabilities: int) -> None:
        if not capabilities & CLIENT_PROTOCOL_41 or capabilities & UNREADABLE:
            raise ValueError(f"replies under capabilities {capabilities:#x} cannot be read")
        self._deprecate_eof = capabilities & CLIENT_DEPRECATE_EOF != 0
        self._session_track = capabilities & CLIENT_SESSION_TRACK != 0
        self._optional = capabilities & CLIENT_OPTIONAL_RESULTSET_METADATA != 0
        self._defined = True  # a statement's parameters and columns are, in the reply to its COM_STMT_PREPARE
        # Among rows a packet with first byte 0xFE ends the result set if it is shorter than this; otherwise it is a row
        # whose first field has an eight-byte length. A row that long fills its first packet.
        self._terminator_below = MAX_PAYLOAD if self._deprecate_eof else 9
        self.status = 0
        """Flags of the last OK or EOF packet; of an earlier reply's where this one had none (`has_status`)."""
        self._command = COM_QUIT
        self._opens_cursor = False
        self._reset(DONE, None)

    def start(self, command: int, digest: ReplyDigest | None = None, opens_cursor: bool = True) -> None:
        """Expects the reply to `command`; `done` at once where the protocol has none.

        `opens_cursor` is false for a COM_STMT_EXECUTE that asks for no cursor (see prepared.opens_cursor).

        `digest` receives what must be the same when the command is replayed: definitions and rows as they came; of OK
        and EOF packets the affected rows, insert id and warning count; of an ERR packet the code. Status flags, texts,
        session changes and statement ids differ from node to node and are left out.

        Raises ProtocolError for a command whose reply has no end.
        """
        self._command = command
        self._opens_cursor = opens_cursor and command == COM_STMT_EXECUTE
        if command == COM_QUERY or command == COM_STMT_EXECUTE:  # noqa: SIM109 a tuple would be made of objects
            self._reset(RESPONSE, digest)
            return
        if command in ENDLESS:
            raise ProtocolError(f"{COMMAND_NAMES[command]} has no reply that ends")
        self._reset(FIRST_STATE.get(command, OK_PACKET), digest)

    def _reset(self, state: int, digest: ReplyDigest | None) -> None:
        self._state = state
        self._chained = state == RESPONSE
        self._digest = digest
        self._held = b""  # an incomplete head or control packet
        self._skip = 0  # bytes to come of a row or definition whose head has been seen
        self._columns = 0  # definitions to come
        self.done = state == DONE
        self.rest = b""
        self.forwarded = 0
        self.error: ServerError | None = None
        self.error_raw = b""
        self.has_status = False
        self.warnings = 0
        self.affected_rows = 0
        self._insert_id = 0  # of the last OK packet, for the digest
        self.insert_id = 0  # the first that is not zero: what LAST_INSERT_ID() of a single statement is
        self.has_rows = self._command == COM_STMT_FETCH
        self.results = 0
        self.tracked: tuple[bytes, ...] = ()  # payloads of OK packets that report session changes, for packets.parse_ok
        self.local_infile: bytes | None = None
        self.awaiting_client_file = False  # from the request until the answer to the file is whole
        self.statement_id = 0
        self.num_columns = 0
        self.num_params = 0

    def feed(self, data: bytes) -> bytes:
        """Takes what the server sent and returns what may go to the client now: `data` itself if that is all of it.

        Held back are an incomplete head and an incomplete control packet, so that a reply's first packet and its
        terminator are always passed on whole; and an ERR packet altogether, since it may never be shown to the client.
        What comes behind the end of the reply is in `rest`.
        """
        if self._state == DONE:
            self.rest += data
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        last = size - _HEAD  # the last offset at which a head fits
        at = self._skip
        end = 0
        hashed = 0  # how far the digest, if there is one, has got
        state = self._state
        digest = self._digest
        while at <= last:
            if state == ROWS:
                # page_protocol_com_query_response_text_resultset_row, page_protocol_binary_resultset
                below = self._terminator_below
                while at <= last:
                    length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                    first = data[at + HEADER]
                    if first >= EOF_HEADER and (first == ERR_HEADER or length < below):
                        break
                    at += length + HEADER
                    if length == MAX_PAYLOAD:
                        state = ROW_CONTINUATION
                        break
                if at > last:
                    break
                if state == ROW_CONTINUATION:
                    continue
            elif state == COLUMN_DEFINITIONS:
                # page_protocol_com_query_response_text_resultset_column_definition: begins with the catalog, "def"
                columns: int = self._columns
                while columns and at <= last:
                    length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                    first = data[at + HEADER]
                    if first >= EOF_HEADER or length == MAX_PAYLOAD:
                        break
                    at += length + HEADER
                    columns -= 1
                self._columns = columns
                if columns == 0:
                    state = ROWS if self._deprecate_eof else COLUMN_EOF
                    continue
                if at > last:
                    break
            else:
                length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
                first = data[at + HEADER]
                if state == ROW_CONTINUATION:
                    # page_protocol_basic_packets: "sending more than 16Mb". The first byte is the middle of a field.
                    at += length + HEADER
                    if length != MAX_PAYLOAD:
                        state = ROWS
                    continue

            # A control packet: it counts as a whole, or waits.
            if length == 0 or length == MAX_PAYLOAD:
                raise ProtocolError(f"a control packet of {length} bytes")
            end = at + HEADER + length
            if end > size:
                break
            if first == ERR_HEADER:
                # page_protocol_basic_err_packet: instead of any packet of a reply
                self.error_raw = data[at:end]
                self.error = parse_error(self.error_raw[HEADER:])
                state = DONE
                if digest is not None:
                    digest.update(data[hashed:at])
                    digest.update(_DIGEST_ERR(ERR_HEADER, self.error.code))
                    hashed = end
                break
            state = self._control(state, first, data, at + HEADER, end)
            if digest is not None and first in _SUMMED_UP and (first or state in _BEHIND_OK):
                digest.update(data[hashed:at])
                digest.update(self._summary())
                hashed = end
            at = end
            if state == DONE:
                break

        self._state = state
        if state == DONE:  # at the end of the reply, or at the ERR packet that is kept back
            self.done = True
            self.awaiting_client_file = False
            sent = at
            if end < size:
                self.rest = data[end:]
        elif at > size:
            self._skip = at - size
            sent = size
        else:
            self._skip = 0
            sent = at
            if at < size:
                self._held = data[at:]
        if digest is not None and hashed < sent:
            digest.update(data[hashed:sent])
        self.forwarded += sent
        return data if sent == size else data[:sent]

    def _control(self, state: int, first: int, data: bytes, at: int, end: int) -> int:
        """Takes the control packet whose payload is `data[at:end]`, never an ERR packet, and returns the next state."""
        if state == RESPONSE:
            # page_protocol_com_query_response
            self.awaiting_client_file = False
            if first == OK_HEADER:
                self._read_ok(data, at, end)
                self.results += 1
                return RESPONSE if self.status & SERVER_MORE_RESULTS_EXISTS else DONE
            if first == LOCAL_INFILE_HEADER:
                # page_protocol_com_query_response_local_infile_request: what answers the file is a response again
                self.local_infile = data[at + 1 : end]
                self.awaiting_client_file = True
                return RESPONSE
            self.has_rows = True
            if self._optional:
                # Behind the count, whatever the manual says, comes RESULTSET_METADATA_NONE or RESULTSET_METADATA_FULL.
                end -= 1
                if data[end] == 0:
                    _column_count(data[at:end])
                    return ROWS if self._deprecate_eof else COLUMN_EOF
            self._columns = first if end - at == 1 and first < LOCAL_INFILE_HEADER else _column_count(data[at:end])
            return COLUMN_DEFINITIONS
        if state == ROWS:
            # page_protocol_basic_eof_packet; page_protocol_basic_ok_packet under CLIENT_DEPRECATE_EOF
            defined = self.status
            self._read_terminator(data, at, end)
            self.results += 1
            # MySQL says only with the EOF of their definitions that something follows OUT parameters (see libmysql's
            # cli_read_binary_rows).
            more = self.status | defined if defined & SERVER_PS_OUT_PARAMS else self.status
            return RESPONSE if self._chained and more & SERVER_MORE_RESULTS_EXISTS else DONE
        if state == COLUMN_EOF:
            _expect(first == EOF_HEADER, first, "the end of the column definitions")
            self._read_terminator(data, at, end)
            if self.status & SERVER_STATUS_CURSOR_EXISTS and self._opens_cursor:
                # page_protocol_com_stmt_execute_response: the rows come with COM_STMT_FETCH. Where no cursor was asked
                # for, MariaDB's flag is that of a cursor which a stored procedure has open, and the rows do follow.
                self.results += 1
                return DONE
            return ROWS
        if state == OK_PACKET:
            # page_protocol_basic_response_packets; COM_SET_OPTION and COM_DEBUG are answered with an EOF packet. To
            # COM_CHANGE_USER 0xFE is an AuthSwitchRequest: a dialogue, which is not led here.
            if first == EOF_HEADER and self._command != COM_CHANGE_USER:
                self._read_terminator(data, at, end)
            else:
                _expect(first == OK_HEADER, first, "an OK packet")
                self._read_ok(data, at, end)
            self.results += 1
            return DONE
        if state == STATISTICS:
            # page_protocol_com_statistics: a text that is different each time, which the digest therefore has
            return DONE
        if state == COLUMN_DEFINITIONS:
            raise ProtocolError(f"0x{first:02x} begins no column definition")
        return self._prepare(state, first, data, at, end)

    def _prepare(self, state: int, first: int, data: bytes, at: int, end: int) -> int:
        """The packets of page_protocol_com_stmt_prepare; definitions one by one, since the last may end the reply."""
        if state == PREPARE_OK:
            _expect(first == OK_HEADER and end - at >= PREPARE_OK_LENGTH, first, "a PREPARE_OK packet")
            self.statement_id = int.from_bytes(data[at + 1 : at + 5], "little")
            self.num_columns = data[at + 5] | data[at + 6] << 8
            self.num_params = data[at + 7] | data[at + 8] << 8
            self.warnings = data[at + 10] | data[at + 11] << 8
            self._defined = not self._optional or end - at == PREPARE_OK_LENGTH or data[at + PREPARE_OK_LENGTH] != 0
            if not self._defined and self._deprecate_eof:
                return DONE
        elif state in (PARAMETER_DEFINITIONS, PREPARED_DEFINITIONS):
            _expect(first < LOCAL_INFILE_HEADER, first, "a definition")
            self._columns -= 1
            if self._columns:
                return state
        else:
            _expect(first == EOF_HEADER, first, "the end of the definitions")
            self._read_terminator(data, at, end)
        return self._after(state)

    def _after(self, state: int) -> int:
        """What follows when a part of the reply to COM_STMT_PREPARE is over: empty parts are left out, but not the EOF
        of definitions that the client did not want.
        """
        if state == PREPARE_OK and self.num_params:
            if not self._defined:
                return PARAMETER_EOF
            self._columns = self.num_params
            return PARAMETER_DEFINITIONS
        if state == PARAMETER_DEFINITIONS and not self._deprecate_eof:
            return PARAMETER_EOF
        if state <= PARAMETER_EOF and self.num_columns:
            if not self._defined:
                return PREPARED_EOF
            self._columns = self.num_columns
            return PREPARED_DEFINITIONS
        if state == PREPARED_DEFINITIONS and not self._deprecate_eof:
            return PREPARED_EOF
        return DONE

    def _read_ok(self, data: bytes, at: int, end: int) -> None:
        start = at
        if end - at < OK_LENGTH:
            raise ProtocolError("an OK packet that is too short")
        affected_rows = data[at + 1]
        insert_id = data[at + 2]
        if affected_rows < 0xFB and insert_id < 0xFB:
            at += 3
        else:
            payload = data[at:end]
            affected_rows, offset = read_lenenc_int(payload, 1)
            insert_id, offset = read_lenenc_int(payload, offset)
            at += offset
            if at + 4 > end:
                raise ProtocolError("an OK packet that is too short")
        self.affected_rows = affected_rows
        self._insert_id = insert_id
        if insert_id and not self.insert_id:
            self.insert_id = insert_id
        self.status = status = data[at] | data[at + 1] << 8
        self.warnings = data[at + 2] | data[at + 3] << 8
        self.has_status = True
        if status & SERVER_SESSION_STATE_CHANGED and self._session_track:
            self.tracked += (data[start:end],)

    def _read_terminator(self, data: bytes, at: int, end: int) -> None:
        # Told apart by length, not by CLIENT_DEPRECATE_EOF alone: some commands send the old packet all the same.
        if self._deprecate_eof and end - at >= OK_LENGTH:
            self._read_ok(data, at, end)
            return
        if end - at < EOF_LENGTH:
            raise ProtocolError("an EOF packet that is too short")
        self.warnings = data[at + 1] | data[at + 2] << 8
        self.status = data[at + 3] | data[at + 4] << 8
        self.has_status = True
        self.affected_rows = 0
        self._insert_id = 0

    def _summary(self) -> bytes:
        return _DIGEST_OK(self.affected_rows, self._insert_id, self.warnings, self.num_columns, self.num_params)


def _column_count(payload: bytes) -> int:
    # page_protocol_com_query_response_text_resultset
    count, end = read_lenenc_int(payload, 0)
    if count == 0 or count > 0xFFFF or end != len(payload):
        raise ProtocolError("a column count was due")
    return count


def _expect(condition: bool, first: int, what: str) -> None:
    if not condition:
        raise ProtocolError(f"0x{first:02x} begins a packet where {what} was due")
