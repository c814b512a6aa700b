"""What is said of commits, and commits that go to other hosts and come from them."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Limosa, new_host

pytestmark = pytest.mark.privileged

# Memory that changes and a number that goes on: a copy that continues has a larger one than when it was committed.
PROGRAM = """
import time
from collections.abc import Iterator
from typing import Any
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
    limosa.has_image("python", python_rootfs)
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


def test_commits_are_shown_and_compared(one: Limosa, tmp_path: Any) -> None:
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

    for commit, note in ((first, "old"), ("one~0", "longer")):
        limosa("cp", f"{commit}:/root/note", f"{tmp_path}/note")
        assert (tmp_path / "note").read_text() == f"{note}\n"
    limosa("cp", "good:/etc/debian_version", f"{tmp_path}/version")
    assert (tmp_path / "version").read_text().startswith("12"), "it is the image's"
    assert "LIM-FILE-001" in limosa("cp", f"{second}:/root/gone", f"{tmp_path}/gone", status=1)
    assert "LIM-NAME-003" in limosa("cp", "nosuch:/root/gone", f"{tmp_path}/gone", status=1)
    assert list(limosa.records()) == ["one"], "nothing is left of the copying"


@pytest.fixture
def elsewhere(limosa: Limosa) -> Iterator[Limosa]:
    """A second host, without anything. What `limosa` checks after the test includes it."""
    with new_host() as host:
        yield host


def test_commits_go_to_another_host_and_live_there(one: Limosa, elsewhere: Limosa) -> None:
    first = one("checkpoint", "one").strip()
    one("exec", "one", "sh", "-c", "echo kept >/root/note")
    at_second = number(one, "one")
    second = one("checkpoint", "one", "-m", "second").strip()

    assert "LIM-CSTORE-003" in one("push", "one", f"{elsewhere.root}/nothing", status=1)
    assert elsewhere("log", "--json").strip() == "[]", "a store of a key of its own is there now"
    refused = one("push", "one", elsewhere.root, status=1)
    assert "LIM-CSTORE-004" in refused
    assert "--init" in refused
    sent = json.loads(one("push", "--json", "--init", "--no-image", "one", elsewhere.root))
    assert sent["commits"] == [second]
    assert sent["sent_bytes"] > 100_000
    missing = elsewhere("restore", "one", status=1)
    assert "LIM-IMG-002" in missing
    assert "'python'" in missing
    assert elsewhere.records() == {}

    again = json.loads(one("push", "--json", "--history", "one", elsewhere.root))
    assert again["commits"] == [first, second]
    assert again["images"] == ["localhost/python:latest"]
    assert again["sent_bytes"] < sent["sent_bytes"]
    assert [commit["commit_id"] for commit in json.loads(elsewhere("log", "--json"))] == [first, second]
    assert json.loads(one("push", "--json", "--history", "one", elsewhere.root))["sent_bytes"] == 0

    one("rm", "--force", "one")
    assert elsewhere("restore", "one").strip() == "one"
    assert number(elsewhere, "one") >= at_second
    assert elsewhere("exec", "one", "cat", "/root/note") == "kept\n"
    assert elsewhere("fork", "--name", "copy", "one~1").strip() == "copy"
    assert "kept" not in elsewhere("exec", "copy", "sh", "-c", "cat /root/note 2>/dev/null || true")
    third = elsewhere("checkpoint", "one").strip()

    one("forget", "--history", "one")
    one("gc", "--reflog-days", "0")
    one("fetch", elsewhere.root)
    assert one("show", "one").startswith(f"commit:    {third}")
    assert one("verify").endswith("0 damages\n")
    one("gc", "--reflog-days", "0")
    assert third in one("log", "--json")
    elsewhere("rm", "--force", "one", "copy")
    assert one("restore", "one").strip() == "one"
    assert number(one, "one") >= at_second


def test_commits_go_through_files(one: Limosa, elsewhere: Limosa, python_rootfs: str, tmp_path: Any) -> None:
    commit = one("checkpoint", "one").strip()
    one("export", "one", f"{tmp_path}/ours")
    assert "LIM-COMM-022" in one("export", "one", f"{tmp_path}/ours", status=1)
    one("export", "--for-strangers", "one", f"{tmp_path}/anybody")
    assert sorted(os.listdir(tmp_path)) == ["anybody", "ours"]
    assert "LIM-CSTORE-004" in elsewhere("import", f"{tmp_path}/ours", status=1)
    assert "LIM-COMM-022" in elsewhere("import", f"{tmp_path}/nothing", status=1)
    one("rm", "--force", "one")
    one("forget", commit)
    one("gc", "--reflog-days", "0")
    assert one("import", f"{tmp_path}/ours").strip() == commit
    one("gc", "--reflog-days", "0")
    assert one("restore", "one").strip() == "one", "it is called by its container's name again"

    imported = elsewhere("import", f"{tmp_path}/anybody").strip()
    assert imported != commit
    elsewhere.has_image("python", python_rootfs)
    elsewhere("gc", "--reflog-days", "0")
    key = one("trust", "key").strip()
    refused = elsewhere("fork", imported[:12], status=1)
    assert "LIM-TRUST-002" in refused
    assert f"limosa trust add NAME '{key}'" in refused
    fingerprint = elsewhere("trust", "add", "friend", key).strip()
    assert fingerprint in elsewhere("show", imported[:12])
    assert json.loads(elsewhere("trust", "ls", "--json"))[0]["fingerprint"] == fingerprint
    assert elsewhere("fork", "-n", "2", "--name", "copy", imported[:12]).split() == ["copy-1", "copy-2"]
    assert number(elsewhere, "copy-1") > 0
    assert number(elsewhere, "copy-2") > 0
    elsewhere("trust", "rm", "friend")
    assert "LIM-TRUST-002" in elsewhere("fork", imported[:12], status=1)
    again = elsewhere("checkpoint", "copy-1").strip()
    assert elsewhere("fork", "--name", "own", again).strip() == "own", "what this host made itself"
    elsewhere("export", "--for-strangers", imported[:12], f"{tmp_path}/passed-on")
    with new_host() as third:
        third("trust", "add", "friend", elsewhere("trust", "key").strip())
        passed_on = third("import", f"{tmp_path}/passed-on").strip()
        assert "LIM-TRUST-001" in third("fork", passed_on, status=1), "who passes it on does not vouch for it"
        accepted = third("import", "--trust", f"{tmp_path}/passed-on").strip()
        assert "LIM-IMG-002" in third("fork", accepted, status=1), "nothing else is in the way"
    assert elsewhere("import", f"{tmp_path}/anybody").strip() == imported

    one("run", "-d", "--name", "hooked", "--hook", "poststart=true", "python", "sleep", "1000")
    one("checkpoint", "hooked")
    one("export", "--for-strangers", "hooked", f"{tmp_path}/hooked")
    assert "LIM-COMM-021" in elsewhere("import", f"{tmp_path}/hooked", status=1)
    assert "hooked" not in elsewhere("log")
    elsewhere("import", "--trust", f"{tmp_path}/hooked")
    assert "hooked" in elsewhere("log")
