"""Statement ids and parameter types in COM_STMT_ commands, against bytes written out by hand from the manual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.constants import COM_PING, COM_QUERY
from proxy.wire.framing import MAX_PAYLOAD, CommandFramer, ProtocolError, frame, payload_of
from proxy.wire.parameters import parameters
from proxy.wire.prepared import (
    LAST_PREPARED,
    WITH_STATEMENT_ID,
    ExecuteView,
    opens_cursor,
    statement_id,
    unit_results,
    unnamed,
    with_prepared_id,
    with_statement_id,
    with_types,
)

# Statement 1, two parameters: an INT of 5 and a string "ab"; as the manual lays it out.
HEAD = b"\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"
TYPES = b"\x03\x00\xfd\x00"
VALUES = b"\x05\x00\x00\x00\x02ab"
BOUND = frame(HEAD + b"\x00" + b"\x01" + TYPES + VALUES)
UNBOUND = frame(HEAD + b"\x00" + b"\x00" + VALUES)


# --- Ids


@pytest.mark.parametrize("command", sorted(WITH_STATEMENT_ID))
@pytest.mark.parametrize("rest", [b"", b"\x00\x01\x00\x00\x00more"])
def test_statement_id_is_read_and_replaced(command: int, rest: bytes) -> None:
    raw = frame(bytes([command]) + b"\x01\x02\x03\x04" + rest)
    assert statement_id(raw) == 0x04030201
    moved = with_statement_id(raw, 7)
    assert statement_id(moved) == 7
    assert payload_of(moved) == bytes([command]) + b"\x07\x00\x00\x00" + rest


def test_the_last_prepared_statement_has_an_id_of_its_own() -> None:
    assert statement_id(frame(b"\x17\xff\xff\xff\xff\x00\x01\x00\x00\x00")) == LAST_PREPARED


def test_statement_id_of_a_large_command() -> None:
    raw = frame(b"\x18\x01\x00\x00\x00\x00\x00" + bytes(MAX_PAYLOAD))
    moved = with_statement_id(raw, 2)
    assert statement_id(moved) == 2
    assert moved[9:] == raw[9:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x05\0\0\0\x17",
        frame(b"\x17\1\0\0"),
        frame(b"\x17\1\0\0") + b"more",
        frame(bytes([COM_QUERY]) + b"SELECT"),
        frame(bytes([COM_PING])),
    ],
)
def test_no_statement_id(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        statement_id(raw)
    with pytest.raises(ProtocolError):
        with_statement_id(raw, 1)


def test_the_id_in_the_reply_to_a_prepare() -> None:
    reply = frame(b"\x00\x01\x00\x00\x00\x02\x00\x01\x00\x00\x00\x00", 1)
    assert with_prepared_id(reply + b"more", 0x0A0B) == reply[:5] + b"\x0b\x0a\x00\x00" + reply[9:] + b"more"
    for wrong in (b"", reply[:8], frame(b"\xff\x10\x04#42000x", 1)):
        with pytest.raises(ProtocolError):
            with_prepared_id(wrong, 1)


# --- COM_STMT_EXECUTE


def test_view_of_an_execute_that_brings_its_types() -> None:
    view = ExecuteView(BOUND, 2)
    assert (view.types_bound, view.types, view.flags) == (True, TYPES, 0)


def test_view_of_an_execute_that_leaves_them_out() -> None:
    view = ExecuteView(UNBOUND, 2)
    assert (view.types_bound, view.types) == (False, None)


def test_view_of_an_execute_without_parameters() -> None:
    view = ExecuteView(frame(HEAD), 0)
    assert (view.types_bound, view.types) == (False, None)
    assert with_types(frame(HEAD), 0, b"") == frame(HEAD)


@pytest.mark.parametrize(
    ("raw", "opens"),
    [
        (frame(b"\x17\x01\x00\x00\x00\x01\x01\x00\x00\x00"), True),
        (frame(b"\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"), False),
        (frame(b"\x18\x01\x00\x00\x00\x01\x01\x00\x00\x00"), False),
        (frame(b"\x17\x01\x00\x00\x00"), False),
        (b"", False),
    ],
)
def test_whether_a_command_opens_a_cursor(raw: bytes, opens: bool) -> None:
    assert opens_cursor(raw) == opens


@pytest.mark.parametrize("raw", [BOUND, UNBOUND])
def test_types_are_put_in_once(raw: bytes) -> None:
    assert with_types(raw, 2, TYPES) == BOUND


def test_an_execute_that_brings_its_types_keeps_them() -> None:
    assert with_types(BOUND, 2, b"\x08\x00\x08\x00") is BOUND


@pytest.mark.parametrize("params", [1, 7, 8, 9, 16, 17, 300, 65_535])
@pytest.mark.parametrize("values", [b"", b"values"])
def test_the_bitmap_has_a_bit_for_each_parameter(params: int, values: bytes) -> None:
    bitmap = b"\xaa" * -(-params // 8)
    types = bytes(range(1, 3)) * params
    bound = frame(HEAD + bitmap + b"\x01" + types + values)
    assert ExecuteView(bound, params).types == types
    assert with_types(frame(HEAD + bitmap + b"\x00" + values), params, types) == bound


@pytest.mark.parametrize(
    "size", [MAX_PAYLOAD - 17, MAX_PAYLOAD - 16, MAX_PAYLOAD - 13, MAX_PAYLOAD - 12, MAX_PAYLOAD, 2 * MAX_PAYLOAD - 16]
)
def test_a_command_that_grows_over_16_mb_is_framed_anew(size: int) -> None:
    values = bytes(size)
    moved = with_types(frame(HEAD + b"\x00\x00" + values), 2, TYPES)
    assert moved == frame(HEAD + b"\x00\x01" + TYPES + values)
    framer = CommandFramer(64 << 20)
    framer.feed(moved)
    assert framer.next() is moved


def test_types_of_another_statement_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="2 bytes of types for 2 parameters"):
        with_types(UNBOUND, 2, b"\x03\x00")


@pytest.mark.parametrize("size", range(15))
def test_an_execute_that_ends_before_its_values_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        ExecuteView(frame(payload_of(BOUND)[:size]), 2)


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        (frame(b"\x19\x01\x00\x00\x00" + bytes(9)), 0),
        (frame(HEAD + b"\x00\x02" + TYPES), 2),
        (frame(b"\x17\x01\x00\x00\x00\x08\x01\x00\x00\x00" + b"\x00\x01" + TYPES), 2),
    ],
    ids=["another command", "a flag of 2", "query attributes"],
)
def test_no_execute(raw: bytes, params: int) -> None:
    with pytest.raises(ProtocolError):
        ExecuteView(raw, params)


@given(st.binary(max_size=60), st.integers(0, 40), st.booleans())
def test_garbage_is_read_or_refused(payload: bytes, params: int, as_execute: bool) -> None:
    raw = frame(b"\x17" + payload if as_execute else payload)
    try:
        moved = with_types(raw, params, b"\x03\x00" * params)
    except ProtocolError:
        return
    assert ExecuteView(moved, params).types_bound == (params > 0)
    assert payload_of(moved)


# --- Query attributes: the command counts its parameters, and each type has a name

COUNTED = b"\x17\x01\x00\x00\x00\x08\x01\x00\x00\x00"
NAMED = b"\x03\x00\x00\xfd\x00\x00\x01\x00\x01n"  # those of the two parameters, and an attribute "n"
ATTRIBUTED = frame(COUNTED + b"\x03\x00\x01" + NAMED + VALUES + b"\x07")


def test_types_have_names_where_attributes_were_agreed_upon() -> None:
    view = ExecuteView(ATTRIBUTED, 2, attributes=True)
    assert (view.num_params, view.types_bound, view.types) == (3, True, NAMED)
    without = frame(COUNTED + b"\x03\x00\x00" + VALUES + b"\x07")
    assert with_types(without, 2, NAMED, attributes=True) == ATTRIBUTED
    assert with_types(ATTRIBUTED, 2, NAMED, attributes=True) is ATTRIBUTED


def test_types_of_another_number_of_parameters_are_not_put_in() -> None:
    without = frame(COUNTED + b"\x02\x00\x00" + VALUES)
    assert with_types(without, 2, NAMED, attributes=True) is without


def test_attributes_of_a_statement_without_parameters() -> None:
    raw = frame(COUNTED + b"\x01\x00\x01\x01\x00\x01n\x07")
    assert ExecuteView(raw, 0, attributes=True).types == b"\x01\x00\x01n"
    assert ExecuteView(frame(HEAD), 0, attributes=True).types is None
    assert ExecuteView(frame(COUNTED + b"\x00"), 0, attributes=True).types is None


def test_an_execution_as_it_were_without_attributes() -> None:
    plain = ExecuteView(ATTRIBUTED, 2, attributes=True).plain(ATTRIBUTED)
    assert plain[4:] == COUNTED + b"\x00\x01" + TYPES + b"\x01\x00" + VALUES + b"\x07"
    assert unnamed(NAMED) == TYPES + b"\x01\x00"
    assert parameters(plain, unnamed(NAMED), 2) == ["5", "ab"]


def test_a_count_is_no_cursor() -> None:
    assert not opens_cursor(ATTRIBUTED)
    assert opens_cursor(frame(b"\x17\x01\x00\x00\x00\x09\x01\x00\x00\x00\x00"))


@pytest.mark.parametrize("end", range(11, len(payload_of(ATTRIBUTED)) - len(VALUES) - 1))
def test_named_types_that_end_too_early_are_refused(end: int) -> None:
    with pytest.raises(ProtocolError):
        ExecuteView(frame(payload_of(ATTRIBUTED)[:end]), 2, attributes=True)


# --- COM_STMT_BULK_EXECUTE: statement 1, two rows

ROWS = b"\x00\x05\x00\x00\x00\x00\x02ab" + b"\x00\x06\x00\x00\x00\x01"
BULK = frame(b"\xfa\x01\x00\x00\x00\x80\x00" + TYPES + ROWS)
BULK_UNBOUND = frame(b"\xfa\x01\x00\x00\x00\x00\x00" + ROWS)


def test_types_of_a_bulk_execution() -> None:
    assert ExecuteView(BULK, 2).types == TYPES
    assert not ExecuteView(BULK_UNBOUND, 2).types_bound
    assert with_types(BULK_UNBOUND, 2, TYPES) == BULK
    assert with_types(BULK, 2, TYPES) is BULK


def test_a_bulk_execution_says_whether_it_wants_a_row_for_each() -> None:
    assert not unit_results(BULK)
    assert unit_results(frame(b"\xfa\x01\x00\x00\x00\xc0\x00" + TYPES + ROWS))
    assert not unit_results(frame(b"\x17\x01\x00\x00\x00\x40\x00"))


@pytest.mark.parametrize("end", [5, 6, 7, 10])
def test_a_bulk_execution_that_ends_too_early_is_refused(end: int) -> None:
    with pytest.raises(ProtocolError):
        ExecuteView(frame(payload_of(BULK)[:end]), 2)
