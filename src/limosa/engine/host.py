"""Everything the use cases need from the world, in one value."""

from collections.abc import Callable

from limosa.model import ids
from limosa.model.hints import TYPE_CHECKING, Any
from limosa.model.ids import ContainerId

if TYPE_CHECKING:
    from limosa.ports.archive_files import ArchiveFiles
    from limosa.ports.cgroups import Cgroups
    from limosa.ports.checkpointer import Checkpointer
    from limosa.ports.commit_mounts import CommitMounts
    from limosa.ports.commit_store import CommitRefs, CommitStore
    from limosa.ports.container_files import ContainerFiles
    from limosa.ports.dumps import Dumps
    from limosa.ports.file_archive import FileArchive
    from limosa.ports.hooks import Hooks
    from limosa.ports.identity import Identities
    from limosa.ports.journal import Journal
    from limosa.ports.keepers import Keepers
    from limosa.ports.machine import Machine
    from limosa.ports.memory_archive import MemoryArchive
    from limosa.ports.migrations import Migrations
    from limosa.ports.network import NetworkRecords, Networks
    from limosa.ports.oci_images import OciImages
    from limosa.ports.own_view import OwnView
    from limosa.ports.page_servers import PageServers
    from limosa.ports.peers import HostBook, Peers
    from limosa.ports.records import ContainerRecords
    from limosa.ports.rootfs import Rootfs
    from limosa.ports.runtime import Runtime
    from limosa.ports.storage import Storage
    from limosa.ports.store_keys import StoreKeys
    from limosa.ports.templates import Templates
    from limosa.ports.timers import Timers
    from limosa.ports.trust import Trust
    from limosa.ports.volumes import Volumes
    from limosa.ports.written_pages import WrittenPages

Builders = dict[str, Callable[[], Any]]


class Host:
    """One limosa root on one machine. Each adapter is made when it is first used: a `ps` pays for no network code."""

    containers: "ContainerRecords"
    oci_images: "OciImages"
    storage: "Storage"
    own_view: "OwnView"
    rootfs: "Rootfs"
    cgroups: "Cgroups"
    networks: "Networks"
    network_records: "NetworkRecords"
    runtime: "Runtime"
    checkpointer: "Checkpointer"
    container_files: "ContainerFiles"
    templates: "Templates"
    timers: "Timers"
    volumes: "Volumes"
    identities: "Identities"
    hooks: "Hooks"
    store: "CommitStore"
    commit_refs: "CommitRefs"
    commit_mounts: "CommitMounts"
    dumps: "Dumps"
    memory_archive: "MemoryArchive"
    file_archive: "FileArchive"
    journal: "Journal"
    keepers: "Keepers"
    peers: "Peers"
    host_book: "HostBook"
    migrations: "Migrations"
    machine: "Machine"
    store_keys: "StoreKeys"
    archive_files: "ArchiveFiles"
    written_pages: "WrittenPages"
    page_servers: "PageServers"
    trust: "Trust"

    def __init__(
        self,
        builders: Builders,
        now_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        boot_id: Callable[[], str],
    ) -> None:
        """`builders` makes the adapter of each annotated name above; `boot_id` names the machine's present boot."""
        self._builders = builders
        self.now_ns = now_ns
        self.boot_id = boot_id
        self.random_bytes = random_bytes

    if not TYPE_CHECKING:  # a name that is not above is an error to the type checker

        def __getattr__(self, name: str) -> Any:
            """Make the adapter `name`; from then on it is an ordinary attribute."""
            build = self.__dict__.get("_builders", {}).get(name)
            if build is None:
                raise AttributeError(name)
            made = build()
            self.__dict__[name] = made
            return made

    def new_id(self) -> ContainerId:
        """Return an id that nothing has."""
        return ids.container_id(self.random_bytes(ids.ID_DIGITS // 2))
