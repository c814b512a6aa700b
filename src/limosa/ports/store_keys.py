"""The key of a host's commit store: hosts that have the same one can share commits."""

from limosa.model.hints import Protocol


class StoreKeys(Protocol):
    """The key of one limosa root. Nothing here opens the store."""

    def key_id(self) -> str:
        """Return what names the key, hexadecimal; "" if there is no store yet."""

    def key(self) -> bytes:
        """Return the key itself, making a store if there is none: only for a host that is to join the group."""

    def adopt(self, key: bytes) -> None:
        """Take another host's key; the store is made if there is none.

        Raises: LimosaError LIM-CSTORE-003: it has commits of another key; nothing changed.
        """
