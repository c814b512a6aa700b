"""Finding the paths of what processes watch, without the kernel's help."""

import ctypes
import os

import pytest

from limosa.adapters.criu.watches import watched_paths

IN_MODIFY = 2
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def watch():
    """A function that lets this process watch a path."""
    descriptor = libc.inotify_init()
    assert descriptor >= 0

    def watched(path) -> None:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), IN_MODIFY) >= 0

    yield watched
    os.close(descriptor)


def test_watched_files_and_directories_are_found_deepest_first(tmp_path, watch) -> None:
    for directory in ("etc/dbus-1", "srv/deep/down", "usr/share/dbus-1/system.d"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "srv/deep/file").write_text("x")
    assert watched_paths([os.getpid()], str(tmp_path)) == []
    for path in ("", "etc", "etc/dbus-1", "srv/deep/file", "usr/share/dbus-1/system.d"):
        watch(tmp_path / path)
    found = watched_paths([os.getpid()], str(tmp_path))
    assert found == ["/usr/share/dbus-1/system.d", "/srv/deep/file", "/etc/dbus-1", "/etc", "/"]


def test_what_lies_elsewhere_and_links_that_lead_there_are_not_found(tmp_path, watch) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "below").mkdir(parents=True)
    (root / "etc").symlink_to(outside)
    watch(outside / "below")
    assert watched_paths([os.getpid()], str(root)) == []
    assert watched_paths([1 << 22], str(root)) == [], "a process that has ended watches nothing"
