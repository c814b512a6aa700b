"""logs as one stream, followed to the end; top."""

import json
import subprocess
import time

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged
NO_NET = ("--network", "none")


@pytest.fixture
def bb(limosa: Limosa, busybox_rootfs: str) -> Limosa:
    limosa.has_image("bb", busybox_rootfs)
    return limosa


def follow(limosa: Limosa, *args: str) -> "subprocess.Popen[str]":
    argv = [LIMOSA, "--root", limosa.root, "logs", "-f", *args]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_follow_until_the_end(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sh", "-c", "echo one; echo two >&2; read x; sleep 1; echo three")
    with follow(bb, "box") as following:
        assert following.stdout is not None
        assert sorted(following.stdout.readline() for _ in range(3)) == ["one\n", "three\n", "two\n"]
        assert following.stdout.read() == ""
        assert following.wait(timeout=30) == 0
    assert follow(bb, "box").communicate(timeout=30)[0].count("\n") == 3, "one that has ended"
    bb("start", "box")
    bb("wait", "box")
    assert bb.logs("box").count("one") == 2, "one stream across starts"
    assert bb("logs", "-n", "1", "box") == "three\n"
    assert bb("logs", "-n", "0", "box") == ""
    assert bb("logs", "--since", "1h", "box").count("three") == 2
    assert bb("logs", "--until", "1h", "box") == ""
    assert "LIM-CLI-002" in bb("logs", "--since", "yesterday", "box", status=2)
    (line,) = bb("logs", "-t", "-n", "1", "box").splitlines()
    assert line.endswith(" three")
    assert line[4] == "-"
    stamp = line.split(" ", maxsplit=1)[0]
    assert bb("logs", "--since", stamp, "box") == "three\n"
    entries = [json.loads(line) for line in bb("logs", "--json", "box").splitlines()]
    assert {(entry["stream"], entry["text"]) for entry in entries} >= {("stdout", "one"), ("stderr", "two")}


def test_follow_of_one_that_is_removed_and_of_one_that_is_restored(bb: Limosa) -> None:
    bb("run", "-d", "--rm", "--name", "gone", *NO_NET, "bb", "sh", "-c", "sleep 1; echo last words")
    with follow(bb, "gone") as following:
        assert following.communicate(timeout=30)[0] == "last words\n"
        assert following.returncode == 0
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sh", "-c", "n=0; while :; do echo $n; n=$((n+1)); sleep 0.2; done")
    time.sleep(1)
    commit = bb("checkpoint", "--stop", "box").strip()
    before = int(bb.logs("box").splitlines()[-1])
    bb("restore", commit)
    with follow(bb, "-n", "0", "box") as following:
        assert following.stdout is not None
        assert int(following.stdout.readline()) >= before
        bb("stop", "-t", "0", "box")
        following.communicate(timeout=30)
        assert following.returncode == 0
    numbers = [int(line) for line in bb.logs("box").splitlines()]
    assert numbers == list(range(len(numbers))), "no line is lost or doubled by the checkpoint"


def test_follow_of_one_that_starts_again(bb: Limosa) -> None:
    script = "echo begun; sleep 0.5; [ -e /root/twice ] && exit 0; touch /root/twice; exit 1"
    bb("run", "-d", "--restart", "on-failure", "--name", "box", *NO_NET, "bb", "sh", "-c", script)
    with follow(bb, "box") as following:
        assert following.communicate(timeout=60)[0] == "begun\nbegun\n"
        assert following.returncode == 0


def test_lines_without_an_end_and_very_long_ones(bb: Limosa) -> None:
    script = "printf abc; printf '%050000d\\n' 7; printf end"
    bb("run", "--name", "box", *NO_NET, "bb", "sh", "-c", script)
    said = bb("logs", "box")
    assert said == "abc" + "0" * 49999 + "7\nend"
    assert bb("logs", "-n", "1", "box").endswith("end")
    assert bb("logs", "--timestamps", "box").count("stdout") == 0


def test_a_log_has_a_limit_where_one_was_asked_for(bb: Limosa) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo line-$i; i=$((i+1)); done"
    bb("run", "--name", "box", "--log-opt", "max-size=20k", *NO_NET, "bb", "sh", "-c", script)
    lines = bb("logs", "box").splitlines()
    assert lines[-1] == "line-4999"
    assert 0 < len(lines) < 1000
    assert "LIM-CLI-002" in bb("run", "--log-opt", "max-size=many", "bb", "true", status=2)


def test_top(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sh", "-c", "sleep 777 & exec sleep 888")
    bb("exec", "-d", "-u", "guest", "box", "sleep", "999")
    rows = json.loads(bb("top", "--json", "box", "user,pid", "ppid", "hpid", "args"))
    by_args = {row["args"]: row for row in rows}
    assert by_args["sleep 888"]["pid"] == "1"
    assert by_args["sleep 777"]["ppid"] == "1"
    assert by_args["sleep 999"]["user"] == "guest"
    assert by_args["sleep 999"]["ppid"] == "0"
    head, *lines = bb("top", "box").splitlines()
    assert head.split() == ["USER", "PID", "PPID", "PCPU", "ETIME", "TTY", "TIME", "ARGS"]
    assert len(lines) == 3
    head, *lines = bb("top", "box", "-eo", "pid,comm").splitlines()
    assert {line.split()[0] for line in lines} == {row["hpid"] for row in rows}
    assert "LIM-CLI-002" in bb("top", "box", "nosuch", status=2)
    assert "LIM-CLI-002" in bb("top", "box", "-eo", "comm", status=2)
    bb("kill", "-s", "KILL", "box")
    bb("wait", "box")
    assert "LIM-CONT-002" in bb("top", "box", status=1)
