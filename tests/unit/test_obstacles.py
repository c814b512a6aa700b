"""What stands in the way of a checkpoint: the rules, and how they are told."""

import socket
import stat
import struct

import pytest

from limosa.adapters.criu import refusals, stats, wire
from limosa.cli.doctor import obstacle_table
from limosa.linux.descriptors import Descriptor, Mapping, MountFacts, SocketFacts
from limosa.linux.sock_diag import UnixSocket
from limosa.model.obstacle import Obstacle, refusal

LIMIT = 1 << 30


def device(major: int, minor: int) -> Descriptor:
    return Descriptor(3, "/dev/it", stat.S_IFCHR | 0o600, (major, minor))


@pytest.mark.parametrize(
    ("descriptor", "code"),
    [
        (Descriptor(3, "anon_inode:[eventpoll]"), None),
        (Descriptor(3, "anon_inode:inotify"), None),
        (Descriptor(3, "anon_inode:[pidfd]"), None),
        (Descriptor(3, "anon_inode:[io_uring]"), "LIM-CRIU-012"),
        (Descriptor(3, "anon_inode:bpf-prog"), "LIM-CRIU-013"),
        (Descriptor(3, "anon_inode:[perf_event]"), "LIM-CRIU-014"),
        (Descriptor(3, "anon_inode:[userfaultfd]"), "LIM-CRIU-015"),
        (device(1, 3), None),
        (device(5, 0), None),
        (device(136, 7), None),
        (device(10, 200), None),
        (device(10, 200)._replace(interface="tun0"), "LIM-CRIU-021"),
        (device(10, 229), "LIM-CRIU-021"),
        (device(226, 128), "LIM-CRIU-021"),
        (Descriptor(3, "/dev/sda", stat.S_IFBLK | 0o600, (8, 0)), "LIM-CRIU-021"),
        (Descriptor(3, "/tmp/x (deleted)", stat.S_IFREG, allocated_bytes=LIMIT, removed=True), None),
        (Descriptor(3, "/tmp/x (deleted)", stat.S_IFREG, allocated_bytes=LIMIT + 1, removed=True), "LIM-CRIU-017"),
        (Descriptor(3, "/tmp/x", stat.S_IFREG, allocated_bytes=LIMIT + 1), None),
    ],
)
def test_descriptors(descriptor: Descriptor, code: str | None) -> None:
    found = refusals.of_descriptor(descriptor, LIMIT)
    assert (found and found.code) == code


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (SocketFacts(socket.AF_INET, socket.SOCK_STREAM, 6), None),
        (SocketFacts(socket.AF_INET6, socket.SOCK_DGRAM, 17), None),
        (SocketFacts(socket.AF_INET, socket.SOCK_RAW, 47), None),
        (SocketFacts(socket.AF_INET, socket.SOCK_STREAM, 132), "SCTP"),
        (SocketFacts(socket.AF_INET, socket.SOCK_STREAM, 262), "MPTCP"),
        (SocketFacts(socket.AF_INET, socket.SOCK_DGRAM, 17, corked=True), "UDP_CORK"),
        (SocketFacts(socket.AF_PACKET, socket.SOCK_RAW, 0), None),
        (SocketFacts(40, socket.SOCK_STREAM, 0), "vsock"),
        (SocketFacts(99, socket.SOCK_STREAM, 0), "number 99"),
        (SocketFacts(socket.AF_NETLINK, 3, 0, port_id=7, groups=(1, 32)), None),
        (SocketFacts(socket.AF_NETLINK, 3, 0, port_id=7, groups=(33,)), "group 33"),
        (SocketFacts(socket.AF_NETLINK, 3, 0, groups=(1,)), "without a port"),
    ],
)
def test_sockets(facts: SocketFacts, said: str | None) -> None:
    found = refusals.of_socket(facts)
    assert (found is None) if said is None else (found is not None and said in found.what)


def test_a_unix_socket_is_judged_by_its_other_end() -> None:
    stream, datagram = 1, 2
    known = {
        1: UnixSocket(1, stream, 2, ""),
        2: UnixSocket(2, stream, 1, "/run/server\0"),
        3: UnixSocket(3, datagram, 4, ""),
        4: UnixSocket(4, datagram, 0, "\0log"),
        5: UnixSocket(5, datagram, 6, ""),
        6: UnixSocket(6, datagram, 5, ""),
    }
    assert refusals.of_unix(known[1], known, inside={1, 2}) is None
    half = refusals.of_unix(known[1], known, inside={1})
    assert half is not None
    assert "/run/server whose" in half.what
    assert refusals.of_unix(known[3], known, inside={3}) is None, "criu connects it anew, by its name"
    assert refusals.of_unix(known[5], known, inside={5}) is not None, "there is no name to connect to"
    assert refusals.of_unix(UnixSocket(7, datagram, 8, ""), known, inside={7}) is not None, (
        "in another network namespace"
    )
    assert refusals.of_unix(known[4], known, inside={4}) is None, "it is not connected"


