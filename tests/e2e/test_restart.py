"""What happens when things end by themselves: restarts without a daemon, hooks, a boot, `--rm`."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]

pytestmark = pytest.mark.privileged


def record(limosa: Limosa, name: str) -> Any:
    return limosa.records()[name]


def runs_again(seen: Any) -> bool:
    """Say whether it ended, and runs: in one look, for it may end between two."""
    return seen["phase"] == "running" and seen["exit"] is not None


def text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}") and text(f"/proc/{pid}/stat").split(") ")[1][0] != "Z"


def processes_of(limosa: Limosa) -> list[str]:
    """The command lines that name the host's root: monitors, keepers, commands."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # lxcfs serves all containers of a root and stays as long as there is one.
            if (f"{limosa.root} " in line or f"{limosa.root}/" in line) and "lxcfs" not in line:
                found.append(f"{name} {line}")
    return found


def test_always_starts_it_again_and_stop_ends_it(box: Limosa) -> None:
    box("run", "-d", "--name", "web", "-p", "18080:80", "--restart", "always", "pg", "sh", "-c", "echo life; sleep 0.5")
    address = record(box, "web")["addresses"]["ipv4"]
    eventually(lambda: box.logs("web").count("life") >= 3)
    now = record(box, "web")
    assert now["restarts"] >= 2
    assert now["addresses"]["ipv4"] == address
    assert len([line for line in processes_of(box) if "conmon" in line]) <= 2, "no monitor outlives its container"
    box("stop", "web")
    lives = box.logs("web").count("life")
    time.sleep(1.5)
    assert box.logs("web").count("life") == lives, "a stopped container stays stopped"
    assert record(box, "web")["phase"] == "stopped"
    eventually(lambda: not processes_of(box))
    box("start", "web")
    assert record(box, "web")["restarts"] == 0, "a start by hand counts anew"


def test_the_pauses_grow_and_a_waiting_container_can_be_stopped_removed_and_recovered(box: Limosa) -> None:
    box("run", "-d", "--name", "bad", "--network", "none", "--restart", "always", "pg", "sh", "-c", "exit 3")
    eventually(lambda: record(box, "bad")["restart_delay_ns"] >= 1_600_000_000, 40)
    waiting = record(box, "bad")
    assert waiting["restarts"] >= 5
    eventually(lambda: "restarting (3, " in box("ps"))
    eventually(lambda: record(box, "bad")["keeper"]["pid"] and record(box, "bad")["phase"] == "restarting")
    keeper = record(box, "bad")["keeper"]["pid"]
    if alive(keeper):
        os.kill(keeper, signal.SIGKILL)
    restarts = record(box, "bad")["restarts"]
    assert "is started again" in box("recover") or record(box, "bad")["restarts"] > restarts
    eventually(lambda: record(box, "bad")["restarts"] > restarts, 30)
    assert "LIM-CONT-003" in box("rm", "bad", status=1)
    box("stop", "bad")
    assert record(box, "bad")["phase"] == "stopped"
    assert record(box, "bad")["exit"]["status"] == 3
    eventually(lambda: not processes_of(box))
    box("start", "bad")
    eventually(lambda: record(box, "bad")["phase"] == "restarting")
    box("rm", "--force", "bad")
    eventually(lambda: not processes_of(box))


def test_on_failure_counts_and_a_success_ends_it(box: Limosa) -> None:
    box("run", "-d", "--name", "two", "--network", "none", "--restart", "on-failure:2", "pg", "sh", "-c",
        "echo life; exit 7")  # fmt: skip
    eventually(lambda: record(box, "two")["phase"] == "stopped" and record(box, "two")["restarts"] == 2)
    assert box.logs("two").count("life") == 3
    assert record(box, "two")["exit"]["status"] == 7
    box("run", "-d", "--name", "good", "--network", "none", "--restart", "on-failure", "pg", "sh", "-c",
        "test -e /again && exit 0; touch /again; exit 1")  # fmt: skip
    eventually(lambda: record(box, "good")["phase"] == "stopped" and record(box, "good")["restarts"] == 1)
    assert record(box, "good")["exit"]["status"] == 0
    assert "no restart policy" in box("run", "--restart", "sometimes", "pg", "true", status=2)
    assert "LIM-CLI-003" in box("run", "--rm", "--restart", "always", "pg", "true", status=2)


