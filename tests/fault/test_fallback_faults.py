"""One fault at each step of a migration that stops its container and starts it there: one runs, with all its files.

The steps are those of a live one; what `freeze`, `hold`, `run` and `wake` do is another thing.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.several_hosts import Segment
from tests.e2e.test_migrate_fallback import run_ring
from tests.fault.migration import points
from tests.fault.migration.points import Fault
from tests.fault.migration.stage import staged
from tests.fault.test_migration_faults import broken_and_recovered, run_anyhow, where_it_runs

pytestmark = [pytest.mark.privileged]
EVERY = points.every_fault()
CHOSEN = {
    Fault("source", "do freeze", "after", "source"),
    Fault("source", "write given", "before", "both"),
    Fault("source", "write given", "after", "source"),
    Fault("source", "ask go", "before", "link"),
    Fault("target", "do hold", "after", "target"),
    Fault("target", "write taken", "after", "target"),
    Fault("target", "do run", "after", "both"),
}


@pytest.fixture(scope="module")
def stage(python_rootfs: str) -> Iterator[Segment]:
    with staged(python_rootfs, "faulty", run_ring) as found:
        yield found


@pytest.mark.parametrize("fault", [one for one in EVERY if one in CHOSEN], ids=str)
def test_after_a_fault_and_recovery_exactly_one_runs(stage: Segment, fault: Fault) -> None:
    suffer(stage, fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [one for one in EVERY if one not in CHOSEN and one.when == "after"], ids=str)
def test_after_any_fault_and_recovery_exactly_one_runs(stage: Segment, fault: Fault) -> None:
    suffer(stage, fault)


def test_what_was_chosen_are_steps_of_the_code() -> None:
    assert set(EVERY) >= CHOSEN


def suffer(stage: Segment, fault: Fault) -> None:
    """Break one, recover, and check that no line of its file is lost: it is written to before each migration."""
    (here,) = where_it_runs(stage)
    before = here("exec", "web", "cat", "/var/starts").split()
    assert run_anyhow(here, "exec", "web", "sh", "-c", "echo here >>/var/starts") == 0
    after = broken_and_recovered(stage, fault, "--fallback", "near-live")
    seen = after("exec", "web", "cat", "/var/starts").split()
    assert seen[: len(before) + 1] == [*before, "here"]
    assert len(seen) == len(before) + 1 or seen[-1] == "start"
