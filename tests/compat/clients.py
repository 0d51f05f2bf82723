"""The clients whose programs are run, and which checks they fail by themselves, with and without the proxy."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.compat.stage import CACHE, PROGRAMS

PYTHON: Final = str(CACHE / "venv" / "bin" / "python")
JAVA: Final = f"/usr/share/java/mariadb-java-client.jar:{CACHE / 'java'}"


@dataclass(frozen=True, slots=True)
class Client:
    """A program's command; with `increments NAME` behind it, it does its part of the check `conflicts`."""

    name: str
    command: tuple[str, ...]
    own_faults: Mapping[str, str] = field(default_factory=dict)
    """Checks that fail directly, too, by a fault of the client's, and which it is."""
    differs: Mapping[str, str] = field(default_factory=dict)
    """Checks in which the proxy is known to differ, and how."""


def python(name: str, program: str, *arguments: str, own_faults: Mapping[str, str] | None = None) -> Client:
    return Client(name, (PYTHON, str(PROGRAMS / program), *arguments), own_faults or {})


OTHER_NODES: Final = {
    "lock_wait": "what it sets at login binds a session to its node, so two may lock a row on two nodes"
}

NO_METADATA: Final = "JSON comes as text, since MariaDB's extended metadata are not offered"

CLIENTS: Final = (
    python("mariadb", "cli.py", "mariadb", "mariadb"),
    python("PyMySQL", "dbapi.py", "pymysql"),
    python("mysqlclient", "dbapi.py", "mysqlclient"),
    python("Connector/Python, C", "dbapi.py", "connector_c"),
    python(
        "Connector/Python",
        "dbapi.py",
        "connector_pure",
        own_faults={"prepared_types": "it cannot read a binary zero date"},
    ),
    python(
        "aiomysql",
        "aio.py",
        "aiomysql",
        own_faults={
            "parameters": "it cannot write bytes with this PyMySQL",
            "big": "it cannot write bytes with this PyMySQL",
        },
    ),
    python(
        "asyncmy",
        "aio.py",
        "asyncmy",
        own_faults={
            "big": "it does not find a row of more than 16 MB",
            "local_infile": "it mistakes the type of the file's name",
        },
    ),
    python("SQLAlchemy", "alchemy.py"),
    python("Django", "django_library.py"),
    Client("mysql (Node.js)", ("node", str(PROGRAMS / "node" / "compat.js"), "mysql")),
    Client(
        "mysql2 (Node.js)",
        ("node", str(PROGRAMS / "node" / "compat.js"), "mysql2"),
        differs=dict.fromkeys(("text_types", "prepared_types"), NO_METADATA),
    ),
    Client("mysqli (PHP)", ("php", "-d", "mysqli.allow_local_infile=1", str(PROGRAMS / "mysqli.php"))),
    Client("PDO (PHP)", ("php", str(PROGRAMS / "pdo.php"))),
    Client(
        "DBD::mysql",
        ("perl", str(PROGRAMS / "dbi.pl"), "mysql"),
        {"tls": "as the distribution builds it, it cannot insist on TLS"},
    ),
    Client(
        "DBD::MariaDB",
        ("perl", str(PROGRAMS / "dbi.pl"), "MariaDB"),
        {"streaming": "it reads no rows unbuffered in this way"},
        OTHER_NODES,
    ),
    Client("mysql2 (Ruby)", ("ruby", str(PROGRAMS / "mysql2.rb"))),
    Client("go-sql-driver", (str(CACHE / "go" / "compat"),)),
    Client("Connector/J (MariaDB)", ("java", "-cp", JAVA, "Compat"), differs=OTHER_NODES),
)
"""Those that every run has. MySQL's own command line client is added where it is installed."""

QUICK: Final = (Client("PyMySQL", (sys.executable, str(PROGRAMS / "dbapi.py"), "pymysql")),)
"""Whose driver the development environment has."""


def mysql_command(program: Path | str) -> Client:
    """MySQL's command line client, `program` being how it is started."""
    return python("mysql", "cli.py", str(program), "mysql")
