"""The trials themselves, on this machine: what they find, that they notice damage, and that nothing of them stays."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from limosa import wiring_setup
from limosa.adapters.criu import kernel_cache
from limosa.adapters.probes import SUBJECTS, SystemProbes, isolated
from limosa.linux import filesystem, mount, process

pytestmark = pytest.mark.privileged


def loop_devices() -> set[str]:
    listed = process.run(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"]).decode()
    return {line for line in listed.splitlines() if "limosa-probe" in line}


def probe_directories() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("limosa-probe-")}


def test_everything_required_works_here_and_no_trial_leaves_anything(no_residue, on_disk, monkeypatch) -> None:
    os.chmod(on_disk, 0o711)
    monkeypatch.setattr(tempfile, "tempdir", on_disk)  # somebody else's trials are in the usual place
    probes = wiring_setup.probes()
    outcomes = {subject.name: probes.attempt(subject) for subject in probes.subjects()}
    broken = {subject.name: outcomes[subject.name] for subject in SUBJECTS if subject.required}
    broken = {name: outcome for name, outcome in broken.items() if outcome.status == "missing"}
    assert broken == {}
    assert not loop_devices()
    assert not probe_directories()


def test_a_criu_that_does_nothing_fails_its_trial(tmp_path) -> None:
    fake = os.path.join(tmp_path, "criu")
    with open(fake, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\n[ "$1" = --version ] && echo Version: 99.9\nexit 0\n')
    os.chmod(fake, 0o755)
    outcome = isolated.attempt("checkpoint", (fake,), 20)
    assert outcome.status == "missing"


def test_a_criu_that_only_dumps_fails_its_trial(tmp_path) -> None:
    fake = os.path.join(tmp_path, "criu")
    real = f"{wiring_setup.TOOLS_DIR}/current/criu"
    with open(fake, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\n[ "$1" = restore ] && exit 0\nexec {real} "$@"\n')
    os.chmod(fake, 0o755)
    outcome = SystemProbes({}).attempt_tool("criu", fake)
    assert outcome.status == "missing"
    assert "does not go on" in outcome.detail


def test_a_crun_that_runs_nothing_fails_its_trial(tmp_path) -> None:
    outcome = SystemProbes({}).attempt_tool("crun", shutil.which("true") or "/bin/true")
    assert outcome.status == "missing"


def test_a_trial_that_hangs_is_ended(tmp_path) -> None:
    fake = os.path.join(tmp_path, "criu")
    with open(fake, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexec sleep 1000\n")
    os.chmod(fake, 0o755)
    outcome = isolated.attempt("checkpoint", (fake,), 2)
    assert (outcome.status, outcome.detail) == ("missing", "the trial did not end within 2 s")


@pytest.fixture
def on_disk() -> Iterator[str]:
    """A directory that is on no tmpfs, as Debian 13's /tmp is one."""
    directory = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    yield directory
    shutil.rmtree(directory)


def test_criu_finds_its_kernel_cache_where_run_is_a_disk(on_disk, no_residue) -> None:
    """In a mount namespace where /run is on a disk, the second criu does not probe the kernel."""
    criu = f"{wiring_setup.TOOLS_DIR}/current/criu"
    before = mount.mount_points(kernel_cache.CACHE)  # hidden below what is mounted next, but still listed
    mount.bind(on_disk, "/run")
    try:
        assert filesystem.magic("/run") != filesystem.TMPFS_MAGIC
        assert kernel_cache.keep(criu)
        assert filesystem.magic(kernel_cache.CACHE) == filesystem.TMPFS_MAGIC
        said = process.capture([criu, "check", "-v4"])
        assert b"Loaded kdat cache" in said.stdout + said.stderr
        assert kernel_cache.keep(criu)
        assert mount.mount_points(kernel_cache.CACHE) == [kernel_cache.CACHE, *before]
        kernel_cache.drop()
        assert mount.mount_points(kernel_cache.CACHE) == before
    finally:
        mount.umount("/run", lazy=True)
