"""The metrics' text is read as Prometheus defines it."""

import pytest

from proxy.demo.instance import Metrics, scrape
from proxy.demo.processes import StartError, free_ports

TEXT = r"""# HELP multiwriter_node_state Whether the node is in this state.
# TYPE multiwriter_node_state gauge
multiwriter_node_state{node="127.0.0.1:3311",state="up"} 1.0
multiwriter_node_state{node="127.0.0.1:3311",state="down"} 0.0
multiwriter_node_state{node="127.0.0.1:3312",state="up"} 0.0
multiwriter_node_state{node="127.0.0.1:3312",state="down"} 1.0
multiwriter_transactions_total{node="127.0.0.1:3311",outcome="committed"} 40.0
multiwriter_transactions_total{node="127.0.0.1:3311",outcome="rolled back"} 2.0
multiwriter_transactions_total{node="127.0.0.1:3312",outcome="committed"} 1e+03
multiwriter_bytes_total 7
odd{text="a \"quoted\", comma = {brace} \\"} +Inf
"""


def test_comments_are_no_samples() -> None:
    assert [name for name, _, _ in Metrics(TEXT).samples].count("multiwriter_node_state") == 4
    assert len(Metrics(TEXT).samples) == 9


def test_a_total_is_over_all_that_match() -> None:
    metrics = Metrics(TEXT)
    assert metrics.total("multiwriter_transactions_total") == 1042
    assert metrics.total("multiwriter_transactions_total", node="127.0.0.1:3311") == 42
    assert metrics.total("multiwriter_transactions_total", node="127.0.0.1:3311", outcome="committed") == 40
    assert metrics.total("multiwriter_bytes_total") == 7
    assert metrics.total("multiwriter_never_happened_total", node="127.0.0.1:3311") == 0


def test_sums_by_a_label() -> None:
    assert Metrics(TEXT).by("node", "multiwriter_transactions_total") == {"127.0.0.1:3311": 42, "127.0.0.1:3312": 1000}


def test_a_node_is_in_the_state_whose_gauge_is_one() -> None:
    assert Metrics(TEXT).node_states() == {"127.0.0.1:3311": "up", "127.0.0.1:3312": "down"}


def test_escapes_in_a_label() -> None:
    ((_, labels, value),) = Metrics(TEXT).matching("odd")
    assert labels == {"text": 'a "quoted", comma = {brace} \\'}
    assert value == float("inf")


def test_a_proxy_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StartError, match=f"127.0.0.1:{port}"):
        scrape(f"127.0.0.1:{port}")
