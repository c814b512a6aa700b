"""The journal: what happened to the containers of one limosa root, in order."""

from collections.abc import Callable, Iterator

from limosa.model.event import Event
from limosa.model.hints import Protocol


class Journal(Protocol):
    """An append-only list of events of bounded size; the oldest go first."""

    def append(self, event: Event) -> None:
        """Add an event. It is seen by `read` at once; whole, or not at all if this process is killed meanwhile.

        Never raises because a disk is full: what happened has happened.
        """

    def read(self, since_ns: int = 0) -> list[Event]:
        """Return the events from `since_ns` on, oldest first."""

    def follow(self, since_ns: int, wait: Callable[[], bool]) -> Iterator[Event]:
        """Yield the events from `since_ns` on and then each new one; `wait` pauses, and ends it by returning False."""
