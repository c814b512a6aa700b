"""A persistent sorted map from bytes to bytes: a B+ tree whose nodes are never changed, only copied.

At most 48 entries a node, so that a changed entry costs a few KiB of nodes whatever the size of the map.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from limosa.model import store_codec as codec
from limosa.model.commit_store import Manifest, ObjectId
from limosa.model.hints import Final
from limosa.model.store_codec import MAX_HEIGHT, MAX_KEY_BYTES, MAX_VALUE_BYTES, Child, Pair

MAX_ENTRIES: Final = 48
FEW_ENTRIES: Final = 12
MAX_LEAF_BYTES: Final = 256 << 10
Load = Callable[[ObjectId], bytes]
Save = Callable[[bytes], ObjectId]


def update(load: Load, save: Save, manifest: Manifest, edits: Mapping[bytes, bytes | None]) -> Manifest:
    """Return `manifest` with `edits` made (None removes a key, if it is there).

    Raises: ValueError: a key or a value is too long. What `load` and `save` raise; `manifest` stands as it was.
    """
    for key, value in edits.items():
        if len(key) > MAX_KEY_BYTES or (value is not None and len(value) > MAX_VALUE_BYTES):
            raise ValueError(f"a key or value of a manifest is too long: {key[:40]!r}")
    ordered = sorted(edits.items())
    if not ordered:
        return manifest
    if manifest.root is None:
        level, children = 0, _saved_leaves(save, [(key, value) for key, value in ordered if value is not None])
    else:
        level, children = codec.map_level(load(manifest.root)), []
        children = _update(load, save, (b"", manifest.root, 0), level, ordered)
    while len(children) > 1:
        level += 1
        children = _saved_branches(save, level, children)
    if not children:
        return Manifest()
    _, root, n_entries = children[0]
    while level and len(only := codec.decode_map_branch(load(root), level)) == 1:
        level, root = level - 1, only[0][1]
    return Manifest(root, n_entries)


def _update(
    load: Load, save: Save, node: Child, level: int, edits: Sequence[tuple[bytes, bytes | None]]
) -> list[Child]:
    if level == 0:
        before = codec.decode_map_leaf(load(node[1]))
        pairs = dict(before)
        for key, value in edits:
            if value is None:
                pairs.pop(key, None)
            else:
                pairs[key] = value
        after = sorted(pairs.items())
        if after == before:
            return [(before[0][0], node[1], len(before))] if before else []
        return _saved_leaves(save, after)
    children = codec.decode_map_branch(load(node[1]), level)
    changed: list[Child] = []
    at = 0
    for position, child in enumerate(children):
        stop = len(edits)
        if position + 1 < len(children):
            stop = at
            while stop < len(edits) and edits[stop][0] < children[position + 1][0]:
                stop += 1
        changed += _update(load, save, child, level - 1, edits[at:stop]) if stop > at else [child]
        at = stop
    if changed == children:
        return [(children[0][0], node[1], sum(child[2] for child in children))]
    return _saved_branches(save, level, _joined(load, save, level - 1, changed))


def _joined(load: Load, save: Save, level: int, children: list[Child]) -> list[Child]:
    """Return `children` with neighbours joined where one has few entries and both fit into one node."""
    joined: list[Child] = []
    for child in children:
        before = joined[-1] if joined else None
        if level == 0 and before is not None:
            few = min(before[2], child[2]) < FEW_ENTRIES and before[2] + child[2] <= MAX_ENTRIES
            if few:
                pairs = codec.decode_map_leaf(load(before[1])) + codec.decode_map_leaf(load(child[1]))
                joined[-1:] = _saved_leaves(save, pairs)
                continue
        elif before is not None and min(before[2], child[2]) < FEW_ENTRIES * MAX_ENTRIES**level:
            left = codec.decode_map_branch(load(before[1]), level)
            right = codec.decode_map_branch(load(child[1]), level)
            if min(len(left), len(right)) < FEW_ENTRIES and len(left) + len(right) <= MAX_ENTRIES:
                joined[-1:] = _saved_branches(save, level, left + right)
                continue
        joined.append(child)
    return joined


def _saved_leaves(save: Save, pairs: list[Pair]) -> list[Child]:
    leaves: list[Child] = []
    parts = max(1, -(-len(pairs) // MAX_ENTRIES))
    for part in range(parts):
        some = pairs[part * len(pairs) // parts : (part + 1) * len(pairs) // parts]
        while some:
            taken, size = 1, len(some[0][1])
            while taken < len(some) and size + len(some[taken][1]) <= MAX_LEAF_BYTES:
                size += len(some[taken][1])
                taken += 1
            leaves.append((some[0][0], save(codec.encode_map_leaf(some[:taken])), taken))
            some = some[taken:]
    return leaves


def _saved_branches(save: Save, level: int, children: list[Child]) -> list[Child]:
    if level > MAX_HEIGHT:
        raise ValueError("the manifest has too many entries")
    parts = -(-len(children) // MAX_ENTRIES)
    branches: list[Child] = []
    for part in range(parts):
        some = children[part * len(children) // parts : (part + 1) * len(children) // parts]
        branches.append((some[0][0], save(codec.encode_map_branch(level, some)), sum(child[2] for child in some)))
    return branches


def get(load: Load, manifest: Manifest, key: bytes) -> bytes | None:
    """Return the value of `key`, None if there is none. Raises: Malformed. What `load` raises."""
    node = manifest.root
    if node is None:
        return None
    data = load(node)
    for level in range(codec.map_level(data), 0, -1):
        below = None
        for first, child, _ in codec.decode_map_branch(data, level):
            if below is not None and first > key:
                break
            below = child
        assert below is not None
        data = load(below)
    return dict(codec.decode_map_leaf(data)).get(key)


def items(load: Load, manifest: Manifest, start: bytes = b"", prefix: bytes = b"") -> Iterator[Pair]:
    """Yield the keys, in order, that are at least `start` and begin with `prefix`, with their values."""
    low = max(start, prefix)
    for pair in _walk(load, manifest, low):
        if pair[0] >= low:
            if not pair[0].startswith(prefix):
                return
            yield pair


def _walk(load: Load, manifest: Manifest, low: bytes) -> Iterator[Pair]:
    waiting = [(manifest.root, -1)] if manifest.root is not None else []
    while waiting:
        node, level = waiting.pop()
        data = load(node)
        if level < 0:
            level = codec.map_level(data)
        if level == 0:
            yield from codec.decode_map_leaf(data)
            continue
        children = codec.decode_map_branch(data, level)
        for position in range(len(children) - 1, -1, -1):
            waiting.append((children[position][1], level - 1))
            if children[position][0] <= low:
                break


def differing(load: Load, one: Manifest, other: Manifest) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Yield (key, value in `one`, value in `other`) for each key whose values differ; equal subtrees are not read."""
    left, right = _Cursor(load, one), _Cursor(load, other)
    while left.waiting or right.waiting:
        if left.waiting and right.waiting:
            if left.waiting[-1] == right.waiting[-1]:
                left.waiting.pop()
                right.waiting.pop()
                continue
            if left.level != right.level:
                higher = left if left.level > right.level else right
                if higher.level:
                    higher.open()
                    continue
        if left.level > 0:
            left.open()
            continue
        if right.level > 0:
            right.open()
            continue
        key = min(cursor.key for cursor in (left, right) if cursor.waiting)
        values = [cursor.take(key) for cursor in (left, right)]
        if values[0] != values[1]:
            yield key, values[0], values[1]


class _Cursor:
    """What of a map has not been compared yet: nodes and, once their leaf was read, pairs. The next stands last."""

    def __init__(self, load: Load, manifest: Manifest) -> None:
        self._load = load
        self.waiting: list[tuple[int, bytes, bytes]] = []  # level + 1 (0: a pair), first key, node or value
        if manifest.root is not None:
            self.waiting.append((codec.map_level(load(manifest.root)) + 1, b"", manifest.root))

    @property
    def level(self) -> int:
        return self.waiting[-1][0] if self.waiting else -1

    @property
    def key(self) -> bytes:
        return self.waiting[-1][1]

    def open(self) -> None:
        level, _, node = self.waiting.pop()
        if level == 1:
            pairs = codec.decode_map_leaf(self._load(ObjectId(node)))
            self.waiting += [(0, key, value) for key, value in reversed(pairs)]
        else:
            children = codec.decode_map_branch(self._load(ObjectId(node)), level - 1)
            self.waiting += [(level - 1, key, child) for key, child, _ in reversed(children)]

    def take(self, key: bytes) -> bytes | None:
        if self.waiting and self.waiting[-1][1] == key:
            return self.waiting.pop()[2]
        return None
