"""Trees tried in worktrees and in forks: kept answers, flaky tests, dirty places, several at once, nothing left."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_exactness import store

from limosa_slice.adapters.forks import FORK_PATHS, ForkWorkspace
from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.worktrees import WorktreeWorkspace
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Workspace


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


Opener = Callable[..., Workspace]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake limosa with one running container, "builder"."""
    state = tmp_path / "limosa"
    (state / "containers/builder").mkdir(parents=True)
    (state / "containers/builder/running").touch()
    monkeypatch.setenv("LIMOSA_COMMAND", f"{sys.executable} {Path(__file__).parent}/fake_limosa.py {state}")
    return state


@pytest.fixture(params=["worktrees", "forks"])
def place(request: pytest.FixtureRequest, repository: GitRepository, base: str, state: Path) -> Opener:
    """Open a place of one kind or the other: timeout in seconds, and how many trees at once."""

    def open_(timeout_s: float = 60, places: int = 1) -> Workspace:
        if request.param == "worktrees":
            return WorktreeWorkspace(repository, base, timeout_s, places)
        return ForkWorkspace(repository, base, "builder", timeout_s, places)

    return open_


def nothing_is_left(repository: GitRepository, state: Path) -> None:
    listed = subprocess.run(["git", "-C", repository.directory, "worktree", "list"], capture_output=True, check=True)
    assert listed.stdout.count(b"\n") == 1
    assert [entry.name for entry in (state / "containers").iterdir()] == ["builder"]
    assert not (state / "commits").exists() or not list((state / "commits").iterdir())


def test_an_answer_is_kept_for_the_tree_and_the_command(repository, place, state, tmp_path) -> None:
    log = tmp_path / "log"
    one, command = tree(repository, a=b"1"), f"echo ran of $(cat a) >> {log}; grep -q 1 a"
    for expected in (False, True):
        workspace = place()
        verdict = workspace.attempt(one, command)
        workspace.close()
        assert (verdict.passed, verdict.cached) == (True, expected)
    assert log.read_text().count("ran of 1\n") == 1
    nothing_is_left(repository, state)


def test_a_flaky_test_is_run_again_and_said_to_be_flaky(repository, place, state, tmp_path) -> None:
    workspace = place()
    once = tmp_path / "once"
    verdict = workspace.attempt(
        tree(repository, a=b"2"), f"grep -q 0 a || test -e {once} || {{ touch {once}; exit 1; }}", again=2
    )
    firm = workspace.attempt(tree(repository, a=b"2"), "exit 3", again=2)
    workspace.close()
    assert (verdict.passed, verdict.flaky) == (True, True)
    assert (firm.passed, firm.flaky) == (False, False)


def test_a_failure_in_a_used_place_is_believed_only_in_a_clean_one(repository, place, state) -> None:
    """What an earlier build left must not fail a later tree: here a file that only the first tree makes."""
    workspace = place()
    command = "if grep -q make a; then touch left-over; else test ! -e left-over; fi"
    assert workspace.attempt(tree(repository, a=b"make"), command).passed
    verdict = workspace.attempt(tree(repository, a=b"no"), command)
    workspace.close()
    assert verdict.passed
    assert not verdict.flaky


def test_several_trees_are_tried_at_once(repository, place, state, tmp_path) -> None:
    """Each waits for the other: one after the other would never end."""
    command = f"cd {tmp_path}; N=$(cat $OLDPWD/a); touch $N; until test $N = 0 -o -e 3 -a -e 4; do sleep 0.05; done"
    workspace = place(places=2)
    verdicts = workspace.attempt_all([tree(repository, a=b"3"), tree(repository, a=b"4")], command)
    workspace.close()
    assert [verdict.passed for verdict in verdicts] == [True, True]


def test_a_command_that_does_not_end_is_ended_with_its_children_and_not_kept(
    repository, place, state, tmp_path
) -> None:
    workspace = place(timeout_s=1)
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


ODD = {
    "folder/file": ("100644", b"now a file below a folder\n"),
    "run me": ("100755", b"#!/bin/sh\n"),
    "link": ("120000", b"folder/file"),
    "byt\udce9s": ("100644", b"\xff\r\n"),
    "empty": ("100644", b""),
    "now-a-file": ("100644", b"was a folder"),
}
SEEN = "find . -path ./.git -prune -o -path ./out -o -print | LC_ALL=C sort | tar -c --no-recursion --mtime=@0 --owner=0 --group=0 -T - | sha256sum"  # noqa: E501


