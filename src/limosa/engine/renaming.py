"""Give a container another name."""

from contextlib import ExitStack

from limosa.engine import ending, journal
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.ids import ContainerId, checked_name


def rename(host: Host, container_id: ContainerId, name: str) -> ContainerRecord:
    """Give a container another name, by which its neighbours find it from now on too.

    Raises: LimosaError LIM-NAME-001: that is no name; LIM-NAME-002: another container has it.
    """
    checked_name(name)
    with host.containers.locked(container_id):
        record = ending.loaded(host, container_id)
        before = record.config.name
        if name == before:
            return record
        record = renamed(host, record, name)
    journal.note(host, "rename", record, f"from {before}")
    return record


def renamed(host: Host, record: ContainerRecord, name: str) -> ContainerRecord:
    """Do what `rename` does, to a container whose lock the caller holds. Raises: LimosaError LIM-NAME-002."""
    container_id, before = record.container_id, record.config.name
    with ExitStack() as undo:
        record = host.containers.rename(record, name)
        undo.callback(host.containers.rename, record, before)
        config = record.config
        if config.network.own:
            reserved = host.networks.attachment(container_id)
            hostname = "" if reserved is None else reserved.hostname
            host.networks.reserve(
                *(container_id, name, config.network, config.ports, hostname, record.inner_addresses),
                passing=config.remove_when_stopped,
            )
            if record.phase in ending.LIVE:
                host.networks.refresh_names(container_id)
        undo.pop_all()
    return record
