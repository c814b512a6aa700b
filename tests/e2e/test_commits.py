"""Commits carry their memory and files, form a history, and nothing of them is lost with the container."""

import json
import os
import re
import shutil
import time

import pytest

from tests.e2e.conftest import Limosa

pytestmark = pytest.mark.privileged

# One sequence number in memory, in a file, and in a mapped file. It is the same in all three between two steps.
PROGRAM = """
import mmap, os, sys, time
with open("/tmp/mapped", "wb") as file:
    file.truncate(1 << 20)
mapped = mmap.mmap(os.open("/tmp/mapped", os.O_RDWR), 1 << 20)
plain = os.open("/tmp/plain", os.O_RDWR | os.O_CREAT)
ballast = bytearray(os.urandom(4 << 20))
number = 0
while True:
    number += 1
    ballast[number * 4096 % len(ballast)] = number & 0xFF
    mapped[0:8] = number.to_bytes(8, "little")
    os.pwrite(plain, number.to_bytes(8, "little"), 0)
    with open("/tmp/answer.new", "w") as file:
        file.write(str(number))
    os.rename("/tmp/answer.new", "/tmp/answer")
    time.sleep(0.005)
"""


@pytest.fixture
def one(limosa: Limosa, python_rootfs: str) -> Limosa:
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", PROGRAM)
    limosa("exec", "one", "sh", "-c", "while ! [ -e /tmp/answer ]; do sleep 0.05; done")
    return limosa


def number(limosa: Limosa, name: str) -> int:
    return int(limosa("exec", name, "cat", "/tmp/answer"))


def commits(limosa: Limosa) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(limosa("log", "--json"))
    return found


def test_commits_restore_after_the_container_was_removed(one: Limosa) -> None:
    limosa = one
    limosa("exec", "one", "sh", "-c", "echo kept >/root/note; ln /root/note /root/again; rm /etc/hostname")
    at_first = number(limosa, "one")
    commit = limosa("checkpoint", "-m", "first", "one").strip()
    time.sleep(0.3)
    later = number(limosa, "one")
    limosa("rm", "--force", "one")
    shutil.rmtree(f"{limosa.root}/dumps", ignore_errors=True)
    assert limosa("restore", "one").strip() == "one", "the name that it had still leads to its latest commit"
    back = number(limosa, "one")
    assert at_first < back < later, "memory is of the commit"
    assert limosa("exec", "one", "sh", "-c", "cat /root/again; stat -c %h /root/note; ls /etc/hostname || true").split(
        "\n"
    )[:2] == ["kept", "2"]
    both = "print(*(int.from_bytes(open(f'/tmp/{name}','rb').read(8),'little') for name in ('plain', 'mapped')))"
    plain, mapped = map(int, limosa("exec", "one", "python3", "-c", both).split())
    assert abs(plain - mapped) <= 3, "files and mappings are of one moment"
    limosa("rm", "--force", "one")
    copies = limosa("fork", "-n", "2", "--name", "copy", commit[:10]).split()
    assert copies == ["copy-1", "copy-2"]
    assert all(number(limosa, name) > at_first for name in copies)


def test_rewind_keeps_what_is_thrown_away_and_history_is_named(one: Limosa) -> None:
    limosa = one
    at_first = number(limosa, "one")
    first = limosa("checkpoint", "one", "--tag", "good").strip()
    limosa("exec", "one", "sh", "-c", "echo damage >/root/damage")
    second = limosa("checkpoint", "one").strip()
    assert [one["commit_id"] for one in commits(limosa)] == [first, second]
    assert commits(limosa)[1]["parent"] == first
    assert "LIM-COMM-005" in limosa("checkpoint", "one", "--tag", "good", status=1)
    time.sleep(0.5)
    before = number(limosa, "one")
    said = limosa("rewind", "one", "one~1")
    thrown_away = said.split()[-1]
    assert at_first < number(limosa, "one") < before
    limosa("exec", "one", "test", "!", "-e", "/root/damage")
    assert limosa("wait", "--help")
    assert "rewind" in limosa("reflog", "one")
    limosa("rewind", "--discard", "one", thrown_away)
    assert number(limosa, "one") >= before
    limosa("exec", "one", "cat", "/root/damage")
    limosa("rewind", "one", "good", "--discard")
    limosa("exec", "one", "test", "!", "-e", "/root/damage")
    assert "LIM-COMM-004" in limosa("forget", "good", status=1)
    limosa("untag", "good")
    assert "LIM-COMM-001" in limosa("restore", "nosuch", status=1)
    assert re.search(r"0 damages", limosa("verify"))


def test_a_second_commit_stores_what_changed_and_gc_frees_what_is_forgotten(one: Limosa) -> None:
    limosa = one
    limosa("exec", "one", "sh", "-c", "head -c 30000000 /dev/urandom >/root/big")
    limosa("checkpoint", "one")

    def stored() -> int:
        packs = f"{limosa.root}/commits/packs"
        return sum(os.stat(f"{packs}/{name}").st_size for name in os.listdir(packs))

    first = stored()
    assert first > 34_000_000
    limosa("exec", "one", "sh", "-c", "printf x | dd of=/root/big bs=1 seek=9000000 conv=notrunc")
    limosa("checkpoint", "one")
    assert stored() - first < first // 5
    limosa("rm", "-f", "one")
    limosa("forget", "--history", "one")
    assert commits(limosa) == []
    limosa("gc", "--reflog-days", "0")
    assert stored() < 1_000_000


def test_a_program_that_ends_as_soon_as_it_comes_back(limosa: Limosa, python_rootfs: str) -> None:
    limosa.has_image("python", python_rootfs)
    # A sleep that asks for nothing of what is left of it is over when a commit interrupts it.
    sleeps = 'my $whole = pack("qq", 1000, 0); syscall(35, $whole, 0); exit 5'
    limosa("run", "-d", "--name", "brief", "--network", "none", "python", "perl", "-e", sleeps)
    commit = limosa("checkpoint", "--stop", "brief").strip()
    for _ in range(3):
        assert limosa("restore", commit) == "brief\n"
        assert limosa("wait", "brief") == "5\n"
        assert limosa.records()["brief"]["phase"] == "stopped"


def test_damage_is_found_and_said(one: Limosa) -> None:
    limosa = one
    limosa("checkpoint", "one")
    packs = f"{limosa.root}/commits/packs"
    (pack,) = os.listdir(packs)
    with open(f"{packs}/{pack}", "r+b") as file:
        file.seek(os.stat(f"{packs}/{pack}").st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
    assert "damaged" in limosa("verify", status=1)
