"""What is in a commit, and in what two commits differ, as `show` and `diff` say it."""

from limosa.model.commit import CommitRecord
from limosa.model.hints import Literal
from limosa.model.value import NamedTuple

Change = Literal["added", "changed", "removed"]


class CommittedProcess(NamedTuple):
    """A process of a commit, by the pid that it has in its container."""

    pid: int
    command: str  # as the kernel calls it: at most 15 characters


class Memory(NamedTuple):
    """The memory of a process, or memory that several share. `n_pages` are those that are not zero."""

    name: str  # of criu's pagemap image
    n_pages: int


class Contents(NamedTuple):
    """A commit and what it holds."""

    commit: CommitRecord
    tags: tuple[str, ...]
    processes: tuple[CommittedProcess, ...]
    memories: tuple[Memory, ...]
    memory_bytes: int
    n_files: int  # of the container's own, without those of its image
    file_bytes: int


class FileChange(NamedTuple):
    """A file that is not the same in two commits. `size_bytes` are before and after, 0 where it is not."""

    path: str  # inside the container
    change: Change
    size_bytes: tuple[int, int]
    volume: str = ""  # that it is on: its name in the later commit


class MemoryChange(NamedTuple):
    """A memory that is not the same in two commits, with the pages that differ."""

    name: str
    change: Change
    n_pages: int
    runs: tuple[tuple[int, int], ...]  # first page (address / 4096), pages


class ProcessChange(NamedTuple):
    """A process that only one of two commits has, or that executes another program in each."""

    pid: int
    change: Change
    commands: tuple[str, str]  # before and after, empty where it is not


class SettingChange(NamedTuple):
    """A field of the configuration that is not the same in two commits, as JSON has it."""

    name: str
    before: object
    after: object


class Difference(NamedTuple):
    """In what two commits differ."""

    files: tuple[FileChange, ...]
    memories: tuple[MemoryChange, ...]
    processes: tuple[ProcessChange, ...]
    settings: tuple[SettingChange, ...]
