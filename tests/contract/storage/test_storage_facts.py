"""What the driver rests on, shown with the kernel: mappings, limits, idmapped overlays, copies, many at once."""

import concurrent.futures
import mmap
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from limosa.adapters.btrfs_pool import BtrfsPool
from limosa.adapters.overlay_rootfs import OverlayRootfs
from limosa.linux import btrfs_superblock, loop, mount
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

pytestmark = pytest.mark.privileged

GIB = 1 << 30
MIB = 1 << 20
FIRST_HOST_ID = 700_000_000
NewId = Callable[[], ContainerId]


@contextmanager
def program(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program that says "ready", and stop it afterwards."""
    argv = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_stores_through_a_mapping_are_in_the_snapshot(pool: BtrfsPool, disk_bytes: int | None, new_id: NewId) -> None:
    """Stores that no msync followed, into pages clean and dirty before, of a file larger than a write-back round."""
    container_id = new_id()
    files = pool.create(container_id, disk_bytes)
    pages = 16384
    writer = """
        import mmap, os, sys
        pages = int(sys.argv[2])
        file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, pages * 4096)
        area = mmap.mmap(file, pages * 4096)
        for page in range(0, pages, 2):
            area[page * 4096 : page * 4096 + 8] = page.to_bytes(8, "big")
        os.fsync(file)
        for page in range(pages):
            area[page * 4096 + 8 : page * 4096 + 16] = (page + 1).to_bytes(8, "big")
        print("ready", flush=True)
        sys.stdin.readline()
        for page in range(pages):
            area[page * 4096 + 8 : page * 4096 + 16] = bytes(8)
        print("overwritten", flush=True)
        sys.stdin.readline()
    """
    with program(writer, f"{files.upper}/mapped", str(pages)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        pool.take_snapshot(container_id, "a")
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "overwritten\n"
        pool.take_snapshot(container_id, "b")
    with open(f"{pool.snapshot(container_id, 'a')}/mapped", "rb") as file:
        found = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        wrong = [
            page for page in range(pages) if found[page * 4096 + 8 : page * 4096 + 16] != (page + 1).to_bytes(8, "big")
        ]
        assert wrong == []
    with open(f"{pool.snapshot(container_id, 'b')}/mapped", "rb") as file:
        assert {file.read(4096)[8:16] for _ in range(pages)} == {bytes(8)}


@pytest.mark.parametrize("size_bytes", [64 * MIB, 300 * MIB, GIB], ids=["64M", "300M", "1G"])
def test_df_is_true_and_a_full_disk_is_enospc(pool: BtrfsPool, new_id: NewId, size_bytes: int) -> None:
    """As many bytes can be written as df says, then ENOSPC (not EDQUOT, not EIO); removing files makes room again."""
    container_id = new_id()
    upper = pool.create(container_id, size_bytes).upper
    for _ in range(2):
        before = os.statvfs(upper)
        available = before.f_bavail * before.f_frsize
        assert before.f_blocks * before.f_frsize == size_bytes
        assert available > 0.75 * size_bytes
        with open(f"{upper}/large", "wb", buffering=0) as file:
            block = os.urandom(MIB)
            with pytest.raises(OSError, match="No space left on device"):
                while True:
                    file.write(block)
            written = file.tell()
            os.fsync(file.fileno())
        assert abs(written - available) <= max(0.02 * size_bytes, 4 * MIB)
        after = os.statvfs(upper)
        assert after.f_bavail * after.f_frsize <= max(0.02 * size_bytes, 2 * MIB)
        os.unlink(f"{upper}/large")
        os.sync()
        room = os.statvfs(upper)
        assert room.f_bavail * room.f_frsize >= 0.95 * available
        pool.release(container_id)
        pool.locate(container_id)


def test_a_disk_that_small_files_filled_can_be_used_again(pool: BtrfsPool, new_id: NewId) -> None:
    """Every second file is removed: the holes are room, for data and metadata alike, and df says so."""
    container_id = new_id()
    upper = pool.create(container_id, 300 * MIB).upper
    empty = os.statvfs(upper)
    names = []
    with pytest.raises(OSError, match="No space left on device"):
        for number in range(100_000):
            with open(f"{upper}/{number}", "wb", buffering=0) as file:
                names.append(file.name)
                file.write(bytes([number % 251]) * 40960)
    os.sync()
    for name in names[::2]:
        os.unlink(name)
    os.sync()
    half = os.statvfs(upper)
    assert half.f_bavail >= 0.45 * empty.f_bavail
    with open(f"{upper}/again", "wb", buffering=0) as file:
        for _ in range(int(0.9 * half.f_bavail * half.f_frsize) >> 20):
            file.write(bytes(MIB))
        os.fsync(file.fileno())
    pool.take_snapshot(container_id, "full")
    pool.release(container_id)
    pool.revert(container_id, "full")
    for number in range(1, len(names) - 1, 2):
        with open(names[number], "rb") as file:
            assert file.read() == bytes([number % 251]) * 40960


def test_history_does_not_fill_a_disk(pool: BtrfsPool, new_id: NewId) -> None:
    """Three snapshots of a disk that is rewritten each time would be 2.4 times its size, were they in it."""
    container_id = new_id()
    upper = pool.create(container_id, 256 * MIB).upper
    for number in range(4):
        with open(f"{upper}/large", "wb") as file:
            file.write(bytes([number]) * (160 * MIB))
        pool.take_snapshot(container_id, str(number))
    for number in range(4):
        with open(f"{pool.snapshot(container_id, str(number))}/large", "rb") as file:
            assert file.read(1) == bytes([number])
            assert file.seek(-1, os.SEEK_END) == 160 * MIB - 1
            assert file.read(1) == bytes([number])


def test_an_overlay_with_idmapped_upper_stores_inner_ids(
    pool: BtrfsPool, root: str, disk_bytes: int | None, new_id: NewId
) -> None:
    """And whiteouts, opaque directories and setuid work above a pool that is mounted nodev,nosuid; devices do not."""
    layer = f"{root}/storage/layer"
    os.makedirs(f"{layer}/lower/deep")
    for name in ("gone", "changed", "lower/one"):
        with open(f"{layer}/{name}", "w", encoding="utf-8") as file:
            file.write("from the layer")
    container_id = new_id()
    files = pool.create(container_id, disk_bytes)
    os.makedirs(f"{root}/storage/run")
    rootfs = OverlayRootfs(f"{root}/storage/run")
    try:
        merged = rootfs.mount(container_id, (layer,), files, FIRST_HOST_ID)
        with open(f"{merged}/own", "w", encoding="utf-8") as file:
            os.fchown(file.fileno(), FIRST_HOST_ID + 1000, FIRST_HOST_ID + 65535)
        os.unlink(f"{merged}/gone")
        os.rename(f"{merged}/changed", f"{merged}/renamed")
        os.unlink(f"{merged}/lower/one")
        os.rmdir(f"{merged}/lower/deep")
        os.rmdir(f"{merged}/lower")
        os.mkdir(f"{merged}/lower")
        subprocess.run(["cp", "/usr/bin/id", f"{merged}/id"], check=True)
        os.chown(f"{merged}/id", FIRST_HOST_ID + 7, FIRST_HOST_ID)
        os.chmod(f"{merged}/id", 0o4755)
        os.mknod(f"{merged}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        who = subprocess.run([f"{merged}/id", "-u"], user=FIRST_HOST_ID + 9, check=True, capture_output=True)
        assert int(who.stdout) == FIRST_HOST_ID + 7
        with pytest.raises(PermissionError):  # the rootfs itself is nodev
            open(f"{merged}/null", "wb").close()
        assert sorted(os.listdir(merged)) == ["id", "lower", "null", "own", "renamed"]
        assert os.listdir(f"{merged}/lower") == []
        pool.take_snapshot(container_id, "a")
    finally:
        rootfs.unmount(container_id)
    own = os.stat(f"{files.upper}/own")
    assert (own.st_uid, own.st_gid) == (1000, 65535)
    whiteout = os.lstat(f"{files.upper}/gone")
    assert stat.S_ISCHR(whiteout.st_mode)
    assert whiteout.st_rdev == 0
    assert os.getxattr(f"{files.upper}/lower", "trusted.overlay.opaque") == b"y"
    copy = new_id()
    made = pool.clone(container_id, "a", copy, disk_bytes)
    try:
        merged = rootfs.mount(copy, (layer,), made, FIRST_HOST_ID + 65536)
        assert os.stat(f"{merged}/own").st_uid == FIRST_HOST_ID + 65536 + 1000
        assert sorted(os.listdir(merged)) == ["id", "lower", "null", "own", "renamed"]
    finally:
        rootfs.unmount(copy)


def test_files_keep_all_that_they_have_when_they_move(pool: BtrfsPool, new_id: NewId) -> None:
    """Owners, modes, times, hard links, holes, attributes, capabilities, whiteouts: to a disk and from one."""
    container_id = new_id()
    files = pool.create(container_id, None)
    upper = files.upper
    with open(f"{upper}/file", "wb") as file:
        file.truncate(32 * MIB)
        file.seek(16 * MIB)
        file.write(b"in the middle")
    os.link(f"{upper}/file", f"{upper}/linked")
    os.chown(f"{upper}/file", 1000, 1001)
    os.chmod(f"{upper}/file", 0o6754)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(f"{upper}/file", "security.capability", capability)
    os.setxattr(f"{upper}/file", "user.note", b"kept")
    os.mkdir(f"{upper}/directory", 0o1777)
    os.setxattr(f"{upper}/directory", "trusted.overlay.opaque", b"y")
    os.mknod(f"{upper}/whiteout", stat.S_IFCHR, 0)
    os.mkfifo(f"{upper}/fifo", 0o640)
    os.symlink("nowhere", f"{upper}/symlink")
    os.lchown(f"{upper}/symlink", 5, 6)
    for name in ("file", "directory", "fifo", "symlink", "."):
        os.utime(f"{upper}/{name}", ns=(1_500_000_000_123_456_789, 1_400_000_000_987_654_321), follow_symlinks=False)
    before = _described(upper)
    pool.resize(container_id, GIB)
    moved = pool.locate(container_id).upper
    assert _described(moved) == before
    assert os.stat(f"{moved}/file").st_blocks * 512 < MIB
    pool.take_snapshot(container_id, "a")
    copy = new_id()
    assert _described(pool.clone(container_id, "a", copy, None).upper) == before


def _described(directory: str) -> dict[str, object]:
    found: dict[str, object] = {}
    inodes: dict[int, str] = {}
    for name in [".", *sorted(os.listdir(directory))]:
        path = f"{directory}/{name}"
        status = os.lstat(path)
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        found[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            status.st_size if stat.S_ISREG(status.st_mode) else 0,
            inodes.setdefault(status.st_ino, name),
            attributes,
        )
    return found


def test_copies_of_a_disk_are_mounted_beside_it_and_are_sound(pool: BtrfsPool, root: str, new_id: NewId) -> None:
    """Copies of copies too, and of snapshots taken while files are written: each passes btrfs check."""
    container_id = new_id()
    upper = pool.create(container_id, GIB).upper
    writer = """
        import os, sys
        print("ready", flush=True)
        number = 0
        while True:
            name = f"{sys.argv[1]}/{number % 50}"
            with open(name + ".new", "wb", buffering=0) as file:
                file.write(number.to_bytes(8, "big") * 20000)
                if number % 3 == 0:
                    os.fsync(file.fileno())
            os.rename(name + ".new", name)
            number += 1
    """
    copies = []
    with program(writer, upper):
        for number in range(6):
            pool.take_snapshot(container_id, str(number))
            source = copies[-1] if number == 5 else container_id
            label = str(number)
            if number == 5:
                pool.take_snapshot(source, label)
            copies.append(new_id())
            pool.clone(source, label, copies[-1], GIB)
    places = [pool.locate(copy).upper for copy in (container_id, *copies)]
    assert len({os.stat(place).st_dev for place in places}) == 7
    for place in places:
        for name in os.listdir(place):
            if not name.endswith(".new"):
                with open(f"{place}/{name}", "rb") as file:
                    content = file.read()
                if int.from_bytes(content[:8], "big") % 3 == 0 and content:
                    assert content == content[:8] * 20000, "what was synced before the snapshot is whole in it"
    disks = [f"{root}/storage/containers/{copy}/disk.btrfs" for copy in copies]
    assert len({btrfs_superblock.read(path).fsid for path in disks}) == 6
    for copy, path in zip(copies, disks, strict=True):
        pool.release(copy)
        checked = subprocess.run(["btrfs", "check", "--readonly", path], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "no error found" in checked.stdout


def test_a_disk_is_attached_once_even_from_another_mount_namespace(pool: BtrfsPool, root: str, new_id: NewId) -> None:
    """Two loop devices over one file would be two mounted file systems in it, and the end of both."""
    container_id = new_id()
    upper = pool.create(container_id, GIB).upper
    place = os.path.dirname(os.path.dirname(upper))
    inside = f"""
        umount {root}/storage/containers/{container_id}/disk && umount {root}/storage && exec {sys.executable} -c '
        import os
        from limosa.adapters.btrfs_pool import BtrfsPool
        pool = BtrfsPool("{root}")
        pool.prepare()
        upper = pool.locate("{container_id}").upper
        open(upper + "/from another namespace", "w").close()
        print(os.stat(upper).st_dev, os.stat("{root}/storage").st_dev)
        '
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", textwrap.dedent(inside)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(os.stat(upper).st_dev), str(os.stat(f"{root}/storage").st_dev)]
    assert os.listdir(upper) == ["from another namespace"]
    assert loop.device_of(f"{place}/disk.btrfs") is not None


