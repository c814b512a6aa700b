"""Two machines and a link in which the programs of a migration are performed in every order, with every loss and crash.

A state is a value; `following` gives every state that may come next. A program is kept as what it was sent so far and
run again from its beginning, so that a state can be gone on from many times.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple

from limosa.model import handover
from limosa.model.handover import FAILED, LOST, OK, Ask, Do, Write

Program = Callable[..., Generator[Any, str, str]]
PROGRAMS: Final[dict[str, Program]] = {
    "source": handover.source,
    "recovered_source": handover.recovered_source,
    "target": handover.target,
    "left_alone": handover.left_alone,
    "recovered_target": handover.recovered_target,
}


class Running(NamedTuple):
    """A program at work: its name, its arguments, what it was sent."""

    name: str
    arguments: tuple[str, ...]
    sent: tuple[str, ...] = ()


class Source(NamedTuple):
    """`place`: run, frozen, commit (its processes are ended, the last commit is here), off (power loss), none."""

    phase: str = ""
    place: str = "run"
    program: Running | None = None
    waits: bool = False  # for an answer


class Target(NamedTuple):
    """`place`: none, reserved, held, run, off (it ran, and the power was lost)."""

    phase: str = ""
    place: str = "none"
    serves: bool = False  # a process holds the migration's lock here
    connected: bool = False
    question: str = ""  # that has arrived and nobody has looked at
    program: Running | None = None


class State(NamedTuple):
    source: Source = Source()
    target: Target = Target()
    link: bool = True
    cuts: int = 0  # how often something may still break
    crashes: int = 0


class World:
    """The programs under test."""

    def __init__(self, programs: dict[str, Program] | None = None) -> None:
        self._programs = {**PROGRAMS, **(programs or {})}
        self._known: dict[Running, tuple[str, Any]] = {}

    def step(self, running: Running) -> tuple[str, Any]:
        """Return ("step", what it wants next) or ("end", its value)."""
        if running not in self._known:
            program = self._programs[running.name](*running.arguments)
            try:
                found = next(program)
                for answer in running.sent:
                    found = program.send(answer)
                self._known[running] = ("step", found)
            except StopIteration as ended:
                self._known[running] = ("end", ended.value)
        return self._known[running]

    def following(self, state: State) -> Iterator[State]:
        yield from self.source_steps(state)
        yield from self.target_steps(state)
        yield from self.breaks(state)
        yield from self.repairs(state)

    # The source

    def source_steps(self, state: State) -> Iterator[State]:
        source = state.source
        if source.program is None or source.waits:
            return
        kind, step = self.step(source.program)
        if kind == "end":
            yield _hung_up(state._replace(source=source._replace(program=None)))
        elif isinstance(step, Write):
            assert step.phase in handover.SOURCE_FOLLOWS[source.phase], (source.phase, step)  # type: ignore[index]
            yield state._replace(source=_told(source._replace(phase=step.phase), OK))
        elif isinstance(step, Do):
            for result, place in _source_deed(step.what, source.place):
                yield state._replace(source=_told(source._replace(place=place), result))
        else:
            yield from self._asked(state, step)

    def _asked(self, state: State, step: Ask) -> Iterator[State]:
        source, target = state.source, state.target
        lost = state._replace(source=_told(source, LOST))
        if not state.link:
            yield lost
        elif target.serves and not target.connected:
            if state.cuts:
                yield lost._replace(cuts=state.cuts - 1)  # or it waits until the other process has ended
        else:
            yield state._replace(
                source=source._replace(waits=True),
                target=target._replace(serves=True, connected=True, question=step.question),
            )

    # The target

    def target_steps(self, state: State) -> Iterator[State]:
        target = state.target
        if not target.serves:
            return
        if target.program is None:
            if target.question:
                program = Running("target", (target.phase, target.question))
                yield state._replace(target=target._replace(question="", program=program))
            elif not target.connected:
                yield state._replace(target=target._replace(program=Running("left_alone", (target.phase,))))
            return
        kind, step = self.step(target.program)
        if kind == "end":
            yield self._ended(state, target.program.name, step)
        elif isinstance(step, Write):
            assert step.phase in handover.TARGET_FOLLOWS[target.phase], (target.phase, step)  # type: ignore[index]
            yield state._replace(target=_heard(target._replace(phase=step.phase), OK))
        else:
            for result, place in _target_deed(step.what, target.place):
                yield state._replace(target=_heard(target._replace(place=place), result))

    def _ended(self, state: State, name: str, value: str) -> State:
        target = state.target._replace(program=None)
        if name != "target":
            return state._replace(target=target._replace(serves=False))
        if target.connected:
            return state._replace(target=target, source=_told(state.source._replace(waits=False), value))
        return state._replace(target=target)

    # What breaks, and what is done about it

    def breaks(self, state: State) -> Iterator[State]:
        source, target = state.source, state.target
        if state.link and state.cuts:
            for cut in _disconnected(state):
                yield cut._replace(link=False, cuts=state.cuts - 1)
        if not state.crashes:
            return
        fewer = state._replace(crashes=state.crashes - 1)
        if source.program is not None:
            yield from _source_dies(fewer, {"frozen": "run"})
        yield from _source_dies(fewer, {"run": "off", "frozen": "commit"})
        if target.serves:
            yield _target_dies(fewer, {"held": "reserved"})
        yield _target_dies(fewer, {"held": "reserved", "run": "off"})

    def repairs(self, state: State) -> Iterator[State]:
        if not state.link:
            yield state._replace(link=True)
        yield from self.recover_source(state)
        yield from self.recover_target(state)

    def recover_source(self, state: State) -> Iterator[State]:
        if state.source.program is None and state.source.phase:
            program = Running("recovered_source", (state.source.phase,))
            yield state._replace(source=state.source._replace(program=program))

    def recover_target(self, state: State) -> Iterator[State]:
        if not state.target.serves and state.target.phase:
            program = Running("recovered_target", (state.target.phase,))
            yield state._replace(target=state.target._replace(serves=True, program=program))


def _told(source: Source, answer: str) -> Source:
    assert source.program is not None
    return source._replace(program=source.program._replace(sent=(*source.program.sent, answer)))


def _heard(target: Target, answer: str) -> Target:
    assert target.program is not None
    return target._replace(program=target.program._replace(sent=(*target.program.sent, answer)))


def _hung_up(state: State) -> State:
    return state._replace(target=state.target._replace(connected=False))


def _disconnected(state: State) -> Iterator[State]:
    """The connection breaks: what is on its way arrives, or does not."""
    source, target = state.source, state.target
    if source.waits and target.connected:
        source = _told(source._replace(waits=False), LOST)
    for question in {target.question, ""}:
        yield state._replace(source=source, target=target._replace(connected=False, question=question))


def _source_dies(state: State, becomes: dict[str, str]) -> Iterator[State]:
    for cut in _disconnected(state):
        place = becomes.get(state.source.place, state.source.place)
        yield cut._replace(source=cut.source._replace(program=None, waits=False, place=place))


def _target_dies(state: State, becomes: dict[str, str]) -> State:
    source, target = state.source, state.target
    if source.waits and target.connected:
        source = _told(source._replace(waits=False), LOST)
    place = becomes.get(target.place, target.place)
    return state._replace(source=source, target=Target(target.phase, place))


def _source_deed(what: str, place: str) -> list[tuple[str, str]]:
    """Return what may become of a deed: (result, where the container is then)."""
    if what == "send":
        return [(OK, place), (FAILED, place)]
    if what == "freeze":
        # A container that is stopped for its move is ended here, and nothing of it stands still.
        return [(OK, "frozen" if place == "run" else place), (FAILED, place), (OK, "commit"), (FAILED, "commit")]
    if what == "end":
        return [(OK, "commit"), (FAILED, "frozen"), (FAILED, "commit")]
    if what == "wake":
        return [(OK, "run" if place in ("run", "frozen", "commit") else place)]
    assert what == "remove"
    return [(OK, "none")]


def _target_deed(what: str, place: str) -> list[tuple[str, str]]:
    if what == "reserve":
        return [(OK, "reserved"), (FAILED, "none"), (FAILED, "reserved")]
    if what == "hold":
        return [(OK, "held"), (FAILED, "reserved")]
    if what == "let_go":
        return [(OK, "reserved" if place == "held" else place)]
    if what == "run":
        if place == "run":
            return [(OK, "run")]
        return [(OK, "run"), (FAILED, "reserved")]
    assert what == "drop"
    return [(OK, "none")]
