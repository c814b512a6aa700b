"""What only the layout of OCI images can show: programs that read it, archives of all kinds, kills, full disks."""

import bz2
import gzip
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable

import pytest
import zstandard
from archives import RUN, entry, program, quiet, refused, rootfs, tar_of, tree
from tests.registry_process import RegistryProcess
from tests.waiting import eventually

from limosa.adapters.oci_images.adapter import LayoutImages
from limosa.model.oci import RootfsConfig
from limosa.ports.oci_images import OciImages

pytestmark = pytest.mark.privileged


@pytest.fixture
def kind() -> str:
    return "real"


def files_of(root: str) -> set[str]:
    """Return what a root has on disk, apart from locks and from layers' own files."""
    found = set()
    for place, directories, names in os.walk(root):
        if place == f"{root}/layers":
            found.update(f"layers/{name}" for name in directories)
            directories.clear()
        found.update(os.path.relpath(f"{place}/{name}", root) for name in names if not name.endswith(".lock"))
    return found


def test_docker_and_oci_archives_come_in_as_they_were(
    images: OciImages, second: OciImages, root: str, tmp_path: object
) -> None:
    with open(rootfs(tmp_path), "rb") as plain, gzip.open(f"{tmp_path}/rootfs.tgz", "wb") as packed:
        shutil.copyfileobj(plain, packed)  # a docker archive cannot have zstd
    images.import_archive(f"{tmp_path}/rootfs.tgz", "web", quiet, RUN)
    layout = f"oci:{root}/oci:localhost/web:latest"
    for transport in ("docker-archive", "oci-archive", "oci"):
        target = f"{tmp_path}/{transport}"
        subprocess.run(["skopeo", "copy", "-q", layout, f"{transport}:{target}:web:1"], check=True)
        made = second.import_archive(target, transport, quiet)
        assert (made.cmd, made.env, made.labels, made.stop_signal) == (RUN.cmd, RUN.env, RUN.labels, "SIGINT")
        assert tree(second, transport) == tree(images, "web")
    with open(f"{tmp_path}/docker-archive", "rb") as plain, gzip.open(f"{tmp_path}/saved.tgz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    changed = second.import_archive(f"{tmp_path}/saved.tgz", "changed", quiet, RootfsConfig(cmd=("/bin/sh",)))
    assert (changed.cmd, changed.env) == (("/bin/sh",), RUN.env)
    assert len({image.layers for image in second.all()}) == 1, "one layer, unpacked once"


def test_what_is_pushed_is_what_everybody_can_read(
    images: OciImages, registry: RegistryProcess, tmp_path: object
) -> None:
    images.import_archive(rootfs(tmp_path), "web", quiet, RUN)
    there = f"{registry.name}/team/web:1"
    images.push("web", there, quiet)
    said = json.loads(subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{there}"], check=True, capture_output=True
    ).stdout)  # fmt: skip
    assert said["layers"][0]["mediaType"].endswith("tar+gzip")


def test_the_same_archive_makes_the_same_layer_in_any_compression(images: OciImages, tmp_path: object) -> None:
    plain = rootfs(tmp_path)
    made = images.import_archive(plain, "a", quiet)
    with open(plain, "rb") as file:
        content = file.read()
    methods: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "zst": zstandard.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }
    for method, compress in methods.items():
        packed = f"{plain}.{method}"
        with open(packed, "wb") as file:
            file.write(compress(content))
        assert images.import_archive(packed, method, quiet).layers == made.layers


def test_a_password_is_for_root_only(
    images: OciImages, root: str, closed_registry: RegistryProcess, tmp_path: object
) -> None:
    images.login(closed_registry.name, "godwit", "far away")
    assert os.stat(f"{root}/auth.json").st_mode & 0o777 == 0o600


