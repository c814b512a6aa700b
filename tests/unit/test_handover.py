"""Never two, never zero: every order of every step of both sides of a migration, with every loss and crash in between.

The programs are those that the engine performs (model/handover.py); the world around them is in handover_world.py.
"""

from collections.abc import Callable, Generator
from typing import Any

import pytest
from tests.unit.handover_world import PROGRAMS, Program, Running, State, World

from limosa.model import handover
from limosa.model.handover import OK, Ask, Do, Write

ALIVE = ("run", "frozen")  # a frozen one goes on when the command that holds it dies


class Broken(Exception):
    """The programs let two live, or none."""


def check_now(state: State) -> None:
    """What holds at every moment."""
    source, target = state.source, state.target
    if target.place in ("run", "off") and source.place not in ("commit", "none"):
        raise Broken(f"two: {state}")
    if target.place == "run" and target.phase in ("reserved", "ready", "declined"):
        raise Broken(f"it runs, and a recovery would not know it: {state}")
    if target.place == "held" and not target.serves:
        raise Broken(f"nobody holds what stands still: {state}")
    here = source.phase != "given" and source.place != "none"
    there = target.phase in ("ready", "taken", "up") and target.place != "none"
    declined = source.phase == "given" and source.place == "commit" and target.phase in ("taken", "declined")
    moved = source.phase in ("moved", "") and target.place in ("run", "off")
    if not (here or there or declined or moved):
        raise Broken(f"nobody can bring it back: {state}")


def check_settled(state: State, *, reachable: bool) -> None:
    """What holds when both sides have been recovered and nothing is at work."""
    source, target = state.source, state.target
    lives = [place for place in (source.place, target.place) if place in ("run", "off")]
    if len(lives) > 1:
        raise Broken(f"two: {state}")
    waits = source.phase == "given" and target.phase in ("ready", "taken", "declined")
    if not lives and (reachable or not waits):
        raise Broken(f"none, and none waits: {state}")
    if reachable and (source.phase or target.phase):
        raise Broken(f"something is left: {state}")
    if reachable and sorted((source.place, target.place))[0] not in ("none",) and target.place != "none":
        raise Broken(f"a part of it is left: {state}")


def explore(world: World, begin: State) -> set[State]:
    """Return every state that can be reached, after `check_now` of each."""
    seen = {begin}
    waiting = [begin]
    while waiting:
        state = waiting.pop()
        check_now(state)
        for one in world.following(state):
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return seen


def settled(world: World, state: State, first: str) -> set[State]:
    """Return how things may stand after whatever is at work has died or ended and both sides were recovered."""
    found = set()
    for quiet in _until(world, state._replace(cuts=0, crashes=0), _at_rest):
        order = ("source", "target") if first == "source" else ("target", "source")
        stand = {quiet}
        for side in (*order, *order):
            recovered = set()
            for one in stand:
                begun = list(getattr(world, f"recover_{side}")(one)) or [one]
                for two in begun:
                    recovered |= _until(world, two, _at_rest)
            stand = recovered
        found |= stand
    return found


def _at_rest(state: State) -> bool:
    return state.source.program is None and not state.target.serves


def _until(world: World, state: State, done: Callable[[State], bool]) -> set[State]:
    seen, found, waiting = {state}, set(), [state]
    while waiting:
        here = waiting.pop()
        if done(here):
            found.add(here)
            continue
        for one in (*world.source_steps(here), *world.target_steps(here)):
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    assert found, f"it never comes to rest: {state}"
    return found


def every_state(programs: dict[str, Program] | None = None, cuts: int = 2, crashes: int = 2) -> set[State]:
    """Explore, and let every state that was found be recovered in both orders, with the link and without."""
    world = World(programs)
    begin = State(cuts=cuts, crashes=crashes)
    begin = begin._replace(source=begin.source._replace(program=Running("source", ())))
    found = explore(world, begin)
    for state in {one._replace(cuts=0, crashes=0) for one in found}:
        for first in ("source", "target"):
            for link in (True, False):
                stand = state._replace(link=link)
                if not link and stand.target.connected:
                    continue  # its connection would be broken: another state that was found
                for one in settled(world, stand, first):
                    check_settled(one, reachable=link)
    return found


def test_never_two_never_zero_in_every_order_of_steps_losses_and_crashes() -> None:
    found = every_state()
    phases = {(state.source.phase, state.target.phase) for state in found}
    # Not a small corner of what can happen: every phase of both sides was met.
    assert {source for source, _ in phases} == set(handover.SOURCE_FOLLOWS)
    assert {target for _, target in phases} == set(handover.TARGET_FOLLOWS)
    assert ("given", "ready") in phases and ("given", "up") in phases and ("returned", "ready") in phases
    assert len(found) > 5000


def without(name: str, step: object) -> dict[str, Program]:
    """Return a program that leaves one of its steps out and goes on as if it had been done."""

    def mutant(*arguments: Any) -> Generator[Any, str, str]:
        program = PROGRAMS[name](*arguments)
        answer: str | None = None
        try:
            while True:
                wanted = next(program) if answer is None else program.send(answer)
                answer = OK if wanted == step else (yield wanted)
        except StopIteration as ended:
            return str(ended.value)

    return {name: mutant}


def swapped(name: str, one: object, other: object) -> dict[str, Program]:
    """Return a program that does two steps, of which `other` follows `one`, in the other order."""

    def mutant(*arguments: Any) -> Generator[Any, str, str]:
        program = PROGRAMS[name](*arguments)
        answer: str | None = None
        try:
            while True:
                wanted = next(program) if answer is None else program.send(answer)
                if wanted == one:
                    following = program.send(OK)
                    assert following == other
                    answer = yield other
                    yield one
                else:
                    answer = yield wanted
        except StopIteration as ended:
            return str(ended.value)

    return {name: mutant}


@pytest.mark.parametrize(
    "mutant",
    [
        without("source", Do("end")),
        without("source", Write("given")),
        swapped("source", Do("end"), Write("given")),
        swapped("source", Write("given"), Ask("go")),
        without("target", Write("ready")),
        without("target", Write("taken")),
        swapped("target", Write("taken"), Do("run")),
        without("target", Write("up")),
        without("target", Do("drop")),
        without("left_alone", Do("let_go")),
        without("recovered_source", Write("returned")),
        without("recovered_source", Do("wake")),
    ],
    ids=lambda mutant: next(iter(mutant)),
)
def test_the_explorer_finds_what_a_wrong_order_would_do(mutant: dict[str, Program]) -> None:
    with pytest.raises((Broken, AssertionError)):
        every_state(mutant, cuts=1, crashes=1)
