"""What the slicer reads: history, facts, edges that no compiler is needed for; and how it names and orders slices."""

import subprocess

import pytest
from test_exactness import store

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.gitdiff import parse_history
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine import edges
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.cluster import cluster
from limosa_slice.engine.evidence import NAMES
from limosa_slice.engine.forest import FEATURES
from limosa_slice.engine.order import Ranks, ordered
from limosa_slice.engine.planning import Planner
from limosa_slice.engine.wording import without_promises
from limosa_slice.model.change import Role
from limosa_slice.ports.repository import PastCommit


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    folder = str(tmp_path_factory.mktemp("repository"))
    subprocess.run(["git", "init", "-q", folder], check=True)
    return GitRepository(folder)


def planner(repository: GitRepository, old: dict[str, bytes], new: dict[str, bytes], history=()) -> Planner:
    base, head = (store(repository, {p: ("100644", data) for p, data in side.items()}) for side in (old, new))
    syntax = TreeSitterSyntax()
    return Planner(read_change(repository, syntax, base, head), syntax, list(history))


def place(made: Planner, path: str) -> int:
    return next(atom.id for atom in made.change.atoms if made.change.path(atom) == path)


def test_history_is_read_with_and_without_counts(repository) -> None:
    counted = b"\x01a: one\0\n3\t1\ta.c\0-\t-\tb\tin.c\0\x01two\0\n0\t2\tc\0"
    named = b"\x01a: one\0\na.c\0b\tin.c\0\x01two\0\nc\0"
    assert [(c.title, c.paths, c.lines) for c in parse_history(counted)] == [("a: one", ("a.c", "b\tin.c"), 4), ("two", ("c",), 2)]  # fmt: skip  # noqa: E501
    assert [c.title for c in parse_history(named)] == ["a: one", "two"]
    assert parse_history(named)[1].paths == ("c",)


def test_a_kconfig_symbol_a_new_file_and_a_new_header_come_before_what_names_them(repository) -> None:
    made = planner(
        repository,
        {"drivers/Makefile": b"obj-y += old.o\n", "drivers/old.c": b"int old;\n"},
        {
            "drivers/Makefile": b"obj-y += old.o\nobj-$(CONFIG_NEW) += new.o\n",
            "drivers/old.c": b'#include "new.h"\n#ifdef CONFIG_NEW\nint more;\n#endif\nint old;\n',
            "drivers/Kconfig": b"config NEW\n\tbool\n",
            "drivers/new.c": b"int fresh(void) { return 1; }\n",
            "drivers/new.h": b"int fresh(void);\n",
        },
    )
    found = made.graph.edges
    makefile, old, kconfig = (place(made, f"drivers/{name}") for name in ("Makefile", "old.c", "Kconfig"))
    assert "Kconfig symbol CONFIG_NEW" in found[kconfig, makefile]
    assert "Kconfig symbol CONFIG_NEW" in found[kconfig, old]
    assert "brings the file new.c" in found[place(made, "drivers/new.c"), makefile]
    assert "brings the file new.h" in found[place(made, "drivers/new.h"), old]


def test_a_changed_signature_is_welded_to_its_prototype_and_its_callers(repository) -> None:
    old = {
        "a.h": b"int frob(int a);\n",
        "a.c": b'#include "a.h"\n\nint frob(int a)\n{\n\treturn a;\n}\n',
        "b.c": b"int g(void)\n{\n\treturn frob(1);\n}\n",
        "c.c": b"int h(void)\n{\n\treturn frob_other(1);\n}\n",
    }
    new = {
        path: text.replace(b"int a)", b"int a, int b)")
        .replace(b"frob(1)", b"frob(1, 2)")
        .replace(b"other(1)", b"other(7)")
        for path, text in old.items()
    }
    made = planner(repository, old, new)
    together = next(group for group in made.graph.welds if place(made, "a.c") in group)
    assert {made.change.path(made.change.atoms[a]) for a in together} == {"a.h", "a.c", "b.c"}


