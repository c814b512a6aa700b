"""What is in a commit, and in what two commits differ."""

from collections.abc import Iterator
from typing import Final

from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model import codec, file_entry
from limosa.model.commit import CommitRecord
from limosa.model.commit_contents import (
    Change,
    CommittedProcess,
    Contents,
    Difference,
    FileChange,
    Memory,
    MemoryChange,
    ProcessChange,
    SettingChange,
)
from limosa.model.commit_store import PAGE_BYTES, Blob, Entry, Inline, Paged, PageMap
from limosa.model.errors import LimosaError, words_of
from limosa.model.file_entry import FILES_PREFIX, VOLUMES_PREFIX
from limosa.ports.commit_store import CommitReader
from limosa.ports.memory_archive import MEMORY_PREFIX

_WHITEOUT: Final = (0, 0)


def contents(host: Host, record: CommitRecord) -> Contents:
    """Return what a commit holds. Raises: LimosaError LIM-CSTORE-001, -002: it is damaged."""
    with host.store.reading(commits.identifier(record)) as reader:
        memories = tuple(
            Memory(key.removeprefix(MEMORY_PREFIX).decode(errors="backslashreplace"), _pages(reader, entry))
            for key, entry in reader.entries(MEMORY_PREFIX)
        )
        sizes = [size for _, entry in reader.entries(FILES_PREFIX) if (size := _size_bytes(entry)) is not None]
        return Contents(
            record,
            tuple(commits.tags(host).get(record.commit_id, ())),
            tuple(_processes(host, reader)),
            memories,
            sum(memory.n_pages for memory in memories) * PAGE_BYTES,
            len(sizes),
            sum(sizes),
        )


def difference(host: Host, one: CommitRecord, other: CommitRecord) -> Difference:
    """Return in what `other` differs from `one`. Raises: LimosaError LIM-CSTORE-001, -002: one of them is damaged."""
    files: list[FileChange] = []
    memories: list[MemoryChange] = []
    on_volumes = _OnVolumes(one, other)
    with (
        host.store.reading(commits.identifier(one)) as before,
        host.store.reading(commits.identifier(other)) as after,
    ):
        for key, left, right in host.store.differing_entries(before.commit.manifest, after.commit.manifest):
            if key.startswith(FILES_PREFIX):
                files += _file_change(key, left, right)
            elif key.startswith(VOLUMES_PREFIX):
                on_volumes.add(key, left, right)
            elif key.startswith(MEMORY_PREFIX):
                memories += _memory_change(host, key, left, right)
        processes = _process_changes(host, before, after)
    return Difference((*files, *on_volumes.changes()), tuple(memories), processes, _setting_changes(one, other))


def _processes(host: Host, reader: CommitReader) -> list[CommittedProcess]:
    if commits.described(reader.commit_id, reader.commit).files_only:
        return []
    return host.memory_archive.processes(reader)


def _pages(reader: CommitReader, entry: Entry) -> int:
    return sum(run.n_pages for run in reader.page_runs(_map_of(entry)))


def _map_of(entry: Entry | None) -> PageMap:
    return entry.content.pages if entry is not None and isinstance(entry.content, Paged) else PageMap()


def _size_bytes(entry: Entry | None) -> int | None:
    """Return the size of a file, 0 for what is no regular one; None for the mark of a removed file, and for nothing."""
    if entry is None:
        return None
    try:
        said = file_entry.decode(entry.attributes)
    except ValueError as made_up:
        raise LimosaError(
            "LIM-COMM-011",
            "the files of a commit cannot be understood",
            cause=words_of(made_up),
            hint="limosa verify shows whether the commit is whole; it may come from somebody who means harm",
        ) from made_up
    if said.kind == "character" and said.device == _WHITEOUT:
        return None
    if said.kind != "file":
        return 0
    content: Inline | Blob | Paged = entry.content
    return len(content.data) if isinstance(content, Inline) else content.size_bytes


def _changed(before: object, after: object) -> Change:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _file_change(key: bytes, left: Entry | None, right: Entry | None) -> list[FileChange]:
    before, after = _size_bytes(left), _size_bytes(right)
    path = "/" + key.removeprefix(FILES_PREFIX).decode(errors="backslashreplace")
    if before is None and after is None:
        # A mark came or went with nothing else: a file of the image was removed, or is there again.
        return [FileChange(path, "removed" if right is not None else "added", (0, 0))] if left != right else []
    return [FileChange(path, _changed(before, after), (before or 0, after or 0))]


class _OnVolumes:
    """What differs on volumes, by where they are mounted: a copy's have other names than its original's."""

    def __init__(self, *records: CommitRecord) -> None:
        self._targets = tuple(_targets(record) for record in records)
        self._found: dict[tuple[str, str], list[tuple[str, Entry] | None]] = {}

    def add(self, key: bytes, *sides: Entry | None) -> None:
        """Take an entry that is not the same in both."""
        name, _, path = key.removeprefix(VOLUMES_PREFIX).decode(errors="backslashreplace").partition("/")
        for at, (targets, entry) in enumerate(zip(self._targets, sides, strict=True)):
            if entry is not None:
                place = (targets.get(name, f"(volume {name})"), path)
                self._found.setdefault(place, [None, None])[at] = (name, entry)

    def changes(self) -> Iterator[FileChange]:
        """Yield what is not the same at one place."""
        for (target, path), (left, right) in sorted(self._found.items(), key=lambda item: item[0]):
            before, after = (side[1] if side else None for side in (left, right))
            name = (right or left or ("",))[0]
            if before != after:
                sizes = _size_bytes(before) or 0, _size_bytes(after) or 0
                yield FileChange(f"{target}/{path}".rstrip("/"), _changed(before, after), sizes, name)


def _targets(record: CommitRecord) -> dict[str, str]:
    mounts = [mount for mount in record.container.config.mounts if mount.kind == "volume"]
    return {mount.source: mount.target.rstrip("/") for mount in reversed(mounts)}


def _memory_change(host: Host, key: bytes, left: Entry | None, right: Entry | None) -> list[MemoryChange]:
    name = key.removeprefix(MEMORY_PREFIX).decode(errors="backslashreplace")
    runs = tuple(host.store.differing_pages(_map_of(left), _map_of(right)))
    return [MemoryChange(name, _changed(left, right), sum(n_pages for _, n_pages in runs), runs)]


def _process_changes(host: Host, before: CommitReader, after: CommitReader) -> tuple[ProcessChange, ...]:
    left, right = ({process.pid: process.command for process in _processes(host, reader)} for reader in (before, after))
    return tuple(
        ProcessChange(pid, _changed(left.get(pid), right.get(pid)), (left.get(pid, ""), right.get(pid, "")))
        for pid in sorted(left.keys() | right.keys())
        if left.get(pid) != right.get(pid)
    )


def _setting_changes(one: CommitRecord, other: CommitRecord) -> tuple[SettingChange, ...]:
    left, right = (_flat("", codec.to_jsonable(record.container.config)) for record in (one, other))
    return tuple(
        SettingChange(name, left.get(name), right.get(name))
        for name in dict.fromkeys((*left, *right))
        if left.get(name) != right.get(name)
    )


def _flat(name: str, value: object) -> dict[str, object]:
    """Return nested objects as one level with dotted names; arrays stay whole."""
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, object] = {}
    for key, inner in value.items():
        found.update(_flat(f"{name}.{key}" if name else str(key), inner))
    return found
