"""What CRIU refuses, as rules over facts.

Source: CRIU 4.2, criu/files.c, tty.c, sockets.c, sk-inet.c, sk-unix.c, sk-netlink.c, namespaces.c, mount.c.
A rule returns what is the matter, or None. Processes and numbers are put to it by `obstacles`.
"""

import socket
import stat
from collections.abc import Mapping, Sequence

from limosa.linux.descriptors import Descriptor, MountFacts, SocketFacts
from limosa.linux.descriptors import Mapping as OddMapping
from limosa.linux.sock_diag import UNIX_CONNECTED, UNIX_LISTENING, UnixSocket
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_ANONYMOUS: Final = ("eventfd", "eventpoll", "inotify", "fanotify", "signalfd", "timerfd", "pidfd")
_DENIED: Final = "run it with --seccomp default, limosa's own default, which refuses it"
_FAMILIES: Final = {
    16: "netlink", 17: "packet", 15: "key", 21: "RDS", 29: "CAN", 30: "TIPC", 31: "bluetooth", 38: "ALG", 40: "vsock",
    43: "SMC", 44: "XDP", 45: "MCTP",
}  # fmt: skip
_PROTOCOLS: Final = {33: "DCCP", 132: "SCTP", 262: "MPTCP"}
_DUMPED_PROTOCOLS: Final = (0, 1, 6, 17, 58, 136)  # IP, ICMP, TCP, UDP, ICMPv6, UDP-Lite
_SOCK_RAW, _SOCK_DGRAM = 3, 2
_BOTH_WAYS: Final = 3
_MEMORY_MAJOR, _MISC_MAJOR = 1, 10
_DUMPED_MISC: Final = (200, 235)  # tun, autofs
_TERMINALS: Final = (4, 5, *range(128, 144), 188, 204)
_ZERO: Final = (1, 5)
_DUMPED_MOUNTS: Final = (
    *("proc", "sysfs", "devtmpfs", "binfmt_misc", "tmpfs", "devpts", "simfs", "pstore", "mqueue", "securityfs"),
    *("fusectl", "debugfs", "tracefs", "cgroup", "cgroup2", "overlay", "autofs"),
)
EMPTY_MOUNTS: Final = ("mqueue",)  # dumped only while nothing is in them
_UNMOUNTED: Final = ("/memfd:", "/anon_hugepage", "/SYSV", "/dev/zero")  # of the kernel's own mounts, and dumped
_KERNELS_OWN: Final = ("tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0")
_MOST_GROUP: Final = 32


class Refusal(NamedTuple):
    """Why something cannot be dumped: the error's code, what the process does, what helps."""

    code: str
    what: str
    hint: str


def of_descriptor(descriptor: Descriptor, ghost_limit_bytes: int) -> Refusal | None:
    """Judge a descriptor that is no socket; `ghost_limit_bytes` is how much of a removed file is dumped."""
    if descriptor.link.startswith("anon_inode:"):
        return _of_anonymous(descriptor.link.removeprefix("anon_inode:").strip("[]"))
    if descriptor.interface:
        what = f"has the network interface {descriptor.interface} of {descriptor.link}"
        return Refusal(
            "LIM-CRIU-021", what, "end it before the checkpoint, and start it again after: a tunnel is connected anew"
        )
    if stat.S_ISCHR(descriptor.mode):
        return _of_device(descriptor.device, descriptor.link)
    if stat.S_ISBLK(descriptor.mode):
        return Refusal("LIM-CRIU-021", f"has the disk {descriptor.link} open", "close it before the checkpoint")
    if stat.S_ISREG(descriptor.mode) and descriptor.removed and descriptor.allocated_bytes > ghost_limit_bytes:
        size = f"{descriptor.allocated_bytes / (1 << 30):.1f} GiB"
        path = descriptor.link.removesuffix(" (deleted)")
        return Refusal(
            "LIM-CRIU-017", f"holds the removed file {path} of {size} open", "close it, or give it a name again"
        )
    return None


