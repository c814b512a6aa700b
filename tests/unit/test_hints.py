"""What an error tells a person to do can be done, and what it says is said in words, not in Python's."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from limosa.adapters.container_files.adapter import JailedFiles
from limosa.adapters.crun_runtime import refusals, seccomp
from limosa.cli import dispatch, values
from limosa.engine import transfers
from limosa.engine.host import Host
from limosa.model import network
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.ports.container_files import CopyOptions, Inside


def refused(call: Any) -> LimosaError:
    with pytest.raises(LimosaError) as raised:
        call()
    assert raised.value.hint, raised.value
    assert "[Errno" not in str(raised.value)
    return raised.value


def test_no_cause_is_in_pythons_words() -> None:
    for place, _, names in os.walk("src/limosa"):
        for name in names:
            if name.endswith(".py"):
                text = Path(place, name).read_text(encoding="utf-8")
                assert not re.search(r"cause=str\(", text), f"{place}/{name}: words_of"


class _Store:
    """A store that can neither write nor read the file."""

    def export(self, wanted: object, path: str, **options: object) -> int:
        with open(f"{path}.1.new", "xb") as file:
            return len(file.name)

    def refs(self) -> dict[str, bytes]:
        return {}

    def import_file(self, path: str, check: object) -> list[bytes]:
        with open(path, "rb") as file:
            return [file.read()]


def test_files_of_commits() -> None:
    host = Host({"store": _Store}, lambda: 1, bytes, lambda: "boot")
    unwritable = refused(lambda: transfers.export(host, [], "/nosuch/x"))
    assert (unwritable.code, unwritable.cause) == ("LIM-COMM-022", "No such file or directory")
    assert ".new" not in str(unwritable), "a name that nobody gave"
    assert refused(lambda: transfers.import_file(host, "/nosuch/x")).code == "LIM-COMM-022"


def test_a_seccomp_profile_that_is_not_there() -> None:
    assert "/nosuch/x: No such file" in refused(lambda: seccomp.profile("/nosuch/x", ())).cause


@pytest.mark.parametrize("text", ["foo", "10.0.0.1/8", "fd00::/64", "10.0.0.0/31"])
def test_subnets(text: str) -> None:
    assert refused(lambda: network.checked_subnet(text, 4)).code == "LIM-NET-008"


def test_addresses() -> None:
    assert refused(lambda: network.address_in("10.0.0.0/8", "foo")).code == "LIM-NET-008"


def test_a_setting_of_the_kernel_that_no_container_has() -> None:
    assert "--sysctl" in refusals.not_created("open `/proc/sys/kernel/panic`: Permission denied").hint
    assert "--sysctl" not in refusals.not_created("something else").hint


@pytest.mark.privileged
def test_the_end_of_a_copy_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "source").mkdir()
    inside, options = Inside(str(tmp_path / "rootfs"), 0), CopyOptions()
    files, source, lost = JailedFiles(), str(tmp_path / "source"), str(tmp_path / "lost")
    gone = refused(lambda: files.copy_in(source, inside, "/lost/below/", options))
    assert (gone.code, "no such file" in gone.summary) == ("LIM-FILE-002", False)
    assert refused(lambda: files.copy_in(lost, inside, "/", options)).code == "LIM-FILE-001"
    assert refused(lambda: files.copy_out(inside, "/lost", str(tmp_path), options)).code == "LIM-FILE-001"
    (tmp_path / "rootfs" / "there").mkdir()
    assert refused(lambda: files.copy_out(inside, "/there", f"{lost}/below/", options)).code == "LIM-FILE-002"


@pytest.mark.parametrize("argv", [["--root"], ["--root="], ["--root", "", "ps"]])
def test_a_root_that_is_not_named(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.run(argv) == EXIT_USAGE
    assert "--root takes a directory" in capsys.readouterr().err


def test_the_policies_of_a_volume_are_named() -> None:
    with pytest.raises(Exception, match=r"commit=include\|exclude\|reference"):
        values.mount("data:/data:commit=foo")
    with pytest.raises(Exception, match=r"SRC:DST\[:ro,commit=…\]"):
        values.mount("data:/data:foo")
