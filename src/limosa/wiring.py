"""The only place that names concrete adapters and reads the environment."""

import os
import sys
import time
from collections.abc import Callable

from limosa.engine.host import Host
from limosa.linux import boot
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from limosa.ports.journal import Journal
    from limosa.ports.oci_images import OciImages

DEFAULT_ROOT: Final = "/var/lib/limosa"
DEFAULT_RUN: Final = "/run/limosa"
_TOOLS: Final = "/var/lib/limosa/tools/current"
_NATIVE: Final = "/var/lib/limosa/tools/native"
_BUILD_HOST_ID: Final = (1 << 29) - 65536  # right below what containers get
_PLACES: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def root_of(option: str | None) -> str:
    """Return the root that `--root`, LIMOSA_ROOT or the default names, absolute and without links, like mounts."""
    return os.path.realpath(option or os.environ.get("LIMOSA_ROOT") or DEFAULT_ROOT)


def run_directory(root: str) -> str:
    """Return where run-time files of a root are."""
    return DEFAULT_RUN if root == DEFAULT_ROOT else f"{root}/run"


def host(root: str) -> Host:
    """Return the host at `root`; an adapter's program is looked for when the adapter is first used.

    Raises: LimosaError LIM-HOST-001: not root; LIM-HOST-003: the root cannot be made; later LIM-HOST-002: a program is
    missing.
    """
    if os.geteuid() != 0:
        raise LimosaError(
            "LIM-HOST-001", "limosa needs root", cause="it makes mounts, cgroups and namespaces", hint="sudo limosa …"
        )
    run = run_directory(root)
    _make(root)
    _make(run)
    return Host(_builders(root, run), time.time_ns, os.urandom, boot.boot_id)


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, mode=0o711, exist_ok=True)
    except OSError as refused:
        raise LimosaError(
            "LIM-HOST-003",
            f"limosa's directory {directory} cannot be made",
            cause=words_of(refused),
            hint="--root or LIMOSA_ROOT names a directory that is there or can be made",
        ) from refused


def other_host(path: str, *, take_key_of: str = "") -> Host:
    """Return the host at another root, for commits that go there or come from there.

    With the root `take_key_of` its commit store gets the key of the one there, and is made if it is missing.
    Raises: LimosaError LIM-CSTORE-003: there is no commit store, or it has commits of another key; LIM-HOST-001.
    """
    root = os.path.realpath(path)
    if take_key_of:
        share_key(take_key_of, root)
    if not os.path.exists(f"{root}/commits/format"):
        raise LimosaError(
            "LIM-CSTORE-003",
            f"there is no commit store in {path}",
            hint="give the root of another host (its --root); push --init makes one there",
        )
    return host(root)


def images_at(path: str) -> "OciImages":
    """Return the images of the host at another root, which may be none yet; nothing is made there."""
    from limosa.adapters.oci_images.adapter import LayoutImages

    return LayoutImages(os.path.realpath(path), _program, _BUILD_HOST_ID)


def share_key(source: str, target: str) -> None:
    """Give the commit store at the root `target` the key of the one at `source`. Raises: LimosaError LIM-CSTORE-003."""
    from limosa.adapters.commit_store import parts

    parts.create(f"{source}/commits")
    _make(target)
    parts.adopt_key(f"{target}/commits", f"{source}/commits")


def _builders(root: str, run: str) -> dict[str, Callable[[], object]]:
    # Each imports its adapter only when it is called: the start-up of the command counts (docs/adr/0002).
    # -P: no module is looked for in the working directory, whoever's that is.
    attend = (sys.executable, "-P", "-m", "limosa", "--root", root, "internal-exited")

    def containers() -> object:
        from limosa.adapters.file_records import FileContainerRecords
        from limosa.engine.journal import NotedRecords

        return NotedRecords(FileContainerRecords(root), journal, time.time_ns)

    def oci_images() -> object:
        from limosa.adapters.oci_images.adapter import LayoutImages

        return LayoutImages(root, _program, _BUILD_HOST_ID)

    def storage() -> object:
        from limosa.adapters.btrfs_pool import BtrfsPool

        return BtrfsPool(root)

    def own_view() -> object:
        from limosa.adapters.lxcfs import Lxcfs

        return Lxcfs(run, _program_if_there("lxcfs"))

    def rootfs() -> object:
        from limosa.adapters.overlay_rootfs import OverlayRootfs

        return OverlayRootfs(run)

    def cgroups() -> object:
        from limosa.adapters.cgroups import open_cgroups

        return open_cgroups(_tag(root), run)

    def networks() -> object:
        from limosa.adapters.bridge_network.adapter import BridgeNetworks

        return BridgeNetworks(root, default_root=root == DEFAULT_ROOT)

    def network_records() -> object:
        from limosa.adapters.bridge_network.recorded import RecordedNetworks

        return RecordedNetworks(root)

    def runtime() -> object:
        from limosa.adapters.cgroups import hidden_mount
        from limosa.adapters.crun_runtime.adapter import CrunRuntime

        programs = (_program("crun"), _program("conmon"))
        return CrunRuntime(run, root, *programs, attend, hidden_mount(), lambda: _program("tini-static"))

    def checkpointer() -> object:
        from limosa.adapters.criu.adapter import Criu

        return Criu(_program("criu"), f"{run}/criu", _library, _programs, _namespaces, _restores)

    def templates() -> object:
        from limosa.adapters.templates import BuiltTemplates

        return BuiltTemplates(_program)

    def volumes() -> object:
        from limosa.adapters.pool_volumes import PoolVolumes

        return PoolVolumes(root, f"{root}/storage")

    def identities() -> object:
        from limosa.adapters.container_identity import ContainerIdentities

        return ContainerIdentities(root)

    def container_files() -> object:
        from limosa.adapters.container_files import JailedFiles

        return JailedFiles()

    def journal() -> "Journal":
        from limosa.adapters.file_journal import FileJournal

        return FileJournal(root)

    def keepers() -> object:
        from limosa.adapters.keeper_processes import KeeperProcesses

        return KeeperProcesses(attend)

    def hooks() -> object:
        from limosa.adapters.hook_programs import HookPrograms

        return HookPrograms()

    makers = (
        *(containers, oci_images, storage, rootfs, cgroups, networks, network_records, runtime),
        *(checkpointer, templates, volumes, own_view, identities, container_files, journal, keepers, hooks),
    )
    return {maker.__name__: maker for maker in makers} | _commit_builders(root, run) | _peer_builders(root)


