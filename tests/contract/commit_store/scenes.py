"""Memory and files to commit, and commits of them."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from limosa.adapters.commit_store.store import DirectoryStore
from limosa.model.commit_store import PAGE_BYTES, Blob, Commit, Entry, Inline, Manifest, ObjectId, Paged, PageMap

ZERO = bytes(PAGE_BYTES)
Make = Callable[..., Any]
library = ""  # of pages.c, for stores that are opened from now on


def opened(root: str) -> DirectoryStore:
    """Open a store that sorts pages as the test wants it."""
    path = library
    return DirectoryStore(root, library=lambda: path)


def remote_of(store: Any) -> Any:
    """Return what `push` takes for another store."""
    return store.as_remote()


def page(number: int) -> bytes:
    """Return a page that compresses somewhat and that only this number has."""
    return random.Random(number).randbytes(700) + (b"page %12d " % number * 200)[: PAGE_BYTES - 700]


def pages(first: int, count: int) -> bytes:
    return b"".join(page(number) for number in range(first, first + count))


def commit(
    store: Any,
    memory: Mapping[int, bytes],
    files: Mapping[bytes, bytes | None],
    *,
    parent: ObjectId | None = None,
    ref: str | None = "containers/web",
    when_ns: int = 1,
    said: bytes = b"{}",
) -> ObjectId:
    """Commit `memory` (first page to content) and `files` on top of `parent`, and move `ref`."""
    base = store.commit(parent).manifest if parent is not None else Manifest()
    before = PageMap()
    if parent is not None:
        with store.reading(parent) as reader:
            entry = reader.entry(b"memory/1")
            before = entry.content.pages if entry is not None else PageMap()
    with store.writing() as writer:
        now = writer.put_pages(before, sorted(memory.items()))
        edits: dict[bytes, Entry | None] = {b"memory/1": Entry(b"", Paged(now))}
        for name, data in files.items():
            key = b"files/" + name
            if data is None:
                edits[key] = None
            elif len(data) < 64:
                edits[key] = Entry(b"attributes", Inline(data))
            else:
                edits[key] = Entry(b"attributes", writer.put_blob(data))
        manifest = writer.put_entries(base, edits)
        parents = (parent,) if parent is not None else ()
        made: ObjectId = writer.put_commit(Commit(parents, manifest, when_ns, said))
        if ref is not None:
            store.set_ref(ref, made, when_ns=when_ns, why="checkpoint")
    return made


def content(store: Any, commit_id: ObjectId, n_pages: int = 600) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the memory's first pages and the files of a commit."""
    with store.reading(commit_id) as reader:
        files = {}
        memory = b""
        for key, entry in reader.entries():
            if isinstance(entry.content, Paged):
                memory = bytes(reader.read_pages(entry.content.pages, 0, n_pages))
            else:
                assert isinstance(entry.content, Blob | Inline)
                files[key.removeprefix(b"files/")] = reader.content(entry)
        return memory, files
