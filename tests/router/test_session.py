"""The state that a session takes along, and the way from one backend's state to another's."""

import gc
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.facts import Begin, Modes
from router.session import Restore, State, reachable, restore
from router.transaction import Stage, Transaction
from router.variables import ACCESS, ISOLATION, NAMES, carry

# -- states -----------------------------------------------------------------------------------------------------------


def test_equal_states_are_the_same_object() -> None:
    assert State(b"app", (("sql_mode", "''"),)) is State(b"app", (("sql_mode", "''"),))
    assert State(b"app") is not State(b"other")
    assert State() is State(b"", ())


def test_a_state_that_nobody_has_takes_no_memory() -> None:
    from router import session

    gc.collect()
    before = len(session._interned)
    states = [State(b"s%d" % number) for number in range(100)]
    assert len(session._interned) == before + 100
    del states
    gc.collect()
    assert len(session._interned) == before


def test_what_a_set_leaves_replaces_what_was_there() -> None:
    state = State().with_variables((("sql_mode", "'ANSI'"), ("time_zone", "'+01:00'")))
    assert state.with_variables((("sql_mode", "''"),)).variables == (("time_zone", "'+01:00'"), ("sql_mode", "''"))


def test_a_schema_is_changed_alone() -> None:
    state = State(b"app", (("sql_mode", "'ANSI'"),))
    assert state.with_schema(b"other") is State(b"other", (("sql_mode", "'ANSI'"),))


