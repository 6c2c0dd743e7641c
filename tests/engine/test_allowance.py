"""What several processes may do together: never more pages than were allowed, and no more requests a second."""

from __future__ import annotations

import sys
from subprocess import PIPE, Popen

from crawler.engine.allowance import Board, SharedPace, SharedPages

#: Takes pages until there is none, and says how many it had.
_TAKE = """
import sys
from crawler.engine.allowance import Board, SharedPages
pages, had = SharedPages(Board(int(sys.argv[1]))), 0
print("ready", flush=True); sys.stdin.readline()
while not pages.spent():
    if pages.left() > 0:
        pages.take()
        had += 1
print(had)
"""


def test_processes_take_as_many_pages_as_there_are() -> None:
    board = Board.make(200_000)
    command = [sys.executable, "-c", _TAKE, str(board.descriptor)]
    takers = [
        Popen(command, stdin=PIPE, stdout=PIPE, text=True, pass_fds=[board.descriptor]) for _ in range(3)
    ]
    for taker in takers:
        assert taker.stdout is not None
        taker.stdout.readline()
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    had = [int(taker.communicate(timeout=30)[0]) for taker in takers]
    assert sum(had) == 200_000
    assert sum(number > 0 for number in had) > 1, "they did it together"
    board.close()


def test_what_one_does_not_use_is_for_the_other() -> None:
    board = Board.make(3)
    one, two = SharedPages(board), SharedPages(board)
    assert one.left() == 1
    for _ in range(2):
        assert two.left() == 1
        two.take()
    assert two.left() == 0
    assert not one.spent()
    one.rest()
    assert two.left() == 1
    two.take()
    assert one.spent()
    two.give_back()
    assert not two.spent()
    two.rest()
    assert one.left() == 1
    board.close()


def test_the_pace_is_one_for_all() -> None:
    board = Board.make(0)
    one, two = SharedPace(board, 10.0), SharedPace(board, 10.0)
    sent, now = 0, 1000.0
    while now < 1010.0:
        for pace in (one, two):
            if pace.free_at(now) is None:
                pace.take(now)
                sent += 1
        now += 0.01
    assert 98 <= sent <= 103
    board.close()


def test_a_holder_of_the_lock_that_dies_holds_nobody_up() -> None:
    board = Board.make(5)
    code = "import sys, os, fcntl; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(board.descriptor)]
    holder = Popen(command, stdin=PIPE, stdout=PIPE, pass_fds=[board.descriptor])
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    assert SharedPages(board).left() == 1
    board.close()
