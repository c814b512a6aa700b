"""The files of a dump: which there may be, and what is in each.

What criu writes begins with two magic numbers (inventory.img with one) and then has records: a size of 4 bytes and a
message. After some messages come as many plain bytes as the message says. Memory and archives of tmpfs have no
magic number; they are not looked into. Source: CRIU criu/image-desc.c, criu/include/magic.h, images/*.proto.
"""

import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator

from limosa.adapters.criu import schema
from limosa.adapters.criu.wire import WireError
from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

_COMMON_MAGIC: Final = 0x54564319
_NUMBER: Final = struct.Struct("<I")
_MOST_RECORD_BYTES: Final = 16 << 20
_MOST_FILES: Final = 1 << 16
MOST_FIELDS: Final = 4_000_000
"""Of all images together: a container with 32,000 processes has fewer."""

Shape = Literal["one", "many", "plain", "with bytes", "ghost", "pagemap"]


class Kind(NamedTuple):
    """One kind of file. A stem with `%` has a number there."""

    stem: str
    shape: Shape
    magic: int = 0
    message: str = ""
    size_field: int = 0  # of the message: how many plain bytes follow it
    hexadecimal: bool = False


_KINDS: Final = (
    Kind("inventory", "one", 0x58313116, "inventory_entry"),
    Kind("pstree", "many", 0x50273030, "pstree_entry"),
    Kind("core-%", "one", 0x55053847, "core_entry"),
    Kind("ids-%", "one", 0x54432030, "task_kobj_ids_entry"),
    Kind("mm-%", "one", 0x57492820, "mm_entry"),
    Kind("fs-%", "one", 0x51403912, "fs_entry"),
    Kind("fdinfo-%", "many", 0x56213732, "fdinfo_entry"),
    Kind("files", "many", 0x56303138, "file_entry"),
    Kind("pagemap-%", "pagemap", 0x56084025),
    Kind("pagemap-shmem-%", "pagemap", 0x56084025),
    Kind("pages-%", "plain"),
    Kind("tmpfs-dev-%.tar.gz", "plain"),
    Kind("pipes-data", "with bytes", 0x56453709, "pipe_data_entry", 2),
    Kind("fifo-data", "with bytes", 0x59333054, "pipe_data_entry", 2),
    Kind("sk-queues", "with bytes", 0x56264026, "sk_packet_entry", 2),
    Kind("tcp-stream-%", "plain", 0x51465506, "tcp_stream_entry", hexadecimal=True),
    Kind("memfd", "many", 0x48453499, "memfd_inode_entry"),
    Kind("remap-fpath", "many", 0x59133954, "remap_file_path_entry"),
    Kind("ghost-file-%", "ghost", 0x52583605, "ghost_file_entry", hexadecimal=True),
    Kind("mountpoints-%", "many", 0x55563928, "mnt_entry"),
    Kind("cgroup", "one", 0x59383330, "cgroup_entry"),
    Kind("seccomp", "one", 0x64413049, "seccomp_entry"),
    Kind("userns-%", "one", 0x55474906, "userns_entry"),
    Kind("utsns-%", "one", 0x54473203, "utsns_entry"),
    Kind("timens-%", "one", 0x43114433, "timens_entry"),
    Kind("ipcns-var-%", "one", 0x53115007, "ipc_var_entry"),
    Kind("ipcns-shm-%", "plain", 0x46283044, "ipc_shm_entry"),
    Kind("ipcns-msg-%", "plain", 0x55453737, "ipc_msg_entry"),
    Kind("ipcns-sem-%", "plain", 0x59573019, "ipc_sem_entry"),
    Kind("tty-info", "many", 0x59453036, "tty_info_entry"),
    Kind("tty-data", "many", 0x59413026, "tty_data_entry"),
    Kind("filelocks", "many", 0x54323616, "file_lock_entry"),
)
_BY_STEM: Final = {kind.stem: kind for kind in _KINDS}
_NAME: Final = re.compile(
    r"(?P<stem>[a-z][a-z-]*?)(?P<number>-(?:[0-9]{1,20}|[0-9a-f]{1,16}))?(?P<end>\.tar\.gz)?\.img\Z"
)


class Found(NamedTuple):
    """One message of one file."""

    stem: str  # of its kind
    number: int  # in the file's name, or 0
    message: schema.Message


