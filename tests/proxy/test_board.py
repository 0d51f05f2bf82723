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
