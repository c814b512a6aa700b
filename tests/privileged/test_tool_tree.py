"""The private tool tree: made whole or not at all, verified, and chosen in one step."""

import hashlib
import os

import pytest

from limosa import wiring_setup
from limosa.adapters.toolchain import DebianToolchain, archive, pins, tree
from limosa.linux import process
from limosa.ports.toolchain import PINNED, SYSTEM, Tool, ToolUnavailable

pytestmark = pytest.mark.privileged


def test_the_selected_tools_start_and_use_only_their_own_libraries() -> None:
    toolchain = wiring_setup.toolchain()
    for name in ("criu", "crun"):
        tool = toolchain.selected(name)
        assert tool is not None
        assert process.capture([tool.path, "--version"]).status == 0
        if tool.source == SYSTEM:
            continue
        top = os.path.join(wiring_setup.TOOLS_DIR, tool.path[len(wiring_setup.TOOLS_DIR) + 1 :].split("/")[0])
        mapped = process.run([tool_loader(top), "--list", tool.path]).decode()
        paths = [line.split("=>")[1].split()[0] for line in mapped.splitlines() if "=>" in line]
        assert paths
        assert all(path.startswith(top) for path in paths), mapped


def tool_loader(top: str) -> str:
    for here, _, files in os.walk(f"{top}/usr/lib"):
        for name in files:
            if name.startswith("ld-linux"):
                return f"{here}/{name}"
    raise AssertionError(f"no loader below {top}")


def test_selecting_is_one_step_and_forgets_what_was_before(tmp_path) -> None:
    toolchain = DebianToolchain(os.path.join(tmp_path, "tools"))
    assert toolchain.selected("criu") is None
    for content in ("one", "two"):
        path = os.path.join(tmp_path, content)
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        toolchain.select([Tool("criu", path, SYSTEM, "")])
        found = toolchain.selected("criu")
        assert found is not None
        assert (found.path, found.name) == (path, "criu")
    os.unlink(os.path.join(tmp_path, "two"))
    assert toolchain.selected("criu") is None


def test_a_failed_tree_leaves_nothing_and_an_interrupted_one_is_swept(tmp_path) -> None:
    def fill(directory: str, final: str) -> None:
        with open(f"{directory}/half", "w", encoding="ascii") as file:
            file.write("made")
        raise ToolUnavailable("gone")

    with pytest.raises(ToolUnavailable):
        tree.make(str(tmp_path), "name", fill)
    assert os.listdir(tmp_path) == []
    ended = process.spawn(["/bin/true"], env={})
    process.wait(ended)
    os.mkdir(os.path.join(tmp_path, f".making-name-{ended}"))
    os.mkdir(os.path.join(tmp_path, f".making-name-{os.getpid()}"))
    tree.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == [f".making-name-{os.getpid()}"]


def test_a_file_whose_content_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch) -> None:
    """A mirror on this disk serves one right and one wrong file."""
    pool = os.path.join(tmp_path, "mirror", "pool")
    os.makedirs(pool)
    for name in ("right", "wrong"):
        with open(os.path.join(pool, f"{name}.deb"), "w", encoding="ascii") as file:
            file.write(name)
    right = hashlib.sha256(b"right").hexdigest()
    monkeypatch.setattr(archive, "mirror", lambda: f"file://{tmp_path}/mirror")
    good = pins.Pin("deb", "amd64", "right", "1", right, "pool/right.deb")
    fetched = archive.fetch([good], os.path.join(tmp_path, "a"), lambda line: None)
    with open(fetched[0], "rb") as file:
        assert file.read() == b"right"
    bad = good._replace(path="pool/wrong.deb")
    with pytest.raises(ToolUnavailable, match="could not be fetched"):
        archive.fetch([good, bad], os.path.join(tmp_path, "b"), lambda line: None)
    with pytest.raises(ToolUnavailable):
        archive.fetch([good._replace(path="pool/absent.deb")], os.path.join(tmp_path, "c"), lambda line: None)


def test_the_packages_that_limosa_needs_are_installed() -> None:
    toolchain = wiring_setup.toolchain()
    assert toolchain.missing_packages("run") == []


def test_the_source_of_a_tree_is_remembered() -> None:
    tool = wiring_setup.toolchain().selected("criu")
    assert isinstance(tool, Tool)
    if tool.source == PINNED:
        assert pins.tree_name(pins.pins("deb", archive.architecture())) in tool.path
