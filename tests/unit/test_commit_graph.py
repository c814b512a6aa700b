"""The tree in front of `log --graph`."""

from hypothesis import given
from hypothesis import strategies as st

from limosa.model.commit_graph import Node, lines


def drawn(*nodes: tuple[str, str]) -> list[str]:
    """Return the drawing of commits given oldest first."""
    made = [Node(name, parent, when) for when, (name, parent) in enumerate(nodes)]
    return [f"{line.drawing} {line.name}".rstrip() for line in lines(made)]


def test_a_straight_line() -> None:
    assert drawn(("a", ""), ("b", "a"), ("c", "b")) == ["* c", "* b", "* a"]


def test_a_fork_joins_what_it_came_from() -> None:
    tree = drawn(("a", ""), ("b", "a"), ("copy1", "b"), ("copy2", "copy1"), ("c", "b"))
    assert tree == ["* c", "| * copy2", "| * copy1", "|/", "* b", "* a"]


def test_several_forks_of_one_commit() -> None:
    tree = drawn(("a", ""), ("x", "a"), ("y", "a"), ("z", "a"))
    assert tree == ["* z", "| * y", "| | * x", "|_|/", "|/", "* a"]


def test_a_line_that_crosses_another() -> None:
    tree = drawn(("a", ""), ("o", ""), ("x", "a"), ("p", "o"), ("b", "a"))
    assert tree == ["* b", "| * p", "| * o", "| * x", "|/", "* a"]


def test_what_is_not_there_ends_a_line_and_frees_its_column() -> None:
    assert drawn(("a", "gone"), ("b", "also gone")) == ["* b", "* a"]
    assert drawn(("a", ""), ("b", "")) == ["* b", "* a"]


def test_clocks_that_differ_do_not_put_a_parent_first() -> None:
    nodes = [Node("parent", "", 9), Node("child", "parent", 1)]
    assert [line.name for line in lines(nodes)] == ["child", "parent"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=30))
def test_every_commit_is_drawn_once_after_its_descendants_and_joins_its_parent(choices: list[tuple[int, int]]) -> None:
    nodes = []
    for number, (back, when) in enumerate(choices):
        parent = "" if number - back - 1 < 0 else str(number - back - 1)
        nodes.append(Node(str(number), parent, when))
    found = lines(nodes)
    names = [line.name for line in found if line.name]
    assert sorted(names, key=int) == [node.name for node in nodes]
    for node in nodes:
        if node.parent:
            assert names.index(node.name) < names.index(node.parent)
    assert all(line.drawing.count("*") == (1 if line.name else 0) for line in found)
