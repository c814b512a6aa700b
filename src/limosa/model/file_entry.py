"""What a commit says of a file beside its content: the attributes of entries below `FILES_PREFIX` (docs/format.md)."""

from limosa.model import json_text
from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

FILES_PREFIX: Final = b"files/"
"""Keys of files: the prefix and the path from the root of the container's own files; the root itself is the prefix."""

VOLUMES_PREFIX: Final = b"volumes/"
"""Keys of the files of volumes: this, the volume's name, a slash and the path from the volume's root."""

Kind = Literal["file", "directory", "link", "character", "block", "pipe", "socket"]
_KINDS: Final[tuple[Kind, ...]] = ("file", "directory", "link", "character", "block", "pipe", "socket")
_MOST_ID: Final = (1 << 32) - 2
_MOST_TIME_NS: Final = 1 << 62
_MOST_XATTR_BYTES: Final = 1 << 16


class FileEntry(NamedTuple):
    """One file. Owners are as on disk: the container's inner ids."""

    kind: Kind
    mode: int  # permissions and the setuid, setgid and sticky bits
    uid: int
    gid: int
    modified_ns: int
    device: tuple[int, int] = (0, 0)  # of a character or block device; (0, 0) is overlayfs's mark of a removed file
    link_group: int = 0  # entries with the same number, not 0, are one file; its inode number when it was committed
    xattrs: tuple[tuple[str, bytes], ...] = ()


def encode(entry: FileEntry) -> bytes:
    """Return the attributes of an entry: a JSON array in the order of the fields."""
    import base64  # what asks for a prefix only is imported by every command

    xattrs = [[name, base64.b64encode(value).decode()] for name, value in entry.xattrs]
    fields = [_KINDS.index(entry.kind), *entry[1:5], *entry.device, entry.link_group, xattrs]
    return json_text.dumps(fields, compact=True).encode()


def decode(data: bytes) -> FileEntry:
    """Return what attributes say. Raises: ValueError: they are a stranger's or damaged."""
    import base64
    import binascii

    try:
        kind, mode, uid, gid, modified_ns, major, minor, link_group, xattrs = json_text.loads(data)
        numbers = (kind, mode, uid, gid, modified_ns, major, minor, link_group)
        if any(type(number) is not int for number in numbers):
            raise ValueError("a number is needed")
        pairs = tuple((_name(name), base64.b64decode(value, validate=True)) for name, value in xattrs)
        entry = FileEntry(_KINDS[kind], mode, uid, gid, modified_ns, (major, minor), link_group, pairs)
    except (TypeError, IndexError, RecursionError, binascii.Error) as wrong:
        raise ValueError(f"not the attributes of a file: {wrong}") from wrong
    fine = (
        kind >= 0
        and 0 <= mode <= 0o7777
        and all(0 <= number <= _MOST_ID for number in (uid, gid))
        and abs(modified_ns) < _MOST_TIME_NS
        and 0 <= major < 1 << 12
        and 0 <= minor < 1 << 20
        and 0 <= link_group < 1 << 64
        and sum(len(value) for _, value in pairs) <= _MOST_XATTR_BYTES
    )
    if not fine:
        raise ValueError("not the attributes of a file: a number that cannot be")
    return entry


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) < 256 or "\0" in name:
        raise ValueError("not the name of an extended attribute")
    return name


def volume_prefix(name: str) -> bytes:
    """Return what the keys of a volume's files begin with."""
    return VOLUMES_PREFIX + name.encode() + b"/"


def checked_path(key: bytes, prefix: bytes) -> bytes:
    """Return the path that a key below `prefix` means, b"" for the root.

    Raises: ValueError: it would lead out of the root, or is no path.
    """
    path = key.removeprefix(prefix)
    if not path:
        return path
    parts = path.split(b"/")
    if b"\0" in path or any(part in (b"", b".", b"..") or len(part) > 255 for part in parts):
        raise ValueError(f"a file called {path[:80]!r}")
    return path


def kept_xattr(name: str) -> bool:
    """Say whether a commit keeps an extended attribute: the owner's, capabilities, ACLs, and overlayfs's own marks.

    Left out is what names other places (origin, redirect, metacopy: limosa mounts without them) and labels of the
    host's security modules.
    """
    if name.startswith("trusted.overlay."):
        return name.removeprefix("trusted.overlay.") in (
            "opaque",
            "impure",
            "nlink",
            "whiteout",
            "redirect",
            "metacopy",
        )
    return name.startswith(("user.", "system.posix_acl_")) or name == "security.capability"
