"""A user namespace that only carries an id mapping."""

import os
import signal
import subprocess

import pytest

from limosa.linux import process, user_namespace

pytestmark = pytest.mark.privileged


def mapping_of(namespace: int) -> list[str]:
    """Return the first line of a namespace's uid_map, as a process inside sees it."""
    command = ["nsenter", f"--user=/proc/self/fd/{namespace}", "cat", "/proc/self/uid_map"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=(namespace,))
    return done.stdout.split()


def test_it_maps_ids_and_leaves_no_child() -> None:
    before = process.children(os.getpid())
    namespace = user_namespace.with_mapping([(0, 1 << 29, 1000), (1000, 0, 1)])
    try:
        assert mapping_of(namespace) == ["0", str(1 << 29), "1000", "1000", "0", "1"]
    finally:
        os.close(namespace)
    assert process.children(os.getpid()) == before


def test_it_is_made_where_ended_children_are_not_waited_for() -> None:
    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as a caller may leave it to what it starts
    try:
        os.close(user_namespace.with_mapping([(0, 1 << 29, 1000)]))
    finally:
        signal.signal(signal.SIGCHLD, former)


def test_a_map_that_the_kernel_refuses_leaves_no_child() -> None:
    before = process.children(os.getpid())
    with pytest.raises(OSError, match="Invalid argument"):
        user_namespace.with_mapping([(0, 1 << 29, 1000), (0, 0, 1)])
    assert process.children(os.getpid()) == before
