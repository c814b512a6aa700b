"""Units of systemd: what is written, what systemd is told, and what is left when it refuses."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from limosa.adapters import systemd_timers
from limosa.adapters.systemd_timers import SystemdTimers
from limosa.linux import process
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

ONE = ContainerId("a" * 24)
TWO = ContainerId("b" * 24)
ARGUMENTS = ("checkpoint", "--if-running", "--keep", "hourly=24", ONE)
Timers = Callable[..., SystemdTimers]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What systemctl was called with; it refuses what begins with the word in `said[0]`, if that is one word alone."""
    calls: list[list[str]] = []

    def run(argv: list[str]) -> bytes:
        calls.append(argv)
        if calls[0] == ["refuse"] and argv[1] == "enable":
            raise process.CommandFailed(process.Finished(tuple(argv), 1, b"", b"Unit is masked."))
        return b""

    monkeypatch.setattr(systemd_timers.process, "run", run)
    return calls


@pytest.fixture
def timers(tmp_path: Path) -> SystemdTimers:
    (tmp_path / "units").mkdir()
    return SystemdTimers("limosa", "/srv/li mo", "/opt/bin/limosa", f"{tmp_path}/units", str(tmp_path))


def test_a_timer_is_written_enabled_and_removed(timers: SystemdTimers, said: list[list[str]], tmp_path: Path) -> None:
    timers.install(ONE, 600, ARGUMENTS)
    name = f"limosa-checkpoint-{ONE}.timer"
    assert said == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--quiet", name],
        ["systemctl", "restart", name],
    ]
    timer = (tmp_path / "units" / name).read_text()
    service = (tmp_path / "units" / f"limosa-checkpoint-{ONE}.service").read_text()
    assert "OnUnitInactiveSec=600s\n" in timer
    assert f'ExecStart=/opt/bin/limosa --root "/srv/li mo" checkpoint --if-running --keep hourly=24 {ONE}\n' in service
    assert stat.S_IMODE((tmp_path / "units" / name).stat().st_mode) == 0o644, "systemd complains of others"
    timers.install(TWO, 60, ARGUMENTS)
    (tmp_path / "units" / "other.timer").write_text("")
    assert timers.present() == [ONE, TWO]
    assert SystemdTimers("limosa-12345678", "/x", "/l", f"{tmp_path}/units", str(tmp_path)).present() == []
    said.clear()
    timers.remove(ONE)
    timers.remove(ONE)
    assert said == [["systemctl", "disable", "--quiet", "--now", name], ["systemctl", "daemon-reload"]]
    assert sorted(os.listdir(tmp_path / "units")) == sorted(
        [f"limosa-checkpoint-{TWO}.service", f"limosa-checkpoint-{TWO}.timer", "other.timer"]
    )


def test_a_refusal_leaves_nothing(timers: SystemdTimers, said: list[list[str]], tmp_path: Path) -> None:
    said.append(["refuse"])
    with pytest.raises(LimosaError) as refused:
        timers.install(ONE, 600, ARGUMENTS)
    assert refused.value.code == "LIM-TIMER-002"
    assert "masked" in refused.value.cause
    assert timers.present() == []


def test_a_machine_without_systemd_is_told_what_it_can_do(tmp_path: Path) -> None:
    timers = SystemdTimers("limosa", "/x", "/l", f"{tmp_path}/units", f"{tmp_path}/no")
    with pytest.raises(LimosaError) as refused:
        timers.install(ONE, 600, ARGUMENTS)
    assert refused.value.code == "LIM-TIMER-001"
    assert "cron" in refused.value.hint
    assert timers.present() == []
    timers.remove(ONE)


def test_words_that_mean_something_to_systemd() -> None:
    assert systemd_timers._quoted("a%b$c") == "a%%b$$c"
    assert systemd_timers._quoted('a "b"') == '"a \\"b\\""'
    assert systemd_timers._quoted("") == '""'


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_the_units(timers: SystemdTimers, said: list[list[str]], tmp_path: Path) -> None:
    timers._command = "/bin/true"
    timers.install(ONE, 600, ARGUMENTS)
    paths = [f"{tmp_path}/units/limosa-checkpoint-{ONE}.{kind}" for kind in ("timer", "service")]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
