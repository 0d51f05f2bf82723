"""A client of every run, as its own program sees a node and the proxy; all others are for `make compat`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.galera import Cluster
from tests.compat import stage
from tests.compat.checks import CHECKS, Malformed, Report, Result, differences
from tests.compat.clients import CLIENTS, QUICK, Client
from tests.compat.runner import Outcome, run
from tests.compat.stage import Stage
from tests.compat.suites import SUITES, Suite, Tally
from tests.compat.table import DOCUMENT, suites_table, table

NOTHING = frozenset[str]()


@pytest.fixture
def on_the_common_cluster(cluster: Cluster, tmp_path: Path) -> Iterator[Stage]:
    with stage.on(cluster, tmp_path / "stage") as made:
        yield made


@pytest.mark.parametrize("client", QUICK, ids=lambda client: client.name)
def test_a_client_sees_no_difference(client: Client, on_the_common_cluster: Stage) -> None:
    outcome = run(on_the_common_cluster, client)
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert sum(outcome.proxied.passed(name) for name in CHECKS) > 20


def report(*lines: str) -> Report:
    return Report.parse("\n".join(("version: x 1", *lines)))


def test_a_report_is_read_line_by_line() -> None:
    found = report("ok ping\t1", "not ok big\tother bytes", "none pool\tit has none")
    assert found.version == "x 1"
    assert found.results == {
        "ping": Result("ok", "1"),
        "big": Result("not ok", "other bytes"),
        "pool": Result("none", "it has none"),
    }


@pytest.mark.parametrize("line", ["ok nosuch\t1", "maybe ping\t1", "Warning: x", "ok ping\t2"])
def test_what_is_no_result_is_not_passed_over(line: str) -> None:
    with pytest.raises(Malformed):
        report("ok ping\t1", line)


def test_a_program_that_says_nothing_is_no_success() -> None:
    with pytest.raises(Malformed):
        Report.parse("")


@pytest.mark.parametrize(
    ("direct", "proxied", "lacks", "said"),
    [
        ("ok ping\t1", "ok ping\t1", NOTHING, []),
        ("ok ping\t1", "ok ping\t2", NOTHING, ["ping: saw 2\n    directly: 1"]),
        ("ok ping\t1", "not ok ping\twhy", NOTHING, ["ping: why\n    directly: ok 1"]),
        ("not ok ping\twhy", "not ok ping\twhy", NOTHING, ["ping: why\n    directly: not ok why"]),
        ("not ok ping\twhy", "ok ping\t1", NOTHING, ["ping: fails directly: why"]),
        ("not ok ping\twhy", "ok ping\t1", frozenset({"ping"}), []),
        ("not ok ping\twhy", "not ok ping\twhy", frozenset({"ping"}), ["ping: why\n    directly: not ok why"]),
        ("ok ping\t1", "", NOTHING, ["ping: told directly only"]),
        ("", "ok ping\t1", NOTHING, ["ping: told through the proxy only"]),
    ],
)
def test_what_differs(direct: str, proxied: str, lacks: frozenset[str], said: list[str]) -> None:
    assert differences(report(direct), report(proxied), lacks) == said


def test_a_client_that_no_server_takes_is_asked_through_the_proxy_alone() -> None:
    assert differences(None, report("ok ping\t1", "none pool\tnone"), NOTHING) == []
    assert differences(None, report("not ok ping\twhy"), NOTHING) == ["ping: why"]


def test_the_document_has_every_client_and_every_check() -> None:
    """As the last whole run left it: who adds a client or a check runs them."""
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `(\w+)`: (.*?) \|((?: [^|]* \|)+)$", text, re.MULTILINE)
    tables = text.count("| check |")
    assert tables > 0
    assert [(name, asks) for name, asks, _ in rows] == list(CHECKS.items()) * tables
    assert {cells.count("|") for _, _, cells in rows} == {len(CLIENTS)}
    assert "✗" not in text


def test_the_document_has_every_suite() -> None:
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    kinds = re.findall(r"^<!-- suites: (\S+) -->\n\n\| suite", text, re.MULTILINE)
    assert [name for name, *_ in rows] == [suite.name for kind in kinds for suite in SUITES if kind in suite.kinds]


def test_the_table_of_suites_tells_what_sees_several_nodes_and_what_is_known() -> None:
    suite = Suite("x", lambda *given: {}, {"t3": "it has reasons"})
    direct = {"t1": True, "t2": True, "t3": True, "t4": False}
    made = suites_table([Tally(suite, direct, {"t1": True, "t2": False, "t3": False}, ["t2"], ["t3"])])
    assert "| x | 4 | 3 | 3 | 1 |" in made
    assert "- x, in which sessions look at each other's work: `t2`." in made
    assert "- x, `t3`: it has reasons." in made


def test_the_table_tells_passed_from_missing_and_from_a_clients_own_fault() -> None:
    client = Client("x", (), {"big": "it has bugs"})
    outcome = Outcome(
        client,
        faults=client.own_faults,
        proxied=report("ok ping\t1", "none pool\tnone", "not ok big\tbug", "not ok tls\twhy"),
    )
    made = table([outcome])
    assert "1. x 1\n" in made
    cells = dict(re.findall(r"^\| `(\w+)`: .* \| (\S*) \|$", made, re.MULTILINE))
    assert (cells["ping"], cells["pool"], cells["big"], cells["tls"]) == ("✓", "–", "own", "✗")
    assert "- `big` of x: it has bugs." in made
