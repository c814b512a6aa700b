"""Everything the use cases need from the world, in one value."""

from collections.abc import Callable
from typing import NamedTuple

from limosa.model import ids
from limosa.model.ids import ContainerId
from limosa.ports.cgroups import Cgroups
from limosa.ports.checkpointer import Checkpointer
from limosa.ports.network import Networks
from limosa.ports.oci_images import ImportedImages
from limosa.ports.records import CommitRecords, ContainerRecords
from limosa.ports.rootfs import Rootfs
from limosa.ports.runtime import Runtime
from limosa.ports.storage import Storage


class Host(NamedTuple):
    """One limosa root on one machine."""

    containers: ContainerRecords
    commits: CommitRecords
    oci_images: ImportedImages
    storage: Storage
    rootfs: Rootfs
    cgroups: Cgroups
    networks: Networks
    runtime: Runtime
    checkpointer: Checkpointer
    now_ns: Callable[[], int]
    random_bytes: Callable[[int], bytes]

    def new_id(self) -> ContainerId:
        """Return an id that nothing has."""
        return ids.container_id(self.random_bytes(ids.ID_DIGITS // 2))
