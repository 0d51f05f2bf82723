"""The benchmark runs, and what it writes has the form that its readers expect. Nothing here looks at how fast."""

import json
import os
from configparser import ConfigParser
from pathlib import Path

import pytest

from proxy.demo.galera import Cluster
from tests.bench.__main__ import main
from tests.bench.cases import CASES
from tests.bench.endpoints import GIVEN
from tests.bench.plot import draw
from tests.bench.report import markdown, tables
from tests.bench.results import Measurement, Results
from tests.bench.sysbench import latencies

HISTOGRAM = """\
Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.100 |**                                       40
       0.200 |************                             50
       0.400 |*                                        6
       1.000 |                                         4

SQL statistics:
"""


def test_sysbench_work_is_measured_through_each_endpoint(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ["--short", "--only", "point-select", "--mode", "text", "--output", str(tmp_path)]
    assert main(arguments, cluster) == 0
    written = json.loads((tmp_path / "results.json").read_text())
    (summary,) = written["summaries"]
    assert summary["parameters"] == {"mode": "text", "clients": 2}
    assert set(summary["subjects"]) >= {"direct", "multiwriter", "haproxy"}
    for subject, figures in summary["subjects"].items():
        assert figures["queries_per_s"]["median"] > 0
        assert 0 < figures["median_ms"]["median"] <= figures["p95_ms"]["median"] <= figures["p99_ms"]["median"]
        assert ("cpu_us" in figures) == (subject != "direct")
    assert summary["ratios"]["haproxy"]["multiwriter"]["cpu_us"] > 0
    assert Results.read(tmp_path / "results.json").find("point-select", clients=2) is not None


def test_a_case_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--only", "point-selects"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert [name for name in CASES if name not in said] == []


def test_an_endpoint_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--endpoints", "direct,haproxi"])
    assert end.value.code == 2
    assert "there is no endpoint haproxi, but direct, multiwriter, haproxy" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "router"), [("maxscale", "readconnroute"), ("maxscale-split", "readwritesplit")])
def test_maxscale_gets_each_node_and_places_of_its_own(tmp_path: Path, name: str, router: str) -> None:
    program = tmp_path / "maxscale"
    program.write_text("#!/bin/sh\necho MaxScale 1.2.3\n")
    program.chmod(0o755)
    binary, make = GIVEN[name]
    endpoint = make(tmp_path / "run", ["127.0.0.1:1", "127.0.0.1:2"], str(program))
    assert (binary, endpoint.name, endpoint.version) == ("maxscale", name, "MaxScale 1.2.3")
    settings = ConfigParser()
    settings.read(endpoint.settings)
    assert settings["all"]["router"] == router
    servers = settings["all"]["servers"].split(",")
    assert [(settings[each]["address"], settings[each]["port"]) for each in servers] == [
        ("127.0.0.1", "1"),
        ("127.0.0.1", "2"),
    ]
    assert settings["listener"]["port"] == str(endpoint.port)
    places = [text.partition("=")[2] for text in map(str, endpoint.arguments()) if "dir=" in text]
    assert places
    assert all(Path(place).is_dir() and place.startswith(str(tmp_path)) for place in places)


def test_percentiles_are_the_first_buckets_that_reach_them() -> None:
    assert latencies(HISTOGRAM) == {"median_ms": 0.2, "p95_ms": 0.4, "p99_ms": 1.0}


def results(*rounds: tuple[str, int, float]) -> Results:
    found = Results({"cores": 2})
    for subject, number, value in rounds:
        found.add(Measurement("case", subject, number, {"us": value}, {"clients": 8}))
    return found


def test_a_ratio_is_the_median_of_what_ran_next_to_each_other() -> None:
    # The second round was disturbed, for both; the medians alone would say 12 / 10.
    found = results(("haproxy", 0, 10), ("ours", 0, 11), ("ours", 1, 22), ("haproxy", 1, 20), ("haproxy", 2, 10),
                    ("ours", 2, 12))  # fmt: skip
    (summary,) = found.summaries()
    assert summary.ratios["haproxy"] == {"ours": {"us": pytest.approx(1.1)}}
    assert (summary.subjects["ours"]["us"].median, summary.subjects["ours"]["us"].most) == (12, 22)