def _peer_builders(root: str) -> dict[str, Callable[[], object]]:
    def peers() -> object:
        from limosa.adapters.ssh_peers import SshPeers

        return SshPeers(_program)

    def host_book() -> object:
        from limosa.adapters.host_book import FileHostBook

        return FileHostBook(root)

    def store_keys() -> object:
        from limosa.adapters.commit_store.keys import DirectoryKeys

        return DirectoryKeys(f"{root}/commits")

    def archive_files() -> object:
        from limosa.adapters.archive_files import LayoutFiles

        return LayoutFiles()

    def migrations() -> object:
        from limosa.adapters.file_migrations import FileMigrations

        return FileMigrations(root)

    def machine() -> object:
        from limosa.adapters.machine import ThisMachine

        return ThisMachine(root, _program)

    makers = (peers, host_book, store_keys, archive_files, migrations, machine)
    return {maker.__name__: maker for maker in makers}


def _commit_builders(root: str, run: str) -> dict[str, Callable[[], object]]:
    def store() -> object:
        from limosa.adapters.commit_store import parts
        from limosa.adapters.commit_store.store import DirectoryStore

        parts.create(f"{root}/commits")
        return DirectoryStore(f"{root}/commits", library=_pages)

    def commit_refs() -> object:
        from limosa.adapters.commit_store.refs import Refs

        return Refs(f"{root}/commits")

    def dumps() -> object:
        from limosa.adapters.dump_directories import DumpDirectories

        return DumpDirectories(root)

    def memory_archive() -> object:
        from limosa.adapters.criu.archive import CriuImageArchive

        return CriuImageArchive()

    def trust() -> object:
        from limosa.adapters.signing_keys import SigningKeys

        return SigningKeys(root, _program("ssh-keygen"))

    def file_archive() -> object:
        from limosa.adapters.file_archive import DirectoryFileArchive

        return DirectoryFileArchive()

    def written_pages() -> object:
        from limosa.adapters.written_pages import open_written_pages
        from limosa.keeper import descriptors

        # The bundle goes when the processes do, and what is known of their marks with it.
        holder = (sys.executable, "-I", "-S", os.path.abspath(descriptors.__file__))
        return open_written_pages(
            lambda container: f"{run}/bundles/{container}",
            holder,
            dumps_skip=lambda: bool(_library()),
            checked=os.environ.get("LIMOSA_CHECK_WRITTEN") == "1",
        )

    def page_servers() -> object:
        from limosa.adapters.page_server.adapter import ForkedPageServers

        return ForkedPageServers(lambda container: f"{run}/bundles/{container}", _restores)

    def commit_mounts() -> object:
        from limosa.adapters.commit_mounts import DirectoryCommitMounts

        return DirectoryCommitMounts(root)

    def timers() -> object:
        import shutil

        from limosa.adapters.systemd_timers import SystemdTimers

        command = shutil.which(sys.argv[0]) or shutil.which("limosa") or sys.argv[0]
        return SystemdTimers(_tag(root), root, os.path.abspath(command))

    makers = (
        *(store, commit_refs, dumps, memory_archive, file_archive, written_pages, page_servers, commit_mounts),
        *(timers, trust),
    )
    return {maker.__name__: maker for maker in makers}


def _tag(root: str) -> str:
    """Return what tells this root's names on the machine from another's."""
    if root == DEFAULT_ROOT:
        return "limosa"
    import binascii  # hashlib would load OpenSSL, 9 ms

    return f"limosa-{binascii.crc32(root.encode()):08x}"


def _library() -> str:
    from limosa.adapters.criu import native

    return native.library(_NATIVE, _program_if_there("cc"))


def _namespaces() -> str:
    from limosa.adapters.criu import native

    return native.namespaces(_NATIVE, _program_if_there("cc"))


def _restores() -> str:
    from limosa.adapters.criu import native

    return native.restores(_NATIVE, _program_if_there("cc"))


def _pages() -> str:
    from limosa.adapters.commit_store import native

    return native.library(_NATIVE, _program_if_there("cc"))


def _programs() -> str:
    from limosa.adapters.criu import native

    return native.programs(_NATIVE, _program_if_there("cc"))


def _program_if_there(name: str) -> str:
    for place in (os.environ.get("LIMOSA_TOOLS", _TOOLS), *_PLACES):
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    return ""


def _program(name: str) -> str:
    found = _program_if_there(name)
    if found:
        return found
    raise LimosaError("LIM-HOST-002", f"{name} is not installed", hint="make setup, in a checkout", exit_status=1)
