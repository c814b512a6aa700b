"""A verb without what it is to work on says so, and does nothing."""

import pytest

from limosa.cli import dispatch
from limosa.model.errors import EXIT_USAGE

# Each takes several of something, and none by an option that says which.
VERBS = ("forget", "evacuate", "start", "stop", "rm", "kill", "wait", "pause", "unpause", "pool rm", "image rm")


@pytest.mark.privileged
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_alone_is_wrong_usage(tmp_path: object, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.run(["--root", str(tmp_path), *verb.split()]) == EXIT_USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "error[LIM-CLI-00" in said.err
    assert "hint:" in said.err


@pytest.mark.privileged
def test_what_is_missing_is_named(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    dispatch.run(["--root", str(tmp_path), "forget"])
    assert "error[LIM-CLI-002]: COMMIT is missing" in capsys.readouterr().err
