"""Real programs under load: committed while they run, rewound, copied, brought back after they were removed.

`make compatibility` runs all of it and writes what came of it to docs/compatibility.md.
"""

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.matrix import compatibility
from tests.e2e.matrix.driver import Walk
from tests.e2e.matrix.programs import PROGRAMS, SYSTEM, Program
from tests.e2e.shared_host import kept_host

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "program",
    [pytest.param(one, marks=[pytest.mark.slow] if one.slow else [], id=one.what) for one in PROGRAMS],
)
def test_a_program(
    request: pytest.FixtureRequest, program: Program, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    host: Limosa = request.getfixturevalue("programs" if program.slow else "few")
    if program.unchecked:
        monkeypatch.delenv("LIMOSA_CHECK_WRITTEN")
    with compatibility.recording(program.what, write=pytestconfig.getoption("--compatibility")) as record:
        record(Walk(host, program, "programs").gone())


@pytest.mark.slow
def test_a_system_container(debian_12_rootfs: str) -> None:
    """On this machine's cgroups; the line of the table is written by the virtual machine, where they are all v2."""
    with kept_host({"programs": debian_12_rootfs}) as host:
        Walk(host, SYSTEM, "programs").gone()
