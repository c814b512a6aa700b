"""The connection to nftables."""

import os
from contextlib import ExitStack

import pytest

from limosa.linux.nftables import Nft, NftUnavailable


def test_a_connection_that_nobody_has_any_more_is_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Nft().open()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_with_too_many_files_is_told_so() -> None:
    """The library waits with select(2), and aborts at a descriptor that this cannot wait for."""
    with ExitStack() as opened:
        for _ in range(1030):
            opened.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(NftUnavailable, match="files open"):
            Nft().run("list tables")
    assert Nft().run("list tables")
