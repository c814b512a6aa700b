"""The series that the planner makes of any two trees is a series of valid trees, and survives the mail."""

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_exactness import FILE, store

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine import planning, writing
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer
from limosa_slice.ports.repository import Person

ANN = Person("Ann", "ann@example.org", "1700000000 +0000")
# A file and a folder of one name cannot be in one tree, but can be in two.
TREE = st.one_of(
    st.dictionaries(st.sampled_from(["x", "y.c", "z.py"]), FILE, max_size=3),
    st.dictionaries(st.sampled_from(["x/a", "x/b", "y.c", "z.py/t"]), FILE, max_size=4),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    folder = str(tmp_path_factory.mktemp("repository"))
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "config", "user.name", "Ann"], check=True)
    subprocess.run(["git", "-C", folder, "config", "user.email", "ann@example.org"], check=True)
    return GitRepository(folder)


def series_of(repository: GitRepository, old, new) -> tuple[str, writing.Written] | None:
    base_tree, head_tree = store(repository, old), store(repository, new)
    base = repository.must("commit-tree", base_tree, "-m", "base").decode().strip()
    change = read_change(repository, TreeSitterSyntax(), base_tree, head_tree)
    if not change.atoms:
        return None
    slices = planning.Planner(change, TreeSitterSyntax(), []).plan(10)
    messages = [item.title + "\n" for item in slices]
    return base, writing.write(repository, Composer(repository, change), base, slices, messages, ANN)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREE, TREE)
def test_every_planned_series_is_one_of_valid_trees(repository, old, new) -> None:
    made = series_of(repository, old, new)
    if made:
        assert repository.tree_of(made[1].commits[-1]) == store(repository, new)
        for commit in made[1].commits:
            names = repository.must("ls-tree", "-r", "--name-only", "-z", commit).split(b"\0")[:-1]
            assert not any(a != b and b.startswith(a + b"/") for a in names for b in names)


TEXTS = {
    "crlf": ("100644", b"one\r\ntwo\r\n"),
    "latin": ("100644", b"\xe9\xff\nplain\n"),
    "open end": ("100644", b"a\nb"),
    "empty": ("100644", b""),
    "script": ("100755", b"#!/bin/sh\n"),
    "link": ("120000", b"target"),
    "binary": ("100644", b"\0\1\2" * 50),
    "module": ("160000", b"1"),
    "from": ("100644", b"From nobody Mon Sep 17 00:00:00 2001\n---\ndiff --git a/x b/x\n"),
}
CHANGED = {
    "crlf": ("100755", b"one\r\nand\r\ntwo\n"),
    "latin": ("100644", b"\xe9\xfe\nplain\n"),
    "open end": ("100644", b"a\nb\nc"),
    "script.sh": ("100755", b"#!/bin/sh\n"),
    "link": ("120000", b"elsewhere"),
    "binary": ("100644", b"\0\1\3" * 50),
    "module": ("160000", b"2"),
    "from": ("100644", b"From somebody Mon Sep 17 00:00:00 2001\n---\n"),
    "new empty": ("100644", b""),
}


@pytest.mark.parametrize("forward", [True, False])
def test_the_mails_add_up_to_the_input(repository, tmp_path, forward) -> None:
    old, new = (TEXTS, CHANGED) if forward else (CHANGED, TEXTS)
    made = series_of(repository, old, new)
    assert made is not None
    mails = repository.format_patch(made[0], made[1].commits[-1], str(tmp_path))
    assert len(mails) == len(made[1].commits) > 1
    for mail in mails:
        with open(mail, "rb") as file:
            assert b"multipart" not in file.read()
    assert repository.apply_mail(made[0], mails) == store(repository, new)
