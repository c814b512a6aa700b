"""Images at the other end of a connection."""

from collections.abc import Iterable, Iterator

from limosa.engine import transfers
from limosa.engine.channel_store import expected, not_kept
from limosa.engine.host import Host
from limosa.model import peer_protocol as protocol
from limosa.model.commit import CommitRecord
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import Digest, checked_digest
from limosa.model.oci import parse_reference
from limosa.model.peer_protocol import Bits, Done, HasLayers, ImageEnd, ImageFile, SendImage, TakeImage
from limosa.ports.oci_images import OciImage, Progress
from limosa.ports.peers import Connection

_MOST_FILES: Final = 1024


def share(host: Host, connection: Connection, records: Iterable[CommitRecord], progress: Progress) -> list[str]:
    """Send the images that commits need and that the peer lacks; return their names there.

    Raises: LimosaError LIM-COMM-020, LIM-PEER-003, -004, and what the peer says.
    """
    return [_sent(host, connection, image, progress) for image in lacking(host, connection, records)]


def lacking(host: Host, connection: Connection, records: Iterable[CommitRecord]) -> list[OciImage]:
    """Return the images that commits need and that the peer lacks. Raises: LimosaError as `share`; nothing was sent."""
    needed = {record.container.layers: record for record in records}
    if not needed:
        return []
    connection.send(HasLayers(tuple(needed)))
    answer = expected(connection, Bits)
    assert isinstance(answer, Bits)
    if len(answer.answers) != len(needed):
        raise not_kept(connection, f"{len(answer.answers)} answers to {len(needed)} questions")
    wanted = {layers: needed[layers] for layers, there in zip(needed, answer.answers, strict=True) if not there}
    return transfers.images_of(host, wanted)


def _sent(host: Host, connection: Connection, image: OciImage, progress: Progress) -> str:
    send(host, connection, image, progress)
    answer = expected(connection, Done)
    assert isinstance(answer, Done)
    return answer.note


def send(host: Host, connection: Connection, image: OciImage, progress: Progress) -> None:
    """Send an image as `TakeImage`, files and `ImageEnd`."""
    with host.oci_images.as_archive(image.digest) as directory:
        files = host.archive_files.listed(directory)
        total = sum(size_bytes for _, size_bytes in files)
        sent = 0
        connection.send(TakeImage(image.reference, image.digest))
        for name, size_bytes in files:
            connection.send(ImageFile(name, size_bytes))
            for part in host.archive_files.read(directory, name):
                connection.send_frame(protocol.DATA, part)
                sent += len(part)
                progress(f"sending {image.reference}", sent, total)
        connection.send(ImageEnd())


def take(host: Host, connection: Connection, said: TakeImage, progress: Progress) -> str:
    """Receive what `send` sends, after its first message, and return the image's name here.

    Raises: LimosaError LIM-IMG-004: it is no image; LIM-IMG-007: disk full; LIM-PEER-003, -004. Nothing is kept then.
    """
    try:
        digest = Digest(checked_digest(said.digest))
        reference = str(parse_reference(said.reference, "localhost"))
    except (ValueError, LimosaError) as damage:
        raise not_kept(connection, f"an image called {said.reference[:80]!r}: {damage}") from damage
    with host.oci_images.workspace() as directory:
        for _ in range(_MOST_FILES):
            message = expected(connection, ImageFile, ImageEnd)
            if isinstance(message, ImageEnd):
                name = transfers.free_name(host, reference, digest)
                return host.oci_images.import_archive(directory, name, progress).reference
            assert isinstance(message, ImageFile)
            try:
                host.archive_files.write(directory, message.name, _parts(connection, message.size_bytes))
            except (ValueError, FileExistsError) as damage:
                raise not_kept(connection, str(damage)) from damage
    raise not_kept(connection, f"an image of more than {_MOST_FILES} files")


def _parts(connection: Connection, size_bytes: int) -> Iterator[bytes]:
    missing = size_bytes
    while missing > 0:
        kind, payload = connection.receive_frame()
        if kind != protocol.DATA or not payload or len(payload) > missing:
            raise not_kept(connection, "a file of an image that is not as long as it was said to be")
        missing -= len(payload)
        yield payload


def fetch(host: Host, connection: Connection, layers: tuple[Digest, ...], progress: Progress) -> str:
    """Bring the image with these layers and return its name here. Raises: as `take`, and what the peer says."""
    connection.send(SendImage(layers))
    said = expected(connection, TakeImage)
    assert isinstance(said, TakeImage)
    return take(host, connection, said, progress)