def test_mechanical_slices_come_first_and_documents_last(repository) -> None:
    lines = [b"int v%d = 1;\n" % n for n in range(60)]
    changed = [line.replace(b" = ", b"  =  ") if n < 30 else line for n, line in enumerate(lines)]
    body = b"".join(b"line number %d of the program\n" % n for n in range(30))
    made = planner(
        repository,
        {
            "README": b"old words\n",
            "space.c": b"".join(lines),
            "zz.c": b"int z(void)\n{\n\treturn 0;\n}\n",
            "was.txt": body,
        },
        {
            "README": b"new words\n",
            "space.c": b"".join(changed),
            "zz.c": b"int z(void)\n{\n\treturn 1;\n}\n",
            "now.txt": body,
        },
    )
    groups = [list(atoms) for atoms in made.change.by_file]
    ranks = Ranks(made.change, made.graph.facts, made.graph.edges)
    groups = ordered(ranks, groups, made.graph.edges, made.graph.welds)
    order = [made.change.path(made.change.atoms[group[0]]) for group in groups]
    assert order[-1] == "README"
    assert order[-2] == "zz.c"
    assert any(made.change.atoms[a].role is Role.RENAME for group in groups[:2] for a in group)
    titles = [made.wording.title(group) for group in groups]
    assert any("white space" in title for title in titles)
    assert any(title.lower().startswith("move was.txt") for title in titles)


def test_titles_have_the_prefix_and_the_case_of_the_history(repository) -> None:
    past = [PastCommit(f"net: ipv4: Fix thing {n}", ("net/ipv4/tcp.c",), 3) for n in range(5)]
    past += [PastCommit(f"fs: Fix thing {n}", ("fs/x.c",), 3) for n in range(9)]
    old, new = {"net/ipv4/tcp.c": b"int a;\n"}, {"net/ipv4/tcp.c": b"int a;\nint frobnicate(void)\n{\n\treturn 1;\n}\n"}
    assert planner(repository, old, new, past).plan(150)[0].title == "net: ipv4: Add frobnicate"
    near = planner(repository, {"net/ipv4/udp.c": b"int a;\n"}, {"net/ipv4/udp.c": b"int b;\n"}, past)
    assert near.plan(150)[0].title.startswith("net: ipv4: ")
    assert not planner(repository, {"lib/q.c": b"int a;\n"}, {"lib/q.c": b"int b;\n"}, past).plan(150)[0].title.startswith("fs: ")  # fmt: skip  # noqa: E501


def test_a_function_that_only_changes_is_neither_added_nor_removed_by_its_title(repository) -> None:
    old = {"a.h": b"int frob(int a);\n", "a.c": b"int frob(int a)\n{\n\treturn a;\n}\n"}
    new = {path: text.replace(b"int a)", b"int a, int b)") for path, text in old.items()}
    assert planner(repository, old, new).plan(150)[0].title == "change frob"
    fewer = planner(repository, {"x.conf": b"one\ntwo\nthree\n"}, {"x.conf": b"one\n"})
    assert fewer.plan(150)[0].title == "remove lines from x.conf"


def test_nobody_signs_off_for_anybody() -> None:
    said = "net: add x\n\nWords.\n\nSigned-off-by: Ann <a@example.org>\nReviewed-by: Bob <b@example.org>\nFixes: 1234\n"
    assert without_promises(said) == "net: add x\n\nWords.\n\nFixes: 1234"


def test_an_explanation_names_its_evidence(repository) -> None:
    made = planner(
        repository,
        {"a.c": b"int a(void)\n{\n\treturn 0;\n}\n", "b.c": b"int b(void)\n{\n\treturn 0;\n}\n"},
        {
            "a.c": b"int a(void)\n{\n\treturn frobnicate();\n}\n",
            "b.c": b"int b(void)\n{\n\treturn 0;\n}\nint frobnicate(void)\n{\n\treturn 2;\n}\n",
        },
    )
    user, definer = place(made, "a.c"), place(made, "b.c")
    said = made.explain(made.plan(150), user)
    assert f"order: after h{definer}, which defines frobnicate, which this uses" in said
    assert "definition and use" in said
    assert edges.order_edges(made.change, made.graph.facts) == made.graph.edges


