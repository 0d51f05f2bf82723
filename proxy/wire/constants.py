"""The numbers of the MySQL and MariaDB client/server protocol, under the names the manuals give them.

Only numbers: what a packet looks like is in packets.py and replies.py. Sources: MySQL source documentation, pages
"Command Phase", "Capabilities Flags" and "SERVER_STATUS_flags_enum"; MariaDB knowledge base, "Client/Server Protocol".
"""

from typing import Final

# --- Commands: the first byte of what a client sends
# (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html)

COM_SLEEP: Final = 0x00
COM_QUIT: Final = 0x01
COM_INIT_DB: Final = 0x02
COM_QUERY: Final = 0x03
COM_FIELD_LIST: Final = 0x04
COM_CREATE_DB: Final = 0x05
COM_DROP_DB: Final = 0x06
COM_REFRESH: Final = 0x07
COM_SHUTDOWN: Final = 0x08
COM_STATISTICS: Final = 0x09
COM_PROCESS_INFO: Final = 0x0A
COM_CONNECT: Final = 0x0B
COM_PROCESS_KILL: Final = 0x0C
COM_DEBUG: Final = 0x0D
COM_PING: Final = 0x0E
COM_TIME: Final = 0x0F
COM_DELAYED_INSERT: Final = 0x10
COM_CHANGE_USER: Final = 0x11
COM_BINLOG_DUMP: Final = 0x12
COM_TABLE_DUMP: Final = 0x13
COM_CONNECT_OUT: Final = 0x14
COM_REGISTER_SLAVE: Final = 0x15
COM_STMT_PREPARE: Final = 0x16
COM_STMT_EXECUTE: Final = 0x17
COM_STMT_SEND_LONG_DATA: Final = 0x18
COM_STMT_CLOSE: Final = 0x19
COM_STMT_RESET: Final = 0x1A
COM_SET_OPTION: Final = 0x1B
COM_STMT_FETCH: Final = 0x1C
COM_DAEMON: Final = 0x1D
COM_BINLOG_DUMP_GTID: Final = 0x1E
COM_RESET_CONNECTION: Final = 0x1F
COM_CLONE: Final = 0x20
COM_STMT_BULK_EXECUTE: Final = 0xFA  # MariaDB only

COMMAND_NAMES: Final[dict[int, str]] = {
    COM_SLEEP: "COM_SLEEP",
    COM_QUIT: "COM_QUIT",
    COM_INIT_DB: "COM_INIT_DB",
    COM_QUERY: "COM_QUERY",
    COM_FIELD_LIST: "COM_FIELD_LIST",
    COM_CREATE_DB: "COM_CREATE_DB",
    COM_DROP_DB: "COM_DROP_DB",
    COM_REFRESH: "COM_REFRESH",
    COM_SHUTDOWN: "COM_SHUTDOWN",
    COM_STATISTICS: "COM_STATISTICS",
    COM_PROCESS_INFO: "COM_PROCESS_INFO",
    COM_CONNECT: "COM_CONNECT",
    COM_PROCESS_KILL: "COM_PROCESS_KILL",
    COM_DEBUG: "COM_DEBUG",
    COM_PING: "COM_PING",
    COM_TIME: "COM_TIME",
    COM_DELAYED_INSERT: "COM_DELAYED_INSERT",
    COM_CHANGE_USER: "COM_CHANGE_USER",
    COM_BINLOG_DUMP: "COM_BINLOG_DUMP",
    COM_TABLE_DUMP: "COM_TABLE_DUMP",
    COM_CONNECT_OUT: "COM_CONNECT_OUT",
    COM_REGISTER_SLAVE: "COM_REGISTER_SLAVE",
    COM_STMT_PREPARE: "COM_STMT_PREPARE",
    COM_STMT_EXECUTE: "COM_STMT_EXECUTE",
    COM_STMT_SEND_LONG_DATA: "COM_STMT_SEND_LONG_DATA",
    COM_STMT_CLOSE: "COM_STMT_CLOSE",
    COM_STMT_RESET: "COM_STMT_RESET",
    COM_SET_OPTION: "COM_SET_OPTION",
    COM_STMT_FETCH: "COM_STMT_FETCH",
    COM_DAEMON: "COM_DAEMON",
    COM_BINLOG_DUMP_GTID: "COM_BINLOG_DUMP_GTID",
    COM_RESET_CONNECTION: "COM_RESET_CONNECTION",
    COM_CLONE: "COM_CLONE",
    COM_STMT_BULK_EXECUTE: "COM_STMT_BULK_EXECUTE",
}

# --- Capabilities: what both sides must agree on
# (https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html)

