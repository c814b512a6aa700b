"""Where a commit came from, and whose commits are restored."""

from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

OWN: Final = ""
ACCEPTED: Final = "accepted"
UNSIGNED: Final = "unsigned"
"""Origins of a commit besides the public key that signed it: made by a host with this store's key; taken from
elsewhere by somebody who vouched for it (`import --trust`); from elsewhere, and signed by nobody."""

_KIND: Final = "ssh-ed25519"
_MOST_CHARACTERS: Final = 200


class TrustedKey(NamedTuple):
    """A key whose commits are restored."""

    name: str
    key: str  # "ssh-ed25519 AAAA…"
    fingerprint: str  # "SHA256:…"


def public_key(text: str) -> str:
    """Return the key of a line such as "ssh-ed25519 AAAA… somebody", without the comment.

    Raises: LimosaError LIM-TRUST-003: it is none.
    """
    words = text.split()
    printable = text.isascii() and len(text) <= _MOST_CHARACTERS + 100 and "\n" not in text.strip()
    if len(words) < 2 or words[0] != _KIND or not printable or fingerprint(f"{_KIND} {words[1]}") == "":
        raise LimosaError(
            "LIM-TRUST-003",
            f"{text.strip()[:60]!r} is no public key",
            cause=f"a key is a line {_KIND} AAAA…",
            hint="limosa trust key shows it, on the host that signs",
        )
    return f"{words[0]} {words[1]}"


def fingerprint(key: str) -> str:
    """Return "SHA256:…" of a public key, as ssh-keygen -l prints it; "" for what is none."""
    import base64
    import binascii
    import hashlib

    try:
        kind, body = key.split(" ")
        data = base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        return ""
    head = len(kind).to_bytes(4, "big") + kind.encode()
    if kind != _KIND or not data.startswith(head + (32).to_bytes(4, "big")) or len(data) != len(head) + 36:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def shown(origin: str) -> str:
    """Return what people read of an origin."""
    if origin in (OWN, ACCEPTED, UNSIGNED):
        return {OWN: "this host, or one with its key", ACCEPTED: "elsewhere; accepted by import --trust"}.get(
            origin, "elsewhere; signed by nobody"
        )
    return f"elsewhere; signed by {fingerprint(origin)}"
