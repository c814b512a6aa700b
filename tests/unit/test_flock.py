"""A lock's file that is there only meanwhile keeps everybody else out all the same."""

import threading
from pathlib import Path

import pytest

from limosa.linux import flock


def test_one_at_a_time_while_the_file_comes_and_goes(tmp_path: Path) -> None:
    path = f"{tmp_path}/lock"
    inside: list[int] = []
    met: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            with flock.locked_meanwhile(path):
                inside.append(number)
                met.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == [1] * 1200
    assert list(tmp_path.iterdir()) == []


def test_the_file_goes_when_what_was_done_under_the_lock_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), flock.locked_meanwhile(f"{tmp_path}/lock"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_killed_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with flock.locked_meanwhile(f"{tmp_path}/lock"):
        pass
    assert list(tmp_path.iterdir()) == []
