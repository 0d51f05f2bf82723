"""The drivers' own test suites, run on one port: which of their tests pass. They are downloaded, and nothing of them is
kept in the project (tests/compat/prepare).
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.compat.clients import PYTHON
from tests.compat.stage import CACHE

SUITES_DIRECTORY: Final = CACHE / "suites"
SECONDS: Final = 900
COLLATION: Final = "utf8mb4_unicode_ci"
"""Of the schema: one of the suites wants it."""

DJANGO: Final = ("backends", "transactions", "transaction_hooks", "select_for_update", "introspection")
"""The parts of its suite that are about a database more than about Django."""

Passed = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Suite:
    """One driver's. `known` are the tests that may fail only through the proxy, with the reason."""

    name: str
    run: Callable[[int, str, Path], Passed]
    known: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ("galera",)
    """Of clusters that it is run on."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one suite came to: which tests ran and passed on either side.

    apart: fail only through the proxy, and only where sessions of a schema are on several nodes.
    known: fail only through the proxy for a reason that the suite has.
    """

    suite: Suite
    direct: Passed
    proxied: Passed
    apart: list[str]
    known: list[str]

    def __str__(self) -> str:
        """Cells of the table: directly, then through the proxy."""
        sides = (self.direct, self.proxied)
        return " | ".join(str(number) for side in sides for number in (len(side), sum(side.values())))


def go(port: int, schema: str, directory: Path) -> Passed:
    environment = {
        "MYSQL_TEST_USER": "app",
        "MYSQL_TEST_PASS": "app",
        "MYSQL_TEST_ADDR": f"127.0.0.1:{port}",
        "MYSQL_TEST_DBNAME": schema,
        "MYSQL_TEST_CONCURRENT": "1",
    }
    program = str(CACHE / "go" / "suite")
    named = _said([program, "-test.list", "."], directory, environment)
    names = set(re.findall(r"^Test\w+", named, re.MULTILINE)) - {"TestConnectorReturnsTimeout"}  # it calls the internet
    said = _said([program, "-test.v", "-test.run", f"^({'|'.join(sorted(names))})$"], directory, environment)
    found = re.findall(r"^\s*--- (PASS|FAIL): (\S+)", said, re.MULTILINE)
    return {name: verdict == "PASS" for verdict, name in found}


def mysqlclient(port: int, schema: str, directory: Path) -> Passed:
    options = directory / "options.cnf"
    account = f"host=127.0.0.1\nport={port}\nuser=app\npassword=app\ndatabase={schema}"
    options.write_text(f"[MySQLdb-tests]\n{account}\ndefault-character-set=utf8mb4\nssl-mode=DISABLED\n")
    return _pytest(SUITES_DIRECTORY / "mysqlclient", ["tests"], directory, {"TESTDB": str(options)})


def aiomysql(port: int, schema: str, directory: Path) -> Passed:
    """Without what is for SQLAlchemy 1."""
    environment = {"MYSQL_DB": schema, "COMPAT_USER": "app", "MYSQL_ROOT_PASSWORD": "app"}
    return _pytest(
        SUITES_DIRECTORY / "aiomysql",
        ["tests", "--ignore=tests/sa", f"--mysql-address=127.0.0.1:{port}"],
        directory,
        environment,
    )


def sqlalchemy(port: int, schema: str, directory: Path) -> Passed:
    """Its tests of this dialect; what it asks of every database takes half an hour."""
    where = f"mysql+pymysql://app:app@127.0.0.1:{port}/{schema}?charset=utf8mb4"
    tests = ["test/dialect/mysql", "--maxfail=10000", "--dburi", where]
    return _pytest(SUITES_DIRECTORY / "SQLAlchemy", tests, directory, {}, own_settings=True)


