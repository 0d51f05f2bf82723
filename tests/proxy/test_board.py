"""What workers see of each other without asking: places taken, and ids given."""

from proxy.board import LAST_ID, Board, seat_of


def test_ids_are_unique_among_workers_and_say_whose_they_are() -> None:
    board = Board(3)
    given = {number: [board.seat(number).next_id() for _ in range(4)] for number in range(3)}
    assert given == {0: [1, 4, 7, 10], 1: [2, 5, 8, 11], 2: [3, 6, 9, 12]}
    assert all(seat_of(each, 3) == number for number, ids in given.items() for each in ids)


def test_behind_the_last_id_a_worker_begins_again_in_its_own_places() -> None:
    board = Board(2)
    assert board.seat(1).next_id() == 2
    board.words[3] = LAST_ID - 1
    assert board.seat(1).next_id() == 2


def test_another_process_sees_the_same_board() -> None:
    board = Board(2)
    board.seat(0).tell_clients(5)
    theirs = Board(2, board.file).seat(1)
    theirs.tell_clients(2)
    assert (theirs.clients_elsewhere(), board.seat(0).clients_elsewhere()) == (5, 2)


def test_the_next_worker_on_a_seat_goes_on_with_its_ids() -> None:
    board = Board(2)
    board.seat(0).next_id()
    assert Board(2, board.file).seat(0).next_id() == 3


def test_workers_see_on_which_keys_others_have_transactions_open() -> None:
    board = Board(2)
    one, other = board.seat(0), Board(2, board.file).seat(1)
    one.add("shop.stock", "db1", 1)
    assert other.open("shop.stock", "db1")
    assert not one.open("shop.stock", "db1"), "its own are no others"
    assert not other.open("shop.stock", "db2")
    assert not other.open("shop.orders", "db1")
    one.add("shop.stock", "db1", -1)
    assert not other.open("shop.stock", "db1")


def test_what_a_worker_had_open_is_gone_with_it() -> None:
    board = Board(2)
    one, other = board.seat(0), board.seat(1)
    for seat in (one, other):
        seat.tell_clients(3)
        seat.add("k", "db1", 2)
    one.vacate()
    assert (other.clients_elsewhere(), other.open("k", "db1"), one.open("k", "db1")) == (0, False, True)
