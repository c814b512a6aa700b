"""What no commit can have: how a program comes to it, what limosa has to say of it, and how the program ends it.

Data only: `tests/e2e/test_obstacles.py` has the program that is told the orders, `docs/compatibility.md` what was said.
"""

from typing import Final

FORGET: Final = "kept.clear()"
END_CHILD: Final = "pid = kept.pop(); os.kill(pid, 9); os.waitpid(pid, 0)"
# name: (order, code, process, what is said, where, order that undoes it)
CASES: Final = {
    "io_uring": (
        "kept.append(os.fdopen(libc.syscall(425, 4, ctypes.create_string_buffer(120))))",
        ("LIM-CRIU-012", "io_uring", "fd "),
        FORGET,
    ),
    "userfaultfd": ("kept.append(os.fdopen(libc.syscall(323, 1)))", ("LIM-CRIU-015", "userfaultfd", "fd "), FORGET),
    "a device": ("kept.append(open('/dev/fuse', 'rb+', 0))", ("LIM-CRIU-021", "/dev/fuse", "fd "), FORGET),
    "a tunnel": (
        "import fcntl; kept.append(open('/dev/net/tun', 'rb+', 0));"
        "fcntl.ioctl(kept[-1], 0x400454CA, struct.pack('16sH14x', b'tun0', 1))",
        ("LIM-CRIU-021", "tun0", "fd "),
        FORGET,
    ),
    "a corked datagram": (
        "kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)); kept[-1].setsockopt(17, 1, 1)",
        ("LIM-CRIU-016", "UDP_CORK", "fd "),
        FORGET,
    ),
    "multipath TCP": (
        "kept.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))",
        ("LIM-CRIU-016", "MPTCP", "fd "),
        FORGET,
    ),
    "vsock": ("kept.append(socket.socket(40, socket.SOCK_STREAM))", ("LIM-CRIU-016", "vsock", "fd "), FORGET),
    "unread netlink": (
        "kept.append(socket.socket(socket.AF_NETLINK, 3, 0)); kept[-1].bind((0, 0));"
        "kept[-1].send(struct.pack('=IHHIIB3x', 20, 18, 0x301, 1, 0, 0))",
        ("LIM-CRIU-016", "unread netlink", "fd "),
        FORGET,
    ),
    "half of a unix socket": (
        "kept.append(socket.socket(socket.AF_UNIX)); kept[-1].connect('/host/server')",
        ("LIM-CRIU-022", "outside", "fd "),
        FORGET,
    ),
    "a unix socket that was accepted": (
        "kept.append(socket.socket(socket.AF_UNIX)); kept[-1].connect('/host/answering')",
        ("LIM-CRIU-022", "/answering", "fd "),
        FORGET,
    ),
    "a nested UTS namespace": (
        "kept.append(child(0x04000000))",
        ("LIM-CRIU-023", "namespace", "namespace uts"),
        END_CHILD,
    ),
    "a nested network": ("kept.append(child(0x40000000))", ("LIM-CRIU-023", "namespace", "namespace net"), END_CHILD),
    "a message queue": (
        "kept.append(os.fdopen(libc.mq_open(b'/q', 0o102, 0o600, None)))",
        ("LIM-CRIU-027", "/q", "fd "),
        "kept.clear(); libc.mq_unlink(b'/q')",
    ),
    "a queue that nobody has open": (
        "os.close(libc.mq_open(b'/q', 0o102, 0o600, None))",
        ("LIM-CRIU-024", "message queues (q)", "mount /dev/mqueue"),
        "libc.mq_unlink(b'/q')",
    ),
    "a removed large file": (
        "kept.append(open('/tmp/big', 'w+b')); os.posix_fallocate(kept[-1].fileno(), 0, (1 << 30) + (1 << 20));"
        "os.unlink('/tmp/big')",
        ("LIM-CRIU-017", "/tmp/big", "fd "),
        FORGET,
    ),
    "a traced process": (
        "pid = os.fork()\nif not pid:\n    libc.ptrace(0, 0, 0, 0); time.sleep(9999)\nkept.append(pid)",
        ("LIM-CRIU-025", "traced", ""),
        END_CHILD,
    ),
}