def django(port: int, schema: str, directory: Path) -> Passed:
    account = {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "127.0.0.1",
        "PORT": port,
        "USER": "app",
        "PASSWORD": "app",
    }
    databases = {
        "default": {**account, "NAME": schema, "TEST": {"NAME": f"{schema}_one"}},
        "other": {**account, "NAME": schema, "TEST": {"NAME": f"{schema}_two"}},
    }
    (directory / "of_the_run.py").write_text(
        f"DATABASES = {databases!r}\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
        "SECRET_KEY = 'none'\nUSE_TZ = False\n"
        "PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']\n"
    )
    said = _said(
        [PYTHON, "runtests.py", "--settings=of_the_run", "--parallel=1", "--noinput", "-v", "2", *DJANGO],
        SUITES_DIRECTORY / "Django" / "tests",
        {"PYTHONPATH": str(directory)},
    )
    found = re.findall(r"^(test\w+) \(([\w.]+)\)(?:\n[^\n]*?)? \.\.\. (ok|FAIL|ERROR)$", said, re.MULTILINE)
    return {name: verdict == "ok" for _, name, verdict in found}


def _pytest(
    source: Path, tests: list[str], directory: Path, environment: Mapping[str, str], *, own_settings: bool = False
) -> Passed:
    """`own_settings`: pytest's, which the suite brings along."""
    settings, results = directory / "pytest.ini", directory / "results.xml"
    settings.write_text("[pytest]\n")
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
    if not own_settings:
        command += ["-c", str(settings), f"--rootdir={source}"]
    said = _said([*command, *tests], source, environment)
    assert results.exists(), said
    cases = ET.parse(results).getroot().iter("testcase")
    return {
        f"{case.get('classname')}.{case.get('name')}": case.find("failure") is None and case.find("error") is None
        for case in cases
        if case.find("skipped") is None
    }


def perl(driver: str) -> Callable[[int, str, Path], Passed]:
    def run(port: int, schema: str, directory: Path) -> Passed:
        """A test of these is a file, whose assertions are counted together."""
        where = f"DBI:{driver}:database={schema};host=127.0.0.1;port={port}"
        environment = {"DBI_DSN": where, "DBI_USER": "app", "DBI_PASS": "app"}
        source = SUITES_DIRECTORY / f"DBD-{driver}"
        passed = {}
        for file in sorted((source / "t").glob("*.t")):
            said = _said(["perl", "-I", str(source / "t"), "-I", str(source), str(file)], source, environment)
            if not re.search(r"^1\.\.0", said, re.MULTILINE):  # left out by itself
                passed[file.name] = not re.search(r"^\s*not ok (?!.*# TODO)|^exit [1-9-]", said, re.MULTILINE)
        return passed

    return run


def _said(command: list[str], directory: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )
    sys.stdout.write(done.stdout)
    return f"{done.stdout}\nexit {done.returncode}\n"


_DEADLOCK: Final = "transactions.tests.AtomicMySQLTests.test_implicit_savepoint_rollback"
_WAITS_FOR_ITS_END: Final = "`wait_timeout` does not end a client's connection"
_GONE: Final = "tests.test_connection.test_connection_gone_away"

_BOTH: Final = ("galera", "group-replication")

SUITES: Final = (
    Suite("go-sql-driver", go, {"TestTLS": "`SHOW STATUS` tells of the connection to the node"}, _BOTH),
    Suite("mysqlclient", mysqlclient, kinds=_BOTH),
    Suite("aiomysql", aiomysql, {f"{_GONE}[{loop}-tcp0]": _WAITS_FOR_ITS_END for loop in ("asyncio", "uvloop")}),
    Suite("SQLAlchemy", sqlalchemy),
    Suite("Django", django, {_DEADLOCK: "it wants a deadlock's error, but the transaction is run again"}),
    Suite("DBD::mysql", perl("mysql"), {"rt85919-fetch-lost-connection.t": _WAITS_FOR_ITS_END}),
    Suite("DBD::MariaDB", perl("MariaDB"), {"rt85919-fetch-lost-connection.t": _WAITS_FOR_ITS_END}),
)
