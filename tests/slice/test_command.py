"""The command, end to end, on a repository with two unrelated changes that build only in one order."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
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


def test_a_container_that_is_not_there_is_refused_plainly(repo, capsys, monkeypatch) -> None:
    monkeypatch.setenv("LIMOSA_COMMAND", "sh -c 'echo no such container >&2; exit 3' limosa")
    assert main(["HEAD~1..HEAD", "--repo", str(repo), "--in", "builder", "--build", "true"]) == 1
    said = capsys.readouterr().err
    assert "LIM-SLICE-052" in said
    assert "no such container" in said


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


def run(repo: Path, *args: str) -> int:
    return main([*args, "--repo", str(repo)])


def test_the_page_has_the_graph_the_series_and_the_diffs_and_loads_nothing(repo, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert run(repo, "HEAD~1..HEAD", "--html", str(page)) == 0
    text = page.read_text()
    assert text.count("<details") >= 2
    assert "brand_new" in text
    assert "defines brand_new, which this uses" in text or "<circle" in text
    assert not re.search(r"(src|href)=['\"](?!#)|@import|url\(", text)
    parser = HTMLParser()
    parser.feed(text)
    parser.close()


def test_a_describing_command_writes_the_messages_but_signs_nothing_off(repo, tmp_path) -> None:
    script = "printf 'Say it well\\n\\nSigned-off-by: Nobody <n@example.org>\\nIt was: '; echo \"$LIMOSA_SLICE_MESSAGE\" | head -1; grep -c '^+' "  # noqa: E501
    assert run(repo, "HEAD~1..HEAD", "-o", "said", "--describe", script) == 0
    log = git(repo, "log", "--format=%B", "HEAD~1..said")
    assert log.count("Say it well") == int(git(repo, "rev-list", "--count", "HEAD~1..said"))
    assert "Signed-off-by" not in log
    assert "It was: " in log
    assert run(repo, "HEAD~1..HEAD", "-o", "unsaid", "--describe", "exit 1") == 0
    assert "brand_new" in git(repo, "log", "--format=%B", "HEAD~1..unsaid")


def test_a_change_that_does_not_pass_itself_is_refused_and_leaves_no_branch(repo, capsys) -> None:
    assert run(repo, "HEAD~1..HEAD", "--build", "echo how sad; false", "-o", "never") == 1
    said = capsys.readouterr().err
    assert "LIM-SLICE-042" in said
    assert "how sad" in said
    assert "never" not in git(repo, "branch", "--list")


def test_when_the_time_is_up_the_rest_is_written_as_not_tried(repo, capsys) -> None:
    assert run(repo, "HEAD~1..HEAD", "--build", "true", "--max-time", "0s", "-o", "late") == 1
    assert git(repo, "rev-parse", "late^{tree}") == git(repo, "rev-parse", "HEAD^{tree}")
    assert "not tried" in capsys.readouterr().err


def test_what_a_trial_has_taught_is_in_the_plan_and_in_the_explanation(repo, tmp_path, capsys) -> None:
    plan = tmp_path / "plan"
    run(repo, "plan", "HEAD~1..HEAD", "--plan", str(plan))
    lines = plan.read_text().splitlines()
    ends = [line for line in lines if line.startswith(("base", "head"))]
    hunks = {line.split()[1].split(":")[0]: line for line in lines if line.startswith("  h")}
    order = ["slice use", hunks["a.py"], "slice text", hunks["README"], "slice define", hunks["z.py"]]
    plan.write_text("\n".join([*ends, *order]) + "\n")
    test = "python3 -c 'import a; a.use()'"
    assert run(repo, "apply", str(plan), "--test", test, "--plan", str(plan), "-o", "x") == 0
    number = hunks["a.py"].split()[0]
    assert re.search(rf"^learned h\d+ before {number}: .*brand_new", plan.read_text(), re.M)
    assert git(repo, "log", "--format=%s", "--reverse", "HEAD~1..x").split() == ["define", "use", "text"]
    capsys.readouterr()
    assert run(repo, "explain", number, "--plan", str(plan)) == 0
    assert "learned: " in capsys.readouterr().out


def test_the_kernels_scripts_are_asked_where_the_tree_has_them(repo, tmp_path) -> None:
    (repo / "scripts").mkdir()
    (repo / "scripts" / "checkpatch.pl").write_text(
        "die 'options' unless grep { $_ eq '--no-signoff' } @ARGV; die 'tree' unless -e 'README' && -d 'scripts';\n"
        'for (grep { /patch$/ } @ARGV) { print "$_:7: WARNING:LONG_LINE: too long\\n"; } exit 1;\n'
    )
    (repo / "scripts" / "get_maintainer.pl").write_text('print "Mia Maintainer <mia\\@example.org>\\n";\n')
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "scripts")
    mails = tmp_path / "mails"
    assert run(repo, "HEAD~2..HEAD~1", "--format-patch", str(mails)) == 0
    assert "checkpatch" not in (mails / "0000-cover-letter.txt").read_text()
    (repo / "a.py").write_text("import z\n\n\ndef use():\n    return 3\n")
    git(repo, "commit", "-qam", "more")
    mails = tmp_path / "kernel-mails"
    assert run(repo, "HEAD~1..HEAD", "--format-patch", str(mails)) == 0
    cover = (mails / "0000-cover-letter.txt").read_text()
    assert "To: Mia Maintainer <mia@example.org>" in cover
    assert "scripts/checkpatch.pl: 1 remarks" in cover
    assert "0001-" in cover
    assert "too long" in cover


def test_a_patch_file_is_an_input_and_a_file_in_the_way_an_error(repo, tmp_path, capsys) -> None:
    patch = tmp_path / "huge.patch"
    patch.write_bytes(subprocess.run(["git", "-C", repo, "diff", "--binary", "HEAD~1", "HEAD"], capture_output=True, check=True).stdout)  # fmt: skip  # noqa: E501
    assert run(repo, str(patch), "--base", "HEAD~1", "-o", "from-patch") == 0
    assert git(repo, "rev-parse", "from-patch^{tree}") == git(repo, "rev-parse", "HEAD^{tree}")
    assert run(repo, "HEAD~1..HEAD", "--html", str(tmp_path / "no" / "page.html")) == 1
    assert "LIM-SLICE-023" in capsys.readouterr().err
    assert run(repo, str(tmp_path / "nothing.patch")) == 1
    assert "LIM-SLICE-017" in capsys.readouterr().err


def test_where_git_does_not_know_who_commits_the_author_does(repo, tmp_path) -> None:
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "nobody")}
    command = [sys.executable, "-m", "limosa_slice"]
    done = subprocess.run(
        [*command, "HEAD~1..HEAD", "--repo", str(repo), "-o", "s"],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(git(repo, "log", "--format=%an/%cn", "HEAD~1..s").split()) == {"Ann/Ann"}
    patch = tmp_path / "huge.patch"
    patch.write_bytes(
        subprocess.run(["git", "-C", repo, "diff", "HEAD~1", "HEAD"], capture_output=True, check=True).stdout
    )
    done = subprocess.run(
        [*command, str(patch), "--base", "HEAD~1", "--repo", str(repo)],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_written_in_the_end_is_refused_before_anything_is_built(repo, tmp_path, capsys) -> None:
    """Builds can take hours; a branch that exists has to be said first."""
    git(repo, "branch", "there")
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails/0001-old.patch").touch()
    plan = tmp_path / "plan"
    assert run(repo, "HEAD~1..HEAD", "--plan", str(plan)) == 0
    ran = f"touch {tmp_path}/ran"
    for start in (["HEAD~1..HEAD"], ["apply", str(plan)]):
        for wrong, code in ((["-o", "there"], "013"), (["--format-patch", str(tmp_path / "mails")], "015")):
            assert run(repo, *start, "--build", ran, *wrong) == 1
            assert f"LIM-SLICE-{code}" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert run(repo, "HEAD~1..HEAD", "--build", ran, "-o", "there", "--force") == 0


@pytest.mark.parametrize(
    ("said", "meant"),
    [(["plna", "a..b"], "plan"), (["--bild", "x", "a..b"], "--build"), (["a..b", "--tset=x"], "--test")],
)
def test_a_slip_of_the_fingers_is_told_what_was_meant(said, meant, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(said)
    assert ended.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_one_commit_or_a_hunk_that_is_not_there_is_told_what_there_is(repo, tmp_path, capsys) -> None:
    assert run(repo, "HEAD~1") == 1
    assert "HEAD~1.." in capsys.readouterr().err
    plan = tmp_path / "plan"
    assert run(repo, "HEAD~1..HEAD", "--plan", str(plan)) == 0
    assert "no branch points at them" in capsys.readouterr().err
    assert run(repo, "explain", "h77", "--plan", str(plan)) == 2
    assert "has h0 to h" in capsys.readouterr().err
