"""What is counted comes out as Prometheus text that promtool has nothing to say about."""

import subprocess
from inspect import isdatadescriptor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.counters import Histogram, Histograms, Metrics
from proxy.metrics import FAMILIES, Exposition, Family, documentation
from proxy.wire.constants import COM_QUERY

LABEL = {"endpoint": "write", "node": "10.0.0.1:3306", "state": "up", "from": "up", "to": "down"}


def filled() -> Metrics:
    """Every family with at least one sample."""
    metrics = Metrics(["10.0.0.1:3306"], "1.2.3", started=1000.0)
    for family in FAMILIES:
        source = getattr(metrics, family.source)
        key = tuple(LABEL.get(label, label) for label in family.labels)
        bare = key[0] if len(key) == 1 else key
        if isinstance(source, Histograms):
            source[bare].observe(0.002)
        elif isinstance(source, dict):
            source[bare] += 2
    metrics.command_counts[COM_QUERY] += 2
    metrics.clients_now = lambda: {"write": 7}
    metrics.backends_now = lambda: {("10.0.0.1:3306", "idle"): 3}
    metrics.pool_waiters_now = lambda: {"10.0.0.1:3306": 1}
    metrics.node_states_now = lambda: {("10.0.0.1:3306", "up"): 1, ("10.0.0.1:3306", "down"): 0}
    metrics.node_info_now = lambda: {("10.0.0.1:3306", "10.0.0.1:3306", '5.5.5-10.11 "quoted"\n'): 1}
    metrics.hot_now = lambda: {("table", "shop.stock", "10.0.0.1:3306", "owned"): 1}
    metrics.queue_now = lambda: 3
    metrics.journal_bytes_now = lambda: 4096
    metrics.client_in = 11
    metrics.node_bytes_out = 12
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = Exposition(metrics).render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("metrics", [filled(), Metrics()], ids=["filled", "fresh"])
def test_promtool_is_silent(metrics: Metrics) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=Exposition(metrics).render(), capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_comes_out_with_its_labels(family: Family) -> None:
    suffix = "_count" if family.kind == "histogram" else ""
    found = [dict(labels) for name, labels in samples(filled()) if name == family.name + suffix]
    assert found
    for labels in found:
        assert set(labels) == set(family.labels)


def test_everything_that_can_be_counted_is_exposed() -> None:
    by_side = {"client_in", "client_out", "node_bytes_in", "node_bytes_out"}
    made = {"bytes_by_side", "build_info", "commands", "transactions"}  # when they are asked for
    sources = {family.source for family in FAMILIES}
    counted = {name for name, what in vars(Metrics).items() if isdatadescriptor(what) and not name.startswith("_")}
    assert counted - by_side - {"version", "ended", "command_counts"} == sources - made


def test_numbers_arrive_unchanged() -> None:
    seen = samples(filled())
    assert seen["multiwriter_clients", (("endpoint", "write"),)] == 7
    assert seen["multiwriter_commands_total", (("command", "COM_QUERY"),)] == 2
    assert seen["multiwriter_node_changes_total", (("from", "up"), ("node", "10.0.0.1:3306"), ("to", "down"))] == 2
    assert seen["multiwriter_bytes_total", (("direction", "in"), ("side", "client"))] == 11
    assert seen["multiwriter_bytes_total", (("direction", "out"), ("side", "backend"))] == 12
    assert seen["multiwriter_start_time_seconds", ()] == 1000
    assert seen["multiwriter_build_info", (("version", "1.2.3"),)] == 1
    assert seen["multiwriter_journal_bytes", ()] == 4096
    assert seen["process_open_fds", ()] > 0


def test_gauges_are_asked_at_each_scrape() -> None:
    metrics = Metrics()
    exposition = Exposition(metrics)
    for clients in (1, 5):
        metrics.clients_now = lambda clients=clients: {"write": clients}
        assert f'multiwriter_clients{{endpoint="write"}} {clients}.0'.encode() in exposition.render()


def test_known_nodes_start_at_zero() -> None:
    seen = samples(Metrics(["a:1", "b:2"]))
    for node in ("a:1", "b:2"):
        assert seen["multiwriter_unknown_outcomes_total", (("node", node),)] == 0


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_a_histogram_counts_each_observation_in_its_bucket(observed: list[float]) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    for seconds in observed:
        histogram.observe(seconds)
    expected = [sum(seconds <= bound for seconds in observed) for bound in (0.1, 1.0, 10.0, float("inf"))]
    assert [bound for bound, _ in histogram.cumulative()] == ["0.1", "1.0", "10.0", "+Inf"]
    assert [count for _, count in histogram.cumulative()] == expected
    assert histogram.count == len(observed)
    assert histogram.sum == pytest.approx(sum(observed))


def test_the_documentation_says_what_the_exposition_says() -> None:
    text = Exposition(Metrics()).render().decode()
    documented = documentation()
    assert len({name for name, *_ in documented}) == len(documented)
    for name, kind, _, help_text in documented:
        assert f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n" in text
