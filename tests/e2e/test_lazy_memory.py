"""Containers go on before their memory is there, and never see anything but what it had."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.test_moving_memory import PROGRAM as MOVING
from tests.e2e.test_moving_memory import goes_on
from tests.limosa_command import LIMOSA
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
_PROGRAM: Final = os.path.join(os.path.dirname(__file__), "inside_lazy_memory.py")
_MIB: Final = 48


class Inside:
    """The program in one container."""

    numbers = 0

    def __init__(self, limosa: Limosa, name: str) -> None:
        self.limosa, self.name = limosa, name

    def does(self, what: str) -> None:
        """Have it do something; it checks itself."""
        Inside.numbers += 1
        number = Inside.numbers
        script = f"echo {number} {what} > /srv/new && mv /srv/new /srv/todo"
        script += f'; until read n answer < /srv/done && [ "$n" = {number} ]; do sleep 0.02; done; echo "$answer"'
        assert self.limosa("exec", self.name, "sh", "-c", script, timeout=60).strip() == "ok", what

    def resident_mib(self) -> int:
        pid = self.limosa.records()[self.name]["init_pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) >> 10

    def server(self) -> int:
        """Return the pid of its server of pages, 0 if it has none."""
        container_id = self.limosa.records()[self.name]["container_id"]
        path = Path(f"{self.limosa.root}/run/bundles/{container_id}/page-server")
        return int(path.read_text().split(",")[1]) if path.exists() else 0


@pytest.fixture
def original(limosa: Limosa, python_rootfs: str) -> Inside:
    return made(limosa, python_rootfs)


def made(limosa: Limosa, rootfs: str, *options: str) -> Inside:
    """Return the program in a container "one"."""
    limosa.has_image("python", rootfs)
    program = ("python3", "-u", "/srv/program.py", str(_MIB))
    limosa("create", "--name", "one", "--network", "none", *options, "python", *program)
    limosa("cp", _PROGRAM, "one:/srv/program.py")
    limosa("start", "one")
    inside = Inside(limosa, "one")
    inside.does("look 100")
    return inside


def test_nothing_is_there_before_it_is_touched(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    two = Inside(limosa, "two")
    before = two.resident_mib()
    assert before < _MIB // 3
    two.does("look 1")
    assert two.server()
    two.does("look 100")
    assert two.resident_mib() >= _MIB
    limosa("rm", "--force", "one")  # its server has a lease
    two.does("in_child 10")


def test_everything_comes_by_itself(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("rewind", "--discard", "--lazy=background", "one", commit)
    eventually(lambda: not original.server())
    assert original.resident_mib() >= _MIB
    original.does("look 100")
    original.does("in_child 100")


def test_the_background_waits_for_all_copies(limosa: Limosa, python_rootfs: str, tmp_path: Path) -> None:
    original = made(limosa, python_rootfs, "--volume", f"{tmp_path}:/gate:ro")
    commit = limosa("checkpoint", original.name).strip()
    hook = "sh -c 'until [ -e /gate/$LIMOSA_NAME ]; do sleep 0.05; done'"
    argv = [LIMOSA, "--root", limosa.root, "fork", "--lazy=background", "--name", "copy", "--number", "2"]
    with subprocess.Popen([*argv, "--hook", hook, commit], stdout=subprocess.PIPE, text=True) as forking:
        try:
            (tmp_path / "copy-1").touch()
            assert forking.stdout is not None
            assert forking.stdout.readline() == "copy-1\n"
            first = Inside(limosa, "copy-1")
            time.sleep(1)  # all of it would have come by now
            assert first.server()
            assert first.resident_mib() < _MIB // 3
        finally:
            (tmp_path / "copy-2").touch()
        assert forking.wait(60) == 0
    for one in (first, Inside(limosa, "copy-2")):
        eventually(lambda one=one: not one.server())  # type: ignore[misc]
        assert one.resident_mib() >= _MIB


@pytest.mark.parametrize(
    "share", [pytest.param(0, marks=pytest.mark.slow), 1, 50, pytest.param(100, marks=pytest.mark.slow)]
)
def test_what_is_partly_there_is_committed_whole(limosa: Limosa, original: Inside, share: int) -> None:
    limosa("checkpoint", "--stop", "one")
    limosa("restore", "--lazy=demand", "one")
    if share:
        original.does(f"look {share}")
    original.does("give_back 300 50")
    second = limosa("checkpoint", "one").strip()
    original.does("look 100")
    limosa("fork", "--lazy=demand", "--name", "two", second)
    Inside(limosa, "two").does("give_back 3000 3")
    limosa("fork", "--name", "three", "two")  # a commit of what is partly there, restored at once
    for name in ("three", "two"):
        Inside(limosa, name).does("look 100")
    original.does("give_back 900 9")
    limosa("rewind", "--lazy=demand", "one", second)  # what is thrown away is partly there, too
    Inside(limosa, "one").does("in_child 100")


def test_what_processes_do_to_memory_that_is_not_there(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("rm", "--force", "one")
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    two = Inside(limosa, "two")
    for what in (
        *("in_child 3", "give_back 1000 700", "in_child 5", "read_into 4000", "move 0", "give_back 5000 300"),
        *("in_child 2", "threads 8", "many_children 150", "move 0", "look 100"),
    ):
        two.does(what)


@pytest.mark.parametrize("lazy", ["demand", pytest.param("background", marks=pytest.mark.slow)])
def test_memory_that_moves_while_it_comes(limosa: Limosa, python_rootfs: str, lazy: str) -> None:
    limosa.has_image("python", python_rootfs)
    kinds = "anonymous,noreserve,growsdown,droppable,file,memfd"
    limosa("create", "--name", "one", "--network", "none", "python", "python3", "-u", "/srv/moving_memory.py", kinds)
    limosa("cp", MOVING, "one:/srv/moving_memory.py")
    limosa("start", "one")
    limosa("exec", "one", "sh", "-c", "while ! [ -e /srv/done ]; do sleep 0.05; done")
    goes_on(limosa)
    commits = [limosa("checkpoint", "one").strip()]
    for _ in range(3):
        limosa("rewind", "--discard", f"--lazy={lazy}", "one", commits[-1])
        goes_on(limosa)
        commits.append(limosa("checkpoint", "one").strip())
    limosa("rewind", "--discard", "one", commits[1])
    goes_on(limosa)


def test_who_loses_its_server_ends_and_sees_no_zeros(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    os.kill(Inside(limosa, "two").server(), signal.SIGKILL)
    eventually(lambda: limosa.records()["two"]["phase"] == "stopped")
    assert limosa.records()["two"]["exit"]["status"] == 137


def test_the_server_ends_with_its_container(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    server = Inside(limosa, "two").server()
    limosa("rm", "--force", "two")
    eventually(lambda: not Path(f"/proc/{server}").exists())


def test_pages_that_cannot_be_read_end_it(limosa: Limosa, original: Inside) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    for pack in Path(f"{limosa.root}/commits/packs").iterdir():
        with pack.open("r+b") as file:
            for at in range(10_000, pack.stat().st_size, 3_000):
                file.seek(at)
                file.write(b"damaged")
    with suppress(AssertionError):  # it may have touched such a page already, and be dead
        limosa("exec", "two", "sh", "-c", "echo 999999 look 100 > /srv/new && mv /srv/new /srv/todo")
    eventually(lambda: limosa.records()["two"]["phase"] == "stopped")
    assert limosa.records()["two"]["exit"]["status"] == 137
    assert "memory-lost" in limosa("events")


@pytest.mark.parametrize("verb", [pytest.param("recover", marks=pytest.mark.slow), "checkpoint"])
def test_who_lost_everything_that_served_it_is_killed(limosa: Limosa, original: Inside, verb: str) -> None:
    commit = limosa("checkpoint", "one").strip()
    limosa("fork", "--lazy=demand", "--name", "two", commit)
    server = Inside(limosa, "two").server()
    watch = int(Path(f"/proc/{server}/task/{server}/children").read_text())
    os.kill(watch, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{server}").exists())
    if verb == "recover":
        limosa("recover")
    else:
        assert "LIM-LAZY-001" in limosa("checkpoint", "two", status=1)
    eventually(lambda: limosa.records()["two"]["phase"] == "stopped")


@pytest.mark.slow
def test_redis_saves_in_the_background_before_its_memory_is_there(limosa: Limosa, redis_rootfs: str) -> None:
    limosa.has_image("redis", redis_rootfs)
    server = ("redis-server", "--save", "", "--dir", "/tmp", "--enable-debug-command", "local")
    limosa("run", "-d", "--name", "one", "--network", "none", "redis", *server)

    def asked(name: str, *command: str) -> str:
        return limosa("exec", name, "redis-cli", *command, timeout=300).strip()

    eventually(lambda: asked("one", "PING") == "PONG")
    asked("one", "DEBUG", "POPULATE", "400000", "key", "300")
    digest = asked("one", "DEBUG", "DIGEST")
    commit = limosa("checkpoint", "one").strip()
    for lazy in ("demand", "background"):
        limosa("fork", f"--lazy={lazy}", "--name", lazy, commit)
        asked(lazy, "BGSAVE")
        asked(lazy, "SET", "key:7", "another")
        eventually(lambda lazy=lazy: "rdb_bgsave_in_progress:0" in asked(lazy, "INFO", "persistence"))
        assert "rdb_last_bgsave_status:ok" in asked(lazy, "INFO", "persistence")
        asked(lazy, "SET", "key:7", "another")
        again = limosa("checkpoint", lazy).strip()
        changed = asked(lazy, "DEBUG", "DIGEST")
        asked(lazy, "DEBUG", "RELOAD", "NOSAVE")  # what the child saved before
        assert asked(lazy, "DEBUG", "DIGEST") == digest
        limosa("rewind", "--discard", f"--lazy={lazy}", lazy, again)
        assert asked(lazy, "DEBUG", "DIGEST") == changed != digest
