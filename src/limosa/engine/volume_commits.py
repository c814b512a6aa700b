"""What commits do with the volumes of their container: keep their files, leave them out, or only name them."""

from contextlib import ExitStack

from limosa.engine import ending
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerConfig, ContainerRecord, CopyRequest, Mount
from limosa.model.errors import LimosaError
from limosa.model.file_entry import volume_prefix
from limosa.model.ids import ContainerId
from limosa.model.volume import CommittedVolume, Volume
from limosa.ports.commit_store import CommitReader

COPY_OF = "limosa.copy-of"
"""A label of the volumes that a copy got: the name of its original's."""


def of(host: Host, config: ContainerConfig) -> tuple[CommittedVolume, ...]:
    """Return the volumes of a container with what its commits do with each: its own word counts, else the volume's."""
    found: dict[str, CommittedVolume] = {}
    for wanted in config.mounts:
        if wanted.kind == "volume" and wanted.source not in found:
            volume = host.volumes.find(wanted.source)
            found[wanted.source] = CommittedVolume(volume.name, wanted.policy or volume.policy, volume.created_ns)
    return tuple(found.values())


def included(commit: CommitRecord) -> list[str]:
    """Return the names of the volumes whose files are in a commit."""
    return [volume.name for volume in commit.volumes if volume.policy == "include"]


def excluded_places(config: ContainerConfig, found: tuple[CommittedVolume, ...]) -> tuple[str, ...]:
    """Return where in a container its excluded volumes are: a file that is open there would not come back."""
    names = {volume.name for volume in found if volume.policy == "exclude"}
    return tuple(mount.target for mount in config.mounts if mount.kind == "volume" and mount.source in names)


def bring(host: Host, commit: CommitRecord, reader: CommitReader) -> None:
    """Make the snapshots of a commit's volumes from the store where they are not here. Raises: as `bring_files`."""
    for name in included(commit):
        try:
            host.volumes.snapshot(name, commit.snapshot)
        except KeyError:

            def fill(directory: str, name: str = name) -> None:
                host.file_archive.load(reader, directory, volume_prefix(name))

            host.volumes.receive_snapshot(name, commit.snapshot, fill)


def require_there(host: Host, commit: CommitRecord) -> None:
    """Raise LimosaError unless the volumes of a commit can be put back.

    LIM-VOL-002: one that it only names is gone; LIM-VOL-007: another container runs with one that would be put back;
    LIM-VOL-009: what has its name here is another volume. One that was left out stays as it is, whoever has it.
    """
    known = {volume.name: volume.created_ns for volume in host.volumes.all()}
    for volume in commit.volumes:
        if volume.policy == "include" and known.get(volume.name, volume.created_ns) != volume.created_ns:
            raise LimosaError(
                "LIM-VOL-009",
                f"the volume {volume.name!r} is another one than that of commit {commit.commit_id[:12]}",
                state="nothing changed",
                cause="it was made at another time, and its files would be lost",
                hint=f"limosa fork {commit.commit_id[:12]} gives a copy a volume of its own; or limosa volume rm",
            )
        if volume.policy == "reference" and volume.name not in known:
            raise LimosaError(
                "LIM-VOL-002",
                f"there is no volume {volume.name!r}, which commit {commit.commit_id[:12]} only names",
                hint=f"limosa volume create {volume.name}, and fill it",
            )
    container_id = commit.container.container_id
    changed = set(included(commit))
    for record in host.containers.all():
        shared = [mount.source for mount in record.config.mounts if mount.kind == "volume" and mount.source in changed]
        if shared and record.container_id != container_id and record.phase in ending.LIVE:
            raise LimosaError(
                "LIM-VOL-007",
                f"the volume {shared[0]!r} cannot be put back: {record.config.name!r} uses it",
                state=f'nothing changed; "{record.config.name}" is {record.phase}',
                cause=f"commit {commit.commit_id[:12]} has its files, and they would change under that container",
                hint=f"limosa stop {record.config.name}, or limosa fork: a copy gets a volume of its own",
            )


