"""What two limosas say to each other, in frames: docs/protocol.md has the bytes.

Pure: from bytes to values and back. Whatever comes is checked here before anything is made of it.
"""

import json

from limosa.model import codec, handover
from limosa.model.container import CopyRequest
from limosa.model.errors import LimosaError
from limosa.model.hints import Any, Final, Literal
from limosa.model.migration import Took, Way
from limosa.model.value import NamedTuple

VERSION: Final = 1
GREETING: Final = b"limosa-peer" + bytes([VERSION])
HEAD_BYTES: Final = 5

BEAT: Final = 0
MESSAGE: Final = 1
RECORD: Final = 2
DATA: Final = 3
IDS: Final = 4
BITS: Final = 5

ID_BYTES: Final = 32
MOST_IDS: Final = 4096
MOST_BYTES: Final = {
    BEAT: 0,
    MESSAGE: 1 << 20,
    RECORD: 160 + (192 << 10) + 4_228_096,
    DATA: 1 << 20,
    IDS: MOST_IDS * ID_BYTES,
    BITS: MOST_IDS // 8,
}


class MalformedFrame(ValueError):
    """The peer sent what no limosa sends."""


class Hello(NamedTuple):
    """The first message of each side."""

    limosa: str  # its version
    key_id: str  # of its commit store, hexadecimal; "" if it has none yet
    host: str  # what it calls itself, for messages


class Failure(NamedTuple):
    """The answer to any request that could not be done: a LimosaError."""

    code: str
    summary: str
    state: str = ""
    cause: str = ""
    hint: str = ""


class Done(NamedTuple):
    """The answer to a request that has no other."""

    note: str = ""


class TakeKey(NamedTuple):
    """Be of the group of hosts with this key. The answer: `Hello`, as the first one would be now."""

    key: str  # hexadecimal


class GiveKey(NamedTuple):
    """Which key does this group have? The answer: `TakeKey`."""


class Want(NamedTuple):
    """Which commits do these names mean? None: every one. The answer: `Names`."""

    names: tuple[str, ...] = ()
    history: bool = False


class Names(NamedTuple):
    """Ids of commits, oldest first, and of each the layers of its image."""

    commits: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...] = ()


class Send(NamedTuple):
    """Send these commits: `IDS` frames are answered by `BITS` (what is known), then come records and `Deliver`."""

    commits: tuple[str, ...]


class Receive(NamedTuple):
    """Records will come: `IDS` frames (answered by `BITS`), `RECORD` frames, at last `Deliver`. No answer."""


class Deliver(NamedTuple):
    """All records of these commits have come: put them on disk, so that they can be found. The answer: `Done`."""

    commits: tuple[str, ...]
    ancestors: tuple[str, ...] = ()  # what they descend from, as far as the sender knows: decides about names only


class HasLayers(NamedTuple):
    """Which of these images are there? The answer: `Bits`."""

    layers: tuple[tuple[str, ...], ...]


class Bits(NamedTuple):
    """An answer to several questions at once."""

    answers: tuple[bool, ...]


class TakeImage(NamedTuple):
    """An image comes: `ImageFile`s with their data, then `ImageEnd`, which is answered by `Done` with its name."""

    reference: str
    digest: str


class SendImage(NamedTuple):
    """Send the image that has these layers: `TakeImage`, files, `ImageEnd`; or a `Failure`."""

    layers: tuple[str, ...]


class ImageFile(NamedTuple):
    """`DATA` frames with so many bytes of a file of the image's archive follow."""

    name: str
    size_bytes: int


class ImageEnd(NamedTuple):
    """The image is whole."""


class Question(NamedTuple):
    """A step of a migration (model/handover.py). The answer: `Reply`."""

    migration: str
    question: handover.Question
    container: str = ""  # offer: its record, JSON
    commit: str = ""  # prepare: the last one
    name: str = ""  # offer: what it is to be called there
    asker: str = ""  # offer: where the source can be reached, for a recovery
    tcp: str = "keep"
    way: Way = "live"  # offer: otherwise the last commit has files alone, and it is started there


class Reply(NamedTuple):
    """What became of a question."""

    answer: str
    failure: Failure | None = None
    took: tuple[Took, ...] = ()  # prepare: what it took there
    retransmitted: int = 0  # up: TCP segments that were sent or came once more there so far


class Settle(NamedTuple):
    """A target asks the source's side to go on with a migration whose command is dead. The source then asks."""

    migration: str


class Settled(NamedTuple):
    """The source's side has nothing more to ask; `outcome` is that of its program, "busy" if its command lives."""

    outcome: str


