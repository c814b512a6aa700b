"""What is in a stranger's dump, held against what limosa gives a container: criu, which is root, does as images say.

Digests prove that a commit is as somebody made it, not that a dump made it. So before criu sees images of a stranger,
each is read to its end (`images`), and whatever criu takes from the host, or does as the host's root, is compared
with what a container of this configuration has. See docs/adr/0021. Source: CRIU images/*.proto, criu/*.c.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

from limosa.adapters.criu import confined_mounts, ids, images
from limosa.adapters.criu.schema import Message
from limosa.adapters.criu.wire import WireError
from limosa.model import capabilities
from limosa.model.confinement import Allowance
from limosa.model.container import SUBORDINATE_IDS
from limosa.model.errors import LimosaError

_DEAD: Final = (2, 6)  # a task that has ended, and one that its parent has not waited for
_MOST_PID: Final = 1 << 22
_UNCONFINED: Final = (b"", b"unconfined")
_NAMESPACES: Final = {5: "pid", 6: "network", 7: "ipc", 8: "uts", 9: "mount", 10: "user", 11: "cgroup"}
_TIME: Final = 12
_SHARED_BY_ALL: Final = (5, 10)  # criu knows no namespaces of these kinds below the container's
_ORDINARY_POLICIES: Final = (0, 3, 5)  # SCHED_OTHER, SCHED_BATCH, SCHED_IDLE
_FILTERED: Final = 2
_USER_SPACE_END: Final = 1 << 47
_MOST_FILTERS: Final = 1024
_MOST_SHOWN: Final = 3


class Set:
    """The messages of a dump by kind, without what says nothing about the host (registers)."""

    def __init__(self, criu_images: str) -> None:
        """Raises: WireError: there is something that criu does not write; OSError."""
        self.all: dict[str, list[tuple[int, Message]]] = {}
        for found in images.messages(criu_images):
            if found.stem == "core-%":
                found.message.pop(2, None)
            if found.stem == "mm-%":
                _check_areas(found.message.pop(14, []))
            self.all.setdefault(found.stem, []).append((found.number, found.message))
        for stem in ("inventory", "pstree", "cgroup", "files"):
            if not self.all.get(stem):
                raise WireError(f"no {stem}.img")

    def by_number(self, stem: str) -> dict[int, Message]:
        """Return the messages of a kind that has one per file, by the number in its name."""
        return dict(self.all.get(stem, []))

    def each(self, stem: str) -> list[Message]:
        """Return the messages of a kind."""
        return [message for _, message in self.all.get(stem, [])]


def _check_areas(areas: list[Message]) -> None:
    last = 0
    for area in areas:
        if not last <= area[1] < area[2] <= _USER_SPACE_END and area[1] < _USER_SPACE_END:
            raise WireError("a memory whose areas are not in a row")
        last = area[2]


def require(criu_images: str, allowance: Allowance) -> None:
    """Do what `Checkpointer.require_confined` says."""
    reasons: dict[str, None] = {}
    try:
        found = Set(criu_images)
        for reason in violations(found, allowance):
            reasons[reason] = None
        if not reasons:
            ids.strip_groups(criu_images, found.each("cgroup")[0])
    except (WireError, OSError) as malformed:
        if reasons:
            raise _beyond(list(reasons)) from malformed
        raise LimosaError(
            "LIM-CRIU-040",
            "the memory of this commit is not what criu writes for a container",
            state="nothing was restored; no criu ran",
            cause=f"there is {malformed}",
            hint="the commit came from elsewhere: it is damaged, of another criu, or somebody made it up",
        ) from malformed
    if reasons:
        raise _beyond(list(reasons))


def _beyond(reasons: list[str]) -> LimosaError:
    more = f"; and {len(reasons) - _MOST_SHOWN} more" if len(reasons) > _MOST_SHOWN else ""
    return LimosaError(
        "LIM-CRIU-041",
        "this commit would reach out of its container",
        state="nothing was restored; no criu ran",
        cause="; ".join(reasons[:_MOST_SHOWN]) + more,
        hint="limosa gives no container that: the commit was made up, or its host gives containers something else",
    )


def violations(found: Set, allowance: Allowance) -> Iterator[str]:
    """Yield, in words, what the images ask for beyond what is allowed. Raises: WireError: they do not fit together."""
    yield from _inventory(found)
    tasks = _tasks(found)
    yield from _namespaces(found, tasks, allowance)
    yield from _user_namespace(found, allowance)
    for pid in tasks:
        yield from _task(pid, found, allowance)
    yield from _files(found, allowance)
    yield from _groups(found)
    namespaces = {found.by_number("ids-%")[pid][9] for pid in tasks if pid in found.by_number("ids-%")}
    yield from confined_mounts.violations(found.all.get("mountpoints-%", []), namespaces, allowance)


def _inventory(found: Set) -> Iterator[str]:
    inventory = found.each("inventory")[0]
    if inventory[1] != 2 or not inventory.get(2) or not inventory.get(4):
        raise WireError("an inventory of a criu that is too old or too new")
    if inventory.get(12, {}).get(12):
        yield "it needs plugins of criu"
    if inventory.get(14):
        yield "it has uprobes"


def _tasks(found: Set) -> list[int]:
    """Return the pids of the processes that have not ended, the first one first."""
    entries = found.each("pstree")
    known: set[int] = set()
    for entry in entries:
        pid = entry[1]
        first = not known
        if pid in known or not 0 < pid <= _MOST_PID or (pid == 1) != first or (entry[2] == 0) != first:
            raise WireError(f"a process {pid} that cannot be")
        if not first and entry[2] not in known and entry[2] not in {one[1] for one in entries}:
            raise WireError(f"a process {pid} without a parent")
        known.add(pid)
    cores, threads = found.by_number("core-%"), {number for entry in entries for number in entry.get(5, [])}
    if set(cores) != threads | known:
        raise WireError("processes and threads that do not fit together")
    return [pid for pid in known if cores[pid].get(3, {}).get(1) not in _DEAD]


def _namespaces(found: Set, tasks: list[int], allowance: Allowance) -> Iterator[str]:
    hosts = found.each("inventory")[0].get(3)
    own = found.by_number("ids-%")
    if hosts is None or 1 not in own or any(pid not in own for pid in tasks):
        raise WireError("processes of which nobody knows the namespaces")
    for field, name in _NAMESPACES.items():
        if field == 6 and not allowance.own_network:
            continue
        if field not in hosts or any(field not in own[pid] for pid in tasks):
            raise WireError(f"processes of which nobody knows the {name} namespace")
        for pid in tasks:
            if own[pid][field] == hosts[field]:
                yield f"process {pid} would be in the host's {name} namespace"
            elif field in _SHARED_BY_ALL and own[pid][field] != own[1][field]:
                yield f"process {pid} has a {name} namespace of its own"
    for pid in tasks:
        if own[pid].get(_TIME, hosts.get(_TIME)) != hosts.get(_TIME):
            yield f"process {pid} has a time namespace of its own"


def _user_namespace(found: Set, allowance: Allowance) -> Iterator[str]:
    spaces = found.by_number("userns-%")
    if list(spaces) != [found.by_number("ids-%")[1][10]]:
        yield "it has other user namespaces than its own"
        return
    (space,) = spaces.values()
    for which, field in (("users", 1), ("groups", 2)):
        extents = [(one[1], one[2], one[3]) for one in space.get(field, [])]
        if extents != [(0, allowance.first_host_id, SUBORDINATE_IDS)]:
            yield f"its {which} would be others of the host: {str(extents[:2])[:80]}"


def _task(pid: int, found: Set, allowance: Allowance) -> Iterator[str]:
    cores = found.by_number("core-%")
    (entry,) = (entry for entry in found.each("pstree") if entry[1] == pid)
    task = cores[pid].get(3)
    if task is None or 11 in task or 12 in task:
        raise WireError(f"a process {pid} of an old criu")
    if _signed(task.get(14, 0)) < 0:
        yield f"process {pid} would be spared by the host's killer of processes (oom_score_adj)"
    for thread in dict.fromkeys([pid, *entry.get(5, [])]):
        core = cores[thread].get(5)
        if core is None or 10 not in core:
            raise WireError(f"a thread {thread} without credentials")
        yield from _credentials(f"thread {thread}" if thread != pid else f"process {pid}", core[10], allowance)
        if allowance.seccomp_filter is not None:
            yield from _filters(thread, core, found, allowance.seccomp_filter)
        if core.get(4, 0) not in _ORDINARY_POLICIES or _zigzag(core.get(3, 0)) < 0:
            yield f"thread {thread} would be preferred to the host's processes"


def _credentials(who: str, creds: Message, allowance: Allowance) -> Iterator[str]:
    if any(number >= SUBORDINATE_IDS for number in [creds[field] for field in range(1, 9)] + creds.get(14, [])):
        yield f"{who} has an id that no container has"
    for field in (9, 10, 11, 12, 19):
        mask = sum(word << 32 * index for index, word in enumerate(creds.get(field, [])[:4]))
        names = [f"capability {bit}" for bit in range(len(capabilities.BY_NUMBER), 128) if mask >> bit & 1]
        names += [name for bit, name in enumerate(capabilities.BY_NUMBER) if mask >> bit & 1]
        beyond = [name for name in names if name not in allowance.capabilities]
        if beyond or len(creds.get(field, [])) > 4:
            yield f"{who} has {', '.join(beyond[:3])}"
    if allowance.no_new_privileges and creds.get(18) != 1:
        yield f"{who} could get privileges by executing a program (no_new_privs)"
    if creds.get(15, b"") not in _UNCONFINED or creds.get(16) or creds.get(17):
        yield f"{who} has a profile of a security module"


def _filters(thread: int, core: Message, found: Set, wanted: bytes) -> Iterator[str]:
    filters = [one for entry in found.each("seccomp") for one in entry.get(1, [])]
    if core.get(11) != _FILTERED:
        yield f"thread {thread} has no seccomp filter"
        return
    index: Any = core.get(12, -1)
    for _ in range(_MOST_FILTERS):
        if not isinstance(index, int) or not 0 <= index < len(filters):
            raise WireError(f"a thread {thread} with a seccomp filter that is not there")
        if 2 not in filters[index]:
            break
        index = filters[index][2]
    else:
        raise WireError(f"a thread {thread} with too many seccomp filters")
    if filters[index][1] != wanted:
        yield f"thread {thread} has another seccomp filter than limosa's"


def _signed(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


_REFUSED_FILES: Final = {15: "a tunnel", 16: "a file of a plugin", 19: "a bpf map", 0: "an unknown file"}
_FIELD_OF_TYPE: Final = {
    **{1: 3, 2: 18, 3: 17, 4: 4, 5: 16, 6: 8, 7: 9, 8: 13, 9: 10, 10: 6, 11: 19, 12: 14, 13: 7, 14: 5},
    **{17: 12, 18: 20, 20: 22},
}
_REG, _INOTIFY, _UNIX, _NS, _PACKET, _INET, _TTY, _FANOTIFY = 1, 8, 5, 14, 10, 4, 11, 12
_SOCK_RAW: Final = 3
_ODD_UNIX: Final = 0b1110  # flags of criu's: its own socket, one that a callback or the caller provides
_KINDS_OF_FILES: Final = (0o100000, 0o040000, 0o010000, 0o120000, 0o140000)
_EXTERNAL_TTY: Final = 5


def _files(found: Set, allowance: Allowance) -> Iterator[str]:
    mounts = {message[2]: message for message in found.each("mountpoints-%")}
    known: set[int] = set()
    host_ids = {found.each("inventory")[0].get(3, {}).get(field) for field in _NAMESPACES}
    for entry in found.each("files"):
        kind, number = entry[1], entry[2]
        if kind in _REFUSED_FILES:
            yield f"it has {_REFUSED_FILES[kind]} open"
            continue
        field = _FIELD_OF_TYPE.get(kind)
        if field is None or set(entry) != {1, 2, field} or number in known or entry[field][1] != number:
            raise WireError(f"an open file {number} that cannot be")
        known.add(number)
        body = entry[field]
        if kind == _REG:
            yield from _path(body[6], body.get(7), mounts)
            if body.get(9):
                yield "it has a file of the host open"
        elif kind == _UNIX:
            yield from _socket(body)
        elif kind == _NS and body[2] in host_ids:
            yield "it has a namespace of the host open"
        elif kind in (_INOTIFY, _FANOTIFY):
            yield from _watches(kind, body, mounts)
        elif (kind == _PACKET or (kind == _INET and body[4] == _SOCK_RAW)) and (
            "CAP_NET_RAW" not in allowance.capabilities
        ):
            yield "it has a raw socket, for which it has no capability"
    if any(entry[2] == _EXTERNAL_TTY for entry in found.each("tty-info")):
        yield "it has a terminal of the host"
    yield from _removed_files(found, known)


def _path(name: bytes, mount_id: int | None, mounts: dict[int, Message]) -> Iterator[str]:
    text = os.fsdecode(name)
    if b"\0" in name or ".." in text.split("/"):
        yield f"it has {text[:80]!r} open, a path that leads elsewhere"
    if mount_id is not None and mount_id != 1 and _zigzag(mount_id) not in mounts:
        yield f"it has {text[:80]!r} open, on no mount of its own"


def _socket(body: Message) -> Iterator[str]:
    name = body[11]
    path = b"" if name.startswith(b"\0") else name.rstrip(b"\0")
    if body[6] & _ODD_UNIX or any(b".." in one.split(b"/") for one in (path, body.get(14, b""))):
        yield f"it has a socket {os.fsdecode(name)[:80]!r} that leads elsewhere"


def _watches(kind: int, body: Message, mounts: dict[int, Message]) -> Iterator[str]:
    """A watch is found again by a path, or by a handle, which on a file system of the host's could be any file."""
    own_devices = {mount[3] for mount in mounts.values() if 18 not in mount}
    if kind == _INOTIFY:
        watches = [(one[5], one[7]) for one in body.get(5, [])]
    else:
        watches = [(mark[6], mark[7][2]) for mark in body.get(6, []) if 7 in mark]
        if any(8 in mark for mark in body.get(6, [])):
            yield "it watches a whole file system"
    for device, handle in watches:
        path = handle.get(4, b"")
        if b".." in path.split(b"/") or (not path and device not in own_devices):
            yield "it watches a file that is not its own"


