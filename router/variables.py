"""Session variables that are carried: set again, from the literal that the client gave, on the next backend.

It must not know how a SET is read. A variable that is not listed here pins the session to its backend.
Source: "Server System Variables" in the MySQL and MariaDB manuals (scope Session, no privilege needed).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from router.facts import Modes

# Not names of variables, but carried like one: each stands for a form of SET.
NAMES: Final = "names"  # SET NAMES 'x' [COLLATE 'y']
ISOLATION: Final = "transaction isolation level"  # SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
ACCESS: Final = "transaction access mode"  # SET SESSION TRANSACTION READ ONLY

CARRIED: Final = frozenset({
    # how bytes become characters, and back
    "character_set_client", "character_set_connection", "character_set_results", "collation_connection",
    # what a statement means and what it may do
    "sql_mode", "time_zone", "lc_time_names", "default_week_format", "div_precision_increment", "group_concat_max_len",
    "foreign_key_checks", "unique_checks", "check_constraint_checks", "sql_safe_updates", "sql_select_limit",
    "sql_big_selects", "max_join_size", "sql_auto_is_null", "updatable_views_with_limit", "low_priority_updates",
    "auto_increment_increment", "auto_increment_offset", "innodb_snapshot_isolation", "timestamp", "autocommit",
    "default_storage_engine", "default_tmp_storage_engine", "explicit_defaults_for_timestamp", "sql_quote_show_create",
    "cte_max_recursion_depth", "max_recursive_iterations", "max_sort_length", "information_schema_stats_expiry",
    # what is said about it
    "lc_messages", "sql_notes", "sql_warnings", "max_error_count",
    # how long it may take
    "lock_wait_timeout", "innodb_lock_wait_timeout", "max_statement_time", "max_execution_time", "wait_timeout",
    "interactive_timeout", "net_read_timeout", "net_write_timeout", "net_retry_count", "long_query_time",
    # how it is planned
    "optimizer_switch", "optimizer_search_depth", "optimizer_prune_level", "eq_range_index_dive_limit",
    "join_buffer_size", "sort_buffer_size", "read_buffer_size", "read_rnd_buffer_size", "tmp_table_size",
    "max_heap_table_size", "max_length_for_sort_data", "max_seeks_for_key", "join_cache_level", "query_cache_type",
    "optimizer_use_condition_selectivity", "use_stat_tables", "range_alloc_block_size",
})  # fmt: skip

# Other names of carried variables.
ALIASES: Final = {"storage_engine": "default_storage_engine"}

# The client's own tracking would disarm ours.
TRACKING: Final = frozenset({
    "session_track_gtids", "session_track_schema", "session_track_state_change", "session_track_system_variables",
    "session_track_transaction_info",
})  # fmt: skip

OURS: Final = "multiwriter_"
"""What the names of the proxy's own variables begin with."""

# Both names of each are in use: MySQL has the first, MariaDB before 11.1 the second.
ISOLATION_VARIABLES: Final = frozenset({"transaction_isolation", "tx_isolation"})
ACCESS_VARIABLES: Final = frozenset({"transaction_read_only", "tx_read_only"})

LEVELS: Final = {
    "0": "READ UNCOMMITTED", "READ-UNCOMMITTED": "READ UNCOMMITTED",
    "1": "READ COMMITTED", "READ-COMMITTED": "READ COMMITTED",
    "2": "REPEATABLE READ", "REPEATABLE-READ": "REPEATABLE READ",
    "3": "SERIALIZABLE", "SERIALIZABLE": "SERIALIZABLE",
}  # fmt: skip

# What setting one of them sets as well, so that its former value is gone.
_OVERWRITES: Final = {
    NAMES: ("character_set_client", "character_set_connection", "character_set_results", "collation_connection"),
    "character_set_connection": ("collation_connection",),
    "collation_connection": ("character_set_connection",),
}

