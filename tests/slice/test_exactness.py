"""Any order of atoms leads from the base tree to the head tree, to the byte."""

import ast
import os
import random
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer, file_state
from limosa_slice.engine.edges import class_edges
from limosa_slice.engine.facts import read_facts
from limosa_slice.model.change import Entry, Role

NAMES = ["a.c", "b.py", "dir/c.txt", "dir/d\udcff.txt", "späce e"]
LINE = st.sampled_from(
    [
        b"one\n",
        b"two\r\n",
        b"\xff\xfe\n",
        b"\n",
        b"int f(void)\n",
        b"{\n",
        b"}\n",
        b"@@ -1 +1 @@\n",
        b"diff --git a b\n",
    ]
)
TEXT = st.builds(
    lambda lines, tail: b"".join(lines) + tail, st.lists(LINE, max_size=60), st.sampled_from([b"", b"no final newline"])
)
BINARY = st.binary(max_size=30).map(lambda data: b"\0" + data)
FILE = st.one_of(
    st.tuples(st.sampled_from(["100644", "100755"]), st.one_of(TEXT, BINARY)),
    st.tuples(st.just("120000"), st.sampled_from([b"target", b"other"])),
    st.tuples(st.just("160000"), st.sampled_from([b"1", b"2"])),
)
TREE = st.dictionaries(st.sampled_from(NAMES), FILE, max_size=5)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    folder = str(tmp_path_factory.mktemp("repository"))
    subprocess.run(["git", "init", "-q", folder], check=True)
    return GitRepository(folder)


def store(repository: GitRepository, files: dict[str, tuple[str, bytes]]) -> str:
    empty = repository.must("mktree").decode().strip()
    entries: dict[str, Entry | None] = {}
    for path, (mode, data) in files.items():
        oid = data.decode() * 40 if mode == "160000" else repository.write_blobs([data])[0]
        entries[path] = Entry(mode, oid)
    return repository.write_tree(empty, entries)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREE, TREE, st.integers(0, 1000))
def test_atoms_in_any_order_end_in_the_head_tree(repository, old, new, seed) -> None:
    base, head = store(repository, old), store(repository, new)
    change = read_change(repository, TreeSitterSyntax(), base, head)
    composer = Composer(repository, change)
    order = list(range(len(change.atoms)))
    random.Random(seed).shuffle(order)
    trees = [composer.tree(frozenset(order[:count])) for count in range(len(order) + 1)]
    assert trees[0] == base
    assert trees[-1] == head


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT, st.integers(0, 1000))
def test_a_prefix_is_the_base_of_what_is_left(repository, old, new, seed) -> None:
    """Half of the atoms, then the difference read again from there: the same head tree."""
    base, head = store(repository, {"f.c": ("100644", old)}), store(repository, {"f.c": ("100755", new)})
    syntax = TreeSitterSyntax()
    change = read_change(repository, syntax, base, head)
    some = random.Random(seed).sample(range(len(change.atoms)), len(change.atoms) // 2)
    middle = Composer(repository, change).tree(frozenset(some))
    rest = read_change(repository, syntax, middle, head)
    assert Composer(repository, rest).tree(range(len(rest.atoms))) == head


def test_edits_of_a_renamed_file_apply_before_and_after_the_rename(repository) -> None:
    text = b"".join(b"line %d\n" % n for n in range(40))
    base = store(repository, {"old.txt": ("100644", text)})
    head = store(repository, {"new.txt": ("100644", text.replace(b"line 7\n", b"seven\r\n"))})
    change = read_change(repository, TreeSitterSyntax(), base, head)
    roles = {atom.role: atom.id for atom in change.atoms}
    assert set(roles) == {Role.RENAME, Role.EDIT}
    composer = Composer(repository, change)
    edited = composer.tree(frozenset({roles[Role.EDIT]}))
    assert repository.read_path(edited, "old.txt") == text.replace(b"line 7\n", b"seven\r\n")
    assert repository.read_path(composer.tree(frozenset({roles[Role.RENAME]})), "new.txt") == text


def test_a_large_new_file_is_cut_at_its_definitions(repository) -> None:
    body = "".join(f"int f{n}(void)\n{{\n{'    g();' + chr(10)}}}\n\n" * 1 for n in range(12)).encode()
    base, head = store(repository, {}), store(repository, {"f.c": ("100644", body)})
    change = read_change(repository, TreeSitterSyntax(), base, head)
    assert len(change.atoms) == 12
    assert os.path.basename(change.path(change.atoms[0])) == "f.c"
    first_two = repository.read_path(Composer(repository, change).tree(frozenset({0, 2})), "f.c")
    assert first_two is not None
    assert b"f0" in first_two
    assert b"f1(" not in first_two
    assert b"f2" in first_two


def test_a_large_new_class_is_cut_at_its_methods_and_opened_first(repository) -> None:
    """What is added to a class that was there is cut as well; each piece of either parses once the class is open."""
    body = "".join(f"        self.v{m} = 1\n" for m in range(12))
    methods = [f"    def method_{n}(self):\n{body}\n" for n in range(9)]
    fresh = "class Fresh:\n    kind = 1\n\n" + "".join(methods)
    there = "class There:\n    def first(self):\n        return 1\n"
    base = store(repository, {"there.py": ("100644", there.encode())})
    more = there + "\n" + "".join(methods)
    head = store(repository, {"there.py": ("100644", more.encode()), "fresh.py": ("100644", fresh.encode())})
    syntax = TreeSitterSyntax()
    change = read_change(repository, syntax, base, head)
    edges = class_edges(change, read_facts(change, syntax)[0])
    for number, delta in enumerate(change.files):
        atoms = change.by_file[number]
        assert len(atoms) >= 4
        opener = {atoms[0]} if delta.path == "fresh.py" else set()
        for atom in atoms:
            state = file_state(change, number, opener | {atom})
            assert state is not None
            ast.parse(state.content or b"")
        opened = {pair for pair in edges if pair[1] in atoms}
        assert opened == {(atoms[0], atom) for atom in atoms[1:] if opener}
