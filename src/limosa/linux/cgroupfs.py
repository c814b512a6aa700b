"""The kernel's cgroup hierarchies: where they are mounted, and one directory or file of them at a time.

Source: cgroups(7); Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

UNIFIED: Final = "unified"
_DELEGATE: Final = "/sys/kernel/cgroup/delegate"
_READ_BYTES: Final = 1 << 20


class Hierarchy(NamedTuple):
    """One mounted hierarchy, as this process sees it."""

    name: str  # "unified" for v2; else its v1 controllers as /proc/PID/cgroup has them: "cpu,cpuacct", "name=systemd"
    mount_point: str
    mount_root: str  # the group that is mounted there; "/" unless somebody bound a part
    own_group: str  # the group of this process

    @property
    def unified(self) -> bool:
        """Say whether it is cgroup v2."""
        return self.name == UNIFIED

    @property
    def controllers(self) -> tuple[str, ...]:
        """Return the v1 controllers. v2 says them per group, in `cgroup.controllers`."""
        return () if self.unified else tuple(self.name.split(","))

    def directory(self, group: str) -> str:
        """Return the directory of `group`, a path from the hierarchy's root such as `/limosa/0123`."""
        inside = group.removeprefix(self.mount_root.rstrip("/"))
        return f"{self.mount_point}/{inside.strip('/')}".rstrip("/")


def hierarchies() -> tuple[Hierarchy, ...]:
    """Return the mounted hierarchies, v2 last. Source: proc_pid_cgroup(5), proc_pid_mountinfo(5)."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = file.read()
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = file.read()
    return parsed(own, mounts)


def parsed(own: str, mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies that the texts of /proc/PID/cgroup and /proc/PID/mountinfo describe."""
    lines = (line for line in mountinfo.splitlines() if " - cgroup" in line)  # of hundreds, with many containers
    mounted = [mount for line in lines if (mount := _mount(line)) is not None]
    found = []
    for line in own.splitlines():
        _, controllers, group = line.split(":", 2)
        wanted = set(controllers.split(",")) if controllers else set()
        for options, root, place in mounted:
            if options == wanted if not wanted else wanted <= options:
                found.append(Hierarchy(controllers or UNIFIED, place, root, group))
                break
    return tuple(sorted(found, key=lambda one: one.unified))


def _mount(line: str) -> tuple[set[str], str, str] | None:
    """Return (super block options, nothing for v2; root; mount point) of a cgroup mount."""
    before, _, after = line.partition(" - ")
    fields, (fstype, _, options) = before.split(" "), after.split(" ", 2)
    if fstype not in ("cgroup", "cgroup2"):
        return None
    return set(options.split(",")) if fstype == "cgroup" else set(), _plain(fields[3]), _plain(fields[4])


def _plain(field: str) -> str:
    for escaped, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, character)
    return field


def delegatable_files() -> frozenset[str]:
    """Return the v2 files that may belong to the owner of a delegated group. Source: sysfs-kernel-cgroup (ABI)."""
    try:
        return frozenset(read(_DELEGATE).split())
    except FileNotFoundError:  # before 4.15
        return frozenset(("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"))


def make(directory: str) -> bool:
    """Make the group `directory` and say whether it was missing. Raises: OSError (EAGAIN: a limit of descendants)."""
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return False
    return True


def remove(directory: str) -> None:
    """Remove a group without children and processes. Raises: FileNotFoundError; OSError EBUSY: it has some."""
    os.rmdir(directory)


def read(path: str) -> str:
    """Return a file's value without the newline at its end. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode().rstrip("\n")


def write(path: str, value: str) -> None:
    """Write a file's value in one piece, which is how the kernel takes it.

    Raises: OSError with the file's name: FileNotFoundError, EINVAL, EBUSY, ERANGE, …; the old value stands.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode() or b"\n")
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from error
    finally:
        os.close(descriptor)


def groups(directory: str) -> Iterator[str]:
    """Yield `directory` and every group below, each before its children. Nothing if it is gone."""
    try:
        with os.scandir(directory) as entries:
            below = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return
    yield directory
    for name in below:
        yield from groups(f"{directory}/{name}")


def processes(directory: str) -> list[int]:
    """Return the processes in the group itself by their pids here; nothing if it is gone or takes threads only."""
    try:
        return [int(word) for word in read(f"{directory}/cgroup.procs").split() if word != "0"]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return []
        raise


def wait_for_event(path: str, key: str, value: str, timeout_s: float) -> bool:
    """Wait until a `cgroup.events` file has `key value`, and say whether it came to that within `timeout_s`.

    The kernel wakes the waiting process (POLLPRI), so nothing is asked again and again. Raises: OSError ENOENT or
    ENODEV: the group is gone. Source: cgroup-v2.rst, "[Un]populated Notification".
    """
    import select

    deadline = time.monotonic() + timeout_s
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLPRI)
        while f"{key} {value}" not in os.pread(descriptor, _READ_BYTES, 0).decode().splitlines():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            poller.poll(max(1, int(left_s * 1000)))
    finally:
        os.close(descriptor)
    return True


def signal_members(members: Callable[[], list[int]], signal_number: int) -> int:
    """Signal every process that `members` lists and return how many there were.

    The list is read again while the processes are held by pidfd, so a number that was reused by somebody else in the
    meantime is never signalled. Source: pidfd_open(2), pidfd_send_signal(2).
    """
    import signal  # two thirds of a millisecond of enumerations, for who kills

    held = []
    try:
        for pid in members():
            try:
                held.append((pid, os.pidfd_open(pid)))
            except ProcessLookupError:
                continue
        still = set(members())
        for pid, descriptor in held:
            if pid in still:
                try:
                    signal.pidfd_send_signal(descriptor, signal_number)
                except ProcessLookupError:
                    continue
    finally:
        for _, descriptor in held:
            os.close(descriptor)
    return len(held)


def group_of(pid: int, hierarchy: str) -> str:
    """Return the group of a process in one hierarchy ("unified", or a v1 controller).

    Raises: ProcessLookupError: no such process; KeyError: no such hierarchy. Source: proc_pid_cgroup(5).
    """
    try:
        text = read(f"/proc/{pid}/cgroup")
    except (FileNotFoundError, ProcessLookupError) as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        if hierarchy in (controllers or UNIFIED).split(","):
            return group
    raise KeyError(hierarchy)
