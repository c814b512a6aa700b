"""criu's core images: what is known of one task. Source: CRIU images/core.proto, include/magic.h."""

import struct
from typing import Final

from limosa.adapters.criu import wire

_COMMON_MAGIC: Final = 0x54564319
_CORE_MAGIC: Final = 0x55053847
_HEAD: Final = struct.Struct("<III")
_TASK: Final = {2: ("task_state", "int"), 6: ("comm", "str")}
_CORE: Final = {3: ("tc", _TASK)}
_DEAD: Final = 2


def command(data: bytes) -> str | None:
    """Return the name of a process, None for a further thread and for one that had ended.

    Raises: ValueError: it is no core image.
    """
    if len(data) < _HEAD.size:
        raise ValueError("not a core image")
    common, magic, size = _HEAD.unpack_from(data)
    if (common, magic) != (_COMMON_MAGIC, _CORE_MAGIC) or size > len(data) - _HEAD.size:
        raise ValueError("not a core image")
    task = wire.decode(_CORE, data[_HEAD.size : _HEAD.size + size]).get("tc")
    if task is None or task.get("task_state") == _DEAD:
        return None
    return str(task.get("comm", ""))