def of_mount_of(descriptor: Descriptor, mount_ids: set[int]) -> Refusal | None:
    """Judge a file by the mount that it is on; `mount_ids` are those of the process."""
    ordinary = stat.S_ISREG(descriptor.mode) or stat.S_ISDIR(descriptor.mode)
    if not ordinary or descriptor.link.startswith(_UNMOUNTED) or not descriptor.link.startswith("/"):
        return None
    if not descriptor.mount_id or descriptor.mount_id in mount_ids:
        return None
    what = f"has {descriptor.link} open, which is on no mount that the process sees (a message queue, or unmounted)"
    return Refusal("LIM-CRIU-027", what, "close it before the checkpoint")


def of_interface(name: str) -> Refusal | None:
    """Say of a network interface that a commit does not have it, since it is none that limosa made."""
    if name in ("lo", "eth0", *_KERNELS_OWN):
        return None
    return Refusal(
        "LIM-CRIU-028", f"has made the network interface {name}", "make it anew after a restore: no commit has it"
    )


def of_outer_file(descriptor: Descriptor, places: tuple[tuple[str, str], ...]) -> Refusal | None:
    """Say of an open file in one of `places` (path inside, what it is) that no commit has it."""
    if not stat.S_ISREG(descriptor.mode) or descriptor.removed:
        return None
    for place, what in places:
        if descriptor.link.startswith(f"{place.rstrip('/')}/"):
            hint = "a restore needs such a file to be there, with the size that it had"
            return Refusal("LIM-CRIU-026", f"has {descriptor.link} open, which is in {what} and not in a commit", hint)
    return None


def _of_anonymous(kind: str) -> Refusal | None:
    if kind.startswith(_ANONYMOUS) or kind == "bpf-map":
        return None
    if kind == "io_uring":
        return Refusal("LIM-CRIU-012", "holds an io_uring", _DENIED)
    if kind.startswith("bpf"):
        return Refusal("LIM-CRIU-013", f"holds a {kind}", _DENIED)
    if kind == "userfaultfd":
        return Refusal("LIM-CRIU-015", "holds a userfaultfd", _DENIED)
    return Refusal("LIM-CRIU-014", f"holds a descriptor of the kind {kind}", "close it, or end the process")


def _of_device(device: tuple[int, int], path: str) -> Refusal | None:
    major, minor = device
    if major in (_MEMORY_MAJOR, *_TERMINALS) or (major == _MISC_MAJOR and minor in _DUMPED_MISC):
        return None
    return Refusal(
        "LIM-CRIU-021", f"has the device {path} open", "close it before the checkpoint, and open it again after"
    )


def of_socket(facts: SocketFacts) -> Refusal | None:
    """Judge a socket, apart from who is at the other end of a unix one and what a netlink one has to read."""
    if facts.family == socket.AF_NETLINK:
        return _of_netlink(facts)
    if facts.family in (socket.AF_INET, socket.AF_INET6):
        if facts.kind != _SOCK_RAW and facts.protocol not in _DUMPED_PROTOCOLS:
            name = _PROTOCOLS.get(facts.protocol, f"number {facts.protocol}")
            hint = "GODEBUG=multipathtcp=0 keeps Go from it; others have an option" if facts.protocol == 262 else ""
            return Refusal(
                "LIM-CRIU-016", f"has a socket of the protocol {name}", hint or "close it, or use TCP or UDP"
            )
        if facts.corked:
            return Refusal("LIM-CRIU-016", "collects a datagram (UDP_CORK)", "let it send the datagram")
        return None
    if facts.family in (socket.AF_UNIX, socket.AF_PACKET):
        return None
    name = _FAMILIES.get(facts.family, f"number {facts.family}")
    return Refusal("LIM-CRIU-016", f"has a socket of the family {name}", "close it, or end the process")


def _of_netlink(facts: SocketFacts) -> Refusal | None:
    if facts.groups and max(facts.groups) > _MOST_GROUP:
        what = f"listens to netlink group {max(facts.groups)}, above {_MOST_GROUP}"
        return Refusal("LIM-CRIU-016", what, "end the process before the checkpoint")
    if facts.groups and not facts.port_id:
        return Refusal(
            "LIM-CRIU-016", "listens to netlink groups without a port", "end the process before the checkpoint"
        )
    return None


