"""The history of commits as a tree that is drawn in front of a list, latest first, as `git log --graph` does.

A commit has one parent at most. A line of descent keeps its column until it joins the one that it came from.
"""

from collections.abc import Iterable, Iterator

from limosa.model.value import NamedTuple


class Node(NamedTuple):
    """A commit. The parent may be none of those that are drawn."""

    name: str
    parent: str
    when_ns: int


class Line(NamedTuple):
    """A line of the drawing; `name` is empty where it only joins lines of descent."""

    drawing: str
    name: str


def lines(nodes: Iterable[Node]) -> list[Line]:
    """Return the drawing of all `nodes`: each after all that descend from it."""
    found: list[Line] = []
    columns: list[str] = []  # what each column waits for; empty: the column is free
    known = {node.name: node for node in nodes}
    for node in _ordered(known):
        waiting = [at for at, name in enumerate(columns) if name == node.name]
        if not waiting:
            waiting = [columns.index("")] if "" in columns else [len(columns)]
            columns[waiting[0] : waiting[0] + 1] = [node.name]
        first, *joining = waiting
        for at in reversed(joining):
            found.append(Line(_joined(columns, first, at), ""))
            columns[at] = ""
        marks = ["*" if at == first else "|" if name else " " for at, name in enumerate(columns)]
        found.append(Line(" ".join(marks).rstrip(), node.name))
        columns[first] = node.parent if node.parent in known else ""
        while columns and not columns[-1]:
            columns.pop()
    return found


def _ordered(known: dict[str, Node]) -> Iterator[Node]:
    """Yield children before their parents; of several that can come, the last one's parent, or the latest."""
    children = dict.fromkeys(known, 0)
    for node in known.values():
        if node.parent in known:
            children[node.parent] += 1
    ready = sorted((node for node in known.values() if not children[node.name]), key=_age)
    while ready:
        node = ready.pop()
        yield node
        if node.parent in known:
            children[node.parent] -= 1
            if not children[node.parent]:
                ready.append(known[node.parent])


def _age(node: Node) -> tuple[int, str]:
    return (node.when_ns, node.name)


def _joined(columns: list[str], first: int, last: int) -> str:
    """Return the line in which the column `last` comes to `first`."""
    cells = [" "] * (2 * len(columns))
    for at in range(2 * first + 1, 2 * last - 1):
        cells[at] = "_"
    cells[2 * last - 1] = "/"
    for at, name in enumerate(columns):
        if name and at != last:
            cells[2 * at] = "|"
    return "".join(cells).rstrip()