def test_cases_that_are_measured_again_replace_the_older_ones() -> None:
    newer = results(("ours", 0, 3))
    older = results(("ours", 0, 5), ("ours", 1, 5))
    older.add(Measurement("other", "ours", 0, {"us": 7.0}))
    together = newer.over(older)
    found = {summary.case: summary.subjects["ours"]["us"] for summary in together.summaries()}
    assert (found["case"].median, found["case"].rounds, found["other"].median) == (3, 1, 7)


def published() -> Results:
    machine = {
        "multiwriter": "0.1.0, compiled",
        "processor": "P",
        "cores": 2,
        "python": "3.11",
        "haproxy": "HAProxy version 2.6 2026/01/01",
        "database": "10.11",
        "load_before": 0.1,
    }
    found = Results(machine)
    figures = {"cpu_us": 20.0, "median_ms": 0.2, "p95_ms": 0.4, "queries_per_s": 1000.0}
    for subject, factor in (("haproxy", 1.0), ("multiwriter", 1.1)):
        measured = {name: value * factor for name, value in figures.items()}
        found.add(Measurement("point-select", subject, 0, measured, {"mode": "text", "clients": 8}))
    for subject, rate in (("direct", 1000.0), ("haproxy", 700.0), ("adaptive", 900.0), ("haproxy-one", 950.0)):
        fought = {"committed_per_s": rate, "errors_per_s": 0.0 if subject == "adaptive" else 20.0}
        found.add(Measurement("conflicts-transfers", subject, 0, fought, {"clients": 12, "flush": "commit"}))
    found.add(Measurement("start", "multiwriter", 0, {"first_query_s": 0.5}))
    found.add(Measurement("more-nodes", "1 nodes", 0, {"cpu_us": 20.0}))
    found.add(Measurement("more-nodes", "9 nodes", 0, {"cpu_us": 21.0}))
    return found


def test_the_documents_show_the_proxy_beside_haproxy_and_what_stands_alone() -> None:
    text = markdown(published())
    assert "| point-select text | 8 | 22.0 µs | 1.10 | 0.22 ms | 1.10 | 0.44 ms | 1.10 | 1,100 | 1.10 |" in text
    assert "| transfers between two of 100 keys, zipf 0.9 | commit | 900 | 1.29 | 0.90 | 0.95 |  | 0 | 20.0 |" in text
    assert "| from the start to the first answer | 0.50 s |" in text
    assert "1 nodes: 20.0 µs, 9 nodes: 21.0 µs" in text
    assert text.startswith("P, 2 processors, multiwriter 0.1.0, compiled, Python 3.11, MariaDB 10.11, HAProxy 2.6;")


def test_the_picture_is_a_png_and_only_of_sysbenchs_work(tmp_path: Path) -> None:
    path = tmp_path / "made" / "bench.png"
    assert draw(published(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not draw(results(("direct", 0, 1.5)), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_cases_of_our_own_clients_and_fake_nodes_are_measured(tmp_path: Path) -> None:
    cases = ["idle-memory", "more-clients", "workers"]
    assert main(["--short", "--only", ",".join(cases), "--output", str(tmp_path)]) == 0
    found = Results.read(tmp_path / "results.json")
    memory, growth, one_write, many, *shared = found.summaries()
    assert memory.subjects["multiwriter"]["start_mib"].median > 10
    assert list(growth.subjects) == ["1 clients", "10 clients"]
    assert len(shared) == (os.geteuid() == 0)
    for summary in (growth, one_write, many, *shared):
        for figures in summary.subjects.values():
            assert figures["errors"].median == 0
            assert figures["per_s"].median > 0
            assert figures["cpu_us"].median > 1
    assert list(many.subjects) == ["1 worker", "2 workers"]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = results(("direct", 0, 1.5), ("ours", 0, 3))
    found.write(tmp_path / "new" / "results.json")
    again = Results.read(tmp_path / "new" / "results.json")
    assert again.json() == found.json()
    assert tables(again) == tables(found)
    assert "/ direct  2.00" in tables(found)
