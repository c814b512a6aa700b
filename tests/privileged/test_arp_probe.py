"""Whether somebody on a segment has an address: asked of a real neighbour in another network namespace."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.waiting import eventually

from limosa.linux import arp

pytestmark = pytest.mark.privileged
MAC = "02:77:00:00:01:01"


@pytest.fixture
def segment() -> Iterator[str]:
    """An interface, on whose other end is a neighbour with the address 10.78.0.2."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own)
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "ip")
        for command in (
            ("ip", "link", "add", "probing", "address", MAC, "type", "veth", "peer", "asked", "netns", str(holder.pid)),
            ("ip", "link", "set", "probing", "up"),
            (*inside, "address", "add", "10.78.0.2/24", "dev", "asked"),
            (*inside, "link", "set", "asked", "up"),
        ):
            subprocess.run(command, check=True)
        yield "probing"
    finally:
        holder.kill()
        holder.wait()


def test_a_neighbour_answers_for_its_own_address_alone(segment: str) -> None:
    mac = bytes.fromhex(MAC.replace(":", ""))
    eventually(lambda: arp.answered(segment, mac, "10.78.0.2", 1.0))
    assert not arp.answered(segment, mac, "10.78.0.3", 0.2)
