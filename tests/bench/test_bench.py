"""The benchmark runs, and what it writes has the form that its readers expect. Nothing here looks at how fast."""

import json
from pathlib import Path

import pytest

from proxy.demo.galera import Cluster
from tests.bench.__main__ import main
from tests.bench.cases import CASES
from tests.bench.report import tables
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


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = results(("direct", 0, 1.5), ("ours", 0, 3))
    found.write(tmp_path / "new" / "results.json")
    again = Results.read(tmp_path / "new" / "results.json")
    assert again.json() == found.json()
    assert tables(again) == tables(found)
    assert "/ direct  2.00" in tables(found)