def test_both_kinds_of_place_hold_the_same_files(repository, base, state) -> None:
    """Whatever a tree has and however it differs from the one before, also where a build left its own files."""
    first = store(
        repository, {"folder": ("100644", b"a file"), "now-a-file/x": ("100644", b"x"), "gone/deep/y": ("100644", b"y")}
    )
    second = store(repository, ODD)
    command = f"mkdir -p now-a-file 2>/dev/null && touch now-a-file/made; {SEEN}"
    outputs = []
    for workspace in (WorktreeWorkspace(repository, base, 60), ForkWorkspace(repository, base, "builder", 60)):
        (Path(repository.git_dir) / "limosa-slice").exists() and subprocess.run(
            ["rm", "-r", f"{repository.git_dir}/limosa-slice"], check=True
        )
        workspace.attempt(first, "touch now-a-file/object")
        verdict = workspace.attempt(second, command)
        assert verdict.passed, verdict.output
        outputs.append(verdict.output.split()[-2])
        workspace.close()
    assert outputs[0] == outputs[1]


def test_a_fork_goes_from_prefix_to_prefix(repository, base, state) -> None:
    """What the build of the nearest tree left is there; a tree that is nearer to the base has a new fork of it."""
    workspace = ForkWorkspace(repository, base, "builder", 60)
    command = "cat a >> history; cat history"
    for number in range(1, 4):
        kept = {f"f{n}": b"" for n in range(number * FORK_PATHS)}
        verdict = workspace.attempt(tree(repository, a=str(number).encode(), **kept), command)
        assert verdict.output.splitlines()[-1] == "0123"[: number + 1]
    assert len(list((state / "containers").iterdir())) == 3  # the container, the warm base, the place
    assert len(list((state / "commits").iterdir())) == 2  # of the container, and of the base
    near_the_base = tree(repository, a=b"x", f0=b"")
    assert workspace.attempt(near_the_base, command).output.splitlines()[-1] == "0x"
    assert len(list((state / "containers").iterdir())) == 3, "the place that was left longest ago is gone"
    workspace.close()
    nothing_is_left(repository, state)


def test_no_test_finds_what_another_left(repository, base, state) -> None:
    workspace = ForkWorkspace(repository, base, "builder", 60)
    for number in (b"1", b"2"):
        one = tree(repository, a=number)
        assert workspace.attempt(one, "cp a built").passed
        assert workspace.attempt(one, "cmp a built && test ! -e used && touch used", again=2).passed
    execs = (state / "log").read_text().splitlines()
    assert len(execs) == 2 + 2 + 2, "the base's tools and build, two builds, two tests: none was run again"
    assert len(set(execs)) == 4, "the base's place, a standing one, and one for each test"
    workspace.close()
    nothing_is_left(repository, state)


def test_a_place_whose_command_did_not_end_is_not_used_again(repository, base, state) -> None:
    workspace = ForkWorkspace(repository, base, "builder", 1)
    assert not workspace.attempt(tree(repository, a=b"1"), "touch mark; test $(cat a) = 0 || sleep 9").passed
    assert workspace.attempt(tree(repository, a=b"2"), "test ! -e used && touch used").passed
    assert len(set((state / "log").read_text().splitlines())) == 3
    workspace.close()
    nothing_is_left(repository, state)


def test_a_test_finds_what_the_build_of_its_tree_made_also_when_it_is_repeated_in_a_clean_fork(
    repository, base, state, tmp_path
) -> None:
    workspace = ForkWorkspace(repository, base, "builder", 60)
    one = tree(repository, a=b"9")
    assert workspace.attempt(one, "cp a built").passed
    failing_twice = f"test -e built || exit 9; echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) -ge 3"
    verdict = workspace.attempt(one, failing_twice, again=0)
    workspace.close()
    assert not verdict.passed
    assert (tmp_path / "tries").read_text() == "x\nx\n", "once warm, once clean, and built before both"


def test_a_container_that_does_not_run_is_refused_and_nothing_is_left(repository, base, state) -> None:
    (state / "containers/builder/running").unlink()
    workspace = ForkWorkspace(repository, base, "builder", 60)
    with pytest.raises(SliceError, match="checkpoint failed for builder") as refused:
        workspace.attempt(tree(repository, a=b"1"), "true")
    assert refused.value.code == "LIM-SLICE-052"
    assert "LIM-CONT-002" in refused.value.cause
    workspace.close()
    nothing_is_left(repository, state)
