"""Read what `git diff-tree --raw -z`, `git diff-tree -p -U0` and `git log --numstat -z` print. Bytes in, values out."""

import re

from limosa_slice.model.change import Entry, FileDelta, Hunk
from limosa_slice.ports.repository import PastCommit

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def _decode(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def parse(raw: bytes, patch: bytes) -> list[FileDelta]:
    """Return one delta per raw record; a record of type T has two patches, which are skipped: it is never text."""
    patches = _patches(patch)
    deltas, cursor = [], 0
    for status, old, new, old_path, new_path in _records(raw):
        retyped = status.startswith("T")
        hunks = None if retyped else patches[cursor]
        cursor += 2 if retyped else 1
        deltas.append(FileDelta(old_path, new_path, old, new, hunks))
    return deltas


Record = tuple[str, Entry | None, Entry | None, str | None, str | None]


def _records(out: bytes) -> list[Record]:
    """Return the raw records, in the order in which the patch has them."""
    records: list[Record] = []
    position = 0
    while position < len(out):
        end = out.index(b"\0", position)
        old_mode, new_mode, old_oid, new_oid, status = out[position + 1 : end].decode().split()
        position = end + 1
        paths = []
        for _ in range(2 if status[0] in "RC" else 1):
            end = out.index(b"\0", position)
            paths.append(_decode(out[position:end]))
            position = end + 1
        old = None if old_mode == "000000" else Entry(old_mode, old_oid)
        new = None if new_mode == "000000" else Entry(new_mode, new_oid)
        records.append((status, old, new, paths[0] if old else None, paths[-1] if new else None))
    return records


def parse_entries(raw: bytes) -> dict[str, Entry | None]:
    """Return each path of a `git diff-tree --raw -z --no-renames` with its new entry; None is gone."""
    return {new_path or old_path or "": new for _, _, new, old_path, new_path in _records(raw)}


def _patches(text: bytes) -> list[tuple[Hunk, ...] | None]:
    """Return the hunks of each patch in order, or None where git calls it binary.

    Content cannot be taken for a header: the counts in a hunk's header say how many lines to step over.
    """
    found: list[tuple[Hunk, ...] | None] = []
    hunks: list[Hunk] | None = None
    binary = False
    lines = text.split(b"\n")
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if line.startswith(b"diff --git "):
            if hunks is not None:
                found.append(None if binary else tuple(hunks))
            hunks, binary = [], False
        elif line.startswith(b"Binary files ") and hunks is not None:
            binary = True
        elif (match := _HUNK.match(line)) and hunks is not None:
            hunks.append(_hunk(match))
            index = _after_body(lines, index, hunks[-1].old_count + hunks[-1].new_count)
    if hunks is not None:
        found.append(None if binary else tuple(hunks))
    return found


def _after_body(lines: list[bytes], index: int, left: int) -> int:
    """Return the index after a hunk's `left` lines; "\\ No newline at end of file" is not one of them."""
    while index < len(lines) and (left or lines[index].startswith(b"\\")):
        left -= not lines[index].startswith(b"\\")
        index += 1
    return index


def _hunk(match: "re.Match[bytes]") -> Hunk:
    old_start, new_start = int(match[1]), int(match[3])
    old_count = 1 if match[2] is None else int(match[2])
    new_count = 1 if match[4] is None else int(match[4])
    # An empty side names the line before it; any other names its first line.
    return Hunk(old_start - (old_count > 0), old_count, new_start - (new_count > 0), new_count)


def parse_history(out: bytes) -> list[PastCommit]:
    """Return the commits of a `git log --numstat -z --format=%x01%s`, or with --name-only: no lines."""
    commits = []
    for block in out.split(b"\x01")[1:]:
        title, *fields = block.split(b"\0")
        paths, lines = [], 0
        for field in fields:
            parts = field.lstrip(b"\n").split(b"\t", 2)
            if parts[-1]:
                paths.append(_decode(parts[-1]))
                lines += sum(int(count) for count in parts[:-1] if count.isdigit())
        commits.append(PastCommit(title.decode(errors="replace").strip(), tuple(paths), lines))
    return commits
