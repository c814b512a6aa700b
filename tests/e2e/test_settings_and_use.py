"""set, pause, rename, port, ps, inspect, stats and events, with real programs."""

import json
import os
import re
import subprocess
import time
from typing import Any

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]
pytestmark = pytest.mark.privileged
QUIET = ("--network", "none")
EATER = "import time; keep = []\nwhile True: keep.append(bytearray(1 << 20)); time.sleep(0.002)"


def inspected(box: Limosa, name: str) -> dict[str, Any]:
    (found,) = json.loads(box("inspect", name))
    assert isinstance(found, dict)
    return found


def actions(box: Limosa, name: str) -> list[str]:
    lines = box("events", "--json", "--filter", f"name={name}").splitlines()
    return [json.loads(line)["action"] for line in lines]


def test_too_much_memory_is_an_oom_kill_that_inspect_and_ps_report(box: Limosa) -> None:
    box("run", "-d", "--name", "eater", "-m", "48m", "--swap", "0", *QUIET, "pg", "python3", "-c", EATER)
    assert box("wait", "eater", timeout=60).strip() == "137"
    state = inspected(box, "eater")["state"]
    assert (state["oom_killed"], state["exit_status"], state["running"]) == (True, 137, False)
    assert "exited (137, out of memory)" in box("ps", "-a")
    assert actions(box, "eater") == ["create", "start", "oom", "die"]


