"""Session variables that are carried: set again, from the literal that the client gave or the server told, on the next
backend.

It must not know how a SET is read. A variable that is not listed here pins the session to its backend.
Source: "Server System Variables" in the MySQL and MariaDB manuals (scope Session, no privilege needed).
"""

import re
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
    "character_set_server", "collation_server", "character_set_filesystem", "old_mode", "old_passwords",
    "max_sp_recursion_depth", "default_regex_flags", "sql_if_exists", "standard_compliant_cte",
    "max_points_in_geometry", "windowing_use_high_precision", "generated_random_password_length",
    "restrict_fk_on_non_standard_key",
    # how a table is made or changed
    "alter_algorithm", "old_alter_table", "keep_files_on_create", "innodb_strict_mode", "innodb_compression_default",
    "innodb_default_encryption_key_id", "innodb_ddl_buffer_size", "innodb_ddl_threads", "innodb_parallel_read_threads",
    "innodb_ft_enable_stopword", "innodb_ft_user_stopword_table", "innodb_table_locks", "column_compression_threshold",
    "column_compression_zlib_level", "column_compression_zlib_strategy", "column_compression_zlib_wrap",
    "system_versioning_alter_history", "system_versioning_insert_history", "histogram_size", "histogram_type",
    "analyze_max_length", "analyze_sample_percentage", "aria_repair_threads", "aria_sort_buffer_size",
    "aria_stats_method", "myisam_repair_threads", "myisam_sort_buffer_size", "myisam_stats_method",
    "bulk_insert_buffer_size",
    # what is said about it
    "session_track_schema", "session_track_state_change", "session_track_system_variables",
    "lc_messages", "sql_notes", "sql_warnings", "max_error_count", "note_verbosity", "end_markers_in_json",
    "explain_format", "explain_json_format_version", "print_identified_with_as_hex", "show_create_table_verbosity",
    "show_create_table_skip_secondary_engine", "show_gipk_in_create_table_and_information_schema",
    "slow_query_log", "log_queries_not_using_indexes", "log_slow_admin_statements", "log_slow_disabled_statements",
    "log_slow_filter", "log_slow_max_warnings", "log_slow_min_examined_row_limit", "log_slow_query",
    "log_slow_query_time", "log_slow_rate_limit", "log_slow_verbosity", "log_warnings", "min_examined_row_limit",
    "progress_report_time",
    # how long it may take
    "lock_wait_timeout", "innodb_lock_wait_timeout", "max_statement_time", "max_execution_time", "wait_timeout",
    "interactive_timeout", "net_read_timeout", "net_write_timeout", "net_retry_count", "long_query_time",
    "idle_transaction_timeout", "idle_readonly_transaction_timeout", "idle_write_transaction_timeout",
    "wsrep_retry_autocommit",
    # how it is planned
    "optimizer_switch", "optimizer_search_depth", "optimizer_prune_level", "eq_range_index_dive_limit",
    "join_buffer_size", "sort_buffer_size", "read_buffer_size", "read_rnd_buffer_size", "tmp_table_size",
    "max_heap_table_size", "max_length_for_sort_data", "max_seeks_for_key", "join_cache_level", "query_cache_type",
    "optimizer_use_condition_selectivity", "use_stat_tables", "range_alloc_block_size", "expensive_subquery_limit",
    "in_predicate_conversion_threshold", "join_buffer_space_limit", "mrr_buffer_size", "max_rowid_filter_size",
    "max_session_mem_used", "max_tmp_tables", "big_tables", "internal_tmp_mem_storage_engine", "sql_buffer_result",
    "optimizer_adjust_secondary_key_costs", "optimizer_extra_pruning_depth", "optimizer_join_limit_pref_ratio",
    "optimizer_max_sel_args", "optimizer_max_sel_arg_weight", "optimizer_selectivity_sampling_limit",
    "optimizer_max_subgraph_pairs", "parser_max_mem_size", "preload_buffer_size", "query_alloc_block_size",
    "query_prealloc_size", "query_cache_strip_comments", "query_cache_wlock_invalidate", "range_optimizer_max_mem_size",
    "rowid_merge_buff_size", "select_into_buffer_size", "select_into_disk_sync", "select_into_disk_sync_delay",
    "set_operations_buffer_size", "thread_pool_priority", "tmp_disk_table_size", "tmp_memory_table_size",
    "transaction_alloc_block_size", "transaction_prealloc_size", "use_secondary_engine",
})  # fmt: skip

# Other names of carried variables.
ALIASES: Final = {"storage_engine": "default_storage_engine"}

# Of these the server does not tell what they were set to: one that follows the clock is told as the time.
UNTOLD: Final = frozenset({"timestamp"})

# What is asked for in place of one that another decides.
ASKED: Final = {"character_set_connection": "collation_connection", "character_set_server": "collation_server"}

# What SET CHARACTER SET sets.
OF_CHARACTER_SET: Final = ("character_set_client", "character_set_results", "collation_connection")

