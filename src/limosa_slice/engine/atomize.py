"""From two trees to atoms: -U0 hunks over blob bytes, large additions cut at definitions."""

import itertools
from collections.abc import Sequence

from limosa_slice.model.change import GITLINK, REGULAR, Atom, Change, FileDelta, FileText, Hunk, Role, split_lines
from limosa_slice.model.outline import PYTHON, Definition, extension
from limosa_slice.ports.repository import Repository
from limosa_slice.ports.syntax import Syntax

LARGE_LINES = 40  # an addition of this size is cut where definitions end
LEAST_LINES = 20  # methods that are cut from each other have so many lines, alone or together


def read_change(repository: Repository, syntax: Syntax, base_tree: str, head_tree: str) -> Change:
    """Return the whole change between two trees.

    Raises: SliceError LIM-SLICE-011: a blob is missing.
    """
    deltas = repository.deltas(base_tree, head_tree)
    texts: list[FileText] = []
    atoms: list[Atom] = []
    by_file: list[tuple[int, ...]] = []
    for index, delta in enumerate(deltas):
        text = _read_text(repository, delta)
        texts.append(text or FileText())
        first = len(atoms)
        for role, hunk, ordinal in _parts(delta, text, syntax):
            atoms.append(Atom(len(atoms), index, role, hunk, ordinal))
        by_file.append(tuple(range(first, len(atoms))))
    return Change(base_tree, head_tree, tuple(deltas), tuple(texts), tuple(atoms), tuple(by_file))


def _read_text(repository: Repository, delta: FileDelta) -> FileText | None:
    """Return both sides as lines, or None where the file is not text or its hunks do not explain it."""
    if delta.hunks is None or delta.new is None:
        return None
    if delta.new.mode not in REGULAR or (delta.old and delta.old.mode not in REGULAR):
        return None
    if delta.old == delta.new and not delta.hunks:
        return FileText()
    old = split_lines(repository.blob(delta.old.oid)) if delta.old else ()
    new = split_lines(repository.blob(delta.new.oid))
    text = FileText(old, new)
    return text if rebuild(text, delta.hunks) == new else None


def rebuild(text: FileText, hunks: Sequence[Hunk]) -> tuple[bytes, ...]:
    """Return the old lines with `hunks` carried out; hunks are in order and do not overlap."""
    out: list[bytes] = []
    cursor = 0
    for hunk in hunks:
        out += text.old[cursor : hunk.old_start]
        out += text.new[hunk.new_start : hunk.new_start + hunk.new_count]
        cursor = hunk.old_start + hunk.old_count
    out += text.old[cursor:]
    return tuple(out)


def _parts(delta: FileDelta, text: FileText | None, syntax: Syntax) -> list[tuple[Role, Hunk, int]]:
    none = Hunk(0, 0, 0, 0)
    if text is None or delta.hunks is None:
        return [(Role.WHOLE, _whole_hunk(delta), 0)]
    parts: list[tuple[Role, Hunk, int]] = []
    if delta.old_path is not None and delta.new_path != delta.old_path:
        parts.append((Role.RENAME, none, 0))
    if delta.old and delta.new and delta.old.mode != delta.new.mode:
        parts.append((Role.MODE, none, 0))
    for ordinal, hunk in enumerate(delta.hunks):
        parts += [(Role.EDIT, piece, ordinal) for piece in cut(delta.path, text, hunk, syntax)]
    if not parts:  # a new file without a line
        parts.append((Role.WHOLE, none, 0))
    return parts


def _whole_hunk(delta: FileDelta) -> Hunk:
    """Return the size of a deleted text file, for counting; a gitlink or binary has none."""
    if delta.hunks and delta.new is None and delta.old and delta.old.mode != GITLINK:
        return Hunk(0, sum(hunk.old_count for hunk in delta.hunks), 0, 0)
    return Hunk(0, 0, 0, 0)


def cut(path: str, text: FileText, hunk: Hunk, syntax: Syntax) -> list[Hunk]:
    """Return `hunk`, or its pieces: a large pure addition is cut before each outermost definition in it.

    Methods are such where the class itself was there before. Those of a large new class are cut, too, where indentation
    alone ends a class; the piece that opens it then goes before the others (`edges.class_edges`).
    Only additions are cut: their pieces can be carried out in any subset and keep their order.
    """
    if hunk.old_count or hunk.new_count < LARGE_LINES:
        return [hunk]
    begin, end = hunk.new_start, hunk.new_start + hunk.new_count
    outline = syntax.outline(path, text.new)
    inside = [d for d in outline if begin <= d.start and d.end <= end and d.kind in ("function", "type")]
    outer: list[Definition] = []
    for item in inside:
        if not outer or item.start >= outer[-1].end:
            outer.append(item)
    starts = outer if outer and outer[0].start - begin > LARGE_LINES // 2 else outer[1:]
    marks = {d.start for d in starts if d.depth == 0} | _apart(begin, [d.start for d in starts if d.depth])
    if extension(path) in PYTHON:
        for item in outer:
            methods = [d.start for d in inside if d.depth == item.depth + 1 and item.start < d.start < item.end]
            if item.kind == "type" and item.end - item.start >= LARGE_LINES:
                marks |= _apart(item.start, methods[1:])
    edges = [begin, *sorted(marks), end]
    return [Hunk(hunk.old_start, 0, low, high - low) for low, high in itertools.pairwise(edges)]


def _apart(start: int, marks: Sequence[int]) -> set[int]:
    """Return those of `marks` that leave LEAST_LINES between one and the next."""
    found = set()
    for mark in marks:
        if mark - start >= LEAST_LINES:
            found.add(mark)
            start = mark
    return found
