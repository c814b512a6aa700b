# ruff: noqa: RUF001 - compilers quote like this
"""What a failing prefix teaches: an edge from the diagnostics, a small set from delta debugging; and that it ends."""

import itertools
from collections.abc import Callable, Collection, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa_slice.engine.facts import Facts
from limosa_slice.engine.minimize import smallest
from limosa_slice.engine.oracle import Commands, Trial, missing_files, missing_symbols
from limosa_slice.engine.repair import Graph, Settler
from limosa_slice.model.change import Atom, Change, Entry, FileDelta, FileText, Hunk, Role
from limosa_slice.model.series import Slice
from limosa_slice.ports.workspace import Verdict

SAYS = [
    ("main.c:3:5: error: ‘frob’ undeclared (first use in this function)", b"frob"),
    ("main.c:3:5: error: implicit declaration of function ‘frob’; did you mean ‘prob’?", b"frob"),
    ("main.c:2:1: error: unknown type name 'frob'", b"frob"),
    ("main.c:9:4: error: ‘struct x’ has no member named ‘frob’", b"frob"),
    ("main.c:(.text+0x5): undefined reference to `frob'", b"frob"),
    ("ImportError: cannot import name 'frob' from 'a.b' (/x/a/b.py)", b"frob"),
    ("NameError: name 'frob' is not defined", b"frob"),
    ("AttributeError: module 'z' has no attribute 'frob'", b"frob"),
    ("ModuleNotFoundError: No module named 'a.frob'", b"frob"),
    ("TypeError: f() got an unexpected keyword argument 'frob'", b"frob"),
    ("./main.go:7:2: undefined: frob", b"frob"),
    ("error[E0425]: cannot find function `frob` in this scope", b"frob"),
    ("src/A.ts(3,1): error TS2304: Cannot find name 'frob'.", b"frob"),
    ("A.java:3: error: cannot find symbol\n    frob();\n    ^\n  symbol:   method frob()", b"frob"),
]


@pytest.mark.parametrize(("said", "symbol"), SAYS)
def test_the_missing_symbol_is_read_from_what_compilers_and_interpreters_say(said: str, symbol: bytes) -> None:
    assert symbol in missing_symbols(said)


def test_a_missing_file_is_read_too() -> None:
    assert missing_files("a.c:1:10: fatal error: sub/new.h: No such file or directory") >= {"sub/new.h"}
    assert missing_files("make: *** No rule to make target 'new.c', needed by 'new.o'.  Stop.") == {"new.c"}


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(1, 31))
@settings(max_examples=200)
def test_delta_debugging_finds_exactly_the_parts_that_are_needed(needed: set[int], extra: int) -> None:
    parts = list(range(31 + extra))
    found = smallest(parts, lambda chosen: needed <= set(chosen), 10_000)
    assert found is not None
    assert set(found) == needed


def test_delta_debugging_keeps_to_its_number_of_tries_and_what_it_returns_has_passed() -> None:
    asked: list[list[int]] = []

    def passes(chosen: list[int]) -> bool:
        asked.append(chosen)
        return {3, 40, 77} <= set(chosen)

    found = smallest(list(range(100)), passes, 12)
    assert len(asked) <= 12
    assert found is None or passes(found)


class Trees:
    """A composer whose trees are the sets of atoms themselves."""

    def tree(self, applied: Collection[int]) -> str:
        return ",".join(map(str, sorted(applied)))


class Rules:
    """A workspace in which a tree passes when `rule` finds nothing wrong with its atoms."""

    places = 1

    def __init__(self, rule: Callable[[set[int]], str]) -> None:
        self.rule = rule

    def attempt(self, tree: str, command: str, *, again: int = 0) -> Verdict:
        wrong = self.rule({int(word) for word in tree.split(",") if word})
        return Verdict(not wrong, wrong, 0.0)

    def attempt_all(self, trees: Sequence[str], command: str, *, again: int = 0) -> list[Verdict]:
        return [self.attempt(tree, command) for tree in trees]

    def close(self) -> None: ...


