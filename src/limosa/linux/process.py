"""Start processes and wait for them: the only module that does.

`subprocess` costs 8 ms to import and is loaded when a process is first started with captured output; `posix_spawn`
serves the rest.  Nothing is ever passed to a shell.
"""

import os
from collections.abc import Callable, Mapping, Sequence

from limosa.model.hints import Any, Final, NoReturn
from limosa.model.value import NamedTuple

_SYS_CLONE: Final = 56  # x86-64
_SYS_PIDFD_GETFD: Final = 438
_CLONE_FILES: Final = 0x400
_DEFAULTS: Final = (13, 2, 3, 25)  # SIGPIPE, SIGINT, SIGQUIT, SIGXFSZ: a millisecond of enumerations otherwise


class Finished(NamedTuple):
    """A process that has ended. `status` is 0..255, or 128 + signal number."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


class CommandFailed(Exception):
    """A process ended with a status other than 0. The message has the command, the status and its last words."""

    def __init__(self, finished: Finished) -> None:
        words = finished.stderr.decode(errors="replace").strip() or finished.stdout.decode(errors="replace").strip()
        super().__init__(f"{' '.join(finished.argv[:3])} … ended with {finished.status}: {words[-2000:]}")
        self.finished = finished
        self.words = words


def exit_status(wait_status: int) -> int:
    """Return a wait status as a shell would: 0..255, or 128 + the signal that ended the process. Source: wait(2)."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def capture(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    timeout_s: float | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run `argv` to its end and return its status and output.

    Raises: FileNotFoundError: no such program. TimeoutError: it ran longer than `timeout_s` and was killed.
    """
    import subprocess

    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            env=env,
            cwd=cwd,
            timeout=timeout_s,
            pass_fds=tuple(pass_fds),
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise TimeoutError(f"{argv[0]} did not end within {timeout_s} s") from expired
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Finished(tuple(argv), status, done.stdout, done.stderr)


def run(argv: Sequence[str], **options: object) -> bytes:
    """Run `argv` as `capture` does and return its standard output. Raises: CommandFailed: its status is not 0."""
    finished = capture(argv, **options)  # type: ignore[arg-type]
    if finished.status != 0:
        raise CommandFailed(finished)
    return finished.stdout


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: int | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run `argv`, give each line of its output (both streams, as they come) to `on_line`, and return its status.

    Its standard input is the descriptor `stdin`, or nothing. If `on_line` raises, the process is killed and waited for.
    """
    import subprocess

    with subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=tuple(pass_fds),
        env=env,
        cwd=cwd,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        except BaseException:
            process.kill()
            raise
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], files: Sequence[tuple[int, int]] = (), session: bool = False
) -> int:
    """Start `argv` (an absolute path first) without waiting and return its pid.

    `files` are (descriptor here, number there); standard streams not named stay as they are. `session` starts a new
    session. It gets no other descriptor, also none that this process was given by its own parent or that a library
    left inheritable: criu loses its own among many (docs/adr/0003), and conmon would hold them for as long as it lives.
    Source: posix_spawn(3).
    """

    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, here, there) for here, there in files]
    actions += [(os.POSIX_SPAWN_CLOSE, other) for other in _inheritable() - {there for _, there in files}]
    return os.posix_spawn(
        argv[0],
        list(argv),
        dict(env),
        file_actions=actions,
        setsid=session,
        setsigmask=[],
        setsigdef=_DEFAULTS,
    )


def _inheritable() -> set[int]:
    """Return the descriptors above the standard streams that a program started now would get."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.add(int(name))
        except OSError:  # the listing's own
            continue
    return found


def wait(pid: int) -> int:
    """Wait for a child and return its exit status as `exit_status` gives it."""
    return exit_status(os.waitpid(pid, 0)[1])


def replace(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Become `argv` (an absolute path first). Raises: OSError: it cannot be executed; this process goes on."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(argv[0], list(argv), dict(env))


def start_ticks(pid: int) -> int:
    """Return when `pid` started, in clock ticks after boot: with the pid, it names one process for good.

    Raises: ProcessLookupError: there is no such process. Source: proc_pid_stat(5), field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError) as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    return int(text.rsplit(b")", 1)[1].split()[19])


