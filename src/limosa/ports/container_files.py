"""Copying files between the host and a container's root file system."""

from limosa.model.hints import Protocol
from limosa.model.value import NamedTuple

STREAM = "-"
"""A host path: standard input or output, as a tar archive."""


class Placed(NamedTuple):
    """A directory or file of the host that a container has in its rootfs."""

    target: str  # absolute path inside
    source: str  # where it is on the host, ids mapped
    read_only: bool = False


class Inside(NamedTuple):
    """A container's files: those that its first process sees, or a mounted rootfs and what is to be in it."""

    rootfs: str  # where the rootfs is mounted
    first_host_id: int  # 0: no user namespace of its own
    init_pid: int = 0  # 0: it does not run
    init_start_ticks: int = 0
    mounts: tuple[Placed, ...] = ()  # of one that does not run: they are seen by the copying alone


class CopyOptions(NamedTuple):
    """How to copy."""

    keep_owners: bool = False  # otherwise all belongs to root, inside or to whoever calls outside
    follow_link: bool = False  # a link named as the source stands for what it leads to


class ContainerFiles(Protocol):
    """Whatever is in the container, nothing outside of it is read or written but the host path named.

    Holes of files stay holes. Extended attributes of users (`user.`) are kept; access lists with the owners, and
    file capabilities with the owners on the way in.
    """

    def copy_in(self, source: str, inside: Inside, target: str, options: CopyOptions) -> None:
        """Copy `source` of the host (or a tar archive from standard input) to `target` in the container.

        A directory that exists receives the source below its name, or its contents where `source` ends in "/.".
        Raises: LimosaError LIM-FILE-001: there is no such file; -002: the target cannot take it; -003: it failed
        half-way, and what was copied stays.
        """

    def copy_out(self, inside: Inside, source: str, target: str, options: CopyOptions) -> None:
        """Copy `source` of the container to `target` of the host (or as a tar archive to standard output).

        Device nodes are left out. Raises: as `copy_in`.
        """
