"""Files through a store and back, against what tar and stat say of them; only what changed is read; nothing escapes."""

import mmap
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.commit_store import FakeCommitStore

from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.file_archive import DirectoryFileArchive, loading, saving
from limosa.linux import btrfs, extents, mount
from limosa.model import file_entry
from limosa.model.commit_store import Commit, Entry, Inline, Manifest
from limosa.model.errors import LimosaError
from limosa.model.file_entry import FILES_PREFIX, FileEntry

pytestmark = pytest.mark.privileged

ARCHIVE = DirectoryFileArchive()


@pytest.fixture
def disk() -> Iterator[str]:
    """A btrfs."""
    with tempfile.TemporaryDirectory(prefix="limosat-", dir="/var/tmp") as directory:
        with open(f"{directory}/image", "wb") as image:
            image.truncate(1 << 30)
        subprocess.run(["mkfs.btrfs", "-q", f"{directory}/image"], check=True)
        os.mkdir(f"{directory}/disk")
        subprocess.run(["mount", "-o", "loop", f"{directory}/image", f"{directory}/disk"], check=True)
        try:
            yield f"{directory}/disk"
        finally:
            mount.umount(f"{directory}/disk", lazy=True)


class Line:
    """A subvolume and the commits of it, one after the other."""

    def __init__(self, disk: str) -> None:
        self._top = f"{disk}/live"
        self.live = f"{self._top}/upper"
        self._disk = disk
        create(f"{disk}/store", b"k" * 32)
        self.store = DirectoryStore(f"{disk}/store")
        btrfs.create_subvolume(self._top)
        os.mkdir(self.live)
        self.commits: list[Any] = []
        self.edits: dict[bytes, Any] = {}

    def commit(self) -> Any:
        """Take a snapshot and store what differs from the last commit."""
        snapshot = f"{self._disk}/s{len(self.commits)}"
        btrfs.snapshot_subvolume(self._top, snapshot, read_only=True)
        snapshot += "/upper"
        with self.store.writing() as writer:
            if self.commits:
                with self.store.reading(self.commits[-1]) as parent:
                    before = f"{self._disk}/s{len(self.commits) - 1}/upper"
                    self.edits = dict(ARCHIVE.save(writer, snapshot, parent, before))
                    manifest = writer.put_entries(parent.commit.manifest, self.edits)
            else:
                self.edits = dict(ARCHIVE.save(writer, snapshot))
                manifest = writer.put_entries(Manifest(), self.edits)
            commit = writer.put_commit(Commit(tuple(self.commits[-1:]), manifest, 1))
            self.store.set_ref("containers/one", commit, when_ns=1, why="test")
        self.commits.append(commit)
        return commit

    def changed(self) -> set[bytes]:
        """Return the paths that the last commit had to say something about."""
        return {key.removeprefix(FILES_PREFIX) for key in self.edits}

    def loaded(self, commit: Any) -> str:
        """Return a directory with a commit's files."""
        target = tempfile.mkdtemp(prefix="back", dir=self._disk)
        with self.store.reading(commit) as reader:
            ARCHIVE.load(reader, target)
        return target


def listing(top: str) -> dict[str, Any]:
    """Return everything that a commit promises to keep, by path."""
    found: dict[str, Any] = {}
    groups: dict[int, str] = {}
    paths = [top]
    for place, directories, names in os.walk(top):
        paths += [f"{place}/{name}" for name in (*directories, *names)]
    for path in sorted(paths):
        status = os.lstat(path)
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = file.read()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        first = groups.setdefault(status.st_ino, path.removeprefix(top)) if several else ""
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        found[path.removeprefix(top)] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, first, xattrs),
            content,
        )
    return found


@pytest.fixture
def line(disk) -> Line:
    return Line(disk)


