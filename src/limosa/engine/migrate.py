"""Move a running container to another host."""

from collections.abc import Callable
from contextlib import ExitStack

from limosa.engine import (
    channel_images,
    checkpoint,
    commits,
    ending,
    exchange,
    files_commit,
    lifecycle,
    obstacles,
    survey,
)
from limosa.engine.arriving import Arriving
from limosa.engine.exchange import Peer
from limosa.engine.giving import Giving
from limosa.engine.giving_stopped import GivingStopped
from limosa.engine.host import Host
from limosa.model import handover, precopy
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.hints import Final, Literal
from limosa.model.hosts import Finding
from limosa.model.migration import MigrationEntry, Took, Way, waits_for
from limosa.model.peer_address import PeerAddress
from limosa.model.precopy import Round, Wish
from limosa.model.value import NamedTuple

_SECOND: Final = 1_000_000_000


class Wanted(NamedTuple):
    """What is asked for beside container and host."""

    there: str = ""  # another name there
    keep: bool = False
    keep_connections: bool = True
    wish: Wish = Wish()
    bandwidth_bytes: int = 0  # a second; 0: as fast as it goes
    fallback: Literal["near-live", "restart", "none"] = "none"  # how it moves if it cannot move live


class Downtime(NamedTuple):
    """What a container that is stopped and started is expected to be away for, beside the time in which it starts."""

    stop_s: float  # at most
    left_bytes: int  # of files, about
    send_s: float


class Progress(NamedTuple):
    """Where a migration is."""

    phase: str
    rounds: int = 0
    sent_bytes: int = 0  # of this phase or round
    expected: precopy.Forecast | None = None
    downtime: Downtime | None = None  # of one that is about to be stopped


class Summary(NamedTuple):
    """What a migration that has succeeded took."""

    migration_id: str
    name: str  # there
    total_ns: int
    frozen_ns: int  # from before its processes stopped, or were asked to end, until the other host said that they run
    took: tuple[Took, ...]  # what that was made of
    rounds: tuple[Round, ...]
    frozen_bytes: int  # of records, while it stood still
    sent_bytes: int  # everything that went through the connection
    images: tuple[str, ...]
    reconnections: int
    retransmitted: int  # TCP segments that clients or it sent once more, until the other host said that it runs
    way: Way = "live"
    why: tuple[str, ...] = ()  # it did not move live
    downtime: Downtime | None = None  # as it was expected when it was not live


OnProgress = Callable[[Progress], None]
OnWay = Callable[[Way, tuple[str, ...]], None]
MayStop = Callable[[], bool]
"""Returns when a container may be stopped, and whether that was worth waiting for another round."""


def at_once() -> bool:
    """Let it be stopped when its rounds are over."""
    return False


class _Sender:
    """Commits the running container and sends what is new, round by round."""

    def __init__(
        self, host: Host, record: ContainerRecord, wanted: Wanted, on_progress: OnProgress, may_stop: MayStop
    ) -> None:
        self.host, self.record, self.wanted, self._on_progress = host, record, wanted, on_progress
        self._may_stop = may_stop
        self.rounds: tuple[Round, ...] = ()
        self.images: list[str] = []
        self.reconnections = 0
        self.downtime: Downtime | None = None

    def send(self, giving: Giving) -> None:
        """Send rounds until another one would not pay off. Raises: LimosaError; the container runs on."""
        assert giving.peer is not None
        while precopy.another(self.rounds, self.wanted.wish) or not self.rounds:
            self._round(giving.peer)
            if self.wanted.wish.rounds == 0:
                break
        if self._may_stop():
            self._round(giving.peer)

    def _round(self, peer: Peer) -> None:
        host, number = self.host, len(self.rounds) + 1
        expected = precopy.forecast(self.rounds) if self.rounds else None
        self._on_progress(Progress("committing", number, 0, expected))
        begun = host.now_ns()
        commit = self._commit(f"migration, round {number}")
        committed = host.now_ns()
        if number == 1:
            self._share_image(peer, commit)
        sent = exchange.send_commits(
            host, peer, [commit], lambda size: self._on_progress(Progress("sending", number, size, expected))
        )
        arrived = host.now_ns()
        self.rounds += (Round(sent, (committed - begun) / _SECOND, (arrived - committed) / _SECOND),)

    def _commit(self, message: str) -> CommitRecord:
        return checkpoint.checkpoint(self.host, self.record.container_id, checkpoint.Wanted(message))

    def _share_image(self, peer: Peer, commit: CommitRecord) -> None:
        def told(what: str, done_bytes: int, total_bytes: int) -> None:
            self._on_progress(Progress(what, 0, done_bytes))

        self.images = channel_images.share(self.host, peer.connection, [commit], told)


