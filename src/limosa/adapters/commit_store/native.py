"""pages.c, compiled: what the store does with each page, a batch of pages in one call (docs/adr/0042)."""

import ctypes
import os
import struct
from array import array
from collections.abc import Iterable, Sequence

from limosa.adapters.commit_store.page_rows import ROW_BYTES, FramePages, PythonRows
from limosa.adapters.commit_store.sorting import Counts, Surroundings
from limosa.linux import c_source
from limosa.model import page_map, page_runs
from limosa.model.commit_store import FRAME_PAGES, PAGE_BYTES, ObjectId
from limosa.model.hints import Any, Final
from limosa.ports.commit_store import Buffer

_DIGEST_BYTES: Final = 32
_PREFIX_BYTES: Final = 16
_SLOT_BITS: Final = 10
_ZERO_RUN: Final = (1 << 32) - 1
_OF_DIRECTORY: Final = 1 << 31
_ZERO_ROW: Final = (1 << 64) - 2  # and one more: no row
_SEGMENT: Final = struct.Struct("<5Q")
_DIRECTORY: Final = struct.Struct("<QQII")
_RUN: Final = struct.Struct("<QQII")
_MOST_DIRECTORIES: Final = 1 << 14
_SIZE = ctypes.c_size_t
_U64 = ctypes.c_uint64


def library(directory: str, compiler: str) -> str:
    """Return the path of the library below `directory`, compiled if it is not there; "" if that cannot be done."""
    here = os.path.dirname(__file__)
    sources = [f"{here}/{name}" for name in ("pages.c", "blake3_lanes.h")]
    return c_source.made(directory, compiler, sources, "pages.so", ("-O3", "-shared", "-fPIC"))


