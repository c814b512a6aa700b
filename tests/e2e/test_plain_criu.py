"""A container with the safe defaults is one that criu itself can dump and restore, without limosa's part in it."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from limosa.wiring_setup import TOOLS_DIR
from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
CRIU = f"{TOOLS_DIR}/current/criu"
OPTIONS = (
    *("--external", "mnt[]:ms", "--manage-cgroups=soft", "--network-lock", "nftables", "--empty-ns", "net"),
    *("--tcp-established", "--file-locks", "--link-remap"),
)
COUNTS = "n=0; while :; do n=$((n+1)); echo $n >/tmp/count; sleep 0.05; done"


@pytest.fixture
def place(tmp_path: object) -> Iterator[str]:
    """A directory for a mount that is taken away at the end."""
    path = f"{tmp_path}/rootfs"
    os.mkdir(path)
    yield path
    while os.path.ismount(path):
        subprocess.run(["umount", path], check=True)


def criu(verb: str, images: str, *options: str) -> None:
    argv = [CRIU, verb, "--images-dir", images, "--log-file", f"{verb}.log", *OPTIONS, *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        with open(f"{images}/{verb}.log", encoding="utf-8", errors="replace") as log:
            raise AssertionError(done.stderr + log.read()[-3000:])


def confinement(pid: int) -> list[str]:
    """Return what holds a process: its ids on the host, capabilities, seccomp and new privileges."""
    with open(f"/proc/{pid}/uid_map", encoding="ascii") as file:
        found = [file.read()]
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        names = ("Cap", "Seccomp:", "NoNewPrivs:")
        return found + [line for line in file if line.startswith(names)]


def test_a_safe_container_is_dumped_and_restored_by_criu_alone(
    limosa: Limosa, busybox_rootfs: str, tmp_path: object, place: str
) -> None:
    limosa.has_image("bb", busybox_rootfs)
    limosa("run", "-d", "--name", "box", "--network", "none", "bb", "sh", "-c", COUNTS)
    record = limosa.records()["box"]
    rootfs = f"{limosa.root}/run/rootfs/{record['container_id']}/merged"
    before = confinement(record["init_pid"])
    assert "Seccomp:\t2\n" in before and "NoNewPrivs:\t1\n" in before
    assert before[0].split()[1] != "0", "root inside is nobody of the host's"
    # It outlasts the container, whose monitor sees it end and takes its mounts away.
    subprocess.run(["mount", "--bind", "--make-private", rootfs, place], check=True)
    images = f"{tmp_path}/images"
    os.mkdir(images)

    def count() -> int:
        with open(f"{place}/tmp/count", encoding="ascii") as file:
            return int(file.read() or 0)

    eventually(count)
    criu("dump", images, "--tree", str(record["init_pid"]), "--root", rootfs)
    limosa("wait", "box")
    dumped = count()
    criu("restore", images, "--root", place, "--restore-detached", "--pidfile", "pid")
    with open(f"{images}/pid", encoding="ascii") as file:
        pid = int(file.read())
    try:
        assert confinement(pid) == before
        eventually(lambda: count() > dumped)
    finally:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