def write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def test_every_kind_of_file_comes_back(line) -> None:
    live = line.live
    os.makedirs(f"{live}/a/b")
    write(f"{live}/a/small", b"text")
    write(f"{live}/a/empty", b"")
    write(f"{live}/a/\udcff not utf-8", b"x")
    write(f"{live}/large", os.urandom(300_001))
    with open(f"{live}/sparse", "wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    os.link(f"{live}/large", f"{live}/a/b/same")
    os.symlink("/etc/passwd", f"{live}/link")
    os.symlink("../..", f"{live}/a/up")
    os.mkfifo(f"{live}/pipe")
    os.mknod(f"{live}/removed", stat.S_IFCHR | 0o000, 0)
    os.mknod(f"{live}/device", stat.S_IFBLK | 0o640, os.makedev(7, 300))
    os.mknod(f"{live}/socket", stat.S_IFSOCK | 0o755)
    os.setxattr(f"{live}/a", "trusted.overlay.opaque", b"y")
    os.setxattr(f"{live}/a/small", "user.note", b"\x00\xff")
    os.chown(f"{live}/a/small", 999, 65536)
    os.chmod(f"{live}/a/small", 0o4750)
    subprocess.run(["setcap", "cap_net_raw+ep", f"{live}/a/empty"], check=False)
    os.chmod(f"{live}/a/b", 0o000)
    os.utime(f"{live}/a", ns=(1, 1_234_567_890))
    os.chmod(live, 0o1751)
    commit = line.commit()
    back = line.loaded(commit)
    assert listing(back) == listing(live)
    assert os.stat(f"{back}/sparse").st_blocks < 100, "holes stay holes"


def numbers(top: str) -> dict[str, int]:
    """Return the inode number of everything that is no directory."""
    return {
        f"{place}/{name}".removeprefix(top): os.lstat(f"{place}/{name}").st_ino
        for place, _, names in os.walk(top)
        for name in names
    }


def test_files_get_the_inode_numbers_that_they_had(line, disk, monkeypatch) -> None:
    live = line.live
    for name in ("first", "gone", "d/inside", "d/later"):
        os.makedirs(os.path.dirname(f"{live}/{name}"), exist_ok=True)
        write(f"{live}/{name}", name.encode())
    for _ in range(300):
        write(f"{live}/temporary", b"")
        os.unlink(f"{live}/temporary")
    os.unlink(f"{live}/gone")
    os.link(f"{live}/d/inside", f"{live}/a second name")
    os.symlink("first", f"{live}/link")
    write(f"{live}/d/last", b"last")
    commit = line.commit()

    def loaded(name: str) -> str:
        btrfs.create_subvolume(f"{disk}/{name}")  # as a container's files lie, in an upper directory of their own
        os.mkdir(f"{disk}/{name}/upper")
        with line.store.reading(commit) as reader:
            ARCHIVE.load(reader, f"{disk}/{name}/upper")
        return f"{disk}/{name}/upper"

    back = loaded("back")
    assert listing(back) == listing(live)
    had = numbers(live)
    assert numbers(back) == had
    monkeypatch.setattr(loading, "_MOST_SKIPPED", 100)
    back = loaded("near")
    assert listing(back) == listing(live)
    assert numbers(back)["/d/later"] == had["/d/later"]
    assert numbers(back)["/d/last"] < had["/d/last"], "what is too far is not waited for"


def test_a_commit_says_only_what_changed(line) -> None:
    live = line.live
    os.mkdir(f"{live}/d")
    for number in range(50):
        write(f"{live}/d/f{number}", b"x" * number * 3000)
    os.mkdir(f"{live}/one")
    os.mkdir(f"{live}/two")
    write(f"{live}/one/f", b"1")
    write(f"{live}/two/f", b"2")
    line.commit()
    line.commit()
    assert line.changed() == set()
    write(f"{live}/d/f3", b"other")
    os.unlink(f"{live}/d/f4")
    os.rename(f"{live}/d/f5", f"{live}/moved")
    os.chmod(f"{live}/d/f6", 0o600)
    os.setxattr(f"{live}/d/f7", "user.a", b"1")
    commit = line.commit()
    expected = {b"", b"d", b"d/f3", b"d/f4", b"d/f5", b"moved", b"d/f6", b"d/f7"}
    assert line.changed() == expected
    assert listing(line.loaded(commit)) == listing(live)
    # Nothing of the files themselves changes when their directories change places.
    os.rename(f"{live}/one", f"{live}/three")
    os.rename(f"{live}/two", f"{live}/one")
    os.rename(f"{live}/three", f"{live}/two")
    commit = line.commit()
    assert listing(line.loaded(commit)) == listing(live)


def read_bytes(monkeypatch) -> list[int]:
    """Count what is read of files from now on."""
    counted = [0]
    original = saving._fill

    def counting(descriptor: int, offset: int, into: memoryview) -> None:
        counted[0] += len(into)
        original(descriptor, offset, into)

    monkeypatch.setattr(saving, "_fill", counting)
    return counted


def test_a_store_through_a_mapping_with_the_time_set_back_costs_its_pages(line, monkeypatch) -> None:
    path = f"{line.live}/big"
    write(path, os.urandom(64 << 20))
    line.commit()
    before = os.stat(path)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[5_000_000:5_000_004] = b"here"
        mapping[40_000_000:40_000_004] = b"too!"
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    counted = read_bytes(monkeypatch)
    commit = line.commit()
    assert line.changed() == {b"big"}
    assert counted[0] == 8192
    assert listing(line.loaded(commit)) == listing(line.live)


@pytest.mark.parametrize("size", [0, 100, 65_536, 70_000, 8 << 20, (8 << 20) + 1, 9 << 20])
def test_sizes_that_change_and_holes_that_are_punched(line, size) -> None:
    path = f"{line.live}/big"
    write(path, os.urandom(8 << 20))
    line.commit()
    os.truncate(path, 3_000_001)
    os.truncate(path, size)
    subprocess.run(["fallocate", "--punch-hole", "-o", "8192", "-l", "40000", path], check=True)
    commit = line.commit()
    assert listing(line.loaded(commit)) == listing(line.live)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_history_comes_back_at_each_commit(data) -> None:
    with tempfile.TemporaryDirectory(prefix="limosat-", dir="/var/tmp") as directory:
        write(f"{directory}/image", b"")
        os.truncate(f"{directory}/image", 256 << 20)
        subprocess.run(["mkfs.btrfs", "-q", "--mixed", f"{directory}/image"], check=True)
        os.mkdir(f"{directory}/disk")
        subprocess.run(["mount", "-o", "loop", f"{directory}/image", f"{directory}/disk"], check=True)
        try:
            line = Line(f"{directory}/disk")
            states = []
            for _ in range(data.draw(st.integers(2, 4))):
                for _ in range(data.draw(st.integers(0, 5))):
                    _act(line.live, data)
                states.append((line.commit(), listing(line.live)))
            for commit, expected in states:
                assert listing(line.loaded(commit)) == expected
        finally:
            mount.umount(f"{directory}/disk", lazy=True)


def _act(top: str, data: Any) -> None:
    """Do something to one of a few files, whatever is there."""
    path = f"{top}/{data.draw(st.sampled_from(['a', 'b', 'c', 'd/a', 'd/b']))}"
    os.makedirs(f"{top}/d", exist_ok=True)
    place = data.draw(st.sampled_from([0, 100, 4096, 70_000, 200_000]))
    if not os.path.lexists(path):
        if data.draw(st.booleans()) and os.path.lexists(f"{top}/a"):
            os.link(f"{top}/a", path)
            return
        write(path, os.urandom(place))
    action = data.draw(st.sampled_from(["write", "truncate", "remove", "rename", "map", "punch"]))
    if action == "write":
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(os.urandom(5000))
    elif action == "truncate":
        os.truncate(path, place)
    elif action == "remove":
        os.unlink(path)
    elif action == "rename":
        os.replace(path, f"{top}/{data.draw(st.sampled_from(['a', 'b', 'd/b']))}")
    elif action == "map" and os.stat(path).st_size:
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
            mapping[0] ^= 1
    elif action == "punch":
        subprocess.run(["fallocate", "--punch-hole", "-o", str(place), "-l", "9000", path], check=True)


def entry(kind: str = "file", content: bytes = b"x", **fields: Any) -> Entry:
    said = FileEntry(kind, 0o644, 0, 0, 0, **fields)  # type: ignore[arg-type]
    return Entry(file_entry.encode(said), Inline(content))


ROOT = {FILES_PREFIX: entry("directory", b"")}


@pytest.mark.parametrize(
    "made_up",
    [
        {**ROOT, FILES_PREFIX + b"../out": entry()},
        {**ROOT, FILES_PREFIX + b"/out": entry()},
        {**ROOT, FILES_PREFIX + b"a/../../out": entry()},
        {**ROOT, FILES_PREFIX + b"a//b": entry()},
        {**ROOT, FILES_PREFIX + b"l": entry("link", b".."), FILES_PREFIX + b"l/out": entry()},
        {**ROOT, FILES_PREFIX + b"f": entry(), FILES_PREFIX + b"f/out": entry()},
        {**ROOT, FILES_PREFIX + b"a/b": entry()},
        {FILES_PREFIX: entry("link", b"..")},
        {**ROOT, FILES_PREFIX + b"l": entry("link", b"")},
        {**ROOT, FILES_PREFIX + b"l": entry("link", b"a\0b")},
        {**ROOT, FILES_PREFIX + b"f": Entry(b"[]")},
        {**ROOT, FILES_PREFIX + b"f": Entry(b'[0,420,0,0,0,0,0,0,[["user.a","!"]]]')},
        {**ROOT, FILES_PREFIX + b"f": Entry(b"[0,420,-1,0,0,0,0,0,[]]")},
        {**ROOT, FILES_PREFIX + b"f": Entry(b"[99,420,0,0,0,0,0,0,[]]")},
    ],
)
def test_a_strangers_commit_writes_nothing_elsewhere(tmp_path, made_up) -> None:
    store = FakeCommitStore(b"k" * 32)
    with store.writing() as writer:
        commit = writer.put_commit(Commit((), writer.put_entries(Manifest(), made_up), 1))
        store.set_ref("containers/one", commit, when_ns=1, why="test")
    os.makedirs(f"{tmp_path}/parent/back")
    with store.reading(commit) as reader, pytest.raises(LimosaError) as refused:
        ARCHIVE.load(reader, f"{tmp_path}/parent/back")
    assert refused.value.code == "LIM-COMM-011"
    assert os.listdir(f"{tmp_path}/parent") == ["back"]
    assert not os.path.exists(f"{tmp_path}/out")


RANGES = st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 20_000)), max_size=6)


@given(one=RANGES, other=RANGES)
def test_ranges_are_sets_of_pages(one, other) -> None:
    def pages(ranges: Any) -> set[int]:
        return {page for first, size in ranges for page in range(first // 4096, -(-(first + size) // 4096))}

    whole, rest = extents.whole_pages(one), extents.whole_pages(other)
    assert pages(whole) == pages(one)
    assert pages(extents.common(whole, rest)) == pages(one) & pages(other)
    holes = {page for first, n_pages in extents.page_holes(whole) for page in range(first, min(first + n_pages, 30))}
    assert holes == set(range(30)) - pages(one)