def _removed_files(found: Set, known: set[int]) -> Iterator[str]:
    ghosts = found.by_number("ghost-file-%")
    for entry in found.each("remap-fpath"):
        if entry.get(3, 0) not in (0, 1, 2) or (entry.get(3, 0) == 0 and entry[2] not in known):
            raise WireError("a removed file that is not there")
    for ghost in ghosts.values():
        if ghost[3] & 0o170000 not in _KINDS_OF_FILES:
            yield "it has a device of its own making open"
        if ghost[1] >= SUBORDINATE_IDS or ghost[2] >= SUBORDINATE_IDS:
            yield "it has a removed file open whose owner no container has"


def _groups(found: Set) -> Iterator[str]:
    """The container's own group is where its first process is; every other one is that or below."""
    groups = found.each("cgroup")[0]
    sets = {entry[1]: entry.get(2, []) for entry in groups.get(1, [])}
    first = found.by_number("core-%")[1].get(5, {}).get(16)
    if first not in sets:
        raise WireError("a first process without a cgroup")
    own: dict[bytes, bytes] = {}
    for member in sets[first]:
        own[member[1]] = member[2][: member[3]] if member.get(3) else member[2]
    for members in sets.values():
        if {member[1] for member in members} != set(own):
            raise WireError("cgroups of different hierarchies")
        for member in members:
            root, path, prefix = own[member[1]], member[2], member.get(3, 0)
            inside = path == root or path.startswith(root + b"/")
            if not inside or prefix not in (0, len(root)) or not _plain(path) or len(root) < 2:
                yield f"a process would be in the cgroup {os.fsdecode(path)[:80]!r}"
    for controller in groups.get(2, []):
        names = controller.get(1, [])
        roots = {own.get(name) for name in names}
        if not names or len(roots) != 1 or None in roots:
            raise WireError("a cgroup hierarchy in which no process is")
        for directory in controller.get(2, []):
            if b"/" + directory[1] not in roots:
                yield f"the cgroup {os.fsdecode(directory[1])[:80]!r} would be made"
            yield from _below(directory.get(2, []))


def _below(directories: list[Message]) -> Iterator[str]:
    for directory in directories:
        if not _plain(b"/" + directory[1]):
            yield f"the cgroup {os.fsdecode(directory[1])[:80]!r} would be made"
        yield from _below(directory.get(2, []))


def _plain(path: bytes) -> bool:
    """Say whether an absolute path leads to no place but the one that it names."""
    parts = path.split(b"/")[1:]
    return path.startswith(b"/") and b"\0" not in path and not any(part in (b"", b".", b"..") for part in parts)
