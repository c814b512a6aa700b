"""Every kind of file, and files that are open in every way, come back with a commit: rewound, copied, restored."""

import json
import time
from typing import Any

import pytest

from limosa.linux import device_numbers
from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged


# One process that holds files in unusual ways and says, again and again, what it finds of each.
HOLDER = """
import fcntl, hashlib, json, mmap, os, shutil, stat, time
os.unlink("/etc/hostname")
shutil.rmtree("/usr/share/doc")
os.mkdir("/usr/share/doc")
open("/usr/share/doc/new", "w").close()
os.makedirs("/srv/gone/for/ever")
os.chdir("/srv")

def deleted(path, data):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, data)
    os.lseek(descriptor, 3, os.SEEK_SET)
    os.unlink(path)
    return descriptor

small = deleted("/srv/small", b"deleted and open")
large = deleted("/srv/large", bytes(range(256)) * 40000)
in_tmpfs = deleted("/scratch/deleted", b"deleted in a tmpfs")
of_image = os.open("/etc/shells", os.O_RDONLY)
os.unlink("/etc/shells")
mapped = mmap.mmap(deleted("/srv/mapped", bytes(8192)), 8192)
mapped[4096:4102] = b"stored"
with open("/srv/one", "w") as file:
    file.write("two names")
os.link("/srv/one", "/srv/two")
linked = os.open("/srv/one", os.O_RDWR)
with open("/srv/sparse", "wb") as file:
    file.seek(1 << 30)
    file.write(b"the end")
sparse = os.open("/srv/sparse", os.O_RDWR)
os.setxattr("/srv/one", "user.note", b"\\0kept\\xff")
os.mkfifo("/srv/pipe")
pipe = os.open("/srv/pipe", os.O_RDWR)
os.write(pipe, b"in the pipe")
os.symlink("one", "/srv/link")
with open("/scratch/file", "w") as file:
    file.write("in a tmpfs")
shared = os.open("/dev/shm/shared", os.O_RDWR | os.O_CREAT)
os.write(shared, b"shared memory")
in_memory = os.memfd_create("memory")
os.write(in_memory, b"memfd")
devices = [os.open(f"/dev/{name}", os.O_RDWR) for name in ("null", "zero", "full")]
fcntl.flock(linked, fcntl.LOCK_EX)
fcntl.lockf(sparse, fcntl.LOCK_EX, 10, 5)
appended = os.open("/srv/appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
directory = os.open("/srv/gone/for", os.O_RDONLY)
os.chdir("/srv/gone/for/ever")
os.rmdir("/srv/gone/for/ever")

def found():
    yield "deleted", os.pread(small, 99, 0).decode(), os.lseek(small, 0, os.SEEK_CUR), os.fstat(small).st_nlink
    yield "large", hashlib.sha256(os.pread(large, 1 << 24, 0)).hexdigest(), os.fstat(large).st_size
    yield "in a tmpfs", os.pread(in_tmpfs, 99, 0).decode(), open("/scratch/file").read(), os.stat("/scratch").st_mode
    yield "of the image", len(os.pread(of_image, 1 << 20, 0)), os.path.exists("/etc/shells")
    yield "mapped", mapped[4090:4110].hex()
    yield "linked", os.fstat(linked).st_nlink, os.path.samestat(os.stat("/srv/two"), os.fstat(linked))
    yield "sparse", os.lseek(sparse, 0, os.SEEK_DATA), os.fstat(sparse).st_size, os.fstat(sparse).st_blocks < 100
    yield "same file", all(os.path.samestat(os.stat(f"/srv/{name}"), os.fstat(number))
                           for name, number in (("one", linked), ("sparse", sparse), ("appended", appended)))
    yield "attribute", os.getxattr("/srv/one", "user.note").hex()
    yield "pipe", os.read(pipe, 99).decode(), os.write(pipe, b"in the pipe"), os.path.samestat(
        os.stat("/srv/pipe"), os.fstat(pipe))
    yield "link", os.readlink("/srv/link")
    yield "shared memory", os.pread(shared, 99, 0).decode(), os.pread(in_memory, 99, 0).decode()
    yield "devices", os.write(devices[0], b"x"), os.read(devices[1], 2).hex(), [os.fstat(d).st_rdev for d in devices]
    try:
        os.write(devices[2], b"x")
    except OSError as full:
        yield "full", full.errno
    child = os.fork()
    if child == 0:
        other = os.open("/srv/one", os.O_RDWR)
        results = []
        for lock in (lambda: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB),
                     lambda: fcntl.lockf(os.open("/srv/sparse", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 7)):
            try:
                lock()
                results.append(0)
            except OSError as held:
                results.append(1)
        os._exit(results[0] * 2 + results[1])
    yield "locks", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    yield "directory", os.listdir(directory), os.path.exists("/proc/self/cwd/")
    yield "whiteout", os.path.exists("/etc/hostname"), sorted(os.listdir("/usr/share/doc"))

number = 0
while True:
    number += 1
    os.write(appended, b"x")
    with open("/srv/seen.new", "w") as file:
        json.dump({"number": number, "appended": os.fstat(appended).st_size, "found": list(found())}, file)
    os.rename("/srv/seen.new", "/srv/seen")
    time.sleep(0.02)
"""