def test_nothing_but_the_layout_is_left_of_what_nobody_needs(images: OciImages, root: str, tmp_path: object) -> None:
    before = files_of(root)
    images.import_archive(rootfs(tmp_path), "web", quiet)
    images.remove("web", frozenset())
    images.prune(frozenset())
    assert files_of(root) - before == {"oci/oci-layout", "oci/index.json"}


def test_the_layout_is_one_that_others_can_read(images: OciImages, root: str, tmp_path: object) -> None:
    images.import_archive(rootfs(tmp_path), "web", quiet, RUN)
    said = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{root}/oci:localhost/web:latest"], check=True, capture_output=True
    ).stdout
    assert json.loads(said)["config"]["Cmd"] == ["/bin/true"]


@pytest.mark.parametrize(
    "content", [b"", b"no archive" * 100, b"\x1f\x8b\x08" + bytes(100), b"\x28\xb5\x2f\xfd" + bytes(90)]
)
def test_what_is_no_archive_is_refused_and_leaves_nothing(
    images: OciImages, root: str, tmp_path: object, content: bytes
) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(content)
    refused("LIM-IMG-004", lambda: images.import_archive(path, "bad", quiet))
    refused("LIM-IMG-004", lambda: images.import_archive(f"{tmp_path}/missing", "bad", quiet))
    assert files_of(root) == {"oci/oci-layout"}


def test_a_hostile_archive_is_refused_and_leaves_nothing(images: OciImages, root: str, tmp_path: object) -> None:
    path = f"{tmp_path}/hostile.tar"
    with open(path, "wb") as file:
        file.write(tar_of([entry("bin/sh", data=b"x" * 100_000), entry("../../escaped", data=b"x")]))
    refused("LIM-IMG-004", lambda: images.import_archive(path, "bad", quiet))
    assert files_of(root) == {"oci/oci-layout"}


