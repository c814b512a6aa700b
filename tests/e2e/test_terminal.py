"""A person's terminal and a container's: run, attach, exec and enter on real ptys."""

import os
import signal
import subprocess
import time

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.e2e.person import Person
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
NO_NET = ("--network", "none")


@pytest.fixture
def bb(limosa: Limosa, busybox_rootfs: str) -> Limosa:
    limosa.has_image("bb", busybox_rootfs)
    return limosa


def at(limosa: Limosa, *args: str, **size: int) -> Person:
    return Person(LIMOSA, "--root", limosa.root, *args, **size)


def test_a_shell_on_a_terminal_from_start_to_status(bb: Limosa) -> None:
    with at(bb, "run", "--rm", "-it", "--name", "box", *NO_NET, "bb", "sh", rows=33, columns=101) as person:
        person.see("# ")
        person.type("tty; stty size; echo $TERM-end\r")
        assert "/dev/pts/0" in person.see("33 101")
        person.see("xterm-end")
        assert person.modes() != person.modes_before, "raw while the program has the terminal"
        person.type("sh -c 'trap \"stty size\" WINCH; echo wait''ing; while :; do sleep 0.1; done'\r")
        person.see("waiting")
        person.resize(20, 60)
        person.see("20 60")
        person.type("\x03")  # the container's terminal makes SIGINT of it, ours does not
        person.see("# ")
        person.type("exit 37\r")
        assert person.status() == 37
    assert not bb.records(), "--rm"


def test_detach_and_attach_several_at_a_time(bb: Limosa) -> None:
    with at(bb, "run", "-it", "--name", "box", *NO_NET, "bb", "sh") as person:
        person.see("# ")
        person.type("x=kept\r")
        person.see("# ")
        person.type("\x10\x11")
        assert person.status() == 0
    assert bb.records()["box"]["phase"] == "running"
    with at(bb, "attach", "box") as one, at(bb, "attach", "--detach-keys", "a,ctrl-b", "box") as two:
        one.see("# ")
        two.see("# ")
        one.type("echo one-$x\r")
        one.see("one-kept")
        two.see("one-kept")
        two.type("echo two-$x\r")
        one.see("two-kept")
        two.see("two-kept")
        two.type("a\x02")
        assert two.status() == 0
        one.type("\x15exit 5\r")
        assert one.status() == 5
    assert bb("wait", "box").strip() == "5"


def test_attach_only_to_look(bb: Limosa) -> None:
    bb("run", "-dit", "--name", "box", *NO_NET, "bb", "sh")
    with at(bb, "attach", "--no-stdin", "box") as watcher, at(bb, "attach", "box") as person:

        def watches() -> bool:
            person.type("echo at''tached\r")
            return watcher.shows("attached", 1)

        eventually(watches)
        watcher.type("echo never\r")
        person.type("echo th''is\r")
        person.see("this")
        watcher.see("this")
        assert "never" not in bb.logs("box")
        os.kill(watcher.process.pid, signal.SIGTERM)
        assert watcher.status() == 128 + signal.SIGTERM
    assert bb.records()["box"]["phase"] == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_and_leaves_the_container(bb: Limosa, number: signal.Signals) -> None:
    with at(bb, "run", "-it", "--name", "box", *NO_NET, "bb", "sh") as person:
        person.see("# ")
        os.kill(person.process.pid, number)
        assert person.status() == 128 + number
    assert bb.records()["box"]["phase"] == "running"


