"""criu's core images: what is known of one thread.

Source: CRIU images/core.proto, core-x86.proto, rseq.proto, pstree.proto, include/magic.h.
"""

import struct
from collections.abc import Callable, Iterator

from limosa.adapters.criu import pagemap, wire
from limosa.model.hints import Any, Final
from limosa.model.value import NamedTuple

Image = Callable[[str], bytes]
"""Returns the content of an image of the dump by its name. Raises: OSError: there is none."""

_COMMON_MAGIC: Final = 0x54564319
_CORE_MAGIC: Final = 0x55053847
_HEAD: Final = struct.Struct("<III")
_TASK: Final = {2: ("task_state", "int"), 6: ("comm", "str")}
_REGISTERS: Final = {20: ("sp", "int"), 22: ("fs_base", "int")}
_SEQUENCES: Final = {1: ("pointer", "int"), 2: ("size", "int")}
_CORE: Final = {
    2: ("info", {1: ("clear_tid", "int"), 2: ("registers", _REGISTERS)}),
    3: ("task", _TASK),
    5: ("thread", {1: ("robust_list", "int"), 15: ("rseq", _SEQUENCES)}),
}
_PSTREE: Final = {1: ("pid", "int"), 5: ("threads", ["int"])}
_DEAD: Final = 2
_ADDRESS: Final = (1 << 64) - 1
_RSEQ_FLAGS: Final = (16, 20)  # in struct rseq: what only the program writes


class Thread(NamedTuple):
    """Addresses that a thread goes on with, 0 where it has none."""

    stack_pointer: int
    thread_pointer: int
    clear_tid: int
    robust_list: int
    rseq: int
    rseq_bytes: int


def command(data: bytes) -> str | None:
    """Return the name of a process, None for a further thread and for one that had ended.

    Raises: ValueError: it is no core image.
    """
    task = _decoded(data).get("task")
    if task is None or task.get("task_state") == _DEAD:
        return None
    return str(task.get("comm", ""))


def threads(pid: int, image: Image) -> Iterator[Thread]:
    """Yield the threads of a process. Raises: ValueError, OSError: it is no whole dump."""
    for record in pagemap.records_after(image("pstree.img"), 8):
        found = wire.decode(_PSTREE, record)
        if found.get("pid") == pid:
            for tid in found.get("threads", [pid]):
                yield _thread(image(f"core-{tid}.img"))
            return
    raise ValueError(f"process {pid} is in no pstree image")


def _thread(data: bytes) -> Thread:
    core = _decoded(data)
    info, of_thread = core.get("info", {}), core.get("thread", {})
    registers, rseq = info.get("registers", {}), of_thread.get("rseq", {})
    return Thread(
        registers.get("sp", 0) & _ADDRESS,
        registers.get("fs_base", 0) & _ADDRESS,
        info.get("clear_tid", 0) & _ADDRESS,
        of_thread.get("robust_list", 0) & _ADDRESS,
        rseq.get("pointer", 0) & _ADDRESS,
        rseq.get("size", 0),
    )


def kept_by_kernel(pid: int, image: Image) -> Iterator[tuple[int, int]]:
    """Yield first byte and end of what the kernel writes whenever a thread of a process goes back to user mode.

    That is struct rseq: the CPU that it is on, and that the sequence that it was in is over. Raises: as `threads`.
    Source: Linux include/uapi/linux/rseq.h.
    """
    for thread in threads(pid, image):
        if thread.rseq:
            yield thread.rseq, thread.rseq + _RSEQ_FLAGS[0]
            yield thread.rseq + _RSEQ_FLAGS[1], thread.rseq + max(thread.rseq_bytes, _RSEQ_FLAGS[1])


def _decoded(data: bytes) -> dict[str, Any]:
    if len(data) < _HEAD.size:
        raise ValueError("not a core image")
    common, magic, size = _HEAD.unpack_from(data)
    if (common, magic) != (_COMMON_MAGIC, _CORE_MAGIC) or size > len(data) - _HEAD.size:
        raise ValueError("not a core image")
    return wire.decode(_CORE, data[_HEAD.size : _HEAD.size + size])
