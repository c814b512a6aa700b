"""What a process has open, and in which namespaces it is. Source: proc_pid_fd(5), proc_pid_ns(5), proc_pid_maps(5)."""

import os
import socket
import stat

from limosa.linux import libc
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_SYS_PIDFD_GETFD: Final = 438
_SOL_NETLINK: Final = 270
_NETLINK_LIST_MEMBERSHIPS: Final = 9
_UDP_CORK: Final = 1
_TUN: Final = (10, 200)
_NO_INODE: Final = ("socket:", "pipe:")
_MOUNTINFO_FIELDS: Final = 6


class Descriptor(NamedTuple):
    """One open descriptor. The last three say nothing of sockets, pipes and anonymous inodes."""

    number: int
    link: str  # "socket:[7]", "anon_inode:[eventpoll]", "/var/log/x (deleted)"
    mode: int = 0  # with the type of the file, as st_mode
    device: tuple[int, int] = (0, 0)  # of a device node: major, minor
    allocated_bytes: int = 0
    removed: bool = False  # no name is left
    mount_id: int = 0  # where the file is; 0 if it was not asked for
    interface: str = ""  # of a tun device: the network interface that it is


class SocketFacts(NamedTuple):
    """What a socket is. `kind` is SOCK_STREAM and so on."""

    family: int
    kind: int
    protocol: int
    corked: bool = False
    port_id: int = 0  # of netlink
    groups: tuple[int, ...] = ()  # of netlink


class Mapping(NamedTuple):
    """A mapping of something that is no ordinary file."""

    addresses: str
    path: str
    device: tuple[int, int]


class MountFacts(NamedTuple):
    """A line of a mount table."""

    mount_id: int
    device: str  # major:minor of its file system
    point: str
    kind: str


def descriptors(pid: int, *, with_mounts: bool = False) -> list[Descriptor]:
    """Return what a process has open, by number; what is closed meanwhile is left out. Nothing if it has ended."""
    found = []
    try:
        numbers = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return []
    for number in numbers:
        path = f"/proc/{pid}/fd/{number}"
        try:
            link = os.readlink(path)
            if link.startswith(_NO_INODE) or link.startswith("anon_inode:"):
                found.append(Descriptor(number, link))
                continue
            status = os.stat(path)
        except OSError:
            continue
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
        one = Descriptor(number, link, status.st_mode, device, status.st_blocks * 512, removed=status.st_nlink == 0)
        if with_mounts or device == _TUN:
            said = _details(pid, number)
            one = one._replace(mount_id=int(said.get("mnt_id", "0")), interface=said.get("iff", ""))
        found.append(one)
    return found


def _details(pid: int, number: int) -> dict[str, str]:
    """Return what fdinfo says of a descriptor, by field. Source: proc_pid_fdinfo(5)."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def namespaces(pid: int) -> dict[str, str]:
    """Return a process's namespaces, kind to "uts:[7]"; nothing if it has ended."""
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/ns"):
            found[name] = os.readlink(f"/proc/{pid}/ns/{name}")
    except OSError:
        return {}
    return found


def socket_facts(pid: int, number: int) -> SocketFacts | None:
    """Return what a socket of another process is, None if it was closed meanwhile. Source: pidfd_getfd(2), socket(7).

    Nothing of it changes: it is asked through a duplicate of its descriptor.
    """
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        duplicate = int(libc.loaded().syscall(_SYS_PIDFD_GETFD, process, number, 0))
    finally:
        os.close(process)
    if duplicate < 0:
        return None
    try:
        opened = socket.socket(fileno=duplicate)
    except OSError:  # another file has the number now
        os.close(duplicate)
        return None
    with opened:
        facts = SocketFacts(int(opened.family), int(opened.type), opened.proto)
        try:
            return _with_details(opened, facts)
        except OSError:
            return facts


def _with_details(opened: socket.socket, facts: SocketFacts) -> SocketFacts:
    inet = facts.family in (socket.AF_INET, socket.AF_INET6)
    if inet and facts.kind == socket.SOCK_DGRAM and facts.protocol == socket.IPPROTO_UDP:
        return facts._replace(corked=bool(opened.getsockopt(socket.IPPROTO_UDP, _UDP_CORK)))
    if facts.family == socket.AF_NETLINK:
        port_id = opened.getsockname()[0]
        bits = opened.getsockopt(_SOL_NETLINK, _NETLINK_LIST_MEMBERSHIPS, 256)
        groups = [8 * at + bit + 1 for at, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1]
        return facts._replace(port_id=port_id, groups=tuple(groups))
    return facts


def odd_mappings(pid: int) -> list[Mapping]:
    """Return a process's mappings of devices and of files without a name of their own; nothing if it has ended."""
    found = []
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.rstrip("\n").split(None, 5)
                path = fields[5] if len(fields) > 5 else ""
                if path.startswith(("/dev/", "anon_inode:", "socket:")):
                    status = os.stat(f"/proc/{pid}/map_files/{_plain(fields[0])}")
                    if not stat.S_ISREG(status.st_mode):
                        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
                        found.append(Mapping(fields[0], path, device))
    except OSError:
        return found
    return found


def _plain(addresses: str) -> str:
    """Return a range as map_files names it: without leading zeros."""
    return "-".join(f"{int(address, 16):x}" for address in addresses.split("-"))


def tracer(pid: int) -> int:
    """Return the pid of who traces a process, 0 if nobody does. Source: proc_pid_status(5)."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("TracerPid:")), 0)
    except OSError:
        return 0


def mount_table(pid: int | str) -> list[MountFacts]:
    """Return what is mounted where a process is ("self": this one); nothing if it has ended.

    Source: proc_pid_mountinfo(5).
    """
    found = []
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split(" ")
                dash = fields.index("-", _MOUNTINFO_FIELDS)
                found.append(MountFacts(int(fields[0]), fields[2], fields[4], fields[dash + 1]))
    except OSError:
        return []
    return found


def unread_netlink(pid: int) -> set[int]:
    """Return the inodes of netlink sockets with messages that nobody has read, in a process's network namespace."""
    found = set()
    try:
        with open(f"/proc/{pid}/net/netlink", encoding="ascii") as file:
            next(file)
            for line in file:
                fields = line.split()
                if int(fields[4]):
                    found.add(int(fields[9]))
    except (OSError, StopIteration):
        return set()
    return found


def interfaces(pid: int) -> list[str]:
    """Return the network interfaces of a process's network namespace; nothing if it has ended."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:
            return [line.partition(":")[0].strip() for line in file if ":" in line]
    except OSError:
        return []


def names_in(pid: int, directory: str) -> list[str]:
    """Return the names in a directory as a process sees it; nothing if it has ended or there is no such directory."""
    try:
        return sorted(os.listdir(f"/proc/{pid}/root{directory}"))
    except OSError:
        return []