def test_a_name_means_only_a_definition_that_its_file_can_see(repository) -> None:
    """What one file keeps to itself is not what others call a parameter, a method or a function of their own."""
    old = dict.fromkeys(("a.c", "b.c", "b.h", "c.c", "d.py", "e.py", "f.py", "tests/test_g.py", "notes.md"), b"\n")
    new = {
        "a.c": b"static char *schema = 0;\n\nint shown (void)\n{\n  return !schema;\n}\n",
        "b.c": b"int use (const char *schema)\n{\n  return shown () && schema;\n}\n",
        "b.h": b"int use (const char *schema);\n",
        "c.c": b"struct hidden\n{\n  int x;\n};\n",
        "d.py": b"def outer():\n    def inner():\n        return 1\n    return inner\n\n\ndef frob(x):\n    return x\n",
        "e.py": b"from d import (\n    frob,\n)\n\nprint(frob(1), outer.x, inner)\n",
        "f.py": b"for frob in hidden, shown:\n    print(frob)\n",
        "tests/test_g.py": b"def fake():\n    return frob\n\n\nclass Other:\n    pass\n",
        "notes.md": b"schema and inner are new\n",
    }
    new["f.py"] += b"print(d.fake)\n"
    made = planner(repository, old, new)
    names = {
        (made.change.path(made.change.atoms[a]), made.change.path(made.change.atoms[b]), why.split()[1].rstrip(","))
        for (a, b), why in made.graph.edges.items()
    }
    assert names == {
        ("a.c", "a.c", "schema"), ("a.c", "b.c", "shown"), ("d.py", "e.py", "frob"),
        ("a.c", "notes.md", "schema"), ("d.py", "notes.md", "inner"),
    }  # fmt: skip


def test_every_feature_has_its_name_and_the_trees_were_learnt_from_as_many(repository) -> None:
    made = planner(repository, {"a.c": b"int a;\n", "b.c": b"int b;\n"}, {"a.c": b"int aa;\n", "b.c": b"int bb;\n"})
    values = dict(zip(NAMES, made.evidence.features(0, 1), strict=True))
    assert len(values) == FEATURES
    assert values["atoms"] == pytest.approx(0.6931, abs=1e-3)
    assert values["same file type"] == 1.0
    assert values["usual files"] == 2.0
    assert values["change together"] == -1.0


def test_an_option_the_file_of_its_name_and_a_call_into_another_file_tie_their_atoms(repository) -> None:
    """What a feature brings is called alike everywhere, also with dashes, and its files are named after it."""
    made = planner(
        repository,
        {
            "main.py": b"import undo\n\n\ndef main():\n    pass\n",
            "undo.py": b"def undo():\n    return 0\n",
            "use.md": b"a\n",
        },
        {
            "main.py": b"import undo\n\n\ndef main():\n    undo_all_merges()\n",
            "undo.py": b"def undo_all_merges():\n    return 1\n",
            "use.md": b"a\n`--all-merges` takes them back\n",
        },
    )

    def of(one: str, two: str) -> dict[str, float]:
        a, b = sorted((place(made, one), place(made, two)))
        return dict(zip(NAMES, made.evidence.features(a, b), strict=True))

    code = of("main.py", "undo.py")
    assert code["files import each other"] == 1.0
    assert code["definition and only use"] == 1.0
    assert code["name of the file"] > 0
    text = of("main.py", "use.md")
    assert text["shared pieces of names"] == 1.0
    assert text["shared new parts"] == 2.0
    assert text["files import each other"] == text["definition and only use"] == 0.0


def test_a_slice_grows_beyond_its_size_only_where_its_parts_are_sure_to_belong_together(repository) -> None:
    body = b"".join(b"\tstep_%d();\n" % number for number in range(90))
    names = ("one", "two", "three")
    old = {f"{name}.c": b"int x;\n" for name in names}
    made = planner(repository, old, {f"{name}.c": b"int x;\n" + body for name in names})
    for probability, groups in ((0.5, 2), (0.9, 1)):
        found = cluster(made.evidence, made.graph.welds, 120, lambda _, worth=probability: worth)
        assert len(found) == groups
