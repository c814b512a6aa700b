"""When to stop sending a running container's changes, freeze it, and send the rest: a pure rule."""

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

MOST_ROUNDS: Final = 12
_PAYS_OFF: Final = 0.7  # a round has to bring what is left below this part of the round before
_LEAST_BYTES: Final = 64 << 10  # less is not worth a round, whatever the rates are
_LEAST_S: Final = 0.001


class Round(NamedTuple):
    """One commit of the running container, and its way to the other host."""

    sent_bytes: int
    commit_s: float  # until the commit was there
    send_s: float  # until it had arrived


class Wish(NamedTuple):
    """What is asked for. `rounds` None: as many as pay off."""

    max_downtime_s: float = 0.2
    rounds: int | None = None


class Forecast(NamedTuple):
    """What a freeze now would cost."""

    left_bytes: int  # that the last round will have to send
    dirty_bytes_per_s: float
    send_bytes_per_s: float
    send_s: float  # of the downtime, what sending takes


def forecast(rounds: tuple[Round, ...]) -> Forecast:
    """Return what the rounds so far let expect; with one round only, that everything it sent is sent again.

    What a round sent is what changed while the round before was under way, and what changes during this one is sent by
    the next.
    """
    last = rounds[-1]
    rate = last.sent_bytes / max(last.send_s, _LEAST_S)
    if len(rounds) == 1:
        return Forecast(last.sent_bytes, 0.0, rate, last.send_s)
    before = rounds[-2]
    dirty = last.sent_bytes / max(before.commit_s + before.send_s, _LEAST_S)
    left = min(dirty * (last.commit_s + last.send_s), float(last.sent_bytes))
    return Forecast(int(left), dirty, rate, left / max(rate, 1.0))


def another(rounds: tuple[Round, ...], wish: Wish) -> bool:
    """Say whether another round of the running container is to be sent before it is frozen."""
    if wish.rounds is not None:
        return len(rounds) < wish.rounds
    if not rounds:
        return True
    if len(rounds) >= MOST_ROUNDS or rounds[-1].sent_bytes <= _LEAST_BYTES:
        return False
    if len(rounds) == 1:
        return True
    if forecast(rounds).send_s <= wish.max_downtime_s / 4:  # freezing, dumping and restoring need the rest
        return False
    return rounds[-1].sent_bytes < rounds[-2].sent_bytes * _PAYS_OFF