def kind_of(name: str) -> tuple[Kind, int]:
    """Return what a file is and the number in its name. Raises: WireError: criu writes no such file."""
    match = _NAME.match(name)
    if match:
        plain = _BY_STEM.get(name.removesuffix(".img"))
        if plain is not None:
            return plain, 0
        kind = _BY_STEM.get(f"{match['stem']}-%{match['end'] or ''}") if match["number"] else None
        digits = (match["number"] or "-")[1:]
        if kind is not None and (kind.hexadecimal or digits.isdigit()):
            return kind, int(digits, 16 if kind.hexadecimal else 10)
    raise WireError(f"a file called {name[:80]!r}")


def messages(criu_images: str) -> Iterator[Found]:
    """Yield what is in the images of a directory, each image to its end, those of memory left out.

    Raises: WireError: there is a file that criu does not write for a container of limosa's, or one that is not whole;
    OSError. At most one record and its message is in memory at a time; see `MOST_FIELDS`.
    """
    budget = schema.Budget(MOST_FIELDS)
    names = sorted(os.listdir(criu_images))
    if len(names) > _MOST_FILES:
        raise WireError("more files than a dump has")
    for name in names:
        kind, number = kind_of(name)
        if kind.shape in ("plain", "pagemap") and not kind.message:
            continue
        descriptor = os.open(f"{criu_images}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            for message in _Reader(descriptor, name, kind, budget).messages():
                yield Found(kind.stem, number, message)
        finally:
            os.close(descriptor)


def read_all(path: str, kind_stem: str) -> list[schema.Message]:
    """Return the messages of an image. Raises: WireError, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return list(_Reader(descriptor, path, _BY_STEM[kind_stem], schema.Budget(MOST_FIELDS)).messages())
    finally:
        os.close(descriptor)


def read_one(path: str, kind_stem: str) -> schema.Message:
    """Return the only message of an image. Raises: WireError, OSError."""
    (found,) = read_all(path, kind_stem)
    return found


def write_one(path: str, kind_stem: str, message: schema.Message) -> None:
    """Replace an image by one with only `message`."""
    write_all(path, kind_stem, [message])


def write_all(path: str, kind_stem: str, messages: Iterable[schema.Message]) -> None:
    """Replace an image by one with these messages."""
    kind = _BY_STEM[kind_stem]
    bodies = [schema.encode(kind.message, message) for message in messages]
    with open(f"{path}.new", "wb") as file:
        os.chmod(file.fileno(), 0o644)
        file.write(_NUMBER.pack(_COMMON_MAGIC) + _NUMBER.pack(kind.magic))
        file.writelines(_NUMBER.pack(len(body)) + body for body in bodies)
    os.rename(f"{path}.new", path)


class _Reader:
    def __init__(self, descriptor: int, name: str, kind: Kind, budget: schema.Budget) -> None:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise WireError(f"{name}, which is no file")
        self._descriptor, self._name, self._kind, self._budget = descriptor, name, kind, budget
        self._place, self._size = 0, about.st_size

    def messages(self) -> Iterator[schema.Message]:
        kind = self._kind
        # An image of version 1.1 of criu's format; the inventory, which says so, is older and has one magic number.
        if kind.stem != "inventory" and self._number() != _COMMON_MAGIC:
            raise WireError(f"{self._name}, which is no image of criu's")
        if self._number() != kind.magic:
            raise WireError(f"{self._name}, which is an image of another kind")
        count = 0
        while self._place < self._size:
            message = schema.decode(kind.message, self._bytes(self._number()), self._budget)
            count += 1
            yield message
            if kind.shape == "plain":
                return
            if kind.shape == "with bytes":
                self._pass_over(message[kind.size_field])
            if kind.shape == "ghost":
                self._pass_over_ghost(message)
        if count != 1 and kind.shape in ("one", "ghost", "plain"):
            raise WireError(f"{self._name}, which has {count} messages")

    def _number(self) -> int:
        return int(_NUMBER.unpack(self._bytes(_NUMBER.size))[0])

    def _bytes(self, size: int) -> bytes:
        if size > _MOST_RECORD_BYTES or size > self._size - self._place:
            raise WireError(f"{self._name}, which ends inside a message")
        found = os.pread(self._descriptor, size, self._place)
        if len(found) != size:
            raise WireError(f"{self._name}, which became shorter")
        self._place += size
        return found

    def _pass_over(self, size: int) -> None:
        if size > self._size - self._place:
            raise WireError(f"{self._name}, which ends inside its data")
        self._place += size

    def _pass_over_ghost(self, message: schema.Message) -> None:
        if not message.get(9):  # its content is the rest
            self._place = self._size
        while self._place < self._size:
            chunk = schema.decode("ghost_chunk_entry", self._bytes(self._number()), self._budget)
            self._pass_over(chunk[1])
