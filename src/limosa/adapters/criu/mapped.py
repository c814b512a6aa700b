"""Whether the pages of a commit lie in the mappings of its process: criu restores no dump in which one does not.

Source: CRIU images/mm.proto, images/vma.proto, include/image.h, include/vma.h; mem.c: in which order it reads pages.
"""

import struct
from collections.abc import Sequence

from limosa.adapters.criu import wire
from limosa.model import page_runs
from limosa.model.commit_store import PAGE_BYTES
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_MAGICS: Final = (0x54564319, 0x57492820)
_HEAD: Final = struct.Struct("<III")  # the magic numbers, and the message's size
_MAPPING: Final = {
    1: ("start", "int"),
    2: ("end", "int"),
    6: ("flags", "int"),
    7: ("status", "int"),
    9: ("madv", "int"),
}
_MM: Final = {14: ("mappings", [_MAPPING])}
_REGULAR: Final = 1 << 0
_PRIVATE: Final = 1 << 6 | 1 << 9  # of a file, anonymous
_PRIVATE_TOO: Final = 1 << 13 | 1 << 15  # a ring of asynchronous I/O, a shadow stack


class Mapping(NamedTuple):
    """A mapping as an mm image has it; flags are those of mmap(2), status is criu's, advice a bit per madvise(2)."""

    start: int
    end: int
    flags: int
    status: int
    advice: int


def mappings(mm_image: bytes) -> list[Mapping]:
    """Return what an mm image says that a process has mapped. Raises: ValueError: it is no such image."""
    if len(mm_image) < _HEAD.size or _HEAD.unpack_from(mm_image)[:2] != _MAGICS:
        raise ValueError("not an mm image")
    size = _HEAD.unpack_from(mm_image)[2]
    if size != len(mm_image) - _HEAD.size:
        raise ValueError("an mm image that is not one message")
    found = wire.decode(_MM, mm_image[_HEAD.size :]).get("mappings", [])
    return [Mapping(*(one.get(name, 0) for name, _ in _MAPPING.values())) for one in found]


def private(mm_image: bytes) -> list[page_runs.Run]:
    """Return where an mm image says that a process has private memory. Raises: ValueError: it is no such image."""
    kept = sorted(one[:2] for one in mappings(mm_image) if _is_private(one.status))
    return page_runs.joined((start for start, _ in kept), (end for _, end in kept))


def _is_private(status: int) -> bool:
    return bool((status & _REGULAR and status & _PRIVATE) or status & _PRIVATE_TOO)


def require(pid: int, mm_image: bytes, runs: Sequence[page_runs.Run]) -> None:
    """Raise LimosaError LIM-TRACK-003 unless `runs` are in order, apart, and in private memory of the mm image.

    Raises: ValueError: it is no such image.
    """
    end = 0
    for first, n_pages in runs:
        if first < end:
            raise _misplaced(pid, first, "is there twice")
        end = first + n_pages
    outside = next(page_runs.left(page_runs.placed(runs), private(mm_image)), None)
    if outside is not None:
        raise _misplaced(pid, outside[0], "is in no private mapping of it")


def _misplaced(pid: int, page: int, how: str) -> LimosaError:
    return LimosaError(
        "LIM-TRACK-003",
        f"the memory of process {pid} as it was read does not fit its mappings",
        state="nothing of this commit is kept; the next one copies everything",
        cause=f"page {page * PAGE_BYTES:#x} {how}",
        hint="this is an error of limosa or of the kernel: please report it with the kernel's version",
    )
