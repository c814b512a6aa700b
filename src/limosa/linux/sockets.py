"""Which ports the sockets of this network namespace hold, and who holds them."""

import errno
import os
import socket

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_TCP_LISTEN: Final = 0x0A


class Owner(NamedTuple):
    """A process that has a socket open."""

    pid: int
    name: str


def bindable(protocol: str, address: str, port: int) -> bool:
    """Say whether a server could bind to the port now; `address` "" means every address of both families.

    Raises: OSError other than "in use" (EADDRNOTAVAIL: no address of this host). Source: bind(2).
    """
    return all(_bindable(protocol, one, port) for one in ([address] if address else ["0.0.0.0", "::"]))  # noqa: S104


def _bindable(protocol: str, address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        probe = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return True  # a kernel without IPv6: nobody else can have it either
        raise
    with probe:
        if protocol == "tcp":  # connections of the past do not count, listeners do
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
            if protocol == "tcp":
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if address == "::" and error.errno == errno.EADDRNOTAVAIL:
                return True  # IPv6 is switched off
            raise
    return True


def free_port(protocol: str, address: str) -> int:
    """Return a port that the kernel would give to a socket now; nothing keeps it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port


def port_owner(protocol: str, port: int) -> Owner | None:
    """Return a process that listens on (TCP) or is bound to (UDP) the port, or None when none can be found.

    Source: proc_net_tcp in the kernel's documentation, proc_pid_fd(5).
    """
    inodes = {
        inode
        for table in (protocol, f"{protocol}6")
        for inode in _bound_inodes(f"/proc/thread-self/net/{table}", port, listening=protocol == "tcp")
    }
    return _holder({f"socket:[{inode}]" for inode in inodes}) if inodes else None


def _bound_inodes(path: str, port: int, *, listening: bool) -> list[str]:
    try:
        with open(path) as file:
            lines = file.readlines()[1:]
    except FileNotFoundError:
        return []
    rows = [line.split() for line in lines]
    return [
        row[9]
        for row in rows
        if int(row[1].rpartition(":")[2], 16) == port and (not listening or int(row[3], 16) == _TCP_LISTEN)
    ]


def _holder(targets: set[str]) -> Owner | None:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") in targets:
                    with open(f"/proc/{pid}/comm") as file:
                        return Owner(int(pid), file.read().strip())
        except OSError:  # it ended, or a descriptor was closed meanwhile
            continue
    return None