def test_a_kill_by_the_user_is_no_failure_and_one_by_others_is(box: Limosa) -> None:
    box("run", "-d", "--name", "db", "--network", "none", "--restart", "unless-stopped", "pg", "sleep", "1000")
    os.kill(record(box, "db")["init_pid"], signal.SIGKILL)
    eventually(lambda: record(box, "db")["restarts"] == 1 and record(box, "db")["phase"] == "running")
    assert box("restart", "-t", "0", "db") == "db\n"
    assert record(box, "db")["restarts"] == 0
    assert record(box, "db")["phase"] == "running"
    box("kill", "db")
    assert record(box, "db")["phase"] == "stopped", "it has ended when the command has"
    assert box("wait", "db") == "137\n"
    time.sleep(0.5)
    assert record(box, "db")["phase"] == "stopped"
    assert record(box, "db")["stopped_by_user"]


def test_an_exec_in_the_moment_of_the_end_does_not_keep_it(box: Limosa) -> None:
    """It got into the groups once all in them had been killed: nobody could remove them, and the end was not noted."""
    again = 'while [ -e "$1/again" ]; do "$0" --root "$1" exec brief true; done'
    flag = Path(f"{box.root}/again")
    for _ in range(4):
        box("run", "-d", "--name", "brief", "pg", "sleep", "1000")
        flag.touch()
        argv = ["/bin/sh", "-c", again, LIMOSA, box.root]
        silent = subprocess.DEVNULL
        loops = [subprocess.Popen(argv, stdin=silent, stdout=silent, stderr=silent) for _ in range(4)]
        time.sleep(1)
        os.kill(record(box, "brief")["init_pid"], signal.SIGKILL)
        eventually(lambda: record(box, "brief")["phase"] == "stopped", 20)
        flag.unlink()
        for loop in loops:
            loop.wait(60)
        box("rm", "brief")


