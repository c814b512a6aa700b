"""Copies of a container that run on another host; the original does not notice."""

from collections.abc import Iterator

import pytest

from tests.e2e.clients import left_of
from tests.e2e.several_hosts import LimosaHost, Segment, segment

pytestmark = pytest.mark.privileged
COUNTS = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n >>/lines; sleep 0.05; done")


@pytest.fixture(scope="module")
def hosts(busybox_rootfs: str) -> Iterator[Segment]:
    with segment("ab") as found:
        found.a("image", "import", busybox_rootfs, "box")
        found.a("host", "add", "spare", "root@10.77.0.2")
        yield found


def lines(host: LimosaHost, name: str) -> list[int]:
    return [int(line) for line in host("exec", name, "cat", "/lines").split()]


def test_copies_run_on_another_host_with_memory_and_files(hosts: Segment) -> None:
    a, b = hosts.a, hosts.b
    a("run", "-d", "--name", "one", "box", *COUNTS)
    refused = a("fork", "--on", "spare", "one", status=1)
    assert "LIM-CSTORE-004" in refused, "hosts of two groups share nothing"
    assert a("log", "--json").strip() == "[]", "nothing was committed for what is refused"
    a("host", "add", "--init", "spare", "root@10.77.0.2")
    told = a("fork", "-n", "2", "--name", "copy", "--on", "spare", "one")
    assert [line for line in told.splitlines() if line.startswith("copy")] == ["copy-1", "copy-2"]
    assert {name: one["phase"] for name, one in b.records().items()} == {"copy-1": "running", "copy-2": "running"}
    assert a.records().keys() == {"one"} and a.records()["one"]["phase"] == "running"
    before = lines(a, "one")
    for name in ("copy-1", "copy-2"):
        seen = lines(b, name)
        assert seen == list(range(1, len(seen) + 1)), "it counts on from where the original was"
    assert lines(a, "one")[: len(before)] == before
    refused = a("fork", "-n", "2", "--name", "copy", "--on", "spare", "one", status=1)
    assert "LIM-NAME-002" in refused and "no copy at root@10.77.0.2" in refused
    assert left_of(b) == ["copy-1", "copy-2"]
    warm = a("fork", "--warm", "1", "--on", "root@10.77.0.2", "one").split()[-1]
    assert b("fork", "--name", "third", warm) == "third\n"
    b("rm", "-f", "copy-1", "copy-2", "third")
    a("rm", "-f", "one")
    assert left_of(a) == left_of(b) == []
