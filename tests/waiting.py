"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable


def eventually(what: Callable[[], object], seconds: float = 60) -> None:
    """Ask again and again until `what` gives something true. Raises: AssertionError: it did not in time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"it did not become so in {seconds} s"
        time.sleep(0.05)
