"""Copy commits between stores of different keys: every id changes, so everything is read, checked and stored anew."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limosa.adapters.commit_store import failures, gc
from limosa.adapters.commit_store.parts import Parts, create
from limosa.adapters.commit_store.reader import Reader
from limosa.adapters.commit_store.writer import Writer
from limosa.linux import files
from limosa.model import store_codec
from limosa.model.commit_store import (
    Blob,
    Commit,
    Entry,
    Inline,
    Malformed,
    Manifest,
    ObjectId,
    Paged,
    PageMap,
    PageRun,
)
from limosa.model.hints import Final

_ENTRIES: Final = 4096
_MOST_PAGES: Final = 1 << 27  # 512 GiB: a tree of a stranger may name one page 2**51 times


@contextmanager
def workplace(root: str, key: bytes, beside: Parts) -> Iterator[Parts]:
    """Make a store of another key, beside one, for the time of a `with` block; it is removed afterwards."""
    try:
        create(root, key)
        parts = Parts(root, library=beside.library)
        parts.progress = beside.progress
        gc.ensure_indexed(parts)
        try:
            yield parts
        finally:
            parts.close()
    finally:
        files.remove_tree(root)


def said(parts: Parts, commit_id: ObjectId) -> Commit:
    """Return what a commit says. Raises: LimosaError LIM-CSTORE-001 and -002: it cannot be read."""
    try:
        return store_codec.decode_commit(parts.load("commit", commit_id))
    except Malformed as why:
        raise failures.damaged(commit_id, str(why)) from why


def copy(source: Parts, commit_id: ObjectId, target: Parts, finished: Callable[[Commit], Commit]) -> ObjectId:
    """Copy a commit, without parents, and keep it by a ref `imported/` and 24 digits; return its id there.

    `finished` returns it as it is to be there, from what it is without parents and signature.
    Raises: LimosaError LIM-CSTORE-001 and -002: it cannot be read; -006: the disk is full; -010: it names too much.
    """
    commit = said(source, commit_id)
    reader = Reader(source.objects, commit_id, commit)
    with source.locked(), target.locked():
        intake = target.intake()
        try:
            writer = Writer(intake, target.index, target.objects, target.hasher, target.sorter)
            manifest = _copied(reader, writer)
            made = writer.put_commit(finished(Commit((), manifest, commit.created_ns, commit.attributes)))
        finally:
            intake.close()
        target.refs.move(f"imported/{made.hex()[:24]}", made, when_ns=time.time_ns(), why="import")
    return made


def _copied(reader: Reader, writer: Writer) -> Manifest:
    manifest = Manifest()
    edits: dict[bytes, Entry | None] = {}
    left = _MOST_PAGES
    for key, entry in reader.entries():
        content = entry.content
        if isinstance(content, Blob):
            content = writer.put_blob(reader.content(entry))
        elif not isinstance(content, Inline):
            runs = list(_checked_runs(reader, content.pages, left))
            left -= sum(run.n_pages for run in runs)
            pages = writer.put_pages(PageMap(), ((run.first_page, reader.read_run(run)) for run in runs))
            content = Paged(pages, content.size_bytes)
        edits[key] = Entry(entry.attributes, content)
        if len(edits) == _ENTRIES:
            manifest = writer.put_entries(manifest, edits)
            edits = {}
    return writer.put_entries(manifest, edits)


def _checked_runs(reader: Reader, pages: PageMap, most: int) -> Iterator[PageRun]:
    for run in reader.page_runs(pages):
        most -= run.n_pages
        if most < 0:
            raise failures.malformed_pack("a commit", f"it names more than {_MOST_PAGES} pages")
        yield run