class _FilesSender(_Sender):
    """Commits and sends files alone: "near-live" in rounds while it runs, otherwise nothing before it is stopped."""

    def send(self, giving: Giving) -> None:
        """See `_Sender`."""
        assert giving.peer is not None
        host, record = self.host, self.record
        stop_s = float(lifecycle.stop_timeout_s(record.config))
        if giving.entry.way == "near-live":
            super().send(giving)
            left = precopy.forecast(self.rounds)
            self.downtime = Downtime(stop_s, left.left_bytes, left.send_s)
        else:
            self._share_image(giving.peer, CommitRecord(record, ("", "", "")))
            self._may_stop()
            size_bytes = host.storage.usage(record.container_id).used_bytes
            self.downtime = Downtime(stop_s, size_bytes, size_bytes / exchange.rate(host, giving.peer))
        self._on_progress(Progress("stopping", downtime=self.downtime))

    def _commit(self, message: str) -> CommitRecord:
        with self.host.containers.locked(self.record.container_id):
            record = ending.loaded(self.host, self.record.container_id)
            lifecycle.require_running(record, "migrate")
            return files_commit.take(self.host, record, message)


class _NotLive(Exception):
    """A live migration is undone, and what it failed of concerns only the container's processes."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def migrate(
    host: Host,
    record: ContainerRecord,
    address: PeerAddress,
    wanted: Wanted,
    on_progress: OnProgress,
    on_way: OnWay = lambda way, why: None,
    may_stop: MayStop = at_once,
) -> Summary:
    """Move a container that runs to another host, and return what it took.

    `may_stop` is asked when it is about to be stopped; what it raises undoes the migration.

    If it cannot move live, and only for its processes' sake, it is stopped and started there, where that is wanted;
    `on_way` is told so, and why, before anything is done.

    Raises: LimosaError LIM-MIG-012: the hosts do not fit, with all that was found; LIM-MIG-010: it stays here, and
    why; LIM-MIG-011: it was handed over, and the other host has not been heard since; LIM-PEER-…: that host cannot be
    reached. It runs here as before unless the code is -011.
    """
    ending.refuse_migrating(record)
    lifecycle.require_running(record, "migrate")
    try:
        return _attempt(host, record, address, wanted, on_progress, on_way, may_stop)
    except _NotLive as no:
        record = host.containers.load(record.container_id)
        return _attempt(host, record, address, wanted, on_progress, on_way, may_stop, no.why)


def _attempt(
    host: Host,
    record: ContainerRecord,
    address: PeerAddress,
    wanted: Wanted,
    on_progress: OnProgress,
    on_way: OnWay,
    may_stop: MayStop,
    failed: str = "",
) -> Summary:
    """Move it as it can be moved; `failed` is why that was not possible live. Raises: as `migrate`; _NotLive."""
    begun = host.now_ns()
    entry = _entry(host, record, address, wanted)
    with exchange.reached(host, address, wanted.bandwidth_bytes) as peer, host.migrations.locked(entry.migration_id):
        exchange.require_one_key(host, peer)
        way, why = _way(_checked(host, peer, record, wanted), record, address, wanted, failed)
        if way != "live":
            on_way(way, why)
        entry = entry._replace(way=way)
        sender = (_Sender if way == "live" else _FilesSender)(host, record, wanted, on_progress, may_stop)
        giving = _giving(host, entry, peer, lambda stack: _reconnected(host, address, stack, sender), sender.send)
        on_progress(Progress("offering"))
        outcome = _performed(giving)
        traffic = peer.connection.traffic()[0]
    if outcome != "moved":
        if _fails_only_live(giving, wanted):
            assert giving.failure is not None
            raise _NotLive(giving.failure.summary)
        raise _stayed(giving, record)
    return Summary(
        migration_id=entry.migration_id,
        name=wanted.there or record.config.name,
        total_ns=host.now_ns() - begun,
        frozen_ns=giving.up_at_ns - giving.frozen_at_ns,
        took=giving.took,
        rounds=sender.rounds,
        frozen_bytes=giving.sent_frozen_bytes,
        sent_bytes=traffic,
        images=tuple(sender.images),
        reconnections=sender.reconnections,
        retransmitted=giving.retransmitted,
        way=way,
        why=why,
        downtime=sender.downtime,
    )


def _entry(host: Host, record: ContainerRecord, address: PeerAddress, wanted: Wanted) -> MigrationEntry:
    head = commits.head(host, record.container_id)
    return MigrationEntry(
        migration_id=host.new_id(),
        side="source",
        phase="",
        container_id=record.container_id,
        name=record.config.name,
        peer=address,
        peer_name=address.destination,
        created_ns=host.now_ns(),
        there=wanted.there,
        head_before="" if head is None else head.hex(),
        keep=wanted.keep,
        keep_connections=wanted.keep_connections,
    )


def _giving(
    host: Host,
    entry: MigrationEntry,
    peer: Peer | None,
    reconnect: Callable[[ExitStack], Peer],
    send: Callable[[Giving], None],
) -> Giving:
    kind = Giving if entry.way == "live" else GivingStopped
    return kind(host, entry, peer, reconnect, send)


def _way(
    found: list[Finding], record: ContainerRecord, address: PeerAddress, wanted: Wanted, failed: str
) -> tuple[Way, tuple[str, ...]]:
    """Return how a container moves, and why not live. Raises: LimosaError LIM-MIG-012: not in a way that is wanted."""
    stops = [one for one in found if one.severity == "stops"]
    why = ((failed,) if failed else ()) + tuple(one.what for one in stops)
    if why and wanted.fallback != "none" and all(one.live_only for one in stops):
        return wanted.fallback, why
    survey.require(found, record, address.destination)
    return "live", ()


def _fails_only_live(giving: Giving, wanted: Wanted) -> bool:
    """Say whether a live migration that is wholly undone may be tried in another way: criu could not, here or there."""
    why = giving.failure
    undone = giving.entry.way == "live" and not giving.entry.phase
    return undone and wanted.fallback != "none" and why is not None and why.code.startswith("LIM-CRIU-")


def check(host: Host, record: ContainerRecord, address: PeerAddress, wanted: Wanted) -> list[Finding]:
    """Return what keeps a container from moving to a host, and what is to be known before; nothing is changed.

    Raises: LimosaError LIM-PEER-…: that host cannot be reached; LIM-CSTORE-004: it has another key.
    """
    ending.refuse_migrating(record)
    lifecycle.require_running(record, "migrate")
    with exchange.reached(host, address) as peer:
        exchange.require_one_key(host, peer)
        return _checked(host, peer, record, wanted)


def _checked(host: Host, peer: Peer, record: ContainerRecord, wanted: Wanted) -> list[Finding]:
    name = wanted.there or record.config.name
    found = survey.compare(host, peer, record, name, keep_connections=wanted.keep_connections)
    hinder = [
        Finding("stops", str(one), one.hint, live_only=True) for one in obstacles.found(host, record) if one.stops
    ]
    return [*hinder, *found]


def _performed(giving: Giving) -> str:
    """Perform the source's program; if a step of it raises, take back what can be taken back."""
    try:
        return giving.run(handover.source())
    except BaseException:
        phase = giving.entry.phase
        if phase in ("open", "frozen"):
            giving.run(handover.recovered_source(phase))  # type: ignore[arg-type]
        raise