def test_signals_without_a_terminal_go_to_the_program(bb: Limosa) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    argv = [LIMOSA, "--root", bb.root, "run", "--name", "box", *NO_NET, "bb", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        os.kill(command.pid, signal.SIGTERM)
        assert command.stdout.read() == "got\n"
        assert command.wait(timeout=30) == 9
    argv[4:6] = ["--sig-proxy=false"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        os.kill(command.pid, signal.SIGTERM)
        assert command.wait(timeout=30) == 128 + signal.SIGTERM
    assert [record["phase"] for record in bb.records().values() if record["config"]["name"] != "box"] == ["running"]


def test_input_that_ends_and_large_output(bb: Limosa) -> None:
    sent = "0123456789abcdef" * (1 << 18)  # 4 MiB
    assert bb("run", "--rm", "-i", *NO_NET, "bb", "cat", stdin=sent) == sent
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    assert bb("exec", "-i", "box", "cat", stdin=sent) == sent
    assert bb("exec", "-i", "box", "true", stdin=sent) == "", "a program that reads nothing"
    refused = bb("run", "-it", *NO_NET, "bb", "sh", status=125)
    assert "LIM-CLI-004" in refused
    assert list(bb.records()) == ["box"]


def test_exec_on_a_terminal(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    with at(bb, "exec", "-it", "-e", "A=b", "-w", "/tmp", "box", "sh", rows=40, columns=90) as person:
        person.see("# ")
        person.type("pwd; echo $A-; stty size\r")
        person.see("/tmp")
        person.see("b-")
        person.see("40 90")
        person.resize(10, 30)
        person.type("sleep 0.3; stty size\r")
        person.see("10 30")
        person.type("exit 12\r")
        assert person.status() == 12
    with at(bb, "exec", "-it", "box", "sh", "-c", "echo begun; while :; do sleep 0.1; done; : marked") as person:
        person.see("begun")
        person.type("\x10\x11")
        assert person.status() == 0
    assert "marked" in bb("exec", "box", "ps"), "it runs on"
    with at(bb, "exec", "-it", "box", "nosuch") as person:
        person.see("LIM-RUN-002")
        assert person.status() == 127


def test_an_exec_whose_command_was_killed_gets_a_hangup(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    with at(bb, "exec", "-it", "box", "sh", "-c", "echo begun; exec sleep 777") as person:
        person.see("begun")
        person.process.kill()
    eventually(lambda: "777" not in bb("exec", "box", "ps"))


def test_exec_without_a_terminal(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", "-e", "OWN=1", *NO_NET, "bb", "sleep", "1000")
    bb("exec", "-d", "box", "sh", "-c", "echo $1 >/tmp/made; sleep 1", "-", "word")
    eventually(lambda: "word" in bb("exec", "box", "sh", "-c", "cat /tmp/made 2>/dev/null; true"))
    assert "LIM-RUN-002" in bb("exec", "-d", "box", "nosuch", status=127)
    assert "LIM-RUN-003" in bb("exec", "box", "/etc/passwd", status=126)
    started = time.monotonic()
    assert bb("exec", "box", "sh", "-c", "sleep 60 & echo done") == "done\n"
    assert time.monotonic() - started < 30, "what the program leaves behind is not waited for"
    variables = f"{bb.root}/variables"
    with open(variables, "w", encoding="ascii") as file:
        file.write("# comment\nFROM_FILE=two words\n\nOVER=file\n")
    said = bb("exec", "--env-file", variables, "-e", "OVER=option", "box", "env")
    assert {"FROM_FILE=two words", "OVER=option", "OWN=1"} <= set(said.splitlines())
    assert "CapEff:\t0000" in bb("exec", "box", "grep", "CapEff", "/proc/self/status")
    assert "CapEff:\t000001ffffffffff" in bb("exec", "--privileged", "box", "grep", "CapEff", "/proc/self/status")
    bb("stop", "-t", "0", "box")
    for verb, status in ((("exec", "box", "true"), 125), (("attach", "box"), 1), (("enter", "box"), 125)):
        assert "LIM-CONT-002" in bb(*verb, status=status)


def test_an_exec_session_gets_signals_and_ends_with_them(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    argv = [LIMOSA, "--root", bb.root, "exec", "box", "sh", "-c", "echo begun; exec sleep 777"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        os.kill(command.pid, signal.SIGINT)
        assert command.wait(timeout=30) == 128 + signal.SIGINT
    assert "777" not in bb("exec", "box", "ps")


def test_enter_is_a_login_shell(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", "-u", "1000", "-e", "SECRET=1", *NO_NET, "bb", "sleep", "1000")
    with at(bb, "enter", "box", rows=30, columns=70) as person:
        person.see("# ")
        person.type("echo $(id -u) $HOME $SHELL $SECRET. $(pwd) $(stty size)\r")
        person.see("0 /root /bin/sh . /root 30 70")
        person.type("exit 3\r")
        assert person.status() == 3
    assert bb("enter", "box", stdin="id -un\n") == "root\n"
    assert bb("enter", "-u", "guest", "box", stdin="id -un; pwd\n") == "guest\n/\n"
    assert "LIM-RUN-005" in bb("enter", "-u", "nosuch", "box", status=126)


def test_a_terminal_comes_back_from_a_commit(bb: Limosa) -> None:
    bb("run", "-dit", "--name", "box", *NO_NET, "bb", "sh")
    with at(bb, "attach", "box", rows=30, columns=100) as person:
        person.type("x=kept; echo before''-it\r")
        person.see("before-it")
        person.type("\x10\x11")
        assert person.status() == 0
    commit = bb("checkpoint", "box").strip()
    (copy,) = bb("fork", commit).split()
    bb("kill", "box")
    bb("wait", "box")
    bb("restore", commit)
    for name, columns in (("box", 101), (copy, 102)):
        with (
            at(bb, "attach", name, rows=31, columns=columns) as one,
            at(bb, "attach", name, rows=31, columns=columns) as two,
        ):
            two.type("\r")
            two.see("# ")
            one.see("# ")
            one.type("echo $x-$(stty size)-$(tty)\r")
            one.see(f"kept-31 {columns}-/dev/pts/0")
            one.resize(20, 60)
            one.type("sleep 0.3; stty size\r")
            one.see("20 60")
            one.type("echo go''ing; cat\r")
            one.see("going")
            time.sleep(0.5)
            one.type("\x03")
            one.see("# ")
            one.type(f"exit {columns}\r")
            assert one.status() == columns
    log = bb.logs("box")
    assert "before-it" in log
    assert "20 60" in log, "one stream"


def test_an_exec_after_a_restore_is_confined_as_before(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", "-m", "64m", *NO_NET, "bb", "sleep", "1000")
    wanted = ("sh", "-c", "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; cat /proc/self/uid_map; id")
    before = bb("exec", "box", *wanted)
    assert "Seccomp:\t2" in before
    assert "NoNewPrivs:\t1" in before
    commit = bb("checkpoint", "--stop", "box").strip()
    bb("restore", commit)
    assert bb("exec", "box", *wanted) == before
    with at(bb, "exec", "-it", "box", "sh", "-c", "grep -E 'Seccomp:' /proc/self/status") as person:
        person.see("Seccomp:\t2")
        assert person.status() == 0


def test_a_minimal_init_reaps_and_passes_signals_on(bb: Limosa) -> None:
    script = "sh -c 'sleep 0.2 &'; trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    bb("run", "-d", "--init", "--name", "box", *NO_NET, "bb", "sh", "-c", script)
    eventually(lambda: "ready" in bb.logs("box"))
    assert bb("exec", "box", "cat", "/proc/1/comm").startswith(".limosa-init")
    eventually(lambda: " Z " not in bb("exec", "box", "sh", "-c", "cat /proc/[0-9]*/stat"))
    commit = bb("checkpoint", "--stop", "box").strip()
    bb("restore", commit)
    assert "read-only" in bb("exec", "box", "sh", "-c", "echo >/run/.limosa-init", status=1).lower()
    bb("kill", "-s", "TERM", "box")
    assert bb("wait", "box").strip() == "7"
    assert "got" in bb.logs("box")
    with at(bb, "run", "--rm", "--init", *NO_NET, "bb", "sleep", "1000") as person:
        eventually(lambda: any(record["phase"] == "running" for record in bb.records().values()))
        time.sleep(0.5)
        person.type("\x03")  # what a first process without an init would not notice
        assert person.status() == 128 + signal.SIGINT


def test_start_joins_what_was_created(bb: Limosa) -> None:
    bb("create", "-it", "--name", "box", *NO_NET, "bb", "sh")
    for status in (4, 5):
        with at(bb, "start", "-ai", "box") as person:
            person.see("# ")
            person.type(f"exit {status}\r")
            assert person.status() == status
    bb("run", "--name", "plain", *NO_NET, "bb", "sh", "-c", "echo said; exit 6", status=6)
    assert "said" in bb("start", "-a", "plain", status=6)
    assert "LIM-CLI-003" in bb("start", "-a", "box", "plain", status=2)


def test_closed_standard_streams_are_no_trouble(bb: Limosa) -> None:
    bb("run", "-d", "--name", "box", *NO_NET, "bb", "sleep", "1000")
    line = f"{LIMOSA} --root {bb.root}"
    for command in (f"{line} exec -i box sh -c 'cat; echo said'", f"{line} run --rm --network none bb echo said"):
        done = subprocess.run(f"{command} <&- 2>&-", shell=True, check=True, stdout=subprocess.PIPE, timeout=60)
        assert done.stdout == b"said\n"
        subprocess.run(f"{command} <&- >&- 2>&-", shell=True, check=True, timeout=60)
