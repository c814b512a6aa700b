"""Threads that are made to call for us: what they notice of it, whoever traces them. See linux/ptrace_through.py."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.waiting import eventually

from limosa.linux import posix_locks, process, process_memory, ptrace, ptrace_through, userfaultfd
from limosa.linux.posix_locks import Lock

pytestmark = pytest.mark.privileged
GETPPID = 110

# Spins in a restartable sequence, which ends only by being begun anew, and counts how often that was.
RESTARTED = r"""
#include <stddef.h>
#include <stdio.h>
#include <sys/rseq.h>

static volatile unsigned long *begun;

int main(int argc, char **argv)
{
    struct rseq *own = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    static unsigned long count;

    (void)argc, (void)argv;
    begun = &count;
    printf("%p\n", (void *)begun);
    fflush(stdout);
    for (;;) {
        __asm__ goto(".pushsection __rseq_cs, \"aw\"\n"
                 ".balign 32\n"
                 "1: .long 0, 0\n"
                 ".quad 2f, 3f - 2f, 4f\n"
                 ".popsection\n"
                 "leaq 1b(%%rip), %%rax\n"
                 "movq %%rax, %0\n"
                 "2: jmp 2b\n"
                 "3:\n"
                 ".pushsection .text.aborted, \"ax\"\n"
                 ".byte 0x0f, 0xb9, 0x3d\n"
                 ".long 0x53053053\n"
                 "4: jmp %l[aborted]\n"
                 ".popsection\n"
                 :
                 : "m"(own->rseq_cs)
                 : "memory", "rax"
                 : aborted);
    aborted:
        ++*begun;
    }
}
"""
# Stops a process as criu does, and waits, until its input ends, for what it is made to do.
TRACER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
assert libc.ptrace(0x4206, pid, 0, 1) == 0
assert libc.ptrace(0x4207, pid, 0, 0) == 0
assert os.waitpid(pid, 0x40000000)[0] == pid
print("stopped", flush=True)
sys.stdin.read()
assert libc.ptrace(17, pid, 0, 0) == 0
"""
HOLDER = """
import sys, time
file = open(sys.argv[1], "r+b")
print(file.fileno(), flush=True)
time.sleep(1000)
"""


@contextmanager
def running(*argv: str) -> Iterator[tuple[int, str]]:
    """Give a program's pid, and its first line, for the time of a `with` block."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield started.pid, started.stdout.readline().strip()
        finally:
            started.kill()


@contextmanager
def traced(pid: int) -> Iterator[int]:
    """Give the pid of a process that holds another one."""
    argv = [sys.executable, "-c", TRACER, str(pid)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout is not None and tracer.stdin is not None
        assert tracer.stdout.readline() == "stopped\n"
        yield tracer.pid
        tracer.stdin.close()
        assert tracer.wait() == 0


def by_itself(pid: int) -> None:
    with ptrace.stopped(pid) as thread:
        assert thread.call(GETPPID) == os.getpid()


def through_its_tracer(pid: int) -> None:
    with traced(pid) as tracer_pid, ptrace_through.tracing(tracer_pid, 10) as tracer, tracer.held(pid) as thread:
        assert thread.call(GETPPID) == os.getpid()


@pytest.mark.parametrize("made_to_call", [by_itself, through_its_tracer])
def test_a_restartable_sequence_is_begun_anew(made_to_call: Callable[[int], None], tmp_path: Path) -> None:
    (tmp_path / "restarted.c").write_text(RESTARTED)
    program = str(tmp_path / "restarted")
    subprocess.run(["gcc", "-O2", "-o", program, f"{program}.c"], check=True)
    with running(program) as (pid, place):

        def begun() -> int:
            return int.from_bytes(process_memory.read(pid, int(place, 16), 8), "little")

        eventually(lambda: begun() > 2)
        for _ in range(5):
            made_to_call(pid)
            before = begun()
            eventually(lambda before=before: begun() > before + 1)


def test_a_process_that_is_held_takes_a_lock_and_notices_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(100))
    with running(sys.executable, "-c", HOLDER, str(file)) as (pid, descriptor):
        before = Path(f"/proc/{pid}/maps").read_text()
        with traced(pid) as tracer_pid:
            os.kill(pid, signal.SIGSTOP)
            with (
                ptrace_through.tracing(tracer_pid, 10) as tracer,
                tracer.held(pid) as thread,
                ptrace_through.scratch(thread) as page,
            ):
                posix_locks.take(thread, page, int(descriptor), Lock(True, 10, 5))
                posix_locks.take(thread, page, int(descriptor), Lock(False, 50, 0))
                with open(file, "r+b") as other:
                    fcntl.lockf(other, fcntl.LOCK_SH, 1, 30)
                    with pytest.raises(BlockingIOError):
                        posix_locks.take(thread, page, int(descriptor), Lock(True, 30, 1))
        taken = {one.lock for one in posix_locks.of_descriptor(pid, int(descriptor))}
        assert taken == {Lock(True, 10, 5), Lock(False, 50, 0)}
        assert [one.lock for one in posix_locks.everybodys() if one.pid == pid] != []
        assert Path(f"/proc/{pid}/maps").read_text() == before
        assert process.tracer(pid) == 0
        eventually(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "S")


def test_a_program_that_becomes_another_at_that_moment() -> None:
    """Where its system calls are is looked for once it stands still: the memory of before is gone after execve(2)."""
    script = 'i=$(($1 + 1)); [ $i -lt 1500 ] && exec sh -c "$0" "$0" $i; exit 7'
    with subprocess.Popen(["sh", "-c", script, script, "0"]) as restless:
        taken = 0
        while restless.poll() is None:
            try:
                os.close(userfaultfd.from_outside(restless.pid))
                taken += 1
            except (ProcessLookupError, PermissionError):  # it has ended
                break
    assert restless.returncode == 7, "it was made to call where nothing is"
    assert taken > 10
