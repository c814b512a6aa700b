"""A persistent table from page numbers to pages: a radix tree whose nodes are never changed, only copied.

A change copies the nodes from the root down to it, so a new version costs what changed, and every version opens by
itself. 256 pages a leaf and 32 children a node: one changed page of a 10 GB file costs about 4 KiB of nodes.
"""

from collections.abc import Callable, Iterator, Sequence

from limosa.model import store_codec as codec
from limosa.model.commit_store import MAX_PAGE, Malformed, ObjectId, PageMap, PageRun
from limosa.model.store_codec import FANOUT, FANOUT_BITS, LEAF_PAGES, MAX_HEIGHT
from limosa.model.value import NamedTuple

Load = Callable[[ObjectId], bytes]
Save = Callable[[bytes], ObjectId]


class Change(NamedTuple):
    """`n_pages` from `first_page` on become the pages from `slot` on of `frame`, or zero pages (`frame` None)."""

    first_page: int
    n_pages: int
    frame: ObjectId | None
    slot: int = 0


def span(level: int) -> int:
    """Return how many pages a node `level` levels above the leaves covers."""
    return LEAF_PAGES << FANOUT_BITS * level


def update(load: Load, save: Save, pages: PageMap, changes: Sequence[Change]) -> PageMap:
    """Return `pages` with `changes` made. `changes` are sorted and do not overlap.

    Raises: ValueError: a page number is out of range. What `load` and `save` raise; `pages` stands as it was.
    """
    changes = [change for change in changes if change.n_pages]
    if not changes:
        return pages
    end = max(change.first_page + change.n_pages for change in changes)
    if changes[0].first_page < 0 or end > MAX_PAGE:
        raise ValueError("a page number is out of range")
    height, root = pages
    if any(change.frame is not None for change in changes):
        while span(height) < end:
            if root is not None:
                root = save(codec.encode_branch(height + 1, [root] + [None] * (FANOUT - 1)))
            height += 1
    root = _update(load, save, root, height, 0, changes)
    while root is not None and height:  # a map that shrank loses the levels that it does not need
        children = codec.decode_branch(load(root), height)
        if any(children[1:]):
            break
        root, height = children[0], height - 1
    return PageMap(height, root) if root is not None else PageMap()


def _update(
    load: Load, save: Save, node: ObjectId | None, level: int, base: int, changes: Sequence[Change]
) -> ObjectId | None:
    if node is None and all(change.frame is None for change in changes):
        return None
    if level == 0:
        return _update_leaf(load, save, node, base, changes)
    children: list[ObjectId | None] = [None] * FANOUT
    if node is not None:
        children = codec.decode_branch(load(node), level)
    before = list(children)
    width = span(level - 1)
    at = 0
    for position in range(FANOUT):
        first, end = base + position * width, base + (position + 1) * width
        while at < len(changes) and changes[at].first_page + changes[at].n_pages <= first:
            at += 1
        if at == len(changes):
            break
        stop = at
        while stop < len(changes) and changes[stop].first_page < end:
            stop += 1
        if stop > at:
            children[position] = _update(load, save, children[position], level - 1, first, changes[at:stop])
    if children == before:
        return node
    return save(codec.encode_branch(level, children)) if any(children) else None


def _update_leaf(
    load: Load, save: Save, node: ObjectId | None, base: int, changes: Sequence[Change]
) -> ObjectId | None:
    before = codec.joined_runs(codec.decode_leaf_runs(load(node))) if node is not None else []
    here = []
    for first_page, n_pages, frame, slot in changes:
        low, high = max(first_page, base), min(first_page + n_pages, base + LEAF_PAGES)
        here.append((low - base, high - low, frame, slot + low - first_page))
    placed = [(low, n_pages, frame, slot) for low, n_pages, frame, slot in here if frame is not None]
    if before:
        placed = sorted([*_left_beside(before, [(low, low + n_pages) for low, n_pages, _, _ in here]), *placed])
    now = codec.joined_runs(placed)
    if now == before:
        return node
    return save(codec.encode_leaf(now)) if now else None


