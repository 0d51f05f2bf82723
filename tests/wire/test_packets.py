"""OK, EOF and ERR packets against bytes written out by hand from the manual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    SERVER_SESSION_STATE_CHANGED,
    SESSION_TRACK_GTIDS,
    SESSION_TRACK_SCHEMA,
    SESSION_TRACK_STATE_CHANGE,
    SESSION_TRACK_SYSTEM_VARIABLES,
    SESSION_TRACK_TRANSACTION_CHARACTERISTICS,
    SESSION_TRACK_TRANSACTION_STATE,
)
from proxy.wire.framing import ProtocolError, payload_of
from proxy.wire.packets import (
    Change,
    Ok,
    ServerError,
    eof_packet,
    error_packet,
    lenenc_int,
    lenenc_str,
    ok_packet,
    parse_error,
    parse_ok,
    read_int2,
    read_lenenc_int,
    read_lenenc_str,
)

TRACK = CLIENT_SESSION_TRACK


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (0, b"\x00"),
        (250, b"\xfa"),
        (251, b"\xfc\xfb\x00"),
        (65_535, b"\xfc\xff\xff"),
        (65_536, b"\xfd\x00\x00\x01"),
        (2**24 - 1, b"\xfd\xff\xff\xff"),
        (2**24, b"\xfe\x00\x00\x00\x01\x00\x00\x00\x00"),
        (2**64 - 1, b"\xfe" + b"\xff" * 8),
    ],
)
def test_length_encoded_integers(value: int, raw: bytes) -> None:
    assert lenenc_int(value) == raw
    assert read_lenenc_int(b"." + raw + b".", 1) == (value, 1 + len(raw))
    for size in range(len(raw)):
        with pytest.raises(ProtocolError):
            read_lenenc_int(raw[:size], 0)


@pytest.mark.parametrize("first", [0xFB, 0xFF])
def test_null_and_err_are_no_integers(first: int) -> None:
    with pytest.raises(ProtocolError):
        read_lenenc_int(bytes([first]) + bytes(9), 0)


@given(st.binary(max_size=300))
def test_length_encoded_strings(value: bytes) -> None:
    raw = lenenc_str(value)
    assert read_lenenc_str(raw + b"behind", 0) == (value, len(raw))
    with pytest.raises(ProtocolError):
        read_lenenc_str(raw[:-1], 0)


def test_two_byte_integers() -> None:
    assert read_int2(b"\x02\x40", 0) == 0x4002
    with pytest.raises(ProtocolError):
        read_int2(b"\x02\x40", 1)


# --- OK


def test_ok_packet() -> None:
    assert ok_packet(1, status=2, capabilities=0) == b"\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
    assert (
        ok_packet(3, affected_rows=300, insert_id=7, status=3, warnings=1, info=b"hi", capabilities=0)
        == b"\x0c\x00\x00\x03\x00\xfc\x2c\x01\x07\x03\x00\x01\x00\x02hi"
    )


def test_the_info_text_has_its_length_in_front() -> None:
    assert ok_packet(1, status=2, info=b"hi", capabilities=0)[11:] == b"\x02hi"
    assert ok_packet(1, status=2, capabilities=0)[11:] == b""


def test_changes_are_reported_where_tracking_was_agreed() -> None:
    changes = (
        Change(SESSION_TRACK_SYSTEM_VARIABLES, b"autocommit", b"OFF"),
        Change(SESSION_TRACK_GTIDS, b"", b"0-1-2"),
        Change(SESSION_TRACK_STATE_CHANGE, b"", b"1"),
        Change(SESSION_TRACK_TRANSACTION_STATE, b"", b"T_______"),
    )
    tracked = payload_of(ok_packet(1, status=3, info=b"x", changes=changes, capabilities=TRACK))
    assert parse_ok(tracked, TRACK) == Ok(0, 0, SERVER_SESSION_STATE_CHANGED | 3, 0, b"x", changes)
    untracked = ok_packet(1, status=3, info=b"x", changes=changes, capabilities=0)
    assert untracked == ok_packet(1, status=3, info=b"x", capabilities=0)


def test_without_changes_the_status_says_so() -> None:
    """The status of an OK made by the proxy is often that of a server's last one."""
    raw = ok_packet(1, status=SERVER_SESSION_STATE_CHANGED | 2, info=b"x", capabilities=TRACK)
    assert parse_ok(payload_of(raw), TRACK) == Ok(0, 0, 2, 0, b"x", ())


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 0x3FFF),
    st.integers(0, 0xFFFF),
    st.binary(max_size=300),
    st.sampled_from([0, TRACK, CLIENT_DEPRECATE_EOF, TRACK | CLIENT_DEPRECATE_EOF]),
)
def test_ok_packets_are_read_as_they_were_written(
    rows: int, insert_id: int, status: int, warnings: int, info: bytes, capabilities: int
) -> None:
    for header in (0x00, 0xFE) if capabilities & CLIENT_DEPRECATE_EOF else (0x00,):
        raw = ok_packet(
            9,
            affected_rows=rows,
            insert_id=insert_id,
            status=status,
            warnings=warnings,
            info=info,
            capabilities=capabilities,
            header=header,
        )
        assert raw[3] == 9
        assert parse_ok(payload_of(raw), capabilities) == Ok(rows, insert_id, status, warnings, info, ())


