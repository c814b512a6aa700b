"""The tree of commits across forks, commits that are mounted, and a restore that leaves everything standing still."""

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Limosa

pytestmark = pytest.mark.privileged

PROGRAM = """
import time
number = 0
while True:
    number += 1
    with open("/tmp/answer.new", "w") as file:
        file.write(str(number))
    import os
    os.rename("/tmp/answer.new", "/tmp/answer")
    time.sleep(0.01)
"""


@pytest.fixture
def one(limosa: Limosa, python_rootfs: str) -> Limosa:
    limosa("image", "import", python_rootfs, "python")
    limosa("run", "-d", "--name", "one", "--disk", "300m", "python", "python3", "-c", PROGRAM)
    limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/answer ]; do sleep 0.05; done")
    return limosa


@pytest.fixture
def place(one: Limosa) -> Iterator[str]:
    directory = f"{one.root}/look"
    os.mkdir(directory)
    yield directory
    os.rmdir(directory)


def answer(limosa: Limosa, name: str) -> int:
    return int(limosa("exec", name, "cat", "/tmp/answer"))


def test_the_history_is_a_tree_across_forks(one: Limosa) -> None:
    limosa = one
    first = limosa("checkpoint", "one", "--tag", "good").strip()
    limosa("fork", "-n", "2", "--name", "copy", "good")
    second = limosa("checkpoint", "one").strip()
    copied = limosa("checkpoint", "copy-1", "-m", "of the copy").strip()
    limosa("run", "-d", "--name", "other", "python", "sleep", "1000")
    other = limosa("checkpoint", "other").strip()

    tree = [line.rstrip() for line in limosa("log", "--graph", "copy-2").splitlines()]
    assert tree[0].split() == ["COMMIT", "CONTAINER", "TIME", "NEW", "FROZEN", "TAGS", "HERE", "MESSAGE"]
    drawn = [(line.split("  ")[0], line[:60].split()) for line in tree[1:]]
    assert [mark for mark, _ in drawn] == ["*", "| *", "|/", "*"]
    assert copied[:12] in tree[1] and "of the copy" in tree[1] and "copy-1" in tree[1]
    assert second[:12] in tree[2] and tree[2].endswith("one")
    assert first[:12] in tree[4] and "good" in tree[4] and "copy-2" in tree[4], "it has made no commit of its own yet"
    assert other[:12] not in "\n".join(tree), "it is no relative"
    assert other[:12] in limosa("log", "--graph")
    told = {commit["commit_id"]: commit for commit in json.loads(limosa("log", "--json", "--graph", "copy-2"))}
    assert set(told) == {first, second, copied}
    assert told[first]["here"] == ["copy-2"]
    assert told[first]["new_bytes"] > told[copied]["new_bytes"] > 0
    assert [commit["commit_id"] for commit in json.loads(limosa("log", "--json", "copy-1"))] == [first, copied]


def test_a_commit_is_mounted(one: Limosa, place: str) -> None:
    limosa = one
    limosa(
        "exec", "one", "sh", "-c", "echo kept >/root/note; chmod 640 /root/note; chown 7:8 /root/note; rm /etc/hostname"
    )
    limosa(
        "exec",
        "one",
        "sh",
        "-c",
        "cp /bin/true /root/su; chmod 4755 /root/su; rm -r /usr/share/doc; mkdir /usr/share/doc",
    )
    limosa("checkpoint", "one", "--tag", "good")
    limosa("exec", "one", "sh", "-c", "echo later >/root/note")
    assert limosa("mount", "good", place).strip() == place

    def inspected() -> None:
        with open(f"{place}/root/note", encoding="ascii") as file:
            assert file.read() == "kept\n"
        status = os.stat(f"{place}/root/note")
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (7, 8, 0o640)
        assert not os.path.exists(f"{place}/etc/hostname")
        assert os.listdir(f"{place}/usr/share/doc") == []
        assert os.path.exists(f"{place}/bin/sh"), "the image's"
        assert os.statvfs(place).f_flag & os.ST_NOSUID and os.statvfs(place).f_flag & os.ST_RDONLY
        with pytest.raises(OSError):
            os.mkdir(f"{place}/new")

    inspected()
    assert [one["directory"] for one in json.loads(limosa("mount", "--json"))] == [place]
    assert "LIM-MOUNT-001" in limosa("mount", "good", place, status=1)
    assert "LIM-IMG-006" in limosa("image", "rm", "python", status=1)
    assert limosa("recover").strip() == "nothing to recover"
    with open(f"{place}/root/note", encoding="ascii"):
        assert "LIM-MOUNT-002" in limosa("umount", place, status=1)
    # It needs neither the container nor the commit.
    limosa("rm", "-f", "one")
    limosa("untag", "good")
    limosa("forget", "--history", "one")
    limosa("gc", "--reflog-days", "0")
    limosa("recover")
    inspected()
    limosa("image", "prune")
    inspected()
    limosa("umount", place)
    assert "LIM-MOUNT-003" in limosa("umount", place, status=1)
    assert os.listdir(place) == []
    assert os.listdir(f"{limosa.root}/mounts") == ["lock"]


def test_a_commit_of_a_removed_container_is_mounted_from_the_store(one: Limosa, place: str) -> None:
    limosa = one
    limosa("exec", "one", "sh", "-c", "echo kept >/root/note; head -c 3000000 /dev/urandom >/root/large; sync")
    digest = limosa("exec", "one", "sha256sum", "/root/large").split()[0]
    limosa("checkpoint", "one")
    limosa("rm", "-f", "one")
    limosa("recover")
    limosa("mount", "one", place)
    done = subprocess.run(["sha256sum", f"{place}/root/large"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == digest
    subprocess.run(["umount", place], check=True)
    assert limosa("mount").splitlines()[1:] == []
    assert "what was left of a mount" in limosa("recover")
    assert os.listdir(f"{limosa.root}/mounts") == ["lock"]
    assert "LIM-MOUNT-001" in limosa("mount", "one", f"{place}/nothing", status=1)


def test_a_restore_that_does_not_start(one: Limosa) -> None:
    limosa = one
    limosa("checkpoint", "--stop", "one")
    for go_on in ("start", "unpause"):
        assert limosa("restore", "--no-start", "one").strip() == "one"
        assert "paused, restored" in limosa("ps")
        record = limosa.records()["one"]
        assert (record["phase"], record["held"]) == ("paused", True)
        with open(f"/proc/{record['init_pid']}/root/tmp/answer", encoding="ascii") as file:
            before = file.read()
        time.sleep(0.5)
        with open(f"/proc/{record['init_pid']}/root/tmp/answer", encoding="ascii") as file:
            assert file.read() == before, "it has not run"
        assert "LIM-CONT-005" in limosa("restore", "one", status=1)
        limosa(go_on, "one")
        time.sleep(0.5)
        assert answer(limosa, "one") > int(before)
        assert not limosa.records()["one"]["held"]
        limosa("checkpoint", "--stop", "one")
    limosa("restore", "one")
    limosa("pause", "one")
    assert "LIM-CONT-011" in limosa("start", "one", status=1), "who pauses a container does not want it started"
    limosa("rm", "-f", "one")
    limosa("restore", "--no-start", "one")
    limosa("stop", "-t", "1", "one")
    assert limosa.records()["one"]["phase"] == "stopped"
