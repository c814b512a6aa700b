"""What is said when criu fails: in the container's own terms, with a log that is there."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from limosa.adapters.criu import rpc
from limosa.adapters.criu.adapter import Criu
from limosa.model.errors import LimosaError
from limosa.ports.checkpointer import DumpPlan

DUMP_LOG = """\
(00.001) Error (criu/util.c:1): Can't setup RLIMIT_NOFILE for self
(00.003) Error (criu/sk-odd.c:7): Something new
"""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise rpc.RpcFailed("no")

    monkeypatch.setattr(rpc, "call", refuse)


def test_the_log_that_an_error_names_outlives_the_attempt(tmp_path: object, refusing: None) -> None:
    images = f"{tmp_path}/images"
    os.mkdir(images)
    with open(f"{images}/dump.log", "w", encoding="utf-8") as file:
        file.write(DUMP_LOG)
    criu = Criu("/nowhere", f"{tmp_path}/logs")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(LimosaError) as refused:
        criu._call(ours, rpc.DUMP, {"log_file": "dump.log"}, images, lambda *_: None)
    shutil.rmtree(images)
    assert refused.value.code == "LIM-CRIU-001"
    named = re.search(r"criu dump: Something new   \(log: (.*)\)", refused.value.cause)
    assert named
    with open(named[1], encoding="utf-8") as file:
        assert file.read() == DUMP_LOG


def test_an_error_names_no_log_that_could_not_be_kept(tmp_path: object, refusing: None) -> None:
    criu = Criu("/nowhere", "/proc/nowhere")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(LimosaError) as refused:
        criu._call(ours, rpc.RESTORE, {"log_file": "restore.log"}, str(tmp_path), lambda *_: None)
    assert refused.value.cause == "criu restore: no"


def test_a_container_that_ends_at_that_moment_is_no_fault_of_ours(tmp_path: object) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    plan = DumpPlan(init_pid=ended.pid, criu_images=str(tmp_path), rootfs="/nowhere", leave_running=True)
    with pytest.raises(LimosaError) as refused:
        Criu("/nowhere", f"{tmp_path}/logs").dump(plan, lambda _: None)
    assert (refused.value.code, refused.value.summary) == ("LIM-CRIU-001", "its first process has ended")
