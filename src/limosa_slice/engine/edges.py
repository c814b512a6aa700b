"""What must come before what, and what nothing may separate; each with its evidence."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from limosa_slice.engine.facts import BUILD, HEADER, Facts, file_kind
from limosa_slice.engine.reach import Reach
from limosa_slice.model.change import Change, Role

_LITERAL = re.compile(rb"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|//[^\n]*|/\*.*?\*/", re.S)
_BRACKETED = (".c", ".h", ".py", ".go", ".rs", ".java", ".js", ".ts")
_KCONFIG = re.compile(rb"^\s*(?:menu)?config\s+(\w+)", re.M)
_INCLUDE = re.compile(rb"^\s*#\s*include\s*[<\"]([^>\"]+)", re.M)
MANY_CALLERS = 60  # a changed signature with more callers is left to the build to find
Edges = dict[tuple[int, int], str]


def order_edges(change: Change, facts: list[Facts]) -> Edges:
    """Return (earlier, later) -> evidence."""
    edges: Edges = {}
    definers: dict[bytes, list[int]] = defaultdict(list)
    droppers: dict[bytes, list[int]] = defaultdict(list)
    for index, fact in enumerate(facts):
        # A hunk that replaces text defines anew only what no file had.
        for word in fact.defines - fact.removed if not fact.removed else fact.defines & fact.novel:
            definers[word].append(index)
        for word in fact.drops - fact.added:
            droppers[word].append(index)
    reach = Reach(change)

    def meant(word: bytes, user: int, makers: list[int], *, new: bool) -> int | None:
        """Return the only one of `makers` whose `word` atom `user` can mean."""
        able = []
        for maker in makers:
            fact, home = facts[maker], change.atoms[maker].file
            kept, member = word in fact.kept, word in fact.members
            if reach.can_mean(word, home, change.atoms[user], kept=kept, member=member, new=new):
                able.append(maker)
        return able[0] if len(able) == 1 and able[0] != user else None

    for index, fact in enumerate(facts):
        prototype = file_kind(change.path(change.atoms[index])) == HEADER
        for word in sorted(fact.added & definers.keys()):
            if prototype and _only_declares(word, change, index):
                continue
            first = meant(word, index, definers[word], new=True)
            if first is not None:
                edges[(first, index)] = f"defines {word.decode()}, which this uses"
        for word in sorted((fact.removed - fact.added) & droppers.keys()):
            last = meant(word, index, droppers[word], new=False)
            if last is not None:
                edges[(index, last)] = f"takes a use of {word.decode()} away before its definition goes"
    edges.update(kconfig_edges(change, facts))
    edges.update(file_edges(change, facts))
    edges.update(path_edges(change))
    edges.update(class_edges(change, facts))
    return edges


def class_edges(change: Change, facts: list[Facts]) -> Edges:
    """Return the edges from the piece of an addition that opens a class to the pieces with its methods."""
    edges: Edges = {}
    openers: dict[tuple[int, int, bytes], int] = {}
    for atom, fact in zip(change.atoms, facts, strict=True):
        outer = fact.outer.encode()
        first = openers.get((atom.file, atom.ordinal, outer))
        if first is not None and outer not in fact.defines:
            edges[first, atom.id] = f"opens {fact.outer}, which this is a part of"
        for name in fact.defines:
            openers[atom.file, atom.ordinal, name] = atom.id
    return edges


def _only_declares(word: bytes, change: Change, index: int) -> bool:
    """Say whether a header names `word` only in prototypes, which may come before the definition as well."""
    lines = [line for line in change.added(change.atoms[index]) if word in line]
    return all(re.search(rb"\b" + re.escape(word) + rb"\s*\(", line) and not line[:1].isspace() for line in lines)


def kconfig_edges(change: Change, facts: list[Facts]) -> Edges:
    """Return the edges from the Kconfig entry that defines a symbol to the code and build entries that ask for it."""
    makers: dict[bytes, int] = {}
    for atom in change.atoms:
        if change.path(atom).rsplit("/", 1)[-1].startswith("Kconfig"):
            for symbol in _KCONFIG.findall(b"".join(change.added(atom))):
                makers.setdefault(b"CONFIG_" + symbol, atom.id)
    return {
        (makers[word], index): f"defines the Kconfig symbol {word.decode()}, which this asks for"
        for index, fact in enumerate(facts)
        for word in fact.added & makers.keys()
        if makers[word] != index
    }


def file_edges(change: Change, facts: list[Facts]) -> Edges:
    """Return the edges from a new file to its build entry and to what includes it."""
    edges: Edges = {}
    new: dict[str, list[int]] = defaultdict(list)
    for number, delta in enumerate(change.files):
        if delta.old is None and delta.new_path and change.by_file[number]:
            new[delta.new_path.rsplit("/", 1)[-1]].append(number)
    if not new:
        return edges
    by_object = {name.rpartition(".")[0].encode(): name for name in new if name.endswith((".c", ".cc", ".cpp", ".S"))}
    for atom in change.atoms:
        text = b"".join(change.added(atom))
        wanted = {name.decode(errors="replace").rsplit("/", 1)[-1] for name in _INCLUDE.findall(text)} & new.keys()
        if file_kind(change.path(atom)) == BUILD:
            wanted |= {name for stem, name in by_object.items() if re.search(rb"\b" + re.escape(stem) + rb"\.(o|c|cc|cpp|lo)\b", text)}  # fmt: skip  # noqa: E501
        for name in wanted:
            for number in new[name] if len(new[name]) == 1 else ():
                edges.update(
                    {(first, atom.id): f"brings the file {name}, which this names" for first in change.by_file[number]
                     if change.atoms[first].file != atom.file}
                )  # fmt: skip
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


def welds(change: Change, facts: list[Facts]) -> list[list[int]]:
    """Return the atoms as groups that nothing may separate."""
    parent = list(range(len(change.atoms)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for group in (*bracket_welds(change), *signature_welds(change, facts), *rename_welds(change, facts)):
        for other in group[1:]:
            parent[root(other)] = root(group[0])
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(parent)):
        groups[root(index)].append(index)
    return list(groups.values())


def bracket_welds(change: Change) -> Iterator[list[int]]:
    """Yield the edits of a file that leave brackets balanced only together."""
    for number, atoms in enumerate(change.by_file):
        if not change.files[number].path.endswith(_BRACKETED):
            continue
        open_: Counter[bytes] = Counter()
        current: list[int] = []
        for index in atoms:
            atom = change.atoms[index]
            current.append(index)
            for lines, sign in ((change.added(atom), 1), (change.removed(atom), -1)) if atom.role is Role.EDIT else ():
                text = _LITERAL.sub(b"", b"".join(lines))
                for pair in (b"{}", b"()", b"[]"):
                    open_[pair] += sign * (text.count(pair[:1]) - text.count(pair[1:]))
            if not any(open_.values()):
                yield current
                current = []
        # A file whose brackets never balance (conditional compilation) teaches nothing: `current` is dropped.


def signature_welds(change: Change, facts: list[Facts]) -> Iterator[list[int]]:
    """Yield the definition of a function whose parameters change, with its prototypes and the calls that follow it."""
    changed = {
        name: index
        for index, fact in enumerate(facts)
        for name in fact.defines & fact.drops
        if _parameters(name, change.added(change.atoms[index]))
        != _parameters(name, change.removed(change.atoms[index]))
    }
    for name, index in changed.items():
        users = [n for n, fact in enumerate(facts) if n != index and name in fact.added and name in fact.removed]
        users = [
            n for n in users
            if _parameters(name, change.added(change.atoms[n])) and _parameters(name, change.removed(change.atoms[n]))
        ]  # fmt: skip
        if users and len(users) <= MANY_CALLERS:
            yield [index, *users]


def rename_welds(change: Change, facts: list[Facts]) -> Iterator[list[int]]:
    """Yield a renamed file with the places that call it by its name, old and new (an import, an entry of a build)."""
    for atom in change.atoms:
        delta = change.files[atom.file]
        if atom.role is not Role.RENAME or not delta.old_path or not delta.new_path:
            continue
        was, now = (p.rsplit("/", 1)[-1].partition(".")[0].encode() for p in (delta.old_path, delta.new_path))
        users = [n for n, fact in enumerate(facts) if was in fact.stale and now in fact.fresh] if was != now else []
        if users and len(users) <= MANY_CALLERS:
            yield [atom.id, *users]


def _parameters(name: bytes, lines: tuple[bytes, ...]) -> list[bytes]:
    """Return what stands in the parentheses after `name`, wherever it is called or defined, without white space."""
    return [b"".join(m.split()) for m in re.findall(rb"\b" + re.escape(name) + rb"\s*\(([^)]*)", b"".join(lines))]
