"""What would stop a checkpoint is looked at twice: what was only being handed on is no obstacle."""

from types import SimpleNamespace
from typing import Any, cast

from limosa.engine import obstacles
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord
from limosa.model.ids import ContainerId
from limosa.model.obstacle import Obstacle

PASSING = Obstacle("LIM-CRIU-022", "systemd", 1, "fd 35", "has a unix socket whose other end is outside", "")
RUNNING = ContainerRecord(ContainerId("0" * 24), ContainerConfig("web", "python"), "running", 1, 1 << 20)
LASTING = Obstacle("LIM-CRIU-010", "server", 7, "fd 9", "holds an io_uring", "")


def _host(looks: list[list[Obstacle]]) -> Host:
    def obstacles_now(*_: Any, **__: Any) -> list[Obstacle]:
        return looks.pop(0)

    return cast(
        Host,
        SimpleNamespace(
            cgroups=SimpleNamespace(processes=lambda _: [1]),
            runtime=SimpleNamespace(sessions=lambda *_: []),
            checkpointer=SimpleNamespace(obstacles=obstacles_now),
        ),
    )


def _found(*looks: list[Obstacle], thorough: bool = True) -> list[Obstacle]:
    return obstacles.found(_host(list(looks)), RUNNING, thorough=thorough)


def test_only_what_is_there_twice_is_an_obstacle() -> None:
    assert _found([PASSING, LASTING], [LASTING]) == [LASTING]
    assert _found([PASSING], [PASSING]) == [PASSING]
    assert _found([]) == []


def test_a_checkpoint_itself_looks_once() -> None:
    assert _found([LASTING], thorough=False) == [LASTING]
