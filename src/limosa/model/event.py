"""What happened to a container, as `limosa events` tells it."""

from limosa.model.container import ContainerRecord
from limosa.model.value import NamedTuple

_LIVE = ("running", "paused", "migrating")
_ENDED = ("stopped", "restarting", "removing")


class Event(NamedTuple):
    """One thing that happened, at `time_ns`."""

    time_ns: int
    action: str  # create start stop die oom pause unpause rename set checkpoint restore fork migrate remove memory-lost
    container_id: str
    name: str
    oci_image: str = ""
    detail: str = ""  # of die: the exit status; of fork: the commit; …


def happened(before: ContainerRecord | None, after: ContainerRecord) -> list[tuple[str, str]]:
    """Return (action, detail) of what lies between two records of a container, in order."""
    phase = before.phase if before else "creating"
    found = []
    if phase == "creating" and after.phase in ("created", *_LIVE):
        found.append(("create", ""))
    if before and after.stopped_by_user and not before.stopped_by_user and phase in (*_LIVE, "restarting"):
        found.append(("stop", ""))
    given_away = phase == "migrating" and after.phase == "removing"
    if phase in _LIVE and after.phase in _ENDED and after.exit is not None and not given_away:
        if after.exit.oom_killed:
            found.append(("oom", ""))
        found.append(("die", "reboot" if after.exit.reboot else f"exit status {after.exit.status}"))
    if phase not in _LIVE and after.phase == "running":
        found.append(("start", ""))
    return found
