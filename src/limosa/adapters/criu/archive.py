"""The `MemoryArchive` port: criu's images into the store and back.

Memory is stored by address, not in the order of criu's pages image, so that the same page of two commits has the same
place; the pages image is not stored and is made again from the pagemap's runs.
"""

import mmap
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from limosa.adapters.criu import core, followed, mapped, pagemap
from limosa.linux import files
from limosa.model.commit_contents import CommittedProcess
from limosa.model.commit_store import (
    MAX_BLOB_BYTES,
    MAX_PAGE,
    PAGE_BYTES,
    Blob,
    Entry,
    Inline,
    Paged,
    PageMap,
)
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.ports.commit_store import CommitReader, CommitWriter, Unread
from limosa.ports.memory_archive import IMAGE_PREFIX, MEMORY_PREFIX
from limosa.ports.page_servers import LazyMemory
from limosa.ports.written_pages import KeepAhead, ProcessMemory

_PAGEMAP: Final = re.compile(r"pagemap-(?:shmem-)?[0-9]{1,20}\.img\Z")
_OF_PROCESS: Final = re.compile(r"pagemap-[0-9]{1,20}\.img\Z")
_CORE: Final = re.compile(r"core-(?P<pid>[0-9]{1,10})\.img\Z")
_PAGES: Final = re.compile(r"pages-[0-9]{1,20}\.img\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,200}\Z")
_LEFT_OUT: Final = ("dump.log", "restore.log", "stats-dump", "stats-restore")
_INLINE_BYTES: Final = 256


class CriuImageArchive:
    """Both directions over a directory of images."""

    def save(
        self,
        writer: CommitWriter,
        criu_images: str,
        memories: Sequence[ProcessMemory] = (),
        parent: CommitReader | None = None,
    ) -> dict[bytes, Entry]:
        """See the port."""
        entries: dict[bytes, Entry] = {}
        waiting = {f"pagemap-{one.pid}.img": one for one in memories}
        try:
            for name in sorted(os.listdir(criu_images)):
                if name in _LEFT_OUT or _PAGES.match(name):
                    continue
                path = f"{criu_images}/{name}"
                if not _NAME.match(name) or not os.path.isfile(path):
                    raise ValueError(f"criu wrote an image called {name!r}")
                if name in waiting:
                    entries.update(_followed_entries(writer, criu_images, name, waiting.pop(name), parent))
                    continue
                entries[IMAGE_PREFIX + name.encode()] = _file_entry(writer, path)
                if _PAGEMAP.match(name):
                    entries[MEMORY_PREFIX + name.encode()] = _memory_entry(writer, criu_images, path)
            if waiting:
                raise ValueError(f"criu left out {', '.join(sorted(waiting))}")
        except (OSError, ValueError) as failed:
            raise LimosaError(
                "LIM-CRIU-030",
                "the memory of a checkpoint cannot be stored",
                cause=words_of(failed),
                hint="limosa doctor shows whether this criu works",
            ) from failed
        return entries

    def keep_ahead(self, writer: CommitWriter, parent: CommitReader | None) -> KeepAhead:
        """See the port."""

        def keep(pid: int, since_parent: bool, pages: Iterable[Unread]) -> PageMap:
            base = _pages_before(f"pagemap-{pid}.img", parent) if since_parent else PageMap()
            return writer.put_pages(base, pages)

        return keep

    def load(self, reader: CommitReader, criu_images: str) -> None:
        """See the port."""
        try:
            for name, pages in self._load_images(reader, criu_images):
                _write_pages(reader, pages, criu_images, _parsed(criu_images, name))
        except (OSError, ValueError) as failed:
            raise _not_whole(failed) from failed

    def _load_images(self, reader: CommitReader, criu_images: str) -> Iterator[tuple[str, PageMap]]:
        """Write all images but those of pages; then yield the pagemap image and the pages of each memory."""
        for key, entry in reader.entries(IMAGE_PREFIX):
            name = key.removeprefix(IMAGE_PREFIX).decode("ascii")
            if not _NAME.match(name) or _PAGES.match(name) or name in _LEFT_OUT:
                raise ValueError(f"an image called {name!r}")
            _write_file(reader, entry, f"{criu_images}/{name}")
        for key, entry in reader.entries(MEMORY_PREFIX):
            name = key.removeprefix(MEMORY_PREFIX).decode("ascii")
            if not _PAGEMAP.match(name) or not isinstance(entry.content, Paged):
                raise ValueError(f"a memory called {name!r}")
            yield name, entry.content.pages

    def load_lazily(self, reader: CommitReader, criu_images: str) -> tuple[LazyMemory, ...]:
        """See the port."""
        from limosa.adapters.criu import lazy

        def image(name: str) -> bytes:
            with open(f"{criu_images}/{name}", "rb") as file:
                return file.read()

        memories = []
        try:
            for name, pages in self._load_images(reader, criu_images):
                found = _parsed(criu_images, name)
                if not _OF_PROCESS.match(name):
                    _write_pages(reader, pages, criu_images, found)
                    continue
                split = lazy.split(name, found, image)
                local = found._replace(runs=split.local)
                if split.lazy:
                    with open(f"{criu_images}/{name}", "wb") as file:
                        file.write(pagemap.encode(local, split.lazy))
                _write_pages(reader, pages, criu_images, local, even_if_empty=bool(split.lazy))
                pid = int(name.removeprefix("pagemap-").removesuffix(".img"))
                about = (split.lazy, split.areas, split.others)
                memories.append(LazyMemory(pid, pages, *(tuple(part) for part in about)))
        except (OSError, ValueError) as failed:
            raise _not_whole(failed) from failed
        return tuple(memories) if any(one.runs for one in memories) else ()

    def processes(self, reader: CommitReader) -> list[CommittedProcess]:
        """See the port."""
        found = []
        try:
            for key, entry in reader.entries(IMAGE_PREFIX + b"core-"):
                match = _CORE.match(key.removeprefix(IMAGE_PREFIX).decode("ascii"))
                command = core.command(reader.content(entry)) if match else None
                if match and command is not None:
                    found.append(CommittedProcess(int(match["pid"]), command))
        except ValueError as failed:
            raise _not_whole(failed) from failed
        return sorted(found)

    def kept_by_kernel(self, reader: CommitReader, pid: int) -> list[tuple[int, int]]:
        """See the port."""

        def image(name: str) -> bytes:
            entry = reader.entry(IMAGE_PREFIX + name.encode())
            if entry is None:
                raise ValueError(f"no image {name}")
            return reader.content(entry)

        try:
            return list(core.kept_by_kernel(pid, image))
        except ValueError as failed:
            raise _not_whole(failed) from failed


