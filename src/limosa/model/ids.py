"""Names and identifiers, and the rules for both."""

from limosa.model.errors import LimosaError
from limosa.model.hints import Final, NewType

ContainerId = NewType("ContainerId", str)
"""24 lower-case hexadecimal digits. Never reused: derived names (veth, cgroup) are unique by it."""

Digest = NewType("Digest", str)
"""`sha256:` and 64 hexadecimal digits, as OCI writes it."""

ID_DIGITS: Final = 24
SHORT_ID_DIGITS: Final = 12
_LONGEST_NAME: Final = 63
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
HEX_DIGITS: Final = frozenset("0123456789abcdef")
_DIGEST_DIGITS: Final = 64


def container_id(random_bytes: bytes) -> ContainerId:
    """Return the id made of 12 random bytes. Raises ValueError for any other length."""
    if len(random_bytes) * 2 != ID_DIGITS:
        raise ValueError(f"a container id takes {ID_DIGITS // 2} bytes, not {len(random_bytes)}")
    return ContainerId(random_bytes.hex())


def short(identifier: str) -> str:
    """Return the abbreviated form that listings show."""
    return identifier[:SHORT_ID_DIGITS]


def looks_like_id(text: str) -> bool:
    """Say whether `text` could be a container id or an abbreviation of one."""
    return 0 < len(text) <= ID_DIGITS and HEX_DIGITS.issuperset(text)


def checked_digest(text: str) -> Digest:
    """Return `text` as a digest. Raises ValueError if it is anything but `sha256:<64 hex>`."""
    kind, _, digits = text.partition(":")
    if kind != "sha256" or len(digits) != _DIGEST_DIGITS or not HEX_DIGITS.issuperset(digits):
        raise ValueError(f"not a sha256 digest: {text!r}")
    return Digest(text)


def is_name(text: str, longest: int = _LONGEST_NAME) -> bool:
    """Say whether `text` can name something: letters, digits, "_", "." and "-", the first a letter or a digit."""
    return 0 < len(text) <= longest and text[0] not in "_.-" and _NAME_CHARACTERS.issuperset(text)


def checked_name(text: str, what: str = "container") -> str:
    """Return `text` if it can name a `what`.

    Raises: LimosaError LIM-NAME-001: it has other characters, is empty or is longer than 63.
    """
    if not is_name(text):
        raise LimosaError(
            "LIM-NAME-001",
            f"{text!r} cannot be the name of a {what}",
            cause="a name has 1 to 63 letters, digits, '_', '.' or '-' and starts with a letter or a digit",
            hint="choose another name",
            exit_status=2,
        )
    return text
