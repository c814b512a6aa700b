"""The checked mode: a commit that was built from written pages is compared with a full copy of the same moment."""

from collections.abc import Iterator, Sequence

from limosa.engine.host import Host
from limosa.model.commit_store import PAGE_BYTES, ObjectId, Paged, PageMap
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.ports.commit_store import CommitReader
from limosa.ports.memory_archive import MEMORY_PREFIX
from limosa.ports.written_pages import ProcessMemory

_PART_PAGES: Final = 4096
_SHOWN: Final = 4


def check(host: Host, commit_id: ObjectId, witness: Sequence[ProcessMemory]) -> None:
    """Raise LimosaError LIM-TRACK-002 if a commit does not have a page as `witness` has it.

    Not compared is what the kernel keeps in a process's memory for itself: see `MemoryArchive.kept_by_kernel`.
    """
    with host.store.reading(commit_id) as reader:
        for memory in witness:
            missed = _missed_pages(host, reader, memory)
            if missed:
                raise _missed(memory.pid, missed)


def _missed_pages(host: Host, reader: CommitReader, memory: ProcessMemory) -> list[int]:
    entry = reader.entry(MEMORY_PREFIX + f"pagemap-{memory.pid}.img".encode())
    pages = entry.content.pages if entry is not None and isinstance(entry.content, Paged) else PageMap()
    kept_by_kernel: list[tuple[int, int]] | None = None
    missed: list[int] = []
    for first, n_pages, content in _parts(memory):
        stored = reader.read_pages(pages, first, n_pages)
        if stored != content:
            if kept_by_kernel is None:
                kept_by_kernel = host.memory_archive.kept_by_kernel(reader, memory.pid)
            _take_over(stored, content, first * PAGE_BYTES, kept_by_kernel)
            missed += [first + page for page in range(n_pages) if not _same(stored, content, page)]
    return missed


def _take_over(stored: bytearray, content: memoryview, address: int, spans: Sequence[tuple[int, int]]) -> None:
    """Have what is in `spans` of memory, of which `stored` begins at `address`, be as in `content`."""
    for start, end in spans:
        span = slice(max(0, start - address), max(0, min(len(stored), end - address)))
        stored[span] = content[span]


def _parts(memory: ProcessMemory) -> Iterator[tuple[int, int, memoryview]]:
    at = 0
    for first, count in memory.present():
        for part in range(0, count, _PART_PAGES):
            n_pages = min(_PART_PAGES, count - part)
            yield first + part, n_pages, memory.content[at : at + n_pages * PAGE_BYTES]
            at += n_pages * PAGE_BYTES


def _same(stored: bytearray, content: memoryview, page: int) -> bool:
    span = slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
    return stored[span] == content[span]


def _missed(pid: int, pages: list[int]) -> LimosaError:
    places = ", ".join(f"{page * PAGE_BYTES:#x}" for page in pages[:_SHOWN])
    return LimosaError(
        "LIM-TRACK-002",
        f"{len(pages)} pages of process {pid} are not in the commit as they were",
        state="nothing of this commit is kept; the next one copies everything",
        cause=f"tracking of written pages missed them: {places}{' …' if len(pages) > _SHOWN else ''}",
        hint="this is an error of limosa or of the kernel: please report it with the kernel's version",
    )
