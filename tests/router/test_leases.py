"""A line that goes round between workers: one at a time, nobody forgotten, whatever dies."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from router.leases import MAX_IDLE, LeasedLines, Leases, Word


class Proxy:
    """Workers and the place where leases are granted; what they say arrives when it is delivered."""

    def __init__(self, workers: int = 2, *, keeps: bool = True) -> None:
        self.leases = Leases()
        self.ears: deque[tuple[int, str, str]] = deque()
        self.words: deque[Word] = deque()
        self.lines = {number: self._lines(number, keeps) for number in range(workers)}
        self.turns: list[str] = []
        self.said = 0

    def _lines(self, number: int, keeps: bool) -> LeasedLines[str]:
        return LeasedLines(
            lambda key: self.ears.append((number, "want", key)),
            lambda key: self.ears.append((number, "give", key)),
            lambda key: keeps,
        )

    def deliver(self, most: int = 1000) -> None:
        while most and (self.ears or self.words):
            most -= 1
            self.said += 1
            if self.ears:
                number, what, key = self.ears.popleft()
                self.words += getattr(self.leases, what)(key, number)
                continue
            word = self.words.popleft()
            if word.worker not in self.lines:
                continue
            if word.what == "granted":
                self.called(self.lines[word.worker].granted(word.key))
            else:
                self.lines[word.worker].wanted(word.key)

    def called(self, who: str | None) -> None:
        if who is not None:
            self.turns.append(who)

    def comes(self, worker: int, who: str, key: str = "k") -> None:
        lines = self.lines[worker]
        if lines.take(key, who):
            self.turns.append(who)
        else:
            assert lines.wait(key, who, 100)
        self.deliver()

    def goes(self, worker: int, who: str, key: str = "k") -> None:
        self.called(self.lines[worker].leave(key, who))
        self.deliver()

    def dies(self, worker: int) -> None:
        del self.lines[worker]
        self.ears = deque(each for each in self.ears if each[0] != worker)
        self.words += self.leases.gone(worker)
        self.deliver()


def test_while_one_worker_alone_uses_a_key_nothing_is_said() -> None:
    proxy = Proxy()
    proxy.comes(0, "a")
    said = proxy.said
    for _ in range(10):
        proxy.goes(0, "a")
        proxy.comes(0, "a")
    assert proxy.said == said
    assert proxy.turns == ["a"] * 11


def test_who_came_before_another_worker_asked_is_served_before_it() -> None:
    proxy = Proxy()
    for who in ("a", "b", "c"):
        proxy.comes(0, who)
    proxy.comes(1, "x")
    proxy.comes(0, "d")
    proxy.comes(1, "y")
    assert proxy.turns == ["a"]
    for worker, who in ((0, "a"), (0, "b"), (0, "c"), (1, "x"), (1, "y"), (0, "d")):
        assert proxy.turns[-1] == who
        proxy.goes(worker, who)
    assert proxy.turns == ["a", "b", "c", "x", "y", "d"]
    assert not proxy.lines[0].waiting
    assert not proxy.lines[1].waiting


def test_a_lease_that_nobody_needs_is_given_to_who_asks_for_it() -> None:
    proxy = Proxy()
    proxy.comes(0, "a")
    proxy.goes(0, "a")
    assert proxy.leases.holder("k") == 0
    proxy.comes(1, "x")
    assert proxy.turns == ["a", "x"]
    assert proxy.leases.holder("k") == 1


def test_what_is_not_kept_goes_back_at_once() -> None:
    proxy = Proxy(keeps=False)
    proxy.comes(0, "a")
    assert len(proxy.leases) == 1
    proxy.goes(0, "a")
    assert len(proxy.leases) == 0


def test_leases_that_are_kept_are_bounded() -> None:
    proxy = Proxy()
    for number in range(MAX_IDLE + 5):
        proxy.comes(0, "a", str(number))
        proxy.goes(0, "a", str(number))
    assert len(proxy.leases) == MAX_IDLE
    assert proxy.leases.holder("0") is None
    assert proxy.leases.holder(str(MAX_IDLE + 4)) == 0


def test_what_a_dead_worker_had_is_the_next_ones_at_once() -> None:
    proxy = Proxy(3)
    proxy.comes(0, "a")
    proxy.comes(1, "x")
    proxy.comes(2, "p")
    proxy.dies(0)
    assert proxy.turns == ["a", "x"]
    proxy.goes(1, "x")
    assert proxy.turns == ["a", "x", "p"]
    proxy.dies(2)
    assert len(proxy.leases) == 0


def test_a_dead_worker_that_waited_is_passed_over() -> None:
    proxy = Proxy(3)
    proxy.comes(0, "a")
    proxy.comes(1, "x")
    proxy.comes(2, "p")
    proxy.dies(1)
    proxy.goes(0, "a")
    assert proxy.turns == ["a", "p"]


def test_who_has_gone_ahead_without_its_turn_leaves_the_lease_to_others() -> None:
    proxy = Proxy()
    proxy.comes(0, "a")
    proxy.comes(1, "x")
    proxy.lines[1].withdraw("k", "x")
    proxy.goes(0, "a")
    assert proxy.leases.holder("k") == 1
    proxy.comes(0, "b")
    assert proxy.turns == ["a", "b"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "go", "withdraw", "deliver", "die"]), st.integers(0, 2), st.integers(0, 3)),
    max_size=60,
)


@given(STEPS)
def test_never_two_at_once_and_in_the_end_everybody_is_served(steps: list[tuple[str, int, int]]) -> None:
    proxy = Proxy(3)
    waiting: set[str] = set()
    having: set[str] = set()

    def look() -> None:
        for who in proxy.turns:
            waiting.discard(who)
            having.add(who)
        proxy.turns.clear()
        assert len(having) <= 1

    for step, worker, number in steps:
        who = f"{worker}:{number}"
        alive = worker in proxy.lines
        if step == "come" and alive and who not in waiting | having:
            if proxy.lines[worker].take("k", who):
                having.add(who)
            elif proxy.lines[worker].wait("k", who, 100):
                waiting.add(who)
        elif step == "go" and alive and who in having:
            having.discard(who)
            proxy.called(proxy.lines[worker].leave("k", who))
        elif step == "withdraw" and alive and who in waiting:
            waiting.discard(who)
            proxy.lines[worker].withdraw("k", who)
        elif step == "deliver":
            proxy.deliver(number)
        elif step == "die" and alive and len(proxy.lines) > 1:
            waiting = {each for each in waiting if not each.startswith(f"{worker}:")}
            having = {each for each in having if not each.startswith(f"{worker}:")}
            proxy.dies(worker)
        look()
    proxy.deliver()
    look()
    while having or waiting:
        assert having, f"{waiting} are forgotten"
        who = having.pop()
        proxy.goes(int(who[0]), who)
        look()