def test_a_layer_whose_content_is_not_what_the_configuration_says_is_refused(
    images: OciImages, second: OciImages, root: str, tmp_path: object
) -> None:
    images.import_archive(rootfs(tmp_path), "web", quiet)
    target = f"{tmp_path}/oci"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{root}/oci:localhost/web:latest", f"oci:{target}:it"], check=True)
    with open(f"{target}/index.json", encoding="utf-8") as file:
        index = json.load(file)
    place = f"{target}/blobs/sha256"
    manifest_hex = index["manifests"][0]["digest"][7:]
    with open(f"{place}/{manifest_hex}", encoding="utf-8") as file:
        manifest = json.load(file)
    with open(f"{place}/{manifest['config']['digest'][7:]}", encoding="utf-8") as file:
        config = json.load(file)
    config["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    for blob, holder in ((config, manifest["config"]), (manifest, index["manifests"][0])):
        data = json.dumps(blob).encode()
        import hashlib

        holder["digest"], holder["size"] = f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)
        with open(f"{place}/{holder['digest'][7:]}", "wb") as file:
            file.write(data)
    with open(f"{target}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)
    refused("LIM-IMG-004", lambda: second.import_archive(target, "bad", quiet))
    assert second.all() == []


IMPORT = """\
import shutil, sys
from limosa.adapters.oci_images.adapter import LayoutImages
images = LayoutImages(sys.argv[1], shutil.which, 1 << 28)
seen = []
def progress(what, done, total):
    if not seen and done > total // 2:
        seen.append(print("half", flush=True))
images.import_archive(sys.argv[2], "web", progress)
print("done", flush=True)
"""


def big_rootfs(tmp_path: object, files: int) -> str:
    path = f"{tmp_path}/big.tar"
    with open(path, "wb") as file:
        directories = [entry(f"d{number}", tarfile.DIRTYPE) for number in range(50)]
        contents = [entry(f"d{number % 50}/f{number}", data=os.urandom(8000)) for number in range(files)]
        file.write(tar_of([*directories, *contents]))
    return path


def test_a_killed_import_leaves_what_recover_removes_and_a_second_one_works(
    images: OciImages, root: str, tmp_path: object
) -> None:
    archive = big_rootfs(tmp_path, 4000)
    argv = [sys.executable, "-c", IMPORT, root, archive]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as importing:
        assert importing.stdout is not None
        assert importing.stdout.readline() == "half\n"
        assert images.tidy() == [], "it is at work"
        importing.send_signal(signal.SIGKILL)
    assert images.all() == []
    left = [name for name in os.listdir(f"{root}/layers") if name.startswith(".")]
    assert left
    lines: list[str] = []
    eventually(lambda: lines or lines.extend(images.tidy()) or lines)
    assert any(left[0] in line for line in lines)
    assert files_of(root) <= {"oci/oci-layout"}
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    assert len(images.resolve("web").layers) == 1


PULL = """\
import shutil, sys
from limosa.adapters.oci_images.adapter import LayoutImages
images = LayoutImages(sys.argv[1], shutil.which, 1 << 28)
images.pull(sys.argv[2], lambda what, done, total: print(what, done, flush=True))
"""


def test_a_killed_pull_takes_skopeo_with_it_and_a_second_one_works(
    images: OciImages, new_root: Callable[[], str], registry: RegistryProcess, tmp_path: object
) -> None:
    images.import_archive(big_rootfs(tmp_path, 3000), "web", quiet)
    images.push("web", f"{registry.name}/web", quiet)
    third = new_root()
    argv = [sys.executable, "-c", PULL, third, f"{registry.name}/web"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as pulling:
        assert pulling.stdout is not None
        for line in pulling.stdout:
            if line.startswith("pulling"):
                break
        pulling.send_signal(signal.SIGKILL)
    eventually(lambda: not mentioning(third))
    left = LayoutImages(third, program, 1 << 28)
    assert left.all() == []
    left.tidy()
    assert not os.listdir(f"{third}/oci/work")
    left.pull(f"{registry.name}/web", quiet)
    assert tree(left, f"{registry.name}/web") == tree(images, "web")


def mentioning(text: str) -> list[str]:
    """Return the processes that have `text` in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: object) -> None:
    archive = big_rootfs(tmp_path, 2000)
    root = f"{tmp_path}/small"
    os.mkdir(root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", root], check=True)
    try:
        images = LayoutImages(root, program, 1 << 28)
        full = refused("LIM-IMG-007", lambda: images.import_archive(archive, "web", quiet))
        assert "full" in full.summary
        assert images.all() == []
        assert files_of(root) <= {"oci/oci-layout"}
        made = images.import_archive(rootfs(tmp_path), "small", quiet)
        assert images.layer_directories(made.layers)
    finally:
        subprocess.run(["umount", root], check=True)


def test_a_manifest_that_was_damaged_is_found_out(images: OciImages, root: str, tmp_path: object) -> None:
    made = images.import_archive(rootfs(tmp_path), "web", quiet)
    os.unlink(f"{root}/oci/known/{made.digest[7:]}.json")
    assert images.resolve("web") == made, "the cache is made again"
    os.unlink(f"{root}/oci/known/{made.digest[7:]}.json")
    with open(f"{root}/oci/blobs/sha256/{made.digest[7:]}", "r+b") as file:
        file.write(b"[")
    refused("LIM-IMG-012", lambda: images.resolve("web"))
    refused("LIM-IMG-012", lambda: images.prune(frozenset()))
    assert images.layer_directories(made.layers)


def test_imports_beside_each_other(images: OciImages, root: str, tmp_path: object) -> None:
    archive = big_rootfs(tmp_path, 300)
    argv = [sys.executable, "-c", IMPORT.replace('"web"', "sys.argv[3]"), root, archive]
    running = [subprocess.Popen([*argv, f"web{number}"], stdout=subprocess.DEVNULL) for number in range(6)]
    assert [one.wait(60) for one in running] == [0] * 6
    assert len(images.all()) == 6
    assert len({image.layers for image in images.all()}) == 1
    assert images.tidy() == []
    assert not [name for name in os.listdir(f"{root}/layers") if name.startswith(".")]
