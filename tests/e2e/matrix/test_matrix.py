"""Real programs under load: committed while they run, rewound, copied, brought back after they were removed.

`make compatibility` runs all of it and writes what came of it to docs/compatibility.md.
"""

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.matrix import compatibility
from tests.e2e.matrix.driver import Walk
from tests.e2e.matrix.programs import PROGRAMS, Program

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
