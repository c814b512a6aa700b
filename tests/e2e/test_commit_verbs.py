"""What is said of commits, and commits that go to other hosts and come from them."""

import json
import time

import pytest

from tests.e2e.conftest import Limosa

pytestmark = pytest.mark.privileged

# Memory that changes and a number that goes on: a copy that continues has a larger one than when it was committed.
PROGRAM = """
import time
ballast = bytearray(b"x" * (4 << 20))
number = 0
while True:
    number += 1
    ballast[number * 4096 % len(ballast)] = number & 0xFF
    with open("/tmp/answer", "w") as file:
        file.write(str(number))
    time.sleep(0.01)
"""


@pytest.fixture
def one(limosa: Limosa, python_rootfs: str) -> Limosa:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM)
    limosa("exec", "one", "sh", "-c", "while ! [ -s /tmp/answer ]; do sleep 0.05; done")
    return limosa


def number(limosa: Limosa, name: str) -> int:
    for _ in range(50):
        said = limosa("exec", name, "cat", "/tmp/answer")
        if said:
            return int(said)
        time.sleep(0.02)
    raise AssertionError("it wrote no number")


def test_commits_are_shown_and_compared(one: Limosa) -> None:
    limosa = one
    limosa("exec", "one", "sh", "-c", "echo old >/root/note; echo gone >/root/gone")
    first = limosa("checkpoint", "one", "-m", "first one", "--tag", "good").strip()
    limosa(
        "exec",
        "one",
        "sh",
        "-c",
        "echo longer >/root/note; rm /root/gone /etc/hostname; head -c 99999 /dev/zero >/root/new",
    )
    limosa("set", "--pids", "77", "one")
    second = limosa("checkpoint", "one").strip()

    shown = json.loads(limosa("show", "--json", first[:10]))
    assert shown["commit"]["commit_id"] == first
    assert shown["commit"]["message"] == "first one"
    assert shown["tags"] == ["good"]
    assert shown["processes"] == [{"pid": 1, "command": "python3"}]
    assert shown["memory_bytes"] > 4 << 20
    assert shown["n_files"] >= 2
    said = limosa("show", "good")
    assert first in said
    assert "python3 (pid 1)" in said
    assert "LIM-COMM-001" in limosa("show", "nosuch", status=1)

    found = json.loads(limosa("diff", "--json", "good", second))
    files = {file["path"]: (file["change"], *file["size_bytes"]) for file in found["files"]}
    assert files["/root/note"] == ("changed", 4, 7)
    assert files["/root/gone"] == ("removed", 5, 0)
    assert files["/root/new"] == ("added", 0, 99999)
    assert files["/etc/hostname"][0] == "removed", "a file of the image"
    (memory,) = found["memories"]
    assert memory["name"] == "pagemap-1.img"
    assert 0 < memory["n_pages"] < 1100
    assert memory["n_pages"] == sum(n_pages for _, n_pages in memory["runs"])
    assert {"name": "limits.pids", "before": 4096, "after": 77} in found["settings"]
    assert found["processes"] == []
    said = limosa("diff", "one~1", "one")
    assert "~ file /root/note  (4 B -> 7 B)" in said
    assert "- file /root/gone" in said
    assert "~ setting limits.pids: 4096 -> 77" in said
    assert limosa("diff", "good", "good") == ""
