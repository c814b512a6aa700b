"""System containers: each boots the init of its own root file system and is shut down by it."""

import json
import socket
import time

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

HTTPD = (
    "#!/bin/sh\n"
    'case "$1" in start) mkdir -p /var/www; hostname >/var/www/index.html; httpd -h /var/www;; esac\n'
    'case "$1" in stop) echo clean >/root/stopped;; esac\n'
)
SERVER = """#!/usr/bin/perl
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $socket->accept) { open my $file, "<", "/etc/hostname"; print {$client} <$file>; close $client }
"""
UNIT = """[Unit]
Description=a service of this container's own
[Service]
ExecStart=/usr/bin/perl /root/server
ExecStop=/bin/sh -c 'echo clean >/root/stopped'
[Install]
WantedBy=multi-user.target
"""


def address(limosa: Limosa, name: str) -> str:
    return str(limosa.records()[name]["addresses"]["ipv4"]).split("/", maxsplit=1)[0]


def fetched(limosa: Limosa, name: str, request: bytes = b"") -> str:
    """Return what the service on port 80 of a container's own address says."""
    with socket.create_connection((address(limosa, name), 80), timeout=5) as connection:
        connection.sendall(request)
        said = b""
        while more := connection.recv(4096):
            said += more
    return said.decode().split("\r\n\r\n")[-1].strip()


def write(limosa: Limosa, name: str, path: str, text: str) -> None:
    limosa("exec", "-i", name, "sh", "-c", f"cat >{path}", stdin=text)


def state(limosa: Limosa, name: str) -> str:
    """Return what systemd says about its whole system."""
    return limosa("exec", name, "sh", "-c", "systemctl is-system-running || true").strip()


def test_a_busybox_boots_serves_at_its_address_and_shuts_down_cleanly(limosa: Limosa) -> None:
    limosa("template", "build", "-q", "busybox")
    limosa("create", "--init", "tiny", "busybox")
    limosa("start", "tiny")
    assert limosa("exec", "tiny", "cat", "/proc/1/comm").strip() == "init"
    write(limosa, "tiny", "/etc/init.d/S50httpd", HTTPD)
    limosa("exec", "tiny", "chmod", "+x", "/etc/init.d/S50httpd")
    limosa("stop", "tiny")
    stopped = limosa.records()["tiny"]
    assert (stopped["phase"], stopped["exit"]["status"]) == ("stopped", 0), "it powered itself off"
    limosa("start", "tiny")
    eventually(lambda: fetched(limosa, "tiny", b"GET / HTTP/1.0\r\n\r\n") == "tiny")
    assert limosa("exec", "tiny", "cat", "/root/stopped") == "clean\n", "its own scripts ran at the stop"


def test_a_reboot_from_inside_starts_it_again(limosa: Limosa) -> None:
    limosa("template", "build", "-q", "busybox")
    limosa("create", "--init", "tiny", "busybox")
    limosa("start", "tiny")
    before, at = limosa.records()["tiny"]["init_pid"], address(limosa, "tiny")
    limosa("exec", "tiny", "touch", "/root/kept", "/run/gone")
    limosa("exec", "-d", "tiny", "reboot")
    eventually(lambda: limosa.records()["tiny"]["init_pid"] not in (0, before))
    eventually(lambda: limosa.records()["tiny"]["phase"] == "running")
    limosa("exec", "tiny", "sh", "-c", "test -e /root/kept && test ! -e /run/gone")
    assert address(limosa, "tiny") == at
    limosa("exec", "-d", "tiny", "poweroff")
    limosa("wait", "tiny")
    assert limosa.records()["tiny"]["phase"] == "stopped", "a power-off is none"


def test_an_init_that_does_not_end_is_killed_after_the_time(limosa: Limosa) -> None:
    limosa("template", "build", "-q", "busybox")
    limosa("create", "--init", "tiny", "busybox")
    limosa("start", "tiny")
    limosa("exec", "tiny", "sh", "-c", "printf '#!/bin/sh\\nsleep 1000\\n' >/etc/init.d/rcK")
    began = time.monotonic()
    limosa("stop", "-t", "1", "tiny")
    assert time.monotonic() - began < 15
    assert limosa.records()["tiny"]["exit"]["status"] == 137


def test_an_image_without_an_init_is_refused_with_nothing_left(limosa: Limosa, tmp_path) -> None:
    (tmp_path / "etc").mkdir()
    limosa("image", "import", str(tmp_path), "bare")
    limosa("create", "--init", "none", "bare")
    said = limosa("start", "none", status=127)
    assert "LIM-RUN-007" in said
    assert "template build" in said
    assert limosa.records()["none"]["phase"] == "created"


def test_names_of_create_and_run(limosa: Limosa) -> None:
    limosa("template", "build", "-q", "busybox")
    limosa("create", "--init", "--name", "first", "busybox")
    assert "LIM-CLI-003" in limosa("create", "--init", "fourth", "--network", "none", "busybox", status=2)
    limosa("run", "-d", "--system", "--name", "second", "--hostname", "other.example", "busybox")
    limosa("run", "-d", "--name", "third", "busybox")  # the template's label says what it is
    limosa("run", "--rm", "--network", "none", "busybox", "true")  # and a program of it is a program
    kinds = {name: record["config"]["kind"] for name, record in limosa.records().items()}
    assert kinds == {"first": "system", "second": "system", "third": "system"}
    assert limosa("exec", "second", "hostname").strip() == "other.example"
    assert limosa("exec", "third", "cat", "/etc/hostname").strip() == "third"


