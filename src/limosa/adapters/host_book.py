"""The `HostBook` port over a file: <root>/hosts.json."""

import json
import os

from limosa.linux import atomic_file, flock
from limosa.model import codec
from limosa.model.peer_address import PeerAddress


class FileHostBook:
    """Hosts of one root."""

    def __init__(self, root: str) -> None:
        self._path = f"{root}/hosts.json"

    def all(self) -> dict[str, PeerAddress]:
        """See the port."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return codec.from_jsonable(dict[str, PeerAddress], json.load(file))
        except FileNotFoundError:
            return {}

    def put(self, name: str, address: PeerAddress | None) -> None:
        """See the port."""
        os.makedirs(os.path.dirname(self._path), mode=0o711, exist_ok=True)
        with flock.locked(f"{self._path}.lock"):
            known = {one: there for one, there in self.all().items() if one != name}
            if address is not None:
                known[name] = address
            atomic_file.replace(self._path, json.dumps(codec.to_jsonable(dict(sorted(known.items())))).encode())
