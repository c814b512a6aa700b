"""From a set of atoms back to a tree. The set of all atoms gives the head tree; the empty set the base tree."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from limosa_slice.model.change import Change, Entry, Role
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.repository import Repository


@dataclass(frozen=True, slots=True)
class FileState:
    """A file at some point of the series: `content` is None when `oid` names bytes that nobody edits."""

    path: str
    mode: str
    content: bytes | None
    oid: str | None


def file_state(change: Change, file: int, applied: Collection[int]) -> FileState | None:
    """Return what file `file` is when exactly the atoms in `applied` are carried out; None: it does not exist."""
    delta = change.files[file]
    here = [change.atoms[a] for a in change.by_file[file] if a in applied]
    if not here or len(here) == len(change.by_file[file]):
        entry, path = (delta.old, delta.old_path) if not here else (delta.new, delta.new_path)
        return None if entry is None or path is None else FileState(path, entry.mode, None, entry.oid)
    # Partly carried out: text on the new side at least, so `new` is there.
    assert delta.new is not None
    assert delta.new_path is not None
    roles = {atom.role for atom in here}
    base = delta.old or delta.new
    mode = delta.new.mode if Role.MODE in roles else base.mode
    path = delta.new_path if Role.RENAME in roles or delta.old_path is None else delta.old_path
    text = change.texts[file]
    out: list[bytes] = []
    cursor = 0
    for atom in here:
        if atom.role is Role.EDIT:
            out += text.old[cursor : atom.hunk.old_start]
            out += change.added(atom)
            cursor = atom.hunk.old_start + atom.hunk.old_count
    out += text.old[cursor:]
    if not any(atom.role is Role.EDIT for atom in here):
        return FileState(path, mode, None, base.oid)
    return FileState(path, mode, b"".join(out), None)


class Composer:
    """Makes trees of sets of atoms; what a step changes is all that it writes."""

    def __init__(self, repository: Repository, change: Change) -> None:
        self._repository = repository
        self.change = change

    def tree(self, applied: Collection[int]) -> str:
        """Return the id of the tree in which exactly `applied` are carried out.

        Raises: SliceError LIM-SLICE-020: two atoms claim one path; the planner's constraints rule that out.
        """
        if not applied:
            return self.change.base_tree
        applied = applied if isinstance(applied, set | frozenset) else frozenset(applied)
        touched = sorted({self.change.atoms[a].file for a in applied})
        return self._repository.write_tree(self.change.base_tree, self._updates(touched, applied))

    def _updates(self, touched: Iterable[int], applied: Collection[int]) -> dict[str, Entry | None]:
        updates: dict[str, Entry | None] = {}
        states: list[FileState] = []
        for file in touched:
            delta = self.change.files[file]
            if delta.old_path is not None:
                updates[delta.old_path] = None
            state = file_state(self.change, file, applied)
            if state is not None:
                states.append(state)
        contents = [s.content for s in states if s.content is not None]
        oids = iter(self._repository.write_blobs(contents))
        for state in states:
            oid = next(oids) if state.content is not None else state.oid
            if updates.get(state.path) is not None:
                raise SliceError("LIM-SLICE-020", f"two files claim the path {state.path}")
            updates[state.path] = Entry(state.mode, oid or "")
        return updates
