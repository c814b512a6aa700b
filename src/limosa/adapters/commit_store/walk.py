"""Walk what a commit needs, each object once: for collections and transfers."""

from collections.abc import Callable, Iterator

from limosa.model import store_codec as codec
from limosa.model.commit_store import Blob, Commit, Manifest, ObjectId, Paged, PageMap
from limosa.model.hints import Final
from limosa.model.store_codec import MAX_HEIGHT

Load = Callable[[str, ObjectId], bytes]

# What comes before what, when objects are written: an object names only objects of lower ranks.
RANK_DATA: Final = 0
RANK_PAGES: Final = 1  # + level
RANK_MANIFEST: Final = RANK_PAGES + MAX_HEIGHT + 1  # + level
RANK_COMMIT: Final = RANK_MANIFEST + MAX_HEIGHT + 1


class Named:
    """What an object names: pages of frames (as a mask of slots), and other objects with kind and rank."""

    def __init__(self) -> None:
        self.frames: dict[ObjectId, int] = {}
        self.objects: list[tuple[str, ObjectId, int]] = []

    def add_pages(self, pages: PageMap) -> None:
        """Add the root of a page map."""
        if pages.root is not None:
            self.objects.append(("node", pages.root, RANK_PAGES + pages.height))


def named_by_node(data: bytes, rank: int) -> Named:
    """Return what a node names; `rank` says what kind of node it has to be. Raises: Malformed."""
    named = Named()
    if rank == RANK_PAGES:
        for _, n_pages, frame, slot in codec.decode_leaf_runs(data):
            named.frames[frame] = named.frames.get(frame, 0) | ((1 << n_pages) - 1) << slot
    elif rank < RANK_MANIFEST:
        children = codec.decode_branch(data, rank - RANK_PAGES)
        named.objects += [("node", child, rank - 1) for child in children if child is not None]
    elif rank == RANK_MANIFEST:
        for _, value in codec.decode_map_leaf(data):
            content = codec.decode_entry(value).content
            if isinstance(content, Blob):
                named.objects.append(("blob", content.blob, RANK_DATA))
            elif isinstance(content, Paged):
                named.add_pages(content.pages)
    else:
        children_of_map = codec.decode_map_branch(data, rank - RANK_MANIFEST)
        named.objects += [("node", child, rank - 1) for _, child, _ in children_of_map]
    return named


def rank_of_manifest(data: bytes) -> int:
    """Return the rank of a manifest's root. Raises: Malformed."""
    return RANK_MANIFEST + codec.map_level(data)


def guessed_rank(data: bytes) -> int:
    """Return the rank that a node says it has. Raises: Malformed: it is no node."""
    if data[:1] == b"L":
        return RANK_PAGES
    if data[:1] == b"B" and len(data) > 1 and 0 < data[1] <= MAX_HEIGHT:
        return RANK_PAGES + data[1]
    return rank_of_manifest(data)


class Walk:
    """Everything that was reached so far. A walk may be continued from further commits."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.frames: dict[ObjectId, int] = {}
        self.objects: set[ObjectId] = set()

    def manifest(self, manifest: Manifest) -> None:
        """Reach all that a manifest names. Raises: LimosaError: something cannot be read; Malformed."""
        if manifest.root is None or manifest.root in self.objects:
            return
        waiting = [("node", manifest.root, rank_of_manifest(self._load("node", manifest.root)))]
        while waiting:
            kind, object_id, rank = waiting.pop()
            if object_id in self.objects:
                continue
            self.objects.add(object_id)
            if kind == "node":
                named = named_by_node(self._load("node", object_id), rank)
                waiting += named.objects
                for frame, mask in named.frames.items():
                    self.frames[frame] = self.frames.get(frame, 0) | mask


def history(
    load: Load, starts: set[ObjectId], present: Callable[[ObjectId], bool]
) -> Iterator[tuple[ObjectId, Commit]]:
    """Yield the commits that `starts` descend from, with `starts`, as far as they are present."""
    waiting = list(starts)
    seen = set(starts)
    while waiting:
        commit_id = waiting.pop()
        if not present(commit_id):
            continue
        commit = codec.decode_commit(load("commit", commit_id))
        yield commit_id, commit
        fresh = [parent for parent in commit.parents if parent not in seen]
        seen.update(fresh)
        waiting += fresh
