"""The script that conmon starts at a program's end: limosa is started if nobody watches, or whoever did is gone."""

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

import limosa.adapters.crun_runtime as package

SCRIPT = Path(package.__file__).parent / "exited.sh"


def started(container: Path, told: Path) -> subprocess.Popen[bytes]:
    """Start the script with a command that leaves a file."""
    return subprocess.Popen([SCRIPT, container, "touch", told])


def watching(container: Path) -> int:
    """Watch a container as `run` does; closing the descriptor, or dying, ends it."""
    descriptor = os.open(container / "watchers", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def test_without_a_watcher_limosa_is_started(tmp_path: Path) -> None:
    container = tmp_path / "container"
    container.mkdir()
    assert started(container, tmp_path / "told").wait() == 0
    assert (tmp_path / "told").exists()


def test_what_the_watcher_has_removed_needs_nobody(tmp_path: Path) -> None:
    container = tmp_path / "container"
    container.mkdir()
    descriptor = watching(container)
    script = started(container, tmp_path / "told")
    time.sleep(0.2)
    assert script.poll() is None, "it waits for who watches"
    shutil.rmtree(container)
    os.close(descriptor)
    assert script.wait() == 0
    assert not (tmp_path / "told").exists()


def test_a_watcher_that_dies_leaves_the_end_to_limosa(tmp_path: Path) -> None:
    container = tmp_path / "container"
    container.mkdir()
    descriptor = watching(container)
    script = started(container, tmp_path / "told")
    os.close(descriptor)
    assert script.wait() == 0
    assert (tmp_path / "told").exists()


def test_a_watcher_that_is_stuck_is_not_waited_for_long(tmp_path: Path) -> None:
    container = tmp_path / "container"
    container.mkdir()
    descriptor = watching(container)
    assert started(container, tmp_path / "told").wait(timeout=60) == 0
    assert (tmp_path / "told").exists()
    os.close(descriptor)
