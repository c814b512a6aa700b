"""A commit: a container's processes, files and configuration at one instant."""

from typing import NamedTuple, NewType

from limosa.model.cgroup import CgroupNode
from limosa.model.container import ContainerRecord

CommitId = NewType("CommitId", str)
"""24 lower-case hexadecimal digits."""


class CommitRecord(NamedTuple):
    """What has to be known to bring a commit back. Memory and files are where the ports keep them, by `commit_id`."""

    commit_id: CommitId
    container: ContainerRecord  # as it was
    created_ns: int
    streams: tuple[str, str, str]  # what descriptors 0..2 of the first process were, for CRIU
    message: str = ""
    frozen_ns: int = 0
    cgroups: tuple[CgroupNode, ...] = ()  # what an init made below its group
    stopped: bool = False  # the container was ended by this commit, so its connections can be kept
