"""What must come before what, and a series that keeps to it."""

import heapq
import re
from collections import Counter, defaultdict

from limosa_slice.engine.evidence import Facts
from limosa_slice.model.change import Change, Role

_LITERAL = re.compile(rb"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|//[^\n]*|/\*.*?\*/", re.S)
_DOCUMENT = re.compile(r"(^|/)(NEWS|README|CHANGES|Change[Ll]og|docs?/|man/)|\.(md|rst|txt|[1-8])$")
_BRACKETED = (".c", ".h", ".py", ".go", ".rs", ".java", ".js", ".ts")
_TEST = re.compile(r"(^|/)(tests?/|test_)|_test\.")


def order_edges(change: Change, facts: list[Facts]) -> dict[tuple[int, int], str]:
    """Return (earlier, later) -> evidence."""
    edges: dict[tuple[int, int], str] = {}
    definers: dict[bytes, list[int]] = defaultdict(list)
    droppers: dict[bytes, list[int]] = defaultdict(list)
    for index, fact in enumerate(facts):
        for word in fact.defines - fact.removed:
            definers[word].append(index)
        for word in fact.drops - fact.added:
            droppers[word].append(index)
    for index, fact in enumerate(facts):
        for word in fact.added:
            for first in definers.get(word, ()) if len(definers.get(word, ())) == 1 else ():
                if first != index:
                    edges[(first, index)] = f"defines {word.decode()}, which this uses"
        for word in fact.removed - fact.added:
            for last in droppers.get(word, ()) if len(droppers.get(word, ())) == 1 else ():
                if last != index:
                    edges[(index, last)] = f"takes a use of {word.decode()} away before its definition goes"
    edges.update(path_edges(change))
    return edges


def path_edges(change: Change) -> dict[tuple[int, int], str]:
    """Return the edges that keep paths free: what leaves a path goes before what needs it, as file or as folder."""
    leaving: dict[str, list[int]] = defaultdict(list)
    for index, delta in enumerate(change.files):
        if delta.old_path is not None and delta.old_path != delta.new_path:
            parts = delta.old_path.split("/")
            for depth in range(1, len(parts) + 1):
                leaving["/".join(parts[:depth])].append(index)
    edges: dict[tuple[int, int], str] = {}
    old_files = {d.old_path for d in change.files if d.old_path != d.new_path}
    for index, delta in enumerate(change.files):
        if delta.new_path is None or delta.new_path == delta.old_path:
            continue
        parts = delta.new_path.split("/")
        blockers = set(leaving.get(delta.new_path, ()))
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            blockers.update(leaving[folder] if folder in old_files else ())
        for blocker in blockers - {index}:
            for first in change.by_file[blocker]:
                for later in change.by_file[index]:
                    edges[(first, later)] = f"frees the path {delta.new_path}"
    return edges


def welds(change: Change) -> list[list[int]]:
    """Return the atoms as groups that nothing may separate: edits that only together leave brackets balanced."""
    groups: list[list[int]] = []
    for atoms in change.by_file:
        open_: Counter[bytes] = Counter()
        current: list[int] = []
        for index in atoms:
            atom = change.atoms[index]
            current.append(index)
            if atom.role is Role.EDIT and change.path(atom).endswith(
                (".c", ".h", ".py", ".go", ".rs", ".java", ".js", ".ts")
            ):
                for lines, sign in ((change.added(atom), 1), (change.removed(atom), -1)):
                    text = _LITERAL.sub(b"", b"".join(lines))
                    for pair in (b"{}", b"()", b"[]"):
                        open_[pair] += sign * (text.count(pair[:1]) - text.count(pair[1:]))
            if not any(open_.values()):
                groups.append(current)
                current = []
        # A file whose brackets never balance (conditional compilation) teaches nothing.
        groups += [[index] for index in current]
    return groups


def rank(change: Change, atoms: list[int]) -> tuple[int, float]:
    """Return where a group belongs when nothing forces it: moves first, documents last, else as in the tree."""
    roles = {change.atoms[a].role for a in atoms}
    paths = [change.path(change.atoms[a]) for a in atoms]
    if roles <= {Role.RENAME, Role.MODE}:
        return (0, 0.0)
    if all(_DOCUMENT.search(path) for path in paths):
        return (3, 0.0)
    if all(_TEST.search(path) for path in paths):
        return (2, 0.0)
    return (1, sum(atoms) / len(atoms))


def ordered(change: Change, groups: list[list[int]], edges: dict[tuple[int, int], str]) -> list[list[int]]:
    """Return the groups in an order that keeps every edge; groups in a circle become one."""
    while True:
        place = {atom: number for number, group in enumerate(groups) for atom in group}
        after: dict[int, set[int]] = defaultdict(set)
        waits: Counter[int] = Counter()
        for first, later in edges:
            one, two = place[first], place[later]
            if one != two and two not in after[one]:
                after[one].add(two)
                waits[two] += 1
        ready = [(rank(change, group), number) for number, group in enumerate(groups) if not waits[number]]
        heapq.heapify(ready)
        result: list[int] = []
        while ready:
            _, number = heapq.heappop(ready)
            result.append(number)
            for other in after[number]:
                waits[other] -= 1
                if not waits[other]:
                    heapq.heappush(ready, (rank(change, groups[other]), other))
        if len(result) == len(groups):
            return [groups[number] for number in result]
        groups = _join_circle(groups, after, set(range(len(groups))) - set(result))


def _join_circle(groups: list[list[int]], after: dict[int, set[int]], stuck: set[int]) -> list[list[int]]:
    """Return the groups with one circle among `stuck` joined: every stuck group waits for another one."""
    before = {later: first for first in sorted(stuck) for later in after[first] if later in stuck}
    walk = [min(stuck)]
    while before[walk[-1]] not in walk:
        walk.append(before[walk[-1]])
    circle = set(walk[walk.index(before[walk[-1]]) :])
    joined = sorted(atom for number in circle for atom in groups[number])
    return [group for number, group in enumerate(groups) if number not in circle] + [joined]
