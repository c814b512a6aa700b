"""The connection to nftables."""

import os

from limosa.linux.nftables import Nft


def test_a_connection_that_nobody_has_any_more_is_closed() -> None:
    """A process with 1024 of them aborts: the library waits with select(2)."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Nft().open()
    assert len(os.listdir("/proc/self/fd")) == before
