"""Which criu and crun a machine gets."""

import pytest
from tests.fakes.toolchain import FakeProbes, FakeToolchain, broken

from limosa.engine import prepare
from limosa.model.errors import LimosaError
from limosa.ports.toolchain import BUILT, PINNED, SUITE, SYSTEM

OFFERS = {(name, source): f"/{source}/{name}" for name in ("criu", "crun") for source in (SYSTEM, PINNED, BUILT, SUITE)}


def chosen(toolchain: FakeToolchain) -> list[str]:
    return [tool.path for tool in toolchain.selections[-1]]


def test_the_machines_own_tools_are_taken_when_they_pass() -> None:
    toolchain = FakeToolchain(OFFERS)
    prepare.select_tools(toolchain, FakeProbes(), lambda line: None)
    assert chosen(toolchain) == ["/system/criu", "/system/crun"]
    assert all(source == SYSTEM for _, source in toolchain.obtained)


def test_a_tool_that_fails_its_trial_is_replaced_and_crun_comes_from_where_criu_came() -> None:
    toolchain = FakeToolchain(OFFERS)
    prepare.select_tools(toolchain, FakeProbes(outcomes={"/system/criu": broken()}), lambda line: None)
    assert chosen(toolchain) == ["/pinned/criu", "/pinned/crun"]
    assert ("crun", SYSTEM) not in toolchain.obtained


def test_the_source_is_built_only_when_no_package_works_and_the_newest_comes_last() -> None:
    offers = {key: path for key, path in OFFERS.items() if key != ("criu", PINNED)}
    toolchain = FakeToolchain(offers)
    outcomes = {"/system/criu": broken(), "/built/criu": broken()}
    prepare.select_tools(toolchain, FakeProbes(outcomes=outcomes), lambda line: None)
    assert chosen(toolchain) == ["/suite/criu", "/suite/crun"]
    assert [source for name, source in toolchain.obtained if name == "criu"] == [SYSTEM, PINNED, BUILT, SUITE]


def test_what_is_selected_and_still_passes_stays_until_a_refresh() -> None:
    toolchain = FakeToolchain(OFFERS)
    probes = FakeProbes(outcomes={"/system/criu": broken()})
    prepare.select_tools(toolchain, probes, lambda line: None)
    probes.outcomes.clear()
    prepare.select_tools(toolchain, probes, lambda line: None)
    assert len(toolchain.selections) == 1
    prepare.select_tools(toolchain, probes, lambda line: None, refresh=True)
    assert chosen(toolchain) == ["/system/criu", "/system/crun"]


def test_a_selected_tool_that_fails_under_a_new_kernel_is_replaced() -> None:
    toolchain = FakeToolchain(OFFERS)
    probes = FakeProbes()
    prepare.select_tools(toolchain, probes, lambda line: None)
    probes.outcomes["/system/criu"] = broken()
    prepare.select_tools(toolchain, probes, lambda line: None)
    assert chosen(toolchain) == ["/pinned/criu", "/system/crun"]


def test_when_nothing_works_the_error_says_why_for_each_source_and_the_selection_stays() -> None:
    toolchain = FakeToolchain({("criu", SYSTEM): "/system/criu", ("crun", SYSTEM): "/system/crun"})
    with pytest.raises(LimosaError) as caught:
        prepare.select_tools(toolchain, FakeProbes(outcomes={"/system/criu": broken("no vdso")}), lambda line: None)
    assert caught.value.code == "LIM-TOOL-002"
    assert "no vdso" in caught.value.cause
    assert "no criu from pinned" in caught.value.cause
    assert toolchain.selections == []


def test_only_missing_packages_are_installed() -> None:
    toolchain = FakeToolchain({}, missing=["conmon", "nftables"])
    said: list[str] = []
    prepare.install_packages(toolchain, "run", said.append)
    assert said == ["installing conmon nftables"]
    prepare.install_packages(toolchain, "run", said.append)
    assert len(said) == 1