def test_a_unix_socket_that_waits_to_be_accepted() -> None:
    stream, connected, listening = 1, 1, 10
    client = UnixSocket(1, stream, 0, "", connected)
    server = UnixSocket(2, stream, 0, "/s", listening, waiting=(1,))
    known = {1: client, 2: server}
    assert refusals.of_unix(client, known, inside={1, 2}) is None
    assert refusals.of_unix(client, known, inside={1}) is not None, "the server is outside"
    assert refusals.of_unix(client, {1: client}, inside={1}) is not None, "in another network namespace"
    closed = client._replace(shutdown=3)
    assert refusals.of_unix(closed, {1: closed}, inside={1}) is None, "the other end is gone"
    abandoned = refusals.of_unix(server._replace(waiting=(0,)), known, inside={1, 2})
    assert abandoned is not None
    assert abandoned.code == "LIM-CRIU-016"


def test_nested_namespaces() -> None:
    first = {"uts": "uts:[1]", "net": "net:[1]", "mnt": "mnt:[1]", "time": "t:[1]", "time_for_children": "t:[1]"}
    assert refusals.of_namespaces(first, first) == []
    assert refusals.of_namespaces({**first, "mnt": "mnt:[2]"}, first) == [], "nested mount namespaces come back"
    assert [kind for kind, _ in refusals.of_namespaces({**first, "uts": "uts:[2]", "net": "net:[2]"}, first)] == [
        "uts",
        "net",
    ]
    assert [kind for kind, _ in refusals.of_namespaces({**first, "time_for_children": "t:[2]"}, first)] == ["time"]


def test_mounts_mappings_files_and_interfaces() -> None:
    assert refusals.of_mount(MountFacts(1, "0:5", "/mnt", "fuse.sshfs"), {"0:6"}) is not None
    assert refusals.of_mount(MountFacts(1, "0:5", "/proc/meminfo", "fuse.lxcfs"), {"0:5"}) is None
    assert refusals.of_mount(MountFacts(1, "0:5", "/tmp", "tmpfs"), set()) is None
    queues = MountFacts(1, "0:5", "/dev/mqueue", "mqueue")
    assert refusals.of_mount(queues, set()) is None
    full = refusals.of_mount(queues, set(), ["q"])
    assert full is not None
    assert full.hint.endswith("rm /dev/mqueue/q")
    assert refusals.of_mapping(Mapping("0-1", "/dev/zero (deleted)", (1, 5))) is None
    assert refusals.of_mapping(Mapping("0-1", "/dev/dri/card0", (226, 0))) is not None
    queue = Descriptor(3, "/q", stat.S_IFREG, mount_id=7)
    assert refusals.of_mount_of(queue, {1}) is not None
    assert refusals.of_mount_of(queue, {7}) is None
    assert refusals.of_mount_of(queue._replace(link="/memfd:x (deleted)"), {1}) is None
    assert refusals.of_interface("eth0") is None
    assert refusals.of_interface("wg0") is not None
    places = (("/data", "the volume data"),)
    outside = refusals.of_outer_file(Descriptor(3, "/data/file", stat.S_IFREG), places)
    assert outside is not None
    assert "the volume data" in outside.what
    assert refusals.of_outer_file(Descriptor(3, "/database", stat.S_IFREG), places) is None


def test_the_first_obstacle_is_the_error_and_the_others_are_its_cause() -> None:
    ring = Obstacle("LIM-CRIU-012", "redis-server", 31, "fd 7", "holds an io_uring", "deny it")
    note = Obstacle("LIM-CRIU-026", "redis-server", 31, "fd 8", "has /data/x open", "", stops=False)
    assert refusal("web", []) is None
    assert refusal("web", [note]) is None
    error = refusal("web", [note, ring, *[ring._replace(pid=pid) for pid in range(5)]], "criu dump: no")
    assert error is not None
    assert error.code == "LIM-CRIU-012"
    assert error.summary.startswith('cannot checkpoint "web": redis-server (pid 31) holds an io_uring (fd 7)')
    assert error.cause.startswith("criu dump: no; redis-server (pid 0)")
    assert error.cause.endswith("and 2 more: limosa doctor web")
    assert error.hint == "deny it"


def test_the_table_says_what_helps_once() -> None:
    ring = Obstacle("LIM-CRIU-012", "redis-server", 31, "fd 7", "holds an io_uring", "deny it")
    text = obstacle_table("web", [ring, ring._replace(pid=32)])
    assert text.count("deny it") == 1
    assert text.endswith('"web": 2 of these would stop a checkpoint')
    assert obstacle_table("web", []) == '"web": nothing would stop a checkpoint'


def test_crius_times_of_a_dump() -> None:
    entry = {1: ("freezing", "int"), 2: ("frozen", "int"), 3: ("memdump", "int")}
    dump = {"freezing": 1200, "frozen": 34000, "memdump": 5}
    body = wire.encode({1: ("dump", entry)}, {"dump": dump})
    head = struct.pack("<III", 0x55105940, 0x57093306, len(body))
    assert stats.stopped_ns(head + body) == 35_200_000
    for damage in (b"", head, b"x" * 40, head[:4] + b"zzzz" + head[8:] + body):
        with pytest.raises(ValueError):
            stats.stopped_ns(damage)
