"""Signatures of commits that leave this host, and the keys whose commits it restores."""

from limosa.model.commit_store import Signature
from limosa.model.hints import Protocol
from limosa.model.trust import TrustedKey


class Trust(Protocol):
    """This host's own key, made when it is first needed, and others'."""

    def public_key(self) -> str:
        """Return this host's public key, "ssh-ed25519 AAAA…". Raises: LimosaError LIM-TRUST-004: none can be made."""

    def sign(self, data: bytes) -> Signature:
        """Sign with this host's key. Raises: LimosaError LIM-TRUST-004."""

    def fits(self, data: bytes, signature: Signature) -> bool:
        """Say whether the key of a signature made it for `data`; not whether anybody trusts it.

        Raises: LimosaError LIM-TRUST-004.
        """

    def add(self, name: str, key: str) -> TrustedKey:
        """Trust a key. Raises: LimosaError LIM-TRUST-003: it is none; LIM-TRUST-005: the name or key is there."""

    def remove(self, name: str) -> None:
        """Trust a key no more. Raises: LimosaError LIM-TRUST-005: there is none of that name."""

    def all(self) -> list[TrustedKey]:
        """Return the trusted keys by name."""