def _prepared_and_back(root: str) -> int:
    pool = BtrfsPool(root)
    pool.prepare()
    return os.stat(f"{root}/storage").st_dev


def test_prepare_by_many_at_once_makes_one_pool(root: str) -> None:
    with concurrent.futures.ProcessPoolExecutor(12) as workers:
        assert len(set(workers.map(_prepared_and_back, [root] * 24))) == 1
    assert mount.mount_points(root) == [f"{root}/storage"]


def _life(root: str, container_id: ContainerId, disk_bytes: int | None) -> bytes:
    pool = BtrfsPool(root)
    pool.prepare()
    path = f"{pool.create(container_id, disk_bytes).upper}/own"
    with open(path, "wb") as file:
        file.write(container_id.encode())
    pool.take_snapshot(container_id, "a")
    os.unlink(path)
    pool.release(container_id)
    pool.revert(container_id, "a")
    with open(path, "rb") as file:
        found = file.read()
    pool.destroy(container_id)
    return found


def test_fifty_containers_at_once(pool: BtrfsPool, root: str, disk_bytes: int | None, new_id: NewId) -> None:
    """Fifty processes, and more loop devices than a machine has nodes at first."""
    ids = [new_id() for _ in range(50)]
    with concurrent.futures.ProcessPoolExecutor(50) as workers:
        lives = [workers.submit(_life, root, container_id, disk_bytes) for container_id in ids]
        assert [life.result(240).decode() for life in lives] == ids
    assert pool.present() == []


