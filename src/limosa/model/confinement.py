"""What limosa gives a container, as far as a dump of it shows: what a stranger's commit is held against."""

from limosa.model.value import NamedTuple


class AllowedMount(NamedTuple):
    """A mount that limosa makes in a container."""

    place: str  # inside
    external: bool  # a file or directory from outside, which the restore is told
    filesystem: str = ""  # "proc", "tmpfs", … where it is not external
    flags: frozenset[str] = frozenset()  # of "ro", "nosuid", "nodev", "noexec": those that it has


class Allowance(NamedTuple):
    """What limosa gives a container of some configuration: images that somebody made up may hold that and no more."""

    first_host_id: int  # the container's ids 0..65535 are these of the host
    capabilities: frozenset[str]
    no_new_privileges: bool
    seccomp_filter: bytes | None  # as the kernel takes it; None: unconfined
    mounts: tuple[AllowedMount, ...]
    masked: frozenset[str]  # paths inside that are hidden
    read_only: frozenset[str]  # paths inside of the kernel's file systems that cannot be written to
    read_only_rootfs: bool = False
    own_network: bool = True