@pytest.mark.needs("hybrid cgroups")
def test_two_debians_side_by_side(limosa: Limosa, debian_12_rootfs: str) -> None:
    limosa.has_image("debian12", debian_12_rootfs)
    for name in ("one", "two"):
        limosa("create", "-t", "--init", name, "debian12")
    limosa("start", "one")
    limosa("start", "--wait", "two")
    assert state(limosa, "two") in ("running", "starting"), "no need to ask again and again"
    for name in ("one", "two"):
        eventually(lambda name=name: state(limosa, name) == "running")
        eventually(lambda name=name: f"{name} login:" in limosa.logs(name))
        write(limosa, name, "/root/server", SERVER)
        write(limosa, name, "/etc/systemd/system/own.service", UNIT)
        limosa("exec", name, "systemctl", "enable", "-q", "--now", "own.service")
    for name in ("one", "two"):
        eventually(lambda name=name: fetched(limosa, name) == name)
    ids = {limosa("exec", name, "cat", "/etc/machine-id") for name in ("one", "two")}
    assert len(ids) == 2, "each machine has an id of its own"
    assert json.loads(limosa("inspect", "one"))[0]["config"]["kind"] == "system"
    limosa("stop", "one")
    assert limosa.records()["one"]["exit"]["status"] == 0
    assert fetched(limosa, "two") == "two", "the other runs on"
    limosa("start", "one")
    eventually(lambda: fetched(limosa, "one") == "one")
    assert limosa("exec", "one", "cat", "/root/stopped") == "clean\n", "its services were stopped by its own init"
    assert limosa("exec", "one", "cat", "/etc/machine-id") in ids, "and it is the same machine afterwards"
    before = limosa.records()["two"]["init_pid"]
    limosa("exec", "-d", "two", "systemctl", "reboot")
    eventually(lambda: limosa.records()["two"]["init_pid"] not in (0, before))
    eventually(lambda: state(limosa, "two") == "running")
    eventually(lambda: fetched(limosa, "two") == "two")


def test_a_debian_comes_back_from_commits_and_copies_run_beside_it(limosa: Limosa, debian_12_rootfs: str) -> None:
    limosa.has_image("debian12", debian_12_rootfs)
    limosa("create", "--init", "box", "debian12")
    limosa("start", "box")
    eventually(lambda: state(limosa, "box") == "running")
    write(limosa, "box", "/root/server", SERVER)
    write(limosa, "box", "/etc/systemd/system/own.service", UNIT)
    limosa("exec", "box", "systemctl", "enable", "-q", "--now", "own.service")
    eventually(lambda: fetched(limosa, "box") == "box")
    boot_pid = limosa("exec", "box", "systemctl", "show", "-P", "MainPID", "own.service")
    commit = ""
    for _ in range(2):  # what came back can be committed again
        commit = limosa("checkpoint", "box").strip()
        assert state(limosa, "box") == "running", "it runs on"
        limosa("kill", "box")
        limosa("wait", "box")
        limosa("restore", commit)
        assert fetched(limosa, "box") == "box"
        assert state(limosa, "box") == "running"
        assert limosa("exec", "box", "systemctl", "show", "-P", "MainPID", "own.service") == boot_pid
    limosa("fork", "--name", "copy", commit)
    for name in ("box", "copy"):
        # Its init still has its groups in hand: it starts and ends services, in groups of their own.
        limosa("exec", name, "systemd-run", "--wait", "--quiet", "sh", "-c", "grep -q run-u /proc/self/cgroup")
        limosa("exec", name, "systemctl", "restart", "own.service")
        eventually(lambda name=name: fetched(limosa, name) == name)  # each has its own name in /etc/hostname
    limosa("stop", "box", "copy")
    assert [record["exit"]["status"] for record in limosa.records().values()] == [0, 0]


@pytest.mark.slow
def test_debian_13_boots_and_comes_back_without_spinning(limosa: Limosa, debian_13_rootfs: str) -> None:
    limosa.has_image("debian13", debian_13_rootfs)
    limosa("run", "-d", "--system", "--name", "box", "debian13")
    eventually(lambda: state(limosa, "box") == "running")
    commit = limosa("checkpoint", "--stop", "box").strip()
    limosa("restore", commit)
    assert state(limosa, "box") == "running"
    limosa("exec", "box", "systemd-run", "--wait", "--quiet", "true")
    before = processor_ticks(limosa, "box")
    time.sleep(3)
    assert processor_ticks(limosa, "box") - before < 100, "pid 1 is idle: no descriptor came back always ready"
    limosa("stop", "box")
    assert limosa.records()["box"]["exit"]["status"] == 0


def processor_ticks(limosa: Limosa, name: str) -> int:
    """Return the processor time that pid 1 has used, in hundredths of a second."""
    fields = limosa("exec", name, "cat", "/proc/1/stat").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.slow
def test_sysvinit_boots_and_is_told_to_power_off_by_its_own_command(limosa: Limosa, sysvinit_rootfs: str) -> None:
    limosa.has_image("sysvinit", sysvinit_rootfs)
    limosa("run", "-d", "--system", "--name", "box", "sysvinit")
    limosa("start", "--wait", "box")
    assert "2" in limosa("exec", "box", "runlevel").split()
    own = "ow:0:wait:/bin/sh -c 'echo clean >/root/stopped'"
    limosa("exec", "box", "sed", "-i", f"1i {own}", "/etc/inittab")
    limosa("exec", "box", "init", "q")
    limosa("stop", "box")
    assert limosa.records()["box"]["exit"]["status"] == 0
    limosa("start", "box")
    assert limosa("exec", "box", "cat", "/root/stopped") == "clean\n"