def _not_whole(why: Exception) -> LimosaError:
    return LimosaError(
        "LIM-CRIU-031",
        "the memory of a commit cannot be brought back",
        cause=words_of(why),
        hint="limosa verify shows whether the commit is whole",
    )


def _followed_entries(
    writer: CommitWriter, criu_images: str, name: str, memory: ProcessMemory, parent: CommitReader | None
) -> dict[bytes, Entry]:
    with open(f"{criu_images}/{name}", "rb") as file:
        found = pagemap.parse(file.read())
    with open(f"{criu_images}/mm-{memory.pid}.img", "rb") as file:
        runs = followed.runs(found, memory)
        mapped.require(memory.pid, file.read(), runs)
    with _pages_view(criu_images, found) as view:
        pages = followed.page_map(writer, found, view, memory, _pages_before(name, parent))
    data = pagemap.encode(pagemap.Pagemap(found.pages_id, runs))
    return {
        IMAGE_PREFIX + name.encode(): Entry(content=_small(writer, data)),
        MEMORY_PREFIX + name.encode(): Entry(content=Paged(pages)),
    }


def _pages_before(name: str, parent: CommitReader | None) -> PageMap:
    """Return what the parent has of the memory that the pagemap image `name` describes."""
    before = parent.entry(MEMORY_PREFIX + name.encode()) if parent is not None else None
    return before.content.pages if before is not None and isinstance(before.content, Paged) else PageMap()


def _small(writer: CommitWriter, data: bytes) -> Inline | Blob | Paged:
    if len(data) > MAX_BLOB_BYTES:
        return Paged(writer.put_pages(PageMap(), _padded(memoryview(data), 0)), len(data))
    return Inline(data) if len(data) <= _INLINE_BYTES else writer.put_blob(data)


