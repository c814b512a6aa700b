"""Layers: from a stream of bytes to a blob and an unpacked directory, in one pass."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from limosa.adapters.oci_images.layout import Layout
from limosa.adapters.oci_images.tar_stream import ForwardStream, MalformedTar, Source, compression, decompressed
from limosa.adapters.oci_images.unpacking import unpack
from limosa.linux import files, process, syncfs
from limosa.model.ids import Digest
from limosa.model.oci import LAYER, Descriptor
from limosa.model.value import NamedTuple
from limosa.ports.oci_images import Progress

_COMPRESS: Final = ("-1", "-q", "-c", "-T0")
_COPY_BYTES: Final = 64 << 20
_KEPT: Final = {"gzip": f"{LAYER}+gzip", "zstd": f"{LAYER}+zstd"}
"""How a layer may lie in the layout as it came. Anything else is compressed anew, with zstd."""


class TakenLayer(NamedTuple):
    """A layer that is in the layout and unpacked."""

    diff_id: Digest
    blob: Descriptor


class LayerStore:
    """Unpacked layers, shared by every image that has them."""

    def __init__(self, layout: Layout, program: Callable[[str], str]) -> None:
        self._layout = layout
        self._program = program

    def present(self, diff_id: Digest) -> bool:
        """Say whether a layer is unpacked."""
        return self._layout.unpacked(diff_id)

    def unpack_blob(self, blob: str, diff_id: Digest, progress: Progress) -> None:
        """Unpack a blob of the layout, unless that was done.

        Raises: MalformedTar (also for a wrong diff id), OSError.
        """
        if self.present(diff_id):
            return
        with open(blob, "rb") as file, self._unfinished() as directory:
            found = self._unpack(file, directory, f"unpacking {diff_id[7:19]}", progress)
            if found != diff_id:
                raise MalformedTar(f"the layer's content is {found}, its configuration says {diff_id}")
            self._finish(directory, diff_id)

    def take(self, file: BinaryIO, workspace: str, progress: Progress, what: str = "importing") -> TakenLayer:
        """Take a layer or a root file system, from a file or a pipe: unpack it, and keep it as a blob.

        Raises: MalformedTar, OSError; nothing is kept then.
        """
        copy = f"{workspace}/layer"
        seekable = os.fstat(file.fileno()).st_size > 0
        kept = _KEPT.get(compression(file)) if seekable else None
        with self._unfinished() as directory:
            if kept:
                diff_id = self._unpack(file, directory, what, progress)
                _copy(file, copy)
            else:
                with self._compressed(copy) as sink:
                    diff_id = self._unpack(file, directory, what, progress, sink)
            blob = self._layout.add_file(copy, kept or _KEPT["zstd"])
            self._finish(directory, diff_id)
        return TakenLayer(diff_id, blob)

    def _unpack(self, file: BinaryIO, directory: str, what: str, progress: Progress, sink: int = -1) -> Digest:
        with decompressed(file, self._program) as plain:
            source: Source = _Watched(plain, file, what, progress)
            stream = ForwardStream(_Tee(source, sink) if sink >= 0 else source)
            unpack(stream, directory)
            return Digest(stream.digest())

    @contextmanager
    def _compressed(self, path: str) -> Iterator[int]:
        """Give a descriptor; what is written to it is in `path`, compressed, at the end of the `with` block."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            pid = process.spawn(
                [self._program("zstd"), *_COMPRESS], env={"LC_ALL": "C"}, files=[(reading, 0), (target, 1)]
            )
        finally:
            os.close(reading)
            os.close(target)
        try:
            yield writing
        except BrokenPipeError:
            pass  # it has ended, and said why
        finally:
            os.close(writing)
            status = process.wait(pid)
        if status != 0:
            raise OSError(errno.ENOSPC, f"zstd cannot write, status {status}")

    @contextmanager
    def _unfinished(self) -> Iterator[str]:
        directory = f"{self._layout.layers}/.{os.getpid()}-{os.urandom(4).hex()}"
        try:
            os.mkdir(directory, 0o755)
            yield directory
        finally:
            files.remove_tree(directory)

    def _finish(self, directory: str, diff_id: Digest) -> None:
        """Give a layer its name, once all of it is on disk."""
        place = self._layout.layer(diff_id)
        if os.path.isdir(place):
            return
        syncfs.syncfs(directory)
        try:
            os.rename(directory, place)
        except OSError:
            if not os.path.isdir(place):  # else another command was faster
                raise


class _Watched:
    """A source that tells how far it was read: how far `file` was, or how many bytes came where that has no end."""

    def __init__(self, source: Source, file: BinaryIO, what: str, progress: Progress) -> None:
        self._source = source
        self._descriptor = file.fileno()
        self._what = what
        self._progress = progress
        self._come = 0
        self._total = os.fstat(self._descriptor).st_size

    def read(self, size: int, /) -> bytes:
        block = self._source.read(size)
        self._come += len(block)
        # A program that decompresses shares the descriptor's position.
        done = os.lseek(self._descriptor, 0, os.SEEK_CUR) if self._total else self._come
        self._progress(self._what, done, self._total)
        return block


class _Tee:
    """A source whose bytes also go to a descriptor."""

    def __init__(self, source: Source, sink: int) -> None:
        self._source = source
        self._sink = sink

    def read(self, size: int, /) -> bytes:
        block = self._source.read(size)
        view = memoryview(block)
        while view:
            view = view[os.write(self._sink, view) :]
        return block


def _copy(file: BinaryIO, target: str) -> None:
    """Copy a file, from its beginning."""
    position = 0
    with open(target, "xb", buffering=0) as copy:
        while done := os.copy_file_range(file.fileno(), copy.fileno(), _COPY_BYTES, offset_src=position):
            position += done
