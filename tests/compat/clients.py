"""The clients whose programs are run, and which checks they fail by themselves, with and without the proxy."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.compat.stage import CACHE, MYSQL, NATIVE, PROGRAMS, SHA2

PYTHON: Final = str(CACHE / "venv" / "bin" / "python")
JAVA: Final = f"/usr/share/java/mariadb-java-client.jar:{CACHE / 'java'}"


@dataclass(frozen=True, slots=True)
class Client:
    """A program's command; with `increments NAME` behind it, it does its part of the check `conflicts`."""

    name: str
    command: tuple[str, ...]
    own_faults: Mapping[str, str] = field(default_factory=dict)
    """Checks that fail directly, too, by a fault of the client's, and which it is."""
    faults_at: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The same, of one kind of cluster alone."""
    only: str = ""
    """The plugin that it knows no other of: to servers without that only the proxy leads."""

    def faults(self, kind: str) -> dict[str, str]:
        return {**self.own_faults, **self.faults_at.get(kind, {})}


def python(name: str, program: str, *arguments: str, own_faults: Mapping[str, str] | None = None) -> Client:
    return Client(name, (PYTHON, str(PROGRAMS / program), *arguments), own_faults or {})


CLIENTS: Final = (
    python("mariadb", "cli.py", "mariadb", "mariadb"),
    Client("mysql", (PYTHON, str(PROGRAMS / "cli.py"), str(MYSQL / "bin" / "mysql"), "mysql"), only=SHA2),
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
    Client(
        "mysql (Node.js)",
        ("node", str(PROGRAMS / "node" / "compat.js"), "mysql"),
        faults_at={"group-replication": {"change_user": "it knows no plugin that the other account could have"}},
        only=NATIVE,
    ),
    Client("mysql2 (Node.js)", ("node", str(PROGRAMS / "node" / "compat.js"), "mysql2")),
    Client(
        "mariadb (Node.js)",
        ("node", str(PROGRAMS / "node" / "compat.js"), "mariadb"),
        faults_at={"group-replication": {"change_user": "it changes users at MariaDB only"}},
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
    ),
    Client("mysql2 (Ruby)", ("ruby", str(PROGRAMS / "mysql2.rb"))),
    Client("go-sql-driver", (str(CACHE / "go" / "compat"),)),
    Client(
        "Connector/J (MariaDB)",
        ("java", "-cp", JAVA, "Compat"),
        faults_at={
            "group-replication": {
                "reset": "it resets sessions of MariaDB only",
                "pool": "it resets sessions of MariaDB only",
            }
        },
    ),
)

QUICK: Final = (Client("PyMySQL", (sys.executable, str(PROGRAMS / "dbapi.py"), "pymysql")),)
"""Whose driver the development environment has."""