def parent(pid: int) -> int:
    """Return the pid of a process's parent, 0 if the process is gone. Source: proc_pid_stat(5), field 4."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def tracer(pid: int) -> int:
    """Return the pid of who traces a process, 0 if nobody does or it is gone. Source: proc_pid_status(5), TracerPid."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"TracerPid:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def pid_inside(pid: int) -> int:
    """Return the number that a process of this machine has in its container. Source: proc_pid_status(5), NSpid.

    Raises: OSError: it is gone.
    """
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [str(pid)])
    return int(numbers[:2][-1])


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, none if it is gone. Source: proc_pid_task(5), children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command(pid: int) -> str:
    """Return a process's command line, empty if it is gone. Source: proc_pid_cmdline(5)."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def borrow(pid: int, link_ends_with: str) -> int:
    """Return a duplicate of the first descriptor of `pid` whose link in /proc ends so.

    Raises: OSError: it has none (ENOENT), or this process may not trace it. Source: pidfd_getfd(2).
    """
    import errno

    from limosa.linux import libc

    process = os.pidfd_open(pid)
    try:
        for name in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
            if os.readlink(f"/proc/{pid}/fd/{name}").endswith(link_ends_with):
                found = int(libc.loaded().syscall(_SYS_PIDFD_GETFD, process, int(name), 0))
                if found < 0:
                    libc.failed("")
                return found
    finally:
        os.close(process)
    raise OSError(errno.ENOENT, f"process {pid} has no descriptor of that kind")


def alive(pid: int, ticks: int) -> bool:
    """Say whether the process that started at `ticks` still runs under `pid` (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(fields[19]) == ticks and fields[0] not in (b"Z", b"X")


def ended(pid: int, ticks: int, timeout_s: float | None) -> bool:
    """Wait until the process that started at `ticks` (0: whichever has the pid) has ended; say whether it has.

    It need not be a child. Source: pidfd_open(2): a pidfd is readable once the process has ended.
    """
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if ticks and not alive(pid, ticks):
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else max(0, int(timeout_s * 1000))))
    finally:
        os.close(descriptor)


def capability_bound() -> int:
    """Return the mask of the capabilities that this process and its descendants can have. Source: capabilities(7)."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))


def fork_off(work: Callable[[], None], keep: Sequence[int]) -> int:
    """Start a copy of this process in a session of its own, which does `work` and ends; return its pid.

    It has what is loaded already, but of the descriptors only `keep`, and no signal but SIGKILL reaches it unless
    `work` lets it. This process must have one thread. It is the caller's child, and init's once that has ended.
    Source: fork(2).
    """
    import gc
    import signal

    pid = os.fork()
    if pid:
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        last = 2
        for number in sorted(keep):
            os.closerange(last + 1, number)
            last = number
        os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
        gc.disable()
        gc.freeze()  # what is loaded stays in memory that both have
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def watched_by_copy(dead: Callable[[], None]) -> int:
    """Start a copy of this process that shares its descriptors and calls `dead` when this one has died; return its pid.

    What this process opens later, the copy holds too: if this process dies, its descriptors stay open until `dead` has
    returned. This process must have one thread; it ends the copy with SIGKILL before it ends itself.
    Source: clone(2), CLONE_FILES; pidfd_open(2).
    """
    import ctypes
    import select
    import signal

    watched = os.pidfd_open(os.getpid())
    # PyDLL keeps the interpreter's lock: nothing but this thread knows of the call.
    pid = int(ctypes.PyDLL(None).syscall(_SYS_CLONE, _CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0))
    if pid < 0:
        os.close(watched)
        raise OSError("there is no process for a watch")
    if pid:
        return pid
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        while not poll.poll():
            continue
        dead()
    finally:
        os._exit(0)
