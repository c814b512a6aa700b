"""Processes that work beside each other: what they report, the word that they wait for, the death of either side."""

import os

from limosa.linux.workers import Master, Workers


def heard(workers: Workers, count: int) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    while len(found) < count:
        found += workers.reports()
    return found


def test_reports_come_whole_and_each_waits_for_its_own_word() -> None:
    def work(master: Master) -> None:
        master.report("x" * 200_000)
        master.wait()
        master.report("went on")

    workers = Workers()
    workers.begin("a", work)
    workers.begin("b", work)
    assert sorted(heard(workers, 2)) == [("a", "x" * 200_000), ("b", "x" * 200_000)]
    workers.allow("b")
    assert heard(workers, 2) == [("b", "went on"), ("b", None)]
    workers.allow("a")
    assert heard(workers, 2) == [("a", "went on"), ("a", None)]


def test_one_that_dies_is_heard_of_and_does_not_hold_up_the_other() -> None:
    workers = Workers()
    workers.begin("a", lambda master: master.wait())
    workers.begin("b", lambda master: os._exit(3))
    assert heard(workers, 1) == [("b", None)]
    workers.allow("a")
    assert heard(workers, 1) == [("a", None)]


def test_a_worker_whose_master_is_dead_does_not_wait_on() -> None:
    reports, told = os.pipe()

    def work(master: Master) -> None:
        try:
            master.wait()
        except EOFError:
            os.write(told, b"nobody")

    child = os.fork()
    if child == 0:
        workers = Workers()
        workers.begin("a", work)
        workers.begin("b", lambda master: master.wait())  # it does not keep the first one's pipe open
        os._exit(0)
    os.close(told)
    os.waitpid(child, 0)
    assert os.read(reports, 10) == b"nobody"
    os.close(reports)
