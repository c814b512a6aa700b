"""Copies are themselves: their own connections, names and addresses, and what is inside goes on."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

# One process with a connection to itself over its own address, one over loopback, and clients from outside: it writes
# what it sees of each to a file, once a round.
PROGRAM = """
import json, os, socket, sys, time
own = socket.gethostbyname(socket.gethostname())
server = socket.create_server(("0.0.0.0", 7000))
pairs = []
for address in (own, "127.0.0.1"):
    client = socket.create_connection((address, 7000))
    pairs.append((client, server.accept()[0]))
outside = server.accept()[0]
outside.setblocking(False)
number, state = 0, "open"
while True:
    for client, peer in pairs:
        client.sendall(number.to_bytes(4, "big"))
        assert int.from_bytes(peer.recv(4), "big") == number
    try:
        if state == "open" and outside.recv(1) == b"":
            state = "closed"
    except BlockingIOError:
        pass
    except OSError as error:
        state = error.strerror
    with open("/tmp/seen.new", "w") as file:
        json.dump({"number": number, "outside": state, "own": own}, file)
    os.rename("/tmp/seen.new", "/tmp/seen")
    number += 1
    time.sleep(0.01)
"""


def seen(limosa: Limosa, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(limosa("exec", name, "cat", "/tmp/seen"))
    return found


def test_connections_inside_stay_and_others_live_on_in_the_original(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM)
    connect = (
        "import socket,time; c = socket.create_connection(('one', 7000)); print('in', flush=True); time.sleep(900)"
    )
    limosa("run", "-d", "--name", "client", "python", "python3", "-c", connect)
    eventually(lambda: "in" in limosa.logs("client"))
    before = seen(limosa, "one")
    commit = limosa("checkpoint", "one").strip()
    copies = limosa("fork", "-n", "2", commit).split()
    time.sleep(0.3)
    for name in copies:
        here = seen(limosa, name)
        assert here["own"] == before["own"], "the address inside is the original's"
        assert int(str(here["number"])) > int(str(before["number"])), "connections with both ends inside go on"
        assert here["outside"] == "Software caused connection abort"
    original = seen(limosa, "one")
    assert original["outside"] == "open", "and live on in the original"
    addresses = {limosa.records()[name]["addresses"]["ipv4"] for name in ("one", *copies)}
    assert len(addresses) == 3


def test_a_renamed_copy_goes_on_being_translated(limosa: Limosa, busybox_rootfs: str) -> None:
    limosa.has_image("box", busybox_rootfs)
    limosa("run", "-d", "--name", "one", "box", "sleep", "1000")
    (name,) = limosa("fork", "one").split()
    limosa("rename", name, "two")
    limosa("restart", "-t", "0", "two")
    address = limosa.records()["two"]["addresses"]["ipv4"].partition("/")[0]
    limosa("run", "--rm", "box", "ping", "-c", "1", "-W", "20", address)
    limosa("run", "--rm", "box", "ping", "-c", "1", "-W", "20", "two")
    limosa("rm", "--force", "two")
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert [line for line in mounts if f"{limosa.root}/networks/translators/" in line] == []


# Random state of a program's own in a page that fork(2) wipes, and ordinary memory beside it.
WIPED = """
import ctypes, mmap, os, time
page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
page.madvise(18)  # MADV_WIPEONFORK
page[:6] = b"secret"
kept = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
kept[:4] = b"kept"
while True:
    with open("/tmp/seen.new", "w") as file:
        file.write(f"{page[:6]!r} {kept[:4]!r} {os.uname().nodename}")
    os.rename("/tmp/seen.new", "/tmp/seen")
    time.sleep(0.01)
"""


def test_a_copy_can_tell_that_it_is_one(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "--hostname", "original", "python", "python3", "-c", WIPED)
    machine_id = "0123456789abcdef0123456789abcdef\n"
    limosa("exec", "-i", "one", "sh", "-c", "cat >/etc/machine-id", stdin=machine_id)
    generation = limosa("exec", "one", "cat", "/run/.limosa-generation")
    limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/seen ]; do sleep 0.1; done")
    commit = limosa("checkpoint", "one").strip()
    copies = limosa("fork", "-n", "2", commit).split()
    time.sleep(0.3)
    names = ("one", *copies)
    assert limosa("exec", "one", "cat", "/tmp/seen") == "b'secret' b'kept' original"
    assert limosa("exec", "one", "cat", "/etc/hostname") == "original\n"
    for name in copies:
        short_id = limosa.records()[name]["container_id"][:12]
        zeros = r"b'\\x00\\x00\\x00\\x00\\x00\\x00'".replace("\\\\", "\\")
        assert limosa("exec", name, "cat", "/tmp/seen") == f"{zeros} b'kept' {short_id}"
        assert limosa("exec", name, "cat", "/etc/hostname") == f"{short_id}\n"
    assert len({limosa("exec", name, "cat", "/etc/machine-id") for name in names}) == 3
    assert limosa("exec", "one", "cat", "/etc/machine-id") == machine_id
    assert limosa("exec", "one", "cat", "/run/.limosa-generation") == generation
    assert len({limosa("exec", name, "cat", "/run/.limosa-generation") for name in names}) == 3
    limosa("kill", "one")
    limosa("wait", "one")
    limosa("restore", commit)
    assert limosa("exec", "one", "cat", "/run/.limosa-generation") != generation, "time went back for it"
    time.sleep(0.2)
    assert "secret" not in limosa("exec", "one", "cat", "/tmp/seen")


# Files, each at its own place, behind numbers that are many, scattered and high.
HOLDER = """
import os, time
numbers = [*range(10, 130), 512, 1023, 1024, 1500]
for number in numbers:
    descriptor = os.open("/tmp/held", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, bytes(2000))
    os.lseek(descriptor, number, os.SEEK_SET)
    os.dup2(descriptor, number)
    if descriptor not in numbers:
        os.close(descriptor)