class _View(ctypes.Structure):
    """Py_buffer. Source: https://docs.python.org/3/c-api/buffer.html."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("rest", ctypes.c_void_p * 5),
    )


def _address(buffer: Buffer) -> int:
    """Return where the bytes of `buffer` are, for as long as the caller keeps it and does not resize it."""
    view = _View()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(view), 0)
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))
    return int(view.buf or 0)


class NativePages:
    """The library. Raises: OSError: it cannot be loaded."""

    def __init__(self, path: str) -> None:
        self.calls: Any = ctypes.CDLL(path)
        pointer, size = ctypes.c_void_p, _SIZE
        for name, returned, arguments in (
            ("limosa_new", pointer, (ctypes.c_uint32,)),
            ("limosa_free", None, (pointer,)),
            ("limosa_count", _U64, (pointer,)),
            ("limosa_clear", None, (pointer,)),
            ("limosa_close", ctypes.c_uint32, (pointer,)),
            ("limosa_look", ctypes.c_int, (pointer, pointer, size, pointer, pointer)),
            ("limosa_find", size, (pointer, pointer, size, pointer, size, pointer)),
            ("limosa_sort", ctypes.c_int, (*(pointer,) * 4, size, size, _U64, pointer, size, *(pointer,) * 4)),
            ("limosa_digests", ctypes.c_int, (pointer, pointer, size, pointer)),
            ("limosa_rows", None, (pointer, pointer, size, _U64)),
            ("limosa_sorted", size, (pointer, size)),
            ("limosa_fan", None, (pointer, size, ctypes.c_uint32, pointer)),
        ):
            call = getattr(self.calls, name)
            call.restype, call.argtypes = returned, arguments

    def digests(self, key: bytes, pages: Buffer) -> bytes:
        """Return the digests of pages, both in a row."""
        n_pages = len(pages) // PAGE_BYTES
        found = bytearray(n_pages * _DIGEST_BYTES)
        if self.calls.limosa_digests(_address(key), _address(pages), n_pages, _address(found)) != 0:
            raise MemoryError
        return bytes(found)


class NativeRows:
    """See `page_rows.Rows`."""

    def __init__(self, native: NativePages) -> None:
        self._calls = native.calls

    def of_frames(self, frames: Iterable[tuple[int, FramePages]]) -> bytes:
        """See `page_rows.Rows`."""
        parts: list[Buffer] = []
        for record, pages in frames:
            if pages.dropped:
                parts.append(PythonRows().of_frames([(record, pages)]))
                continue
            n_pages = len(pages.prefixes) // _PREFIX_BYTES
            rows = bytearray(n_pages * ROW_BYTES)
            self._calls.limosa_rows(_address(rows), _address(pages.prefixes), n_pages, record)
            parts.append(rows)
        return self.merged(parts)

    def merged(self, parts: Sequence[Buffer]) -> bytes:
        """See `page_rows.Rows`."""
        rows = bytearray().join(parts)
        n_rows = self._calls.limosa_sorted(_address(rows), len(rows) // ROW_BYTES)
        return bytes(memoryview(rows)[: n_rows * ROW_BYTES])

    def fan(self, rows: bytes, bits: int) -> "array[int]":
        """See `page_rows.Rows`."""
        fan = array("I", bytes(4 * ((1 << bits) + 1)))
        self._calls.limosa_fan(_address(rows), len(rows) // ROW_BYTES, bits, fan.buffer_info()[0])
        return fan


class _Frame:
    """Room for the pages of one frame and their digests."""

    def __init__(self) -> None:
        self.pages = bytearray(FRAME_PAGES * PAGE_BYTES)
        self.digests = bytearray(FRAME_PAGES * _DIGEST_BYTES)
        self.addresses = (_address(self.pages), _address(self.digests))


class _Batch:
    """Room for what is found out about a batch of pages, which are at `start` in memory."""

    def __init__(self, n_pages: int) -> None:
        self.most_pages = self.n_pages = n_pages
        self.start = 0
        self.digests = bytearray(n_pages * _DIGEST_BYTES)
        self.rows = array("Q", bytes(8 * n_pages))
        self.runs = bytearray(n_pages * _RUN.size)
        self.addresses = (_address(self.digests), self.rows.buffer_info()[0], _address(self.runs))


class _Sorted(ctypes.Structure):
    _fields_ = (("next", _U64), ("n_runs", _U64), ("zero", _U64), ("fresh", _U64), ("full", ctypes.c_uint32))


class NativeSorter:
    """See `sorting.Sorter`."""

    def __init__(self, native: NativePages, around: Surroundings) -> None:
        self._calls = native.calls
        self._around = around
        self.counts = Counts()
        self._sorter: int | None = self._calls.limosa_new(FRAME_PAGES)
        if self._sorter is None:
            raise MemoryError
        self._spare: list[_Frame] = []
        self._frame = _Frame()
        self._frames: list[ObjectId] = []  # of new pages, by number
        self._known: list[ObjectId] = []  # that directories are of, by number
        self._directories: dict[int, tuple[int, bytes]] = {}  # by record: a number, and the prefixes
        self._runs: list[tuple[int, int, int, int]] = []
        self._batches: list[_Batch] = []
        self._segments = (b"", 0)
        self._segments_of: object = None
        self._told = _Sorted()

    def __del__(self) -> None:
        if getattr(self, "_sorter", None) is not None:
            self._calls.limosa_free(self._sorter)
            self._sorter = None

    @property
    def n_new(self) -> int:
        """See `sorting.Sorter`."""
        return int(self._calls.limosa_count(self._sorter))

    @property
    def n_runs(self) -> int:
        """See `sorting.Sorter`."""
        return len(self._runs)

    def begin(self) -> None:
        """See `sorting.Sorter`."""
        self._runs.clear()

    def look(self, pages: memoryview) -> _Batch:
        """See `sorting.Sorter`."""
        n_pages = len(pages) // PAGE_BYTES
        try:
            batch = self._batches.pop()  # no test before it: another thread may have been faster
        except IndexError:
            batch = _Batch(n_pages)
        if batch.most_pages < n_pages:
            batch = _Batch(n_pages)
        batch.n_pages, batch.start = n_pages, _address(pages)
        digests, rows, _ = batch.addresses
        if self._calls.limosa_look(_address(self._around.hasher.page_key), batch.start, n_pages, digests, rows) != 0:
            raise MemoryError
        return batch

    def sort(self, runs: Iterable[page_runs.Run], looked: _Batch) -> None:
        """See `sorting.Sorter`."""
        digests, rows, _ = looked.addresses
        segments, n_segments = self._indexed()
        n_pages = looked.n_pages
        in_index = self._calls.limosa_find(self._sorter, digests, n_pages, _address(segments), n_segments, rows)
        directories, n_directories = self._asked(looked.rows[:n_pages]) if in_index else (b"", 0)
        at = 0
        for first_page, count in runs:
            self._sort(looked, (at, at + count, first_page - at), (_address(directories), n_directories))
            at += count
        self._batches.append(looked)

    def _sort(self, batch: _Batch, part: tuple[int, int, int], directories: tuple[int, int]) -> None:
        """Sort a part of a batch: from, to, and the number that the batch's first page would have."""
        at, end, first_page = part
        zero, new, count = 0, 0, end - at
        digests, rows, runs = batch.addresses
        while at < end:
            told = self._told
            frame = (*self._frame.addresses, runs, ctypes.addressof(told))
            where = (batch.start, digests, rows, at, end, first_page % (1 << 64))
            if self._calls.limosa_sort(self._sorter, *where, *directories, *frame):
                raise MemoryError
            self._runs += _RUN.iter_unpack(memoryview(batch.runs)[: told.n_runs * _RUN.size])
            at, zero, new = told.next, zero + told.zero, new + told.fresh
            if told.full:
                self._close()
        seen, zero_before, known, new_before = self.counts
        self.counts = Counts(seen + count, zero_before + zero, known + count - zero - new, new_before + new)

    def _indexed(self) -> tuple[bytes, int]:
        """Return where the page index is in memory now; a flush may have made other segments."""
        segments = self._around.page_index.segments
        if segments is not self._segments_of:
            found = []
            for one in segments:
                start = _address(one.content)
                places = (start + one.fan_at, start + one.keys_at, start + one.rows_at)
                found.append(_SEGMENT.pack(*places, one.n_pages, one.shift))
            self._segments, self._segments_of = (b"".join(found), len(found)), segments
        return self._segments

    def _asked(self, rows: "array[int]") -> tuple[bytes, int]:
        """Return the directories of the records that are named in `rows`, sorted."""
        found = []
        if len(self._directories) > _MOST_DIRECTORIES:
            self._directories.clear()
        for record in sorted({row >> _SLOT_BITS for row in rows if row < _ZERO_ROW}):
            frame, prefixes = self._around.objects.directory(record)
            known = self._directories.get(record)
            if known is not None and known[1] is prefixes:
                number = known[0]
            else:
                number = len(self._known)
                self._known.append(frame)
                self._directories[record] = (number, prefixes)
            found.append(_DIRECTORY.pack(record, _address(prefixes), len(prefixes) // _PREFIX_BYTES, number))
        return b"".join(found), len(found)

    def _close(self) -> None:
        n_pages = self._calls.limosa_close(self._sorter)
        if n_pages == 0:
            return
        frame = self._frame
        self._frame = self._spare.pop() if self._spare else _Frame()
        digests = bytes(memoryview(frame.digests)[: n_pages * _DIGEST_BYTES])
        pages = memoryview(frame.pages)[: n_pages * PAGE_BYTES]
        self._frames.append(self._around.put_frame(digests, pages, lambda: self._spare.append(frame)))

    def finished(self) -> list[page_map.Change]:
        """See `sorting.Sorter`."""
        self._close()
        changes = []
        for first_page, n_pages, where, slot in self._runs:
            if where == _ZERO_RUN:
                changes.append(page_map.Change(first_page, n_pages, None))
                continue
            frame = self._known[where ^ _OF_DIRECTORY] if where & _OF_DIRECTORY else self._frames[where]
            changes.append(page_map.Change(first_page, n_pages, frame, slot))
        self._runs.clear()
        return changes

    def forget(self) -> None:
        """See `sorting.Sorter`."""
        self._close()
        self._calls.limosa_clear(self._sorter)
