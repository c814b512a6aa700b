"""What would stop a checkpoint of a running container: which process, which descriptor, why, and what helps."""

from collections.abc import Sequence

from limosa.model.errors import LimosaError
from limosa.model.value import NamedTuple


class Obstacle(NamedTuple):
    """One thing that cannot be checkpointed, or (without `stops`) that a restore will want to find as it is."""

    code: str  # LIM-CRIU-…, the one that `checkpoint` fails with
    command: str  # of the process, as the kernel calls it; "" where it is the container's affair
    pid: int  # in the container; 0 with `command` ""
    place: str  # "fd 7", "mapping 7f0a…", "mount /mnt", "namespace uts"; "" for the process as a whole
    what: str  # after the process's name: "holds an io_uring"
    hint: str
    stops: bool = True

    def __str__(self) -> str:
        """Return it as a sentence without its end: `redis-server (pid 31) holds an io_uring (fd 7)`."""
        who = f"{self.command} (pid {self.pid})" if self.command else "the container"
        return f"{who} {self.what}{f' ({self.place})' if self.place else ''}"


def refusal(name: str, found: Sequence[Obstacle], cause: str = "") -> LimosaError | None:
    """Return what a checkpoint of the container `name` fails with, None if nothing of `found` stops it.

    `cause` is CRIU's own word where it tried.
    """
    stopping = [one for one in found if one.stops]
    if not stopping:
        return None
    first, *others = stopping
    reasons = [cause] if cause else []
    reasons += [str(one) for one in others[:3]]
    if len(others) > 3:
        reasons.append(f"and {len(others) - 3} more: limosa doctor {name}")
    return LimosaError(
        first.code,
        f'cannot checkpoint "{name}": {first}, which a commit cannot hold',
        state=f'"{name}" is running; nothing changed',
        cause="; ".join(reasons),
        hint=first.hint,
    )