def test_the_events_of_a_container_that_goes_tell_its_oom_kill_and_no_file_is_left_where_it_was_started(
    box: Limosa, tmp_path: str
) -> None:
    eat = ("run", "--rm", "--name", "passing", "-m", "48m", "--swap", "0", *QUIET, "pg", "python3", "-c", EATER)
    done = subprocess.run([LIMOSA, "--root", box.root, *eat], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 137
    assert actions(box, "passing") == ["create", "start", "oom", "die", "remove"]
    assert not os.listdir(tmp_path)


def test_a_memory_limit_set_later_kills_too_and_one_below_use_is_refused(box: Limosa) -> None:
    hold = "import time; keep = bytearray(60 << 20); print('held', flush=True); time.sleep(1000)"
    box("run", "-d", "--name", "holder", *QUIET, "pg", "python3", "-c", hold)
    eventually(lambda: "held" in box.logs("holder"))
    refused = box("set", "--memory", "40m", "--pids", "77", "holder", status=1)
    assert "LIM-CGRP-002" in refused
    found = inspected(box, "holder")
    assert found["config"]["limits"]["memory_bytes"] is None
    assert (found["config"]["limits"]["pids"], found["usage"]["pids_limit"]) == (4096, 4096), "all or nothing"
    assert found["state"]["running"]
    box("set", "--memory", "160m", "--swap", "0", "holder")
    grow = "keep = bytearray(300 << 20)"
    box("exec", "holder", "python3", "-c", grow, status=137)
    assert inspected(box, "holder")["state"]["oom_killed"], "it still runs, and one of its processes was killed"
    box("set", "--memory", "unlimited", "--swap", "unlimited", "holder")
    box("exec", "holder", "python3", "-c", grow)


def busy_share(box: Limosa, name: str) -> float:
    (found,) = json.loads(box("stats", "--no-stream", "--json", name))
    return float(found["cpu_percent"])


def test_a_cpu_quota_set_on_a_busy_loop_holds_as_a_ratio(box: Limosa) -> None:
    box("run", "-d", "--name", "loop", *QUIET, "pg", "sh", "-c", "while :; do :; done")

    def used_in(seconds: float) -> float:
        before = inspected(box, "loop")["usage"]
        time.sleep(seconds)
        after = inspected(box, "loop")["usage"]
        return float((after["cpu_ns"] - before["cpu_ns"]) / (after["taken_ns"] - before["taken_ns"]))

    box("set", "--cpus", "0.2", "loop")
    time.sleep(0.3)
    assert 0.05 < used_in(2) < 0.26
    box("set", "--cpus", "0.05", "loop")
    time.sleep(0.3)
    assert used_in(2) < 0.09
    assert busy_share(box, "loop") < 15
    box("stop", "-t", "0", "loop")
    box("start", "loop")
    time.sleep(0.3)
    assert used_in(1) < 0.09, "it holds for the next start"
    assert inspected(box, "loop")["config"]["limits"]["cpus"] == 0.05


def test_pids_cpuset_and_weights_are_set_while_it_runs(box: Limosa) -> None:
    box("run", "-d", "--name", "web", *QUIET, "pg", "sleep", "1000")
    box("set", "--pids", "5", "--cpuset", "0", "--cpu-weight", "50", "--io-weight", "500", "web")
    fork = "import os, time\ntry:\n    for i in range(9): os.fork() or (time.sleep(1), os._exit(0))\n"
    fork += "except OSError as e: print(i, e)\nfor one in range(i): os.wait()"
    assert "[Errno 11]" in box("exec", "web", "python3", "-c", fork)
    eventually(lambda: inspected(box, "web")["usage"]["pids"] == 1)
    assert box("exec", "web", "grep", "Cpus_allowed_list", "/proc/self/status").split()[1] == "0"
    limits = inspected(box, "web")["config"]["limits"]
    assert (limits["pids"], limits["cpuset"], limits["cpu_weight"], limits["io_weight"]) == (5, "0", 50, 500)
    assert "LIM-CGRP-002" in box("set", "--pids", "9", "--cpuset", "900", "web", status=1)
    assert inspected(box, "web")["usage"]["pids_limit"] == 5
    assert "LIM-CLI-003" in box("set", "web", status=2)
    assert "LIM-NAME-003" in box("set", "--pids", "9", "nosuch", status=1)


def test_a_disk_grows_and_shrinks_under_a_running_program(box: Limosa) -> None:
    box("run", "-d", "--name", "db", "--disk", "300m", *QUIET, "pg", "sleep", "1000")
    write = "dd if=/dev/urandom of=/file bs=1M count=350 2>&1 && sync"
    assert "No space left" in box("exec", "db", "sh", "-c", f"{write} || exit 5", status=5)
    box("set", "--disk", "600m", "db")
    box("exec", "db", "sh", "-c", write)
    assert box("exec", "db", "df", "-m", "--output=size", "/").split()[1] == "600"
    assert "LIM-STOR-003" in box("set", "--disk", "300m", "--pids", "9", "db", status=1)
    found = inspected(box, "db")
    assert (found["config"]["limits"]["disk_bytes"], found["usage"]["pids_limit"]) == (600 << 20, 4096)
    assert found["usage"]["disk_limit_bytes"] == 600 << 20
    assert found["usage"]["disk_bytes"] > 350 << 20
    box("exec", "db", "rm", "/file")
    box("set", "--disk", "300m", "db")
    box("stop", "-t", "0", "db")
    box("start", "db")
    assert box("exec", "db", "df", "-m", "--output=size", "/").split()[1] == "300"


def test_a_container_without_a_disk_gets_one_while_it_is_stopped(box: Limosa) -> None:
    box("run", "-d", "--name", "db", *QUIET, "pg", "sh", "-c", "echo kept >/file; sleep 1000")
    eventually(lambda: box("exec", "db", "cat", "/file") == "kept\n")
    assert "LIM-STOR-003" in box("set", "--disk", "300m", "db", status=1)
    box("stop", "-t", "0", "db")
    box("set", "--disk", "300m", "db")
    box("start", "db")
    assert box("exec", "db", "df", "-m", "--output=size", "/").split()[1] == "300"
    assert box("exec", "db", "cat", "/file") == "kept\n"


def answers(box: Limosa, port: int, text: str) -> bool:
    del box
    argv = ["python3", "-c", f"import socket; print(socket.create_connection(('127.0.0.1', {port}), 2).recv(9))"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return text in done.stdout


SERVER = "import socket\ns = socket.create_server(('', 80))\nwhile True: s.accept()[0].sendall(b'hello')"


def test_published_ports_are_changed_while_it_runs_and_kept(box: Limosa) -> None:
    box("run", "-d", "--name", "web", "-p", "18080:80", "pg", "python3", "-c", SERVER)
    eventually(lambda: answers(box, 18080, "hello"))
    assert box("port", "web") == "80/tcp -> 0.0.0.0:18080\n"
    box("run", "-d", "--name", "other", "-p", "18082:80", "pg", "sleep", "1000")
    refused = box("set", "-p", "18082:80", "--pids", "99", "web", status=1)
    assert "LIM-NET-005" in refused
    assert "other" in refused
    assert answers(box, 18080, "hello"), "as before"
    box("set", "-p", "18081:80", "web")
    eventually(lambda: answers(box, 18081, "hello"))
    assert not answers(box, 18080, "hello")
    box("stop", "-t", "0", "web")
    box("start", "web")
    eventually(lambda: answers(box, 18081, "hello"))
    assert box("port", "web", "80/tcp") == "0.0.0.0:18081\n"
    assert "LIM-NET-012" in box("port", "web", "81", status=1)
    box("set", "-p", "80", "web")
    (chosen,) = json.loads(box("port", "--json", "web"))
    assert chosen["host_port"] > 1024
    assert answers(box, chosen["host_port"], "hello")
    assert inspected(box, "web")["config"]["ports"][0]["host_port"] == chosen["host_port"]
    box("set", "-p", "none", "web")
    assert box("port", "web") == ""


def test_a_port_that_was_left_to_limosa_is_shown(box: Limosa) -> None:
    box("run", "-d", "--name", "web", "-p", "80", "pg", "python3", "-c", SERVER)
    chosen = int(box("port", "web", "80").strip().rpartition(":")[2])
    assert f"{chosen}->80/tcp" in box("ps")
    eventually(lambda: answers(box, chosen, "hello"))


def test_a_new_name_is_what_neighbours_resolve(box: Limosa) -> None:
    box("run", "-d", "--name", "db", "pg", "sleep", "1000")
    box("run", "-d", "--name", "client", "pg", "sleep", "1000")
    address = box("exec", "client", "getent", "hosts", "db").split()[0]
    assert box("rename", "db", "database") == "database\n"
    box("exec", "client", "getent", "hosts", "db", status=2)
    assert box("exec", "client", "getent", "hosts", "database").split()[0] == address
    assert set(box.records()) == {"database", "client"}
    assert "LIM-NAME-002" in box("rename", "client", "database", status=1)
    assert "LIM-NAME-001" in box("rename", "client", "a/b", status=2)
    box("exec", "database", "true")
    box("run", "-d", "--name", "db", "pg", "sleep", "1000")
    assert box("exec", "client", "getent", "hosts", "db").split()[0] != address


def test_ps_filters(box: Limosa) -> None:
    box("create", "--name", "one", "-l", "team=a", "-l", "tier=web", *QUIET, "pg", "true")
    box("create", "--name", "two", "-l", "team=b", *QUIET, "-v", "vol:/v", "pg", "true")
    box("run", "-d", "--name", "three", "-l", "team=a", *QUIET, "pg", "sleep", "1000")

    def names(*options: str) -> list[str]:
        return [record["config"]["name"] for record in json.loads(box("ps", "--json", *options))]

    assert names() == ["three"]
    assert names("-a", "--filter", "label=team=a") == ["one", "three"]
    assert names("-a", "--filter", "label=team=a", "--filter", "label=tier") == ["one"]
    assert names("--filter", "status=created") == ["one", "two"]
    assert names("--filter", "status=created", "--filter", "status=running", "--filter", "name=t") == ["two", "three"]
    assert names("-a", "--filter", "volume=vol") == ["two"]
    assert names("-n", "2") == ["two", "three"]
    assert len(box("ps", "-q", "--no-trunc").strip()) == 24
    assert "LIM-CLI-002" in box("ps", "--filter", "colour=red", status=2)


def test_stats_shows_what_is_used(box: Limosa) -> None:
    program = "import time; keep = bytearray(64 << 20); open('/f', 'wb').write(keep); time.sleep(1000)"
    box("run", "-d", "--name", "web", "-m", "256m", "--disk", "300m", "pg", "python3", "-c", program)
    eventually(lambda: box("exec", "web", "stat", "-c", "%s", "/f").strip() == str(64 << 20))
    box("exec", "web", "sync")
    box("run", "--rm", "pg", "sh", "-c", "getent hosts web")
    (found,) = json.loads(box("stats", "--no-stream", "--json"))
    assert 64 << 20 < found["memory_bytes"] < found["memory_limit_bytes"] == 256 << 20
    assert found["pids"] == 1
    assert found["disk_bytes"] > 60 << 20
    assert found["disk_limit_bytes"] == 300 << 20
    assert found["network_sent_bytes"] > 0, "it announced its addresses"
    head, row = box("stats", "--no-stream", "web").splitlines()
    assert head.split()[:2] == ["ID", "NAME"]
    assert re.search(r"web +\d+\.\d +\d+(\.\d)? MiB / 256 MiB +1 +", row)
    assert box("stats", "--no-stream", "--json", "-a", timeout=20)


def test_inspect_tells_addresses_mounts_and_state(box: Limosa) -> None:
    box("run", "-d", "--name", "web", "-p", "18090:80", "-v", "vol:/v:ro", "--tmpfs", "/t", "pg", "sleep", "1000")
    found = inspected(box, "web")
    address = box("exec", "web", "hostname", "-I").split()[0]
    assert found["network"]["ipv4"].partition("/")[0] == address
    assert box("exec", "web", "ip", "-4", "route").split()[2] == found["network"]["ipv4_gateway"]
    volume, scratch = found["mounts"]
    assert (volume["kind"], volume["target"], volume["read_only"]) == ("volume", "/v", True)
    assert volume["host_path"].endswith("/volumes/vol")
    assert scratch["kind"] == "tmpfs"
    assert found["state"]["pid"] > 1
    box("stop", "-t", "0", "web")
    assert inspected(box, "web")["state"]["finished_ns"] > found["state"]["started_ns"]


def test_events_are_followed_as_they_happen(box: Limosa) -> None:
    argv = [LIMOSA, "--root", box.root, "events", "-f", "--json", "--since", "1s", "--filter", "name=followed"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        beat = "trap 'exit 3' TERM; while :; do sleep 0.1; done"
        box("run", "-d", "--name", "followed", *QUIET, "pg", "sh", "-c", beat)
        commit = box("checkpoint", "followed").strip()
        box("fork", "--name", "copy", commit)
        box("stop", "followed")
        box("start", "followed")
        box("rm", "-f", "followed")
        seen = [json.loads(follower.stdout.readline()) for _ in range(8)]
        follower.terminate()
    assert [event["action"] for event in seen[:4]] == ["create", "start", "checkpoint", "stop"]
    assert seen[2]["detail"] == commit
    assert seen[4]["action"] == "die"
    assert seen[4]["detail"] == "exit status 3"
    assert [event["action"] for event in seen[5:]] == ["start", "die", "remove"]
    assert "fork" in actions(box, "copy")
