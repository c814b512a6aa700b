"""Files of a container, whether it runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager

from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.ports.container_files import Inside


@contextmanager
def inside(host: Host, record: ContainerRecord) -> Iterator[Inside]:
    """Return a container's files for the time of a `with` block.

    Those of one that does not run are mounted meanwhile, without its volumes, and no other command can start it.
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
            yield Inside(rootfs, record.first_host_id)
        finally:
            host.rootfs.unmount(container_id)
            host.storage.release(container_id)
            host.containers.save(record)
