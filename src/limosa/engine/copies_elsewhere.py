"""Running copies of a commit on another host, which has got it by a push."""

from collections.abc import Callable

from limosa.engine import commits, copies
from limosa.engine.channel_store import expected
from limosa.engine.exchange import Peer
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord, CopyRequest
from limosa.model.errors import LimosaError
from limosa.model.peer_protocol import Done, Fork, Forked
from limosa.ports.page_servers import Laziness


def fork(
    peer: Peer,
    commit: CommitRecord,
    requests: list[CopyRequest],
    started: Callable[[str], None],
    laziness: Laziness = "off",
    *,
    ahead: bool = False,
) -> list[str]:
    """Start a copy of a commit per request at a peer, and return their names there; `started` is called with each.

    `ahead`: they stand still until a fork there takes them.
    Raises: LimosaError as `copies.fork` there; LIM-PEER-003, -004. The copies that `started` was told of run on; if the
    link is lost one more may be there than was told.
    """
    peer.connection.send(Fork(commit.commit_id, tuple(requests), laziness, ahead))
    names: list[str] = []
    while isinstance(said := _next(peer, names), Forked):
        names.append(said.name)
        started(said.name)
    return names


def _next(peer: Peer, names: list[str]) -> object:
    try:
        return expected(peer.connection, Forked, Done)
    except LimosaError as failed:
        where = peer.connection.name
        kept = f"{', '.join(names)} at {where}: there, and left so" if names else f"no copy at {where} is known of"
        raise LimosaError(failed.code, failed.summary, state=kept, cause=failed.cause, hint=failed.hint) from failed


def answer(host: Host, peer: Peer, message: Fork) -> None:
    """Start the copies that a peer asks for. Raises: LimosaError LIM-COMM-001, and as `copies.fork`."""
    commit = commits.find(host, message.commit)

    def tell(record: ContainerRecord) -> None:
        peer.connection.send(Forked(record.config.name))

    make = copies.make_ahead if message.ahead else copies.fork
    make(host, commit, list(message.requests), tell, message.lazy)
    peer.connection.send(Done(commit.commit_id))
