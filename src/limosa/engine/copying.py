"""Files of a container, whether it runs or not, and of commits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from limosa.engine import commits, creation, mounts, restore
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerRecord
from limosa.ports.container_files import Inside


@contextmanager
def inside(host: Host, record: ContainerRecord) -> Iterator[Inside]:
    """Return a container's files for the time of a `with` block.

    Those of one that does not run are mounted meanwhile, with its binds and volumes, and no other command can start it.
    """
    container_id = record.container_id
    if record.phase in ("running", "paused"):
        yield Inside(host.rootfs.path(container_id), record.first_host_id, record.init_pid, record.init_start_ticks)
        return
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        host.storage.prepare()
        # A phase of a command at work: `recover` unmounts what is left when this one is killed.
        host.containers.save(record._replace(phase="starting"))
        try:
            layers = host.oci_images.layer_directories(record.layers)
            rootfs = host.rootfs.mount(container_id, layers, host.storage.locate(container_id), record.first_host_id)
            mounts.attach(host, record)
            yield Inside(rootfs, record.first_host_id, mounts=mounts.placed(host, record))
        finally:
            host.rootfs.unmount(container_id)
            host.storage.release(container_id)
            host.containers.save(record)


@contextmanager
def of_commit(host: Host, commit: CommitRecord) -> Iterator[Inside]:
    """Return the files of a commit with those of its image, without volumes, for the time of a `with` block.

    A copy of them is mounted, for a container that is never started: `recover` removes it when this command is killed.
    Raises: LimosaError LIM-IMG-002: the image is not here; LIM-CSTORE-001, -002: the commit is damaged.
    """
    source, container_id = commit.container, host.new_id()
    restore.require_image(host, commit)
    host.storage.prepare()
    with host.store.reading(commits.identifier(commit)) as reader:
        restore.bring_files(host, commit, reader)
    with host.containers.locked(container_id, create=True), ExitStack() as undo:
        undo.callback(host.containers.remove, container_id)
        config = source.config._replace(name=f"files-{container_id[:12]}", ports=(), mounts=(), hooks=())
        record = ContainerRecord(container_id, config, "creating", host.now_ns(), 0, source.layers)
        creation.add(host, record)
        first_host_id = creation.with_id_range(host, record).first_host_id
        undo.callback(host.storage.destroy, container_id)
        writable = host.storage.clone(
            source.container_id, commit.snapshot, container_id, source.config.limits.disk_bytes
        )
        undo.callback(host.storage.release, container_id)
        undo.callback(host.rootfs.unmount, container_id)
        layers = host.oci_images.layer_directories(source.layers)
        yield Inside(host.rootfs.mount(container_id, layers, writable, first_host_id), first_host_id)
