"""Commits that go to another host and come from there through ssh."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.several_hosts import Segment, segment

pytestmark = pytest.mark.privileged


@pytest.fixture(scope="module")
def hosts() -> Iterator[Segment]:
    with segment("ab") as found:
        yield found


def test_a_commit_goes_to_a_host_by_ssh_with_its_image_and_comes_to_life_there(
    hosts: Segment, busybox_rootfs: str
) -> None:
    a, b = hosts.a, hosts.b
    a("image", "import", busybox_rootfs, "box")
    a("run", "-d", "--name", "one", "box", "sh", "-c", "n=0; while :; do n=$((n+1)); echo $n >/n; sleep 0.1; done")
    a("checkpoint", "one", "--tag", "good")
    refused = a("push", "one", "root@10.77.0.2", status=1)
    assert "LIM-CSTORE-004" in refused
    assert a("host", "add", "--init", "spare", "root@10.77.0.2") == "spare\n"
    told = json.loads(a("push", "--json", "one", "spare"))
    assert told["images"] == ["localhost/box:latest"]
    first_bytes = told["sent_bytes"]
    assert first_bytes > 10_000
    again = json.loads(a("push", "--json", "one", "spare"))
    assert again["sent_bytes"] < 2_000, "nothing that is there is sent again"
    b("restore", "one")
    number = int(b("exec", "one", "cat", "/n"))
    a("rm", "-f", "one")
    b("checkpoint", "one")
    back = json.loads(a("fetch", "--json", "spare", "one"))
    assert 0 < back["received_bytes"] < first_bytes
    a("restore", "one")
    assert int(a("exec", "one", "cat", "/n")) >= number
    assert re.search(r"spare +ready", a("host", "check"))


def test_who_cannot_be_reached_or_is_no_limosa_is_told_in_ssh_s_words(hosts: Segment) -> None:
    a = hosts.a
    refused = a("host", "check", "root@10.77.0.9", "--ssh-option", "ConnectTimeout=1", status=1)
    assert "cannot be reached" in refused
    assert "LIM-PEER-002" in a("host", "add", "odd", "root@10.77.0.2", "--command", "/bin/nosuch", status=1)
    noisy = a("host", "add", "odd", "root@10.77.0.2", "--command", "date", status=1)
    assert "LIM-PEER-002" in noisy
