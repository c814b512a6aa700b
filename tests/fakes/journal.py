"""The `Journal` port in memory, for tests of the engine."""

from collections.abc import Callable, Iterator

from limosa.model.event import Event


class FakeJournal:
    """Keeps the newest `most` events."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._events: list[Event] = []
        self._gone = 0

    def append(self, event: Event) -> None:
        self._events.append(event)
        surplus = max(0, len(self._events) - self._most)
        del self._events[:surplus]
        self._gone += surplus

    def read(self, since_ns: int = 0) -> list[Event]:
        return [event for event in self._events if event.time_ns >= since_ns]

    def follow(self, since_ns: int, wait: Callable[[], bool]) -> Iterator[Event]:
        at = self._gone
        while True:
            found = self._events[max(0, at - self._gone) :]
            at += len(found)
            yield from (event for event in found if event.time_ns >= since_ns)
            if not found and not wait():
                return