# What the collation of a string depends on, and its characters.
CONTEXT: Final = frozenset({
    NAMES, "character_set_client", "character_set_connection", "collation_connection",
})  # fmt: skip

MOST_USER_VARIABLES: Final = 64
"""A session carries no more: each is set again on each backend that it comes to."""

_NULL: Final = "NULL"

_FOREIGN_MODES: Final = frozenset({"ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"})


def carry(state: dict[str, str], carries: Iterable[tuple[str, str]]) -> None:
    """Take what a successful SET left into `state`, which stays in the order in which it has to be set again."""
    for name, value in carries:
        if name.startswith("@") and value == _NULL:
            state[name] = _null(name, state.pop(name, None))
            continue
        if state.get(name) == value and not any(other in state for other in _OVERWRITES.get(name, ())):
            continue
        for other in _OVERWRITES.get(name, ()):
            state.pop(other, None)
        state.pop(name, None)
        state[name] = value


def _null(name: str, before: str | None) -> str:
    """The value of a user variable that was set to NULL: it keeps the type that it had."""
    if before is None or before == _NULL or before.endswith("=NULL"):
        return before or _NULL
    return f"{before},{assigned(name)}=NULL"


def assigned(name: str) -> str:
    """A user variable as SQL."""
    return f"@`{name[1:]}`"


def is_string(value: str) -> bool:
    """Is the value of a user variable a string whose collation is the connection's?"""
    return value.startswith("'")


def portable(state: Iterable[tuple[str, str]]) -> bool:
    """Can these be set again elsewhere? Not where the collation of a string in a user variable is no longer that of the
    connection, nor where there are too many of them.
    """
    strings = count = 0
    for name, value in state:
        if name.startswith("@"):
            count += 1
            strings += is_string(value)
        elif strings and name in CONTEXT:
            return False
    return count <= MOST_USER_VARIABLES


def needs_reset(have: Mapping[str, str], want: Mapping[str, str]) -> bool:
    """Only a reset leads there: back to a default, which only the server knows, or to a user variable without type."""
    if have.keys() - want.keys():
        return True
    return any(value == _NULL and have.get(name, _NULL) != _NULL for name, value in want.items() if name[0] == "@")


def statements(state: Iterable[tuple[str, str]]) -> list[str]:
    """The SQL that sets these variables: one SET, one for each characteristic of transactions, and one for the user
    variables: strings among them are read as the first SET says.
    """
    plain: list[str] = []
    users: list[str] = []
    transactions: list[str] = []
    for name, value in state:
        if name.startswith("@"):
            users.append(f"{assigned(name)}={value}")
        elif name == NAMES:
            plain.append(f"NAMES {value}")
        elif name == ISOLATION:
            transactions.append(f"SET SESSION TRANSACTION ISOLATION LEVEL {value}")
        elif name == ACCESS:
            transactions.append(f"SET SESSION TRANSACTION {value}")
        else:
            plain.append(f"{name}={value}")
    if plain:
        transactions.insert(0, "SET " + ",".join(plain))
    if users:
        transactions.append("SET " + ",".join(users))
    return transactions


def modes_of(sql_mode: str, default: int = Modes.FOREIGN) -> int:
    """The bits of `Modes` that a value of sql_mode stands for (any case, quotes around it allowed).

    `default` is what DEFAULT stands for; a number but 0 is not told apart and counts as foreign.
    """
    words = {word.strip() for word in sql_mode.strip("'\" ").upper().split(",")}
    if words == {"DEFAULT"}:
        return default
    if words & _FOREIGN_MODES or any(word.isdigit() and word != "0" for word in words):
        return Modes.FOREIGN
    modes = 0
    if "NO_BACKSLASH_ESCAPES" in words:
        modes |= Modes.NO_BACKSLASH_ESCAPES
    if words & {"ANSI_QUOTES", "ANSI"}:
        modes |= Modes.ANSI_QUOTES
    return modes
