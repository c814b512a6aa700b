"""Images of a dump of which most private memory is left out: it comes when it is touched (docs/adr/0037).

What criu can leave out is anonymous, private, and not locked. Left in is, besides what it takes to go on at all:
stacks; what a child is to see empty (MADV_WIPEONFORK), for it would be given the same; what the kernel reads or writes
when a thread ends, at which it waits for nobody; and processes that have little.
Source: CRIU criu/include/vma.h, vma_entry_can_be_lazy; Linux fs/userfaultfd.c, handle_userfault.
"""

from collections.abc import Iterator

from limosa.adapters.criu import core, mapped, pagemap
from limosa.adapters.criu.core import Image
from limosa.adapters.criu.mapped import Mapping
from limosa.model import page_runs
from limosa.model.commit_store import PAGE_BYTES
from limosa.model.hints import Final
from limosa.model.page_runs import Run
from limosa.model.value import NamedTuple

_PRIVATE: Final = 0x02
_ANONYMOUS: Final = 0x20
_GROWS_DOWN: Final = 0x100
_LOCKED: Final = 0x2000
_HUGE: Final = 0x40000
_KERNELS: Final = 1 << 2 | 1 << 3 | 1 << 12  # vsyscall, vdso, vvar
_ORDINARY: Final = 1 << 0 | 1 << 5 | 1 << 9  # regular, the heap, anonymous and private: nothing else that criu tells
_WIPE_ON_FORK: Final = 1 << 18
_WORTH_PAGES: Final = 1024


class Split(NamedTuple):
    """The private memory of one process: what is in its pages image, and what is left out."""

    local: list[Run]
    lazy: list[Run]
    areas: list[tuple[int, int]]  # first byte and end of each mapping of which something is left out
    others: list[tuple[int, int]]  # mappings that criu waits in, too, though nothing of them is left out


def split(name: str, found: pagemap.Pagemap, image: Image) -> Split:
    """Divide a process's pages, of the pagemap image `name`. Raises: ValueError, OSError: it is no whole dump."""
    pid = int(name.removeprefix("pagemap-").removesuffix(".img"))
    waited_in = [one for one in mapped.mappings(image(f"mm-{pid}.img")) if _criu_waits(one)]
    chosen = sorted((one.start, one.end) for one in waited_in if _may_come_later(one))
    at_once = set(_needed_at_once(pid, image))
    outside = list(page_runs.gaps(page_runs.joined((start for start, _ in chosen), (end for _, end in chosen))))
    without = _with_pages(outside, at_once)
    runs = sorted(found.runs)
    left_out = [(first, n_pages) for first, n_pages, _ in page_runs.left(page_runs.placed(runs), without)]
    if sum(n_pages for _, n_pages in left_out) < _WORTH_PAGES:
        left_out = []
    local = [(first, n_pages) for first, n_pages, _ in page_runs.left(page_runs.placed(runs), left_out)]
    lazy, areas = _by_mapping(left_out, chosen)
    others = [(one.start, one.end) for one in waited_in if (one.start, one.end) not in areas]
    return Split(local, lazy, areas, others)


def _criu_waits(one: Mapping) -> bool:
    wanted = one.flags & (_PRIVATE | _ANONYMOUS) == _PRIVATE | _ANONYMOUS
    return wanted and not one.flags & (_LOCKED | _HUGE) and not one.status & _KERNELS


def _may_come_later(one: Mapping) -> bool:
    return not one.flags & _GROWS_DOWN and not one.status & ~_ORDINARY and not one.advice & _WIPE_ON_FORK


def _by_mapping(runs: list[Run], mappings: list[tuple[int, int]]) -> tuple[list[Run], list[tuple[int, int]]]:
    """Return `runs`, cut where one mapping ends and the next begins, and those of `mappings` that have any of them."""
    cut: list[Run] = []
    having: list[tuple[int, int]] = []
    position = 0
    for mapping in mappings:
        first, end = mapping[0] // PAGE_BYTES, mapping[1] // PAGE_BYTES
        known = len(cut)
        while position < len(runs) and runs[position][0] < end:
            run_first, run_end = max(first, runs[position][0]), sum(runs[position])
            cut.append((run_first, min(run_end, end) - run_first))
            if run_end > end:
                break
            position += 1
        if len(cut) > known:
            having.append(mapping)
    return cut, having


def _with_pages(runs: list[Run], pages: set[int]) -> list[Run]:
    """Return sorted runs and single pages together, sorted and apart."""
    starts: list[int] = []
    ends: list[int] = []
    for first, n_pages in sorted([*runs, *((page, 1) for page in pages)]):
        if ends and first * PAGE_BYTES <= ends[-1]:
            ends[-1] = max(ends[-1], (first + n_pages) * PAGE_BYTES)
        else:
            starts.append(first * PAGE_BYTES)
            ends.append((first + n_pages) * PAGE_BYTES)
    return [(start // PAGE_BYTES, (end - start) // PAGE_BYTES) for start, end in zip(starts, ends, strict=True)]


def _needed_at_once(pid: int, image: Image) -> Iterator[int]:
    for thread in core.threads(pid, image):
        addresses = (
            *(thread.stack_pointer, thread.thread_pointer),
            *(thread.clear_tid, thread.robust_list, thread.rseq),
        )
        for address in filter(None, addresses):
            page = address // PAGE_BYTES
            yield from (page, page + 1)  # what is there may go on in the next one