# What these report is in the OK to a BEGIN or a COMMIT, too, which may be the proxy's own.
TRACKING: Final = frozenset({"session_track_gtids", "session_track_transaction_info"})

COMPLETION: Final = "completion_type"
"""What COMMIT and ROLLBACK do that do not say it. It is not carried, but known."""

_COMPLETIONS: Final = {"0": "0", "NO_CHAIN": "0", "1": "1", "CHAIN": "1", "2": "2", "RELEASE": "2"}

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
    "character_set_server": ("collation_server",),
    "collation_server": ("character_set_server",),
}

# What the collation of a string depends on, and its characters.
CONTEXT: Final = frozenset({
    NAMES, "character_set_client", "character_set_connection", "collation_connection",
})  # fmt: skip

# Behind these another statement in the same text is read differently, or belongs to another transaction.
BEFORE_OTHERS: Final = CONTEXT | frozenset({
    "sql_mode", "old_mode", "autocommit", COMPLETION, ISOLATION, ACCESS, *ISOLATION_VARIABLES, *ACCESS_VARIABLES,
})  # fmt: skip

MOST_USER_VARIABLES: Final = 64
"""A session carries no more: each is set again on each backend that it comes to."""

_NULL: Final = "NULL"

_FOREIGN_MODES: Final = frozenset({"ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"})


_OFF: Final = frozenset({"0", "OFF", "FALSE"})
_ON: Final = frozenset({"1", "ON", "TRUE"})
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def is_carried(name: str) -> bool:
    """Can a value of this variable be set again elsewhere?"""
    return name in CARRIED or name in ISOLATION_VARIABLES or name in ACCESS_VARIABLES


def carried(name: str, value: str) -> tuple[str, str] | None:
    """Under which name, and as which SQL, a value of the variable is carried: `value` is SQL of a literal. None: it
    can't be.
    """
    plain = value.strip("'").upper()
    if name == "autocommit":
        return (name, "0") if plain in _OFF else (name, "1") if plain in _ON else None
    if name in ISOLATION_VARIABLES:
        level = LEVELS.get(plain)
        return (ISOLATION, level) if level is not None else None
    if name in ACCESS_VARIABLES:
        return (ACCESS, "READ WRITE") if plain in _OFF else (ACCESS, "READ ONLY") if plain in _ON else None
    if name == COMPLETION:
        completion = _COMPLETIONS.get(plain)
        return (name, completion) if completion is not None else None
    if name == "sql_mode" and plain == "DEFAULT":
        return None  # how texts are to be read then, only the server can tell
    if name == "sql_auto_is_null" and plain not in _OFF and plain != "DEFAULT":
        return None  # IS NULL would ask for the last insert id
    if name == "session_track_system_variables" and "*" in plain:
        return None  # among them is what differs by connection
    return name, value


def releases(values: Mapping[str, str]) -> bool:
    """Does COMMIT end the connection, too?"""
    return values.get(COMPLETION) == "2"


def question(learns: Iterable[tuple[str, str | None]]) -> str:
    """The SQL that asks for the values of a `Statement.learns`, as bytes in no character set, and in a row whatever the
    session's limit of rows.
    """
    asked = ",".join(f"CAST(@@session.{name} AS BINARY)" for name, value in learns if value is None)
    return f"SELECT {asked} LIMIT 1"


def learned(
    learns: Iterable[tuple[str, str | None]], told: Iterable[str | None]
) -> tuple[tuple[tuple[str, str], ...], bool]:
    """What is carried after the server has answered the question with these values, and whether that is all of it.
    Without an answer it is not.
    """
    found: list[tuple[str, str]] = []
    whole = True
    answers = iter(told)
    for name, value in learns:
        if value is not None:
            found.append((name, value))
            continue
        answer = literal(next(answers, "'"))
        pair = carried(name, answer) if answer is not None else None
        if pair is not None:
            found.append(pair)
        else:
            whole = False
    return tuple(found), whole


def literal(value: str | None) -> str | None:
    """SQL of a value that the server told, that means the same under every sql_mode and character set; None if there is
    none.
    """
    if value is None:
        return _NULL
    if _NUMBER.fullmatch(value):
        return value
    if not value.isascii() or not value.isprintable() or any(mark in value for mark in "'\"`\\"):
        return None
    return f"'{value}'"


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


def modes_of(sql_mode: str) -> int:
    """The bits of `Modes` that a value of sql_mode stands for (any case, quotes around it allowed). A number but 0 is
    not told apart and counts as foreign.
    """
    words = {word.strip() for word in sql_mode.strip("'\" ").upper().split(",")}
    if words & _FOREIGN_MODES or any(word.isdigit() and word != "0" for word in words):
        return Modes.FOREIGN
    modes = 0
    if "NO_BACKSLASH_ESCAPES" in words:
        modes |= Modes.NO_BACKSLASH_ESCAPES
    if words & {"ANSI_QUOTES", "ANSI"}:
        modes |= Modes.ANSI_QUOTES
    return modes
