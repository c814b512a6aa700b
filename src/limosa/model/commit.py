"""A commit: a container's processes, files and configuration at one instant."""

from typing import NamedTuple, NewType

from limosa.model.cgroup import CgroupNode
from limosa.model.container import ContainerRecord

CommitId = NewType("CommitId", str)
"""64 lower-case hexadecimal digits: the store's keyed digest of everything in the commit."""


class CommitRecord(NamedTuple):
    """What has to be known to bring a commit back; memory and files are in the store, by `commit_id`."""

    container: ContainerRecord  # as it was
    streams: tuple[str, str, str]  # what descriptors 0..2 of the first process were, for CRIU
    snapshot: str = ""  # label of the snapshot of the files, which may be gone: the store has them too
    message: str = ""
    frozen_ns: int = 0
    cgroups: tuple[CgroupNode, ...] = ()  # what an init made below its group
    stopped: bool = False  # the container was ended by this commit, so its connections can be kept
    # What the store says, not the attributes:
    commit_id: CommitId = CommitId("")
    parent: CommitId = CommitId("")
    created_ns: int = 0