def test_rm_is_honoured_when_the_command_that_ran_it_is_dead(box: Limosa) -> None:
    box("run", "-d", "--rm", "--name", "brief", "pg", "sleep", "0.5")
    assert box("wait", "brief") == "0\n"
    eventually(lambda: not box.records())
    argv = [LIMOSA, "--root", box.root, "run", "--rm", "--name", "orphan", "pg", "sh", "-c", "echo up; sleep 1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"up\n"
        command.kill()
    assert record(box, "orphan")["phase"] == "running", "nothing of a container depends on the command"
    eventually(lambda: not box.records())
    eventually(lambda: not processes_of(box))


def test_hooks_are_executed_on_the_host_and_a_failed_prestart_gives_the_start_up(box: Limosa) -> None:
    notes = f"{box.root}/notes"
    program = f"{box.root}/hook"
    with open(program, "w") as file:
        file.write(f'#!/bin/sh\necho "$LIMOSA_EVENT $LIMOSA_NAME $LIMOSA_PID $LIMOSA_STATUS $1" >>{notes}\n')
    os.chmod(program, 0o755)
    events = ("prestart", "poststart", "prestop", "poststop")
    hooks = [part for event in events for part in ("--hook", f"{event}={program} 'one word'")]
    box("run", "-d", "--name", "web", *hooks, "pg", "sh", "-c", "sleep 1; exit 4")
    pid = record(box, "web")["init_pid"]
    eventually(lambda: text(notes).count("\n") == 3)
    ends = [f"prestart web {pid}  one word", f"poststart web {pid}  one word", "poststop web  4 one word"]
    assert text(notes).splitlines() == ends
    box("start", "web")
    pid = record(box, "web")["init_pid"]
    box("stop", "-t", "0", "web")
    assert text(notes).splitlines()[5] == f"prestop web {pid}  one word"
    refused = box(
        "run", "--rm", "--name", "no", "--hook", "prestart=sh -c 'echo why >&2; exit 9'", "pg", "true", status=125
    )
    assert "LIM-HOOK-001" in refused
    assert "why" in refused
    assert list(box.records()) == ["web"]
    box("run", "-d", "--name", "note", "--hook", "poststart=/nosuch", "pg", "sleep", "100")
    assert "/nosuch" in record(box, "note")["hook_failure"]


def test_the_machine_boots_and_what_is_to_run_runs_again(box: Limosa) -> None:
    run = ("run", "-d", "--name")
    box(*run, "boots", "-p", "18081:80", "--onboot", "-m", "200m", "pg", "sleep", "1000")
    box(*run, "always", "--restart", "always", "pg", "sleep", "1000")
    box(*run, "unless", "--restart", "unless-stopped", "pg", "sleep", "1000")
    box(*run, "stopped", "--restart", "unless-stopped", "pg", "sleep", "1000")
    box(*run, "plain", "pg", "sleep", "1000")
    box("stop", "-t", "0", "stopped")
    before = box.records()
    reboot(box)
    done = box("start", "--onboot")
    assert done.split() == ["boots", "always", "unless"]
    after = box.records()
    assert {name: one["phase"] for name, one in after.items()} == {
        "boots": "running", "always": "running", "unless": "running", "stopped": "stopped", "plain": "stopped",
    }  # fmt: skip
    assert after["plain"]["exit"]["status"] == 137
    for name in ("boots", "always", "unless"):
        assert after[name]["addresses"] == before[name]["addresses"]
        assert after[name]["init_pid"] != before[name]["init_pid"]
        box("exec", name, "true")
    assert box("start", "--onboot") == "", "what runs is left alone"


def test_at_boot_one_failure_keeps_no_other_from_starting(box: Limosa) -> None:
    box("create", "--name", "first", "--network", "none", "--onboot", "--hook", "prestart=false", "pg", "sleep", "1000")
    box("create", "--name", "second", "--network", "none", "--onboot", "pg", "sleep", "1000")
    said = box("start", "--onboot", status=1)
    assert "second\n" in said
    assert 'error[LIM-HOOK-001]: "first" is not started' in said
    assert {name: one["phase"] for name, one in box.records().items()} == {"first": "created", "second": "running"}


def reboot(limosa: Limosa) -> None:
    """Leave what a power cut leaves: files. No process, mount, interface or cgroup; records of another boot."""
    with open(f"{limosa.root}/run/lxcfs.pid", encoding="ascii") as file:
        os.kill(int(file.read()), signal.SIGKILL)
    for one in limosa.records().values():
        for pid in (one["monitor_pid"], one["init_pid"], one["keeper"]["pid"]):
            if pid:
                os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_of(limosa))
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in reversed([one for one in points if one.startswith(f"{limosa.root}/")]):
        subprocess.run(["umount", "--lazy", point], check=True)
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    for name in [one["ifname"] for one in links if one["ifname"] != "lo"]:
        subprocess.run(["ip", "link", "delete", name], check=False)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    from tests import own_cgroup

    for directory in sorted(own_cgroup.groups(), key=len, reverse=True):
        for here, _, _ in os.walk(directory, topdown=False):
            os.rmdir(here)
    subprocess.run(["rm", "-r", f"{limosa.root}/run"], check=True)
    for container_id in os.listdir(f"{limosa.root}/containers"):
        path = f"{limosa.root}/containers/{container_id}/record.json"
        words = text(path)
        boot_id = text("/proc/sys/kernel/random/boot_id").strip()
        with open(path, "w", encoding="utf-8") as file:
            file.write(words.replace(boot_id, "00000000-0000-0000-0000-000000000000"))


def test_a_reboot_from_inside_starts_a_system_container_again(box: Limosa) -> None:
    box("template", "build", "-q", "busybox")
    box("create", "--init", "--name", "tiny", "-m", "100m", "-p", "18082:80", "busybox")
    box("start", "tiny")
    before = record(box, "tiny")
    box("exec", "-d", "tiny", "reboot", "-f")
    eventually(lambda: runs_again(record(box, "tiny")))
    after = record(box, "tiny")
    assert after["exit"]["reboot"]
    assert after["init_pid"] != before["init_pid"]
    assert after["restarts"] == 0, "a reboot is no failure"
    for same in ("addresses", "config", "first_host_id"):
        assert after[same] == before[same]
    box("exec", "tiny", "true")
    box("exec", "-d", "tiny", "poweroff", "-f")
    eventually(lambda: record(box, "tiny")["phase"] == "stopped")
    assert record(box, "tiny")["exit"]["status"] == 0
