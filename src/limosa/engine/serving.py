"""The other end of a connection: what a peer may ask of this host."""

from collections.abc import Callable

from limosa.engine import channel_images, channel_store, copies_elsewhere, exchange, migrate, survey, transfers
from limosa.engine.arriving import Arriving
from limosa.engine.channel_store import not_kept
from limosa.engine.exchange import Peer
from limosa.engine.host import Host
from limosa.model import peer_protocol as protocol
from limosa.model.errors import LimosaError
from limosa.model.hints import Any, Final
from limosa.model.ids import Digest, checked_digest
from limosa.model.peer_protocol import (
    Bits,
    Done,
    Fork,
    GiveKey,
    HasLayers,
    Hello,
    Measure,
    Message,
    Question,
    Receive,
    Send,
    SendImage,
    Settle,
    Settled,
    Survey,
    TakeImage,
    TakeKey,
    Want,
)
from limosa.ports.peers import Connection


def serve(host: Host, connection: Connection) -> None:
    """Answer until the peer hangs up. Raises: LimosaError LIM-PEER-003: it does not keep to the protocol."""
    first = connection.receive(60)
    if not isinstance(first, Hello):
        raise not_kept(connection, f"a {type(first).__name__} came first")
    connection.send(exchange.hello(host))
    peer = Peer(connection, first)
    arriving = Arriving(host, peer)
    try:
        _answer_all(host, peer, arriving)
    finally:
        arriving.left()


def _answer_all(host: Host, peer: Peer, arriving: Arriving) -> None:
    connection = peer.connection
    while True:
        try:
            message = connection.receive()
        except LimosaError as gone:
            if gone.code != "LIM-PEER-004":
                raise
            return
        try:
            if isinstance(message, Question):
                arriving.answer(message)
            else:
                _answer(host, peer, message)
        except LimosaError as failed:
            if failed.code == "LIM-PEER-004":
                return
            connection.send(protocol.failure(failed))
            if failed.code == "LIM-PEER-003":
                raise


def _answer(host: Host, peer: Peer, message: Message) -> None:
    answer = _ANSWERS.get(type(message))
    if answer is None:
        raise not_kept(peer.connection, f"a {type(message).__name__} has no place here")
    answer(host, peer, message)


def _has_layers(host: Host, peer: Peer, message: HasLayers) -> None:
    asked = [_checked(peer.connection, layers) for layers in message.layers]
    peer.connection.send(Bits(tuple(transfers.has_layers(host, layers) for layers in asked)))


def _checked(connection: Connection, layers: tuple[str, ...]) -> tuple[Digest, ...]:
    try:
        return tuple(Digest(checked_digest(layer)) for layer in layers)
    except (ValueError, LimosaError) as damage:
        raise not_kept(connection, str(damage)) from damage


def _take_image(host: Host, peer: Peer, message: TakeImage) -> None:
    name = channel_images.take(host, peer.connection, message, lambda what, done, total: None)
    peer.connection.send(Done(name))


def _send_image(host: Host, peer: Peer, message: SendImage) -> None:
    layers = _checked(peer.connection, message.layers)
    for image in (*host.oci_images.all(), *transfers.nameless(host, layers)):
        if image.layers == layers:
            return channel_images.send(host, peer.connection, image, lambda what, done, total: None)
    raise LimosaError(
        "LIM-COMM-020", "the image of a commit is not here any more", hint="--no-image brings the commits alone"
    )


def _take_key(host: Host, peer: Peer, message: TakeKey) -> None:
    exchange.adopt(host, peer.connection, message)
    peer.connection.send(exchange.hello(host))


def _give_key(host: Host, peer: Peer, message: GiveKey) -> None:
    del message
    peer.connection.send(TakeKey(host.store_keys.key().hex()))


def _want(host: Host, peer: Peer, message: Want) -> None:
    peer.connection.send(exchange.answer_want(host, message))


def _send(host: Host, peer: Peer, message: Send) -> None:
    exchange.answer_send(host, peer, message.commits)


def _receive(host: Host, peer: Peer, message: Receive) -> None:
    del message
    channel_store.take(host, peer.connection, "push")


def _measure(host: Host, peer: Peer, message: Measure) -> None:
    del host
    exchange.take_measure(peer, message)


def _settle(host: Host, peer: Peer, message: Settle) -> None:
    try:
        outcome = migrate.settle(host, peer, message.migration)
    except ValueError as damage:
        raise not_kept(peer.connection, str(damage)) from damage
    except BlockingIOError:
        outcome = "busy"
    peer.connection.send(Settled(outcome))


_ANSWERS: Final[dict[type, Callable[[Host, Peer, Any], None]]] = {
    HasLayers: _has_layers,
    TakeImage: _take_image,
    SendImage: _send_image,
    TakeKey: _take_key,
    GiveKey: _give_key,
    Want: _want,
    Send: _send,
    Receive: _receive,
    Settle: _settle,
    Survey: survey.answer,
    Fork: copies_elsewhere.answer,
    Measure: _measure,
}
