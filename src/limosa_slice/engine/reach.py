"""Which definition a name can mean: scopes and imports, as far as they are seen without resolving names."""

import re
from collections.abc import Sequence

from limosa_slice.engine.facts import TEST, file_kind
from limosa_slice.model.change import Change
from limosa_slice.model.outline import C_LIKE, PYTHON, extension, python_imports


class Reach:
    """Says whether code in one file of a change can mean what another one defines."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._kinds = [file_kind(delta.path) for delta in change.files]
        self._suffixes = [extension(delta.path) for delta in change.files]
        self._imports: dict[tuple[int, bool], frozenset[bytes]] = {}

    def can_mean(self, name: bytes, home: int, kept: bool, user: int, lines: Sequence[bytes], *, new: bool) -> bool:
        """Say whether `name` in `lines` of file `user` can be what file `home` defines, on the new or the old side.

        `kept` says that only its own file sees the definition. A product does not use what its tests define. Python
        sees another file's name where it imports it, or as an attribute. Text that is no code may name anything.
        """
        suffix = self._suffixes[user]
        if home == user or suffix not in PYTHON | C_LIKE:
            return True
        if kept or (self._kinds[home] == TEST != self._kinds[user]):
            return False
        if suffix not in PYTHON:
            return self._suffixes[home] not in PYTHON
        return bool(self._imported(user, new) & {name, b"*"}) or any(
            re.search(rb"\.\s*" + re.escape(name) + rb"\b", line) for line in lines
        )

    def _imported(self, file: int, new: bool) -> frozenset[bytes]:
        key = (file, new)
        if key not in self._imports:
            text = self._change.texts[file]
            self._imports[key] = python_imports(text.new if new else text.old)
        return self._imports[key]
