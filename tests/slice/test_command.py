"""The command, end to end, on a repository with two unrelated changes that build only in one order."""

import subprocess
import sys
from pathlib import Path

import pytest

from limosa_slice.cli.main import main


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.org")
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("import z\n\n\ndef use():\n    return 1\n")
    (folder / "z.py").write_text("def other():\n    return 2\n")
    (folder / "README").write_bytes(b"text\r\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "a: start")
    (folder / "a.py").write_text("import z\n\n\ndef use():\n    return z.brand_new()\n")
    (folder / "z.py").write_text("def other():\n    return 2\n\n\ndef brand_new():\n    return 1\n")
    (folder / "README").write_bytes(b"text\r\nmore, without an end")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return folder


def test_slice_makes_a_branch_whose_tree_is_the_input(repo, tmp_path, capsys) -> None:
    mails = tmp_path / "mails"
    test = "python3 -B -c 'import a; a.use()'"
    args = ["HEAD~1..HEAD", "--repo", str(repo), "--test", test, "-o", "sliced", "--format-patch", str(mails)]
    assert main(args) == 0
    assert git(repo, "rev-parse", "sliced^{tree}") == git(repo, "rev-parse", "HEAD^{tree}")
    assert int(git(repo, "rev-list", "--count", "HEAD~1..sliced")) >= 2
    assert "FAILS" not in capsys.readouterr().out
    assert "Signed-off-by" not in git(repo, "log", "sliced")
    assert git(repo, "worktree", "list").count("\n") == 0
    assert main(["check", "HEAD~1..sliced", "--repo", str(repo), "--test", test]) == 0
    assert main(args[:-2]) == 1  # the branch exists


def test_an_edited_plan_is_obeyed_and_an_incomplete_one_refused(repo, tmp_path, capsys) -> None:
    plan = tmp_path / "plan"
    assert main(["plan", "HEAD~1..HEAD", "--repo", str(repo), "--plan", str(plan)]) == 0
    assert main(["explain", "h0", "--plan", str(plan), "--repo", str(repo)]) == 0
    assert "h0" in capsys.readouterr().out
    head = [line for line in plan.read_text().splitlines() if line.startswith(("base", "head"))]
    hunks = sorted(line for line in plan.read_text().splitlines() if line.startswith("  h"))
    plan.write_text("\n".join([*head, "slice second", *hunks[1:], "slice first", hunks[0]]) + "\n")
    assert main(["apply", str(plan), "--repo", str(repo), "-o", "mine"]) == 0
    assert git(repo, "log", "--format=%s", "HEAD~1..mine").split() == ["first", "second"]
    plan.write_text("\n".join([*head, "slice only", *hunks[1:]]) + "\n")
    assert main(["apply", str(plan), "--repo", str(repo), "-o", "less"]) == 1
    assert "LIM-SLICE-031" in capsys.readouterr().err


def test_a_failing_prefix_takes_in_what_it_misses(repo, tmp_path) -> None:
    plan = tmp_path / "plan"
    main(["plan", "HEAD~1..HEAD", "--repo", str(repo), "--plan", str(plan)])
    lines = plan.read_text().splitlines()
    head = [line for line in lines if line.startswith(("base", "head"))]
    hunks = {line.split()[1].split(":")[0]: line for line in lines if line.startswith("  h")}
    order = ["slice use", hunks["a.py"], "slice text", hunks["README"], "slice define", hunks["z.py"]]
    plan.write_text("\n".join([*head, *order]) + "\n")
    test = "python3 -B -c 'import a; a.use()'"
    assert main(["apply", str(plan), "--repo", str(repo), "--test", test, "-o", "mended"]) == 0
    assert main(["check", "HEAD~1..mended", "--repo", str(repo), "--test", test]) == 0


def test_containers_are_refused_plainly(repo, capsys) -> None:
    assert main(["HEAD~1..HEAD", "--repo", str(repo), "--in", "web"]) == 1
    assert "LIM-SLICE-050" in capsys.readouterr().err


def test_limosa_slice_is_the_same_command_and_takes_no_module_from_the_repository(repo, tmp_path) -> None:
    (repo / "limosa_slice").mkdir()
    (repo / "limosa_slice" / "__init__.py").write_text("raise SystemExit('taken from the repository')")
    limosa = str(Path(sys.executable).parent / "limosa")
    done = subprocess.run(
        [limosa, "slice", "plan", "HEAD~1..HEAD"], check=False, cwd=repo, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "\nslice " in done.stdout
    bad = subprocess.run([limosa, "slice", "HEAD~7..HEAD"], check=False, cwd=repo, capture_output=True, text=True)
    assert bad.returncode == 1
    assert "LIM-SLICE-010" in bad.stderr
