"""What each of its two hosts remembers of a migration, as long as the other one may have to be told something."""

from limosa.model.hints import Literal
from limosa.model.ids import ContainerId
from limosa.model.peer_address import PeerAddress
from limosa.model.value import NamedTuple

Side = Literal["source", "target"]


Way = Literal["live", "near-live", "restart"]
"""How a container moves: with its processes; its files in rounds while it runs, and then it is stopped and started
there; or stopped, sent and started there."""
Part = Literal["stop", "commit", "send", "prepare", "images", "processes", "end", "go"]


class Took(NamedTuple):
    """A part of the time in which a container stood still.

    The source's: `stop` where it does not move live, `commit` until the last commit is stored, `send` it, `prepare` it
    there, `end` the processes, `go` there. Of `prepare` the target tells `images`, until memory and files are there,
    and `processes`.
    """

    part: Part
    ns: int


class MigrationEntry(NamedTuple):
    """One side of one migration. `phase` is one of model.handover's."""

    migration_id: str
    side: Side
    phase: str
    container_id: ContainerId
    name: str  # here
    peer: PeerAddress  # the other host, as it can be reached from here; the destination is "" if it cannot
    peer_name: str  # for messages
    created_ns: int
    there: str = ""  # what it is called on the other host
    commit: str = ""  # the last one, once it is there
    head_before: str = ""  # what the container's ref named before the migration
    keep: bool = False  # source: leave a stopped container when it has moved
    keep_connections: bool = True
    way: Way = "live"


def waits_for(entry: MigrationEntry) -> str:
    """Return what a migration that nobody works at waits for, in words; "" if it waits for nothing."""
    other = entry.peer_name
    if entry.side == "source":
        return {
            "given": f"{other} was told to run it and has not been heard since; limosa recover asks again",
            "returned": f"{other} is to be told that it stays here; limosa recover tells it",
            "moved": f"{other} is to be told that it is gone from here; limosa recover tells it",
        }.get(entry.phase, "limosa recover brings it back here")
    return {
        "reserved": "limosa recover takes back what it holds",
        "ready": f"only {other} knows whether it is to run here; limosa recover there says so",
        "taken": "limosa recover runs it",
        "up": f"{other} has not been told yet that it runs here; limosa recover there asks",
        "declined": f"{other} has not been told yet that it cannot run here; limosa recover there asks",
    }[entry.phase]
