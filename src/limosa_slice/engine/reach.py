"""Which definition a name can mean: scopes and imports, as far as they are seen without resolving names."""

from limosa_slice.engine.facts import TEST, file_kind
from limosa_slice.model.change import Atom, Change
from limosa_slice.model.outline import C_LIKE, PYTHON, extension
from limosa_slice.model.scopes import Scopes


class Reach:
    """Says whether code in one file of a change can mean what another one defines."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._kinds = [file_kind(delta.path) for delta in change.files]
        self._suffixes = [extension(delta.path) for delta in change.files]
        self._scopes: dict[tuple[int, bool], Scopes] = {}

    def can_mean(self, name: bytes, home: int, user: Atom, *, kept: bool, member: bool, new: bool) -> bool:
        """Say whether `name` in the lines of atom `user` can be what file `home` defines, on the new or the old side.

        `kept` says that only its own file sees the definition, `member` that a class has it. A product does not use
        what its tests define. Python sees another file's name where it imports it, or through a dot; a parameter or a
        variable hides it (`model/scopes.py`). Text that is no code may name anything.
        """
        suffix = self._suffixes[user.file]
        if suffix not in PYTHON | C_LIKE:
            return True
        if home != user.file:
            if kept or (self._kinds[home] == TEST != self._kinds[user.file]):
                return False
            if suffix not in PYTHON and self._suffixes[home] in PYTHON:
                return False
        hunk = user.hunk
        first, count = (hunk.new_start, hunk.new_count) if new else (hunk.old_start, hunk.old_count)
        return self._scopes_of(user.file, new).may_mean(name, first, count, member=member, here=home == user.file)

    def _scopes_of(self, file: int, new: bool) -> Scopes:
        key = (file, new)
        if key not in self._scopes:
            text = self._change.texts[file]
            self._scopes[key] = Scopes(self._change.files[file].path, text.new if new else text.old)
        return self._scopes[key]