def unread_netlink() -> Refusal:
    """Return what is the matter with a netlink socket that has messages to be read."""
    return Refusal("LIM-CRIU-016", "has unread netlink messages", "try again in a moment: it may be about to read them")


def of_unix(own: UnixSocket, known: Mapping[int, UnixSocket], inside: set[int]) -> Refusal | None:
    """Judge a unix socket by its other end. `inside` are the inodes that the container's processes have open."""
    if own.state == UNIX_LISTENING and 0 in own.waiting:
        what = "has a connection waiting whose maker has closed it"
        return Refusal("LIM-CRIU-016", what, "try again when it has accepted the connection")
    if own.peer in inside or (not own.peer and not _accepted_by_nobody_inside(own, known, inside)):
        return None
    peer = known.get(own.peer)
    name = (peer.name if peer else own.name).rstrip("\0").replace("\0", "@")  # an abstract one begins with a NUL
    if peer is not None and peer.kind == _SOCK_DGRAM and peer.name:
        return None
    hint = "end the connection: stop what is at the other end, outside of the container, or let the process close it"
    return Refusal("LIM-CRIU-022", f"has a unix socket{f' to {name}' if name else ''} whose other end is outside", hint)


def _accepted_by_nobody_inside(own: UnixSocket, known: Mapping[int, UnixSocket], inside: set[int]) -> bool:
    """Say whether a socket is connected to a server outside that has not accepted it yet."""
    if own.kind == _SOCK_DGRAM or own.state != UNIX_CONNECTED or own.shutdown == _BOTH_WAYS:
        return False
    return not any(own.inode in one.waiting for inode, one in known.items() if inode in inside)


def of_mapping(mapping: OddMapping) -> Refusal | None:
    """Judge a mapping that is of no regular file."""
    if mapping.device == _ZERO:
        return None
    if "[io_uring]" in mapping.path:
        return Refusal("LIM-CRIU-012", "holds an io_uring", _DENIED)
    return Refusal("LIM-CRIU-021", f"has {mapping.path} mapped", "unmap it before the checkpoint")


def of_namespaces(own: Mapping[str, str], first: Mapping[str, str]) -> list[tuple[str, Refusal]]:
    """Return which namespaces of a process are nested ones that cannot be dumped, `first` being the first process's."""
    found = []
    for kind in ("uts", "ipc", "user", "pid", "cgroup", "time", "net"):
        if own.get(kind, "") != first.get(kind, ""):
            found.append((kind, Refusal("LIM-CRIU-023", "is in a namespace of its own", _namespace_hint(kind))))
    if own.get("time_for_children", "") != own.get("time", ""):
        what = "makes its children in a time namespace of their own"
        found.append(("time", Refusal("LIM-CRIU-023", what, _namespace_hint("time"))))
    return found


def _namespace_hint(kind: str) -> str:
    services = {"uts": "ProtectHostname=no", "user": "PrivateUsers=no", "ipc": "PrivateIPC=no"}
    if kind in services:
        return f"end it, or start it without its own {kind} namespace (a systemd service: {services[kind]})"
    return f"end it, or start it without its own {kind} namespace"


def of_mount(mounted: MountFacts, of_the_host: set[str], content: Sequence[str] = ()) -> Refusal | None:
    """Judge a mount; `of_the_host` are the devices of what the host has mounted, which come back as binds.

    `content` are the names in one of EMPTY_MOUNTS.
    """
    if content:
        what = f"has message queues ({', '.join(content[:3])})"
        return Refusal("LIM-CRIU-024", what, f"remove them: rm {mounted.point}/{content[0]}")
    if mounted.kind in _DUMPED_MOUNTS or mounted.device in of_the_host:
        return None
    return Refusal(
        "LIM-CRIU-024", f"has a {mounted.kind} mounted", "unmount it before the checkpoint, inside the container"
    )
