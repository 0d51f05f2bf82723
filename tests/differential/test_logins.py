"""What drivers and frameworks say when they have logged in: nothing of it may bind the session to its node.

Each is taken from the library's own source, in the version that its name says or the newest.
"""

import pytest

from proxy.wire import constants as c
from router.variables import CARRIED, UNTOLD
from tests.differential.runner import Runner
from tests.differential.test_kept import NEW_EOF, TRACKS, said
from tests.support.moving import MovingProxy

pytestmark = pytest.mark.only("galera")

CONNECTOR_J = TRACKS | NEW_EOF
STRICT = "sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')"
REPLACED = (
    "REPLACE(REPLACE(REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', ''), 'STRICT_ALL_TABLES', ''), 'TRADITIONAL', '')"
)

LOGINS: dict[str, tuple[str, ...]] = {
    "MariaDB Connector/J 2": (
        f"set autocommit=1, session_track_schema=1, {STRICT}",
        "SELECT @@max_allowed_packet,@@system_time_zone,@@time_zone,@@auto_increment_increment",
    ),
    "MariaDB Connector/J 2, batches rewritten": (
        "set autocommit=1, session_track_schema=1, session_track_system_variables='auto_increment_increment' , "
        f"{STRICT}",
    ),
    "MariaDB Connector/J 3": (
        "set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'),session_track_system_variables = "
        "CONCAT(@@global.session_track_system_variables,',tx_isolation,auto_increment_increment'),autocommit=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    ),
    "MariaDB Connector/ODBC": (
        "SET session_track_schema=1,session_track_system_variables='auto_increment_increment,tx_isolation'",
        "SET SQL_AUTO_IS_NULL=0",
    ),
    "MariaDB R2DBC": (
        "SET autocommit=1,tx_isolation='REPEATABLE-READ',session_track_schema=1,"
        "session_track_system_variables='autocommit,tx_isolation'",
    ),
    "MySQL Connector/J": (
        "/* mysql-connector-j */SELECT  @@session.auto_increment_increment AS auto_increment_increment, "
        "@@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, "
        "@@character_set_results AS character_set_results, @@collation_server AS collation_server, "
        "@@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, "
        "@@lower_case_table_names AS lower_case_table_names, @@net_write_timeout AS net_write_timeout, "
        "@@sql_mode AS sql_mode, @@time_zone AS time_zone, @@tx_isolation AS transaction_isolation, "
        "@@wait_timeout AS wait_timeout",
        "SET character_set_results = NULL",
        "SET autocommit=1",
        "SET sql_mode='NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES'",
        "SET SESSION TRANSACTION READ ONLY",
        "SET SESSION TRANSACTION READ WRITE",
    ),
    "DBD::MariaDB": (
        "SET NAMES 'utf8mb4'",
        "SET character_set_server = 'utf8mb4'",
        "SET collation_connection = 'utf8mb4_unicode_ci'",
        "SET collation_server = 'utf8mb4_unicode_ci'",
    ),
    "DBD::mysql": ("SET NAMES utf8mb4", "SET AUTOCOMMIT=1"),
    "mysql-connector-python": (
        "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'",
        "SET @@session.autocommit = OFF",
        "SET @@session.time_zone = '+00:00'",
        "SET @@session.sql_mode = 'TRADITIONAL'",
    ),
    "PyMySQL": ("SET NAMES utf8mb4", "SET AUTOCOMMIT = 0"),
    "Django": (
        "SET SQL_AUTO_IS_NULL = 0",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET sql_mode='STRICT_TRANS_TABLES'",
        "SET foreign_key_checks=0",
        "SET foreign_key_checks=1",
    ),
    "SQLAlchemy": (
        "SELECT @@tx_isolation",
        "SELECT DATABASE()",
        "SELECT @@sql_mode",
        "SELECT @@lower_case_table_names",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "COMMIT",
    ),
    "Rails, strict": (
        "SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
        "',NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483",
    ),
    "Rails, not strict": (
        f"SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT({REPLACED}, ',NO_AUTO_VALUE_ON_ZERO'),  "
        "@@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483",
    ),
    "sqlx": (
        "SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')),time_zone='+00:00',"
        "NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;",
    ),
    "Diesel": (
        "SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT'))",
        "SET time_zone = '+00:00';",
        "SET character_set_client = 'utf8mb4'",
        "SET character_set_connection = 'utf8mb4'",
        "SET character_set_results = 'utf8mb4'",
    ),
    "Laravel": (
        "use `{one}`;",
        "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci', SESSION sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,"
        "NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
        'set time_zone="+00:00"',
    ),
    "CodeIgniter": (
        'SET SESSION sql_mode = CONCAT(@@sql_mode, ",", "STRICT_ALL_TABLES")',
        "SET SESSION sql_mode =\r\n\tREPLACE(REPLACE(@@sql_mode,\r\n\t\"STRICT_ALL_TABLES,\", \"\"),\r\n\t\","
        "STRICT_ALL_TABLES\", \"\")",
    ),
    "WordPress": (
        "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci",
        "SELECT @@SESSION.sql_mode",
        "SET SESSION sql_mode='ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION'",
    ),
    "Drupal": ("SET NAMES utf8mb4", "SET SESSION sql_mode = 'ANSI,TRADITIONAL'"),
    "Moodle": ("SET SESSION sql_mode = 'STRICT_ALL_TABLES'", "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci"),
    "MediaWiki": ("SET group_concat_max_len = 262144,sql_mode = '',SQL_BIG_SELECTS=1",),
    "phpMyAdmin": (
        "SET collation_connection = 'utf8mb4_unicode_ci'",
        "SET lc_messages = 'de_DE'",
        "SET SESSION innodb_strict_mode = 0",
    ),
    "go-sql-driver": ("SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "SET time_zone = '%2B00:00'", "SET autocommit=1"),
    "old programs": ("SET CHARACTER SET utf8", "SET CHARSET 'latin1'", "SET timestamp=DEFAULT"),
    "dumps": (
        "/*!40100 SET @@SQL_MODE='' */",
        "/*!40103 SET TIME_ZONE='+00:00' */",
        "SET SESSION NET_READ_TIMEOUT= 86400, SESSION NET_WRITE_TIMEOUT= 86400",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SQL_QUOTE_SHOW_CREATE=1",
        "set session character_set_results = 'binary'",
    ),
}  # fmt: skip

STATE = (
    "SELECT @@sql_mode, @@time_zone, @@autocommit, @@tx_isolation, @@tx_read_only",
    "SELECT @@character_set_client, @@character_set_results, @@collation_connection, @@collation_server",
    "SELECT @@session_track_schema, @@session_track_system_variables, @@wait_timeout, @@lc_messages",
    "SELECT COLLATION('x'), 'a' 'b', NOW() > '2009-01-01'",
    "SHOW WARNINGS",
)


@pytest.mark.parametrize("library", LOGINS)
@pytest.mark.parametrize("capabilities", [CONNECTOR_J, c.CLIENT_FOUND_ROWS], ids=["tracking", "plain"])
def test_a_login_binds_nothing(library: str, capabilities: int, runner: Runner, moving_proxy: MovingProxy) -> None:
    before = moving_proxy.metrics().total("multiwriter_pins_total")
    conversation = said(*LOGINS[library], *STATE, *STATE, capabilities=capabilities)
    for difference in runner.run([conversation], 0):
        raise AssertionError(str(difference))
    assert moving_proxy.metrics().total("multiwriter_pins_total") == before


def test_every_variable_can_be_set_again_as_the_node_tells_it(runner: Runner, moving_proxy: MovingProxy) -> None:
    names = sorted(CARRIED - UNTOLD)
    sets = tuple(f"SET SESSION {name} = @@session.{name}" for name in names)
    before = moving_proxy.metrics().total("multiwriter_pins_total")
    for difference in runner.run([said(*sets, *(f"SELECT @@session.{name}" for name in names))], 0):
        raise AssertionError(str(difference))
    assert moving_proxy.metrics().total("multiwriter_pins_total") == before
