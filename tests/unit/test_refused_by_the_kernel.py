"""What the kernel refuses is an error as every other one, not a traceback."""

import errno
import os
import subprocess
import sys
import types

import pytest

from limosa.cli import dispatch
from limosa.model.errors import EXIT_FAILURE, EXIT_RUN_FAILED


def ended(*argv: str, out: str = os.devnull, status: int = EXIT_FAILURE) -> str:
    """Run the command with its output to the file `out` and return what it says on standard error."""
    with open(out, "wb") as stream:
        command = [sys.executable, "-m", "limosa", *argv]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, text=True, env=own, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.privileged
@pytest.mark.parametrize("root", ["/etc/passwd", "/etc/passwd/below", "/proc/nosuch"])
def test_a_root_that_cannot_be_made(root: str) -> None:
    said = ended("--root", root, "ps")
    assert f"error[LIM-HOST-003]: limosa's directory {root} cannot be made" in said
    assert "[Errno" not in said


@pytest.mark.privileged
@pytest.mark.parametrize("argv", [("ps",), ("images", "--json"), ("ps", "--help"), ("--version",)], ids=" ".join)
def test_output_that_cannot_be_written(tmp_path: object, argv: tuple[str, ...]) -> None:
    said = ended("--root", str(tmp_path), *argv, out="/dev/full")
    assert "error[LIM-CLI-005]" in said or '"code": "LIM-CLI-005"' in said
    assert "No space left on device" in said


def test_errors_that_cannot_be_written() -> None:
    with open("/dev/full", "wb") as stream:
        done = subprocess.run([sys.executable, "-m", "limosa", "nosuch"], stderr=stream, check=False)
    assert done.returncode == 2


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A verb whose `run` the test gives it."""
    module = types.ModuleType("limosa.cli.made_up")
    module.__dict__.update(SUMMARY="", EXAMPLES="", configure=lambda parser: None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(dispatch.VERBS, "exec", ("made_up", ""))
    return module


def test_what_nothing_reckons_with(verb: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/some/file")

    verb.__dict__["run"] = run
    assert dispatch.run(["exec"]) == EXIT_RUN_FAILED
    said = capsys.readouterr().err
    assert "error[LIM-HOST-004]: the system refused: /some/file: Read-only file system" in said
    assert f"{__name__}, line " in said, "the place, for whoever mends it"
    assert "limosa recover" in said


def test_output_that_is_lost_on_the_way(
    verb: types.ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(args: object) -> int:
        print("a line")
        sys.stdout.flush()
        return 0

    verb.__dict__["run"] = run
    stream = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
    monkeypatch.setattr(sys, "stdout", stream)
    assert dispatch.run(["exec"]) == EXIT_RUN_FAILED
    monkeypatch.undo()
    assert "error[LIM-CLI-005]" in capsys.readouterr().err
    with pytest.raises(OSError, match="No space left"):
        stream.close()
