"""The `ArchiveFiles` port over directories with an OCI image layout."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

from limosa.model.errors import LimosaError, words_of

_PART_BYTES: Final = 256 << 10
_NAME: Final = re.compile(r"(?:oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})\Z")
_ORDER: Final = ("blobs", "oci-layout", "index.json")


class LayoutFiles:
    """See the port."""

    def listed(self, directory: str) -> list[tuple[str, int]]:
        """See the port."""
        blobs = sorted(os.listdir(f"{directory}/blobs/sha256"))
        names = [*(f"blobs/sha256/{name}" for name in blobs), *_ORDER[1:]]
        return [(name, os.stat(f"{directory}/{name}").st_size) for name in names]

    def read(self, directory: str, name: str) -> Iterator[bytes]:
        """See the port."""
        with open(f"{directory}/{name}", "rb") as file:
            while part := file.read(_PART_BYTES):
                yield part

    def write(self, directory: str, name: str, parts: Iterable[bytes]) -> None:
        """See the port."""
        if not _NAME.match(name):
            raise ValueError(f"an image has no file {name[:80]!r}")
        path = f"{directory}/{name}"
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            with open(path, "xb") as file:
                for part in parts:
                    file.write(part)
        except OSError as failed:
            if failed.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise LimosaError(
                "LIM-IMG-007", "there is no room for the image", cause=words_of(failed), hint="limosa system df"
            ) from failed
