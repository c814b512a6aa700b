"""What this machine can do, found out by trying it."""

from limosa.model.hints import Final, Protocol
from limosa.model.value import NamedTuple

WORKS: Final = "works"
DEGRADED: Final = "degraded"  # it works in part: limosa runs, and does something slower or not at all
MISSING: Final = "missing"


class Subject(NamedTuple):
    """One thing that limosa needs or can use. `mend` is the command that brings it, or "" if there is none."""

    name: str
    area: str  # "kernel", "storage", "network", "tool"
    needed_for: str
    required: bool
    mend: str


class Outcome(NamedTuple):
    """What a trial showed. `detail` is what worked or why not; `version` is a tool's own word, or "".

    `mend` is what brings it where the subject's own command would not, such as a program that is not installed.
    """

    status: str
    detail: str
    version: str = ""
    mend: str = ""


class Finding(NamedTuple):
    """A subject, what the trial of it showed, and when (seconds since the epoch)."""

    subject: Subject
    outcome: Outcome
    tried_at_s: float


class Probes(Protocol):
    """The trials. A trial leaves nothing behind, whatever its outcome."""

    def subjects(self) -> tuple[Subject, ...]:
        """Return everything that can be tried, in the order in which a reader wants it."""

    def fingerprint(self, subject: Subject) -> str:
        """Return what an outcome depends on: kernel, privileges, and the digest of the tool. Cheap."""

    def attempt(self, subject: Subject) -> Outcome:
        """Try it. A trial that fails, hangs (30 s) or cannot be made is an outcome, not an exception."""

    def attempt_tool(self, name: str, path: str) -> Outcome:
        """Try one executable of "criu" or "crun" that is not selected yet: setup's way to choose."""


class FindingCache(Protocol):
    """Earlier outcomes, by subject and fingerprint. Losing them costs only time."""

    def recall(self, name: str, fingerprint: str) -> tuple[Outcome, float] | None:
        """Return the outcome and when it was found, or None."""

    def remember(self, name: str, fingerprint: str, outcome: Outcome, tried_at_s: float) -> None:
        """Keep an outcome; an earlier one of the same subject is forgotten."""

    def save(self) -> None:
        """Write what was remembered, in one step. Nothing happens where the place cannot be written."""
