"""What conflicts teach, and for how long: keys, tables, and tables of a schema that are changed together."""

from router.contention import FEW, HOLD, KEY_HOT, LONGEST_HOLD, MANY_KEYS, RELAPSE, STUBBORN, Conflict, Contention

T, U = "shop.stock", "shop.orders"
NOW = 1000.0


def row(number: int) -> tuple[str, ...]:
    return (f"{T}:{number}",)


def fight(contention: Contention, conflict: Conflict, times: float = FEW, now: float = NOW) -> str | None:
    """The answer to the last of so many conflicts, at once."""
    found = None
    for _ in range(int(times)):
        found = contention.conflict(conflict, 0, now)
    return found


def test_at_first_nobody_needs_to_ask() -> None:
    contention = Contention()
    assert not contention.watchful
    assert contention.meeting(T, NOW) is None
    assert not contention.has_keys(T)


def test_some_conflicts_make_a_key_hot_and_no_other() -> None:
    contention = Contention()
    assert fight(contention, Conflict(T, row(7)), KEY_HOT - 1) is None
    assert not contention.watchful
    assert fight(contention, Conflict(T, row(7)), 1) == T
    assert contention.watchful
    assert contention.is_hot(T, row(7), NOW)
    assert not contention.is_hot(T, row(8), NOW)
    assert contention.meeting(T, NOW) is None


def test_conflicts_far_apart_are_chance() -> None:
    contention = Contention()
    for number in range(20):
        assert contention.conflict(Conflict(T, row(7)), 0, NOW + 10.0 * number) is None
    assert not contention.watchful


def test_without_known_keys_the_table_is_hot() -> None:
    contention = Contention()
    assert fight(contention, Conflict(T)) == T
    assert contention.meeting(T, NOW) == T
    assert contention.meeting(U, NOW) is None


def test_many_hot_keys_make_the_table_hot() -> None:
    contention = Contention()
    ended = 0
    for number in range(MANY_KEYS + 1):
        assert contention.meeting(T, NOW) is None
        for _ in range(int(KEY_HOT)):
            ended += 1000  # so that by their share alone they would be few
            contention.conflict(Conflict(T, row(number)), ended, NOW)
    assert contention.meeting(T, NOW) == T


def test_few_of_many_transactions_do_not_count() -> None:
    contention = Contention()
    for number in range(100):
        contention.conflict(Conflict(T, row(number)), 1000 * number, NOW)
    assert contention.meeting(T, NOW) is None


def test_many_transactions_without_a_conflict_count_as_far_as_they_are_recent() -> None:
    contention = Contention()
    contention.conflict(Conflict(U), 0, NOW)
    for _ in range(int(FEW)):
        contention.conflict(Conflict(T), 100_000, NOW + 1000)
    assert contention.meeting(T, NOW + 1000) == T
    for _ in range(int(FEW)):
        contention.conflict(Conflict(U), 200_000, NOW + 1001)
    assert contention.meeting(U, NOW + 1001) is None


def test_a_conflict_that_a_client_saw_counts_for_several() -> None:
    assert fight(Contention(), Conflict(T, visible=True), 1) == T


def test_tables_that_are_changed_together_get_one_owner() -> None:
    contention = Contention()
    assert fight(contention, Conflict(T, changed=(U,))) == "shop"
    assert contention.meeting(T, NOW) == contention.meeting(U, NOW) == "shop"
    assert contention.meeting("shop.log", NOW) is None
    assert contention.meeting("else.stock", NOW) is None


def test_a_table_that_was_there_by_chance_stays_out() -> None:
    contention = Contention()
    contention.conflict(Conflict("shop.log", changed=(U,)), 0, NOW)
    assert fight(contention, Conflict(T, changed=(U,)), 20) is None
    assert contention.meeting(T, NOW) == "shop"
    assert contention.meeting("shop.log", NOW) is None


def test_a_key_on_which_they_are_aborted_although_they_meet_gets_a_queue() -> None:
    contention = Contention()
    fight(contention, Conflict(T, row(7), (T,), met=True), STUBBORN - 1)
    assert contention.queued(T, row(7), NOW) == ()
    fight(contention, Conflict(T, row(7), (T,), met=True), 1)
    assert contention.queued(T, row(7) + row(8), NOW) == row(7)


def test_it_cools_and_what_relapses_is_kept_for_twice_as_long() -> None:
    contention = Contention()
    now, hold = NOW, HOLD
    while hold < LONGEST_HOLD:
        fight(contention, Conflict(T), now=now)
        assert contention.meeting(T, now + hold - 0.1) == T
        assert contention.meeting(T, now + hold) is None
        assert not contention.watchful
        now, hold = now + hold + 1, 2 * hold
    fight(contention, Conflict(T), now=now)
    assert contention.meeting(T, now + LONGEST_HOLD - 1) == T
    assert contention.meeting(T, now + LONGEST_HOLD) is None


def test_after_a_long_peace_it_begins_anew() -> None:
    contention = Contention()
    fight(contention, Conflict(T))
    later = NOW + HOLD + RELAPSE * HOLD + 1
    fight(contention, Conflict(T), now=later)
    assert contention.meeting(T, later + HOLD) is None


def test_what_is_hot_is_shown_with_what_its_owner_is_found_by() -> None:
    contention = Contention()
    fight(contention, Conflict(T, row(7), (T,), met=True), KEY_HOT)
    fight(contention, Conflict(T, changed=(U,)))
    found = {(each.what, each.name): (each.owner_key, each.queued) for each in contention.hot(NOW)}
    assert found == {("key", f"{T}:7"): ("shop", True), ("tables", f"{U}, {T}"): ("shop", False)}
    assert contention.hot(NOW + HOLD) == []
    long_after = NOW + 100 * HOLD
    fight(contention, Conflict(U), now=long_after)
    assert [each.name for each in contention.hot(long_after)] == [U], "what is forgotten meanwhile is in nobody's way"
    assert contention.meeting(T, long_after + HOLD) is None
    assert contention.hot(long_after + 100 * HOLD) == []


def test_memory_is_bounded() -> None:
    contention = Contention(max_tables=10, max_keys=10)
    for number in range(100):
        contention.conflict(Conflict(f"s{number}.t", changed=(f"s{number}.u",)), 0, NOW)
        contention.conflict(Conflict(f"t{number}.t"), 0, NOW)
        contention.conflict(Conflict(T, row(number)), 0, NOW)
    assert len(contention._tables) <= 10
    assert len(contention._groups) <= 10
    assert all(len(table.keys) <= 10 for table in contention._tables.values())
