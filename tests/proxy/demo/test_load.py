"""The load tells a kept promise from a broken one, and counts what clients would feel."""

from array import array

import pymysql
import pytest

from proxy.demo import accounts
from proxy.demo.accounts import Promises
from proxy.demo.load import Client, Counts, Pace, figures, heading
from proxy.demo.place import Ports

PORTS = Ports(3306, 9306, (3311, 3312, 3313))
ONE, TWO, THREE = (f"127.0.0.1:{port}" for port in PORTS.nodes)


def promises(committed: list[int], refused: list[int], unknown: list[int]) -> Promises:
    return Promises(array("L", committed), array("L", refused), array("L", unknown))


@pytest.mark.parametrize(
    ("told", "present", "broken"),
    [
        (promises([1, 2], [3], [4, 5]), {1, 2, 4}, []),
        (promises([], [], []), set(), []),
        (promises([1, 2], [], []), {2}, ["1 acknowledged transactions are not there"]),
        (promises([1], [2, 3], []), {1, 2, 3}, ["2 refused transactions are there"]),
        (promises([1], [], [2]), {1, 2, 9}, ["1 transactions are there that it did not make"]),
    ],
)
def test_answers_are_held_against_the_tables(told: Promises, present: set[int], broken: list[str]) -> None:
    assert accounts.broken(told, present) == broken


@pytest.mark.parametrize(
    ("error", "promise", "counts"),
    [
        (pymysql.err.OperationalError(1180, "outcome unknown"), "unknown", False),
        (pymysql.err.OperationalError(1213, "Deadlock found"), "refused", True),
        (pymysql.err.InternalError(1020, "Record has changed"), "refused", True),
        (pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"), "unknown", True),
        (pymysql.err.InterfaceError(0, ""), "unknown", True),
        (ConnectionResetError(104, "Connection reset by peer"), "unknown", True),
    ],
)
def test_what_an_error_promises(error: Exception, promise: str, counts: bool) -> None:
    client = Client(1, 1, 1, Pace(), None)  # type: ignore[arg-type]
    client.note(error, 7)
    assert {name: list(getattr(client.promises, name)) for name in ("committed", "refused", "unknown")} == {
        name: [7] if name == promise else [] for name in ("committed", "refused", "unknown")
    }
    assert client.errors.total() == (1 if counts else 0)


def test_the_longest_pause_is_between_commits_of_any_client() -> None:
    pace = Pace()
    assert pace.take_longest(99.0) == 0.0, "what goes before the first commit is no pause"
    for moment in (100.0, 100.1, 100.6, 100.7):
        pace.commit(moment)
    assert pace.commits == 4
    assert pace.take_longest(100.8) == pytest.approx(0.5)
    assert pace.take_longest(101.7) == pytest.approx(1.0), "a pause counts while it lasts"
    pace.commit(101.8)
    assert pace.take_longest(101.8) == pytest.approx(1.1), "and as a whole when it ends"


def test_a_nodes_share_is_of_what_was_done_between() -> None:
    before = Counts({ONE: 100.0, TWO: 50.0}, 0, 0, {ONE: "up", TWO: "up", THREE: "down"})
    now = Counts({ONE: 130.0, TWO: 60.0}, 0, 0, before.states)
    assert now.shares(before) == {ONE: 0.75, TWO: 0.25, THREE: 0.0}
    assert now.shares(now) == {ONE: 0.0, TWO: 0.0, THREE: 0.0}


def test_the_figures_stand_below_their_words_and_name_a_node_that_is_away() -> None:
    before = Counts({ONE: 0.0, TWO: 0.0, THREE: 0.0}, 5, 3, {ONE: "up", TWO: "up", THREE: "up"})
    now = Counts({ONE: 500.0, TWO: 500.0, THREE: 0.0}, 12, 9, {ONE: "up", TWO: "up", THREE: "down"})
    words = heading(now, PORTS)
    text = figures(3, 1500, before, now, 2, 0, 0.85, PORTS)
    assert text.split() == ["3", "1500", "50%", "50%", "0%", "7", "6", "2", "0", "850", "ms", "node3", "down"]
    for word, figure in (
        ("commits/s", "1500"),
        ("conflicts", "  7"),
        ("retries", "  6"),
        ("unknown", "  2"),
        ("pause", " ms"),
    ):
        assert text.index(figure) + len(figure) == words.index(word) + len(word), word
