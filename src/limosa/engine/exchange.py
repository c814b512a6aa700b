"""Commits and images that go to a host at the other end of a connection, and come from there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from limosa import __version__
from limosa.engine import channel_images, channel_store, commits, transfers
from limosa.engine.channel_store import ChannelRemote, expected, not_kept
from limosa.engine.host import Host
from limosa.model import peer_protocol as protocol
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import ObjectId
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.peer_address import PeerAddress
from limosa.model.peer_protocol import Done, GiveKey, Hello, Measure, Names, Receive, Send, TakeKey, Want
from limosa.model.value import NamedTuple
from limosa.ports.oci_images import Progress
from limosa.ports.peers import Connection

_MEASURED_BYTES: Final = 2 << 20
_MEASURE_BYTES: Final = 128 << 10


class Peer(NamedTuple):
    """A host that answers."""

    connection: Connection
    hello: Hello


class Moved(NamedTuple):
    """What was sent or brought."""

    commits: list[CommitRecord]
    images: list[str]
    sent_bytes: int


def hello(host: Host) -> Hello:
    """Return what this host says first."""
    return Hello(__version__, host.store_keys.key_id(), host.peers.own_name())


@contextmanager
def reached(host: Host, address: PeerAddress, bandwidth_bytes: int = 0) -> Iterator[Peer]:
    """Be in contact with another host for the time of a `with` block. Raises: LimosaError as `Peers.connected`."""
    with host.peers.connected(address, bandwidth_bytes) as connection:
        connection.send(hello(host))
        said = expected(connection, Hello, limit_s=60)
        assert isinstance(said, Hello)
        yield Peer(connection, said)


def give_key(host: Host, peer: Peer) -> Peer:
    """Let the peer, which has no commits yet, be of this host's group. Raises: LimosaError LIM-CSTORE-003."""
    peer.connection.send(TakeKey(host.store_keys.key().hex()))
    said = expected(peer.connection, Hello)
    assert isinstance(said, Hello)
    return peer._replace(hello=said)


def take_key(host: Host, peer: Peer) -> None:
    """Let this host, which has no commits yet, be of the peer's group. Raises: LimosaError LIM-CSTORE-003."""
    peer.connection.send(GiveKey())
    said = expected(peer.connection, TakeKey)
    assert isinstance(said, TakeKey)
    adopt(host, peer.connection, said)


def adopt(host: Host, connection: Connection, said: TakeKey) -> None:
    """Take a key that came. Raises: LimosaError LIM-CSTORE-003, LIM-PEER-003."""
    try:
        key = bytes.fromhex(said.key)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise not_kept(connection, "a key that is none")
    host.store_keys.adopt(key)


def object_id(text: str) -> ObjectId:
    """Return a commit's id from its hexadecimal digits."""
    return ObjectId(bytes.fromhex(text))


def require_one_key(host: Host, peer: Peer) -> None:
    """Raise LimosaError LIM-CSTORE-004 unless both hosts have one key."""
    if not peer.hello.key_id or peer.hello.key_id != host.store_keys.key_id():  # "": it has none yet
        raise LimosaError(
            "LIM-CSTORE-004",
            f"{peer.connection.name} has another key than this host",
            cause="commits are named by keyed digests, so that only hosts of one group can compare them",
            hint=f"limosa host add --init NAME {peer.connection.name} gives a host that has no commits this one's key",
        )


def require_images(host: Host, peer: Peer, records: list[CommitRecord]) -> None:
    """Raise LimosaError LIM-COMM-020 if an image that commits need and the peer lacks has no name here any more."""
    channel_images.lacking(host, peer.connection, records)


def push(host: Host, peer: Peer, records: list[CommitRecord], progress: Progress, *, with_images: bool = True) -> Moved:
    """Send commits, and the images that they need and the peer lacks.

    Raises: LimosaError LIM-CSTORE-004, LIM-COMM-020, LIM-PEER-003, -004; what the peer says. What was sent is not sent
    again.
    """
    require_one_key(host, peer)
    images = channel_images.share(host, peer.connection, records, progress) if with_images else []
    before = peer.connection.traffic()[0]
    send_commits(host, peer, records, lambda size_bytes: progress("sending commits", size_bytes, 0))
    return Moved(records, images, peer.connection.traffic()[0] - before)


