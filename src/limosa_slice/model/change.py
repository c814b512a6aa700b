"""One change between two trees, as files, and as atoms: the smallest parts that a series may separate.

A path is text decoded with `surrogateescape`, so every byte string survives. Line numbers count from 0.
"""

from dataclasses import dataclass, field
from enum import Enum

REGULAR = frozenset({"100644", "100755", "100664"})
SYMLINK = "120000"
GITLINK = "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob, symlink or gitlink in a tree: its mode as git writes it and its object id."""

    mode: str
    oid: str


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines [old_start, old_start + old_count) of the old blob become [new_start, new_start + new_count) of the new."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int


@dataclass(frozen=True, slots=True)
class FileDelta:
    """One path that differs between two trees; a rename has two paths. `hunks` is None where git sees no text."""

    old_path: str | None
    new_path: str | None
    old: Entry | None
    new: Entry | None
    hunks: tuple[Hunk, ...] | None

    @property
    def path(self) -> str:
        """The path that a reader knows it by: the new one if there is one."""
        return self.new_path or self.old_path or ""


class Role(Enum):
    """What carrying out an atom does to its file."""

    EDIT = "edit"  # replaces a run of lines
    MODE = "mode"  # changes the permission bits
    RENAME = "rename"  # moves the file to its new path
    WHOLE = "whole"  # replaces the whole entry: binary, symlink, gitlink, deletion, change of type


@dataclass(frozen=True, slots=True)
class Atom:
    """A part of the change that is carried out entirely or not at all. `file` and `id` are indexes."""

    id: int
    file: int
    role: Role
    hunk: Hunk = Hunk(0, 0, 0, 0)
    ordinal: int = 0  # which -U0 hunk of the file it came from


@dataclass(frozen=True, slots=True)
class FileText:
    """Both sides of a file as lines with their terminators; empty where the file is not text or absent."""

    old: tuple[bytes, ...] = ()
    new: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Change:
    """A whole change: the two trees, the files that differ and the atoms that make up the difference."""

    base_tree: str
    head_tree: str
    files: tuple[FileDelta, ...]
    texts: tuple[FileText, ...]
    atoms: tuple[Atom, ...]
    by_file: tuple[tuple[int, ...], ...] = field(repr=False)

    def removed(self, atom: Atom) -> tuple[bytes, ...]:
        """Return the lines that `atom` takes away."""
        text, hunk = self.texts[atom.file], atom.hunk
        return text.old[hunk.old_start : hunk.old_start + hunk.old_count]

    def added(self, atom: Atom) -> tuple[bytes, ...]:
        """Return the lines that `atom` brings."""
        text, hunk = self.texts[atom.file], atom.hunk
        return text.new[hunk.new_start : hunk.new_start + hunk.new_count]

    def path(self, atom: Atom) -> str:
        """Return the path that `atom` changes."""
        return self.files[atom.file].path

    def lines(self, atom: Atom) -> int:
        """Return how many lines `atom` adds and removes."""
        return atom.hunk.old_count + atom.hunk.new_count

    def label(self, atom: Atom) -> str:
        """Return `path:line` as an editor takes it, or the path alone with the role."""
        if atom.role is Role.EDIT:
            return f"{self.path(atom)}:{atom.hunk.new_start + 1}"
        return f"{self.path(atom)} ({atom.role.value})"


def split_lines(data: bytes) -> tuple[bytes, ...]:
    """Return `data` as lines that keep their line feed; only LF ends a line, as in git."""
    if not data:
        return ()
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    if parts[-1]:
        lines.append(parts[-1])
    return tuple(lines)
