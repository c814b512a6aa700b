"""The pinned packages and the package list, as data."""

import re

from limosa.adapters.toolchain import pins


def test_every_pin_is_complete() -> None:
    found = pins.pins("deb", "amd64") + pins.pins("source", "amd64")
    assert {"criu", "crun", "libc6", "libcriu2"} <= {pin.package for pin in found}
    for pin in found:
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256), pin
        assert pin.path.startswith("pool/main/")
        assert ".." not in pin.path
    assert len({pin.sha256 for pin in found}) == len(found)


def test_a_tree_is_named_after_everything_in_it() -> None:
    found = pins.pins("deb", "amd64")
    changed = (found[0]._replace(sha256="0" * 64), *found[1:])
    assert pins.tree_name(found) != pins.tree_name(changed)
    assert pins.tree_name(found) == pins.tree_name(tuple(found))


def test_nothing_is_pinned_for_another_architecture_but_the_source_is() -> None:
    assert pins.pins("deb", "riscv64") == ()
    assert [pin.package for pin in pins.pins("source", "riscv64")] == ["criu"]


def test_the_package_groups_do_not_overlap() -> None:
    run, dev, vm = (set(pins.packages(group)) for group in ("run", "dev", "vm"))
    assert "conmon" in run
    assert "qemu-system-x86" in vm
    assert not run & dev | run & vm | dev & vm