print("held", flush=True)
while True:
    wrong = [number for number in numbers if os.lseek(number, 0, os.SEEK_CUR) != number]
    with open("/tmp/wrong.new", "w") as file:
        file.write(str(wrong))
    os.rename("/tmp/wrong.new", "/tmp/wrong")
    time.sleep(0.02)
"""
NEWLY_SAID = "rm -f /tmp/wrong; until test -e /tmp/wrong; do sleep 0.05; done; cat /tmp/wrong"


def test_many_and_high_descriptors_come_back(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", HOLDER)
    eventually(lambda: "held" in limosa.logs("one"))
    commit_id = limosa("checkpoint", "--stop", "one").split()[-1]
    limosa("restore", commit_id)
    limosa("fork", "--name", "two", commit_id)
    for name in ("one", "two"):
        assert limosa("exec", name, "sh", "-c", NEWLY_SAID) == "[]"


# Becomes a program that has as many more descriptors as the first argument says, from 4 on.
LADEN = """
import os, sys
null = os.open("/dev/null", os.O_RDONLY)
for number in range(4, 4 + int(sys.argv[1])):
    os.dup2(null, number)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_what_the_caller_holds_does_not_matter(limosa: Limosa, busybox_rootfs: str) -> None:
    """Criu moves its own descriptors to 113..127, and over each other if it was started with about this many."""
    limosa.has_image("box", busybox_rootfs)
    limosa("run", "-d", "--name", "one", "box", "sleep", "1000")
    commit_id = limosa("checkpoint", "--stop", "one").split()[-1]
    for more in (104, 106, 108, 112):
        argv = [
            sys.executable,
            "-c",
            LADEN,
            str(more),
            LIMOSA,
            "--root",
            limosa.root,
            "fork",
            "--name",
            "two",
            commit_id,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"with {more} descriptors: {done.stderr}"
        limosa("exec", "two", "true")
        limosa("rm", "--force", "two")


# A web server that counts while it lives: what it answers tells which copy it is and whether it went on.
SERVER = """
import http.server, os, threading, time
number = 0
def count():
    global number
    while True:
        number += 1
        time.sleep(0.001)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with open("/tmp/name") as file:
            self.wfile.write(f"{file.read()} {number}".encode())
    def log_message(self, *_):
        pass
with open("/tmp/name", "w") as file:
    file.write("original")
threading.Thread(target=count, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Answer).serve_forever()
"""
HOOK = "sh -c 'echo -n $LIMOSA_NAME of $LIMOSA_COPY_OF >/tmp/name; cat /proc/1/stat >/tmp/stat; echo said'"


@pytest.mark.parametrize("disk", [(), ("--disk", "300m")], ids=["no limit", "a disk"])
def test_what_a_copy_of_a_removed_container_brought_back_stays_for_the_next(
    limosa: Limosa, busybox_rootfs: str, disk: tuple[str, ...]
) -> None:
    limosa.has_image("bb", busybox_rootfs)
    run = ("run", "-d", "--name", "one", "--network", "none", *disk)
    container_id = limosa(*run, "bb", "sleep", "1000").strip()
    limosa("exec", "one", "sh", "-c", "echo kept >/root/note")
    limosa("checkpoint", "--tag", "good", "one")
    limosa("rm", "-f", "one")
    brought_back = f"{limosa.root}/storage/snapshots/{container_id}"
    assert not os.path.exists(brought_back)
    for name in ("two", "three"):
        limosa("fork", "--name", name, "good")
        assert limosa("exec", name, "cat", "/root/note") == "kept\n"
        assert len(os.listdir(brought_back)) == 1
        assert limosa("recover").strip() == "nothing to recover", "it is no leftover of a dead command"
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            assert brought_back not in mounts.read()
    assert len(os.listdir(brought_back)) == 1
    limosa("untag", "good")
    limosa("forget", "two")
    assert not os.path.exists(brought_back)
    assert limosa("exec", "three", "cat", "/root/note") == "kept\n"


def test_copies_publish_ports_of_their_own_and_run_a_hook_before_they_go_on(limosa: Limosa, python_rootfs: str) -> None:
    import urllib.request

    def answer(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as reply:
            return str(reply.read().decode())

    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "web", "-p", "18000:8000", "python", "python3", "-c", SERVER)
    eventually(lambda: limosa("exec", "web", "cat", "/tmp/name") == "original")
    commit = limosa("checkpoint", "web").strip()
    names = limosa("fork", "-n", "2", "--name", "c", "-p", "18001-18002:8000", "--hook", HOOK, commit).split()
    assert names == ["c-1", "c-2"], "what the hook prints is no answer of fork's"
    for name, port in (("c-1", 18001), ("c-2", 18002)):
        said, _, counted = answer(port).rpartition(" ")
        assert said == f"{name} of web"
        assert int(counted) > 0
        assert str(port) in limosa("port", name)
        running, stopped = (limosa("exec", name, "cat", path).split() for path in ("/proc/1/stat", "/tmp/stat"))
        assert stopped[2] in "tT", "it stood still"
        assert running[21] == stopped[21], "and is the same process"
    assert answer(18000).startswith("original "), "the original keeps its port"
    limosa("checkpoint", "c-1")  # the hook left nothing that would be in the way

    assert "LIM-NET-005" in limosa("fork", "-p", "18000:8000", commit, status=1)
    assert "LIM-CLI-003" in limosa("fork", "-n", "2", "-p", "18005:8000", commit, status=2)
    for hook in ("false", "/no/such/program"):
        assert "LIM-HOOK-002" in limosa("fork", "--name", "lost", "--hook", hook, commit, status=1)
    assert "lost" not in limosa.records()
    limosa("fork", "-n", "2", "-p", "8000", commit)
    published = [record["config"]["ports"] for record in limosa.records().values()]
    assert len({port["host_port"] for ports in published for port in ports}) == 5

    refused = limosa("rewind", "c-1", commit, status=1)
    assert "LIM-CONT-031" in refused
    assert f"limosa fork {commit[:12]}" in refused, "what was asked for is not to be had, this is"
    limosa("rm", "--force", "web")
    limosa("fork", "-p", "18000:8000", "--name", "taker", commit)
    refused = limosa("restore", commit, status=1)
    assert "LIM-NET-005" in refused
    assert "'taker' has it" in refused
    assert f"limosa fork -p OTHER:8000 {commit[:12]}" in refused
    assert "web" not in limosa.records()


def test_copies_have_ids_of_their_own(limosa: Limosa, python_rootfs: str) -> None:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "--user", "1234", "python", "sleep", "1000")
    limosa("exec", "--user", "0", "one", "sh", "-c", "echo mine >/root/mine; chown 1234:99 /root/mine")
    copies = limosa("fork", "-n", "2", "one").split()
    commit = limosa("checkpoint", "one").strip()
    limosa("rm", "--force", "one")
    limosa("run", "-d", "--name", "taker", "python", "sleep", "1000")  # gets the ids that were given back
    limosa("restore", commit)
    found = limosa.records()
    firsts = {name: found[name]["first_host_id"] for name in ("one", "taker", *copies)}
    assert len(set(firsts.values())) == 4
    for name in ("one", *copies):
        assert os.stat(f"/proc/{found[name]['init_pid']}").st_uid == firsts[name] + 1234
        assert limosa("exec", "--user", "0", name, "stat", "-c", "%u %g", "/root/mine") == "1234 99\n"
        assert "1234" in limosa("exec", name, "id", "-u")
    again = limosa("checkpoint", copies[0]).strip()
    limosa("rm", "--force", copies[0])
    limosa("restore", again)
    assert limosa("exec", copies[0], "id", "-u") == "1234\n"


def test_a_copy_may_have_the_ids_that_the_removed_original_had(limosa: Limosa, busybox_rootfs: str) -> None:
    """Ids are handed out from the lowest: a later copy gets those of the commit, an earlier one others."""
    limosa.has_image("busybox", busybox_rootfs)
    for name in ("first", "second"):
        limosa("run", "-d", "--name", name, "busybox", "sh", "-c", "exec 3>/tmp/open; while :; do sleep 1; done")
    commit = limosa("checkpoint", "second").strip()
    limosa("rm", "--force", "first", "second")
    limosa("fork", "-n", "3", "--name", "copy", commit)
    records = limosa.records().values()
    assert len({one["first_host_id"] for one in records}) == 3
    for one in records:
        with open(f"/proc/{one['init_pid']}/status", encoding="ascii") as file:
            (ids,) = [line.split()[1:] for line in file if line.startswith("Uid:")]
        assert {int(number) for number in ids} == {one["first_host_id"]}, one["config"]["name"]
