"""A rewind loses nothing, whatever its container does: running, paused or stopped."""

import json
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
QUIET = ("--network", "none")
# A number in memory, told in a file; descriptor 9 is closed when somebody asks for that.
COUNT = """
[ -d /host ] && exec 9>/host/log
n=0
while :; do
    n=$((n + 1)); echo $n >/n.new; mv /n.new /n
    [ -e /host/drop ] && { exec 9>&-; touch /dropped; }
    sleep 0.02
done
"""


def counting(limosa: Limosa, rootfs: str, *options: str) -> str:
    """Run a container that counts, and return its first commit."""
    limosa.has_image("bb", rootfs)
    limosa("run", "-d", "--name", "one", *QUIET, *options, "bb", "sh", "-c", COUNT)
    limosa("exec", "one", "sh", "-c", "until [ -e /n ]; do sleep 0.05; done")
    return limosa("checkpoint", "one").strip()


def number(limosa: Limosa) -> int:
    return int(limosa("exec", "one", "cat", "/n"))


def kept_of(limosa: Limosa, said: str) -> str:
    kept = said.rsplit(maxsplit=1)[-1]
    assert kept in limosa("reflog", "one")
    return kept


def test_a_paused_container_is_kept_as_any_other(limosa: Limosa, busybox_rootfs: str) -> None:
    first = counting(limosa, busybox_rootfs)
    limosa("exec", "one", "sh", "-c", "echo later >/root/later")
    eventually(lambda: number(limosa) > 30)
    before = number(limosa)
    limosa("pause", "one")
    kept = kept_of(limosa, limosa("rewind", "one", first))
    assert limosa.records()["one"]["phase"] == "running"
    assert number(limosa) < before
    limosa("exec", "one", "test", "!", "-e", "/root/later")
    limosa("rewind", "--discard", "one", kept)
    assert number(limosa) >= before, "its memory was kept"
    assert limosa("exec", "one", "cat", "/root/later") == "later\n"


def test_of_a_stopped_container_the_files_are_kept(limosa: Limosa, busybox_rootfs: str, tmp_path: Path) -> None:
    first = counting(limosa, busybox_rootfs, "-v", "data:/data", "--disk", "300m")
    limosa("exec", "one", "sh", "-c", "echo later >/root/later; echo later >/data/later")
    limosa("stop", "-t", "0", "one")
    (tmp_path / "copied").write_text("copied in\n")
    limosa("cp", f"{tmp_path}/copied", "one:/root/copied")
    kept = kept_of(limosa, limosa("rewind", "one", first))
    assert limosa.records()["one"]["phase"] == "running"
    limosa("exec", "one", "sh", "-c", "! [ -e /root/later ] && ! [ -e /root/copied ] && ! [ -e /data/later ]")
    limosa("stop", "-t", "0", "one")
    limosa("restore", kept)
    told = limosa("exec", "one", "cat", "/root/later", "/data/later", "/root/copied")
    assert told == "later\nlater\ncopied in\n"
    limosa("stop", "-t", "0", "one")
    before = limosa("reflog", "one").splitlines()
    limosa("rewind", "--discard", "one", first)
    assert len(limosa("reflog", "one").splitlines()) == len(before) + 1, "nothing but the rewind itself"


def test_a_container_that_cannot_go_back_is_what_it_was(limosa: Limosa, busybox_rootfs: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    first = counting(limosa, busybox_rootfs, "-v", f"{tmp_path}:/host:noidmap")
    (tmp_path / "drop").touch()
    limosa("exec", "one", "sh", "-c", "until [ -e /dropped ]; do sleep 0.05; done; echo later >/root/later")
    os.unlink(tmp_path / "log")  # which a process of the commit has open
    before = number(limosa)
    limosa("pause", "one")
    limosa("rewind", "one", first, status=1)
    (state,) = json.loads(limosa("inspect", "one"))
    assert state["state"]["paused"]
    limosa("unpause", "one")
    eventually(lambda: number(limosa) > before)
    second = limosa("checkpoint", "one").strip()

    limosa("exec", "one", "sh", "-c", "echo latest >/root/later")
    limosa("stop", "-t", "0", "one")
    limosa("rewind", "one", first, status=1)
    assert limosa.records()["one"]["phase"] == "stopped"
    (latest,) = [one for one in json.loads(limosa("log", "--json", "one")) if one["commit_id"] == second]
    assert json.loads(limosa("log", "--json", "one"))[-1] == latest, "what it was kept in is no commit that stays"
    limosa("start", "one")
    assert limosa("exec", "one", "cat", "/root/later") == "latest\n"