def _left_beside(runs: Sequence[codec.LeafRun], taken: Sequence[tuple[int, int]]) -> Iterator[codec.LeafRun]:
    """Yield what is left of sorted runs beside what is `taken`: (first page, end), sorted."""
    at = 0
    for first, n_pages, frame, slot in runs:
        end = first + n_pages
        while at < len(taken) and taken[at][1] <= first:
            at += 1
        low = first
        for number in range(at, len(taken)):
            taken_first, taken_end = taken[number]
            if taken_first >= end:
                break
            if taken_first > low:
                yield low, taken_first - low, frame, slot + low - first
            low = taken_end
        if low < end:
            yield low, end - low, frame, slot + low - first


def runs(load: Load, pages: PageMap, first_page: int = 0, end_page: int = MAX_PAGE) -> Iterator[PageRun]:
    """Yield the pages of a map from `first_page` up to `end_page` in order; what is not in a run is zero.

    Raises: Malformed: a node is not what the format says. What `load` raises.
    """
    pending: PageRun | None = None
    for base, leaf in leaves(load, pages, first_page, end_page):
        for step, count, frame, slot in codec.decode_leaf_runs(load(leaf)):
            low, high = max(base + step, first_page), min(base + step + count, end_page)
            if low >= high:
                continue
            at = slot + low - base - step
            if (
                pending is not None
                and pending.frame == frame
                and low == pending.first_page + pending.n_pages
                and at == pending.slot + pending.n_pages
            ):
                pending = pending._replace(n_pages=pending.n_pages + high - low)
                continue
            if pending is not None:
                yield pending
            pending = PageRun(low, high - low, frame, at)
    if pending is not None:
        yield pending


def leaves(load: Load, pages: PageMap, first_page: int = 0, end_page: int = MAX_PAGE) -> Iterator[tuple[int, ObjectId]]:
    """Yield (first page, leaf) for each leaf that has pages between `first_page` and `end_page`, in order."""
    height, root = pages
    if height > MAX_HEIGHT:
        raise Malformed("a page map with too many levels")
    waiting = [(0, height, root)] if root is not None else []
    while waiting:
        base, level, node = waiting.pop()
        if base >= end_page or base + span(level) <= first_page:
            continue
        if level == 0:
            yield base, node
            continue
        children = codec.decode_branch(load(node), level)
        width = span(level - 1)
        waiting += [
            (base + position * width, level - 1, child)
            for position, child in reversed(list(enumerate(children)))
            if child is not None
        ]


def differing(load: Load, one: PageMap, other: PageMap) -> Iterator[tuple[int, int]]:
    """Yield runs (first_page, n_pages), sorted, of pages that the maps do not share; equal subtrees are not read.

    A page that two commits hold in two frames with the same content counts as different.
    """
    height = max(one.height, other.height)
    pending: tuple[int, int] | None = None
    for base, left, right in _differing_leaves(load, _raised(one, height), _raised(other, height), height):
        old: codec.Slots = codec.decode_leaf(load(left)) if left is not None else [None] * LEAF_PAGES
        new: codec.Slots = codec.decode_leaf(load(right)) if right is not None else [None] * LEAF_PAGES
        for step in range(LEAF_PAGES):
            if old[step] == new[step]:
                continue
            page = base + step
            if pending is not None and pending[0] + pending[1] == page:
                pending = (pending[0], pending[1] + 1)
                continue
            if pending is not None:
                yield pending
            pending = (page, 1)
    if pending is not None:
        yield pending


# A subtree: its level, and its node; a map is raised to a height by levels that exist only in thought.
_Subtree = tuple[int, ObjectId] | None


def _raised(pages: PageMap, height: int) -> _Subtree:
    return (pages.height, pages.root) if pages.root is not None and pages.height <= height else None


def _children(load: Load, tree: _Subtree, level: int) -> list[_Subtree]:
    if tree is None:
        return [None] * FANOUT
    if tree[0] < level:
        return [tree] + [None] * (FANOUT - 1)
    return [(level - 1, child) if child is not None else None for child in codec.decode_branch(load(tree[1]), level)]


def _differing_leaves(
    load: Load, one: _Subtree, other: _Subtree, level: int, base: int = 0
) -> Iterator[tuple[int, ObjectId | None, ObjectId | None]]:
    if one == other:
        return
    if level == 0:
        yield base, one and one[1], other and other[1]
        return
    pairs = zip(_children(load, one, level), _children(load, other, level), strict=True)
    for position, (left, right) in enumerate(pairs):
        yield from _differing_leaves(load, left, right, level - 1, base + position * span(level - 1))
