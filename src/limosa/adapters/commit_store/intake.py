"""Put records into packs: compress them beside the caller, append them in order, sync, index.

What refers to something is appended after it. Nothing is indexed before it is on disk.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable

from limosa.adapters.commit_store import failures, pack, record, scan
from limosa.adapters.commit_store.hashing import DIGEST_BYTES, Hasher
from limosa.adapters.commit_store.index import Index, NewObject, NewRecord
from limosa.adapters.commit_store.page_index import PageIndex
from limosa.adapters.commit_store.page_rows import FramePages
from limosa.adapters.commit_store.record import LEVEL
from limosa.model.commit_store import PAGE_BYTES, ObjectId
from limosa.model.hints import TYPE_CHECKING, Any, Final
from limosa.model.value import NamedTuple
from limosa.ports.commit_store import Buffer

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_WORKERS: Final = min(os.cpu_count() or 1, 4)
_WAITING: Final = 4 * _WORKERS  # records at most between the caller and the pack


class _Waiting(NamedTuple):
    """A record on its way, and what it will be indexed by."""

    data: "bytes | Future[bytes]"
    objects: tuple[NewObject, ...]
    pages: FramePages | None = None


class Intake:
    """One writer's way into the packs of a store."""

    def __init__(self, packs: str, index: Index, pages: PageIndex, hasher: Hasher, level: int = LEVEL) -> None:
        self._packs, self._index, self._pages, self._hasher, self._level = packs, index, pages, hasher, level
        self._waiting: deque[_Waiting] = deque()
        self._appended: list[scan.Described] = []
        self._pack: pack.PackWriter | None = None
        self._threads: ThreadPoolExecutor | None = None  # imported when it is needed: it loads logging
        self._local: Any = threading.local()
        self.stored_bytes = 0

    def put_frame(self, digests: bytes, plain: Buffer, done: Callable[[], None] = lambda: None) -> ObjectId:
        """Take a frame on its way and return its id: `plain` is its pages, `digests` theirs, each in a row.

        `done` is called, by another thread, once `plain` is not needed any more.
        """
        n_pages = len(digests) // DIGEST_BYTES
        frame = self._hasher.of("frame", digests)
        directory = record.whole_frame_directory(digests)
        objects = (NewObject("frame", frame, 0, n_pages * PAGE_BYTES),)
        pages = FramePages(directory[-record.DIGEST_PREFIX_BYTES * n_pages :])
        self._put(lambda: self._built(record.FRAME, frame, n_pages, directory, plain, done), objects, pages)
        return frame

    def put_bundle(self, members: list[tuple[str, ObjectId, bytes]]) -> None:
        """Take blobs, nodes or commits, each (kind, id, content), on their way as one record."""
        directory = record.bundle_directory([(kind, object_id, len(data)) for kind, object_id, data in members])
        objects = []
        start = 0
        for kind, object_id, data in members:
            objects.append(NewObject(kind, object_id, start, len(data)))
            start += len(data)
        record_id = self._hasher.of("bundle", directory)
        plain = b"".join(data for _, _, data in members)
        self._put(lambda: self._built(record.BUNDLE, record_id, len(members), directory, plain), tuple(objects))

    def put_record(self, described: scan.Described, data: bytes) -> None:
        """Take a whole record, already checked, as it is."""
        self._waiting.append(_Waiting(data, described.new.objects, described.pages))
        self._drain(_WAITING)

    def _built(
        self,
        kind: int,
        record_id: ObjectId,
        members: int,
        directory: bytes,
        plain: Buffer,
        done: Callable[[], None] = lambda: None,
    ) -> bytes:
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            from zstandard import ZstdCompressor

            compressor = self._local.compressor = ZstdCompressor(level=self._level, write_content_size=True)
        payload = compressor.compress(plain)
        size = len(plain)
        done()
        return record.build(self._hasher, kind, record_id, members, directory, payload, size)

    def submit(self, work: Callable[[], Any]) -> "Future[Any]":
        """Have something done by the threads that compress."""
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor

            self._threads = ThreadPoolExecutor(_WORKERS, "limosa-compress")
        return self._threads.submit(work)

    def rest(self) -> None:
        """Write what was put, and have no threads until something else is."""
        self._drain(0)
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    def _put(self, build: Callable[[], bytes], objects: tuple[NewObject, ...], pages: FramePages | None = None) -> None:
        self._waiting.append(_Waiting(self.submit(build), objects, pages))
        self._drain(_WAITING)

    def _drain(self, leave: int) -> None:
        while len(self._waiting) > leave:
            waiting = self._waiting.popleft()
            data = waiting.data if isinstance(waiting.data, bytes) else waiting.data.result()
            try:
                target = self._target()
                offset = target.append(data)
            except OSError as error:
                if error.errno in _FULL:
                    raise failures.full(self._packs) from error
                raise
            self.stored_bytes += len(data)
            self._appended.append(scan.Described(NewRecord(offset, len(data), waiting.objects), waiting.pages))

    def _target(self) -> pack.PackWriter:
        if self._pack is not None and self._pack.end > pack.MAX_PACK_BYTES:
            self._sync()
            self._pack.close()
            self._pack = None
        if self._pack is None:
            self._pack = self._reopened() or pack.PackWriter.create(self._packs, self._hasher.key_id)
        return self._pack

    def _reopened(self) -> pack.PackWriter | None:
        """Return a pack that has room and that nobody appends to, so that small commits do not make many packs."""
        for name, end in self._index.packs().items():
            if end < pack.MAX_PACK_BYTES // 2:
                found = pack.PackWriter.reopen(self._packs, name, end)
                if found is not None:
                    return found
        return None

    def flush(self) -> None:
        """Return when all that was put is on disk and in the index. Raises: LimosaError LIM-CSTORE-006; OSError."""
        self._drain(0)
        self._sync()

    def _sync(self) -> None:
        if self._pack is None or not self._appended:
            return
        try:
            self._pack.sync()
            scan.enter(self._index, self._pages, self._pack.name, self._pack.end, self._appended)
        except OSError as error:
            if error.errno in _FULL:
                raise failures.full(self._packs) from error
            raise
        self._pack.settle()
        self._appended = []

    def close(self) -> None:
        """Give everything back, also the space of what was not flushed."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None