def test_a_root_on_btrfs_needs_no_file(pool: BtrfsPool, root: str, disk_bytes: int | None, new_id: NewId) -> None:
    inner_root = f"{root}/storage/inner"
    inner = BtrfsPool(inner_root)
    inner.prepare()
    container_id = new_id()
    files = inner.create(container_id, disk_bytes)
    inner.take_snapshot(container_id, "a")
    assert os.listdir(inner.snapshot(container_id, "a")) == []
    assert "pool.btrfs" not in os.listdir(inner_root)
    assert os.path.isdir(files.upper)
    inner.destroy(container_id)
    inner.close()
    assert os.path.isdir(f"{inner_root}/storage/containers")
    assert pool.present() == []


def test_a_full_host_is_refused_before_the_pool_breaks(root: str, new_id: NewId) -> None:
    """The pool is a sparse file: what the host has no room for would be I/O errors in every container."""
    narrow = f"{root}/storage"
    os.mkdir(narrow)
    mount.mount("tmpfs", narrow, "tmpfs", 0, "size=400m")
    pool = BtrfsPool(narrow)
    try:
        pool.prepare()
        container_id = new_id()
        pool.create(container_id, None)
        room = os.statvfs(narrow)
        with open(f"{narrow}/other", "wb") as file:
            file.write(bytes(room.f_bavail * room.f_frsize - 50 * MIB))
        for call in (
            lambda: pool.create(new_id(), None),
            lambda: pool.take_snapshot(container_id, "a"),
        ):
            with pytest.raises(LimosaError) as refused:
                call()
            assert refused.value.code == "LIM-STOR-002"
        assert pool.present() == [container_id]
        os.unlink(f"{narrow}/other")
        pool.take_snapshot(container_id, "a")
        pool.destroy(container_id)
        pool.close()
    finally:
        mount.umount(narrow)
        os.rmdir(narrow)


def test_without_mkfs_the_error_says_so(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LimosaError) as refused:
        BtrfsPool(root).prepare()
    assert refused.value.code == "LIM-STOR-001"
    assert "mkfs.btrfs" in refused.value.cause
    monkeypatch.undo()
    BtrfsPool(root).prepare()
