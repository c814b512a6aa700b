"""pause and unpause: a paused container stands still, goes on, and can be stopped, killed and removed."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]
pytestmark = pytest.mark.privileged
QUIET = ("--network", "none")


def inspected(box: Limosa, name: str) -> dict[str, Any]:
    (found,) = json.loads(box("inspect", name))
    assert isinstance(found, dict)
    return found


def actions(box: Limosa, name: str) -> list[str]:
    lines = box("events", "--json", "--filter", f"name={name}").splitlines()
    return [json.loads(line)["action"] for line in lines]


BEAT = "while :; do echo >>/beat; sleep 0.02; done"  # which is never empty, as a file that is written anew may be


def test_a_paused_container_stands_still_and_goes_on(box: Limosa) -> None:
    box("run", "-d", "--name", "web", "-v", "beat:/b", *QUIET, "pg", "sh", "-c", BEAT.replace("/beat", "/b/beat"))
    watch = ("run", "--rm", "-v", "beat:/b:ro", *QUIET, "pg", "sh", "-c", "wc -l </b/beat; sleep 0.3; wc -l </b/beat")

    def stands_still() -> bool:
        first, second = box(*watch).split()
        return first == second

    eventually(lambda: not stands_still())
    box("pause", "web")
    assert stands_still()
    assert "paused" in box("ps")
    assert inspected(box, "web")["state"]["paused"]
    for verb, status in ((("exec", "web", "true"), 125), (("checkpoint", "web"), 1)):
        refused = box(*verb, status=status)
        assert "LIM-CONT-002" in refused
        assert "limosa unpause web" in refused
    assert "LIM-CONT-003" in box("rm", "web", status=1)
    box("set", "--pids", "33", "web")
    box("pause", "web")
    box("unpause", "web")
    eventually(lambda: not stands_still())
    assert "LIM-CONT-021" in box("unpause", "web", status=1)
    assert box("exec", "web", "echo", "works") == "works\n"
    assert actions(box, "web") == ["create", "start", "pause", "set", "unpause"]


def test_a_paused_container_is_stopped_killed_and_removed(box: Limosa) -> None:
    trap = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"
    for name in ("stopped", "killed", "removed"):
        box("run", "-d", "--name", name, *QUIET, "pg", "sh", "-c", trap)
        eventually(lambda name=name: "ready" in box.logs(name))  # type: ignore[misc]
        box("pause", name)
    box("stop", "stopped", timeout=15)
    assert box("wait", "stopped").strip() == "7", "it could end by itself"
    box("kill", "killed", timeout=15)
    assert box("wait", "killed", timeout=15).strip() == "137"
    box("rm", "-f", "removed", timeout=15)
    assert set(box.records()) == {"stopped", "killed"}


def test_a_signal_reaches_a_paused_container_when_it_goes_on(box: Limosa) -> None:
    trap = "trap 'echo heard' HUP; echo ready; while :; do sleep 0.02; done"
    box("run", "-d", "--name", "web", *QUIET, "pg", "sh", "-c", trap)
    eventually(lambda: "ready" in box.logs("web"))
    box("pause", "web")
    box("kill", "-s", "HUP", "web")
    assert "heard" not in box.logs("web")
    box("unpause", "web")
    eventually(lambda: "heard" in box.logs("web"))


def test_a_pause_that_was_killed_half_way_is_put_in_order(box: Limosa) -> None:
    box("run", "-d", "--name", "web", *QUIET, "pg", "sleep", "1000")
    path = f"{box.root}/containers/{inspected(box, 'web')['container_id']}/record.json"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:  # what a SIGKILL between record and freeze leaves
        file.write(text.replace('"running"', '"paused"'))
    assert inspected(box, "web")["state"]["paused"]
    box("recover")
    assert inspected(box, "web")["state"]["status"] == "running"
    box("exec", "web", "true")


def test_a_rename_that_was_killed_half_way_gives_the_other_name_back(box: Limosa) -> None:
    box("create", "--name", "web", *QUIET, "pg", "true")
    container_id = inspected(box, "web")["container_id"]
    with open(f"{box.root}/names/other", "w", encoding="ascii") as file:
        file.write(container_id)
    assert "LIM-NAME-003" in box("inspect", "other", status=1)
    box("recover")
    box("create", "--name", "other", *QUIET, "pg", "true")
    assert set(box.records()) == {"web", "other"}
