"""Wait for a container's next start, holding nothing."""

import time
from typing import Final

from limosa.model.restart import LONGEST_DELAY_NS

_NS_PER_S: Final = 1e9


def until(due_ns: int) -> None:
    """Return when the clock shows `due_ns`, at the latest after the longest pause that there is.

    A clock that is set back meanwhile must not keep a container down. Whoever stops the container ends this process.
    """
    left_ns = min(due_ns - time.time_ns(), LONGEST_DELAY_NS)
    if left_ns > 0:
        time.sleep(left_ns / _NS_PER_S)
