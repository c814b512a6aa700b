"""Small things that a user of docker takes for granted."""

import json
import subprocess

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged


@pytest.fixture
def bb(limosa: Limosa, busybox_rootfs: str) -> Limosa:
    limosa.has_image("bb", busybox_rootfs)
    return limosa


def test_events_say_how_a_container_ended_that_went_with_its_program(bb: Limosa) -> None:
    bb("run", "--rm", "--name", "seven", "--network", "none", "bb", "sh", "-c", "exit 7", status=7)
    bb("run", "-d", "--name", "forced", "--network", "none", "bb", "sleep", "1000")
    bb("rm", "--force", "forced")
    told = [json.loads(line) for line in bb("events", "--json").splitlines()]
    ends = {event["name"]: event["detail"] for event in told if event["action"] == "die"}
    assert ends == {"seven": "exit status 7", "forced": "exit status 137"}


def test_a_container_has_its_host_name_in_a_file(bb: Limosa) -> None:
    said = bb(
        "run", "--rm", "--network", "none", "--hostname", "godwit", "bb", "sh", "-c", "cat /etc/hostname; hostname"
    )
    assert said == "godwit\ngodwit\n"
    bb("run", "-d", "--name", "box", "--network", "none", "--read-only", "bb", "sleep", "1000")
    assert bb("exec", "box", "cat", "/etc/hostname") == bb("exec", "box", "hostname")


@pytest.mark.parametrize("network", ["host", "none"])
def test_a_port_that_cannot_be_published_is_warned_about(bb: Limosa, network: str) -> None:
    argv = [LIMOSA, "--root", bb.root, "run", "--rm", "--network", network, "-p", "18077:80", "bb", "echo", "ran"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout == "ran\n"
    assert "-p has no effect" in done.stderr


def test_a_run_that_fails_says_what_is_left_of_it(bb: Limosa) -> None:
    run = ("run", "--network", "none")
    for options, status in ((("--cpuset", "4095", "bb", "true"), 125), (("bb", "nosuch"), 127)):
        said = bb(*run, "--name", "left", *options, status=status)
        assert 'state: "left" is created and does not run; limosa rm left removes it' in said
        assert "hint:" in said
        assert bb.records()["left"]["phase"] == "created"
        bb("rm", "left")
        assert "is created" not in bb(*run, "--rm", *options, status=status)
        assert bb.records() == {}


def test_a_file_that_is_not_there_is_said_in_words(bb: Limosa) -> None:
    run = ("run", "--rm", "--network", "none")
    for argv, status in (
        ((*run, "-v", "/nosuch:/data", "bb", "true"), 125),
        ((*run, "--env-file", "/nosuch", "bb", "true"), 2),
        (("image", "import", "/nosuch", "image"), 1),
    ):
        said = bb(*argv, status=status)
        assert "/nosuch: No such file or directory" in said
        assert "Errno" not in said


def test_flags_that_docker_calls_differently_and_that_mean_the_same(bb: Limosa) -> None:
    options = ("--net", "default", "--mac-address", "02:00:00:00:00:11", "--cpuset-cpus", "0", "--pids-limit", "50")
    said = bb("run", "--name", "box", *options, "bb", "sh", "-c", "nproc; cat /sys/class/net/eth0/address")
    assert said == "1\n02:00:00:00:00:11\n"
    bb("set", "--pids-limit", "60", "box")
    limits = bb.records()["box"]["config"]["limits"]
    assert (limits["cpuset"], limits["pids"]) == ("0", 60)