@pytest.mark.parametrize(
    ("variables", "autocommit", "read_only", "modes"),
    [
        ((), True, False, 0),
        ((("autocommit", "0"),), False, False, 0),
        ((("autocommit", "1"),), True, False, 0),
        (((ACCESS, "READ ONLY"),), True, True, 0),
        (((ACCESS, "READ WRITE"),), True, False, 0),
        ((("sql_mode", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"),), True, False, 3),
        ((("sql_mode", "'ORACLE'"),), True, False, Modes.FOREIGN),
        (((NAMES, "'gbk'"),), True, False, Modes.FOREIGN),
        (((NAMES, "'utf8mb4' COLLATE 'utf8mb4_bin'"),), True, False, 0),
        ((("character_set_client", "'sjis'"),), True, False, Modes.FOREIGN),
        (((NAMES, "'utf8'"), ("character_set_client", "'gbk'")), True, False, Modes.FOREIGN),
        (((NAMES, "'gbk'"), ("character_set_client", "'utf8'")), True, False, 0),
    ],
)
def test_what_the_proxy_itself_reads_in_it(
    variables: tuple[tuple[str, str], ...], autocommit: bool, read_only: bool, modes: int
) -> None:
    state = State(b"", variables)
    assert (state.autocommit, state.read_only, state.modes) == (autocommit, read_only, modes)


def test_it_says_what_it_is() -> None:
    assert repr(State()) == "<State no schema>"
    assert repr(State("größe".encode(), (("sql_notes", "0"),))) == "<State größe sql_notes=0>"


# -- from one to another ----------------------------------------------------------------------------------------------

ANSI = ("sql_mode", "'ANSI'")
NOTES = ("sql_notes", "0")


@pytest.mark.parametrize(
    ("have", "want", "way"),
    [
        (State(), State(), Restore(False, (), None)),
        (State(), State(b"", (ANSI,)), Restore(False, ("SET sql_mode='ANSI'",), None)),
        (State(b"", (ANSI,)), State(b"", (("sql_mode", "''"),)), Restore(False, ("SET sql_mode=''",), None)),
        (State(b"", (ANSI,)), State(b"", (ANSI, NOTES)), Restore(False, ("SET sql_notes=0",), None)),
        # Only a reset brings a default back.
        (State(b"", (ANSI,)), State(), Restore(True, (), None)),
        (State(b"", (ANSI, NOTES)), State(b"", (ANSI,)), Restore(True, ("SET sql_mode='ANSI'",), None)),
        # The schema outlives the reset.
        (State(b"app", (ANSI,)), State(b"app"), Restore(True, (), None)),
        (State(), State(b"app"), Restore(False, (), b"app")),
        (State(b"app"), State(b"other", (ANSI,)), Restore(False, ("SET sql_mode='ANSI'",), b"other")),
        # SET NAMES overwrites what was set before it.
        (
            State(b"", ((NAMES, "'latin1'"), ("character_set_results", "'utf8'"))),
            State(b"", ((NAMES, "'utf8'"), ("character_set_results", "'utf8'"))),
            Restore(False, ("SET NAMES 'utf8',character_set_results='utf8'",), None),
        ),
        # Characteristics of transactions have statements of their own.
        (
            State(),
            State(b"", ((ISOLATION, "READ COMMITTED"), NOTES, (ACCESS, "READ ONLY"))),
            Restore(
                False,
                (
                    "SET sql_notes=0",
                    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                    "SET SESSION TRANSACTION READ ONLY",
                ),
                None,
            ),
        ),
    ],
)
def test_the_way(have: State, want: State, way: Restore) -> None:
    assert restore(have, want) == way


@pytest.mark.parametrize(
    ("have", "want", "can"),
    [(b"", b"", True), (b"", b"app", True), (b"app", b"other", True), (b"app", b"app", True), (b"app", b"", False)],
)
def test_no_command_leads_from_a_schema_to_none(have: bytes, want: bytes, can: bool) -> None:
    assert reachable(State(have), State(want)) is can


Carries = list[tuple[str, str]]
CARRIES = st.lists(
    st.sampled_from(
        [
            (NAMES, "'latin1'"),
            (NAMES, "'utf8'"),
            ("character_set_client", "'utf8'"),
            ("character_set_results", "'latin1'"),
            ("character_set_connection", "'latin1'"),
            ("collation_connection", "'utf8_bin'"),
            ("sql_mode", "'ANSI'"),
            ("sql_mode", "''"),
            (ISOLATION, "SERIALIZABLE"),
            (ACCESS, "READ ONLY"),
        ]
    ),
    max_size=6,
)


class Server:
    """As much of a session at a server as the statements above concern: which variables differ from their defaults."""

    def __init__(self, carries: Carries) -> None:
        self.variables: dict[str, str] = {}
        for name, value in carries:
            self.sets(name, value)

    def sets(self, name: str, value: str) -> None:
        if name == NAMES:
            collation = f"default of {value}"
            for one in ("character_set_client", "character_set_connection", "character_set_results"):
                self.variables[one] = value
            self.variables["collation_connection"] = collation
        elif name == "character_set_connection":
            self.variables[name] = value
            self.variables["collation_connection"] = f"default of {value}"
        elif name == "collation_connection":
            self.variables[name] = value
            self.variables["character_set_connection"] = "'" + value.strip("'").split("_")[0] + "'"
        else:
            self.variables[name] = value

    def runs(self, sql: str) -> None:
        if found := re.fullmatch("SET SESSION TRANSACTION (ISOLATION LEVEL )?(.*)", sql):
            self.sets(ISOLATION if found[1] else ACCESS, found[2])
            return
        for setting in sql.removeprefix("SET ").split(","):
            name, value = setting.split(" ", 1) if setting.startswith("NAMES ") else setting.split("=", 1)
            self.sets(name.lower() if name == "NAMES" else name, value)


def state_of(carries: Carries) -> State:
    state = State()
    for one in carries:
        state = state.with_variables((one,))
    return state


@given(CARRIES, CARRIES)
def test_the_way_leads_to_what_the_session_has_set(
    before: list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> None:
    way = restore(state_of(before), state_of(wanted))
    server = Server([] if way.reset else before)
    for sql in way.statements:
        server.runs(sql)
    assert server.variables == Server(wanted).variables


@given(CARRIES)
def test_setting_things_one_by_one_is_setting_them_together(carries: Carries) -> None:
    together: dict[str, str] = {}
    carry(together, carries)
    assert state_of(carries) is State(b"", tuple(together.items()))


# -- transactions -----------------------------------------------------------------------------------------------------


def test_an_ended_transaction_leaves_nothing() -> None:
    transaction = Transaction()
    names = [name for name in dir(transaction) if not name.startswith("_") and name != "clear"]
    fresh = {name: getattr(transaction, name) for name in names}
    transaction.stage = Stage.OPEN
    transaction.begin = Begin(read_only=True)
    transaction.begin_text = b"BEGIN"
    transaction.state = State(b"app")
    transaction.one_shot = (b"SET TRANSACTION READ ONLY",)
    transaction.read_only = True
    transaction.alone = transaction.sentinel = True
    transaction.wrote = True
    transaction.started = 1.0
    transaction.clear()
    assert {name: getattr(transaction, name) for name in names} == fresh
