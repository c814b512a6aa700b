"""When a container is started again, by rule."""

from typing import Any

import pytest

from limosa.model import restart
from limosa.model.container import ContainerConfig, ContainerRecord, RestartPolicy
from limosa.model.ids import ContainerId


def record(when: Any = "no", most: int | None = None, **changes: Any) -> ContainerRecord:
    config = ContainerConfig("web", "web", kind=changes.pop("kind", "app"), restart=RestartPolicy(when, most))
    config = config._replace(onboot=changes.pop("onboot", False), remove_when_stopped=changes.pop("rm", False))
    return ContainerRecord(ContainerId("1" * 24), config, "running", 0, 0, **{"started_ns": 1, **changes})


@pytest.mark.parametrize(
    ("one", "status", "again"),
    [
        (record("no"), 1, False),
        (record("always"), 0, True),
        (record("always"), 137, True),
        (record("always", stopped_by_user=True), 137, False),
        (record("always", rm=True), 1, False),
        (record("unless-stopped"), 0, True),
        (record("on-failure"), 0, False),
        (record("on-failure"), 3, True),
        (record("on-failure", 2, restarts=1), 3, True),
        (record("on-failure", 2, restarts=2), 3, False),
        (record("no", kind="system"), 129, True),
        (record("no", kind="system", stopped_by_user=True), 129, False),
        (record("no", kind="system"), 130, False),
        (record("on-failure", kind="system"), 130, False),
        (record("no"), 129, False),
    ],
)
def test_whether_it_is_started_again(one: ContainerRecord, status: int, again: bool) -> None:
    assert restart.wanted(one, status) is again


@pytest.mark.parametrize(
    ("one", "starts"),
    [
        (record("no"), False),
        (record("no", onboot=True, started_ns=0), True),
        (record("always", stopped_by_user=True), True),
        (record("always", started_ns=0), False),
        (record("always", onboot=True)._replace(moved_to="spare"), False),
        (record("unless-stopped"), True),
        (record("unless-stopped", stopped_by_user=True), False),
        (record("on-failure"), False),
    ],
)
def test_what_is_started_at_boot(one: ContainerRecord, starts: bool) -> None:
    assert restart.wanted_at_boot(one) is starts


def test_pauses_double_up_to_a_minute_and_begin_anew_after_a_steady_life() -> None:
    pauses = [0]
    for _ in range(12):
        pauses.append(restart.delay_ns(pauses[-1], 0))
    assert [one / 1e9 for one in pauses[1:5]] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 60e9
    assert restart.delay_ns(pauses[-1], 10_000_000_000) == 100_000_000
