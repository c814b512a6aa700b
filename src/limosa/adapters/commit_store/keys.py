"""The `StoreKeys` port over a store's directory."""

import json

from limosa.adapters.commit_store import parts


class DirectoryKeys:
    """The key of the store in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def key_id(self) -> str:
        """See the port."""
        try:
            with open(f"{self._directory}/format", encoding="ascii") as file:
                return str(json.load(file)["key_id"])
        except (FileNotFoundError, ValueError, KeyError):
            return ""

    def key(self) -> bytes:
        """See the port."""
        parts.create(self._directory)
        with open(f"{self._directory}/key", "rb") as file:
            return file.read()

    def adopt(self, key: bytes) -> None:
        """See the port."""
        parts.adopt(self._directory, key)