def send_commits(
    host: Host, peer: Peer, records: list[CommitRecord], on_sent: Callable[[int], None] = lambda size_bytes: None
) -> int:
    """Send commits alone and return the bytes of their records; `on_sent` is told how many there are so far."""
    peer.connection.send(Receive())
    return _send(host, peer, records, on_sent)


def _send(host: Host, peer: Peer, records: list[CommitRecord], on_sent: Callable[[int], None]) -> int:
    wanted = [commits.identifier(record) for record in records]
    ancestors = [one for one, _ in host.store.history(set(wanted)) if one not in wanted]
    sent = [0]

    def count(size_bytes: int) -> None:
        sent[0] += size_bytes
        on_sent(sent[0])

    remote = ChannelRemote(peer.connection, peer.hello, wanted, ancestors, count)
    return host.store.push(wanted, remote, {}, when_ns=host.now_ns())


def answer_send(host: Host, peer: Peer, names: tuple[str, ...]) -> None:
    """Send the commits that a peer has asked for by their ids. Raises: as `send_commits`, LIM-COMM-001."""
    _send(host, peer, [commits.find(host, name) for name in names], lambda size_bytes: None)


def rate(host: Host, peer: Peer) -> float:
    """Return the bytes a second that go to a peer now, measured with 2 MiB. Raises: LimosaError LIM-PEER-003, -004."""
    begun_ns = host.now_ns()
    peer.connection.send(Measure(_MEASURED_BYTES))
    for _ in range(_MEASURED_BYTES // _MEASURE_BYTES):
        peer.connection.send_frame(protocol.DATA, host.random_bytes(_MEASURE_BYTES))  # ssh may compress
    expected(peer.connection, Done)
    return _MEASURED_BYTES * 1e9 / max(1, host.now_ns() - begun_ns)


def take_measure(peer: Peer, message: Measure) -> None:
    """Receive what `rate` sends. Raises: LimosaError LIM-PEER-003, -004."""
    left = message.size_bytes
    if not 0 < left <= _MEASURED_BYTES:
        raise not_kept(peer.connection, f"{left} bytes to measure with")
    while left > 0:
        kind, payload = peer.connection.receive_frame()
        if kind != protocol.DATA or not payload:
            raise not_kept(peer.connection, f"a frame of kind {kind} where bytes were to be measured")
        left -= len(payload)
    peer.connection.send(Done())


def answer_want(host: Host, want: Want) -> Names:
    """Return which commits names mean here. Raises: LimosaError LIM-COMM-001, -002."""
    if not want.names:
        records = commits.every(host)
    else:
        records = [commits.find(host, name) for name in want.names]
        if want.history:
            records = commits.descent(host, {commits.identifier(record) for record in records})
    return Names(
        tuple(record.commit_id for record in records), tuple(tuple(record.container.layers) for record in records)
    )


def fetch(
    host: Host, peer: Peer, names: tuple[str, ...], progress: Progress, *, history: bool, with_images: bool = True
) -> Moved:
    """Bring commits, by their names at the peer (all if there is none), and the images that they need.

    Raises: LimosaError as `push`. Commits that came before an image that did not come stay.
    """
    require_one_key(host, peer)
    peer.connection.send(Want(names, history))
    found = expected(peer.connection, Names)
    assert isinstance(found, Names)
    before = peer.connection.traffic()[1]
    records: list[CommitRecord] = []
    if found.commits:
        peer.connection.send(Send(found.commits))
        records = channel_store.take(host, peer.connection, "fetch")
    images = []
    for layers in {record.container.layers for record in records} if with_images else ():
        if not transfers.has_layers(host, layers):
            images.append(channel_images.fetch(host, peer.connection, layers, progress))
    return Moved(records, images, peer.connection.traffic()[1] - before)
