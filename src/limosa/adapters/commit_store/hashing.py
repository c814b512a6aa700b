"""Keyed digests: the same bytes have the same id in stores with the same key, and none that a stranger could guess."""

from collections.abc import Callable

from limosa.model.commit_store import ObjectId
from limosa.model.hints import Any, Final

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
CHECKSUM_BYTES: Final = 32
DIGEST_BYTES: Final = 32
KINDS: Final = ("page", "frame", "blob", "node", "commit", "bundle")


class Hasher:
    """The digests of one key. Each kind of object has a key of its own, so that no blob can pass for a node."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a store's key has {KEY_BYTES} bytes, not {len(key)}")
        from blake3 import blake3

        self._blake3: Any = blake3
        self.many: Callable[[bytes, bytes | memoryview], bytes] | None = None
        """Returns, for a key and pages in a row, their digests in a row, faster than one by one."""
        self.key: Final = key
        self.key_id: bytes = self._derived("key id")[:KEY_ID_BYTES]
        self._keys = {kind: self._derived(kind) for kind in KINDS}
        self.page_key = self._keys["page"]

    def _derived(self, purpose: str) -> bytes:
        return bytes(self._blake3(self.key, derive_key_context=f"limosa commit store 1 {purpose}").digest())

    def page(self, data: bytes | memoryview) -> bytes:
        """Return the digest of one page."""
        return self._blake3(data, key=self.page_key).digest()  # type: ignore[no-any-return]

    def pages(self, data: bytes | memoryview, page_bytes: int) -> bytes:
        """Return the digests of the pages of `data`, in a row."""
        if self.many is not None:
            return self.many(self.page_key, data)
        blake3, key, view = self._blake3, self.page_key, memoryview(data)
        return b"".join(blake3(view[at : at + page_bytes], key=key).digest() for at in range(0, len(view), page_bytes))

    def frame(self, page_digests: list[bytes]) -> ObjectId:
        """Return the id of the frame whose pages have these digests."""
        return self.of("frame", b"".join(page_digests))

    def of(self, kind: str, data: bytes | memoryview) -> ObjectId:
        """Return the id of a "blob", "node", "commit", "frame" or "bundle"."""
        return ObjectId(self._blake3(data, key=self._keys[kind]).digest())


def checksum(*parts: bytes | memoryview) -> bytes:
    """Return the digest, without a key, of `parts` in a row: it finds torn and rotten records."""
    from blake3 import blake3

    digest: Any = blake3()
    for part in parts:
        digest.update(part)
    return bytes(digest.digest())