CHANGES = [
    (b"\x00\x0f\x0atime_zone1\x03UTC", [Change(SESSION_TRACK_SYSTEM_VARIABLES, b"time_zone1", b"UTC")]),
    (
        b"\x00\x08\x01a\x011\x01b\x012",
        [Change(SESSION_TRACK_SYSTEM_VARIABLES, b"a", b"1"), Change(SESSION_TRACK_SYSTEM_VARIABLES, b"b", b"2")],
    ),
    (b"\x01\x04\x03app", [Change(SESSION_TRACK_SCHEMA, b"", b"app")]),
    (b"\x02\x011", [Change(SESSION_TRACK_STATE_CHANGE, b"", b"1")]),
    (  # as MariaDB reports SET session_track_state_change=ON
        b"\x00\x1e\x1asession_track_state_change\x02ON\x02\x011",
        [
            Change(SESSION_TRACK_SYSTEM_VARIABLES, b"session_track_state_change", b"ON"),
            Change(SESSION_TRACK_STATE_CHANGE, b"", b"1"),
        ],
    ),
    (b"\x03\x06\x00\x040-1-", [Change(SESSION_TRACK_GTIDS, b"", b"0-1-")]),
    (b"\x04\x06\x05START", [Change(SESSION_TRACK_TRANSACTION_CHARACTERISTICS, b"", b"START")]),
    (b"\x05\x09\x08T___W___", [Change(SESSION_TRACK_TRANSACTION_STATE, b"", b"T___W___")]),
    (b"\x09\x02zz", [Change(9, b"", b"zz")]),
    (
        b"\x01\x02\x01a\x05\x09\x08________",
        [Change(SESSION_TRACK_SCHEMA, b"", b"a"), Change(SESSION_TRACK_TRANSACTION_STATE, b"", b"________")],
    ),
    (b"", []),
]


def tracked_ok(state: bytes) -> bytes:
    return b"\x00\x00\x00\x02\x40\x00\x00" + lenenc_str(b"info") + lenenc_str(state)


@pytest.mark.parametrize(("state", "changes"), CHANGES)
def test_session_changes(state: bytes, changes: list[Change]) -> None:
    assert parse_ok(tracked_ok(state), TRACK) == Ok(0, 0, 0x4002, 0, b"info", tuple(changes))


@pytest.mark.parametrize("state", [change[0] for change in CHANGES if change[0]])
def test_session_changes_cut_short_are_refused(state: bytes) -> None:
    whole = tracked_ok(state)
    for size in range(8, len(whole)):
        if size == 12:  # behind the text: an OK without the part for changes is complete
            continue
        with pytest.raises(ProtocolError):
            parse_ok(whole[:size], TRACK)


def test_without_tracking_there_is_a_text_only() -> None:
    """As MariaDB answers an UPDATE: the flag can be there, the changes are not."""
    payload = b"\x00\x02\x00\x02\x40\x00\x00\x28Rows matched: 2  Changed: 2  Warnings: 0"
    assert parse_ok(payload, 0) == Ok(2, 0, 0x4002, 0, b"Rows matched: 2  Changed: 2  Warnings: 0", ())


@given(st.binary(max_size=60), st.sampled_from([0, TRACK, CLIENT_DEPRECATE_EOF, TRACK | CLIENT_DEPRECATE_EOF]))
def test_garbage_is_read_or_refused(payload: bytes, capabilities: int) -> None:
    for parse in (lambda: parse_ok(payload, capabilities), lambda: parse_error(payload)):
        try:
            parse()
        except ProtocolError:
            continue


# --- EOF


def test_eof_packet() -> None:
    assert eof_packet(5, status=0x0022, warnings=3) == b"\x05\x00\x00\x05\xfe\x03\x00\x22\x00"


@pytest.mark.parametrize("capabilities", [0, CLIENT_DEPRECATE_EOF])
def test_an_eof_packet_is_told_by_its_length(capabilities: int) -> None:
    assert parse_ok(b"\xfe\x03\x00\x22\x00", capabilities) == Ok(0, 0, 0x22, 3, b"", ())


@pytest.mark.parametrize("payload", [b"", b"\xfe", b"\xfe\0\0\2", b"\x01\0\0\2\0\0\0", b"\xff\1\2", b"\0\0\0\2\0\0"])
def test_no_ok_packet(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_ok(payload, 0)


# --- ERR


def test_error_packet() -> None:
    raw = error_packet(2, 1045, "28000", "Access denied")
    assert raw == b"\x16\x00\x00\x02\xff\x15\x04#28000Access denied"
    assert parse_error(payload_of(raw)) == ServerError(1045, "28000", "Access denied")


def test_an_error_sent_before_login_has_no_sqlstate() -> None:
    assert parse_error(b"\xff\x10\x04Too many connections") == ServerError(1040, "HY000", "Too many connections")


def test_an_error_s_text_may_be_in_any_charset() -> None:
    error = parse_error(b"\xff\x28\x04#42000near '\xe9'")
    assert (error.code, error.message) == (1064, "near '\ufffd'")


def test_an_error_reads_as_the_command_line_client_prints_it() -> None:
    assert str(ServerError(1213, "40001", "Deadlock found")) == "ERROR 1213 (40001): Deadlock found"


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xff\x10", b"\x00\x10\x04x"])
def test_no_error_packet(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_error(payload)
