"""A commit store at the other end of a connection, in both directions: only what is lacking is sent, all is checked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from limosa.engine import commits, transfers
from limosa.engine.host import Host
from limosa.model import peer_protocol as protocol
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import ObjectId
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.peer_protocol import Deliver, Done, Failure, Hello, Message
from limosa.ports.commit_store import RemoteWriter
from limosa.ports.peers import Connection

_KEEP_BYTES: Final = 16 << 20  # what is sent again at most after an interruption
_MOST_ANCESTORS: Final = 8192

OnSent = Callable[[int], None]


class ChannelRemote:
    """The `Remote` port over a connection; the peer has been told to receive, or has asked for it."""

    def __init__(
        self,
        connection: Connection,
        hello: Hello,
        delivered: Sequence[ObjectId],
        ancestors: Sequence[ObjectId],
        on_sent: OnSent = lambda size_bytes: None,
    ) -> None:
        self._connection, self._hello, self._on_sent = connection, hello, on_sent
        self._deliver = Deliver(
            tuple(one.hex() for one in delivered), tuple(one.hex() for one in ancestors[:_MOST_ANCESTORS])
        )

    def key_id(self) -> bytes:
        """See the port."""
        return bytes.fromhex(self._hello.key_id)

    def known(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """See the port."""
        found: set[ObjectId] = set()
        for at in range(0, len(ids), protocol.MOST_IDS):
            part = ids[at : at + protocol.MOST_IDS]
            self._connection.send_frame(protocol.IDS, b"".join(part))
            kind, payload = self._connection.receive_frame()
            if kind != protocol.BITS:
                raise unexpected(self._connection, kind, payload)
            try:
                answers = protocol.parsed_bits(payload, len(part))
            except protocol.MalformedFrame as damage:
                raise not_kept(self._connection, str(damage)) from damage
            found.update(one for one, is_known in zip(part, answers, strict=True) if is_known)
        return found

    @contextmanager
    def receiving(self) -> Iterator[RemoteWriter]:
        """See the port."""
        yield self

    def put_record(self, data: bytes) -> None:
        """See the port."""
        self._connection.send_frame(protocol.RECORD, data)
        self._on_sent(len(data))

    def keep(self) -> None:
        """See the port: the other side does that by itself."""

    def finish(self, refs: Mapping[str, ObjectId], *, when_ns: int, why: str) -> None:
        """See the port; the other side names the commits itself."""
        del refs, when_ns, why
        self._connection.send(self._deliver)
        expected(self._connection, Done)


def take(host: Host, connection: Connection, why: str) -> list[CommitRecord]:
    """Receive records until they are delivered; return the commits, which can be named then, oldest first.

    Raises: LimosaError LIM-CSTORE-010: what came is not what the format says; -006: the disk is full; LIM-PEER-003,
    -004. What arrived before stays, unreachable, until the next collection: it is not sent again.
    """
    with host.store.as_remote().receiving() as writer:
        try:
            deliver = _records(host, connection, writer)
        except LimosaError as failed:
            if failed.code == "LIM-PEER-004":
                writer.keep()
            elif failed.code != "LIM-PEER-003":
                _pass_over(connection)
            raise
        return _delivered(host, connection, writer, deliver, why)


def _records(host: Host, connection: Connection, writer: RemoteWriter) -> Deliver:
    remote = host.store.as_remote()
    unkept = 0
    while True:
        kind, payload = connection.receive_frame()
        if kind == protocol.IDS:
            ids = [ObjectId(one) for one in _ids(connection, payload)]
            known = remote.known(ids)
            connection.send_frame(protocol.BITS, protocol.bits([one in known for one in ids]))
        elif kind == protocol.RECORD:
            writer.put_record(payload)
            unkept += len(payload)
            if unkept > _KEEP_BYTES:
                writer.keep()
                unkept = 0
        elif kind == protocol.MESSAGE and isinstance(message := _decoded(connection, payload), Deliver):
            return message
        else:
            raise unexpected(connection, kind, payload)


def _delivered(
    host: Host, connection: Connection, writer: RemoteWriter, message: Deliver, why: str
) -> list[CommitRecord]:
    ids = [_object_id(connection, text) for text in message.commits]
    ancestors = frozenset(_object_id(connection, text) for text in message.ancestors)
    writer.finish({}, when_ns=host.now_ns(), why=why)
    records = [commits.described(one, host.store.commit(one)) for one in ids]
    for ref, commit_id in transfers.names_for(host, records, lambda _: ancestors).items():
        host.store.set_ref(ref, commit_id, when_ns=host.now_ns(), why=why)
    connection.send(Done())
    return sorted(records, key=lambda record: record.created_ns)


def _ids(connection: Connection, payload: bytes) -> list[bytes]:
    try:
        return protocol.ids(payload)
    except protocol.MalformedFrame as damage:
        raise not_kept(connection, str(damage)) from damage


def _object_id(connection: Connection, text: str) -> ObjectId:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != protocol.ID_BYTES:
        raise not_kept(connection, f"{text[:80]!r} is no commit's id")
    return ObjectId(found)


def _decoded(connection: Connection, payload: bytes) -> Message:
    try:
        return protocol.decoded(payload)
    except protocol.MalformedFrame as damage:
        raise not_kept(connection, str(damage)) from damage


def expected(connection: Connection, *kinds: type, limit_s: float = 3600.0) -> Message:
    """Return the next message, which has to be of one of these kinds. Raises: LimosaError: the peer's own failure."""
    message = connection.receive(limit_s)
    if isinstance(message, Failure):
        raise protocol.raised(message, connection.name)
    if not isinstance(message, kinds):
        raise not_kept(connection, f"a {type(message).__name__} came where {kinds[0].__name__} was expected")
    return message


def unexpected(connection: Connection, kind: int, payload: bytes) -> LimosaError:
    """Return the error for a frame that has no place here: the peer's own failure, if it tells one."""
    if kind == protocol.MESSAGE:
        message = _decoded(connection, payload)
        if isinstance(message, Failure):
            return protocol.raised(message, connection.name)
        return not_kept(connection, f"a {type(message).__name__} has no place here")
    return not_kept(connection, f"a frame of kind {kind} has no place here")


def not_kept(connection: Connection, why: str) -> LimosaError:
    """Return the error for a peer that does not keep to the protocol."""
    return LimosaError(
        "LIM-PEER-003",
        f"{connection.name} does not keep to the protocol",
        cause=why[:500],
        hint="the same limosa on both hosts: limosa --version",
    )


def _pass_over(connection: Connection) -> None:
    """Let a peer that goes on sending records come to its next question, which will be answered by what has failed."""
    while True:
        kind, payload = connection.receive_frame()
        if kind == protocol.IDS or (kind == protocol.MESSAGE and isinstance(_decoded(connection, payload), Deliver)):
            return
        if kind != protocol.RECORD:
            raise unexpected(connection, kind, payload)
