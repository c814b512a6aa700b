"""Trees tried in worktrees: kept answers, flaky tests, dirty places, several at once, nothing left."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from test_exactness import store

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.worktrees import WorktreeWorkspace


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    folder = str(tmp_path / "repository")
    subprocess.run(["git", "init", "-q", folder], check=True)
    return GitRepository(folder)


def tree(repository: GitRepository, **files: bytes) -> str:
    return store(repository, {name: ("100644", data) for name, data in files.items()})


@pytest.fixture
def base(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> str:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.org")
    return repository.must("commit-tree", tree(repository, a=b"0"), "-m", "base").decode().strip()


def test_an_answer_is_kept_for_the_tree_and_the_command(repository, base, tmp_path) -> None:
    log = tmp_path / "log"
    one, command = tree(repository, a=b"1"), f"echo ran >> {log}; grep -q 1 a"
    for expected in (False, True):
        workspace = WorktreeWorkspace(repository, base, 60)
        verdict = workspace.attempt(one, command)
        workspace.close()
        assert (verdict.passed, verdict.cached) == (True, expected)
    assert log.read_text() == "ran\n"
    assert subprocess.run(["git", "-C", repository.directory, "worktree", "list"], capture_output=True, check=True).stdout.count(b"\n") == 1  # fmt: skip  # noqa: E501


def test_a_flaky_test_is_run_again_and_said_to_be_flaky(repository, base, tmp_path) -> None:
    workspace = WorktreeWorkspace(repository, base, 60)
    once = tmp_path / "once"
    verdict = workspace.attempt(tree(repository, a=b"2"), f"test -e {once} || {{ touch {once}; exit 1; }}", again=2)
    firm = workspace.attempt(tree(repository, a=b"2"), "exit 3", again=2)
    workspace.close()
    assert (verdict.passed, verdict.flaky) == (True, True)
    assert (firm.passed, firm.flaky) == (False, False)


def test_a_failure_in_a_used_place_is_believed_only_in_a_clean_one(repository, base) -> None:
    """What an earlier build left must not fail a later tree: here a file that only the first tree makes."""
    workspace = WorktreeWorkspace(repository, base, 60)
    command = "if grep -q make a; then touch left-over; else test ! -e left-over; fi"
    assert workspace.attempt(tree(repository, a=b"make"), command).passed
    verdict = workspace.attempt(tree(repository, a=b"no"), command)
    workspace.close()
    assert verdict.passed
    assert not verdict.flaky


def test_several_trees_are_tried_at_once(repository, base, tmp_path) -> None:
    """Each waits for the other: one after the other would never end."""
    command = f"touch {tmp_path}/$(cat a); while ! test -e {tmp_path}/3 -a -e {tmp_path}/4; do sleep 0.05; done"
    workspace = WorktreeWorkspace(repository, base, 60, places=2)
    verdicts = workspace.attempt_all([tree(repository, a=b"3"), tree(repository, a=b"4")], command)
    workspace.close()
    assert [verdict.passed for verdict in verdicts] == [True, True]


def test_a_command_that_does_not_end_is_ended_with_its_children_and_not_kept(repository, base, tmp_path) -> None:
    workspace = WorktreeWorkspace(repository, base, 1)
    one, command = tree(repository, a=b"5"), f"sleep 987 & echo $! > {tmp_path}/pid; wait"
    verdict = workspace.attempt(one, command)
    assert not verdict.passed
    assert "no end after 1 s" in verdict.output
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not os.path.exists(f"/proc/{child}") or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child lives on")
    assert not workspace.attempt(one, command).cached
    workspace.close()
