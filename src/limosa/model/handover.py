"""Who may run a container that is moved: the two sides of a migration as programs of steps (docs/adr/0026).

A program yields steps and is sent what became of each: `OK` or `FAILED` for a deed, the peer's answer or LOST for a
question. It touches nothing. The engine performs the steps; a test performs them in every order with every loss and
crash (tests/unit/test_handover.py). What is written is on disk before the next step; whoever finds a phase written by a
command that is dead goes on with `recovered_source` or `recovered_target`.

The source's phases:
    open       the other side may hold a name and an address for it; it runs here
    frozen     its processes may stand still or be ended by us; it may be brought back here at any time
    given      the point of no return: it may be brought back here only after the target has declined
    returned   it is the source's again for good; the target may still have to be told
    moved      it runs at the target; here it is to be removed
The target's phases:
    reserved   name and address are held for it; nothing more
    ready      everything of it is on disk here, and it runs once the source says so
    taken      the source has said so: it is to run here
    up         it has run here; the source may not know it yet
    declined   it could not run here and never will
"" is no entry: before the first phase and after the last.
"""

from collections.abc import Generator

from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

SourcePhase = Literal["", "open", "frozen", "given", "returned", "moved"]
TargetPhase = Literal["", "reserved", "ready", "taken", "up", "declined"]
SourceDeed = Literal["send", "freeze", "end", "wake", "remove"]
TargetDeed = Literal["reserve", "hold", "let_go", "run", "drop"]
Question = Literal["offer", "prepare", "go", "abort", "done"]
Answer = Literal["accepted", "refused", "ready", "up", "declined", "dropped", "closed", "taken", "gone"]
Outcome = Literal["moved", "returned", "waiting"]

OK: Final = "ok"
FAILED: Final = "failed"
LOST: Final = "lost"

SOURCE_FOLLOWS: Final[dict[SourcePhase, tuple[SourcePhase, ...]]] = {
    "": ("open",),
    "open": ("frozen", "returned"),
    "frozen": ("given", "returned"),
    "given": ("moved", "returned"),
    "returned": ("returned", ""),
    "moved": ("",),
}
TARGET_FOLLOWS: Final[dict[TargetPhase, tuple[TargetPhase, ...]]] = {
    "": ("reserved",),
    "reserved": ("ready", ""),
    "ready": ("taken", ""),
    "taken": ("up", "declined"),
    "up": ("",),
    "declined": ("",),
}


class Write(NamedTuple):
    """Have this phase on disk, or no entry any more for ""."""

    phase: str


class Do(NamedTuple):
    """A deed; it is answered by OK or FAILED. One that is repeated after a crash finds what is done already.

    Source: `send` commits the running container and sends what the target lacks, in rounds. `freeze` stops its
    processes, silences its network, has the last commit on disk; it failed if they run as before. `end` ends what is
    stopped, so that there is only the commit. `wake` lets stopped processes go on, or brings ended ones back from
    the last commit, whatever there is. `remove` takes away what is left of it.
    Target: `reserve`, `hold` (bring it back, but let no process of it run and no packet out), `let_go` (end what is
    held; nothing of it has run), `run` (let what is held go on, or bring it back from the commit; nothing happens if
    it runs), `drop` (end and remove everything of it but its commits).
    """

    what: str


class Ask(NamedTuple):
    """The source's question to the target; it is answered by an `Answer` or LOST: then it may have arrived or not."""

    question: Question


Step = Write | Do | Ask
SourceProgram = Generator[Step, str, Outcome]
TargetProgram = Generator[Step, str, str]


def source() -> SourceProgram:
    """Move a container that runs here."""
    yield Write("open")
    if (yield Ask("offer")) != "accepted":
        return (yield from _returned())
    if (yield Do("send")) != OK:
        return (yield from _returned())
    yield Write("frozen")
    if (yield Do("freeze")) != OK:
        return (yield from _returned())
    if (yield Ask("prepare")) != "ready":
        return (yield from _returned())
    if (yield Do("end")) != OK:
        return (yield from _returned())
    yield Write("given")
    return (yield from _given())


def recovered_source(phase: SourcePhase) -> SourceProgram:
    """Go on where a source that is dead has written `phase`."""
    if phase == "given":
        return (yield from _given())
    if phase == "moved":
        return (yield from _moved())
    return (yield from _returned())


def _given() -> SourceProgram:
    answer = yield Ask("go")
    if answer == "up":
        yield Write("moved")
        return (yield from _moved())
    if answer == "declined":
        return (yield from _returned())
    # LOST: it may run there. "gone", or anything else: nobody who keeps to this can have said that.
    return "waiting"


def _moved() -> SourceProgram:
    yield Do("remove")
    if (yield Ask("done")) != LOST:
        yield Write("")
    return "moved"


def _returned() -> SourceProgram:
    yield Write("returned")
    yield Do("wake")
    if (yield Ask("abort")) != LOST:
        yield Write("")
    return "returned"


def target(phase: TargetPhase, question: Question) -> TargetProgram:
    """Answer a question of the source, in `phase`; the program's value is the answer."""
    if question == "offer":
        return (yield from _offered(phase))
    if question == "prepare":
        if phase != "reserved" or (yield Do("hold")) != OK:
            return "refused"
        yield Write("ready")
        return "ready"
    if question == "go":
        return (yield from _told_to_go(phase))
    if question == "abort":
        if phase in ("taken", "up"):
            return phase
        if phase:
            yield Do("drop")
            yield Write("")
        return "dropped"
    if phase == "up":
        yield Write("")
        return "closed"
    return phase or "closed"


def _offered(phase: TargetPhase) -> TargetProgram:
    if phase:
        return "refused"
    yield Write("reserved")
    if (yield Do("reserve")) == OK:
        return "accepted"
    yield Do("drop")
    yield Write("")
    return "refused"


def _told_to_go(phase: TargetPhase) -> TargetProgram:
    if phase == "ready":
        yield Write("taken")
    elif phase != "taken":
        return phase or "gone"
    if (yield Do("run")) == OK:
        yield Write("up")
        return "up"
    yield Do("drop")
    yield Write("declined")
    return "declined"


def left_alone(phase: TargetPhase) -> TargetProgram:
    """What a target does that has lost its source; its value is the phase that it is in then."""
    if phase == "reserved":
        yield Do("drop")
        yield Write("")
        return ""
    if phase == "ready":
        yield Do("let_go")
    return phase


def recovered_target(phase: TargetPhase) -> TargetProgram:
    """Go on where a target that is dead has written `phase`; the program's value is the phase that it is in then."""
    if phase == "taken":
        return (yield from _told_to_go(phase))
    return (yield from left_alone(phase))
