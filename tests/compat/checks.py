"""What is asked of every client, and how its program says what came of it.

A program prints one line a check: `ok NAME`, `not ok NAME`, or `none NAME` where the client has no such thing. Behind a
tab follow facts (what it saw, compared between two runs) or the reason. It begins with `version: ...`.
"""

from dataclasses import dataclass, field
from typing import Final

CHECKS: Final = {
    "login_native": "log in with `mysql_native_password`",
    "login_sha2": "log in with `caching_sha2_password`",
    "login_refused": "a wrong password gets error 1045",
    "tls": "encrypt the connection, with the server's certificate verified",
    "compression": "compress the connection",
    "text_types": "values of every type at their limits, NULL and zero dates, in text queries",
    "prepared_types": "the same from statements that the server prepared",
    "parameters": "values at their limits as parameters, and back",
    "unicode": "text beyond the basic plane, quotes and NUL, in statements and rows",
    "charset": "a connection in latin1",
    "big": "a parameter and a row of 20 MB",
    "autocommit": "on, off, and what it does",
    "transactions": "commit, rollback, savepoints",
    "conflicts": "three processes that increment the same row in transactions; nobody sees an error",
    "lock_wait": "a row lock that is waited for in vain: error 1205, and the transaction goes on",
    "multi_statements": "several statements in one text, an error in the middle",
    "procedures": "result sets of a procedure, and its error",
    "out_parameters": "OUT and INOUT parameters",
    "errors": "number, SQLSTATE and text of errors",
    "warnings": "their count and SHOW WARNINGS",
    "insert_id": "the last insert id, of one row and of several",
    "affected_rows": "of UPDATE, DELETE, REPLACE and what changed nothing",
    "found_rows": "rows found instead of rows changed",
    "many_statements": "forty prepared statements at once, used in turn",
    "streaming": "rows read one by one, and a result that is left half read",
    "cursor": "a cursor at the server, fetched from in parts",
    "local_infile": "LOAD DATA LOCAL",
    "kill_query": "KILL QUERY by the connection's id interrupts a statement; the connection goes on",
    "kill_connection": "KILL ends the connection; a new one works",
    "read_timeout": "the client gives up waiting; a new connection works",
    "reset": "reset the session",
    "change_user": "become another user",
    "ping": "is the connection alive",
    "pool": "the client's own pool",
    "models": "create tables, write, query, relate and change objects",
    "migrations": "change the schema by migrations, forth and back",
}
"""What each check asks, in the order of the table."""


class Malformed(Exception):
    """A program printed something else than it should."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line. `told` is what the program saw, or why it failed or has none."""

    verdict: str
    told: str


@dataclass(slots=True)
class Report:
    """What one run of one program said."""

    version: str = ""
    results: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Report":
        """Raises Malformed for a line, a check or a repetition that must not be."""
        report = cls()
        for line in text.split("\n"):  # values may have other ends of lines in them
            if not line:
                continue
            if line.startswith("version: "):
                report.version = line.removeprefix("version: ")
                continue
            head, _, told = line.partition("\t")
            verdict, _, name = head.rpartition(" ")
            if verdict not in ("ok", "not ok", "none") or name not in CHECKS or name in report.results:
                raise Malformed(f"unexpected line {line[:300]!r}")
            report.results[name] = Result(verdict, told)
        if not report.version:
            raise Malformed(f"no version in {text[:300]!r}")
        return report

    def passed(self, name: str) -> bool:
        return name in self.results and self.results[name].verdict == "ok"


def differences(direct: Report | None, proxied: Report, lacks: frozenset[str]) -> list[str]:
    """What went wrong through the proxy, or was seen otherwise than directly: a line each.

    `lacks` names the checks that this kind of server cannot pass, with or without a client's fault; the proxy can.
    No `direct`: this client cannot log in to such a server at all.
    """
    if direct is None:
        return [f"{name}: {here.told}" for name, here in proxied.results.items() if here.verdict == "not ok"]
    found: list[str] = []
    for name in sorted(direct.results.keys() | proxied.results.keys(), key=list(CHECKS).index):
        there, here = direct.results.get(name), proxied.results.get(name)
        if here is None or there is None:
            found.append(f"{name}: told {'directly' if here is None else 'through the proxy'} only")
        elif here.verdict == "not ok":
            found.append(f"{name}: {here.told}\n    directly: {there.verdict} {there.told}")
        elif there.verdict == "not ok" and name not in lacks:
            found.append(f"{name}: fails directly: {there.told}")
        elif there.verdict == here.verdict == "ok" and there.told != here.told:
            found.append(f"{name}: saw {here.told}\n    directly: {there.told}")
    return found
