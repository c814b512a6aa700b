"""cp: both ways, running and stopped, and nothing that a container can do leads out of it."""

import io
import json
import os
import stat
import subprocess
import tarfile

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged
NO_NET = ("--network", "none")
CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.fixture
def box(limosa: Limosa, busybox_rootfs: str) -> Limosa:
    limosa.has_image("bb", busybox_rootfs)
    limosa("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    return limosa


def inside(limosa: Limosa, script: str) -> str:
    return limosa("exec", "box", "sh", "-c", script).strip()


def tree(place: str) -> None:
    os.makedirs(f"{place}/deep/er")
    with open(f"{place}/deep/er/file", "w", encoding="ascii") as file:
        file.write("content\n")
    os.chown(f"{place}/deep/er/file", 33, 34)
    os.chmod(f"{place}/deep/er/file", 0o4750)
    os.utime(f"{place}/deep/er/file", (1000, 1000))
    os.link(f"{place}/deep/er/file", f"{place}/twin")
    os.symlink("/etc/passwd", f"{place}/link")
    os.mkfifo(f"{place}/pipe")


def test_holes_and_attributes_are_kept_both_ways(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(40 << 20)
        file.write(b"middle")
        file.truncate(100 << 20)
    os.setxattr(path, "user.bird", b"\xff\0godwit")
    os.setxattr(path, "security.capability", CAP_NET_RAW)
    box("cp", path, "box:/plain")
    assert int(inside(box, "du -k /plain").split()[0]) < 1000
    box("cp", "-a", path, "box:/kept")
    for name in ("plain", "kept"):
        box("cp", "-a", f"box:/{name}", f"{tmp_path}/{name}")
        with open(f"{tmp_path}/{name}", "rb") as back, open(path, "rb") as file:
            assert back.read() == file.read()
        assert os.stat(f"{tmp_path}/{name}").st_blocks < 2000
        assert os.getxattr(f"{tmp_path}/{name}", "user.bird") == b"\xff\0godwit"
        assert os.listxattr(f"{tmp_path}/{name}") == ["user.bird"], "no container gives capabilities to our files"
    root = json.loads(box("inspect", "box"))[0]["rootfs"]
    assert "security.capability" not in os.listxattr(f"{root}/plain")
    assert "security.capability" in os.listxattr(f"{root}/kept")
    done = subprocess.run([LIMOSA, "--root", box.root, "cp", "box:/plain", "-"], capture_output=True, check=True)
    unpack = ["tar", "--extract", "--directory", tmp_path, "--transform=s/plain/by-tar/"]
    subprocess.run(unpack, input=done.stdout, check=True)
    with open(f"{tmp_path}/by-tar", "rb") as back, open(path, "rb") as file:
        assert back.read() == file.read(), "GNU tar reads it"


def test_the_volumes_of_one_that_does_not_run_are_reached(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    os.makedirs(f"{tmp_path}/host")
    with open(f"{tmp_path}/file", "w", encoding="ascii") as file:
        file.write("from the host")
    mounts = ("-v", "data:/data/deep", "-v", f"{tmp_path}/host:/host:ro")
    box("create", "--name", "idle", *NO_NET, *mounts, "bb", "cat", "/data/deep/file")
    box("cp", f"{tmp_path}/file", "idle:/data/deep/")
    box("cp", f"{tmp_path}/file", "idle:/data/beside")
    assert "Read-only" in box("cp", f"{tmp_path}/file", "idle:/host/", status=1)
    assert not os.listdir(f"{tmp_path}/host")
    assert box("start", "-a", "idle") == "from the host"
    box("cp", "idle:/data", f"{tmp_path}/back")
    assert sorted(os.listdir(f"{tmp_path}/back")) == ["beside", "deep"]
    assert os.listdir(f"{tmp_path}/back/deep") == ["file"]
    box("rm", "idle")
    box("volume", "rm", "data")


def test_a_tree_goes_in_and_comes_back(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    source = f"{tmp_path}/source"
    tree(source)
    box("cp", source, "box:/root")
    assert inside(box, "cat /root/source/deep/er/file") == "content"
    assert inside(box, "stat -c '%u:%g %a %Y' /root/source/deep/er/file") == "0:0 750 1000", "root's, and not setuid"
    assert inside(box, "stat -c %h /root/source/twin; readlink /root/source/link; test -p /root/source/pipe") == (
        "2\n/etc/passwd"
    )
    box("cp", "-a", f"{source}/.", "box:/srv-new")
    assert inside(box, "stat -c '%u:%g %a' /srv-new/deep/er/file") == "33:34 4750"
    box("cp", "-a", "box:/srv-new", f"{tmp_path}/back")
    status = os.stat(f"{tmp_path}/back/twin")
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_nlink) == (33, 34, 0o4750, 2)
    assert os.readlink(f"{tmp_path}/back/link") == "/etc/passwd"
    box("cp", "box:root/source/deep/er/file", f"{tmp_path}/one")
    assert os.stat(f"{tmp_path}/one").st_uid == os.geteuid()
    box("cp", "-L", "box:/srv-new/link", f"{tmp_path}/passwd")
    with open(f"{tmp_path}/passwd", encoding="ascii") as file:
        assert "guest" in file.read(), "the container's own"


def test_a_stopped_container_and_its_next_start(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    inside(box, "echo kept >/root/kept")
    box("stop", "-t", "0", "box")
    before = box.records()["box"]
    box("cp", "box:/root/kept", f"{tmp_path}/kept")
    with open(f"{tmp_path}/kept", "a", encoding="ascii") as file:
        file.write("more\n")
    box("cp", f"{tmp_path}/kept", "box:/root/changed")
    assert box.records()["box"] == before
    box("start", "box")
    assert inside(box, "cat /root/changed; stat -c %u /root/changed") == "kept\nmore\n0"


def test_archives_as_streams(box: Limosa) -> None:
    inside(box, "mkdir /root/d; echo x >/root/d/x")
    argv = [LIMOSA, "--root", box.root, "cp", "box:/root/d", "-"]
    data = subprocess.run(argv, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == ["d", "d/x"]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("etc/made")
        info.size, info.uid = 3, 1000
        archive.addfile(info, io.BytesIO(b"abc"))
    argv[4:] = ["-", "box:/"]
    subprocess.run(argv, check=True, input=made.getvalue())
    assert inside(box, "cat /etc/made; stat -c ' %u' /etc/made") == "abc 1000"


def test_links_inside_do_not_lead_out(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    outside = f"{tmp_path}/outside"
    os.makedirs(outside)
    with open(f"{outside}/secret", "w", encoding="ascii") as file:
        file.write("secret")
    for name, link in (("abs", outside), ("rel", "../" * 20 + outside), ("proc", f"/proc/1/root{outside}")):
        inside(box, f"ln -s '{link}' /root/{name}")
        refused = box("cp", f"box:/root/{name}/secret", f"{tmp_path}/stolen-{name}", status=1)
        assert "LIM-FILE-001" in refused
        assert "LIM-FILE-00" in box("cp", f"{outside}/secret", f"box:/root/{name}/planted", status=1)
    assert os.listdir(outside) == ["secret"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith("stolen")]
    inside(box, f"rm -rf /root/abs; ln -s '{outside}/planted' /root/abs; ln -sf /root/later /root/up")
    assert "LIM-FILE-00" in box("cp", f"{outside}/secret", "box:/root/abs", status=1)
    box("cp", f"{outside}/secret", "box:/root/up")
    assert inside(box, "cat /root/later") == "secret", "what a link leads to is written, inside"
    assert os.listdir(outside) == ["secret"]


def test_a_tree_of_the_container_does_not_leave_its_target(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    inside(box, "mkdir -p /root/t/a; echo evil >/root/t/a/file; ln -s /etc /root/t/etc")
    target = f"{tmp_path}/target"
    os.makedirs(f"{tmp_path}/elsewhere")
    os.makedirs(f"{target}/t")
    os.symlink(f"{tmp_path}/elsewhere", f"{target}/t/a")  # a link that is there already is not followed
    assert "LIM-FILE-0" in box("cp", "box:/root/t", target, status=1)
    assert os.listdir(f"{tmp_path}/elsewhere") == []
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../up"))
    argv = [LIMOSA, "--root", box.root, "cp", "-", "box:/root"]
    refused = subprocess.run(argv, check=False, capture_output=True, input=made.getvalue())
    assert b"LIM-FILE-002" in refused.stderr


def test_what_docker_refuses(box: Limosa, tmp_path: os.PathLike[str]) -> None:
    with open(f"{tmp_path}/file", "w", encoding="ascii") as file:
        file.write("x")
    assert "LIM-FILE-001" in box("cp", f"{tmp_path}/nosuch", "box:/", status=1)
    assert "LIM-FILE-001" in box("cp", "box:/nosuch", f"{tmp_path}/x", status=1)
    assert "LIM-FILE-002" in box("cp", f"{tmp_path}/file", "box:/nosuch/", status=1)
    assert "LIM-FILE-002" in box("cp", f"{tmp_path}", "box:/etc/passwd", status=1)
    assert "LIM-FILE-002" in box("cp", "box:/etc", f"{tmp_path}/file", status=1)
    assert "LIM-CLI-003" in box("cp", f"{tmp_path}/file", f"{tmp_path}/other", status=2)
    assert "LIM-NAME-003" in box("cp", "nosuch:/etc", f"{tmp_path}/x", status=1)
    box("cp", f"{tmp_path}/file", "box:/etc/passwd")
    assert inside(box, "cat /etc/passwd") == "x"
