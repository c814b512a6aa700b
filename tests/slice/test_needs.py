"""How `bench/slicer` finds the pairs of a person's series that do not commute."""

import os
import subprocess
from pathlib import Path

import pytest

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine.atomize import read_change

BENCH = os.path.join(os.path.dirname(__file__), "../../bench/slicer")
PERSON = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def commit(folder: Path, files: dict[str, str | None]) -> str:
    """Write, or remove, files, commit them and return the commit."""
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    for command in (["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True, env={**os.environ, **PERSON})
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_a_definition_is_as_old_as_the_file_that_a_later_commit_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not in the change by its first path, but its names were there when the uses were written."""
    monkeypatch.syspath_prepend(BENCH)
    import corpus
    import needs

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    body = "".join(f"def helper_{n}():\n    return {n}\n\n\n" for n in range(8))
    base = commit(tmp_path, {"main.py": "x = 1\n\n\ny = 2\n"})
    one = commit(tmp_path, {"first_path.py": body})
    two = commit(tmp_path, {"main.py": "from mod import helper_3\nx = 1\n\n\ny = 2\n"})
    three = commit(tmp_path, {"first_path.py": None, "mod.py": body})
    repository, syntax = GitRepository(str(tmp_path / ".git")), TreeSitterSyntax()
    series = corpus.Series("some", base, three, (one, two, three))
    change = read_change(repository, syntax, repository.tree_of(base), repository.tree_of(three))
    found = needs.needs(repository, syntax, series, change, corpus.Truth(repository.git_dir, series, change))
    assert [(need.name, need.first_commit, need.later_commit) for need in found] == [("helper_3", 0, 1)]


def test_a_parameter_does_not_need_the_function_that_is_called_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the benchmark nor the slicer's edges hold that the function must come first."""
    monkeypatch.syspath_prepend(BENCH)
    import corpus
    import needs

    from limosa_slice.engine.edges import order_edges
    from limosa_slice.engine.facts import read_facts

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    middle = "".join(f"x{n} = {n}\n\n\n" for n in range(8))
    walk = "def walk(parents_of):\n    return parents_of(1)\n\n\n"
    made = "def parents_of(commit):\n    return commit\n"
    used = "def both():\n    return parents_of(2)\n\n\n"
    base = commit(tmp_path, {"main.py": middle})
    one = commit(tmp_path, {"main.py": walk + middle})
    two = commit(tmp_path, {"main.py": walk + middle + made})
    three = commit(tmp_path, {"main.py": walk + middle.replace("x4", used + "x4") + made})
    repository, syntax = GitRepository(str(tmp_path / ".git")), TreeSitterSyntax()
    series = corpus.Series("some", base, three, (one, two, three))
    change = read_change(repository, syntax, repository.tree_of(base), repository.tree_of(three))
    found = needs.needs(repository, syntax, series, change, corpus.Truth(repository.git_dir, series, change))
    assert [(need.name, need.first_commit, need.later_commit) for need in found] == [("parents_of", 1, 2)]
    assert list(order_edges(change, read_facts(change, syntax)[0])) == [(2, 1)]