def _reconnected(host: Host, address: PeerAddress, stack: ExitStack, sender: _Sender) -> Peer:
    sender.reconnections += 1
    return stack.enter_context(exchange.reached(host, address))


def _stayed(giving: Giving, record: ContainerRecord) -> LimosaError:
    entry, why = giving.entry, giving.failure
    name = record.config.name
    cause = "" if why is None else f"{why.summary}{f': {why.cause}' if why.cause else ''}"
    if entry.phase == "given":
        return LimosaError(
            "LIM-MIG-011",
            f'"{name}" was handed over to {entry.peer_name}, and that has not been heard since',
            state=f'"{name}" does not run here; {entry.peer_name} may run it',
            cause=cause,
            hint="limosa recover, here or there, once the hosts reach each other",
        )
    return LimosaError(
        "LIM-MIG-010",
        f'"{name}" is not moved to {entry.peer_name}',
        state=f'"{name}" runs here as before' + (f"; {waits_for(entry)}" if entry.phase else ""),
        cause=cause,
        hint="" if why is None else why.hint,
    )


def recover(host: Host, entry: MigrationEntry) -> MigrationEntry:
    """Go on with a migration whose process is dead, and return its entry as it is then; the phase "" is no entry.

    Raises: BlockingIOError: its process lives. LimosaError: what was begun cannot be done now; it may be repeated.
    """
    if entry.side == "target":
        return Arriving(host, None).recover(entry)
    with host.migrations.locked(entry.migration_id), ExitStack() as connections:
        found = host.migrations.load(entry.migration_id)
        if found is None:
            return entry._replace(phase="")
        known: list[Peer] = []

        def reconnect(_: ExitStack) -> Peer:
            if not known:
                known.append(connections.enter_context(exchange.reached(host, found.peer)))
            return known[0]

        giving = _giving(host, found, None, reconnect, lambda _: None)
        giving.run(handover.recovered_source(found.phase))  # type: ignore[arg-type]
        return giving.entry


def settle(host: Host, target: Peer, migration_id: str) -> str:
    """Go on with a migration at whose target somebody asks, over that connection; return what came of it.

    Raises: BlockingIOError: its command lives; ValueError: that is no migration's id.
    """
    with host.migrations.locked(migration_id):
        found = host.migrations.load(migration_id)
        if found is None or found.side != "source":
            return "unknown"

        def reconnect(_: ExitStack) -> Peer:
            return target

        giving = _giving(host, found, target, reconnect, lambda _: None)
        return giving.run(handover.recovered_source(found.phase))  # type: ignore[arg-type]


def told(host: Host, before: MigrationEntry, after: MigrationEntry) -> str:
    """Return what has become of a migration, in words."""
    runs = any(one.container_id == after.container_id and one.phase != "migrating" for one in host.containers.all())
    other = after.peer_name
    if after.phase in ("", "returned", "moved", "up"):
        if after.side == "target":
            words = f"is here, from {other}" if runs else f"did not come from {other}"
        elif runs and not (before.keep and before.phase in ("given", "moved")):
            words = f"stays here: its migration to {other} is undone"
        else:
            words = f"has moved to {other}"
        return words + (f"; {waits_for(after)}" if after.phase else "")
    return f"is frozen: {waits_for(after)}" if after.phase != "declined" else f"could not run here: {waits_for(after)}"
