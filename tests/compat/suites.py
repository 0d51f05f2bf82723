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

Passed = dict[str, bool]


@dataclass(frozen=True, slots=True)
class Suite:
    """One driver's. `known` are the tests that may fail only through the proxy, with the reason."""

    name: str
    run: Callable[[int, str, Path], Passed]
    known: Mapping[str, str] = field(default_factory=dict)


def go(port: int, schema: str, directory: Path) -> Passed:
    environment = {
        "MYSQL_TEST_USER": "app",
        "MYSQL_TEST_PASS": "app",
        "MYSQL_TEST_ADDR": f"127.0.0.1:{port}",
        "MYSQL_TEST_DBNAME": schema,
        "MYSQL_TEST_CONCURRENT": "1",
    }
    said = _said([str(CACHE / "go" / "suite"), "-test.v"], directory, environment)
    found = re.findall(r"^\s*--- (PASS|FAIL): (\S+)", said, re.MULTILINE)
    return {name: verdict == "PASS" for verdict, name in found}


def mysqlclient(port: int, schema: str, directory: Path) -> Passed:
    options = directory / "options.cnf"
    account = f"host=127.0.0.1\nport={port}\nuser=app\npassword=app\ndatabase={schema}"
    options.write_text(f"[MySQLdb-tests]\n{account}\ndefault-character-set=utf8mb4\nssl-mode=DISABLED\n")
    tests, results = SUITES_DIRECTORY / "mysqlclient" / "tests", directory / "results.xml"
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tests}", f"--junitxml={results}"]
    said = _said([*command, str(tests)], directory, {"TESTDB": str(options)})
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


SUITES: Final = (
    Suite("go-sql-driver", go),
    Suite("mysqlclient", mysqlclient),
    Suite("DBD::mysql", perl("mysql")),
    Suite("DBD::MariaDB", perl("MariaDB")),
)
