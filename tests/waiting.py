"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable


def eventually(what: Callable[[], object], seconds: float = 60) -> None:
    """Ask again and again until `what` gives something true.

    Raises: AssertionError or OSError: what the last answer was, when time was up.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            assert what(), f"it did not become so in {seconds} s"
            return
        except (AssertionError, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
