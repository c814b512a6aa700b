"""Hosts, segments and containers made of network namespaces, and servers and clients that are threads in them.

A `Host` is a network namespace; the test's own thread enters it (`with host:`) and everything that it does there,
limosa's adapter included, happens on that host. A `Guest` stands for a container: a process in a user namespace and
network namespace of its own, as the OCI runtime makes it.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from limosa.linux import namespaces

_LIBC = ctypes.CDLL(None, use_errno=True)


def new_network_namespace() -> int:
    """Return a descriptor of a new network namespace; the calling thread stays where it is."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert _LIBC.unshare(namespaces.CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.setns(own, namespaces.CLONE_NEWNET)
        return made
    finally:
        os.close(own)


def sh(command: str) -> str:
    """Run a shell command on the host where the thread is."""
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


class Host:
    """A network namespace with lo up. Entering twice is not possible; leaving goes back to where the thread was."""

    def __init__(self) -> None:
        self.namespace = new_network_namespace()
        self._stack: list[contextlib.AbstractContextManager[None]] = []
        with self:
            sh("ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0")

    def __enter__(self) -> "Host":
        inside = namespaces.entered(self.namespace)
        inside.__enter__()
        self._stack.append(inside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.pop().__exit__(kind, value, trace)

    def close(self) -> None:
        """Let the kernel take it down."""
        os.close(self.namespace)


class Guest:
    """A container's first process."""

    def __init__(self) -> None:
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:  # the child: no Python machinery beyond this
            status = _LIBC.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNET)
            os.write(tell, b"x" if status == 0 else b"!")
            while True:
                signal.pause()
        os.close(tell)
        assert os.read(ready, 1) == b"x"
        os.close(ready)
        self.namespace = namespaces.open_network(self.pid)

    def kill(self) -> None:
        """End it; repeating it does nothing."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.namespace)
            self.pid = 0

    def sh(self, command: str) -> str:
        """Run a shell command inside."""
        with namespaces.entered(self.namespace):
            return sh(command)


class Echo:
    """A TCP or UDP server, IPv4 and IPv6, that answers with the address it sees the client at."""

    def __init__(self, namespace: int, port: int, kind: int = socket.SOCK_STREAM, name: str = "") -> None:
        self.seen = 0
        self._name = name
        with namespaces.entered(namespace):
            self._socket = socket.socket(socket.AF_INET6, kind)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("::", port))
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        target = self._tcp if kind == socket.SOCK_STREAM else self._udp
        if kind == socket.SOCK_STREAM:
            self._socket.listen(8)
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()

    def _answer(self, peer: str) -> bytes:
        self.seen += 1
        return f"{self._name} {peer.removeprefix('::ffff:')}".strip().encode()

    def _tcp(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, peer = self._socket.accept()
                with client:
                    client.settimeout(2)
                    client.sendall(self._answer(peer[0]))

    def _udp(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                _, peer = self._socket.recvfrom(100)
                self._socket.sendto(self._answer(peer[0]), peer)

    def close(self) -> None:
        """Stop serving."""
        self._ended.set()
        self._thread.join()
        self._socket.close()


def ask(
    namespace: int | None, address: str, port: int, kind: int = socket.SOCK_STREAM, timeout_s: float = 2.0
) -> str | None:
    """Return what the server at `address` answers to a client in `namespace` (None: where the thread is), or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.entered(namespace) if namespace is not None else contextlib.nullcontext():
        client = socket.socket(family, kind)
    with client:
        client.settimeout(timeout_s)
        try:
            client.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                client.send(b"?")
            return client.recv(100).decode()
        except OSError:
            return None


def join(host: Host, name: str, other: Host, other_name: str) -> None:
    """Lay a cable between two hosts."""
    with host:
        sh(f"ip link add {name} type veth peer name limosatmp")
        sh(f"ip link set limosatmp netns /proc/{os.getpid()}/fd/{other.namespace} name {other_name}")
        sh(f"ip link set {name} up")
    with other:
        sh(f"ip link set {other_name} up")


def beside(outside: Host) -> Host:
    """Make a second host where `outside` is: that becomes a switch between both, and keeps its address."""
    second = Host()
    with outside:
        sh("ip link add sw type bridge; ip link set sw up; ip link set eth0 master sw")
        sh("ip addr flush dev eth0; ip addr add 198.51.100.9/24 dev sw")
    join(second, "up0", outside, "eth1")
    with outside:
        sh("ip link set eth1 master sw")
    return second


def until(condition: object, timeout_s: float = 3.0) -> bool:
    """Wait until `condition()` holds, and say whether it did."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def udp_frame(source_mac: str, target_mac: str, source: str, target: str, port: int) -> bytes:
    """Return an Ethernet frame with a datagram that no kernel would send by itself."""
    udp = struct.pack("!HHHH", 4444, port, 9, 0) + b"?"
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, *map(socket.inet_aton, (source, target))
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", 0xFFFF - ((total & 0xFFFF) + (total >> 16))) + header[12:]
    return bytes.fromhex((target_mac + source_mac).replace(":", "")) + b"\x08\x00" + header + udp


@contextlib.contextmanager
def listening(protocol: str, port: int) -> Iterator[None]:
    """Hold a port of the host where the thread is."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("0.0.0.0", port))
        if protocol == "tcp":
            holder.listen(1)
        yield
