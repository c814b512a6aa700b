"""The recipes of templates, and what the busybox one makes."""

import io
import os
import tarfile

import pytest

from limosa.adapters.templates import BuiltTemplates, systemd
from limosa.cli.progress import ProgressLine, human
from limosa.model.errors import LimosaError
from limosa.model.oci import KIND_LABEL


def templates() -> BuiltTemplates:
    return BuiltTemplates(lambda name: f"/usr/bin/{name}")


def test_every_template_is_a_system_container_with_a_way_to_stop() -> None:
    for template in templates().all():
        assert (KIND_LABEL, "system") in template.run.labels
        assert template.run.stop_signal
        assert templates().find(template.reference) == templates().find(template.name) == template


def test_an_unknown_template_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LimosaError) as refused:
        templates().find("plan9")
    assert refused.value.code == "LIM-IMG-009"
    assert "debian:13" in refused.value.hint


def test_busybox_has_an_init_that_leads_to_the_one_program(tmp_path: object) -> None:
    archive = f"{tmp_path}/rootfs.tar"
    made = templates()
    made.build(made.find("busybox"), archive, lambda line: None)
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names)), "nothing is there twice"
        assert tar.getmember("sbin/init").linkname == "/bin/busybox"
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("etc/init.d/rcS").mode == 0o755
        assert tar.getmember("tmp").mode == 0o1777


def test_a_failed_build_leaves_no_archive(tmp_path: object) -> None:
    archive = f"{tmp_path}/rootfs.tar"
    made = BuiltTemplates(lambda name: "/nowhere/busybox")
    with pytest.raises(LimosaError) as failed:
        made.build(made.find("busybox"), archive, lambda line: None)
    assert failed.value.code == "LIM-IMG-010"
    assert not os.path.exists(archive)


def test_masked_units_are_units() -> None:
    assert all(unit.rpartition(".")[2] in ("mount", "automount", "service", "socket") for unit in systemd.MASKED)
    assert len(set(systemd.MASKED)) == len(systemd.MASKED)


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine() as line:
        line.update("reading", 1, 10)
        line.update("reading", 2, 10)
        line.update("unpacking", 10, 10)
        line.log("I: done")
        line.update("importing", 1, 2_000_000)
        line.update("importing", 1_999_999, 2_000_000)  # too soon
        line.update("importing", 2_000_000, 2_000_000)
        line.update("importing", 2_000_000, 2_000_000)
    shown = capsys.readouterr().err.splitlines()
    assert shown[:3] == ["reading: 1 B of 10 B", "unpacking: 10 B of 10 B", "I: done"]
    assert len(shown[3:]) == len(set(shown[3:])), "no line says again what the one before it said"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_redrawn_on_a_terminal() -> None:
    screen = Terminal()
    with ProgressLine(screen) as line:
        line.update("pulling", 0, 100)
        line.update("pulling", 50, 100)  # too soon to be drawn
        line.update("pulling", 100, 100)
        line.log("\x1b[31mred\x07" + "x" * 200)
    drawn = screen.getvalue()
    assert drawn.count("\n") == 2
    assert "[........................]   0 %  0 B of 100 B" in drawn
    assert "[########################] 100 %  100 B of 100 B" in drawn
    assert "50 %" not in drawn
    assert "\x1b[31m" not in drawn, "what a program says cannot draw"
    assert max(len(part) for part in drawn.split("\r")) < 90


def test_a_terminal_that_nobody_told_its_size_has_80_columns() -> None:
    ours, its = os.openpty()  # 0 by 0
    with os.fdopen(its, "w") as screen, ProgressLine(screen) as line:
        line.update("importing", 50, 100)
        drawn = os.read(ours, 1000).decode()
    os.close(ours)
    assert "importing  [############............]  50 %  50 B of 100 B" in drawn


def test_what_has_no_size_is_named_alone() -> None:
    screen = Terminal()
    with ProgressLine(screen) as line:
        line.update("looking", 0, 0)
    assert screen.getvalue() == "\rlooking\x1b[K\n"


def test_sizes_have_at_most_four_digits() -> None:
    shown = [human(size) for size in (0, 999, 1500, 812_000, 1_400_000_000)]
    assert shown == ["0 B", "999 B", "1.5 kB", "812 kB", "1.4 GB"]