def seen(limosa: Limosa, name: str) -> dict[str, Any]:
    limosa("exec", name, "sh", "-c", "rm -f /srv/seen; until test -e /srv/seen; do sleep 0.05; done")
    found: dict[str, Any] = json.loads(limosa("exec", name, "cat", "/srv/seen"))
    assert found["appended"] == found["number"], "one more byte is in the file for each round"
    return found


def test_every_kind_of_file_and_of_open_file_comes_back(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "--tmpfs", "/scratch:mode=1770", "python", "python3", "-c", HOLDER)
    eventually(lambda: "seen" in limosa("exec", "one", "ls", "/srv"))
    before = seen(limosa, "one")
    by_name = {what: rest for what, *rest in before["found"]}
    assert by_name["deleted"] == ["deleted and open", 3, 0]
    assert by_name["of the image"][1] is False
    assert (by_name["linked"], by_name["same file"], by_name["locks"]) == ([2, True], [True], [3])
    assert by_name["whiteout"] == [False, ["new"]]
    commit = limosa("checkpoint", "one").strip()
    limosa("exec", "one", "sh", "-c", "rm /usr/share/doc/new; echo >/etc/hostname; echo other >/scratch/file")
    assert seen(limosa, "one")["found"] != before["found"]
    limosa("rewind", "one", commit)
    assert seen(limosa, "one")["found"] == before["found"]
    for name in limosa("fork", "-n", "2", commit).split():
        assert seen(limosa, name)["found"] == before["found"]
        limosa("rm", "--force", name)
    limosa("rm", "--force", "one")
    limosa("restore", commit)
    assert seen(limosa, "one")["found"] == before["found"]
    again = limosa("checkpoint", "--stop", "one").strip()
    limosa("restore", again)
    assert seen(limosa, "one")["found"] == before["found"]


# A process that keeps a connection to a SQLite database open, and for each number that it is told by a file opens
# another one to look. SQLite takes two files for one if device and inode number are the same, and only then.
SQLITE = """
import os, sqlite3, sys, time
os.chdir("/srv")
kept = sqlite3.connect("database", isolation_level=None)
kept.execute(f"pragma journal_mode = {sys.argv[1]}")
kept.execute("create table sequence (number integer)")
kept.execute("insert into sequence values (0)")
while True:
    try:
        number = int(open("told").read())
    except (FileNotFoundError, ValueError):
        time.sleep(0.02)
        continue
    os.unlink("told")
    try:
        kept.execute("update sequence set number = ?", (number,))
        another = sqlite3.connect("database")
        said = another.execute("select number from sequence").fetchone()[0]
        another.close()
    except sqlite3.Error as failed:
        said = failed
    with open("said.new", "w") as file:
        file.write(f"{said} {os.stat('database').st_dev} {os.stat('database').st_ino}")
    os.rename("said.new", "said")
"""


def told(limosa: Limosa, name: str, number: int) -> list[str]:
    """Let the program write a number; return what another connection reads, and device and inode number."""
    script = f"rm -f said; echo {number} >new; mv new told; until test -e said; do sleep 0.05; done; cat said"
    return limosa("exec", "-w", "/srv", name, "sh", "-c", script).split()


def is_taken(device_number: int) -> bool:
    with device_numbers.lower_taken(device_number) as free:
        return not free


def same_file_all_the_way(limosa: Limosa, mode: str) -> bool:
    """Rewind, restore, and restore after `rm`; say whether its files were on their device each time.

    They have to be unless somebody else's mount on this machine has the number by then.
    """
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", SQLITE, mode)
    eventually(lambda: "database" in limosa("exec", "one", "ls", "/srv"))
    time.sleep(0.5)
    number, device, inode = told(limosa, "one", 1)
    assert number == "1"
    commit = limosa("checkpoint", "one").strip()
    ways = (
        [["rewind", "--discard", "one", commit]],
        [["kill", "one"], ["wait", "one"], ["restore", commit]],
        [["rm", "--force", "one"], ["restore", commit]],
    )
    for way in ways:
        for verb in way:
            limosa(*verb)
        number, *found = told(limosa, "one", 2)
        assert found[1] == inode
        if found[0] != device:
            assert is_taken(int(device)), "its number was free"
            return False
        assert number == "2", "both connections see one database"
    return True


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_file_is_the_same_file_after_rewind_and_restore(limosa: Limosa, python_rootfs: str, mode: str) -> None:
    limosa.has_image("python", python_rootfs)
    for _ in range(6):
        if same_file_all_the_way(limosa, mode):
            return
        limosa("rm", "--force", "one")
    raise AssertionError("somebody else always has its device's number")
