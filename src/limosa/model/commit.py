"""A commit: a container's processes, files and configuration at one instant."""

from limosa.model.cgroup import CgroupNode
from limosa.model.container import ContainerRecord
from limosa.model.hints import NewType
from limosa.model.value import NamedTuple
from limosa.model.volume import CommittedVolume

CommitId = NewType("CommitId", str)
"""64 lower-case hexadecimal digits: the store's keyed digest of everything in the commit."""


class CheckpointStats(NamedTuple):
    """What one checkpoint took. The phases follow each other; `captured_ns` lies within `dumped_ns`."""

    prepared_ns: int  # until criu was asked
    dumped_ns: int  # criu at work
    captured_ns: int  # files and cgroups, all processes standing still
    stored_ns: int  # memory and files read, and written to the store
    frozen_ns: int  # from the stop of the first process until all went on; with --stop, until they were ended
    total_ns: int
    read_bytes: int  # memory and changed files
    new_bytes: int  # what of that the store did not have
    stored_bytes: int  # what the store grew by: compressed, with manifest and index records


class CommitRecord(NamedTuple):
    """What has to be known to bring a commit back; memory and files are in the store, by `commit_id`."""

    container: ContainerRecord  # as it was
    streams: tuple[str, str, str]  # what descriptors 0..2 of the first process were, for CRIU
    snapshot: str = ""  # label of the snapshot of the files, which may be gone: the store has them too
    message: str = ""
    frozen_ns: int = 0
    cgroups: tuple[CgroupNode, ...] = ()  # what an init made below its group
    stopped: bool = False  # the container was ended by this commit, so its connections can be kept
    scheduled: bool = False  # made at its time, not by somebody: retention may forget it
    read_bytes: int = 0  # memory and changed files that were read for it
    new_bytes: int = 0  # what of that the store did not have
    volumes: tuple[CommittedVolume, ...] = ()
    files_only: bool = False  # no process is in it: what comes back from it is started
    origin: str = ""  # see model.trust; what another host wrote there is replaced when it comes
    # What the store says, not the attributes:
    commit_id: CommitId = CommitId("")
    parent: CommitId = CommitId("")
    created_ns: int = 0