CLIENT_LONG_PASSWORD: Final = 1 << 0
CLIENT_MYSQL: Final = 1 << 0  # MariaDB's name for the same bit: a server that leaves it out speaks MariaDB's extensions
CLIENT_FOUND_ROWS: Final = 1 << 1
CLIENT_LONG_FLAG: Final = 1 << 2
CLIENT_CONNECT_WITH_DB: Final = 1 << 3
CLIENT_NO_SCHEMA: Final = 1 << 4
CLIENT_COMPRESS: Final = 1 << 5
CLIENT_ODBC: Final = 1 << 6
CLIENT_LOCAL_FILES: Final = 1 << 7
CLIENT_IGNORE_SPACE: Final = 1 << 8
CLIENT_PROTOCOL_41: Final = 1 << 9
CLIENT_INTERACTIVE: Final = 1 << 10
CLIENT_SSL: Final = 1 << 11
CLIENT_IGNORE_SIGPIPE: Final = 1 << 12
CLIENT_TRANSACTIONS: Final = 1 << 13
CLIENT_RESERVED: Final = 1 << 14
CLIENT_SECURE_CONNECTION: Final = 1 << 15
CLIENT_MULTI_STATEMENTS: Final = 1 << 16
CLIENT_MULTI_RESULTS: Final = 1 << 17
CLIENT_PS_MULTI_RESULTS: Final = 1 << 18
CLIENT_PLUGIN_AUTH: Final = 1 << 19
CLIENT_CONNECT_ATTRS: Final = 1 << 20
CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA: Final = 1 << 21
CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS: Final = 1 << 22
CLIENT_SESSION_TRACK: Final = 1 << 23
CLIENT_DEPRECATE_EOF: Final = 1 << 24
CLIENT_OPTIONAL_RESULTSET_METADATA: Final = 1 << 25
CLIENT_ZSTD_COMPRESSION_ALGORITHM: Final = 1 << 26
CLIENT_QUERY_ATTRIBUTES: Final = 1 << 27
CLIENT_MULTI_FACTOR_AUTHENTICATION: Final = 1 << 28
CLIENT_CAPABILITY_EXTENSION: Final = 1 << 29
CLIENT_SSL_VERIFY_SERVER_CERT: Final = 1 << 30
CLIENT_REMEMBER_OPTIONS: Final = 1 << 31

# MariaDB's extended capabilities travel as 32 bits of their own, in the filler of the greeting and of the response;
# here they are shifted above MySQL's (https://mariadb.com/kb/en/connection/#capabilities).
MARIADB_CLIENT_PROGRESS: Final = 1 << 32
MARIADB_CLIENT_COM_MULTI: Final = 1 << 33
MARIADB_CLIENT_STMT_BULK_OPERATIONS: Final = 1 << 34
MARIADB_CLIENT_EXTENDED_METADATA: Final = 1 << 35
MARIADB_CLIENT_CACHE_METADATA: Final = 1 << 36
MARIADB_CLIENT_BULK_UNIT_RESULTS: Final = 1 << 37

# --- Server status: in every OK and EOF packet
# (https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html)

SERVER_STATUS_IN_TRANS: Final = 0x0001
SERVER_STATUS_AUTOCOMMIT: Final = 0x0002
SERVER_MORE_RESULTS_EXISTS: Final = 0x0008
SERVER_QUERY_NO_GOOD_INDEX_USED: Final = 0x0010
SERVER_QUERY_NO_INDEX_USED: Final = 0x0020
SERVER_STATUS_CURSOR_EXISTS: Final = 0x0040
SERVER_STATUS_LAST_ROW_SENT: Final = 0x0080
SERVER_STATUS_DB_DROPPED: Final = 0x0100
SERVER_STATUS_NO_BACKSLASH_ESCAPES: Final = 0x0200
SERVER_STATUS_METADATA_CHANGED: Final = 0x0400
SERVER_QUERY_WAS_SLOW: Final = 0x0800
SERVER_PS_OUT_PARAMS: Final = 0x1000
SERVER_STATUS_IN_TRANS_READONLY: Final = 0x2000
SERVER_SESSION_STATE_CHANGED: Final = 0x4000
SERVER_STATUS_ANSI_QUOTES: Final = 0x8000  # MariaDB only

# --- Session tracking: the kinds of change an OK packet reports
# (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html)

SESSION_TRACK_SYSTEM_VARIABLES: Final = 0x00
SESSION_TRACK_SCHEMA: Final = 0x01
SESSION_TRACK_STATE_CHANGE: Final = 0x02
SESSION_TRACK_GTIDS: Final = 0x03
SESSION_TRACK_TRANSACTION_CHARACTERISTICS: Final = 0x04
SESSION_TRACK_TRANSACTION_STATE: Final = 0x05

# --- First bytes that tell one packet of a reply from another

OK_HEADER: Final = 0x00
LOCAL_INFILE_HEADER: Final = 0xFB
EOF_HEADER: Final = 0xFE
ERR_HEADER: Final = 0xFF

# --- COM_SET_OPTION's options (https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html)

MYSQL_OPTION_MULTI_STATEMENTS_ON: Final = 0
MYSQL_OPTION_MULTI_STATEMENTS_OFF: Final = 1

# --- COM_STMT_EXECUTE's flags (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html)

CURSOR_TYPE_NO_CURSOR: Final = 0x00
CURSOR_TYPE_READ_ONLY: Final = 0x01
CURSOR_TYPE_FOR_UPDATE: Final = 0x02
CURSOR_TYPE_SCROLLABLE: Final = 0x04
PARAMETER_COUNT_AVAILABLE: Final = 0x08

# --- COM_STMT_BULK_EXECUTE's flags (https://mariadb.com/kb/en/com_stmt_bulk_execute/)

SEND_UNIT_RESULTS: Final = 0x40
SEND_TYPES_TO_SERVER: Final = 0x80

# --- Types of parameters, where a value's length depends on them
# (https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html)

MYSQL_TYPE_TINY: Final = 0x01
MYSQL_TYPE_SHORT: Final = 0x02
MYSQL_TYPE_LONG: Final = 0x03
MYSQL_TYPE_FLOAT: Final = 0x04
MYSQL_TYPE_DOUBLE: Final = 0x05
MYSQL_TYPE_NULL: Final = 0x06
MYSQL_TYPE_TIMESTAMP: Final = 0x07
MYSQL_TYPE_LONGLONG: Final = 0x08
MYSQL_TYPE_INT24: Final = 0x09
MYSQL_TYPE_DATE: Final = 0x0A
MYSQL_TYPE_TIME: Final = 0x0B
MYSQL_TYPE_DATETIME: Final = 0x0C
MYSQL_TYPE_YEAR: Final = 0x0D
MYSQL_TYPE_BOOL: Final = 0xF4
