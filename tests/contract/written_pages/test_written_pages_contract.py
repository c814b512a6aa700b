"""No page that a process wrote may be missing from a commit, whatever the process does with its memory."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from page_laboratory import CONTAINER, Actor, Committer, state

pytestmark = pytest.mark.privileged


def follows(committer: Committer) -> bool:
    return committer.tracker.name != "digest"


def test_only_what_was_written_is_copied(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(4000); fill(a, 4000)")
    committer.commit()
    actor.do("write(a, 7, 2); write(a, 8, 2); write(a, 3999, 2)")
    committer.commit()
    if follows(committer):
        assert committer.since_parent[actor.pid]
        assert 3 <= committer.copied[actor.pid] + committer.ahead[actor.pid] * 3 < 600, "three, and its own few"
    committer.commit()
    if follows(committer):
        assert committer.copied[actor.pid] < 600


def test_many_ranges(committer: Committer, actor: Actor) -> None:
    """More than the kernel gathers before it copies them out, each of one page."""
    actor.do("a = area(9000)", "for page in range(0, 9000, 2): write(a, page, 1)")
    committer.commit()
    actor.do("for page in range(0, 9000, 6): write(a, page, 2)", "libc.madvise(a + 4000 * PAGE, 500 * PAGE, DONTNEED)")
    committer.commit()
    actor.do("fill(a, 9000, 3)")
    committer.commit()
    actor.do("for page in range(1, 9000, 2): write(a, page, 4)")
    committer.commit()


def test_threads_that_write_at_random(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(2000); fill(a, 1000)", "start_writers(a, 2000, 6)")
    for _ in range(12):
        committer.commit()
        time.sleep(0.02)


def test_memory_that_is_discarded_freed_and_mapped_anew(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(1000); fill(a, 1000)")
    committer.commit()
    actor.do("libc.madvise(a, 100 * PAGE, DONTNEED)", "libc.madvise(a + 200 * PAGE, 10 * PAGE, FREE)")
    actor.do("libc.munmap(a + 300 * PAGE, 100 * PAGE)", "area(50, at=a + 300 * PAGE)", "write(a, 301, 5)")
    committer.commit()
    actor.do("libc.madvise(a + 700 * PAGE, 8 * PAGE, GUARD)", "write(a, 710, 2)")
    actor.do("write(a, 50, 3)", "libc.madvise(a + 60 * PAGE, PAGE, DONTNEED)", "area(10, at=a + 500 * PAGE)")
    actor.do("x = ctypes.string_at(a + 70 * PAGE, 8)", "libc.mprotect(a + 600 * PAGE, 10 * PAGE, 0)")
    committer.commit()
    actor.do("libc.mprotect(a + 600 * PAGE, 10 * PAGE, RW)", "write(a, 605, 9)", "write(a, 70, 9)")
    committer.commit()


def test_memory_that_moves_and_grows(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(400); fill(a, 400)", "b = area(400); fill(b, 400, 2)")
    committer.commit()
    actor.do("c = libc.mremap(a, 400 * PAGE, 800 * PAGE, 1, None)", "write(c, 700, 4)", "write(c, 3, 4)")
    committer.commit()
    # Another memory at the place where one was, with what was there untouched.
    actor.do("libc.mremap(c, 100 * PAGE, 100 * PAGE, 3, b)", "area(100, at=c)", "write(c, 1, 8)")
    committer.commit()
    actor.do("libc.mremap(b, 100 * PAGE, 100 * PAGE, 3, c)")
    committer.commit()
    actor.do("h = libc.sbrk(64 * PAGE); h = -(-h // PAGE) * PAGE", "fill(h, 60)")
    committer.commit()
    actor.do("libc.sbrk(64 * PAGE); fill(h, 120, 3)", "write(h, 5, 6)")
    committer.commit()


def test_huge_pages(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(4096); a = -(-a // (512 * PAGE)) * 512 * PAGE", "libc.madvise(a, 6 * 512 * PAGE, HUGEPAGE)")
    actor.do("fill(a, 6 * 512)")
    committer.commit()
    actor.do("write(a, 100, 2)", "write(a, 3000, 2)", "libc.madvise(a + 700 * PAGE, 3 * PAGE, DONTNEED)")
    committer.commit()
    if follows(committer):
        assert committer.copied[actor.pid] < 3072
    actor.do("write(a, 101, 3)", "libc.madvise(a + 1024 * PAGE, 512 * PAGE, DONTNEED)", "write(a, 1030, 3)")
    committer.commit()


def test_mappings_of_files(committer: Committer, actor: Actor, tmp_path: Any) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(os.urandom(200 * 4096))
    actor.do(f"f = os.open({path!r}, os.O_RDWR)", "p = area(200, flags=PRIVATE, descriptor=f)")
    actor.do("s = area(200, flags=1, descriptor=f)", "z = area(50, flags=1 | ANONYMOUS)", "fill(z, 20)")
    actor.do("x = ctypes.string_at(p, 50 * PAGE)", "write(p, 10, 1)", "write(p, 11, 1)", "write(p, 150, 1)")
    committer.commit()
    # A private page that is discarded is the file's page again.
    actor.do("libc.madvise(p + 10 * PAGE, PAGE, DONTNEED)", "libc.madvise(p + 150 * PAGE, PAGE, DONTNEED)")
    actor.do("x = ctypes.string_at(p + 150 * PAGE, 1)", "write(s, 150, 7)", "write(z, 30, 7)", "write(p, 60, 7)")
    committer.commit()
    actor.do("write(p, 10, 8)", "x = ctypes.string_at(p + 11 * PAGE, 1)")
    committer.commit()
    actor.do("libc.madvise(p, 200 * PAGE, PAGEOUT)", "write(p, 11, 9)")
    committer.commit()


def test_a_file_that_is_cut_takes_private_pages_along(committer: Committer, actor: Actor, tmp_path: Any) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(os.urandom(40 * 4096))
    actor.do(f"f = os.open({path!r}, os.O_RDWR)", "p = area(40, flags=PRIVATE, descriptor=f)", "fill(p, 40)")
    committer.commit()
    actor.do("os.ftruncate(f, 20 * PAGE)", "write(p, 3, 2)")
    for _ in range(2):
        committer.commit()
    actor.do("os.ftruncate(f, 40 * PAGE)", "write(p, 30, 3)", "libc.madvise(p + 5 * PAGE, PAGE, DONTNEED)")
    committer.commit()


def test_memory_that_the_kernel_writes(committer: Committer, actor: Actor, tmp_path: Any) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(os.urandom(64 * 4096))
    actor.do("a = area(256); fill(a, 256)", f"f = os.open({path!r}, os.O_RDONLY)", "r, w = os.pipe()")
    actor.do(f"d = os.open({path!r}, os.O_RDONLY | os.O_DIRECT)", "import socket; one, other = socket.socketpair()")
    committer.commit()
    actor.do("assert libc.read(f, a + 100, 20 * PAGE) == 20 * PAGE")
    committer.commit()
    actor.do("os.write(w, b'p' * 9000)", "assert libc.read(r, a + 50 * PAGE + 7, 9000) == 9000")
    committer.commit()
    actor.do("assert os.splice(f, w, 8 * PAGE) == 8 * PAGE", "libc.read(r, a + 60 * PAGE, 8 * PAGE)")
    committer.commit()
    actor.do("assert libc.read(d, a + 80 * PAGE, 16 * PAGE) == 16 * PAGE", "one.send(b's' * 5000)")
    committer.commit()
    actor.do("libc.read(other.fileno(), a + 100 * PAGE + 5, 5000)")
    committer.commit()


def test_a_call_that_fills_memory_goes_on_over_a_commit(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(64); fill(a, 64)", "r, w = os.pipe()")
    committer.commit()
    actor.begin("assert libc.read(r, a + 10 * PAGE, 5000) == 5000")
    time.sleep(0.05)
    reading = os.open(f"/proc/{actor.pid}/fd/{actor_descriptor(actor, 'pipe')}", os.O_WRONLY)
    for _ in range(3):
        committer.commit()
    os.write(reading, b"x" * 5000)
    os.close(reading)
    actor.finished()
    committer.commit()


def actor_descriptor(actor: Actor, kind: str) -> int:
    numbers = sorted(int(name) for name in os.listdir(f"/proc/{actor.pid}/fd"))
    return [number for number in numbers if number > 2 and kind in os.readlink(f"/proc/{actor.pid}/fd/{number}")][-1]


def test_children_and_other_programs(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(500); fill(a, 500)")
    committer.commit()
    actor.do("c = child(lambda: (write(a, 3, 5), write(a, 4, 5)))", "write(a, 5, 6)", "time.sleep(0.05)")
    committer.commit()
    actor.do("write(a, 3, 7)", "d = child(lambda: None)", "e = child(lambda: fill(a, 100, 9))", "time.sleep(0.05)")
    committer.commit()
    committer.commit()
    actor.do("os.kill(c, 9)", "os.waitpid(c, 0)", "os.kill(d, 9)")  # one is gone, one is a zombie
    committer.commit()
    program = "import time,sys; x = bytearray(b'x' * 300000); time.sleep(60)"
    actor.do(f"g = child(lambda: (time.sleep(0.3), os.execv(sys.executable, [sys.executable, '-c', {program!r}])))")
    committer.commit()
    time.sleep(0.6)
    committer.commit()
    committer.commit()


def test_another_process_with_the_same_memory(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(300); fill(a, 300)", "stack = area(64) + 60 * PAGE")
    committer.commit()
    # vfork's sort: CLONE_VM without CLONE_THREAD. It sleeps in the kernel, in pause().
    actor.do("pause = ctypes.cast(libc.pause, ctypes.c_void_p)")
    actor.do("libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]")
    actor.do("twin = libc.clone(pause, stack, 0x100 | 17, None); assert twin > 0", "write(a, 5, 2)")
    for _ in range(3):
        committer.commit()
        actor.do("write(a, 6, time.monotonic_ns() % 1000)")


def test_a_process_that_ends_meanwhile(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(100); fill(a, 100)", "c = child(lambda: fill(a, 50, 4))", "d = child(lambda: None)")
    committer.commit()
    committer.commit(meanwhile="os.kill(c, 9); os.waitpid(c, 0); write(a, 1, 3)")
    committer.commit(meanwhile="os.kill(d, 9); write(a, 2, 3); e = child(lambda: write(a, 9, 9))")
    committer.commit()


def test_a_commit_that_came_to_nothing(committer: Committer, actor: Actor) -> None:
    """Marks were set anew, but what they are relative to is nowhere: nothing may be built upon it."""
    actor.do("a = area(500); fill(a, 500)")
    committer.commit()
    actor.do("fill(a, 20, 2)")
    committer.commit(settle=False)
    actor.do("fill(a + 100 * PAGE, 20, 3)")
    committer.commit()
    assert not any(committer.since_parent.values())
    committer.commit()
    if follows(committer):
        assert committer.since_parent[actor.pid]


def test_a_commit_upon_another_parent(committer: Committer, actor: Actor) -> None:
    actor.do("a = area(500); fill(a, 500)")
    committer.commit()
    actor.do("fill(a, 20, 2)")
    committer.parent, committer.kept = "somebody else's", {}
    committer.commit()
    assert not any(committer.since_parent.values())


def test_no_signal_is_lost(actor: Actor, make_tracker: Callable[[str], Any], tmp_path: Any) -> None:
    """Real-time signals are queued: each one that is sent has to arrive, also while it stands still."""
    actor.do("import signal; got = []", "signal.signal(signal.SIGRTMIN, lambda *_: got.append(1))")
    # First by a thread that waits for them, and so by what the kernel has queued.
    actor.do("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])")
    actor.do("take = lambda: signal.sigtimedwait([signal.SIGRTMIN], 4)")
    actor.do("worker = threading.Thread(target=lambda: workers.extend(iter(take, None)), daemon=True); worker.start()")
    sent = 0
    for number in range(12):
        place = f"{tmp_path}/{number}"
        os.mkdir(place)
        for _ in range(5):
            os.kill(actor.pid, signal.SIGRTMIN)
            sent += 1
        with make_tracker(place).following(CONTAINER, actor.pid, actor.pids(), "", place):
            pass
    actor.do("worker.join()")
    assert actor.value("len(workers)") == sent
    # And by a handler, which interrupts what the thread does.
    actor.do("signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGRTMIN])")
    for number in range(12, 24):
        place = f"{tmp_path}/{number}"
        os.mkdir(place)
        before = actor.value("len(got)")
        os.kill(actor.pid, signal.SIGRTMIN)
        with make_tracker(place).following(CONTAINER, actor.pid, actor.pids(), "", place):
            pass
        assert actor.value("len(got)") == before + 1


def test_a_stopped_job_stays_stopped(committer: Committer, actor: Actor, make_tracker: Callable[[str], Any]) -> None:
    actor.do("a = area(100); fill(a, 100)")
    committer.commit()
    os.kill(actor.pid, signal.SIGSTOP)
    eventually_in(actor.pid, "T")
    place = f"{committer.scratch}/again"
    os.mkdir(place)
    with make_tracker(place).following(CONTAINER, actor.pid, actor.pids(), "", place):
        eventually_in(actor.pid, "T")
    time.sleep(0.1)
    assert state(actor.pid) == "T", "nobody sent it SIGCONT"
    os.kill(actor.pid, signal.SIGCONT)
    actor.do("write(a, 5, 2)")
    committer.commit()


def eventually_in(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while state(pid) != wanted:
        assert time.monotonic() < deadline, f"it is in {state(pid)}"
        time.sleep(0.01)


def test_an_interrupted_sleep_and_signals_are_not_noticed(
    committer: Committer, actor: Actor, make_tracker: Callable[[str], Any], tmp_path: Any
) -> None:
    actor.do("import signal; got = []", "signal.signal(signal.SIGUSR1, lambda *_: got.append(1))")
    actor.do("signal.signal(signal.SIGTRAP, signal.SIG_IGN)", "handled = lambda: signal.getsignal(signal.SIGTRAP)")
    committer.commit()
    actor.begin("t = time.monotonic(); libc.usleep(400000); slept = time.monotonic() - t")
    time.sleep(0.05)
    for number in range(20):
        # One that knows nothing of the last one's work, so that all is done anew.
        place = f"{tmp_path}/{number}"
        os.mkdir(place)
        with make_tracker(place).following(CONTAINER, actor.pid, actor.pids(), "", place):
            os.kill(actor.pid, signal.SIGURG)
    actor.finished()
    actor.do("assert slept >= 0.4, slept", "os.kill(os.getpid(), signal.SIGUSR1)", "assert got == [1]")
    with open(f"/proc/{actor.pid}/status", encoding="ascii") as file:
        ignored = next(int(line.split()[1], 16) for line in file if line.startswith("SigIgn"))
    assert ignored >> (signal.SIGTRAP - 1) & 1, "a program that ignores traps goes on ignoring them"