class Survey(NamedTuple):
    """What is this host like, for a container like that (its record, JSON; "" for none)? The answer: `Surveyed`."""

    container: str = ""
    name: str = ""


class Surveyed(NamedTuple):
    """Facts of a host, JSON of model.hosts.Facts."""

    facts: str


class Measure(NamedTuple):
    """`DATA` frames with so many bytes follow, which mean nothing. The answer once all are there: `Done`."""

    size_bytes: int


class Fork(NamedTuple):
    """Start copies of a commit that is there. The answers: `Forked` of each as it runs, then `Done` with the commit."""

    commit: str
    requests: tuple[CopyRequest, ...]
    lazy: Literal["off", "background", "demand"] = "off"
    ahead: bool = False  # they stand still until a fork there takes them


class Forked(NamedTuple):
    """A copy is there."""

    name: str


Message = (
    Hello
    | Failure
    | Done
    | TakeKey
    | GiveKey
    | Want
    | Names
    | Send
    | Receive
    | Deliver
    | HasLayers
    | Bits
    | TakeImage
    | SendImage
    | ImageFile
    | ImageEnd
    | Question
    | Reply
    | Settle
    | Settled
    | Survey
    | Surveyed
    | Measure
    | Fork
    | Forked
)
_KINDS: Final[dict[str, Any]] = {kind.__name__: kind for kind in Message.__args__}


def head(kind: int, size_bytes: int) -> bytes:
    """Return the head of a frame. Raises: ValueError: no frame of that kind is so large."""
    if size_bytes > MOST_BYTES[kind]:
        raise ValueError(f"a frame of kind {kind} with {size_bytes} bytes")
    return bytes([kind]) + size_bytes.to_bytes(4, "little")


def parsed_head(data: bytes) -> tuple[int, int]:
    """Return kind and size of the frame that a head announces. Raises: MalformedFrame: no limosa sends such a frame."""
    kind, size_bytes = data[0], int.from_bytes(data[1:HEAD_BYTES], "little")
    if kind not in MOST_BYTES:
        raise MalformedFrame(f"a frame of kind {kind}")
    if size_bytes > MOST_BYTES[kind]:
        raise MalformedFrame(f"a frame of kind {kind} with {size_bytes} bytes")
    return kind, size_bytes


def encoded(message: Message) -> bytes:
    """Return the payload of a message's frame."""
    return json.dumps([type(message).__name__, codec.to_jsonable(message)]).encode()


def decoded(payload: bytes) -> Message:
    """Return the message of a frame's payload. Raises: MalformedFrame."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as damaged:
        raise MalformedFrame(f"a message that is no JSON: {damaged}") from damaged
    if not isinstance(found, list) or len(found) != 2 or not isinstance(found[0], str) or found[0] not in _KINDS:
        raise MalformedFrame("a message of no kind that is known")
    try:
        message: Message = codec.from_jsonable(_KINDS[found[0]], found[1])
    except ValueError as damaged:
        raise MalformedFrame(str(damaged)) from damaged
    return message


def ids(payload: bytes) -> list[bytes]:
    """Return the ids of a frame. Raises: MalformedFrame."""
    if len(payload) % ID_BYTES:
        raise MalformedFrame(f"{len(payload)} bytes of ids")
    return [payload[at : at + ID_BYTES] for at in range(0, len(payload), ID_BYTES)]


def bits(known: list[bool]) -> bytes:
    """Return the payload of a `BITS` frame."""
    value = sum(1 << place for place, one in enumerate(known) if one)
    return value.to_bytes((len(known) + 7) // 8, "little")


def parsed_bits(payload: bytes, count: int) -> list[bool]:
    """Return so many answers. Raises: MalformedFrame: there are not so many."""
    if len(payload) != (count + 7) // 8:
        raise MalformedFrame(f"{len(payload)} bytes of bits for {count} questions")
    value = int.from_bytes(payload, "little")
    return [bool(value >> place & 1) for place in range(count)]


def failure(error: LimosaError) -> Failure:
    """Return an error as it is sent."""
    return Failure(error.code, error.summary, error.state, error.cause, error.hint)


def raised(failed: Failure, where: str) -> LimosaError:
    """Return an error that came from the peer at `where`, whose words are shortened and made harmless."""
    said = [_harmless(text) for text in failed]
    code = said[0] if said[0].startswith("LIM-") and len(said[0]) <= 16 else "LIM-PEER-003"
    return LimosaError(code, f"{where}: {said[1]}", state=f"at {where}: {said[2]}", cause=said[3], hint=said[4])


def _harmless(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)[:2000]
