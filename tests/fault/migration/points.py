"""Every step of a migration at which something can break, found by performing the programs of model/handover.py."""

from typing import NamedTuple

from limosa.model.handover import Write
from tests.fault.migration.faulty_limosa import point
from tests.unit.handover_world import Running, State, World

WHAT = ("source", "target", "both", "link")


class Fault(NamedTuple):
    side: str
    point: str
    when: str
    what: str

    def __str__(self) -> str:
        return f"{self.side} {self.when} {self.point}: {self.what}".replace(" ", "-").replace(":", "")


def _succeeds(state: State) -> bool:
    sent = (*(state.source.program.sent if state.source.program else ()), *(state.target.program or ("", "", ()))[2])
    return not {"failed", "refused", "declined", "lost"} & set(sent)


def every_step() -> dict[str, list[str]]:
    """Return the steps of both sides of a migration that succeeds, in their order, and the target's replies."""
    world = World()
    state = State(source=State().source._replace(program=Running("source", ())))
    steps: dict[str, list[str]] = {"source": [], "target": []}
    while state.source.program is not None:
        for side, program in (("source", state.source.program), ("target", state.target.program)):
            if program is None:
                continue
            kind, step = world.step(program)
            name = point(step) if kind == "step" else f"reply {step}" if side == "target" else ""
            if name and name not in steps[side]:
                steps[side].append(name)
        following = [one for one in (*world.source_steps(state), *world.target_steps(state)) if _succeeds(one)]
        state = following[0]
    assert isinstance(Write("x"), Write)
    return steps


def every_fault() -> list[Fault]:
    """Return what can break where: each side, or both, or the link, before and after each step."""
    found = []
    for side, steps in every_step().items():
        for where in steps:
            for when in ("before", "after"):
                found += [Fault(side, where, when, what) for what in WHAT]
    return found