def put_back(host: Host, commit: CommitRecord, undo: ExitStack) -> None:
    """Make the volumes what they were at the commit. Those that it left out stay as they are: no commit has them.

    A volume that is gone is made again, and goes again if what follows fails. The container does not run.
    """
    with host.volumes.locked():
        known = {volume.name for volume in host.volumes.all()}
        for volume in commit.volumes:
            if volume.policy == "reference":
                continue
            if volume.name not in known:
                undo.callback(_remove, host, volume.name, but_for=commit.container.container_id)
                owner = commit.container.container_id
                of = owner if volume.name.startswith(owner) else ""
                host.volumes.create(Volume(volume.name, volume.created_ns, volume.policy, of=of, filled=True))
            if volume.policy == "include":
                host.volumes.revert(volume.name, commit.snapshot)


def of_copy(
    host: Host,
    commit: CommitRecord,
    config: ContainerConfig,
    wanted: CopyRequest,
    container_id: ContainerId,
    undo: ExitStack,
) -> ContainerConfig:
    """Give a copy volumes of its own for those that its commit has or left out; return its configuration with them.

    Raises: LimosaError LIM-VOL-008: it would write to what its original writes to, and that was not allowed.
    """
    require_apart(config._replace(name=commit.container.config.name), commit.volumes, wanted)
    known = {volume.name: volume.policy for volume in commit.volumes}
    made: dict[str, str] = {}
    mounts = []
    for mount in config.mounts:
        if mount.kind == "tmpfs" or _by_reference(mount, commit.volumes):
            mounts.append(mount)
            continue
        anonymous = f"{commit.container.container_id}-"
        own = f"{mount.source[:40]}-{container_id[:6]}"
        if wanted.fleeting or mount.source.startswith(anonymous):
            own = f"{container_id}-{mount.source.removeprefix(anonymous)}"[:63]
        name = made.setdefault(mount.source, own)
        mounts.append(mount._replace(source=name))
    with host.volumes.locked():
        for source, name in made.items():
            of = container_id if name.startswith(container_id) else ""
            volume = Volume(name, host.now_ns(), known[source], ((COPY_OF, source),), of, filled=True)
            undo.callback(_remove, host, name, but_for=container_id)
            if known[source] == "include":
                host.volumes.copy(source, commit.snapshot, volume)
            else:
                host.volumes.create(volume)
    return config._replace(mounts=tuple(mounts))


def _remove(host: Host, name: str, but_for: ContainerId) -> None:
    """Remove a volume that was made for a container, if it is there and no other container has it by now."""
    with host.volumes.locked():
        there = any(volume.name == name for volume in host.volumes.all())
        others = [record for record in host.containers.all() if record.container_id != but_for]
        if there and not any(mount.source == name for record in others for mount in record.config.mounts):
            host.volumes.remove(name)


def require_apart(config: ContainerConfig, volumes: tuple[CommittedVolume, ...], wanted: CopyRequest) -> None:
    """Raise LimosaError LIM-VOL-008 if a copy would write to what its original writes to, and that is not allowed.

    `config` is the original's, and `volumes` says what its commit has of them.
    """
    for mount in config.mounts:
        if mount.kind != "tmpfs" and not mount.read_only and not wanted.share and _by_reference(mount, volumes):
            raise LimosaError(
                "LIM-VOL-008",
                f'a copy of "{config.name}" would write to the same {mount.source}',
                state="nothing was copied",
                cause=f"it is at {mount.target}, writable, and commits only name it: two that write to it may spoil it",
                hint="--share-volumes allows it; a volume with commit=include is copied; :ro is shared without harm",
            )


def _by_reference(mount: Mount, volumes: tuple[CommittedVolume, ...]) -> bool:
    policies = [volume.policy for volume in volumes if mount.kind == "volume" and volume.name == mount.source]
    return policies in ([], ["reference"])


def write_back(host: Host, record: ContainerRecord, found: tuple[CommittedVolume, ...]) -> None:
    """Write to the disk what is dirty of what a commit will snapshot, before anything is frozen."""
    host.storage.write_back(record.container_id)
    for volume in found:
        if volume.policy == "include":
            host.volumes.write_back(volume.name)