def fact(defines: Collection[bytes] = (), added: Collection[bytes] = ()) -> Facts:
    none: frozenset[bytes] = frozenset()
    words = frozenset(added) | frozenset(defines)
    return Facts(
        added=words, removed=none, fresh=words, stale=none, novel=words, gone=none, fresh_here=none, stale_here=none,
        parts=none, novel_parts=none, pieces=none, context=none, lines_in=none, lines_out=none, around="", outer="",
        defines=frozenset(defines), drops=none, kept=none, members=none, edit=((), ()), imports=False, comments=False,
        blank=False,
    )  # fmt: skip


def settle(facts: list[Facts], groups: list[list[int]], rule: Callable[[set[int]], str]) -> tuple[list[Slice], Graph]:
    files = tuple(
        FileDelta(f"{n}.c", f"{n}.c", Entry("100644", ""), Entry("100644", ""), ()) for n in range(len(facts))
    )
    atoms = tuple(Atom(n, n, Role.EDIT, Hunk(0, 0, 0, 1)) for n in range(len(facts)))
    change = Change("", "", files, tuple(FileText() for _ in facts), atoms, tuple((n,) for n in range(len(facts))))
    graph = Graph(change, facts, {}, [[n] for n in range(len(facts))])
    trial = Trial(Trees(), Rules(rule), Commands("make", None))  # type: ignore[arg-type]
    clock = itertools.count()
    settler = Settler(
        graph, trial, lambda atoms: f"slice of {atoms}", lambda _: None, lambda: next(clock), float("inf")
    )
    return settler.settle([Slice(str(group), tuple(group)) for group in groups]), graph


def test_a_definition_that_the_compiler_misses_moves_in_front_of_its_user() -> None:
    facts = [fact(added=[b"frob"]), fact(), fact(defines=[b"frob"])]
    said = "error: ‘frob’ undeclared"
    done, graph = settle(facts, [[0], [1], [2]], lambda a: said if 0 in a and 2 not in a else "")
    assert [item.atoms for item in done] == [(2,), (0,), (1,)]
    assert all(item.built for item in done)
    assert graph.edges == {(2, 0): "the build of the one without the other misses frob"}


def test_two_slices_that_need_each_other_become_one() -> None:
    facts = [fact([b"foo"], [b"bar"]), fact(), fact([b"bar"], [b"foo"])]

    def rule(atoms: set[int]) -> str:
        if 0 in atoms and 2 not in atoms:
            return "undefined reference to `bar'"
        return "undefined reference to `foo'" if 2 in atoms and 0 not in atoms else ""

    done, _ = settle(facts, [[0], [1], [2]], rule)
    assert sorted(item.atoms for item in done) == [(0, 2), (1,)]
    assert all(item.built for item in done)


def test_where_nothing_is_named_delta_debugging_takes_in_the_one_atom_that_is_needed() -> None:
    facts = [fact() for _ in range(9)]
    groups = [[0], [1], [2, 3], [4], [5, 6, 7], [8]]
    done, graph = settle(facts, groups, lambda a: "it does not work" if 0 in a and 6 not in a else "")
    assert [item.atoms for item in done] == [(0, 6), (1,), (2, 3), (4,), (5, 7), (8,)]
    assert all(item.built for item in done)
    assert [(x.kind, x.one, x.two) for x in graph.learned] == [("with", 6, 0)]


@given(
    st.dictionaries(st.integers(0, 7), st.sets(st.integers(0, 7), max_size=3), max_size=8), st.permutations(range(8))
)
@settings(max_examples=150, deadline=None)
def test_it_ends_with_a_series_that_passes_whatever_needs_whatever(
    needs: dict[int, set[int]], order: list[int]
) -> None:
    """Any needs at all, circles among them; the diagnostics name half of them."""
    names = [f"sym{n}".encode() for n in range(8)]
    facts = [fact([names[n]], [names[m] for m in needs.get(n, ())]) for n in range(8)]

    def rule(atoms: set[int]) -> str:
        for one in sorted(atoms):
            for other in sorted(needs.get(one, set()) - atoms):
                return f"error: ‘sym{other}’ undeclared" if other % 2 else "failed"
        return ""

    done, _ = settle(facts, [order[n : n + 2] for n in range(0, 8, 2)], rule)
    assert all(item.built for item in done)
    assert sorted(atom for item in done for atom in item.atoms) == list(range(8))
