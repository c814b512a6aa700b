"""criu's own times of a dump. Source: CRIU images/stats.proto, include/magic.h, stats.c."""

import struct

from limosa.adapters.criu import wire
from limosa.model.hints import Final

_MAGICS: Final = (0x55105940, 0x57093306)  # of service images; of statistics
_HEAD: Final = struct.Struct("<III")
_DUMP: Final = {1: ("freezing_us", "int"), 2: ("frozen_us", "int")}
_STATS: Final = {1: ("dump", _DUMP)}


def stopped_ns(data: bytes) -> int:
    """Return how long a dump stopped the processes: from the first that was stopped until all went on.

    criu counts microseconds.

    Raises: ValueError: it is no statistics of a dump.
    """
    if len(data) < _HEAD.size:
        raise ValueError("not criu's statistics")
    *magics, size = _HEAD.unpack_from(data)
    if tuple(magics) != _MAGICS or size > len(data) - _HEAD.size:
        raise ValueError("not criu's statistics")
    found = wire.decode(_STATS, data[_HEAD.size : _HEAD.size + size]).get("dump")
    if found is None:
        raise ValueError("not of a dump")
    return (int(found.get("freezing_us", 0)) + int(found.get("frozen_us", 0))) * 1000