def _file_entry(writer: CommitWriter, path: str) -> Entry:
    size_bytes = os.stat(path).st_size
    if size_bytes <= MAX_BLOB_BYTES:
        with open(path, "rb") as file:
            return Entry(content=_small(writer, file.read()))
    with _mapped(path) as view:
        return Entry(content=Paged(writer.put_pages(PageMap(), _padded(view, 0)), size_bytes))


def _memory_entry(writer: CommitWriter, criu_images: str, path: str) -> Entry:
    with open(path, "rb") as file:
        found = pagemap.parse(file.read())
    with _pages_view(criu_images, found) as view:
        return Entry(content=Paged(writer.put_pages(PageMap(), _by_address(found, view))))


@contextmanager
def _pages_view(criu_images: str, found: pagemap.Pagemap) -> Iterator[memoryview]:
    """Give the content of a pages image. Raises: ValueError: it is not as long as its pagemap says."""
    if not found.runs:
        yield memoryview(b"")
        return
    with _mapped(f"{criu_images}/pages-{found.pages_id}.img") as view:
        if sum(n_pages for _, n_pages in found.runs) * PAGE_BYTES != len(view):
            raise ValueError(f"pages-{found.pages_id}.img does not have the size that its pagemap says")
        yield view


def _by_address(found: pagemap.Pagemap, view: memoryview) -> Iterator[tuple[int, memoryview]]:
    placed, offset = [], 0
    for first_page, n_pages in found.runs:
        placed.append((first_page, offset, n_pages * PAGE_BYTES))
        offset += n_pages * PAGE_BYTES
    for first_page, start, size_bytes in sorted(placed):
        yield first_page, view[start : start + size_bytes]


def _padded(view: memoryview, first_page: int) -> Iterator[tuple[int, bytes | memoryview]]:
    whole = len(view) - len(view) % PAGE_BYTES
    if whole:
        yield first_page, view[:whole]
    if whole < len(view):
        yield first_page + whole // PAGE_BYTES, bytes(view[whole:]) + bytes(PAGE_BYTES - len(view) % PAGE_BYTES)


@contextmanager
def _mapped(path: str) -> Iterator[memoryview]:
    """Give a file's content as a view, for the time of a `with` block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mapping = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    view = memoryview(mapping)
    try:
        yield view
    finally:
        view.release()
        with suppress(BufferError):  # a failure's traceback still has a part of it; it goes with that
            mapping.close()


def _write_file(reader: CommitReader, entry: Entry, path: str) -> None:
    with open(path, "xb") as file:
        os.chmod(path, 0o644)  # criu's restorer opens some as the container's root
        if isinstance(entry.content, (Inline, Blob)):
            file.write(reader.content(entry))
            return
        size_bytes = entry.content.size_bytes
        n_pages = -(-size_bytes // PAGE_BYTES)
        _copy(reader, entry.content.pages, 0, n_pages, file.fileno(), 0)
        file.truncate(size_bytes)


def _parsed(criu_images: str, name: str) -> pagemap.Pagemap:
    with open(f"{criu_images}/{name}", "rb") as file:
        return pagemap.parse(file.read())


def _write_pages(
    reader: CommitReader, pages: PageMap, criu_images: str, found: pagemap.Pagemap, *, even_if_empty: bool = False
) -> None:
    if not found.runs and not even_if_empty:
        return
    with open(f"{criu_images}/pages-{found.pages_id}.img", "xb") as file:
        os.chmod(file.fileno(), 0o644)
        offset = 0
        for first_page, n_pages in found.runs:
            if first_page + n_pages > MAX_PAGE:
                raise ValueError("a pagemap image has addresses that no process has")
            _copy(reader, pages, first_page, n_pages, file.fileno(), offset)
            offset += n_pages * PAGE_BYTES
        file.truncate(offset)


def _copy(reader: CommitReader, pages: PageMap, first_page: int, n_pages: int, descriptor: int, offset: int) -> None:
    """Write pages to a file at `offset`; zero pages stay a hole."""
    for run in reader.page_runs(pages, first_page, first_page + n_pages):
        place = offset + (run.first_page - first_page) * PAGE_BYTES
        files.write_all(descriptor, reader.read_run(run), place)
