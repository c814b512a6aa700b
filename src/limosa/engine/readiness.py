"""What can be made ready for a container that is going to be brought back here, while it still runs elsewhere."""

from limosa.engine.host import Host
from limosa.model.container import ContainerRecord


def make_ready(host: Host, record: ContainerRecord) -> None:
    """Have everything there that a restore of a container would first have to make or load.

    Nothing of it is the container's own: the pool, what shows containers their share, its compiled filter, and what
    this process loads when it is used first.
    Raises: LimosaError: something cannot be had; a restore would fail at the same.
    """
    host.storage.prepare()
    host.own_view.provide()
    host.runtime.make_ready(record.container_id, record.config, record.first_host_id)
    for adapter in ("cgroups", "checkpointer", "dumps", "file_archive", "identities", "journal", "memory_archive"):
        getattr(host, adapter)
